"""What the operator's metrics say about each Flow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from intops_api.conditions import Condition, Status
from intops_core.resources import Ref
from intops_operator import flowgauges, metrics
from intops_operator.flowgauges import FlowGauges

FLOW, OTHER = Ref("Flow", "itsm", "alerts"), Ref("Flow", "itsm", "other")


@pytest.fixture(autouse=True)
def nothing_is_shown() -> Iterator[None]:
    """The registry is one for the process."""
    flowgauges.clear()
    yield
    flowgauges.clear()


def condition(kind: str, status: Status, reason: str) -> Condition:
    return Condition(
        type=kind, status=status, reason=reason, message="m",
        last_transition_time="2026-11-25T12:00:00Z",
    )  # fmt: skip


WELL = [condition("Ready", "True", "Healthy"), condition("Accepted", "True", "Accepted")]
AWAY = [condition("Ready", "False", "DestinationDown"),
        condition("TargetReachable", "False", "DestinationDown"),
        condition("WithinSLO", "Unknown", "NotAvailable")]  # fmt: skip


def shown() -> dict[tuple[str, ...], float]:
    """Flow, type, status and reason of each series."""
    return {
        tuple(s.labels[key] for key in ("flow", "type", "status", "reason")): s.value
        for s in next(iter(metrics.FLOW_CONDITION.collect())).samples
    }


def flows() -> dict[tuple[str, str], float]:
    return {
        (s.labels["status"], s.labels["reason"]): s.value
        for s in next(iter(metrics.FLOWS.collect())).samples
        if s.value
    }


def test_a_flow_that_is_well_is_one_series() -> None:
    """A thousand Flows must not cost ten thousand."""
    FlowGauges().show(FLOW, WELL)

    assert shown() == {("alerts", "Ready", "True", "Healthy"): 1}
    assert flows() == {("True", "Healthy"): 1}


def test_what_is_wrong_is_shown_with_its_reason_and_goes_when_it_is_over() -> None:
    """An alert about it ends by itself; a series that stays would alarm for ever."""
    gauges = FlowGauges()
    gauges.show(FLOW, WELL)
    gauges.show(FLOW, AWAY)
    during = shown()
    gauges.show(FLOW, WELL)

    assert during == {
        ("alerts", "Ready", "False", "DestinationDown"): 1,
        ("alerts", "TargetReachable", "False", "DestinationDown"): 1,
    }
    assert shown() == {("alerts", "Ready", "True", "Healthy"): 1}
    assert flows() == {("True", "Healthy"): 1}


def test_a_flow_that_is_gone_is_shown_no_more() -> None:
    """Nobody is woken up for a Flow that was deleted."""
    gauges = FlowGauges()
    gauges.show(FLOW, AWAY)
    gauges.show(OTHER, WELL)
    gauges.forget(FLOW)
    gauges.forget(FLOW)

    assert set(shown()) == {("other", "Ready", "True", "Healthy")}
    assert flows() == {("True", "Healthy"): 1}
