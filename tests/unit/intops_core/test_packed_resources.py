"""What is kept small is read as it was put in."""

from __future__ import annotations

from intops_core.resources import Packed, Resources
from support.conformance import NAMESPACE, load, manifests


def test_a_packed_resource_is_read_as_it_was() -> None:
    """Every object of the catalogue and the example: name, metadata, spec and hash."""
    plain, loaded = load(manifests())
    small = Resources()
    for resource in loaded:
        small.add(resource, packed=True)

    for resource in loaded:
        ref = resource.ref
        found = small.get(ref.kind, ref.namespace, ref.name)
        assert found == resource
        assert found is not None
        assert found.digest == resource.digest
    assert small.all("Mapping") == plain.all("Mapping")
    assert small.copy().names("Flow", NAMESPACE) == plain.names("Flow", NAMESPACE)


def test_what_many_use_is_not_read_anew_for_each_of_them() -> None:
    """A Mapping that a thousand Flows share is parsed once while it is in use."""
    packed = Packed(load(manifests())[1][0])

    assert packed.read() is packed.read()


def test_a_part_holds_one_namespace_and_what_belongs_to_none() -> None:
    """What a plan may use: nothing of another namespace."""
    raws = manifests()
    for raw in [raw for raw in raws if raw["metadata"].get("namespace")]:
        raws.append({**raw, "metadata": {**raw["metadata"], "namespace": "elsewhere"}})
    everything, _ = load(raws)

    part = everything.part(NAMESPACE)

    assert [one.ref.namespace for one in part.all("Mapping")] == [NAMESPACE] * len(
        everything.all("Mapping", NAMESPACE)
    )
    assert part.all("Pattern") == everything.all("Pattern")
    assert part.get("Flow", "elsewhere", "alerts-to-helpdesk") is None
