"""What an impact is told as: a refusal for class-like kinds, warnings for those of a namespace. Pure.

Called by the admission server, after the object itself was found sound.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from intops_api import names
from intops_api.kinds import BY_NAME
from intops_core.breaking import Broken
from intops_core.findings import Finding, Ref
from intops_core.impact import Reached
from intops_operator.admission.review import Answer, Asked, shortened
from intops_operator.core import sentences as say

Volume = Callable[[Ref], int | None]
"""Messages that a Flow delivered in the last hour; None if that is not known."""

# What one person can talk to; the rest is a number, and `intops impact` names them.
LISTED: Final = 5
# What accepts the change stands behind the reasons and must not be cut off.
LONGEST_REASONS: Final = 4000
# The API server keeps 4 KiB of all warnings together.
WARNED: Final = 3

NOT_JUDGED: Final = (
    "What this does to live Flows could not be judged now, so it is let in unseen; `intops diff` and "
    "the status of the Flows tell."
)


def told_impact(asked: Asked, broken: Broken, volume: Volume) -> Answer:
    """Whether an object may change although that takes Flows their plan, and what its author is told."""
    steps = [one for one in broken.steps if one.severity != "deny"]
    risky = tuple(shortened(_reason(one)) for one in steps[:LISTED])
    if not broken.flows and not broken.refusing:
        return Answer(allowed=True, warnings=(*risky, *_unjudged(broken)))
    if BY_NAME[asked.kind].namespaced:
        # The last good plan protects, and GitOps may apply the other half of the change a moment later.
        return Answer(allowed=True, warnings=_warnings(broken, volume))
    given = _annotations(asked).get(names.ANNOTATION_ACCEPT_IMPACT)
    if given is not None and broken.accepted_by({given}):
        return Answer(
            allowed=True, warnings=(_accepted(broken), *_warnings(broken, volume), *risky)
        )
    return Answer(allowed=False, message=_refusal(asked, broken, volume, given), warnings=risky)


def _accepted(broken: Broken) -> str:
    if not broken.flows:
        return f"Accepted: it changes what {_number(broken.users)} use."
    return f"Accepted: {_number(len(broken.flows))} lose their plan, and their workers keep the last good one."


def _refusal(asked: Asked, broken: Broken, volume: Volume, given: str | None) -> str:
    deleted = asked.operation == "DELETE"
    steps = [_reason(one) for one in broken.refusing[:LISTED]]
    if broken.flows:
        how = "without it" if deleted else "with this change"
        whose = f"{_number(len(broken.flows))}{_through(broken, volume)}"
        what = f"{how} {whose} would lose the plan that works now: {_flows(broken, volume)}"
        todo = "Change those first; or, to accept that their workers go on with the last good plan,"
    else:
        what = f"{_number(broken.users)} use what it changes, and it is a change that breaks"
        todo = "Or, to accept it as it is,"
    reasons = say.numbered([*steps, *(_reason(one) for one in _causes(broken))])
    if len(reasons) > LONGEST_REASONS:
        reasons = f"{reasons[:LONGEST_REASONS]}..."
    where = "on the object first" if deleted else "in its manifest or on the object"
    return (
        f'{asked.kind} "{broken.ref.name}" is {"kept" if deleted else "refused"}: {what}. {reasons} {todo} '
        f'write the annotation {names.ANNOTATION_ACCEPT_IMPACT}: "{broken.hash}" {where}. It covers '
        f"{_covered(broken, deleted=deleted)}.{_other(given)}"
    )


def _flows(broken: Broken, volume: Volume) -> str:
    listed = [_flow(one, volume) for one in broken.flows[:LISTED]]
    rest = len(broken.flows) - len(listed)
    return say.listed([*listed, *([f"{rest} more"] if rest else [])])


def _covered(broken: Broken, *, deleted: bool) -> str:
    what = "deletion" if deleted else "change"
    if broken.unjudged:
        return (
            f"this {what} and all {_number(broken.users)} that use it, {broken.unjudged} of which there was no "
            "time to judge"
        )
    if broken.refusing:
        return f"this {what} and the {_number(broken.users)} that use it now"
    return f"this {what} and these Flows"


def _other(given: str | None) -> str:
    if not given:
        return ""
    return f" The hash that stands there, {given}, is that of another change or of other Flows."


def _warnings(broken: Broken, volume: Volume) -> tuple[str, ...]:
    told = []
    for one in broken.flows[:WARNED]:
        cause = next(iter(one.findings), None)
        why = f": {_place(cause)}" if cause is not None else ""
        told.append(
            shortened(f"Flow {_flow(one, volume)} loses its plan and keeps the last good one{why}.")
        )
    rest = len(broken.flows) - len(told)
    if rest:
        told.append(f"{rest} more Flows lose their plan and keep the last good one.")
    return (*told, *_unjudged(broken))


def _unjudged(broken: Broken) -> tuple[str, ...]:
    if not broken.unjudged:
        return ()
    return (
        f"There was no time to judge {broken.unjudged} Flows that use it; `intops diff` judges all of them.",
    )


def _number(flows: int) -> str:
    return f"{flows} Flow{'' if flows == 1 else 's'}"


def _through(broken: Broken, volume: Volume) -> str:
    """How much goes through them together; empty where it is not known of several."""
    known = [number for one in broken.flows if (number := volume(one.flow)) is not None]
    if len(known) < 2:
        return ""
    return f", through which {say.messages(sum(known))} went in the last hour,"


def _flow(one: Reached, volume: Volume) -> str:
    """`"alerts-to-helpdesk" in itsm (service-desk, service-desk@example.com, 120 messages an hour)`."""
    parts = [one.owner.team, one.owner.contact]
    number = volume(one.flow)
    if number is not None:
        parts.append(f"{say.messages(number)} in the last hour")
    return f'"{one.flow.name}" in {one.flow.namespace} ({", ".join(parts)})'


def _causes(broken: Broken) -> list[Finding]:
    """Why the Flows lose their plan, each once and as far as one can read; what others cause comes last."""
    found: dict[object, Finding] = {}
    for one in broken.flows:
        for finding in one.findings:
            if finding.severity == "deny" or finding.missing is not None:
                # Many Flows of one Pattern say the same.
                each = finding.ref.kind != "Flow" and (finding.ref, finding.path)
                found.setdefault(each or finding.message, finding)
    causes = sorted(found.values(), key=lambda finding: finding.ref.kind == "Flow")
    return causes[:LISTED]


def _place(finding: Finding) -> str:
    return f"{finding.ref} {finding.path}"


def _reason(finding: Finding) -> str:
    return f"{_place(finding)}: {say.sentence(finding.message)}"


def _annotations(asked: Asked) -> Mapping[str, Any]:
    """Those of the object as it would be, or of one that is to go."""
    whole = asked.before if asked.operation == "DELETE" else asked.object
    return whole.get("metadata", {}).get("annotations") or {}
