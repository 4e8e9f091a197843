"""`intops connector test NAME`: a Connector tried against its real system, without a write."""

import argparse
import asyncio
import textwrap
from pathlib import Path
from typing import Any, Final

from intops_cli.connector_sources import Source, from_cluster, from_folder
from intops_cli.exits import OK, REFUSED, USAGE
from intops_cli.output import say, show_data
from intops_cli.session import session_at
from intops_cli.whereabouts import cluster_of, in_cluster, where_arguments
from intops_core.connector_trials import Check, passed
from intops_runtime.connector_trial import try_connector

HELP = "try a Connector against its system: address, credentials, rights, values, clock; nothing is written"
EPILOG = """\
examples:
  intops connector test helpdesk -f examples/01-alerts-to-helpdesk
  intops connector test helpdesk -f . --endpoint http://127.0.0.1:8081
  intops connector test jira -n itsm --context production     takes the right to get its Secret
  intops connector test jira -f . -o json | jq -r '.checks[] | select(.level == "fail") | .todo'

Only reads are sent, through the guard and the client of a worker, but from this machine. With -f the credentials are
those of the Secret manifests of the folder, as for `intops run`; without it, those of the folder that is running, or
of the cluster. No value of a Secret is shown.
exit codes: 0 nothing fails (it may warn), 1 something does, or there is no such Connector, 2 wrong use or unreadable
file, 3 the cluster cannot be asked"""
FORMS: Final = ("table", "json", "yaml")

WITHIN_S: Final = 60
_WIDTH: Final = 118


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("action", choices=("test",), help="what to do")
    parser.add_argument("name", help="name of the Connector")
    parser.add_argument(
        "-f", "--file", type=Path, metavar="DIR", help="folder with the manifests, or one YAML file"
    )
    parser.add_argument("--endpoint", metavar="URL", help="use another endpoint for this Connector")
    parser.add_argument(
        "--within", type=int, default=WITHIN_S, metavar="SECONDS",
        help="longest time for the whole test (default: %(default)s)",
    )  # fmt: skip
    where_arguments(parser)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    if not 1 <= given.within <= 600:
        say(f"--within {given.within}: write 1 to 600 seconds.")
        return USAGE
    source = _source(given)
    if isinstance(source, str):
        say(source)
        return USAGE
    tried = source.tried(given.name)
    if isinstance(tried, str):
        say(tried)
        return REFUSED
    checks = asyncio.run(try_connector(tried, source.policy, within_s=float(given.within)))
    good = passed(checks)
    if given.output == "table":
        print(page(tried.name, tried.class_name, tried.spec.endpoint, checks))
    else:
        show_data(wire(tried.name, tried.class_name, tried.spec.endpoint, checks), given.output)
    if source.note:
        say(source.note)
    return OK if good else REFUSED


def _source(given: argparse.Namespace) -> Source | str:
    """Where manifests and credentials come from, or what to write."""
    if given.file is not None:
        if given.context or given.kubeconfig:
            return "-f means a folder and --context a cluster; name one of them."
        endpoints = {given.name: given.endpoint} if given.endpoint else {}
        return from_folder(given.file, namespace=given.namespace, endpoints=endpoints)
    if in_cluster(given):
        return from_cluster(cluster_of(given), given.name, given.endpoint)
    running = session_at(given.state).running()
    if running is None:
        return "Name the folder with the manifests with -f DIR, or a cluster with --context."
    endpoints = {**running.endpoints, **({given.name: given.endpoint} if given.endpoint else {})}
    return from_folder(Path(running.folder), namespace=given.namespace, endpoints=endpoints)


def page(name: str, class_name: str, endpoint: str | None, checks: list[Check]) -> str:
    """One paragraph a step: what was done, what came back, what to do."""
    lines = [f"{name} ({class_name}{', ' + endpoint if endpoint else ''})"]
    for check in checks:
        head = f"{check.level:<6}{check.check:<13}"
        lines += _wrapped(f"{check.did}: {check.found}", head)
        if check.todo:
            lines += _wrapped(f"-> {check.todo}", " " * len(head))
    counts = {level: sum(1 for c in checks if c.level == level) for level in ("fail", "warn")}
    lines.append(f"{counts['fail']} failed, {counts['warn']} to look at; nothing was written.")
    return "\n".join(lines)


def _wrapped(text: str, head: str) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()), _WIDTH, initial_indent=head, subsequent_indent=" " * len(head)
    )


def wire(name: str, class_name: str, endpoint: str | None, checks: list[Check]) -> dict[str, Any]:
    """The JSON-ready shape."""
    return {
        "connector": name,
        "class": class_name,
        **({"endpoint": endpoint} if endpoint else {}),
        "passed": passed(checks),
        "checks": [check.wire() for check in checks],
    }
