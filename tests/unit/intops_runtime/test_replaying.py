"""What another plan would make of stored deliveries, field by field, without personal values."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from intops_runtime.core.compiled import CompiledPlan, compile_plan
from intops_runtime.core.hiding import MASK
from intops_runtime.core.made import Made, made_of, personal_names
from intops_runtime.core.messages import Delivery
from intops_runtime.core.replaying import MAX_GROUPS, Comparison
from support.runtime.flows import EXAMPLE, change, example_manifests, make_plan

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
FIRING: dict[str, Any] = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text("utf-8"))


def plan(mapping: str = "", field: str = "", **rule: Any) -> CompiledPlan:
    """The first example, with one rule of one Mapping changed."""
    manifests = example_manifests()

    def edit(spec: dict[str, Any]) -> None:
        found = next(one for one in spec["fields"] if one["to"] == field)
        found.update(rule)
        spec["examples"] = []

    if mapping:
        change(manifests, "Mapping", mapping, edit)
    return compile_plan(make_plan(manifests))


def delivery(*severities: str, number: int = 1) -> Delivery:
    """One webhook with an alert for each severity."""
    body = copy.deepcopy(FIRING)
    first = body["alerts"][0]
    body["alerts"] = [
        {**first, "fingerprint": f"{n:016x}", "labels": {**first["labels"], "severity": severity}}
        for n, severity in enumerate(severities)
    ]
    return Delivery(number, "prometheus", "d", {}, json.dumps(body).encode(), 0.0)


def compared(before: CompiledPlan, after: CompiledPlan, *given: Delivery) -> Comparison:
    found = Comparison(personal_names(before) | personal_names(after))
    for one in given:
        found.add(one.id, made_of(before, one, NOW), made_of(after, one, NOW))
    return found


@pytest.fixture(scope="module")
def running() -> CompiledPlan:
    """The plan as the example has it."""
    return plan()


def test_the_same_plan_changes_nothing(running: CompiledPlan) -> None:
    """Failures that are there already are no news."""
    found = compared(running, plan(), delivery("warning", "sev-0"))

    assert (found.messages, found.same, found.changes(), found.fates()) == (2, 2, [], [])


def test_each_field_is_told_with_both_values_on_the_way_and_in_the_request(
    running: CompiledPlan,
) -> None:
    """Equal changes are one line with a count and an example to look at."""
    after = plan(
        "incident-to-helpdesk", "Queue", values={"Payments-L2": "Pay", "Service-Desk": "X"}
    )

    found = compared(running, after, delivery("warning", number=3), delivery("critical", number=4))

    (queue,) = found.changes()
    assert (queue.field, queue.before, queue.after) == ("helpdesk.Queue", "Payments", "Pay")
    assert (queue.messages, queue.example) == (2, (3, 0))


def test_what_would_fail_is_told_with_its_reason_and_what_no_longer_fails_too(
    running: CompiledPlan,
) -> None:
    """A table that lost a value breaks some messages; one that gained a value mends others."""
    rule = {"values": {"critical": "critical", "sev-0": "critical"}, "onUnmapped": "review"}
    after = plan("alertmanager-to-event", "severity", **rule)

    found = compared(running, after, delivery("warning", "critical", "sev-0", "warning"))

    assert (found.turned("breaks"), found.turned("mends"), found.same) == (2, 1, 1)
    broken, mended = found.fates()
    assert (broken.turn, broken.failure, broken.messages) == ("breaks", "validation", 2)
    assert "warning" in broken.detail
    assert (mended.turn, mended.example) == ("mends", (1, 2))


def test_a_new_key_is_told_since_it_would_open_second_tickets(running: CompiledPlan) -> None:
    """Nothing else about the ticket changes, and yet it would be another one."""
    after = plan("alertmanager-to-event", "episodeKey", cel="object.fingerprint")

    fields = {found.field for found in compared(running, after, delivery("warning")).changes()}

    assert "correlationKey" in fields


def test_personal_values_are_masked_and_told_to_differ() -> None:
    """A person sees that a field changes, not whose name stands in it."""
    found = Comparison({"helpdesk.Requestor"})
    found.add(
        1, [Made({"helpdesk.Requestor.name": "Ada"})], [Made({"helpdesk.Requestor.name": "A."})]
    )

    (one,) = found.changes()
    assert (one.before, one.after) == (MASK, MASK)


def test_messages_that_come_anew_or_no_more_are_counted() -> None:
    """A body may be split in another way."""
    found = Comparison(set())
    found.add(1, [Made({"a": 1})], [Made({"a": 1}), Made({"a": 2})])
    found.add(2, [Made({"a": 1}), Made({"a": 2})], [Made({"a": 1})])

    assert (found.turned("appears"), found.turned("vanishes"), found.same) == (1, 1, 2)


def test_an_answer_stays_small_however_many_values_differ() -> None:
    """What is beyond is counted."""
    found = Comparison(set())
    for number in range(MAX_GROUPS + 5):
        found.add(number, [Made({"a": number})], [Made({"a": -1 - number})])

    assert (len(found.changes()), found.further) == (MAX_GROUPS, 5)
