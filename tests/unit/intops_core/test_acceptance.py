"""What admission will say of a whole change, object by object, and what an acceptance lets through."""

from __future__ import annotations

import copy

from intops_api.names import ANNOTATION_ACCEPT_IMPACT
from intops_core.acceptance import Order, is_refused, order_of, stops
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


def told(after: Resources) -> tuple[Impact, Order]:
    before = catalogue_and_example()
    found = impact(before, after)
    return found, order_of(before, after, found)


def test_the_hash_of_an_acceptance_is_the_one_that_admission_asks_for() -> None:
    """What a person copies from `intops diff` into Git is what the cluster takes."""
    after = world(("CanonicalModel", MODEL.name, another_identity))[0]
    found, order = told(after)
    (each,) = order.acceptances

    asked = broken_flows(MODEL, {FLOW}, catalogue_and_example(), after)

    assert (each.ref, each.accepted, each.broken.hash) == (MODEL, False, asked.hash)
    assert stops(found, order)


def test_an_accepted_step_is_neither_refused_nor_stops_anything() -> None:
    """And another hash accepts nothing."""
    hash_ = told(accepted("none"))[1].acceptances[0].broken.hash

    found, order = told(accepted(hash_))
    assert order.acceptances[0].accepted
    assert not is_refused(found.changes[0], order)
    assert not stops(found, order)

    found, order = told(accepted("0" * 16))
    assert is_refused(found.changes[0], order)
    assert stops(found, order)


def test_what_no_annotation_can_accept_stops_all_the_same() -> None:
    """A Mapping that is wrong in itself, beside a model whose break is accepted."""

    def no_severity(spec: Raw) -> None:
        spec["fields"] = [rule for rule in spec["fields"] if rule["to"] != "severity"]
        spec["examples"] = []

    hash_ = told(accepted("none"))[1].acceptances[0].broken.hash
    after = accepted(hash_)
    mapping = world(("Mapping", MAPPING, no_severity))[0].get("Mapping", NAMESPACE, MAPPING)
    assert mapping is not None
    after.add(mapping)

    found, order = told(after)

    assert order.acceptances[0].accepted
    assert stops(found, order)


def test_objects_of_a_namespace_and_new_ones_need_no_acceptance() -> None:
    """Admission only warns of the former, and nobody uses the latter yet."""
    before = catalogue_and_example()
    before.remove(MODEL)
    after = catalogue_and_example()
    after.remove(Ref("Connector", NAMESPACE, "helpdesk"))

    assert order_of(before, after, impact(before, after)).acceptances == ()


def renamed(model: bool = True, mapping: bool = True, keep: bool = True) -> Resources:
    """The edition that the source's Mapping fills has another name; the old one stays if `keep`."""
    raws = manifests()
    for raw in raws:
        spec = raw["spec"]
        if model and (raw["kind"], raw["metadata"]["name"]) == (MODEL.kind, MODEL.name):
            fresh = {**copy.deepcopy(spec["versions"][0]), "name": "v2"}
            spec["versions"] = [*spec["versions"], fresh] if keep else [fresh]
        if mapping and raw["kind"] in ("Mapping", "Pattern", "ConnectorClass"):
            move(spec)
    return load(raws)[0]


def move(spec: Raw) -> None:
    """Everything that names the edition event/v1 names v2."""
    bodies = [spec, *spec.get("mappings", {}).values()]
    for body in bodies:
        for end in ("from", "to"):
            if isinstance(body.get(end), dict) and body[end].get("model") == MODEL.name:
                body[end]["version"] = "v2"
    for place, name in spec.get("models", {}).items():
        if name == "event/v1":
            spec["models"][place] = "event/v2"


def test_an_order_is_found_in_which_nothing_need_be_accepted() -> None:
    """The new edition beside the old one first: who uses it is refused until it is there."""
    _found, order = told(renamed())

    assert order.refs[0] == MODEL
    assert {ref.kind for ref in order.waiting} >= {"Mapping"}
    assert MODEL not in order.waiting
    assert not order.stuck


def test_objects_that_are_refused_one_without_the_other_stop_the_pipeline() -> None:
    """An edition that is renamed in one step breaks what fills it, and what fills the new one has none."""
    found, order = told(renamed(keep=False))

    assert [each.ref for each in order.acceptances if not each.accepted][:1] == [MODEL]
    assert stops(found, order)
