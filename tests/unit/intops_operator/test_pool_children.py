"""What the worker of a pool is made of, and what of it changes when Flows come, change and go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from intops_api import names
from intops_api.flow import EmbeddedStore, Resources, Runtime, Store
from intops_operator.core.children import desired
from intops_operator.core.children.configmap import plan_config_map
from intops_operator.core.children.pool import (
    Needs,
    Pool,
    amount,
    desired_pool,
    needs_of,
    needs_text,
    read_needs,
)
from intops_operator.core.children.worker import (
    Manifest,
    Slot,
    Worker,
    WorkerSettings,
    child_name,
    place_of_slot,
    pool_child_name,
    slot_name,
)
from support.operator_facts import example_worker

SETTINGS = WorkerSettings(image="example.com/intops-worker:1")


def pooled(place: int = 0, **changes: Any) -> Worker:
    """The example's Flow at a place of a pool."""
    return replace(example_worker(**changes), slot=Slot("quiet", place))


def pool_of(*needs: Needs, claim: EmbeddedStore | None = None) -> Pool:
    return Pool("itsm", "quiet", needs, SETTINGS, claim)


def deployment(*needs: Needs) -> Manifest:
    """The pool's Deployment."""
    (found,) = [m for m in desired_pool(pool_of(*needs)) if m["kind"] == "Deployment"]
    return found


def test_neither_a_flow_that_comes_nor_a_changed_plan_touches_the_pod() -> None:
    """Every place is in the pod from the first day, whether a Flow is there or not."""
    needs = needs_of(pooled())

    assert deployment(needs) == deployment(needs, needs_of(pooled(1, hash="another")))
    volumes = deployment(needs)["spec"]["template"]["spec"]["volumes"]
    sources = volumes[0]["projected"]["sources"]
    assert len(sources) == names.POOL_PLACES == 100
    assert all(source["configMap"]["optional"] for source in sources)


def test_a_new_secret_restarts_the_pool() -> None:
    """It has to be mounted."""
    needs = needs_of(pooled())
    more = replace(needs, secrets=(*needs.secrets, "another"))

    assert deployment(needs) != deployment(needs, more)


def test_a_pool_may_reach_what_its_flows_reach_and_no_more() -> None:
    """The union of their ports."""
    pool = pool_of(Needs(ports=(443, 8080)), Needs(ports=(443, 25)))

    assert pool.ports == [25, 443, 8080]


def test_a_pool_is_nobodys_child() -> None:
    """It ends with its last Flow; what is a Flow's own goes with that Flow."""
    assert not [m for m in desired_pool(pool_of(Needs())) if "ownerReferences" in m["metadata"]]
    own = desired(pooled())
    assert [m["kind"] for m in own] == ["ConfigMap", "Service"]
    assert all(m["metadata"]["ownerReferences"][0]["kind"] == "Flow" for m in own)


def test_a_pool_is_as_large_as_the_largest_of_its_flows_asks() -> None:
    """Volume, memory, processor: quiet Flows are not added up."""
    runtime = Runtime(resources=Resources(requests={"cpu": "1"}, limits={"memory": "512Mi"}))
    large = Store(embedded=EmbeddedStore(size="2Gi", storage_class="fast"))
    pool = pool_of(Needs(size="900Mi"), needs_of(replace(pooled(store=large), runtime=runtime)))

    assert pool.volume == EmbeddedStore(size="2Gi", storage_class="fast")
    assert pool.runtime.resources == Resources(
        requests={"cpu": "1", "memory": "192Mi"}, limits={"memory": "1Gi"}
    )


def test_a_volume_never_shrinks_and_keeps_its_class() -> None:
    """Both would be refused for ever, and the pool would never be repaired again."""
    there = EmbeddedStore.model_construct(size="5Gi", storage_class="slow")

    found = pool_of(Needs(size="1Gi", storage_class="fast"), claim=there).volume

    assert (found.size, found.storage_class) == ("5Gi", "slow")


def test_needs_survive_their_way_through_an_annotation() -> None:
    """Another leader reads what this one wrote."""
    needs = needs_of(pooled())

    assert read_needs(needs_text(needs)) == needs
    assert needs.secrets == ("alertmanager-token", "helpdesk-token")


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"ports": 1}', '{"ports": ["x"]}'])
def test_needs_that_somebody_broke_need_nothing_until_repaired(text: str | None) -> None:
    """The Flow's next look writes them anew."""
    assert read_needs(text) == Needs()


def test_a_closed_place_keeps_what_it_needs_and_loses_its_plan() -> None:
    """The worker stops the Flow; that it gives up its Secrets would restart the pool too early."""
    closed = plan_config_map(pooled(3), closed=True)

    assert closed["metadata"]["name"] == "intopspool-quiet-03"
    assert list(closed["metadata"]["annotations"]) == [names.ANNOTATION_NEEDS]
    assert "binaryData" not in closed


def test_a_pool_and_a_flow_are_never_called_alike() -> None:
    """Whatever the names: a child of a Flow begins with intops-, one of a pool never."""
    assert not pool_child_name("quiet").startswith(child_name(""))
    assert place_of_slot("quiet", slot_name("quiet", 42)) == 42
    assert place_of_slot("quiet", slot_name("other", 42)) is None


@pytest.mark.parametrize(
    ("small", "large"), [("900Mi", "1Gi"), ("999m", "1"), ("1000Mi", "1Gi"), ("what", "1Ki")]
)
def test_quantities_are_compared_by_what_they_mean(small: str, large: str) -> None:
    """Not by their spelling."""
    assert amount(small) < amount(large)


def test_one_flow_cannot_make_a_pod_that_no_api_server_takes_nor_hold_the_others_down() -> None:
    """A limit below what is requested is refused; a limit that only one states is no limit of all."""
    modest = Needs(limits=(("cpu", "50m"),))
    hungry = Needs(requests=(("memory", "2Gi"),))

    both = pool_of(modest, hungry).runtime.resources
    alone = pool_of(modest).runtime.resources

    assert both is not None
    assert alone is not None
    assert (both.requests["memory"], both.limits) == ("2Gi", {"memory": "2Gi"})
    assert alone.limits == {"memory": "1Gi", "cpu": "100m"}


def test_a_claim_that_somebody_enlarged_in_other_units_is_no_error() -> None:
    """Only Flows are bound to Mi, Gi and Ti."""
    there = EmbeddedStore.model_construct(size="20G", storage_class=None)

    assert pool_of(Needs(size="1Gi"), claim=there).volume.size == "20G"
