"""Plans as files: what is new, changed, gone or unreadable."""

from __future__ import annotations

from pathlib import Path

import pytest

from intops_api.names import PLAN_KEY
from intops_api.plan import FlowPlan
from intops_core.planning import encode_plan
from intops_runtime.edges.plan_files import PlanChanges, PlanFiles
from support.runtime.flows import alerts_to_helpdesk

FLOW = ("itsm", "alerts-to-helpdesk")


@pytest.fixture(scope="module")
def plan() -> FlowPlan:
    """The plan of the first example."""
    return alerts_to_helpdesk("https://desk.example.com")


def named(plan: FlowPlan, name: str) -> FlowPlan:
    return plan.model_copy(update={"flow": plan.flow.model_copy(update={"name": name})})


def put(root: Path, folder: str, data: bytes | FlowPlan) -> Path:
    path = root / folder / PLAN_KEY
    path.parent.mkdir(exist_ok=True)
    fresh = path.with_name(".fresh")
    fresh.write_bytes(data if isinstance(data, bytes) else encode_plan(data))
    return fresh.rename(path)


def test_a_plan_is_told_once_and_again_when_it_changes(tmp_path: Path, plan: FlowPlan) -> None:
    """A look at unchanged files costs nothing and says nothing."""
    files = PlanFiles(tmp_path)
    assert files.look() == PlanChanges()

    put(tmp_path, "a", plan)
    assert files.look().changed == {FLOW: plan}
    assert files.look() == PlanChanges()

    put(tmp_path, "a", plan)
    assert files.look() == PlanChanges()

    changed = plan.model_copy(update={"suspend": True})
    put(tmp_path, "a", changed)
    assert files.look().changed == {FLOW: changed}


def test_a_plan_that_is_gone_is_told_by_its_flow(tmp_path: Path, plan: FlowPlan) -> None:
    """The worker stops what nobody wants any more, and starts it again when it comes back."""
    files = PlanFiles(tmp_path)
    path = put(tmp_path, "a", plan)
    files.look()

    path.unlink()
    assert files.look() == PlanChanges(gone=frozenset({FLOW}))
    assert files.look() == PlanChanges()

    put(tmp_path, "a", plan)
    assert files.look().changed == {FLOW: plan}


@pytest.mark.parametrize("data", [b"", b"no plan", b"\x1f\x8b\x08\x00cut"])
def test_an_unreadable_plan_leaves_the_old_one_running(
    tmp_path: Path, plan: FlowPlan, data: bytes
) -> None:
    """It is told with its folder, in a sentence, once; and nothing is gone."""
    files = PlanFiles(tmp_path)
    put(tmp_path, "a", plan)
    files.look()

    put(tmp_path, "a", data)
    changes = files.look()

    assert (changes.changed, changes.gone) == ({}, frozenset())
    assert list(changes.unreadable) == ["a"]
    assert changes.unreadable["a"].endswith(".")
    assert changes.refused == {FLOW: changes.unreadable["a"]}
    assert not files.are_all_read
    assert files.look() == PlanChanges()

    put(tmp_path, "a", plan)
    assert files.look().changed == {FLOW: plan}
    assert files.are_all_read


def test_one_unreadable_plan_stops_no_other(tmp_path: Path, plan: FlowPlan) -> None:
    """Each folder is read for itself."""
    put(tmp_path, "a", b"no plan")
    put(tmp_path, "b", plan)

    changes = PlanFiles(tmp_path).look()

    assert (list(changes.unreadable), list(changes.changed)) == (["a"], [FLOW])


def test_a_folder_that_gets_another_flow_ends_the_first(tmp_path: Path, plan: FlowPlan) -> None:
    """No Flow goes on without a plan of its own."""
    files = PlanFiles(tmp_path)
    put(tmp_path, "a", plan)
    files.look()

    put(tmp_path, "a", named(plan, "other"))
    changes = files.look()

    assert list(changes.changed) == [("itsm", "other")]
    assert changes.gone == {FLOW}


def test_a_flow_that_moves_to_another_folder_goes_on(tmp_path: Path, plan: FlowPlan) -> None:
    """Which folder a plan lies in says nothing."""
    files = PlanFiles(tmp_path)
    path = put(tmp_path, "a", plan)
    files.look()

    path.unlink()
    put(tmp_path, "b", plan)
    changes = files.look()

    assert list(changes.changed) == [FLOW]
    assert changes.gone == frozenset()


def test_a_plan_that_cannot_be_read_for_now_is_not_gone(tmp_path: Path, plan: FlowPlan) -> None:
    """Too many open files, or a volume that fails, must not stop a Flow."""
    path = put(tmp_path, "a", plan)
    files = PlanFiles(tmp_path)
    files.look()
    path.unlink()
    path.symlink_to(path.name)  # reading it fails, and not because it is missing
    assert files.look() == PlanChanges()
    assert not files.are_all_read

    path.unlink()
    assert files.look() == PlanChanges(gone=frozenset({FLOW}))
    assert files.are_all_read
