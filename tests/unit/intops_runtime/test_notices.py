"""When the owner is told, and when the next one up is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from intops_api.common import Owner
from intops_api.plan import FlowPlan
from intops_runtime.core.decisions import ReviewGroup
from intops_runtime.core.notices import EVERY_S, decides, ladder, rung, wanted
from support.runtime.flows import alerts_to_helpdesk

NOW = 1_800_000_000.0
WITHIN = 3600.0
GROUP = ReviewGroup(
    "f1", 3, 1, "validation", "review", "severity", "no", "prometheus", "h", NOW, NOW + WITHIN, NOW,
    (1, 2, 3),
)  # fmt: skip


@pytest.fixture(scope="module")
def plan() -> FlowPlan:
    """The first example, reviewed by a team of its own, whose owner escalates."""
    plan = alerts_to_helpdesk("https://desk.example.com")
    owner = Owner(team="desk", contact="desk@example.com", escalation="head@example.com")
    review = plan.review.model_copy(update={"owner": "reviewers"})
    return plan.model_copy(update={"owner": owner, "review": review})


def kinds(plan: FlowPlan, group: ReviewGroup, now: float, **told: float) -> list[tuple[str, str]]:
    """What is told, and to whom."""
    known = {(kind, group.fingerprint): at for kind, at in told.items()}
    found = wanted(plan, [group], known, now=now, due_within_s=WITHIN)
    return [(notice.kind, notice.owner) for notice in found]


def test_the_owner_is_told_once_and_again_only_of_new_ones(plan: FlowPlan) -> None:
    """At most one a minute for one cause, and none where nothing came."""
    newer = replace(GROUP, newest_at=NOW + 30)

    assert kinds(plan, GROUP, NOW) == [("entered", "reviewers")]
    assert kinds(plan, GROUP, NOW + 300, entered=NOW + 1) == []
    assert kinds(plan, newer, NOW + 31, entered=NOW + 1) == []
    assert kinds(plan, newer, NOW + 1 + EVERY_S, entered=NOW + 1) == [("entered", "reviewers")]


def test_what_is_not_decided_in_time_goes_to_the_next_one_up(plan: FlowPlan) -> None:
    """Each time that the agreed time runs out again, until nobody is above."""
    due = NOW + WITHIN
    first, second, third = due + 1, due + WITHIN + 1, due + 2 * WITHIN + 1

    assert kinds(plan, GROUP, due - 1, entered=NOW + 1) == []
    assert kinds(plan, GROUP, first, entered=NOW + 1) == [("overdue", "desk")]
    assert kinds(plan, GROUP, first + 60, entered=NOW + 1, overdue=first) == []
    assert kinds(plan, GROUP, second, entered=NOW + 1, overdue=first) == [
        ("overdue", "head@example.com")
    ]
    assert kinds(plan, GROUP, third, entered=NOW + 1, overdue=second) == [
        ("overdue", "head@example.com")
    ]
    assert kinds(plan, GROUP, third + 9 * WITHIN, entered=NOW + 1, overdue=third) == []


def test_who_decides_is_who_was_told(plan: FlowPlan) -> None:
    """The list names the same person as the notice."""
    due = NOW + WITHIN

    assert [step.owner for step in ladder(plan)] == ["reviewers", "desk", "head@example.com"]
    assert decides(plan, due, NOW, WITHIN).owner == "reviewers"
    assert decides(plan, due, due + 1, WITHIN).owner == "desk"
    assert decides(plan, due, due + 99 * WITHIN, WITHIN).owner == "head@example.com"
    assert rung(None, NOW, WITHIN) == 0
