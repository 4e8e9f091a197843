"""What admission will say of a whole change, object by object, and what an acceptance lets through."""

from __future__ import annotations

import copy

from intops_api.names import ANNOTATION_ACCEPT_IMPACT
from intops_core.acceptance import Acceptance, acceptances, is_refused, stops
from intops_core.breaking import broken_flows
from intops_core.findings import Ref
from intops_core.impact import Impact, impact
from intops_core.resources import Resources
from support.conformance import NAMESPACE, Raw, catalogue_and_example, load, manifests, world

FLOW = Ref("Flow", NAMESPACE, "alerts-to-helpdesk")
MODEL = Ref("CanonicalModel", "", "event")
MAPPING = "alertmanager-to-event"


def another_identity(spec: Raw) -> None:
    spec["versions"][0]["identity"] = ["identityKey"]


def accepted(given: str) -> Resources:
    """The model with another identity, and this hash in its manifest."""
    raws = copy.deepcopy(manifests())
    for raw in raws:
        if raw["metadata"]["name"] == MODEL.name and raw["kind"] == MODEL.kind:
            another_identity(raw["spec"])
            raw["metadata"]["annotations"] = {ANNOTATION_ACCEPT_IMPACT: given}
    return load(raws)[0]


def told(after: Resources) -> tuple[Impact, tuple[Acceptance, ...]]:
    before = catalogue_and_example()
    found = impact(before, after)
    return found, acceptances(before, after, found)


def test_the_hash_of_an_acceptance_is_the_one_that_admission_asks_for() -> None:
    """What a person copies from `intops diff` into Git is what the cluster takes."""
    after = world(("CanonicalModel", MODEL.name, another_identity))[0]
    found, (each,) = told(after)

    asked = broken_flows(MODEL, {FLOW}, catalogue_and_example(), after)

    assert (each.ref, each.accepted, each.broken.hash) == (MODEL, False, asked.hash)
    assert stops(found, (each,))


def test_an_accepted_step_is_neither_refused_nor_stops_anything() -> None:
    """And another hash accepts nothing."""
    hash_ = told(accepted("none"))[1][0].broken.hash

    found, each = told(accepted(hash_))
    assert each[0].accepted
    assert not is_refused(found.changes[0], each)
    assert not stops(found, each)

    found, each = told(accepted("0" * 16))
    assert is_refused(found.changes[0], each)
    assert stops(found, each)


def test_what_no_annotation_can_accept_stops_all_the_same() -> None:
    """A Mapping that is wrong in itself, beside a model whose break is accepted."""

    def no_severity(spec: Raw) -> None:
        spec["fields"] = [rule for rule in spec["fields"] if rule["to"] != "severity"]
        spec["examples"] = []

    hash_ = told(accepted("none"))[1][0].broken.hash
    after = accepted(hash_)
    mapping = world(("Mapping", MAPPING, no_severity))[0].get("Mapping", NAMESPACE, MAPPING)
    assert mapping is not None
    after.add(mapping)

    found, each = told(after)

    assert each[0].accepted
    assert stops(found, each)


def test_objects_of_a_namespace_and_new_ones_need_no_acceptance() -> None:
    """Admission only warns of the former, and nobody uses the latter yet."""
    before = catalogue_and_example()
    before.remove(MODEL)
    after = catalogue_and_example()
    after.remove(Ref("Connector", NAMESPACE, "helpdesk"))

    assert acceptances(before, after, impact(before, after)) == ()
