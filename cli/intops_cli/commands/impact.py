"""`intops impact -f FILE DIR`: which Flows changed manifests reach, and whether each still works with them."""

import argparse
from pathlib import Path
from typing import Any, Final

from intops_api.kinds import BY_NAME, KINDS
from intops_cli.exits import OK, REFUSED, USAGE
from intops_cli.manifests import read_folder
from intops_cli.output import Table, render, say, show
from intops_cli.project import open_project
from intops_core.findings import Finding, Ref
from intops_core.impact import Change, Impact, Reached, impact
from intops_core.resources import Resource, Resources, parse_resource

HELP = "say which Flows changed manifests reach, and whether each still works with them"
EPILOG = """\
examples:
  intops impact -f changed.yaml                     against the manifests of this folder
  intops impact -f new/ deploy/prod -o json | jq -r '.flows[] | select(.verdict == "breaks") | .owner.contact'
  intops impact --remove Mapping/alertmanager-to-event deploy/prod

Nothing is applied. Both states are judged and planned as the operator would, with the shipped catalogue beneath;
what the change makes of messages that came already is said by `intops replay --dry-run`.
exit codes: 0 nothing breaks, 1 a Flow that works now would not, or a changed manifest would be refused,
2 wrong use or unreadable file"""

# A model may reach every Flow of a company; the second table names each of them once.
_LISTED: Final = 5


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
    after = _copy(before)
    refused = [why for file in given.file for why in _apply(file, after, given.namespace)]
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
    if given.output in ("json", "yaml"):
        show(impact_wire(found), Table([], []), given.output)
    else:
        print(impact_page(found, wide=given.output == "wide"))
    return REFUSED if found.breaks or found.refused else OK


def _copy(resources: Resources) -> Resources:
    copied = Resources()
    for kind in KINDS:
        for resource in resources.all(kind.name):
            copied.add(resource)
    return copied


def _apply(file: Path, resources: Resources, namespace: str) -> list[str]:
    """Put the manifests of a file in. Returns sentences about those that have not even the right shape."""
    why: list[str] = []
    for manifest in read_folder(file, namespace=namespace).manifests:
        parsed = parse_resource(manifest.raw)
        if isinstance(parsed, Resource):
            resources.add(parsed)
        else:
            why += [
                f"{manifest.file}:{manifest.line_of(one.path)}: {_sentence(one)}" for one in parsed
            ]
    return why


def _named(text: str, namespace: str) -> Ref | None:
    kind, _, name = text.partition("/")
    known = BY_NAME.get(kind)
    if known is None or not name:
        return None
    return Ref(kind, namespace if known.namespaced else "", name)


def impact_page(found: Impact, *, wide: bool) -> str:
    """What changes, which Flows that reaches, what is newly wrong, and the sum in one sentence."""
    if not found.changes:
        return "Nothing changes: every manifest says what stands already."
    parts = [render(change_table(found.changes, wide=wide))]
    if found.flows:
        parts.append(render(flow_table(found.flows).cut(wide=wide)))
    lines = [
        f"{_short(one.ref)}: {_sentence(one)}{_meets(flows) if one.ref.kind != 'Flow' else ''}"
        for one, flows in _findings(found).items()
    ]
    if lines:
        parts.append("\n".join(lines))
    parts.append(" ".join(_summary(found)))
    return "\n\n".join(parts)


def _findings(found: Impact) -> dict[Finding, list[str]]:
    """What is wrong, each once, with the names of the Flows that it meets."""
    meets: dict[Finding, list[str]] = {
        one: [] for change in found.changes for one in change.findings
    }
    for flow in found.flows:
        for one in flow.findings:
            meets.setdefault(one, []).append(flow.flow.name)
    return meets


def _meets(flows: list[str]) -> str:
    more = f" and {len(flows) - _LISTED} more" if len(flows) > _LISTED else ""
    return f" (meets {', '.join(flows[:_LISTED])}{more})" if flows else ""


def change_table(changes: tuple[Change, ...], *, wide: bool) -> Table:
    """One line for each changed object and Flow that it reaches."""
    rows = []
    for change in changes:
        what = "refused" if change.refused else change.kind
        name = _short(change.ref)
        paths = [" → ".join(_short(ref) for ref in path[1:]) for path in change.paths]
        if not change.paths:
            rows.append([name, what, "no Flow"])
        elif len(paths) > _LISTED and not wide:
            more = f"and {len(paths) - _LISTED} more Flows (-o wide)"
            rows += [[name, what, path] for path in [*paths[:_LISTED], more]]
        else:
            rows += [[name, what, path or "itself"] for path in paths]
    return Table(["CHANGE", "WHAT", "REACHES THROUGH"], rows)


def flow_table(flows: tuple[Reached, ...]) -> Table:
    """One line a Flow, the worst first."""
    rows = [
        [
            one.flow.name, one.verdict, one.owner.team, one.owner.contact,
            one.business_process or "", one.before or "", one.after or "",
        ]
        for one in flows
    ]  # fmt: skip
    headings = ["FLOW", "VERDICT", "OWNER", "CONTACT", "PROCESS", "PLAN NOW", "PLAN THEN"]
    return Table(headings, rows, wide_from=5)


def impact_wire(found: Impact) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "breaks": found.breaks,
        "refused": found.refused,
        "changes": [
            {
                "object": _ref_wire(change.ref),
                "what": change.kind,
                "refused": change.refused,
                "findings": [_finding_wire(one) for one in change.findings],
                "paths": [[_ref_wire(ref) for ref in path] for path in change.paths],
            }
            for change in found.changes
        ],
        "flows": [
            {
                "flow": _ref_wire(one.flow),
                "verdict": one.verdict,
                "owner": one.owner.to_wire(),
                "businessProcess": one.business_process,
                "planNow": one.before,
                "planThen": one.after,
                "findings": [_finding_wire(finding) for finding in one.findings],
            }
            for one in found.flows
        ],
    }


def _ref_wire(ref: Ref) -> dict[str, str]:
    place = {"namespace": ref.namespace} if ref.namespace else {}
    return {"kind": ref.kind, **place, "name": ref.name}


def _finding_wire(finding: Finding) -> dict[str, Any]:
    return {
        "object": _ref_wire(finding.ref),
        "severity": finding.severity,
        "rule": finding.rule,
        "path": finding.path,
        "message": finding.message,
    }


def _sentence(finding: Finding) -> str:
    return f"{finding.severity} {finding.rule} {finding.path}: {finding.message}"


def _short(ref: Ref) -> str:
    return f"{ref.kind}/{ref.name}"


def _summary(found: Impact) -> list[str]:
    refused = [_short(change.ref) for change in found.changes if change.refused]
    said = [f"A cluster would refuse {', '.join(refused)}."] if refused else []
    if not found.flows:
        return [*said, "No Flow uses what changes."]
    broken = [one for one in found.flows if one.verdict == "breaks"]
    reached = f"{len(found.flows)} Flow{'s' if len(found.flows) > 1 else ''}"
    if broken:
        teams = ", ".join(sorted({f"{one.owner.team} ({one.owner.contact})" for one in broken}))
        said.append(
            f"This reaches {reached}, of which {len(broken)} would break: a worker that runs keeps the last good "
            f"plan until it is mended. Talk to {teams}."
        )
    else:
        said.append(f"This reaches {reached}, of which none would break.")
    other = sum(1 for one in found.flows if one.verdict == "changes")
    if other:
        said.append(f"{other} would run another plan; `intops replay --dry-run` tells what that does.")  # fmt: skip
    return said
