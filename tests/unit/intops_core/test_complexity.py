"""What an estate costs in translations, against what it would cost from system to system."""

import pytest

from intops_core.complexity import Complexity, complexity, hub, mesh
from intops_core.estate import estate, systems
from support.conformance import NAMESPACE, Raw, load, manifests

OWNER = {"team": "service-desk", "contact": "service-desk@example.com"}


def connector(name: str, class_: str) -> Raw:
    spec = {"class": class_, "endpoint": f"https://{name}.example.com", "owner": OWNER}
    return {"kind": "Connector", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def flow(name: str, sources: list[str], targets: list[str], **roles: list[Raw]) -> Raw:
    found = {
        "source": [{"name": one, "connector": one} for one in sources],
        "target": [{"name": one, "connector": one} for one in targets],
    }
    spec = {
        "pattern": "event-to-incident",
        "owner": OWNER,
        "roles": found | roles,
        "routes": [{"name": "default"}],
    }
    return {"kind": "Flow", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def counted(*raws: Raw) -> Complexity:
    """The counts of the catalogue with these manifests."""
    resources, _ = load([*(r for r in manifests() if r["kind"] != "Flow"), *raws])
    return complexity(estate(resources.all("Flow"), resources), frozenset({"event-to-incident"}))


@pytest.mark.parametrize(
    ("count", "pairs"), [(1, 0), (2, 1), (3, 3), (5, 10), (10, 45), (20, 190), (50, 1225)]
)
def test_direct_connections_grow_with_the_square_of_the_systems(count: int, pairs: int) -> None:
    """Figures that everybody knows; at three systems both ways cost the same."""
    assert (mesh(count), hub(count)) == (pairs, count)


def test_two_systems_cost_more_with_a_model_between_them() -> None:
    """The honest answer for a beginner: two Mappings instead of one translation."""
    found = counted(flow("one", ["alertmanager"], ["helpdesk"]))

    assert (found.systems, found.pairs, found.direct, found.connections) == (2, 1, 1, 2)
    assert found.saving == -1.0


def test_more_systems_make_models_pay() -> None:
    """Four sources and two targets: eight translations, or six connections by four Mappings."""
    names = ["alertmanager", "plant", "scripts", "shop"]
    classes = ["alertmanager", "alertmanager", "generic-webhook", "generic-webhook"]
    made = [connector(name, class_) for name, class_ in zip(names, classes, strict=True)]
    made.append(connector("tracker", "roundup"))

    found = counted(*made, flow("all", names, ["helpdesk", "tracker"]))

    assert (found.direct, found.connections, found.mappings, found.uses) == (8, 6, 4, 6)
    assert (found.saving, found.reuse) == (0.25, 1.5)
    assert (found.sources, found.targets, found.pairs) == (4, 2, 8)
    assert [(m.model, m.systems, m.mappings, m.direct) for m in found.models] == [
        ("event/v1", 4, 2, 8),
        ("incident/v1", 2, 2, 8),
    ]


def test_a_second_flow_between_the_same_systems_needs_no_further_translation() -> None:
    """What both ways share counts once in both."""
    one = counted(flow("one", ["alertmanager"], ["helpdesk"]))
    two = counted(*(flow(name, ["alertmanager"], ["helpdesk"]) for name in ("one", "two")))

    assert (two.direct, two.connections, two.mappings) == (
        one.direct,
        one.connections,
        one.mappings,
    )
    assert (two.uses, two.flows, two.reuse) == (4, 2, 2.0)


def test_a_way_back_is_a_translation_of_its_own() -> None:
    """Where status comes back, the direct way would need a second translation for each pair."""
    back = flow("one", ["alertmanager"], ["helpdesk"])
    back["spec"]["roles"]["source"][0]["reverseMapping"] = "incident-to-helpdesk"
    back["spec"]["roles"]["target"][0]["reverseMapping"] = "alertmanager-to-event"

    found = counted(back)

    assert (found.pairs, found.direct, found.connections) == (1, 2, 4)
    assert (found.sources, found.targets) == (1, 1)


def test_what_is_only_told_or_on_trial_or_missing_does_not_count() -> None:
    """A chat needs no translation, a trial is none yet, and what does not exist joins nothing."""
    odd = flow(
        "one", ["alertmanager", "nowhere"], ["helpdesk"], notifier=[{"name": "chat", "connector": "chat"}]
    )  # fmt: skip
    odd["spec"]["roles"]["source"][0]["shadow"] = "alertmanager-to-event"
    resources, _ = load(
        [
            *(r for r in manifests() if r["kind"] != "Flow"),
            connector("chat", "notification-webhook"),
            odd,
        ]
    )
    (found,) = estate(resources.all("Flow"), resources)

    assert [ref.name for ref in systems([found])] == ["alertmanager", "helpdesk"]
    assert {link.kind for link in found.links} == {"mapped", "shadow", "unmapped"}
    assert found.lost == ("spec.roles.source[1].connector",)
    assert complexity([found], frozenset()).connections == 2


def test_a_flow_whose_pattern_does_not_exist_joins_nothing() -> None:
    """Nothing is known of its models, so nothing is guessed."""
    lost = flow("one", ["alertmanager"], ["helpdesk"])
    lost["spec"]["pattern"] = "nowhere"

    found = counted(lost)

    assert (found.systems, found.direct, found.models) == (0, 0, ())
    assert (found.saving, found.reuse, found.standard) == (None, None, 0)
