"""A Flow goes from one worker to another only when nothing can stay behind."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from intops_api.conditions import Reason
from intops_api.report import PlanReport, ReportFlow, StoreReport
from intops_operator.core.placing import OWN, Stay, next_step

FLOW = ReportFlow(namespace="itsm", name="alerts")


def said(*, suspended: bool = True, failed: str | None = None, **counts: int) -> PlanReport:
    """What the old worker says."""
    store = StoreReport(received=sum(counts.values()), failed=failed, **counts)
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


def test_nothing_that_can_be_known_makes_a_flow_leave_messages_behind() -> None:
    """Every combination of facts: it goes only from a closed, ended, empty store, and closes only an empty one."""
    reports = [(), (said(),), (said(suspended=False),), (said(held=1),), (said(), said(sending=1))]
    combinations = product(
        (OWN, "quiet"), (None, OWN, "quiet", "loud"), (True, False), (True, False),
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
