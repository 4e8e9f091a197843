"""What a decision makes of one message in review, and what people see of it."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from intops_api.common import FieldSchema
from intops_runtime.core.compiled import CompiledPlan, compile_plan
from intops_runtime.core.decisions import (
    Answer,
    Decision,
    Refusal,
    Resolution,
    ReviewItem,
    Select,
    Verb,
    whole,
)
from intops_runtime.core.fingerprints import fingerprint
from intops_runtime.core.masking import (
    MASK,
    masked,
    personal_in_native,
    personal_in_original,
    personal_in_record,
    without_values,
)
from intops_runtime.core.reviewing import resolve, suggestion
from intops_runtime.explaining import explain_message
from intops_runtime.message_views import explanation_view, link_view, message_view, words_view
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk, unplaced_severity_goes_on

STAMP = "2026-11-25T12:00:00Z"
PAYLOAD = json.loads((EXAMPLE / "samples" / "01-firing.json").read_bytes())
EVENT: dict[str, Any] = {
    "identityKey": "8b3897563cc2333a",
    "episodeKey": "8b3897563cc2333a/2026-11-23T20:23:39.119Z",
    "state": "firing",
    "severity": "critical",
    "category": "other",
    "title": "db01 is down",
    "source": {"tool": "alertmanager"},
    "resource": {"node": "db01"},
    "startsAt": "2026-11-23T20:23:39Z",
}


@pytest.fixture(scope="module")
def plan() -> CompiledPlan:
    """The first example, ready to run."""
    return compile_plan(alerts_to_helpdesk("https://desk.example.com"))


def item(
    record: dict[str, Any] | None = None,
    *,
    severity: str = "odd",
    unknown: str | None = None,
    source: str = "prometheus",
    readable: bool = True,
) -> ReviewItem:
    payload = copy.deepcopy(PAYLOAD)
    payload["alerts"][0]["labels"]["severity"] = severity
    return ReviewItem(
        id=7, delivery_id=1, source=source, key="iop1:k", stage="act", reason="validation",
        error_class="validation", detail="no", path="severity", fingerprint="f", plan_hash="old",
        received_at=0.0, due_at=None, record=record,
        original=payload["alerts"][0] if readable else None, payload=json.dumps(payload).encode(),
        headers={}, variant=None, unknown=unknown, newer=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def patient_plan() -> CompiledPlan:
    """The same, where an unplaced severity does not keep the rest from going on."""
    return compile_plan(
        alerts_to_helpdesk("https://desk.example.com", edit=unplaced_severity_goes_on)
    )


def decision(verb: Verb, **patch: Any) -> Decision:
    return Decision("d", verb, Select((7,)), "because", "jo", patch=patch)


def test_a_retry_maps_anew_what_could_not_be_mapped(plan: CompiledPlan) -> None:
    """The Mapping was mended: the message gets the key that it would have had, under the new plan."""
    found = resolve(plan, item(severity="major"), decision("retry"), stamp=STAMP)

    assert isinstance(found, Resolution)
    assert found.record is not None
    assert (found.record["severity"], found.plan_hash) == ("major", plan.plan.hash)
    assert found.key is not None
    assert found.key.startswith("iop1:")


def test_a_retry_that_still_cannot_be_mapped_is_refused_with_the_field(plan: CompiledPlan) -> None:
    """The person reads what is still wrong."""
    found = resolve(plan, item(), decision("retry"), stamp=STAMP)

    assert isinstance(found, Refusal)
    assert found.path == "severity"
    assert 'no entry for "odd"' in found.message


def test_an_echo_is_not_sent_round_by_a_retry() -> None:
    """It came to review before its class said where our key stands; now it can only be discarded."""
    flow_plan = alerts_to_helpdesk("https://desk.example.com")
    wire = flow_plan.to_wire()
    for blob in wire["blobs"]["classes"].values():
        if "capture" in blob["spec"]:
            key = "iop1:oflqlsrjnru3ejgdpflketq5sx3g3in2"
            blob["spec"]["capture"]["origin"] = f'"{key}"'
    plan = compile_plan(type(flow_plan).model_validate(wire))

    found = resolve(plan, item(severity="major"), decision("retry"), stamp=STAMP)

    assert isinstance(found, Refusal)
    assert "discard it" in found.message
    assert not isinstance(resolve(plan, item(), decision("discard"), stamp=STAMP), Refusal)


def test_an_edit_takes_the_place_of_the_rule_that_failed(plan: CompiledPlan) -> None:
    """Everything else comes from the original as ever."""
    found = resolve(
        plan,
        item(),
        decision("edit", severity="minor", title='A "quoted" \u2028title'),
        stamp=STAMP,
    )

    assert isinstance(found, Resolution)
    assert found.record is not None
    assert found.record["severity"] == "minor"
    assert found.record["title"] == 'A "quoted" \u2028title'
    assert found.record["resource"]["node"] == "127.0.0.1"


def test_an_edit_of_a_mapped_message_changes_these_fields_only(plan: CompiledPlan) -> None:
    """A correction is no new mapping; the stored record is not touched in place."""
    before = copy.deepcopy(EVENT)
    found = resolve(
        plan, item(before), decision("edit", **{"resource.component": "disk", "category": None}),
        stamp=STAMP,
    )  # fmt: skip

    assert isinstance(found, Resolution)
    expected = {**EVENT, "resource": {"node": "db01", "component": "disk"}}
    del expected["category"]
    assert found.record == expected
    assert before == EVENT


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("severity", "awful", 'severity: it cannot be "awful"; allowed: critical, major'),
        ("severty", "major", 'Did you mean "severity"?'),
        ("title", None, 'title: model "event" requires it'),
        ("startsAt", "yesterday", "startsAt: the value must be"),
        ("title", "x" * 2000, "title: it takes 1024 characters and the value has 2000"),
        ("a..b", "x", "is not a path"),
    ],
)
def test_an_edit_that_does_not_fit_the_model_is_refused(
    plan: CompiledPlan, path: str, value: Any, says: str
) -> None:
    """With the path of the field and what may be written."""
    for record in (None, EVENT):
        found = resolve(plan, item(record), decision("edit", **{path: value}), stamp=STAMP)

        assert isinstance(found, Refusal)
        assert says in found.message
        assert found.path == path


def test_a_write_of_unknown_effect_is_looked_up_after_a_retry(plan: CompiledPlan) -> None:
    """A retry by hand never makes a second ticket."""
    known = resolve(plan, item(EVENT, unknown="helpdesk"), decision("retry"), stamp=STAMP)
    clear = resolve(plan, item(EVENT), decision("retry"), stamp=STAMP)

    assert known == Resolution(7, discard=False, reopen=True)
    assert clear == Resolution(7, discard=False)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (item(source="gone"), 'no longer binds a source "gone"'),
        (item(readable=False), "could not be read at all"),
    ],
    ids=["source unbound", "unreadable"],
)
def test_what_cannot_be_tried_again_can_be_discarded(
    plan: CompiledPlan, what: ReviewItem, says: str
) -> None:
    """Nothing stays in review for ever."""
    refused = resolve(plan, what, decision("retry"), stamp=STAMP)

    assert isinstance(refused, Refusal)
    assert says in refused.message
    assert resolve(plan, what, decision("discard"), stamp=STAMP) == Resolution(7, discard=True)


@pytest.mark.parametrize(
    ("last", "left"),
    [
        (Answer(refused="No message in review is selected."), None),
        (Answer(refused="it cannot be mapped", path="f", messages=(9,)), "it cannot be mapped"),
        (Answer(left="1 of 3 stay"), "1 of 3 stay"),
        (Answer(), None),
    ],
    ids=["nothing left", "the rest does not fit", "some do not fit", "all fit"],
)
def test_a_decision_that_changed_something_before_it_was_cut_is_not_refused(
    last: Answer, left: str | None
) -> None:
    """After a restart in the middle the answer tells of all parts; a refusal would say that nothing changed."""
    earlier = Answer(applied=3, messages=(1, 2, 3))
    full = whole(earlier, last)
    assert (full.applied, full.refused, full.left, full.messages) == (3, None, left, (1, 2, 3))
    assert whole(Answer(), last) == last


def test_equal_causes_have_one_fingerprint() -> None:
    """Numbers tell messages apart, quoted values tell causes apart."""

    def of(detail: str) -> str:
        return fingerprint("validation", "validation", "Queue", detail)

    assert of("Record 17 lacks a queue") == of("Record 4711 lacks a queue")
    assert of('no entry for "p1"') != of('no entry for "p2"')
    assert of("x") != fingerprint("validation", "validation", "Subject", "x")


def test_the_suggestion_names_the_field_and_its_values(plan: CompiledPlan) -> None:
    """The command can be copied."""
    told = suggestion(
        plan, source="prometheus", error_class="validation", reason="review", path="severity",
        number=7,
    )  # fmt: skip

    assert 'Mapping "alertmanager-to-event"' in told
    assert "intops review edit 7 --set severity=critical|major|minor" in told


def personal_plan() -> CompiledPlan:
    """The example, where the description of an event is personal data."""
    plan = alerts_to_helpdesk("https://desk.example.com").model_copy(deep=True)
    model = plan.blobs.models[plan.model_in.blob].spec
    model.fields["description"] = FieldSchema(personal=True)
    model.fields["service"] = FieldSchema(personal=True)
    return compile_plan(plan)


def test_personal_data_is_masked_in_every_form() -> None:
    """Who decides about an error need not read names: by model, by what feeds it, by what it feeds."""
    plan = personal_plan()
    record = masked({**EVENT, "description": "Jo called"}, personal_in_record(plan))
    original = masked(
        {"annotations": {"description": "Jo called", "summary": "x"}, "labels": {"service": "jo"}},
        personal_in_original(plan, "prometheus"),
    )

    assert record["description"] == MASK
    assert record["title"] == "db01 is down"
    assert original["annotations"]["description"] == MASK
    assert original["labels"]["service"] == MASK
    assert personal_in_native(plan, "helpdesk") != ()


def test_personal_data_cannot_be_part_of_a_correction() -> None:
    """Corrections are recorded for good; such a field is corrected at the source."""
    found = resolve(personal_plan(), item(EVENT), decision("edit", description="Jo"), stamp=STAMP)

    assert isinstance(found, Refusal)
    assert "description: the field holds personal data" in found.message


def test_a_sentence_that_quotes_personal_data_is_masked() -> None:
    """Error texts of systems repeat what they refuse."""
    record = {"caller": {"name": "Jo Doe"}, "title": "x"}

    assert without_values('No user "Jo Doe" here', record, ["caller"]) == f'No user "{MASK}" here'
    assert without_values(None, record, ["caller"]) is None


def test_a_sentence_that_quotes_part_of_a_personal_list_or_a_number_is_masked() -> None:
    """A phone number is as personal as a name, wherever it lies; a count or a status is not."""
    record = {
        "watchers": ["Jo Doe", {"mail": "jo@example.com"}],
        "caller": {"phone": 4912345, "floor": 4, "vip": True},
        "code": 404404,
    }
    quoted = "404404: Jo Doe, jo@example.com, 4912345 on floor 4 is True"

    assert without_values(quoted, record, ["watchers", "caller"]) == (
        f"404404: {MASK}, {MASK}, {MASK} on floor 4 is True"
    )
    assert without_values("jo@example.com", record, ["watchers.mail"]) == MASK


def test_a_message_with_its_whole_story_shows_no_personal_data() -> None:
    """S-32: Payload, original, record, the system's words, what was agreed, and each rule's values."""
    plan = personal_plan()
    payload = copy.deepcopy(PAYLOAD)
    payload["alerts"][0]["annotations"]["description"] = "Jo Doe called"
    payload["alerts"][0]["labels"]["service"] = "jo-doe"
    found = {
        "id": 7, "state": "review", "reason": "validation", "source": "prometheus",
        "key": "iop1:k", "title": "x", "detail": 'no user "Jo Doe called"', "headers": {},
        "record_values": {**EVENT, "description": "Jo Doe called", "service": "jo-doe"},
        "original": payload["alerts"][0], "payload": json.dumps(payload),
        "attempts": [{"detail": "Jo Doe called?", "evidence": {"detail": "Jo Doe called?"}}],
    }  # fmt: skip
    link = {"binding": "helpdesk", "agreed": {"incident": {"description": "Jo Doe called"}}}
    shown = json.dumps(
        [
            message_view(plan, found),
            link_view(plan, link),
            explanation_view(plan, explain_message(plan, {**found, "detail": None}, 0.0)),
        ]
    )

    assert words_view(plan, found) == message_view(plan, found)["detail"] == f'no user "{MASK}"'
    assert "Jo Doe" not in shown
    assert "jo-doe" not in shown
    assert "127.0.0.1:19199 down" in shown
    assert "A page wakes somebody up" in shown


def test_without_personal_fields_a_message_is_shown_as_it_is(plan: CompiledPlan) -> None:
    """The examples have none: nothing is copied, nothing is hidden."""
    found = {"source": "prometheus", "title": "x"}

    assert message_view(plan, found) is found


@pytest.mark.parametrize(
    ("severity", "decided"),
    [("major", decision("retry")), ("odd", decision("edit", severity="major"))],
    ids=["the table knows it now", "by hand"],
)
def test_the_answer_to_a_question_completes_the_record_that_is_there(
    patient_plan: CompiledPlan, severity: str, decided: Decision
) -> None:
    """The rest was delivered before; the engine sees that this is no repeat."""
    question = replace(item(severity=severity), reason="leftOut")
    found = resolve(patient_plan, question, decided, stamp=STAMP)

    assert isinstance(found, Resolution)
    assert found.record is not None
    assert (found.record["severity"], found.record["completes"]) == ("major", True)


def test_a_question_without_an_answer_stays(patient_plan: CompiledPlan) -> None:
    """A retry does not deliver the placeholder a second time."""
    question = replace(item(severity="odd"), reason="leftOut")
    found = resolve(patient_plan, question, decision("retry"), stamp=STAMP)

    assert isinstance(found, Refusal)
    assert found.path == "severity"
    assert '"odd"' in found.message
