"""Who depends on what, through everything in between."""

from intops_core.graph import ReferenceGraph, references
from intops_core.resources import Ref
from support.conformance import NAMESPACE, Raw, load, manifests, world

FLOW = Ref("Flow", NAMESPACE, "alerts-to-helpdesk")


def graph_of_the_example() -> ReferenceGraph:
    graph = ReferenceGraph()
    for resource in world()[1]:
        graph.put(resource)
    return graph


def test_a_flow_depends_on_everything_that_it_uses_directly_or_not() -> None:
    """A change of a model, class, Mapping, Connector or Pattern wakes the Flow."""
    graph = graph_of_the_example()

    for ref in (
        Ref("Pattern", "", "event-to-incident"),
        Ref("Connector", NAMESPACE, "helpdesk"),
        Ref("Mapping", NAMESPACE, "alertmanager-to-event"),
        Ref("ConnectorClass", "", "request-tracker"),
        Ref("CanonicalModel", "", "event"),
    ):
        assert graph.dependants(ref) == {FLOW}, ref
    assert graph.dependants(Ref("ConnectorClass", "", "generic-webhook")) == set()
    assert graph.dependants(FLOW) == set()


def test_what_does_not_exist_yet_wakes_its_users_when_it_comes() -> None:
    """Edges lead to objects that are missing, and stay when an object goes."""
    mapping = Ref("Mapping", NAMESPACE, "alertmanager-to-event")
    graph = graph_of_the_example()
    graph.remove(mapping)

    assert graph.dependants(mapping) == {FLOW}


def test_a_shadow_wakes_its_flow_like_the_mapping_beside_it() -> None:
    """A corrected shadow is tried at once, and one that is missing is waited for."""
    raws = [r for r in manifests() if r["kind"] == "Flow"]
    raws[0]["spec"]["roles"]["source"][0]["shadow"] = "candidate"
    graph = graph_of_the_example()
    graph.put(load(raws)[1][0])

    assert graph.dependants(Ref("Mapping", NAMESPACE, "candidate")) == {FLOW}


def test_an_edge_that_a_flow_gives_up_is_forgotten() -> None:
    """A Flow that names another Mapping is no longer woken by the old one."""
    graph = graph_of_the_example()

    def other(spec: Raw) -> None:
        spec["roles"]["source"][0]["mapping"] = "another"

    raws = [r for r in manifests() if r["kind"] == "Flow"]
    other(raws[0]["spec"])
    graph.put(load(raws)[1][0])

    assert graph.dependants(Ref("Mapping", NAMESPACE, "alertmanager-to-event")) == set()
    assert graph.dependants(Ref("Mapping", NAMESPACE, "another")) == {FLOW}
    graph.remove(FLOW)
    assert graph.dependants(Ref("Mapping", NAMESPACE, "another")) == set()


def test_secrets_are_no_part_of_the_graph() -> None:
    """S-33: The operator reads no Secret, so nothing leads to one."""
    kinds = {ref.kind for resource in world()[1] for ref in references(resource)}

    assert kinds == {"Pattern", "Connector", "Mapping", "ConnectorClass", "CanonicalModel"}
