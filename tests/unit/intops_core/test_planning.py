"""From resources to plans and back."""

import gzip
import json
from collections.abc import Callable

import pytest

from intops_api.names import PLAN_MAX_BYTES
from intops_api.plan import FlowPlan
from intops_core.planning import PlanError, Planned, decode_plan, encode_plan, plan_flow
from intops_core.resources import Ref
from support.conformance import NAMESPACE, Raw, flow_of, load, manifests, world
from support.runtime.flows import put_on_trial, rule_of

FLOW = ("Flow", "alerts-to-helpdesk")


def planned(*changes: tuple[str, str, Callable[[Raw], object]]) -> Planned:
    resources = world(*changes)[0]
    return plan_flow(flow_of(resources), resources)


def plan(*changes: tuple[str, str, Callable[[Raw], object]]) -> FlowPlan:
    result = planned(*changes)
    assert result.plan is not None, result.findings
    return result.plan


def test_a_plan_holds_everything_that_the_flow_names_and_no_secret() -> None:
    """S-32: Bindings, Mappings, classes and models are resolved; of a Secret there is only its name."""
    found = plan()

    source, target = found.bindings
    assert (source.role, source.name, source.class_name) == ("source", "prometheus", "alertmanager")
    assert found.blobs.mappings[source.in_ or ""].name == "alertmanager-to-event"
    assert found.blobs.mappings[target.out or ""].name == "incident-to-helpdesk"
    assert found.blobs.mappings[found.transform].name == "event-to-incident"
    assert found.blobs.models[found.model_in.blob].name == "event"
    assert target.secret_dir == "helpdesk-token"
    assert target.config == {"queue": "Incidents"}
    assert not any(blob.spec.examples for blob in found.blobs.mappings.values())


def test_a_binding_without_a_mapping_uses_the_one_of_its_class() -> None:
    """The class's own Mapping for the Pattern's model is taken where the Flow names none."""

    def unnamed(spec: Raw) -> None:
        for role in ("source", "target"):
            spec["roles"][role][0].pop("mapping")

    found = plan((*FLOW, unnamed))

    names = [found.blobs.mappings[b.in_ or b.out or ""].name for b in found.bindings]
    assert names == ["alert-to-event", "incident-to-ticket"]


def test_what_the_flow_leaves_out_comes_from_the_pattern() -> None:
    """Defaults of the Pattern lie below the Flow, field by field."""

    def sparse(spec: Raw) -> None:
        spec["closure"] = {"onResolved": "resolve"}
        spec["slo"] = {"within": "10s"}
        spec["review"] = {"owner": "service-desk"}

    found = plan((*FLOW, sparse))

    assert found.closure.to_wire() == {
        "onResolved": "resolve",
        "reopenWithin": "1h",
        "afterWindow": "new",
    }
    assert found.slo.to_wire() == {"delivered": "99.9%", "within": "10s", "window": "30d"}
    assert found.review.to_wire() == {"owner": "service-desk", "dueWithin": "8h"}


def test_limits_are_the_lower_of_class_and_connector() -> None:
    """A Connector may be gentler than its class, and what it leaves out is the class's."""
    target = plan().bindings[1]
    unlimited = plan(("Connector", "helpdesk", lambda spec: spec.pop("limits"))).bindings[1]

    assert (target.requests_per_second, target.concurrency) == (10, 4)
    assert (unlimited.requests_per_second, unlimited.concurrency) == (20, 4)


def test_the_hash_is_the_same_for_the_same_specs_whatever_their_order() -> None:
    """Two replicas, or one after a restart, agree on what should run."""
    raws = manifests()
    shuffled = [_reversed(raw) for raw in reversed(raws)]

    plans = []
    for each in (raws, shuffled):
        resources = load(each)[0]
        plans.append(plan_flow(flow_of(resources), resources).plan)

    assert plans[0] is not None
    assert plans[1] is not None
    assert plans[0].hash == plans[1].hash
    assert encode_plan(plans[0]) == encode_plan(plans[1])


def _reversed(value: Raw) -> Raw:
    """The same JSON object with its keys in the opposite order; lists keep theirs."""

    def turned(thing: object) -> object:
        if isinstance(thing, dict):
            return {name: turned(thing[name]) for name in reversed(thing)}
        return [turned(item) for item in thing] if isinstance(thing, list) else thing

    result = turned(value)
    assert isinstance(result, dict)
    return result


