"""A plan is kept small between two looks and is the same when it is needed."""

from __future__ import annotations

import pytest

from intops_api.plan import FlowPlan, PlanBlobs
from intops_core.planning import plan_flow
from intops_operator.core.kept_plan import KeptPlan
from intops_operator.flowstate import FlowState
from support.conformance import flow_of, world


@pytest.fixture(scope="module")
def plan() -> FlowPlan:
    """The plan of the first example."""
    resources, _ = world()
    planned = plan_flow(flow_of(resources), resources).plan
    assert planned is not None
    return planned


def test_what_is_kept_is_the_plan_without_what_stands_in_its_configmap(plan: FlowPlan) -> None:
    """Classes are there: they are shared by all plans."""
    kept = KeptPlan.of(plan)

    assert kept.plan() == plan.model_copy(update={"blobs": PlanBlobs(classes=plan.blobs.classes)})
    assert len(kept.packed) < 1_500
    assert all(kept.plan().blobs.classes[name] is blob for name, blob in plan.blobs.classes.items())


def test_a_plan_that_is_not_in_its_configmap_yet_is_kept_as_it_is(plan: FlowPlan) -> None:
    """It is needed whole for the next try."""
    state = FlowState()
    state.replan(plan, b"packed")
    state.close()

    assert state.plan is plan
    state.open()
    assert state.plan is plan


def test_another_plan_takes_the_place_of_the_kept_one(plan: FlowPlan) -> None:
    """And none takes it, too."""
    state = FlowState()
    for suspended in (False, True):
        state.replan(plan.model_copy(update={"suspend": suspended}))
        state.close()
        assert state.plan is None
        state.open()
        assert state.plan is not None
        assert state.plan.suspend is suspended
    state.replan(None)
    state.close()
    state.open()
    assert state.plan is None
