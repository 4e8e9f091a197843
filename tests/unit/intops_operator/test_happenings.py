"""Which change of a status becomes an Event, and what it says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from intops_core.resources import Ref
from intops_operator.core.happenings import happening

NOW = datetime(2026, 11, 25, 12, 0, 0, 5, tzinfo=UTC)
FLOW = Ref("Flow", "itsm", "alerts")
CONNECTOR = Ref("Connector", "itsm", "desk")
MODEL = Ref("CanonicalModel", "", "event")
WAITING = ("Unknown", "Pending")
WELL = ("True", "Healthy")
DOWN = ("False", "DestinationDown")


def ready(status: str, reason: str, message: str = "It is so.") -> dict[str, Any]:
    """A status whose summary says this."""
    other = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""}
    found = {"type": "Ready", "status": status, "reason": reason, "message": message}
    return {"conditions": [other, found]}


def told(ref: Ref, before: tuple[str, str], after: tuple[str, str]) -> tuple[str, str] | None:
    """Type and reason of the Event, if there is one."""
    event = happening(ref, "uid-1", ready(*before), ready(*after), NOW, "op-0")
    return (event["type"], event["reason"]) if event else None


@pytest.mark.parametrize(
    ("ref", "before", "after", "event"),
    [
        pytest.param(FLOW, WAITING, WELL, ("Normal", "Healthy"), id="a Flow works at last"),
        pytest.param(FLOW, WELL, DOWN, ("Warning", "DestinationDown"), id="a system is gone"),
        pytest.param(FLOW, DOWN, WELL, ("Normal", "Healthy"), id="it is back"),
        pytest.param(
            FLOW, DOWN, ("False", "AuthDenied"), ("Warning", "AuthDenied"), id="another trouble"
        ),
        pytest.param(
            FLOW, WELL, ("False", "Suspended"), ("Normal", "Suspended"), id="a person stopped it"
        ),
        pytest.param(CONNECTOR, ("True", "InUse"), DOWN, ("Warning", "DestinationDown"), id="desk"),
        pytest.param(FLOW, WELL, WELL, None, id="the same"),
        pytest.param(FLOW, WELL, ("False", "Applying"), None, id="a new plan on its way"),
        pytest.param(FLOW, WELL, WAITING, None, id="nothing known any more"),
        pytest.param(CONNECTOR, WAITING, ("True", "Unused"), None, id="a Connector is made"),
        pytest.param(CONNECTOR, ("True", "Unused"), ("True", "InUse"), None, id="it is used"),
    ],
)
def test_only_news_is_an_event(
    ref: Ref, before: tuple[str, str], after: tuple[str, str], event: tuple[str, str] | None
) -> None:
    """What a person would want to be told, and nothing that goes on by itself."""
    assert told(ref, before, after) == event


def test_what_was_not_known_before_is_no_news() -> None:
    """A new leader that has not read the status yet must not tell the past."""
    assert happening(FLOW, "u", {}, ready(*DOWN), NOW, "op-0") is None


def test_an_event_says_what_ready_says_within_what_the_api_server_takes() -> None:
    """The sentence of the condition, cut where it is long; a model has its Events in `default`."""
    event = happening(MODEL, "uid-1", ready(*WELL), ready(*DOWN, "x" * 5000), NOW, "n" * 500)

    assert event is not None
    assert event["note"].endswith("...")
    assert len(event["note"]) == 1024
    assert len(event["reportingInstance"]) == 128
    assert event["metadata"]["namespace"] == "default"
    assert event["eventTime"] == "2026-11-25T12:00:00.000005Z"
    assert event["regarding"] == {
        "apiVersion": "intops.io/v1alpha1", "kind": "CanonicalModel", "name": "event",
        "uid": "uid-1",
    }  # fmt: skip
