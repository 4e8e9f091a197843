"""One delivery becomes messages, each in a state that intake can decide."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from intops_api.plan import FlowPlan
from intops_runtime.core.compiled import CompiledPlan, compile_plan
from intops_runtime.core.intake import intake
from intops_runtime.core.keys import correlation_key
from intops_runtime.core.messages import Delivery, IntakeResult, State
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk, unplaced_severity_goes_on

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
FIRING: dict[str, Any] = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def flow_plan() -> FlowPlan:
    """The plan of the first example."""
    return alerts_to_helpdesk("https://desk.example.com")


@pytest.fixture(scope="module")
def plan(flow_plan: FlowPlan) -> CompiledPlan:
    """The same, ready to run."""
    return compile_plan(flow_plan)


def taken(plan: CompiledPlan, body: Any, **rest: Any) -> IntakeResult:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    given: dict[str, Any] = {"source": "prometheus", "damaged": False, **rest}
    delivery = Delivery(7, given["source"], "d", {}, data, 0.0, given["damaged"])
    return intake(plan, delivery, now=NOW)


def firing(**labels: str) -> dict[str, Any]:
    payload = copy.deepcopy(FIRING)
    payload["alerts"][0]["labels"].update(labels)
    return payload


def test_an_alert_becomes_a_message_with_a_key_and_a_name_for_its_copies(
    plan: CompiledPlan,
) -> None:
    """The episode makes the key; fingerprint, state and start name the copy."""
    (message,) = taken(plan, FIRING).messages

    assert message.state is State.WAITING
    episode = "8b3897563cc2333a/2026-11-23T20:23:39"
    assert message.key == correlation_key("itsm", "alertmanager", "event", episode)
    assert message.dedup == "8b3897563cc2333a/firing/2026-11-23T20:23:39"
    assert (message.record or {})["severity"] == "warning"
    assert message.original == FIRING["alerts"][0]
    assert (message.variant, message.plan_hash) == ("v4", plan.plan.hash)


def test_every_alert_of_a_group_is_a_message_of_its_own(plan: CompiledPlan) -> None:
    """One alert that nobody has placed does not stop its neighbours."""
    payload = firing()
    odd = copy.deepcopy(payload["alerts"][0])
    odd["labels"]["severity"] = "sev-0"
    odd["fingerprint"] = "0000000000000001"
    payload["alerts"].append(odd)

    first, second = taken(plan, payload).messages

    assert (first.item, first.state) == (0, State.WAITING)
    assert (second.item, second.state) == (1, State.REVIEW)
    assert (second.error_class, second.reason) == ("validation", "review")
    assert second.path is not None
    assert "severity" in second.path
    assert "sev-0" in (second.detail or "")


def test_a_value_that_may_wait_is_a_question_beside_what_is_delivered() -> None:
    """`onUnmapped: continue`: two messages, and a copy of the delivery is a copy of both."""
    plan = compile_plan(
        alerts_to_helpdesk("https://desk.example.com", edit=unplaced_severity_goes_on)
    )

    rest, question = taken(plan, firing(severity="sev-0")).messages

    assert rest.state is State.WAITING
    assert (rest.record or {})["severity"] == "unknown"
    assert (question.state, question.reason) == (State.REVIEW, "leftOut")
    assert (question.error_class, question.path) == ("validation", "severity")
    assert '"sev-0"' in (question.detail or "")
    assert question.original == rest.original
    assert question.key != rest.key
    assert question.dedup == f"{rest.dedup}#leftOut"


def test_the_same_episode_has_the_same_key_and_another_has_not(plan: CompiledPlan) -> None:
    """Labels that people add later do not split an episode; a new outbreak is a new one."""
    again = copy.deepcopy(FIRING)
    again["alerts"][0]["startsAt"] = "2026-11-24T08:00:00Z"

    keys = [taken(plan, body).messages[0].key for body in (FIRING, firing(extra="x"), again)]

    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"not json", b"\xff\xfe{}", b'{"a": NaN}'],
    ids=["empty", "cut off", "text", "not UTF-8", "a number that JSON has not"],
)
def test_a_body_that_cannot_be_read_is_one_message_for_a_person(
    plan: CompiledPlan, body: bytes
) -> None:
    """The sender was acknowledged, so what it sent is kept and found."""
    result = taken(plan, body)

    (message,) = result.messages
    assert result.malformed is not None
    assert (message.state, message.reason) == (State.REVIEW, "malformed")
    assert message.error_class == "payloadMalformed"
    assert "not JSON" in (message.detail or "")
    assert message.dedup is None


@pytest.mark.parametrize("body", [{}, {"alerts": {"a": 1}}, {"alerts": "x"}, [], "text", 1])
def test_a_body_without_a_list_of_alerts_is_malformed(plan: CompiledPlan, body: Any) -> None:
    """JSON of another form is for a person, not for the void."""
    result = taken(plan, body)

    assert result.malformed is not None
    assert [m.error_class for m in result.messages] == ["payloadMalformed"]


def test_a_delivery_without_alerts_is_split_into_nothing(plan: CompiledPlan) -> None:
    """An empty list is well-formed."""
    result = taken(plan, {"version": "4", "alerts": []})

    assert (result.messages, result.malformed) == ((), None)


def test_a_damaged_body_is_never_delivered(plan: CompiledPlan) -> None:
    """A checksum that does not fit says that the volume lies."""
    result = taken(plan, FIRING, damaged=True)

    assert result.messages[0].state is State.REVIEW
    assert "checksum" in (result.malformed or "")


def test_a_payload_of_an_unknown_version_is_drift(plan: CompiledPlan) -> None:
    """A new edition of the tool is told as such, with its own class."""
    (message,) = taken(plan, {**FIRING, "version": "5"}).messages

    assert (message.state, message.error_class) == (State.REVIEW, "schemaDrift")
    assert message.reason == "drift"
    assert message.dedup is not None


def test_a_source_that_is_no_longer_bound_is_for_a_person(plan: CompiledPlan) -> None:
    """What was acknowledged before the Flow changed is not thrown away."""
    result = taken(plan, FIRING, source="old")

    (message,) = result.messages
    assert (message.state, message.reason) == (State.REVIEW, "unbound")
    assert message.error_class == "policyDenied"
    assert '"old"' in (message.detail or "")


def test_a_message_in_review_blocks_no_other(plan: CompiledPlan) -> None:
    """What could not be read gets a lane of its own."""
    keys = {taken(plan, b"{", source=name).messages[0].key for name in ("prometheus", "old")}

    assert len(keys) == 2


def with_capture(plan: FlowPlan, **changed: str) -> CompiledPlan:
    wire = plan.to_wire()
    for blob in wire["blobs"]["classes"].values():
        if "capture" in blob["spec"]:
            blob["spec"]["capture"].update(changed)
    return compile_plan(FlowPlan.model_validate(wire))


def test_a_long_name_of_a_copy_is_hashed(flow_plan: FlowPlan) -> None:
    """The name is a key of an index; its length is bounded and its meaning kept."""
    plan = with_capture(flow_plan, deliveryId="object.labels.long")

    names = [
        taken(plan, firing(long=text)).messages[0].dedup
        for text in ("a" * 200, "a" * 201, "a" * 202)
    ]

    assert names[0] == "a" * 200
    assert all(name is not None and len(name) == 71 for name in names[1:])
    assert names[1] != names[2]


@pytest.mark.parametrize("expression", ["null", '""', "object.labels.nobody_has_this"])
def test_without_a_name_nothing_is_taken_for_a_copy(flow_plan: FlowPlan, expression: str) -> None:
    """Two messages that the class cannot name are two messages; neither is dropped."""
    plan = with_capture(flow_plan, deliveryId=expression)

    (message,) = taken(plan, FIRING).messages

    assert (message.dedup, message.state) == (None, State.WAITING)


KEY = "iop1:oflqlsrjnru3ejgdpflketq5sx3g3in2"


def test_what_carries_a_key_of_ours_is_an_echo_and_nothing_else_is(flow_plan: FlowPlan) -> None:
    """It is dropped under that key, so that a trace of the record shows it; a label like any other is not ours."""
    plan = with_capture(flow_plan, origin="object.labels.ours")

    (echo,) = taken(plan, firing(ours=f"[{KEY}]")).messages
    assert (echo.state, echo.reason, echo.key, echo.record) == (State.DROPPED, "echo", KEY, None)
    for other in (firing(ours="INC0010001"), firing()):
        (message,) = taken(plan, other).messages
        assert message.state is State.WAITING
