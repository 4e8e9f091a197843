"""What a change does, for people and for programs: tables, sentences, JSON.

Used by `impact` and `diff`.
"""

from typing import Any, Final

from intops_api.names import ANNOTATION_ACCEPT_IMPACT
from intops_cli.output import Table, render
from intops_core.acceptance import Acceptance, Order, is_refused
from intops_core.findings import Finding, Ref
from intops_core.impact import Change, Impact, Reached

# A model may reach every Flow of a company; the second table names each of them once.
_LISTED: Final = 5


def impact_page(found: Impact, order: Order, *, wide: bool, hashes: bool = False) -> str:
    """What changes, which Flows that reaches, what is newly wrong, and the sum in one sentence.

    Args:
        found: What the change does.
        order: How a cluster takes its objects one by one.
        wide: Whether everything is listed.
        hashes: Whether the hashes are those of a cluster; a folder may hold fewer Flows.
    """
    if not found.changes:
        return "Nothing changes: every manifest says what stands already."
    parts = [render(change_table(found.changes, order, wide=wide))]
    if found.flows:
        parts.append(render(flow_table(found.flows).cut(wide=wide)))
    lines = [
        f"{short(one.ref)}: {_sentence(one)}{_meets(flows) if one.ref.kind != 'Flow' else ''}"
        for one, flows in _findings(found).items()
    ]
    lines += [_acceptance_sentence(each, hashes=hashes) for each in order.acceptances]
    lines += _order_sentences(order)
    if lines:
        parts.append("\n".join(lines))
    parts.append(" ".join(_summary(found, order)))
    return "\n\n".join(parts)


def _acceptance_sentence(each: Acceptance, *, hashes: bool) -> str:
    name = short(each.ref)
    if each.accepted:
        return f"{name}: what it breaks is accepted by its annotation {ANNOTATION_ACCEPT_IMPACT}."
    flows = len(each.broken.flows)
    does = (
        f"breaks {_flows(flows)}"
        if flows
        else f"changes what {_flows(each.broken.users)} need as it is"
    )
    until = f"the hash of the refusal as {ANNOTATION_ACCEPT_IMPACT}"
    if hashes:
        until = f'{ANNOTATION_ACCEPT_IMPACT}: "{each.broken.hash}"'
    return (
        f"{name}: refused, because it {does}, whatever of this change is applied first. Annotate it with {until}, or "
        "move what uses it before."
    )


def _order_sentences(order: Order) -> list[str]:
    """What a person must know who applies the change object by object; nothing where any order does."""
    said = []
    if order.waiting:
        names = ", ".join(short(ref) for ref in order.refs)
        said.append(
            f"One by one, {', '.join(short(ref) for ref in order.waiting)} would be refused until others of this "
            f"change are there. Apply in this order, or again until all are taken: {names}."
        )
    if order.stuck:
        said.append(
            f"{', '.join(short(ref) for ref in order.stuck)}: sound together, but each is refused without the other, "
            "so no order takes them. Change them in two steps: first add what is new beside what is there, then "
            "remove what nothing uses any more."
        )
    return said


def _flows(number: int) -> str:
    return f"{number} Flow{'' if number == 1 else 's'}"


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


def change_table(changes: tuple[Change, ...], order: Order, *, wide: bool) -> Table:
    """One line for each changed object and Flow that it reaches."""
    rows = []
    for change in changes:
        what = "refused" if is_refused(change, order) else change.kind
        name = short(change.ref)
        paths = [" → ".join(short(ref) for ref in path[1:]) for path in change.paths]
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


def impact_wire(found: Impact, order: Order, *, hashes: bool = False) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "breaks": found.breaks,
        "refused": any(is_refused(change, order) for change in found.changes),
        "acceptances": [
            {
                "object": ref_wire(each.ref),
                "accepted": each.accepted,
                **({"hash": each.broken.hash} if hashes else {}),
            }
            for each in order.acceptances
        ],
        "order": [ref_wire(ref) for ref in order.refs],
        "stuck": [ref_wire(ref) for ref in order.stuck],
        "changes": [
            {
                "object": ref_wire(change.ref),
                "what": change.kind,
                "refused": is_refused(change, order),
                "findings": [_finding_wire(one) for one in change.findings],
                "paths": [[ref_wire(ref) for ref in path] for path in change.paths],
            }
            for change in found.changes
        ],
        "flows": [
            {
                "flow": ref_wire(one.flow),
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


def ref_wire(ref: Ref) -> dict[str, str]:
    """An object as JSON."""
    place = {"namespace": ref.namespace} if ref.namespace else {}
    return {"kind": ref.kind, **place, "name": ref.name}


def _finding_wire(finding: Finding) -> dict[str, Any]:
    return {
        "object": ref_wire(finding.ref),
        "severity": finding.severity,
        "rule": finding.rule,
        "path": finding.path,
        "message": finding.message,
    }


def _sentence(finding: Finding) -> str:
    return f"{finding.severity} {finding.rule} {finding.path}: {finding.message}"


def short(ref: Ref) -> str:
    """An object as people see it: `Mapping/alertmanager-to-event`."""
    return f"{ref.kind}/{ref.name}"


def _summary(found: Impact, order: Order) -> list[str]:
    refused = [short(change.ref) for change in found.changes if is_refused(change, order)]
    said = [f"A cluster would refuse {', '.join(refused)}."] if refused else []
    if not found.flows:
        return [*said, "No Flow uses what changes."]
    broken = [one for one in found.flows if one.verdict == "breaks"]
    reached = _flows(len(found.flows))
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
