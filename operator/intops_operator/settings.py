"""Flags and environment variables of the operator: one place, one meaning each.

`__main__` parses them; the chart sets them. Every flag `--some-name` may also be given as the
environment variable `INTOPS_SOME_NAME`; the flag wins.
"""

import argparse
import ipaddress
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from intops_api import names

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

CertificateMode = Literal["selfSigned", "files", "off"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. All durations are seconds."""

    namespace: str
    """`--namespace`: namespace of the operator itself; its Lease and its TLS Secret live there."""
    identity: str
    """`--identity`: name of this replica in the Lease; the pod name in a cluster."""
    kubeconfig: str | None
    """`--kubeconfig`: for developers; in a pod the service account is used."""
    watch_namespaces: tuple[str, ...]
    """`--watch-namespaces`: comma-separated namespaces to work in; all if empty."""
    worker_image: str
    """`--worker-image`: image of the workers."""
    worker_pull_policy: str
    """`--worker-pull-policy`: IfNotPresent, Always or Never."""
    worker_pull_secrets: tuple[str, ...]
    """`--worker-pull-secrets`: comma-separated names of image pull Secrets in the Flow's namespace."""
    worker_priority_class: str | None
    """`--worker-priority-class`: PriorityClass of the workers."""
    worker_allow_ranges: tuple[str, ...]
    """`--worker-allow-ranges`: private ranges that workers may call; RFC 1918 and fc00::/7 if empty."""
    worker_deny_ranges: tuple[str, ...]
    """`--worker-deny-ranges`: ranges that no worker may call, such as that of nodes."""
    operations_port: int
    """`--operations-port`: port at which workers answer `/report` (8081)."""
    report_interval_s: float
    """`--report-interval`: how often each worker is asked for its report (5)."""
    report_timeout_s: float
    """`--report-timeout`: longest wait for one report (3)."""
    report_concurrency: int
    """`--report-concurrency`: most workers asked at the same time (32)."""
    no_report_after_s: float
    """`--no-report-after`: silence of a worker after which its Flow is not Ready (30)."""
    resync_interval_s: float
    """`--resync-interval`: how often every object is looked at again without a cause (600)."""
    purge_interval_s: float
    """`--purge-interval`: how often the cache is compared with what exists (300)."""
    counters_interval_s: float
    """`--counters-interval`: shortest time between two writes that only bring new counters (60)."""
    status_rate: float
    """`--status-rate`: status writes a second for the whole operator (4)."""
    status_burst: int
    """`--status-burst`: status writes that may come at once after a quiet time (20)."""
    reconcile_workers: int
    """`--reconcile-workers`: objects that are reconciled at the same time (8)."""
    scale_down_after_s: float
    """`--scale-down-after`: quiet time before the backlog allows a worker fewer (300)."""
    rollout_canaries: int
    """`--rollout-canaries`: workers that prove a new image before others get it (1)."""
    rollout_wave: int
    """`--rollout-wave`: workers that roll at the same time after that (10)."""
    rollout_pause_s: float
    """`--rollout-pause`: how long a Flow must be well with a new image before it counts (60)."""
    rollout_deadline_s: float
    """`--rollout-deadline`: how long a Flow may take until it is as well as before (180)."""
    lease_name: str
    """`--lease-name`: Lease by which one replica leads (intops-operator)."""
    lease_duration_s: float
    """`--lease-duration`: after this time without renewal another replica may lead (15)."""
    lease_renew_s: float
    """`--lease-renew`: the leader stops by itself when it could not renew for this long (10)."""
    lease_retry_s: float
    """`--lease-retry`: how often the Lease is looked at (2)."""
    admission_host: str
    """`--admission-host`: address that the admission endpoint binds."""
    admission_port: int
    """`--admission-port`: port of the admission endpoint (9443; 0 chooses a free one)."""
    admission_deadline_s: float
    """`--admission-deadline`: longest time to judge one object; the API server waits 5 s (3.5)."""
    drain_s: float
    """`--drain`: how long admission is still answered after the order to end: until no API server is led here (5)."""
    health_host: str
    """`--health-host`: address of /healthz, /readyz and /metrics."""
    health_port: int
    """`--health-port`: port of /healthz, /readyz and /metrics (8080; 0 chooses a free one)."""
    ports_file: str | None
    """`--ports-file`: where to write the chosen ports as JSON, for tests that ask for port 0."""
    certificate_mode: CertificateMode
    """`--certificate-mode`: selfSigned (made and renewed by the leader), files, or off (no admission)."""
    certificate_dir: str | None
    """`--certificate-dir`: directory with tls.crt and tls.key, for mode files; re-read when changed."""
    certificate_secret: str
    """`--certificate-secret`: Secret that the leader keeps its certificates in (mode selfSigned)."""
    certificate_hosts: tuple[str, ...]
    """`--certificate-hosts`: comma-separated DNS names and addresses of the admission Service; a certificate
    from files has to cover all of them, else that is told and it replaces none that does."""
    certificate_life_s: float
    """`--certificate-life`: how long a serving certificate is good; renewed at two thirds (90 days)."""
    authority_life_s: float
    """`--authority-life`: how long the CA is good; its successor is made at two thirds (10 years)."""
    webhook_configuration: str | None
    """`--webhook-configuration`: ValidatingWebhookConfiguration into which the leader puts its CA."""
    catalog_manage: bool
    """`--catalog-manage`: whether the leader applies the shipped classes, models and patterns."""
    log_level: str
    """`--log-level`: debug, info, warning or error."""


def _own_namespace() -> str:
    try:
        return NAMESPACE_FILE.read_text().strip()
    except OSError:
        return "default"


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise argparse.ArgumentTypeError(f'"{text}" is neither true nor false')
    return text.lower() == "true"


def flags(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """Every flag of `intops-operator`; docs/reference/flags.md is generated from here."""
    parser = argparse.ArgumentParser(
        prog="intops-operator",
        description="Runs ITSM integrations as Kubernetes resources.",
        epilog="Every flag can be given as an environment variable: --some-name as INTOPS_SOME_NAME.",
    )

    def flag(name: str, default: object, kind: object = str, text: str = "") -> None:
        variable = "INTOPS_" + name.replace("-", "_").upper()
        given = environ.get(variable)
        parser.add_argument(
            f"--{name}",
            default=default if given is None else given,
            type=kind,  # type: ignore[arg-type]  # str, int, float or a function of str
            help=f"{text} [{variable}]",
        )

    flag("namespace", _own_namespace(), text="namespace of the operator itself")
    flag("identity", environ.get("HOSTNAME") or socket.gethostname(), text="name in the Lease")
    flag("kubeconfig", environ.get("KUBECONFIG"), text="for developers")
    flag("watch-namespaces", "", _list, "namespaces to work in; all if empty")
    _work(flag)
    flag("lease-name", "intops-operator", text="Lease by which one replica leads")
    flag("lease-duration", 15.0, float, "seconds after which another replica may lead")
    flag("lease-renew", 10.0, float, "seconds without renewal after which the leader stops")
    flag("lease-retry", 2.0, float, "seconds between two looks at the Lease")
    _serving(flag)
    return parser


def _work(flag: Callable[..., None]) -> None:
    """What the leader does, and how often."""
    flag("worker-image", "intops-worker:latest", text="image of the workers")
    flag("worker-pull-policy", "IfNotPresent", text="IfNotPresent, Always or Never")
    flag("worker-pull-secrets", "", _list, "image pull Secrets of the workers")
    flag("worker-priority-class", None, text="PriorityClass of the workers")
    flag(
        "worker-allow-ranges",
        "",
        _list,
        "private ranges that workers may call; RFC 1918 and fc00::/7 if empty",
    )
    flag("worker-deny-ranges", "", _list, "ranges that no worker may call")
    flag("operations-port", names.PORT_OPERATIONS, int, "port of the workers' reports")
    flag("report-interval", 5.0, float, "seconds between two reports of a worker")
    flag("report-timeout", 3.0, float, "seconds to wait for one report")
    flag("report-concurrency", 32, int, "workers asked at the same time")
    flag("no-report-after", 30.0, float, "seconds of silence after which a Flow is not Ready")
    flag("resync-interval", 600.0, float, "seconds after which everything is looked at again")
    flag("purge-interval", 300.0, float, "seconds between two comparisons of cache and cluster")
    flag("counters-interval", 60.0, float, "seconds between two writes of counters alone")
    flag("status-rate", 4.0, float, "status writes a second")
    flag("status-burst", 20, int, "status writes at once after a quiet time")
    flag("reconcile-workers", 8, int, "objects reconciled at the same time")
    flag("scale-down-after", 300.0, float, "seconds of a small backlog before a worker goes")
    flag("rollout-canaries", 1, int, "workers that prove a new image before others get it")
    flag("rollout-wave", 10, int, "workers that roll to a new image at the same time")
    flag("rollout-pause", 60.0, float, "seconds a Flow must be well with a new image")
    flag("rollout-deadline", 180.0, float, "seconds after which a roll that does badly halts all")


def _serving(flag: Callable[..., None]) -> None:
    """What every replica answers, and what it proves itself with."""
    # The API server, kubelet and Prometheus are outside the pod.
    flag("admission-host", "0.0.0.0", text="address of the admission endpoint")  # noqa: S104
    flag("admission-port", 9443, int, "port of the admission endpoint")
    flag("admission-deadline", 3.5, float, "seconds to judge one object")
    flag("drain", 5.0, float, "seconds for which admission is answered after the order to end")
    # As above.
    flag("health-host", "0.0.0.0", text="address of health and metrics")  # noqa: S104
    flag("health-port", 8080, int, "port of health and metrics")
    flag("ports-file", None, text="file that takes the chosen ports")
    flag("certificate-mode", "selfSigned", text="selfSigned, files or off")
    flag("certificate-dir", None, text="directory with tls.crt and tls.key")
    flag("certificate-secret", "intops-admission-tls", text="Secret of the certificates")
    flag("certificate-hosts", "", _list, "names of the admission Service, all in its certificate")
    flag("certificate-life", 90 * 86400.0, float, "seconds that a certificate is good")
    flag("authority-life", 3650 * 86400.0, float, "seconds that the CA of certificates is good")
    flag("webhook-configuration", None, text="ValidatingWebhookConfiguration that gets the CA")
    flag("catalog-manage", "true", _boolean, "apply the shipped classes, models and patterns")
    flag("log-level", "info", text="debug, info, warning or error")


def parse_settings(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from flags and environment.

    Raises:
        SystemExit: A value is wrong; a sentence was printed (argparse).
    """
    parser = flags(environ)
    given = vars(parser.parse_args(arguments))
    if given["certificate_mode"] not in {"selfSigned", "files", "off"}:
        parser.error("--certificate-mode must be selfSigned, files or off")
    if given["certificate_mode"] == "files" and not given["certificate_dir"]:
        parser.error("--certificate-mode files needs --certificate-dir with tls.crt and tls.key")
    if not given["lease_retry"] < given["lease_renew"] < given["lease_duration"]:
        parser.error("--lease-retry must be less than --lease-renew, less than --lease-duration")
    for name in ("rollout_canaries", "rollout_wave"):
        if given[name] < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, or nothing ever rolls")
    for name in ("worker_allow_ranges", "worker_deny_ranges"):
        for text in given[name]:
            try:
                ipaddress.ip_network(text)
            except ValueError as error:
                flag = name.replace("_", "-")
                parser.error(f"--{flag}: {error}; write ranges such as 10.0.0.0/8,192.168.0.0/16")
    in_seconds = (
        "report_interval", "report_timeout", "no_report_after", "resync_interval",
        "purge_interval", "counters_interval", "lease_duration", "lease_renew", "lease_retry",
        "admission_deadline", "scale_down_after", "rollout_pause", "rollout_deadline",
        "certificate_life", "authority_life",
    )  # fmt: skip
    for name in in_seconds:
        given[f"{name}_s"] = given.pop(name)
        if given[f"{name}_s"] <= 0:
            parser.error(f"--{name.replace('_', '-')} must be more than 0 seconds")
    if given["authority_life_s"] < 3 * given["certificate_life_s"]:
        parser.error(
            "--authority-life must be at least three times --certificate-life, or a certificate would outlive its CA"
        )
    given["drain_s"] = given.pop("drain")
    if given["drain_s"] < 0:
        parser.error("--drain must be 0 seconds or more")
    return Settings(**given)
