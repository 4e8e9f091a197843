"""The episodes engine: what one event does, given what is known of its episode."""

from __future__ import annotations

from typing import Any

import pytest

from intops_api.flow import Closure
from intops_runtime.core.episodes import (
    OPEN,
    ORPHAN,
    RESOLVED,
    Change,
    Comment,
    Create,
    Decision,
    Drop,
    decide,
)
from intops_runtime.core.messages import Episode, Link

TRANSITIONS = {"new": ["in_progress", "resolved"], "in_progress": ["resolved"], "resolved": []}
STATES = {"firing": "new", "acknowledged": "in_progress", "resolved": "resolved"}


def link(state: str = "new") -> Link:
    return Link("k", "helpdesk", "helpdesk", "ticket", "7", agreed={"incident": {"state": state}})


def episode(state: str) -> Episode:
    return Episode("k", state, 1, 0.0)


def after(
    event_state: str,
    *,
    known: Episode | None = None,
    linked: Link | None = None,
    on_resolved: Any = "resolve",
) -> Decision:
    incident = {"state": STATES.get(event_state, "new"), "resolution": {"code": "self_healed"}}
    return decide(
        {"state": event_state, "endsAt": "2026-11-23T21:00:00Z"},
        incident,
        episode=known,
        link=linked,
        closure=Closure(on_resolved=on_resolved),
        transitions=TRANSITIONS,
    )


@pytest.mark.parametrize(
    ("says", "decision", "expected"),
    [
        ("the first firing makes a record", after("firing"), Create()),
        (
            "a repeat does nothing",
            after("firing", known=episode(OPEN), linked=link()),
            Drop("repeat", OPEN),
        ),
        (
            "a firing that comes after the recovery is late",
            after("firing", known=episode(RESOLVED), linked=link("resolved")),
            Drop("late", RESOLVED),
        ),
        (
            "a recovery of something unknown is remembered",
            after("resolved"),
            Drop("resolvedBeforeFiring", ORPHAN),
        ),
        (
            "a firing whose recovery came first makes nothing",
            after("firing", known=episode(ORPHAN)),
            Drop("selfHealed", ORPHAN),
        ),
        (
            "a second recovery does nothing",
            after("resolved", known=episode(RESOLVED), linked=link("resolved")),
            Drop("repeat", RESOLVED),
        ),
        (
            "a heartbeat is no event",
            after("heartbeat"),
            Drop("heartbeat", None),
        ),
        (
            "a recovery is told as a comment where the Flow says so",
            after("resolved", known=episode(OPEN), linked=link(), on_resolved="comment"),
            Comment("The alert recovered at 2026-11-23T21:00:00Z.", RESOLVED),
        ),
        (
            "a recovery is ignored where the Flow says so",
            after("resolved", known=episode(OPEN), linked=link(), on_resolved="ignore"),
            Drop("recoveryIgnored", RESOLVED),
        ),
        (
            "an acknowledgement moves the record on",
            after("acknowledged", known=episode(OPEN), linked=link()),
            Change("transition", OPEN, {"state": "in_progress"}),
        ),
        (
            "an acknowledgement never moves a record back",
            after("acknowledged", known=episode(OPEN), linked=link("resolved")),
            Drop("stale", OPEN),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_event_does_one_thing(says: str, decision: Decision, expected: Decision) -> None:
    """Row by row, what the engine decides."""
    assert decision == expected, says


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        ("major", Change("update", OPEN, {"severity": "major"})),
        ("other", Drop("agreed", OPEN)),
    ],
    ids=["decided", "nothing new"],
)
def test_a_decided_value_reaches_the_record_and_leaves_its_state(
    severity: str, expected: Decision
) -> None:
    """What was left out is written; that somebody has taken the record meanwhile stays."""
    agreed = {"incident": {"state": "in_progress", "severity": "other"}}
    found = decide(
        {"state": "firing", "completes": True},
        {"state": "new", "severity": severity},
        episode=episode(OPEN),
        link=Link("k", "helpdesk", "helpdesk", "ticket", "7", agreed=agreed),
        closure=Closure(),
        transitions=TRANSITIONS,
    )

    assert found == expected


@pytest.mark.parametrize("state", ["firing", "acknowledged", "resolved"])
@pytest.mark.parametrize("known", [OPEN, RESOLVED])
def test_a_value_that_is_decided_late_reaches_the_record_all_the_same(
    state: str, known: str
) -> None:
    """People answer when the outbreak may be over; the episode stays where it is."""
    found = decide(
        {"state": state, "completes": True},
        {"state": "new", "severity": "major"},
        episode=episode(known),
        link=Link("k", "helpdesk", "helpdesk", "ticket", "7", agreed={}),
        closure=Closure(),
        transitions=TRANSITIONS,
    )

    assert found == Change("update", known, {"severity": "major"})


def test_a_recovery_writes_only_what_follows_from_it() -> None:
    """People's work on title, group or priority is not overwritten by a recovery."""
    decision = after("resolved", known=episode(OPEN), linked=link())

    assert decision == Change(
        "transition", RESOLVED, {"state": "resolved", "resolution": {"code": "self_healed"}}
    )
