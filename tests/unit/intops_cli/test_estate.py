"""What needs a person, and how an estate looks on one screen; on objects as values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from intops_cli.estate import Estate, OperatorLine, estate
from intops_cli.estate_screen import screen

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
WELL = OperatorLine(
    True, "Operator: 2 of 2 replicas of intops-system/intops are ready. op-1 leads, for 66m."
)


def condition(
    kind: str, status: str, reason: str, message: str = "", since: str = "2026-11-30T11:54:00Z"
) -> dict[str, Any]:
    return {
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since,
    }  # fmt: skip


def flow(name: str, *conditions: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name, "namespace": "itsm", "creationTimestamp": "2026-11-30T11:00:00Z",
        },
        "spec": {"pattern": "event-to-incident", "owner": {"team": "service-desk"}},
        "status": {"observedGeneration": 1, **status, "conditions": list(conditions)},
    }  # fmt: skip


READY = condition("Ready", "True", "Healthy")


def made(*flows: dict[str, Any], **others: Any) -> Estate:
    given: dict[str, Any] = {
        "connectors": (),
        "actions": (),
        "operator": WELL,
        "now": NOW,
        **others,
    }
    return estate(flows=flows, **given)


def test_nobody_is_needed_where_every_flow_is_well_suspended_or_on_the_way() -> None:
    """What passes by itself and what a person decided wakes nobody."""
    found = made(
        flow("well", READY),
        flow("suspended", condition("Ready", "False", "Suspended")),
        flow(
            "new",
            condition("Programmed", "False", "Applying"),
            condition("Ready", "False", "Applying"),
            condition("Reconciling", "True", "Applying"),
        ),
    )

    assert (found.is_well, found.needs) == (True, ())
    assert {line.name: line.health for line in found.flows} == {
        "well": "well", "suspended": "passing", "new": "passing",
    }  # fmt: skip


def test_each_false_condition_is_told_once_in_its_own_sentence_and_the_oldest_comes_first() -> None:
    """Ready repeats the first of the others, so it is told only where it says something new."""
    down = condition("TargetReachable", "False", "DestinationDown", "The desk is down.")
    drift = condition(
        "SchemaStable", "False", "DriftDetected", "A field is new.", "2026-11-29T00:00:00Z"
    )
    late = condition("Ready", "False", "BacklogLate", "The oldest waits too long.")
    found = made(
        flow(
            "one", condition("Ready", "False", "DestinationDown", "The desk is down."), down, drift
        ),
        flow("two", late),
    )

    assert [(n.subject, n.reason, n.sentence) for n in found.needs] == [
        ("Flow one", "DriftDetected", "A field is new."),
        ("Flow one", "DestinationDown", "The desk is down."),
        ("Flow two", "BacklogLate", "The oldest waits too long."),
    ]
    assert not found.is_well


def test_what_will_be_wrong_is_told_last_and_wakes_nobody() -> None:
    """A certificate that ends, a volume that fills: True, and yet somebody has to act."""
    ending = condition("CredentialsValid", "True", "Expiring", "The certificate ends on Friday.")
    found = made(flow("one", READY, ending))

    assert [(n.reason, n.urgent) for n in found.needs] == [("Expiring", False)]
    assert found.is_well


def test_messages_in_review_need_a_person_before_they_are_overdue_and_are_told_once_then() -> None:
    """The overdue ones have a condition with a sentence of its own."""
    waiting = made(flow("one", READY, review=2))
    overdue = made(
        flow("one", condition("ReviewClear", "False", "ReviewOverdue", "2 are late."), review=2)
    )

    assert [n.sentence for n in waiting.needs] == [
        "2 messages wait for a person and no decision is overdue: `intops review list --flow one -n itsm`."
    ]
    assert [n.sentence for n in overdue.needs] == ["2 are late."]
    assert not waiting.is_well


def test_a_flow_that_nobody_judges_is_told_after_two_minutes() -> None:
    """Without an operator the status stays as the API server made it: Unknown, which looks like patience."""
    pending = condition("Ready", "Unknown", "Pending", "Waiting for controller")
    old = flow("old", pending)
    del old["status"]["observedGeneration"]
    new = {**old, "metadata": {**old["metadata"], "creationTimestamp": "2026-11-30T11:59:30Z"}}

    assert [n.reason for n in made(old).needs] == ["Pending"]
    assert "intops doctor" in made(old).needs[0].sentence
    assert made(new).needs == ()


def test_a_decision_that_waits_for_a_second_person_is_told_with_the_command() -> None:
    """Whoever reads it can approve it by copying a line."""
    action = {
        "metadata": {"name": "discard-1", "namespace": "itsm"},
        "spec": {"actor": "alice@example.com", "action": "discard", "flow": "one"},
        "status": {"conditions": [condition("Ready", "False", "AwaitingApproval")]},
    }
    found = made(flow("one", READY), actions=[action])

    (need,) = found.needs
    assert need.sentence.startswith("alice@example.com wants to discard messages of Flow one")
    assert "`intops review approve discard-1 -n itsm`" in need.sentence


def test_an_operator_that_is_down_is_enough_for_somebody_to_come_and_one_unseen_is_not() -> None:
    """Flows may look well for hours after the last verdict."""
    assert not made(flow("one", READY), operator=OperatorLine(False, "It is down.")).is_well
    assert made(flow("one", READY), operator=OperatorLine(None, "Not visible.")).is_well


def test_the_screen_fits_80_columns_and_tells_what_is_left_out() -> None:
    """Long names are cut; Flows that are not well are all shown, well ones as long as there is room."""
    down = condition(
        "TargetReachable", "False", "DestinationDown",
        'The system of connector "helpdesk" does not answer (HTTP 503) since 2026-11-30 11:54:00 UTC. 148 messages '
        "are waiting, none lost. Owner: service-desk (service-desk@example.com).",
    )  # fmt: skip
    connector = {
        "metadata": {"name": "helpdesk", "namespace": "itsm"},
        "status": {"host": "rt.example.com", "flows": 2, "conditions": [down]},
    }
    broken = flow(
        "a-flow-with-a-name-that-is-much-longer-than-others",
        condition("Ready", "False", "DestinationDown"), down,
        backlog=148, oldestAt="2026-11-30T11:54:00Z", review=0, slo="99.41%",
        lastDeliveredAt="2026-11-30T11:54:00Z",
    )  # fmt: skip
    well = [
        flow(f"flow-{at:02}", READY, backlog=0, review=0, slo="100%", lastDeliveredAt="2026-11-30T11:59:48Z")
        for at in range(20)
    ]  # fmt: skip
    text = screen(made(*well, broken, connectors=[connector]), NOW)
    lines = text.splitlines()

    assert max(map(len, lines)) <= 80
    assert lines[:5] == [
        "21 Flows: 20 well, 1 not well, 1 system down; 1 thing for a person.",
        "Operator: 2 of 2 replicas of intops-system/intops are ready. op-1 leads, for",
        "66m.",
        "",
        "FLOW                      STATE            BACKLOG  OLDEST  REVIEW  SLO     LAST",
    ]
    assert lines[5:8] == [
        "a-flow-with-a-name-that…  DestinationDown  148      6m      0       99.41%  6m",
        "flow-00                   Healthy          0                0       100%    12s",
        "flow-01                   Healthy          0                0       100%    12s",
    ]
    assert lines[20:] == [
        "and 6 more; -o wide shows all",
        "",
        "FOR A PERSON, the oldest first",
        "Flow a-flow-with-a-name-that-is-much-longer-than-others: DestinationDown, for 6m",
        '  The system of connector "helpdesk" does not answer (HTTP 503) since 2026-11-30',
        "  11:54:00 UTC. 148 messages are waiting, none lost. Owner: service-desk",
        "  (service-desk@example.com).",
        "",
        "SYSTEMS DOWN",
        "helpdesk (rt.example.com): DestinationDown, for 6m, used by 2 Flows",
    ]


def test_colours_are_only_added_and_wide_leaves_nothing_out() -> None:
    """Without its colours a coloured screen is the same text."""
    found = made(
        *[flow(f"flow-{at:02}", READY, source="alerts", target="desk") for at in range(30)]
    )
    plain, coloured = screen(found, NOW), screen(found, NOW, colour=True)
    wide = screen(found, NOW, wide=True, namespaces=True)

    assert coloured.replace("\x1b[32m", "").replace("\x1b[0m", "") == plain
    assert coloured.count("\x1b[32mHealthy\x1b[0m") == 15
    assert wide.count("itsm/flow-") == 30
    assert "service-desk" in wide


def test_the_json_has_what_the_screen_has() -> None:
    """What is unknown is left out, so that a zero is a zero."""
    found = made(flow("one", READY, backlog=0, deliveredPerHour=7)).as_wire()

    assert found["well"] is True
    (line,) = found["flows"]
    assert (line["backlog"], line["deliveredPerHour"], line["health"]) == (0, 7, "well")
    assert "oldestAt" not in line
