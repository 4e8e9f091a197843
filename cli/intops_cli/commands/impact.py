"""`intops impact -f FILE DIR`: which Flows changed manifests reach, and whether each still works with them."""

import argparse
from pathlib import Path

from intops_api.kinds import BY_NAME
from intops_cli.exits import OK, REFUSED, USAGE
from intops_cli.impact_text import impact_page, impact_wire
from intops_cli.output import Table, say, show
from intops_cli.project import lay_over, open_project
from intops_core.acceptance import order_of, stops
from intops_core.findings import Ref
from intops_core.impact import impact

HELP = "say which Flows changed manifests reach, and whether each still works with them"
EPILOG = """\
examples:
  intops impact -f changed.yaml                     against the manifests of this folder
  intops impact -f new/ deploy/prod -o json | jq -r '.flows[] | select(.verdict == "breaks") | .owner.contact'
  intops impact --remove Mapping/alertmanager-to-event deploy/prod

Nothing is applied. Both states are judged and planned as the operator would, with the shipped catalogue beneath;
what the change makes of messages that came already is said by `intops replay --dry-run`.
exit codes: 0 nothing breaks, or its annotation accepts it, 1 a Flow that works now would not, or a changed manifest
would be refused, 2 wrong use or unreadable file"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument(
        "dir",
        type=Path,
        nargs="?",
        default=Path(),
        help="folder with the manifests as they stand (default: here)",
    )
    parser.add_argument(
        "-f",
        "--file",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="changed or new manifests: a file or a folder; may be repeated",
    )
    parser.add_argument(
        "--remove",
        action="append",
        default=[],
        metavar="KIND/NAME",
        help="an object that would be deleted; may be repeated",
    )


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    if not given.file and not given.remove:
        say("Name changed manifests with -f FILE, or an object that goes with --remove KIND/NAME.")
        return USAGE
    before = open_project(given.dir, namespace=given.namespace).resources
    after = before.copy()
    laid = [lay_over(file, after, namespace=given.namespace) for file in given.file]
    refused = [why for one in laid for why in one.refused]
    if refused:
        say(refused)
        say("Nothing was compared: a cluster would refuse these manifests. Mend them and run again.")  # fmt: skip
        return REFUSED
    for text in given.remove:
        ref = _named(text, given.namespace)
        if ref is None or before.get(ref.kind, ref.namespace, ref.name) is None:
            kinds = ", ".join(sorted(BY_NAME))
            say(
                f"--remove {text}: there is no such object in {given.dir}, so nothing could be compared; "
                f"write KIND/NAME, where KIND is one of {kinds}."
            )
            return USAGE
        after.remove(ref)
    found = impact(before, after)
    order = order_of(before, after, found)
    if given.output in ("json", "yaml"):
        show(impact_wire(found, order), Table([], []), given.output)
    else:
        print(impact_page(found, order, wide=given.output == "wide"))
    return REFUSED if stops(found, order) else OK


def _named(text: str, namespace: str) -> Ref | None:
    kind, _, name = text.partition("/")
    known = BY_NAME.get(kind)
    if known is None or not name:
        return None
    return Ref(kind, namespace if known.namespaced else "", name)
