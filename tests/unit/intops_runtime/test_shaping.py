"""From an event to the record of its target, and what a change of it writes."""

from __future__ import annotations

from typing import Any

import pytest

from intops_runtime.core.compiled import CompiledPlan, compile_plan
from intops_runtime.core.messages import Link
from intops_runtime.core.shaping import Shaped, Unshaped, change, difference, shape
from support.runtime.flows import alerts_to_helpdesk

STAMP = "2026-11-25T12:00:00Z"
EVENT: dict[str, Any] = {
    "identityKey": "8b3897563cc2333a",
    "episodeKey": "8b3897563cc2333a/2026-11-23T20:23:39.119Z",
    "state": "firing",
    "severity": "critical",
    "category": "other",
    "criticality": "1",
    "title": "db01 is down",
    "source": {"tool": "alertmanager"},
    "resource": {"node": "db01"},
    "environment": "production",
    "startsAt": "2026-11-23T20:23:39Z",
}


@pytest.fixture(scope="module")
def plan() -> CompiledPlan:
    """The first example, ready to run."""
    return compile_plan(alerts_to_helpdesk("https://desk.example.com"))


def shaped(plan: CompiledPlan, **fields: Any) -> Shaped:
    result = shape(plan, "iop1:k", {**EVENT, **fields}, STAMP)
    assert isinstance(result, Shaped), result
    return result


def linked(made: Shaped) -> Link:
    agreed = {"incident": made.incident, "record": made.record}
    return Link("iop1:k", "helpdesk", "helpdesk", "ticket", "1", agreed=agreed)


def test_the_record_carries_the_key_and_the_route_decides_the_queue(plan: CompiledPlan) -> None:
    """A ticket is found by its key and lies where its service says."""
    payments = shaped(plan, service="payments")
    other = shaped(plan)

    assert payments.record["CustomFields"]["intops_key"] == "iop1:k"
    assert (payments.route, payments.record["Queue"]) == ("payments", "Payments")
    assert (other.route, other.record["Queue"]) == ("default", "Incidents")
    assert payments.written == payments.record
    assert payments.started_at == 1795465419.0


def test_a_value_without_a_place_is_for_a_person(plan: CompiledPlan) -> None:
    """Nothing is guessed: the field is named."""
    result = shape(plan, "iop1:k", {**EVENT, "state": "sleeping"}, STAMP)

    assert isinstance(result, Unshaped)
    assert result.path.startswith("state")
    assert "sleeping" in result.message


def test_a_change_writes_only_what_differs(plan: CompiledPlan) -> None:
    """A recovery sets the status; the rest of the ticket belongs to the people who work on it."""
    first = shaped(plan, service="payments")

    changed = change(first, linked(first), {"state": "resolved"}, STAMP)

    assert isinstance(changed, Shaped)
    assert changed.written == {"Status": "resolved"}
    assert changed.record["CustomFields"]["intops_key"] == "iop1:k"


def test_a_change_starts_from_what_was_agreed_not_from_the_new_event(plan: CompiledPlan) -> None:
    """A recovery that words its title otherwise does not overwrite the ticket's subject."""
    first = shaped(plan)
    later = shaped(plan, title="db01 recovered", severity="info")

    changed = change(later, linked(first), {"state": "resolved"}, STAMP)

    assert isinstance(changed, Shaped)
    assert changed.written == {"Status": "resolved"}
    assert changed.record["Subject"] == "db01 is down"


def test_a_change_that_changes_nothing_writes_nothing(plan: CompiledPlan) -> None:
    """The same state twice is no second write."""
    first = shaped(plan)

    changed = change(first, linked(first), {"state": first.incident["state"]}, STAMP)

    assert isinstance(changed, Shaped)
    assert changed.written == {}


def test_a_change_that_cannot_be_mapped_is_for_a_person(plan: CompiledPlan) -> None:
    """What is agreed stays until somebody decides."""
    first = shaped(plan)

    assert isinstance(change(first, linked(first), {"state": "asleep"}, STAMP), Unshaped)


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a": {"c": 3}}),
        ({"a": {"b": 1}}, {"a": {"b": 1}}, {}),
        ({"a": [1, 2]}, {"a": [2, 1]}, {"a": [2, 1]}),
        ({"a": 1, "b": 2}, {"a": 1}, {}),
        ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_a_difference_is_told_field_by_field(
    before: dict[str, Any], after: dict[str, Any], differs: dict[str, Any]
) -> None:
    """Nested maps field by field, lists as a whole; what is not mentioned is not touched."""
    assert difference(before, after) == differs
