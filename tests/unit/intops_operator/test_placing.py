"""A Flow goes from one worker to another only when nothing can stay behind."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Literal

import pytest

from intops_api.conditions import Reason
from intops_api.report import PlanReport, ReportFlow, StoreReport
from intops_operator.core.placing import DATABASE, OWN, Stay, next_step

FLOW = ReportFlow(namespace="itsm", name="alerts")


def said(
    *,
    suspended: bool = True,
    failed: str | None = None,
    scope: Literal["worker", "shared"] = "worker",
    **counts: int,
) -> PlanReport:
    """What the old worker says."""
    store = StoreReport(received=sum(counts.values()), failed=failed, scope=scope, **counts)
    return PlanReport(flow=FLOW, suspended=suspended, store=store)


READY_TO_GO = Stay(wanted="quiet", actual=OWN, suspended=True, reports=(said(),))
CLOSED = replace(READY_TO_GO, closed=True, reports=(), left=0)


@pytest.mark.parametrize("actual", [None, "quiet"])
def test_a_flow_that_is_nowhere_else_runs_where_it_should(actual: str | None) -> None:
    """Suspended or not: there is nothing to be left behind."""
    step = next_step(Stay(wanted="quiet", actual=actual))

    assert (step.deed, step.place, step.told) == ("run", "quiet", None)


def test_an_empty_suspended_flow_is_stopped_first_and_goes_then() -> None:
    """What comes between the two is seen before anything is given up."""
    assert next_step(READY_TO_GO).deed == "close"
    assert next_step(replace(CLOSED, stopping=True)).deed == "wait"
    gone = next_step(CLOSED)
    assert (gone.deed, gone.place, gone.told) == ("go", "quiet", None)


@pytest.mark.parametrize(
    ("stay", "words"),
    [
        pytest.param(replace(READY_TO_GO, suspended=False), "is not suspended", id="it runs"),
        pytest.param(
            replace(READY_TO_GO, reports=(said(waiting=2),)), "2 messages", id="in flight"
        ),
        pytest.param(replace(READY_TO_GO, reports=(said(review=1),)), "1 message", id="in review"),
        pytest.param(replace(READY_TO_GO, reports=(said(pending=1),)), "1 message", id="not split"),
        pytest.param(
            replace(READY_TO_GO, reports=(said(failed="The file is damaged."),)),
            "cannot be read",
            id="an unreadable store",
        ),
        pytest.param(
            Stay("quiet", OWN, suspended=True, reports=(said(),), full=True),
            "has 100 Flows already",
            id="no place where it should be",
        ),
    ],
)
def test_a_flow_that_cannot_go_says_why_and_runs_on_where_it_is(stay: Stay, words: str) -> None:
    """A person has to do something."""
    step = next_step(stay)

    assert (step.deed, step.place) == ("run", OWN)
    assert step.told is not None
    assert step.told.reason is (Reason.POOL_FULL if stay.full else Reason.MOVE_HELD)
    assert words in step.told.message


@pytest.mark.parametrize(
    "stay",
    [
        pytest.param(replace(READY_TO_GO, reports=()), id="no report"),
        pytest.param(
            replace(READY_TO_GO, reports=(said(suspended=False),)), id="not yet suspended"
        ),
        pytest.param(replace(CLOSED, left=3), id="something came at the last moment"),
        pytest.param(replace(CLOSED, left=None), id="nobody can say what is left"),
    ],
)
def test_what_passes_by_itself_keeps_the_flow_where_it_is(stay: Stay) -> None:
    """Nobody has to do anything."""
    step = next_step(stay)

    assert (step.deed, step.place) == ("run", OWN)
    assert step.told is not None
    assert step.told.reason is Reason.MOVING


SWITCHING = Stay(wanted=DATABASE, actual=OWN, suspended=True, reports=(said(),))
BACK = Stay(wanted=OWN, actual=DATABASE, suspended=True, reports=(said(scope="shared"),))


def test_a_kind_of_store_that_holds_messages_is_kept_and_the_sentence_counts_them() -> None:
    """They would stay behind in a volume into which nobody looks any more."""
    step = next_step(replace(SWITCHING, reports=(said(waiting=2, review=1),)))

    assert (step.deed, step.place, step.pool) == ("run", OWN, "")
    assert step.told is not None
    assert step.told.reason is Reason.MOVE_HELD
    assert step.told.message == (
        "It keeps its messages in a volume of its worker and goes to PostgreSQL only while it is suspended and its "
        "store is empty, so that no message is lost: 3 messages in its store would stay behind; set spec.suspend "
        "to false until BACKLOG and REVIEW are 0, then to true again, or take them along with intops store move "
        "(docs/durability.md)."
    )


def test_back_from_postgresql_what_replicas_share_counts_once_and_no_command_is_named() -> None:
    """`intops store move` goes one way only."""
    held = said(waiting=2, scope="shared")
    step = next_step(replace(BACK, reports=(held, held), workers=2))

    assert (step.deed, step.place) == ("run", DATABASE)
    assert step.told is not None
    assert "PostgreSQL and goes to a volume of its worker" in step.told.message
    assert "2 messages in its store" in step.told.message
    assert "store move" not in step.told.message


@pytest.mark.parametrize("stay", [SWITCHING, BACK])
def test_a_drained_store_is_left_in_two_steps_and_an_unknown_one_is_not(stay: Stay) -> None:
    """What its worker said before it stopped to capture is not its last word."""
    assert next_step(stay).deed == "close"
    assert next_step(replace(stay, closed=True, left=0)).deed == "go"
    for unknown in (replace(stay, reports=()), replace(stay, closed=True, left=None)):
        step = next_step(unknown)
        assert (step.deed, step.place) == ("run", stay.actual)
        assert step.told is not None


def test_of_several_workers_with_one_database_all_but_one_end_first() -> None:
    """Of two that end at once nobody could say which spoke last."""
    step = next_step(replace(BACK, workers=2))

    assert (step.deed, step.place) == ("run", DATABASE)
    assert step.told is not None
    assert step.told.reason is Reason.MOVING


def test_nothing_that_can_be_known_makes_a_flow_leave_messages_behind() -> None:
    """Every combination of facts: it goes only from a closed, ended, empty store, and closes only an empty one."""
    reports = [(), (said(),), (said(suspended=False),), (said(held=1),), (said(), said(sending=1))]
    combinations = product(
        (OWN, DATABASE, "quiet"), (None, OWN, DATABASE, "quiet", "loud"), (True, False), (True, False),
        (True, False), reports, (None, 0, 1),
    )  # fmt: skip
    for wanted, actual, suspended, closed, stopping, heard, left in combinations:
        stay = Stay(wanted, actual, suspended, closed, stopping, heard, left)
        step = next_step(stay)
        moves = actual is not None and actual != wanted
        if step.deed == "go":
            assert moves
            assert (closed, stopping) == (True, False)
            assert left == 0
        elif step.deed == "close":
            assert (moves, suspended) == (True, True)
            assert heard
            assert all(r.suspended and r.store.unfinished == 0 for r in heard)
        elif step.deed == "run":
            assert step.place == (actual if moves else wanted)
