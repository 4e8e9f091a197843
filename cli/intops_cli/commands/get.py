"""`intops get KIND`: the table of `kubectl get`, for a worker that `intops run` started."""

import argparse

from intops_api.kinds import KINDS, Kind
from intops_api.report import FlowReport
from intops_cli.columns import object_table
from intops_cli.exits import OK, REFUSED
from intops_cli.local_state import local_state
from intops_cli.output import say, show
from intops_cli.session import session_at
from intops_cli.worker_client import WorkerClient, WorkerUnavailable

HELP = "show Flows, Connectors or Mappings of a local run"
EPILOG = """\
examples:
  intops get flows
  intops get flow alerts-to-helpdesk -o yaml
  intops get connectors -o wide

In a cluster: kubectl get flows
exit codes: 0 found, 1 nothing of that name, 3 no worker runs here"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument(
        "kind", choices=sorted(_names()), metavar="KIND", help=", ".join(_plurals())
    )
    parser.add_argument("name", nargs="?", help="only this one")
    parser.add_argument("--session", dest="state", help="folder of the run (default: .intops)")


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    kind = _names()[given.kind]
    session = session_at(given.state)
    answer = WorkerClient(session).ask("/report")
    running = session.running()
    if running is None:
        raise WorkerUnavailable(
            f"No worker runs from {session.root}. Start one with `intops run DIR`."
        )
    report = FlowReport.model_validate(answer)
    state = local_state(running, report, namespace=given.namespace)
    objects = state.objects(kind)
    if given.name is not None:
        objects = [found for found in objects if found["metadata"]["name"] == given.name]
        if not objects:
            say(f'There is no {kind.name} "{given.name}" in {running.folder}.')
            return REFUSED
    data = objects[0] if given.name is not None else {"kind": f"{kind.name}List", "items": objects}
    show(data, object_table(kind, objects), given.output)
    return OK


def _names() -> dict[str, Kind]:
    """Every name by which a kind may be asked for."""
    return {
        name: kind
        for kind in KINDS
        if kind.namespaced and kind.name != "FlowAction"
        for name in (kind.plural, kind.singular, *kind.short_names)
    }


def _plurals() -> list[str]:
    return sorted({kind.plural for kind in _names().values()})
