"""Notices: when the owner of a Flow is told that messages wait, and when the next one up is.

Pure. Called by the notice board of the worker.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from intops_api.plan import FlowPlan
from intops_runtime.core.decisions import ReviewGroup

EVERY_S: Final = 60.0
"""Nobody is told of the same cause more often than this."""

Kind = Literal["entered", "overdue"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that people are to be told about one group of equal errors."""

    kind: Kind
    group: ReviewGroup
    owner: str
    contact: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the ladder: who decides, and where they are reached."""

    owner: str
    contact: str


def ladder(plan: FlowPlan) -> list[Step]:
    """Who decides: the reviewers, then the Flow's owner, then whom its owner escalates to."""
    owner = plan.owner
    steps = [Step(plan.review.owner or owner.team, owner.contact)]
    if steps[0].owner != owner.team:
        steps.append(Step(owner.team, owner.contact))
    if owner.escalation is not None:
        steps.append(Step(owner.escalation, owner.escalation))
    return steps


def rung(due_at: float | None, now: float, due_within_s: float) -> int:
    """How many times the time to decide has run out: 0 while it is not due."""
    if due_at is None or now < due_at:
        return 0
    return 1 + int((now - due_at) / max(due_within_s, 1.0))


def decides(plan: FlowPlan, due_at: float | None, now: float, due_within_s: float) -> Step:
    """Who decides now: each time that the time has run out, the next one up."""
    steps = ladder(plan)
    return steps[min(rung(due_at, now, due_within_s), len(steps) - 1)]


def wanted(
    plan: FlowPlan,
    groups: Iterable[ReviewGroup],
    told: Mapping[tuple[str, str], float],
    *,
    now: float,
    due_within_s: float,
) -> list[Notice]:
    """What is to be told now.

    Args:
        plan: Whose owners are told.
        groups: What is in review.
        told: When each kind and fingerprint was told last (epoch seconds).
        now: Epoch seconds.
        due_within_s: How long people have.
    """
    found: list[Notice] = []
    for group in groups:
        step = decides(plan, group.due_at, now, due_within_s)
        entered = told.get(("entered", group.fingerprint))
        news = entered is None or group.newest_at > entered
        if news and (entered is None or now - entered >= EVERY_S):
            found.append(Notice("entered", group, step.owner, step.contact))
        high = rung(group.due_at, now, due_within_s)
        if high == 0 or group.due_at is None:
            continue
        # The last step is told once: nobody is above it.
        since = group.due_at + (min(high, len(ladder(plan))) - 1) * due_within_s
        overdue = told.get(("overdue", group.fingerprint))
        if overdue is None or overdue < since:
            found.append(Notice("overdue", group, step.owner, step.contact))
    return found
