"""Settings of a worker: flags of `intops-worker`, also used by `intops run`.

Every flag is API; docs/reference/flags.md is generated from here.
"""

import argparse
import contextlib
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from intops_api.names import PORT_CAPTURE, PORT_CONSOLE, PORT_OPERATIONS
from intops_runtime.core.addresses import AddressPolicy

ANY_HOST = "0.0.0.0"  # noqa: S104  senders, the operator and Prometheus are outside the pod
DRAIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a worker finds its plans, Secrets and data, and where it listens."""

    plans: Path
    secrets: Path
    data: Path
    name: str = "worker"
    capture_host: str = ANY_HOST
    capture_port: int = PORT_CAPTURE
    operations_host: str = ANY_HOST
    operations_port: int = PORT_OPERATIONS
    console_port: int = PORT_CONSOLE
    console_socket: Path | None = None
    """Unix socket of the console API instead of its port."""
    addresses: AddressPolicy = field(default_factory=AddressPolicy)
    allow_volatile: bool = False
    drain_s: float = DRAIN_S
    last_words: Path | None = None
    """File for what is left in the stores at the end."""
    remove_empty_after_s: float | None = None
    """Seconds after which an empty store without a plan is removed; None looks after no such store."""


def flags(hostname: str) -> argparse.ArgumentParser:
    """Every flag of `intops-worker`."""
    parser = argparse.ArgumentParser(
        prog="intops-worker",
        description="Run the plans of a directory: capture, store, deliver.",
        epilog="Example: intops-worker --plans /etc/intops/plans --secrets /etc/intops/secrets "
        "--data /var/lib/intops",
    )
    parser.add_argument(
        "--plans", type=Path, required=True, help="directory with one folder a plan"
    )
    parser.add_argument(
        "--secrets", type=Path, required=True, help="directory with one folder a Secret"
    )
    parser.add_argument("--data", type=Path, required=True, help="directory for the stores")
    parser.add_argument("--name", default=hostname, help="name in reports (default: host name)")
    parser.add_argument("--capture-host", default=ANY_HOST, help="address of capture")
    parser.add_argument("--capture-port", type=int, default=PORT_CAPTURE, help="port of capture")
    parser.add_argument(
        "--operations-host",
        default=ANY_HOST,
        help="address of health, metrics and report",
    )
    parser.add_argument(
        "--operations-port",
        type=int,
        default=PORT_OPERATIONS,
        help="port of health, metrics and report",
    )
    parser.add_argument(
        "--console-port",
        type=int,
        default=PORT_CONSOLE,
        help="port of the console API, on loopback only",
    )
    parser.add_argument(
        "--allow-range",
        action="append",
        default=None,
        metavar="CIDR",
        help="private range that may be called (default: RFC 1918 and fc00::/7); may be repeated",
    )
    parser.add_argument(
        "--deny-range",
        action="append",
        default=[],
        metavar="CIDR",
        help="range that is never called, such as the API server's; may be repeated",
    )
    parser.add_argument(
        "--allow-loopback", action="store_true", help="allow targets on this host; for try-outs"
    )
    parser.add_argument(
        "--allow-volatile",
        action="store_true",
        help="allow a store on tmpfs or overlay, which a restart may empty; for try-outs",
    )
    parser.add_argument(
        "--drain-seconds", type=float, default=DRAIN_S, help="wait at most so long at stop"
    )
    parser.add_argument(
        "--last-words",
        type=Path,
        metavar="FILE",
        help="write at the end how many messages are left in the stores, as JSON",
    )
    parser.add_argument(
        "--remove-empty-after",
        type=float,
        metavar="SECONDS",
        help="the data directory is this worker's alone: tell what is left in stores without a plan, and "
        "remove an empty one after so long (default: leave them alone)",
    )
    return parser


def parse(arguments: list[str], *, hostname: str, api_server: str | None = None) -> Settings:
    """Settings from the command line; exits with 2 and a sentence where a flag is wrong.

    `api_server` is the address of the cluster's API server, which no worker may call.
    """
    parser = flags(hostname)
    given = parser.parse_args(arguments)
    try:
        denied = tuple(ipaddress.ip_network(text) for text in given.deny_range)
        allowed = AddressPolicy().allowed
        if given.allow_range is not None:
            allowed = tuple(ipaddress.ip_network(text) for text in given.allow_range)
    except ValueError as error:
        parser.error(f"{error}; write a range such as 10.0.0.0/8")
    with contextlib.suppress(
        ValueError
    ):  # some clusters give a name; the resolver's answer is guarded
        denied += (ipaddress.ip_network(api_server or ""),)
    return Settings(
        plans=given.plans,
        secrets=given.secrets,
        data=given.data,
        name=given.name,
        capture_host=given.capture_host,
        capture_port=given.capture_port,
        operations_host=given.operations_host,
        operations_port=given.operations_port,
        console_port=given.console_port,
        addresses=AddressPolicy(given.allow_loopback, allowed, denied),
        allow_volatile=given.allow_volatile,
        drain_s=given.drain_seconds,
        last_words=given.last_words,
        remove_empty_after_s=given.remove_empty_after,
    )
