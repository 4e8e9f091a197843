"""`intops diff DIR`: what a folder would change in a cluster or against another folder, and what that breaks."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from intops_api.kinds import FLOW_ACTION
from intops_cli.exits import OK, REFUSED
from intops_cli.impact_text import impact_page, impact_wire, ref_wire, short
from intops_cli.live_state import read_live
from intops_cli.output import Table, render, say, show
from intops_cli.project import Overlay, lay_over, shipped_resources
from intops_cli.whereabouts import cluster_of
from intops_core.acceptance import order_of, stops
from intops_core.differences import ObjectChange, object_changes
from intops_core.findings import Ref
from intops_core.impact import impact
from intops_core.resources import Resources

HELP = "say what a folder would change, field by field, and whether live Flows still work with it"
EPILOG = """\
examples:
  intops diff deploy/prod                           against the cluster of the kubeconfig
  intops diff deploy/prod --against ../main/deploy/prod
  intops diff deploy/prod --prune -n itsm           what is live in these namespaces and not here would go
  intops diff . --against ../main -o json | jq -r '.objects[] | select(.what == "changed") | .fields[].path'

Nothing is applied. All objects of the folder are judged together, as `intops impact` judges them. Specs are compared
by what they mean; credentials are masked.
exit codes: 0 nothing breaks, or its annotation accepts it, 1 a Flow that works now would not, or a manifest would be
refused, 2 wrong use or unreadable file, 3 the cluster cannot be read"""

_SHOWN: Final = 48
_SHOWN_WIDE: Final = 400


@dataclass(frozen=True, slots=True)
class _Compared:
    """Two sets of resources, the objects that may differ, and what must not be shown."""

    before: Resources
    after: Resources
    refs: frozenset[Ref]
    secrets: frozenset[str]
    refused: tuple[str, ...]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument(
        "dir", type=Path, nargs="?", default=Path(), help="folder with the manifests (default: here)"
    )  # fmt: skip
    parser.add_argument(
        "--against", type=Path, metavar="OTHERDIR", help="compare with this folder, not with a cluster"
    )  # fmt: skip
    parser.add_argument(
        "--prune",
        action="store_true",
        help="objects that are live in a namespace of the folder and not in the folder would be removed",
    )
    parser.add_argument("--context", help="context of the kubeconfig: compare with that cluster")
    parser.add_argument("--kubeconfig", help="file with access to a cluster: compare with it")


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    compared = _with_folder(given) if given.against else _with_cluster(given)
    if compared.refused:
        say(compared.refused)
        say("Nothing was compared: a cluster would refuse these manifests. Mend them and run again.")  # fmt: skip
        return REFUSED
    changes = object_changes(
        compared.before, compared.after, compared.refs, secrets=compared.secrets
    )
    found = impact(compared.before, compared.after)
    order = order_of(compared.before, compared.after, found)
    hashes = given.against is None
    if given.output in ("json", "yaml"):
        wire = {
            "objects": [_wire(one) for one in changes],
            "impact": impact_wire(found, order, hashes=hashes),
        }
        show(wire, Table([], []), given.output)
    elif not changes:
        print("Nothing differs: every manifest says what stands already.")
    else:
        wide = given.output == "wide"
        print(render(_table(changes, wide=wide).cut(wide=wide)))
        print()
        print(impact_page(found, order, wide=wide, hashes=hashes))
    return REFUSED if stops(found, order) else OK


def _with_folder(given: argparse.Namespace) -> _Compared:
    before, after = shipped_resources(), shipped_resources()
    old = lay_over(given.against, before, namespace=given.namespace)
    if old.refused:
        say(old.refused)
        say(f"{given.against} is compared without these.")
    new = lay_over(given.dir, after, namespace=given.namespace)
    return _compared(before, after, new, frozenset(old.refs), old.secrets)


def _with_cluster(given: argparse.Namespace) -> _Compared:
    new = lay_over(given.dir, Resources(), namespace=given.namespace)
    live = read_live(cluster_of(given), new.refs)
    say(live.unread)
    after = live.resources.copy()
    lay_over(given.dir, after, namespace=given.namespace)
    gone = _unnamed(live.resources, new) if given.prune else frozenset()
    for ref in gone:
        after.remove(ref)
    return _compared(live.resources, after, new, gone, frozenset())


def _compared(
    before: Resources, after: Resources, new: Overlay, old: frozenset[Ref], secrets: frozenset[str]
) -> _Compared:
    """FlowActions are decisions that people make once, so they never differ."""
    for resources in (before, after):
        for action in resources.all(FLOW_ACTION.name):
            resources.remove(action.ref)
    refs = frozenset(ref for ref in old | set(new.refs) if ref.kind != FLOW_ACTION.name)
    return _Compared(before, after, refs, secrets | new.secrets, new.refused)


def _unnamed(live: Resources, folder: Overlay) -> frozenset[Ref]:
    """What is live in a namespace of the folder and not in it; class-like kinds may be anybody's and stay."""
    named = set(folder.refs)
    return frozenset(
        resource.ref
        for namespace in {ref.namespace for ref in named if ref.namespace}
        for kind in ("Connector", "Mapping", "Flow")
        for resource in live.all(kind, namespace)
        if resource.ref not in named
    )


def _table(changes: tuple[ObjectChange, ...], *, wide: bool) -> Table:
    """One line a field; an object that comes or goes is one line."""
    rows = []
    most = _SHOWN_WIDE if wide else _SHOWN
    for one in changes:
        fields = [(f.path, _text(f.before, most), _text(f.after, most)) for f in one.fields]
        for path, before, after in fields or [("", "", "")]:
            rows.append([short(one.ref), one.kind, path, before, after, one.ref.namespace])
    return Table(["OBJECT", "WHAT", "FIELD", "NOW", "THEN", "NAMESPACE"], rows, wide_from=5)


def _text(value: Any, most: int) -> str:
    """A value on one line; `-` where the field is absent."""
    if value is None:
        return "-"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _wire(change: ObjectChange) -> dict[str, Any]:
    return {
        "object": ref_wire(change.ref),
        "what": change.kind,
        "fields": [{"path": f.path, "now": f.before, "then": f.after} for f in change.fields],
    }
