"""What admission answers, by what is asked and what was found."""

from __future__ import annotations

from typing import Any

import pytest

from intops_core.findings import Finding, Ref
from intops_operator.admission.review import (
    ReviewError,
    answer_to,
    parse_review,
    review_of,
)
from intops_operator.cache import Cache
from intops_operator.planner import told_apart

FLOW = Ref("Flow", "itsm", "f")


def review(**request: Any) -> dict[str, Any]:
    """An AdmissionReview."""
    whole = {
        "uid": "1",
        "kind": {"group": "intops.io", "version": "v1alpha1", "kind": "Flow"},
        "operation": "CREATE",
        "object": {"metadata": {"name": "f"}, "spec": {"a": 1}},
        **request,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": whole}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param([], id="a list"),
        pytest.param({}, id="nothing"),
        pytest.param({**review(), "apiVersion": "admission.k8s.io/v1beta1"}, id="an old version"),
        pytest.param({**review(), "request": None}, id="no request"),
        pytest.param(review(uid=1), id="no uid"),
        pytest.param(review(kind={"group": "", "kind": "Pod"}), id="another group"),
        pytest.param(review(kind={"group": "intops.io", "kind": "Flaw"}), id="an unknown kind"),
    ],
)
def test_what_is_no_review_of_ours_is_an_error(body: Any) -> None:
    """Never an allowance."""
    with pytest.raises(ReviewError):
        parse_review(body)


@pytest.mark.parametrize(
    ("request_", "judged"),
    [
        pytest.param({}, True, id="a creation"),
        pytest.param({"operation": "UPDATE", "oldObject": {"spec": {"a": 2}}}, True, id="an edit"),
        pytest.param(
            {"operation": "UPDATE", "oldObject": {"spec": {"a": 1}}}, False, id="a new label only"
        ),
        pytest.param(
            {
                "operation": "UPDATE",
                "object": {"metadata": {"deletionTimestamp": "x"}, "spec": {"a": 1}},
                "oldObject": {"spec": {"a": 2}},
            },
            False,
            id="on its way out",
        ),
        pytest.param({"operation": "DELETE", "object": None}, False, id="a deletion"),
    ],
)
def test_only_a_new_spec_is_judged(request_: dict[str, Any], judged: bool) -> None:
    """A refusal must never keep somebody from cleaning up."""
    assert parse_review(review(**request_)).needs_judging is judged


def test_all_denials_come_in_one_message_and_warnings_beside_it() -> None:
    """Nobody repairs one thing to be told the next."""
    asked = parse_review(review())
    missing = Finding(
        "Reference", "warn", "spec.x", "No Mapping", FLOW, Ref("Mapping", "itsm", "m")
    )
    findings = [
        Finding("COM-06", "deny", "spec.routes[2].when", "Last route has a condition", FLOW),
        Finding("Schema", "deny", "spec.owner", "No owner; write spec.owner", FLOW),
        missing,
        Finding("COM-07", "audit", "spec", "quiet", FLOW),
    ]
    answer = answer_to(asked, findings)

    assert answer.message == (
        'Flow "f" is refused for 2 reasons: (1) COM-06: Last route has a condition. '
        "[spec.routes[2].when] (2) No owner; write spec.owner."
    )
    assert answer.warnings == ("No Mapping. [spec.x]",)
    assert review_of(asked, answer)["response"] == {
        "uid": "1",
        "allowed": False,
        "status": {"code": 403, "message": answer.message},
        "warnings": ["No Mapping. [spec.x]"],
    }


def test_a_missing_object_never_denies() -> None:
    """GitOps applies in any order, whatever severity a Pattern gives its rule."""
    missing = Finding("COM-02", "deny", "spec.x", "No Mapping", FLOW, Ref("Mapping", "itsm", "m"))
    answer = answer_to(parse_review(review()), [missing])

    assert answer.allowed
    assert len(answer.warnings) == 1


def test_a_sentence_that_ends_with_an_example_gets_no_second_full_stop() -> None:
    """What admission says is what `intops validate` says, to the last sign."""
    message = 'Say more, such as "A page wakes somebody up."'
    finding = Finding("COM-13", "deny", "spec.fields[0].meaning", message, FLOW)

    answer = answer_to(parse_review(review()), [finding])

    assert answer.message == f'Flow "f" is refused: COM-13: {message} [spec.fields[0].meaning]'


def test_a_decision_about_a_flow_that_cannot_be_used_is_let_in_with_a_warning() -> None:
    """The worker runs its last good plan: what it parked must not wait until the Flow is mended."""
    cache = Cache()
    cache.take("Flow", {"metadata": {"name": "f", "namespace": "itsm"}, "spec": {"pattern": 1}})
    decision, flow = Ref("FlowAction", "itsm", "retry"), Ref("Flow", "itsm", "f")
    finding = Finding("Reference", "warn", "spec.flow", "No Flow", decision, flow)

    told = told_apart(finding, cache)
    answer = answer_to(parse_review(review()), [told])

    assert answer.allowed
    assert 'Flow "f" exists but cannot be used' in answer.warnings[0]


def test_a_flow_that_names_what_cannot_be_used_is_refused() -> None:
    """It is not missing, so nothing that is applied later will mend it."""
    cache = Cache()
    broken = {"metadata": {"name": "m", "namespace": "itsm"}, "spec": {"fields": 1}}
    cache.take("Mapping", broken)
    finding = Finding(
        "Reference", "warn", "spec.x", "No Mapping", FLOW, Ref("Mapping", "itsm", "m")
    )

    answer = answer_to(parse_review(review()), [told_apart(finding, cache)])

    assert not answer.allowed
    assert 'Mapping "m" exists but cannot be used' in answer.message


def test_a_long_warning_is_cut_to_what_the_api_server_takes() -> None:
    """In whole characters."""
    finding = Finding("X-1", "warn", "", "é" * 400, FLOW)
    (warning,) = answer_to(parse_review(review()), [finding]).warnings

    assert len(warning.encode()) <= 250
    assert warning.endswith("...")
