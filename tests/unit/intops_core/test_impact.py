"""Which Flows a change reaches, and what it does to them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from intops_core.findings import Ref
from intops_core.impact import Impact, impact
from support.conformance import NAMESPACE, Raw, catalogue_and_example, world

FLOW = Ref("Flow", NAMESPACE, "alerts-to-helpdesk")
MAPPING = Ref("Mapping", NAMESPACE, "alertmanager-to-event")
CLASS = Ref("ConnectorClass", "", "request-tracker")


def of(kind: str, name: str, change: Callable[[Raw], object]) -> Impact:
    """What a change of the first example or the catalogue does."""
    return impact(catalogue_and_example(), world((kind, name, change))[0])


def without(ref: Ref) -> Impact:
    after = catalogue_and_example()
    after.remove(ref)
    return impact(catalogue_and_example(), after)


def another_meaning(spec: Raw) -> None:
    spec["fields"][0]["meaning"] = "Said in other words."


def no_severity(spec: Raw) -> None:
    spec["fields"] = [rule for rule in spec["fields"] if rule["to"] != "severity"]
    spec["examples"] = []


def no_service(spec: Raw) -> None:
    del spec["versions"][0]["fields"]["service"]


def test_no_change_reaches_nothing() -> None:
    """What stands already is no change, whoever applies it again."""
    assert impact(catalogue_and_example(), catalogue_and_example()) == Impact((), ())


def test_a_sound_change_gives_another_plan_and_breaks_nothing() -> None:
    """The owner learns that the Flow will run something else."""
    found = of("Mapping", MAPPING.name, another_meaning)

    (change,) = found.changes
    (flow,) = found.flows
    assert (change.ref, change.kind, change.paths) == (MAPPING, "changed", ((MAPPING, FLOW),))
    assert (flow.verdict, flow.findings, flow.owner.team) == ("changes", (), "service-desk")
    assert flow.before != flow.after
    assert not found.breaks
    assert not found.refused


def test_what_a_flow_does_not_use_leaves_its_plan_as_it_is() -> None:
    """The path exists, the plan is the same byte for byte: nothing would restart."""
    found = of("CanonicalModel", "event", lambda spec: spec.update(description="Said anew."))

    (flow,) = found.flows
    assert flow.verdict == "unchanged"
    assert flow.before == flow.after is not None


def test_a_change_that_takes_the_plan_away_breaks_the_flow_and_says_where() -> None:
    """A field that goes from a model is missed in the Mappings that fill or read it."""
    found = of("CanonicalModel", "event", no_service)

    (flow,) = found.flows
    assert found.breaks
    assert (flow.verdict, flow.after) == ("breaks", None)
    assert ("deny", MAPPING) in {(one.severity, one.ref) for one in flow.findings}
    (change,) = found.changes
    assert [(one.rule, one.severity, one.path) for one in change.findings] == [
        ("Compatibility", "deny", "spec.versions[0].fields.service")
    ]
    assert [ref.kind for ref in change.paths[0]] == ["CanonicalModel", "Mapping", "Flow"]


def test_a_change_that_admission_refuses_is_told_with_its_reason() -> None:
    """Whoever writes it reads the same sentence before as at the cluster."""
    found = of("Mapping", MAPPING.name, no_severity)

    assert found.refused
    assert "COM-05" in {one.rule for change in found.changes for one in change.findings}


def test_what_was_wrong_before_is_not_laid_to_the_change() -> None:
    """A Flow that has no plan anyway is no reason to stop somebody else's change."""
    old = world(("Mapping", MAPPING.name, no_severity))[0]

    def both(spec: Raw) -> None:
        no_severity(spec)
        another_meaning(spec)

    (flow,) = impact(old, world(("Mapping", MAPPING.name, both))[0]).flows

    assert (flow.verdict, flow.findings) == ("stays broken", ())


def test_a_change_that_mends_a_flow_is_called_so() -> None:
    """The other way round: the plan comes back."""
    found = impact(world(("Mapping", MAPPING.name, no_severity))[0], catalogue_and_example())

    assert [one.verdict for one in found.flows] == ["mends"]
    assert not found.breaks


@pytest.mark.parametrize(
    ("ref", "way"),
    [
        (MAPPING, ["Mapping", "Flow"]),
        (CLASS, ["ConnectorClass", "Connector", "Flow"]),
        (Ref("Pattern", "", "event-to-incident"), ["Pattern", "Flow"]),
    ],
)
def test_what_goes_breaks_the_flows_that_name_it(ref: Ref, way: list[str]) -> None:
    """The way to the Flow is that of the state in which the object still was."""
    found = without(ref)

    (change,) = found.changes
    assert change.kind == "removed"
    assert [one.kind for one in change.paths[0]] == way
    assert [(one.flow, one.verdict) for one in found.flows] == [(FLOW, "breaks")]


def test_a_flow_that_comes_or_goes_is_no_break() -> None:
    """A person who deletes a Flow means it."""
    gone = without(FLOW)
    after = catalogue_and_example()
    after.remove(FLOW)
    made = impact(after, catalogue_and_example())

    assert [one.verdict for one in (*gone.flows, *made.flows)] == ["ends", "starts"]
    assert (gone.breaks, made.breaks) == (False, False)


def test_an_object_that_nobody_uses_reaches_no_flow() -> None:
    """A class of the catalogue without a Connector may change freely."""
    found = without(Ref("ConnectorClass", "", "roundup"))

    assert found.flows == ()
    assert found.changes[0].paths == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda fields: fields["title"].update(maxLength=9000), ["warn"]),
        (lambda fields: fields.update(colour={"type": "string", "meaning": "Of the wall."}), []),
        (lambda fields: fields["service"].update(required=True), ["deny"]),
    ],
)
def test_a_changed_model_is_held_against_the_table_of_compatibility(
    change: Callable[[Raw], object], told: list[str]
) -> None:
    """Only where a live Flow uses the edition: without any, whoever writes a model changes it freely."""

    def changed(spec: Raw) -> None:
        change(spec["versions"][0]["fields"])

    found = of("CanonicalModel", "event", changed).changes[0]
    before, after = catalogue_and_example(), world(("CanonicalModel", "event", changed))[0]
    for side in (before, after):
        side.remove(FLOW)
    alone = impact(before, after).changes[0]

    assert [one.severity for one in found.findings if one.rule == "Compatibility"] == told
    assert [one for one in alone.findings if one.rule == "Compatibility"] == []