@pytest.mark.parametrize(
    ("kind", "name", "change", "changes_the_plan"),
    [
        pytest.param(*FLOW, lambda s: s.update(suspend=True), True, id="suspended"),
        pytest.param(*FLOW, lambda s: s.update(reviewBy="2028-01-01"), False, id="day of review"),
        pytest.param(
            "Mapping",
            "alertmanager-to-event",
            lambda s: s["fields"][0].update(meaning="The same labels are one condition."),
            True,
            id="a rule of a Mapping",
        ),
        pytest.param(
            "Mapping",
            "alertmanager-to-event",
            lambda s: s["examples"].pop(),
            False,
            id="an example of a Mapping",
        ),
        pytest.param(
            "ConnectorClass",
            "request-tracker",
            lambda s: s["operations"]["get"].update(timeout="9s"),
            True,
            id="an operation of a class",
        ),
        pytest.param(
            "ConnectorClass",
            "generic-webhook",
            lambda s: s.update(displayName="Webhooks"),
            False,
            id="a class that is not used",
        ),
        pytest.param(
            "CanonicalModel",
            "incident",
            lambda s: s["versions"][0]["fields"].update(extra={"type": "string"}),
            True,
            id="a field of a model",
        ),
    ],
)
def test_the_hash_changes_exactly_when_the_worker_has_something_new_to_run(
    kind: str, name: str, change: Callable[[Raw], object], changes_the_plan: bool
) -> None:
    """Workers reload for what they run and for nothing else."""
    assert (plan((kind, name, change)).hash != plan().hash) is changes_the_plan


def test_uid_and_generation_are_told_but_do_not_change_the_hash() -> None:
    """A Flow that is made anew with the same spec runs on as it was."""
    raws = manifests()
    (raw,) = [r for r in raws if r["kind"] == "Flow"]
    raw["metadata"].update(uid="7b5f", generation=9)
    resources = load(raws)[0]

    found = plan_flow(flow_of(resources), resources).plan

    assert found is not None
    assert (found.flow.uid, found.flow.generation) == ("7b5f", 9)
    assert found.hash == plan().hash


def test_a_plan_carries_what_pattern_and_flow_say_about_errors() -> None:
    """Field by field; what a target's class says comes with the class, so that each target keeps its own."""

    def of_pattern(spec: Raw) -> None:
        spec["defaults"]["errors"] = {"timeout": {"maxAge": "2h", "maxAttempts": 9}}

    def of_flow(spec: Raw) -> None:
        spec["errors"] = {"timeout": {"maxAttempts": 3}, "forbidden": {"strategy": "review"}}

    found = plan(("Pattern", "event-to-incident", of_pattern), (*FLOW, of_flow))

    assert {name: policy.to_wire() for name, policy in found.errors.items()} == {
        "forbidden": {"strategy": "review"},
        "timeout": {"maxAttempts": 3, "maxAge": "2h"},
    }


def test_without_something_that_it_names_a_flow_has_no_plan_but_a_list_of_what_is_missing() -> None:
    """What is missing is a wait, not a refusal, and everything missing is told at once."""
    raws = [
        r
        for r in manifests()
        if (r["kind"], r["metadata"]["name"])
        not in (("Mapping", "alertmanager-to-event"), ("Connector", "helpdesk"))
    ]
    resources = load(raws)[0]

    found = plan_flow(flow_of(resources), resources)

    assert found.plan is None
    assert set(found.missing) == {
        Ref("Mapping", NAMESPACE, "alertmanager-to-event"),
        Ref("Connector", NAMESPACE, "helpdesk"),
    }
    assert {finding.severity for finding in found.findings} == {"warn"}


def test_a_broken_mapping_keeps_the_plan_back_and_is_blamed_itself() -> None:
    """The finding names the object that is to be mended, not the Flow."""

    def broken(spec: Raw) -> None:
        spec["fields"][1]["cel"] = "object.fingerprnt"

    found = planned(("Mapping", "alertmanager-to-event", broken))

    assert found.plan is None
    blamed = {f.ref for f in found.findings if f.severity == "deny"}
    assert blamed == {Ref("Mapping", NAMESPACE, "alertmanager-to-event")}


def test_a_pattern_that_is_no_longer_served_keeps_its_flows_running() -> None:
    """Only new Flows are refused; a plan of one that exists is made as before."""
    found = planned(("Pattern", "event-to-incident", lambda spec: spec.update(served=False)))

    assert found.plan is not None
    assert [(f.rule, f.severity) for f in found.findings] == [("COM-01", "warn")]


def test_a_plan_comes_back_from_its_bytes_as_it_was() -> None:
    """Null entries of value tables and settings included."""

    def with_nulls(spec: Raw) -> None:
        spec["config"]["queue"] = "Incidents"
        spec["limits"] = {"requestsPerSecond": 0.5}

    found = plan(("Connector", "helpdesk", with_nulls))

    assert decode_plan(encode_plan(found)) == found


