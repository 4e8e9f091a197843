"""The class cloudevents held against the modes, the attributes and the limits of the specification."""

from __future__ import annotations

import json
from typing import Any

import pytest

from intops_runtime.core.compiled import CompiledPlan, compile_plan
from intops_runtime.core.limits import kept_headers
from intops_runtime.core.messages import State
from support.runtime.source_flows import plan_from, taken

STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "A234-1",
    "source": "/monitoring/plant-7",
    "type": "com.example.alert.fired",
    "subject": "press-3",
    "time": "2026-11-23T20:23:39Z",
    "correlationid": "outbreak-7",
    "severitytext": "ERROR",
    "datacontenttype": "application/json",
    "data": {"title": "Press 3 is too hot", "service": "stamping"},
}


def binary(event: dict[str, Any], content_type: str = "application/json") -> dict[str, str]:
    """The headers of an event in binary mode; its data are the body."""
    rest = {n: v for n, v in event.items() if n not in ("data", "datacontenttype")}
    return {"Content-Type": content_type} | {f"ce-{name}": value for name, value in rest.items()}


@pytest.fixture(scope="module")
def plan() -> CompiledPlan:
    """A Flow whose source sends CloudEvents."""
    return compile_plan(plan_from("cloudevents", "https://desk.example.com"))


def test_an_event_is_the_same_message_in_each_mode(plan: CompiledPlan) -> None:
    """A sender that changes its mode makes copies of what it sent, not new alerts."""
    (structured,) = taken(plan, EVENT, STRUCTURED)
    (in_headers,) = taken(plan, EVENT["data"], binary(EVENT))
    (batched,) = taken(plan, [EVENT], BATCH)

    for message in (structured, in_headers, batched):
        assert message.state is State.WAITING, message.detail
        assert message.dedup == "/monitoring/plant-7 A234-1"
        assert message.key == structured.key
        assert message.record == structured.record
    record = structured.record or {}
    assert (record["severity"], record["title"], record["service"]) == (
        "major",
        "Press 3 is too hot",
        "stamping",
    )


def test_a_header_in_percent_codes_says_what_the_envelope_says(plan: CompiledPlan) -> None:
    """Headers carry plain ASCII only, so the HTTP binding writes everything else in codes."""
    event = {**EVENT, "subject": "Prägepresse 3", "id": "50% (1)"}
    coded = {**event, "subject": "Pr%C3%A4gepresse%203", "id": "50%25%20(1)"}

    (structured,) = taken(plan, event, STRUCTURED)
    (in_headers,) = taken(plan, event["data"], binary(coded))

    assert in_headers.dedup == structured.dedup
    assert in_headers.record == structured.record


def test_a_batch_is_as_many_messages_and_an_empty_one_is_none(plan: CompiledPlan) -> None:
    """An event that cannot be placed does not stop its neighbours."""
    odd = {**EVENT, "id": "A234-2", "type": "com.example.order.created"}

    first, second = taken(plan, [EVENT, odd], BATCH)

    assert (first.state, second.state) == (State.WAITING, State.REVIEW)
    assert '"created"' in (second.detail or "")
    assert taken(plan, [], BATCH) == ()


def test_the_content_type_decides_before_the_headers_do(plan: CompiledPlan) -> None:
    """A gateway may add ce-headers to an event that has an envelope already."""
    (message,) = taken(plan, EVENT, {**binary({**EVENT, "id": "else"}), **STRUCTURED})

    assert message.dedup == "/monitoring/plant-7 A234-1"


def test_data_that_are_a_list_stay_one_event_in_binary_mode(plan: CompiledPlan) -> None:
    """Only a batch is more than one event; data without fields have no title, so the type is it."""
    event = {n: v for n, v in EVENT.items() if n not in ("data", "correlationid")}

    (message,) = taken(plan, [1, 2], binary(event))

    assert message.dedup == "/monitoring/plant-7 A234-1"


def test_an_attribute_that_is_null_is_as_good_as_absent(plan: CompiledPlan) -> None:
    """The JSON format allows both."""
    event = {
        **EVENT, "subject": None, "correlationid": None, "severitytext": None, "time": None,
    }  # fmt: skip

    (message,) = taken(plan, event, STRUCTURED)

    assert message.state is State.WAITING, message.detail
    record = message.record or {}
    assert record["episodeKey"] == record["identityKey"] == "/monitoring/plant-7 A234-1"
    assert record["severity"] == "unknown"
    assert record["startsAt"] == "2026-11-30T12:00:00.000Z"


def test_two_sources_may_use_the_same_id(plan: CompiledPlan) -> None:
    """An id names an event within its source only."""
    (here,) = taken(plan, EVENT, STRUCTURED)
    (there,) = taken(plan, {**EVENT, "source": "/monitoring/plant-8"}, STRUCTURED)

    assert here.dedup != there.dedup
    assert here.key != there.key


def test_a_recovery_has_the_key_of_its_outbreak(plan: CompiledPlan) -> None:
    """By the extension, or by when the outbreak began."""
    over = {"id": "A234-9", "type": "com.example.alert.resolved"}
    (fired,) = taken(plan, EVENT, STRUCTURED)
    (resolved,) = taken(plan, {**EVENT, **over}, STRUCTURED)
    assert fired.key == resolved.key
    assert (resolved.record or {})["endsAt"] == EVENT["time"]

    dated = {**EVENT, "data": {"startedAt": "2026-11-23T20:00:00Z"}}
    del dated["correlationid"]
    (fired,) = taken(plan, dated, STRUCTURED)
    (resolved,) = taken(plan, {**dated, **over, "time": "2026-11-23T21:00:00Z"}, STRUCTURED)
    assert fired.key == resolved.key
    assert (resolved.record or {})["state"] == "resolved"


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (b"", binary(EVENT), "malformed"),
        (b"<alert/>", binary(EVENT, "application/xml"), "malformed"),
        (json.dumps({"title": "no envelope at all"}).encode(), {}, "drift"),
        (json.dumps({**EVENT, "specversion": "0.3"}).encode(), STRUCTURED, "drift"),
        (json.dumps({**EVENT, "data": "only text"}).encode(), STRUCTURED, "review"),
    ],
    ids=["no data", "data that are no JSON", "no event", "an older specification", "text as data"],
)
def test_what_cannot_be_read_waits_for_a_person(
    plan: CompiledPlan, body: bytes, headers: dict[str, str], reason: str
) -> None:
    """Nothing that was acknowledged is thrown away."""
    (message,) = taken(plan, body, headers)

    assert (message.state, message.reason) == (State.REVIEW, reason)


def test_an_extension_reaches_the_mapping_and_a_credential_does_not(plan: CompiledPlan) -> None:
    """A Mapping of one's own may read `headers["ce-…"]`; names that may carry a secret are not kept."""
    (message,) = taken(plan, EVENT["data"], {**binary(EVENT), "ce-severitytext": "FATAL"})
    assert (message.record or {})["severity"] == "critical"

    sent = {"ce-region": "eu", "ce-accesstoken": "x", "authorization": "Bearer x", "cookie": "x"}
    assert kept_headers(sent) == {"ce-region": "eu"}
