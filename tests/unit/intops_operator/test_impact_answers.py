"""Whether an object may change although Flows lose their plan: by kind, annotation and time, and in which words."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable
from typing import Any

import pytest

from intops_api import names
from intops_operator.admission.impacts import Impacts
from intops_operator.admission.review import Answer, parse_review
from intops_operator.admission.server import AdmissionServer
from intops_operator.admission.telling import NOT_JUDGED
from intops_operator.cache import Cache
from support.conformance import Raw, manifests

FLOW = "alerts-to-helpdesk"
MAPPING = "alertmanager-to-event"
PLENTY_S = 60.0


def the(kind: str, name: str) -> Raw:
    """One manifest of the example or the catalogue."""
    (raw,) = [r for r in manifests() if (r["kind"], r["metadata"]["name"]) == (kind, name)]
    return raw


def filled(flows: int = 1, *, delivered: int | None = None) -> Cache:
    """Catalogue and example, with as many Flows as wanted."""
    cache = Cache()
    for raw in manifests():
        if raw["kind"] != "Flow":
            cache.take(raw["kind"], sent(raw))
    for number in range(flows):
        flow = the("Flow", FLOW)
        flow["metadata"]["name"] = FLOW if number == 0 else f"flow-{number}"
        if delivered is not None:
            flow["status"] = {"deliveredPerHour": delivered}
        cache.take("Flow", sent(flow))
    return cache


def sent(raw: Raw) -> Raw:
    """A manifest as an API server sends it."""
    given = copy.deepcopy(raw)
    given["metadata"] |= {"uid": f"uid-{raw['metadata']['name']}", "generation": 1}
    return given


def review(
    raw: Raw, change: Callable[[Raw], object] | None, *, accept: str | None = None
) -> dict[str, Any]:
    """The AdmissionReview of a change; without one of a deletion."""
    after = copy.deepcopy(raw)
    before = copy.deepcopy(raw)
    if change is not None:
        change(after["spec"])
    if accept is not None:
        annotated = before if change is None else after
        annotated["metadata"]["annotations"] = {names.ANNOTATION_ACCEPT_IMPACT: accept}
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1",
            "kind": {"group": "intops.io", "version": "v1alpha1", "kind": raw["kind"]},
            "operation": "DELETE" if change is None else "UPDATE",
            "object": None if change is None else sent(after),
            "oldObject": sent(before),
        },
    }


def asked(
    cache: Cache,
    raw: Raw,
    change: Callable[[Raw], object] | None,
    *,
    accept: str | None = None,
    within_s: float = PLENTY_S,
) -> Answer:
    """What admission answers as far as Flows are concerned."""
    impacts = Impacts(cache)
    try:
        given = parse_review(review(raw, change, accept=accept))
        return asyncio.run(impacts.answer(given, time.monotonic() + within_s))
    finally:
        impacts.close()


def hash_in(answer: Answer) -> str:
    """The hash that a refusal shows."""
    _, _, after = answer.message.partition(f"{names.ANNOTATION_ACCEPT_IMPACT}: ")
    return after.split('"')[1]


def no_service(spec: Raw) -> None:
    del spec["versions"][0]["fields"]["service"]


def no_service_and_no_title(spec: Raw) -> None:
    no_service(spec)
    del spec["versions"][0]["fields"]["title"]


def no_capture(spec: Raw) -> None:
    del spec["capture"]


def another_role(spec: Raw) -> None:
    spec["roles"][0]["name"] = "origin"


def another_object(spec: Raw) -> None:
    spec["from"]["object"] = "nothing"


def another_class(spec: Raw) -> None:
    spec["class"] = "generic-webhook"


@pytest.mark.parametrize(
    ("kind", "name", "change", "field"),
    [
        ("CanonicalModel", "event", no_service, f'Mapping "{MAPPING}" spec.fields['),
        ("ConnectorClass", "alertmanager", no_capture, "spec.roles.source[0]"),
        ("Pattern", "event-to-incident", another_role, "spec.roles"),
        ("CanonicalModel", "event", None, 'CanonicalModel "event" does not exist'),
        ("ConnectorClass", "request-tracker", None, "spec.class"),
    ],
)
def test_a_class_like_kind_that_breaks_live_flows_is_refused_with_all_that_one_needs(
    kind: str, name: str, change: Callable[[Raw], object] | None, field: str
) -> None:
    """Which Flows, whose, how much goes through them, what breaks, and what accepts it."""
    answer = asked(filled(7, delivered=120), the(kind, name), change)

    assert not answer.allowed
    assert answer.code == 403
    assert f'{kind} "{name}" is {"kept" if change is None else "refused"}' in answer.message
    assert "7 Flows, through which 840 messages went in the last hour, would lose" in answer.message
    assert (
        f'"{FLOW}" in itsm (service-desk, service-desk@example.com, 120 messages in the last hour)'
        in answer.message
    )
    assert "and 2 more." in answer.message
    assert field in answer.message
    assert len(hash_in(answer)) == 16


@pytest.mark.parametrize("change", [no_service, None])
def test_the_annotation_of_the_refusal_lets_the_change_in(
    change: Callable[[Raw], object] | None,
) -> None:
    """The refusal itself says what to write; the Flows are told once more."""
    cache, model = filled(2), the("CanonicalModel", "event")
    refused = asked(cache, model, change)

    accepted = asked(cache, model, change, accept=hash_in(refused))

    assert accepted.allowed
    assert accepted.warnings[0].startswith("Accepted: 2 Flows lose their plan")
    assert FLOW in accepted.warnings[1]


def test_an_edition_in_use_is_changed_in_a_new_one_or_accepted_as_it_is() -> None:
    """Every Flow keeps its plan, and yet records of one thing would become two."""
    cache, model = filled(2), the("CanonicalModel", "event")

    def another_identity(spec: Raw) -> None:
        spec["versions"][0]["identity"] = ["identityKey"]

    refused = asked(cache, model, another_identity)
    accepted = asked(cache, model, another_identity, accept=hash_in(refused))
    one_more = asked(filled(3), model, another_identity, accept=hash_in(refused))
    unused = asked(filled(0), model, another_identity)

    assert "is refused: 2 Flows use what it changes" in refused.message
    assert "spec.versions[0].identity: In edition v1, which live Flows use, " in refused.message
    assert (
        "write the change as edition v2 beside it. Or, to accept it as it is, " in refused.message
    )
    assert "It covers this change and the 2 Flows that use it now." in refused.message
    assert accepted == Answer(allowed=True, warnings=("Accepted: it changes what 2 Flows use.",))
    assert not one_more.allowed
    assert unused == Answer(allowed=True)


def test_a_risky_change_of_an_edition_warns_with_its_field() -> None:
    """It may be meant; whoever reads the field should know."""
    answer = asked(
        filled(),
        the("CanonicalModel", "event"),
        lambda spec: spec["versions"][0]["fields"]["title"].update(maxLength=9000),
    )

    assert answer.allowed
    (told,) = answer.warnings
    assert told.startswith(
        'CanonicalModel "event" spec.versions[0].fields.title.maxLength: In edition v1'
    )


def test_an_acceptance_covers_no_more_than_was_shown() -> None:
    """Neither another change nor another Flow that has come meanwhile; the refusal says so."""
    cache, model = filled(1), the("CanonicalModel", "event")
    accepted = hash_in(asked(cache, model, no_service))

    other_change = asked(cache, model, no_service_and_no_title, accept=accepted)
    other_flows = asked(filled(2), model, no_service, accept=accepted)

    for answer in (other_change, other_flows):
        assert not answer.allowed
        assert f"{accepted}, is that of another change or of other Flows" in answer.message
        assert hash_in(answer) != accepted


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("Mapping", MAPPING, another_object),
        ("Connector", "alertmanager", another_class),
        ("Flow", FLOW, lambda spec: spec["roles"]["source"][0].update(mapping="none")),
    ],
)
def test_a_change_within_a_namespace_warns_and_is_let_in(
    kind: str, name: str, change: Callable[[Raw], object]
) -> None:
    """A Flow and its Mapping must be able to change together, in any order."""
    answer = asked(filled(delivered=3), the(kind, name), change)

    assert answer.allowed
    (told,) = answer.warnings
    assert told.startswith(
        f'Flow "{FLOW}" in itsm (service-desk, service-desk@example.com, 3 messages'
    )
    assert "keeps the last good one: " in told
    assert len(told.encode()) <= 250


def test_many_flows_are_few_warnings() -> None:
    """The API server keeps 4 KiB of them."""
    answer = asked(filled(9), the("Mapping", MAPPING), another_object)

    assert len(answer.warnings) == 4
    assert answer.warnings[-1].startswith("6 more Flows lose their plan")


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("CanonicalModel", "event", lambda spec: spec.update(description="Said anew.")),
        ("ConnectorClass", "roundup", None),
        ("Mapping", MAPPING, lambda spec: spec["fields"][0].update(meaning="Said in other words.")),
        ("Flow", FLOW, None),
    ],
)
def test_what_breaks_nothing_is_let_in_without_a_word(
    kind: str, name: str, change: Callable[[Raw], object] | None
) -> None:
    """Another plan is no break, and a Flow that is deleted is meant to go."""
    assert asked(filled(), the(kind, name), change) == Answer(allowed=True)


def test_a_flow_that_is_broken_already_keeps_nobody_from_changing_a_model() -> None:
    """It has no plan that could be lost."""
    cache, mapping = filled(), the("Mapping", MAPPING)
    another_object(mapping["spec"])
    mapping["metadata"] |= {"uid": "u", "generation": 2}
    cache.take("Mapping", mapping)

    assert asked(cache, the("CanonicalModel", "event"), no_service) == Answer(allowed=True)


def test_what_there_is_no_time_for_is_let_in_with_a_warning() -> None:
    """Nobody waits for an answer that the API server has stopped waiting for."""
    answer = asked(filled(3), the("CanonicalModel", "event"), no_service, within_s=0.0)

    assert answer == Answer(allowed=True, warnings=(NOT_JUDGED,))


def test_a_cache_that_is_not_filled_yet_lets_a_deletion_pass_with_a_warning() -> None:
    """Cleaning up must work while the operator starts."""

    async def answer() -> Answer:
        server = AdmissionServer(filled(), lambda: False, deadline_s=PLENTY_S)
        try:
            return await server._answer(parse_review(review(the("CanonicalModel", "event"), None)))
        finally:
            await server.stop()

    assert asyncio.run(answer()) == Answer(allowed=True, warnings=(NOT_JUDGED,))


def test_the_endpoint_tells_findings_of_the_object_and_of_its_flows_together() -> None:
    """One answer with both: what is missing for the Mapping, and what that does to the Flow."""

    def missing_class(spec: Raw) -> None:
        spec["from"]["class"] = "nowhere"

    async def answer() -> Answer:
        server = AdmissionServer(filled(), lambda: True, deadline_s=PLENTY_S)
        try:
            given = parse_review(review(the("Mapping", MAPPING), missing_class))
            return await server._answer(given)
        finally:
            await server.stop()

    told = asyncio.run(answer())

    assert told.allowed
    assert [FLOW in warning for warning in told.warnings] == [True, False]
    assert '"nowhere" does not exist' in told.warnings[1]


def test_the_volume_of_a_flow_follows_its_status_and_goes_with_it() -> None:
    """Also where the spec stays the same: every replica hears of it by the feed."""
    cache = filled(delivered=3)
    (flow,) = [ref for ref in cache.refs() if ref.kind == "Flow"]
    version = cache.version

    raw = sent(the("Flow", FLOW)) | {"status": {"deliveredPerHour": 5}}
    cache.take("Flow", raw)
    assert (cache.volume(flow), cache.version) == (5, version)

    cache.take("Flow", raw, deleted=True)
    assert cache.volume(flow) is None