def test_an_entry_of_a_table_that_is_null_survives_the_way_to_the_worker() -> None:
    """Null in a table means that the field is not set; losing it would send messages to review."""

    def null(spec: Raw) -> None:
        (rule,) = [r for r in spec["fields"] if r["to"] == "category"]
        rule["values"]["none"] = None

    found = plan(("Mapping", "alertmanager-to-event", null))
    again = decode_plan(encode_plan(found))

    (rule,) = [
        r
        for r in again.blobs.mappings[again.bindings[0].in_ or ""].spec.fields
        if r.to == "category"
    ]
    assert rule.values["none"] is None


def test_a_plan_that_is_too_large_is_refused_with_a_sentence() -> None:
    """A ConfigMap has a limit; what is above is refused before Kubernetes does."""
    found = plan()
    noise = {f"{n:x}": f"{n * 2654435761 % 2**64:x}" for n in range(120_000)}
    engine = found.engine.model_copy(update={"settings": noise})

    with pytest.raises(PlanError, match=f"takes {PLAN_MAX_BYTES // 1024} KiB"):
        encode_plan(found.model_copy(update={"engine": engine}))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "damaged", id="nothing"),
        pytest.param(b"{}", "damaged", id="not compressed"),
        pytest.param(gzip.compress(b"[]"), "no JSON object", id="a list"),
        pytest.param(gzip.compress(b'{"schema": 2}'), "reads up to 1", id="a newer schema"),
        pytest.param(gzip.compress(b'{"schema": "x"}'), "reads up to 1", id="no number as schema"),
        pytest.param(gzip.compress(b"{}"), "does not have the form", id="fields are missing"),
        pytest.param(gzip.compress(b"[" * 100_000), "damaged", id="nested without end"),
        pytest.param(gzip.compress(b" " * (65 * 2**20)), "more than any plan", id="a bomb"),
        pytest.param(gzip.compress(b'{"schema": 1}')[:-6], "too early", id="cut off"),
    ],
)
def test_bytes_that_are_no_plan_are_refused_with_a_sentence(data: bytes, words: str) -> None:
    """The worker keeps the old plan and says why, whatever lies in the file."""
    with pytest.raises(PlanError, match=words):
        decode_plan(data)


def test_a_plan_of_a_newer_operator_with_unknown_fields_is_refused() -> None:
    """A field that this worker does not know may change what is meant."""
    raw = json.loads(gzip.decompress(encode_plan(plan())))
    raw["freeze"] = True

    with pytest.raises(PlanError, match=r"plan\.freeze"):
        decode_plan(gzip.compress(json.dumps(raw).encode()))


def on_trial(**rule: object) -> Planned:
    """The example with a candidate beside its source Mapping, one rule of which is changed."""
    raws = manifests()
    put_on_trial(
        raws, "alertmanager-to-event", lambda spec: rule_of(spec, "identityKey").update(rule)
    )
    resources = load(raws)[0]
    return plan_flow(flow_of(resources), resources)


def test_a_shadow_goes_along_under_the_hash_and_decides_nothing() -> None:
    """Another content of the shadow is another plan; what decides stays what it was."""
    found = on_trial(meaning="The same labels are one condition.").plan
    again = on_trial(meaning="The same labels are one condition for ever.").plan
    assert found is not None
    assert again is not None
    (source, _), (plain, _) = found.bindings, plan().bindings

    assert found.blobs.mappings[source.shadow or ""].name == source.shadow_name == "candidate"
    assert (source.in_, source.mapping_name) == (plain.in_, plain.mapping_name)
    assert len({found.hash, again.hash, plan().hash}) == 3


def test_a_shadow_that_does_not_exist_is_waited_for() -> None:
    """Manifests may be applied in any order; the last good plan runs on."""
    found = planned((*FLOW, lambda s: s["roles"]["source"][0].update(shadow="candidate")))

    assert (found.plan, found.missing) == (None, [Ref("Mapping", NAMESPACE, "candidate")])
    (finding,) = [f for f in found.findings if f.missing is not None]
    assert finding.path == "spec.roles.source[0].shadow"


def test_a_shadow_that_is_unsound_makes_no_plan() -> None:
    """It is judged like every Mapping: what would be refused later is not tried now."""
    found = on_trial(to="identityKei")

    denied = {finding.ref for finding in found.findings if finding.severity == "deny"}
    assert (found.plan, denied) == (None, {Ref("Mapping", NAMESPACE, "candidate")})
