"""What a Deployment is made of while an image spreads, and what all workers say together about their store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from intops_api import names
from intops_api.flow import PostgresStore, Replicas, Runtime, Store
from intops_api.report import PlanReport
from intops_core.resources import Ref
from intops_operator.cache import Cache
from intops_operator.core.children.worker import labels, pool_child_name, slot_name
from intops_operator.core.deployed import Deployed, deployed, roll_note, size_note
from intops_operator.core.facts import Heard
from intops_operator.core.observed import POOL
from intops_operator.core.rolling import Before, Pace, Release, Roll
from intops_operator.core.scaling import Load, Size
from intops_operator.edges.cluster import Cluster
from intops_operator.edges.reports import ReportBook
from intops_operator.rollout import Rollout, Standing
from intops_operator.sizing import Sizing, load_of
from intops_operator.workqueue import WorkQueue
from support.conformance import catalogue_and_example, flow_of

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
OLD, NEW = Release("worker:1", "a"), Release("worker:2", "b")
FLOW = Ref("Flow", "itsm", "alerts-to-helpdesk")
NOBODY = cast("Cluster", None)
"""Nothing here is told to an API server."""


def body(notes: dict[str, str], *, image: str = "worker:1", replicas: int = 1) -> dict[str, Any]:
    """The Flow's Deployment, with all its pods ready."""
    containers = [{"name": "worker", "image": image}]
    return {
        "metadata": {
            "name": f"intops-{FLOW.name}", "namespace": "itsm", "uid": "d", "generation": 1,
            "labels": labels(FLOW.name), "annotations": notes,
        },
        "spec": {"replicas": replicas, "template": {"spec": {"containers": containers}}},
        "status": {
            "observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": replicas,
        },
    }  # fmt: skip


def found(roll: Roll, *, image: str = "") -> Deployed:
    """The Deployment as it is read back."""
    return deployed(body(roll_note(roll), image=image or roll.release.image))


class Leader:
    """A roll-out of the new release with everything that it works with."""

    def __init__(self) -> None:
        self.cache, self.queue = Cache(), WorkQueue[Ref]()
        self.seconds = 0.0
        raw = {**flow_of(catalogue_and_example()).raw}
        raw["metadata"] = {**raw["metadata"], "namespace": "itsm", "uid": "f", "generation": 1}
        self.cache.take("Flow", raw)
        self.rollout = Rollout(NOBODY, self.cache, self.queue, NEW, Pace(), self.now)

    def now(self) -> datetime:
        """The time that the test says it is."""
        return NOW + timedelta(seconds=self.seconds)

    def show(self, roll: Roll) -> Deployed:
        """What the feed brings of the Deployment."""
        self.cache.take("Deployment", body(roll_note(roll), image=roll.release.image))
        return found(roll)


def test_a_flow_without_a_worker_begins_with_the_new_image() -> None:
    """There is nothing that it could lose."""
    assert Leader().rollout.roll(FLOW, "x", None) == (Roll(NEW, "x"), False)


@pytest.mark.parametrize(
    ("deployment", "inputs", "held"),
    [
        pytest.param(found(Roll(OLD, "x")), "x", True, id="as it was made"),
        pytest.param(deployed(body({})), "x", True, id="made by an older operator"),
        pytest.param(found(Roll(OLD, "y")), "x", False, id="its own spec changes its pods"),
        pytest.param(found(Roll(OLD, "x"), image="foreign"), "x", False, id="edited by hand"),
    ],
)
def test_a_worker_that_waits_keeps_its_image_whatever_else_is_applied(
    deployment: Deployed, inputs: str, held: bool
) -> None:
    """Its pods are left alone, but for what its people change and what somebody edited."""
    roll, is_held = Leader().rollout.roll(FLOW, inputs, deployment)

    assert (roll.release.image, roll.inputs, is_held) == ("worker:1", "x", held)


async def test_a_turn_is_noted_on_the_deployment_and_ends_with_a_proof() -> None:
    """Given, shown, well for a minute, noted: and a new leader would see the same at each point."""
    leader = Leader()
    old = leader.show(Roll(OLD, "x"))
    await leader.rollout.step()
    assert leader.rollout.roll(FLOW, "x", old)[1], "nobody has judged it yet"

    leader.rollout.note(FLOW, Standing(ready=True, review=2))
    await leader.rollout.step()
    given, held = leader.rollout.roll(FLOW, "x", old)
    assert (given, held) == (Roll(NEW, "x", NOW, ready=True, review=2), False)
    assert len(leader.queue) == 1

    new = leader.show(given)
    leader.seconds = 59
    await leader.rollout.step()
    assert not leader.rollout.roll(FLOW, "x", new)[0].proved
    leader.seconds = 60
    await leader.rollout.step()
    assert leader.rollout.roll(FLOW, "x", new)[0].proved


async def test_a_flow_that_cannot_be_applied_takes_no_turn() -> None:
    """It would take the room of others for ever."""
    leader = Leader()
    old = leader.show(Roll(OLD, "x"))
    leader.rollout.note(FLOW, Standing(ready=False, rolls=False))
    await leader.rollout.step()

    roll, held = leader.rollout.roll(FLOW, "x", old)
    assert (roll.release, held, len(leader.queue)) == (OLD, True, 0)


QUIET = Ref(POOL, "itsm", "quiet")


def pooled(leader: Leader, *flows: str, roll: Roll | None) -> Deployed:
    """What the feed brings of a pool: its Flows, their places, its Deployment."""
    managed = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_POOL: QUIET.name}
    raw = flow_of(catalogue_and_example()).raw
    for place, name in enumerate(flows):
        meta = {"name": name, "namespace": "itsm", "uid": name, "generation": 1}
        leader.cache.take("Flow", {**raw, "metadata": meta})
        slot = {
            **meta,
            "name": slot_name(QUIET.name, place),
            "labels": {**managed, names.LABEL_FLOW: name},
        }
        leader.cache.take("ConfigMap", {"metadata": slot})
    made = body(roll_note(roll) if roll else {}, image=roll.release.image if roll else "worker:1")
    made["metadata"] |= {"name": pool_child_name(QUIET.name), "labels": managed}
    leader.cache.take("Deployment", made)
    return deployed(made)


@pytest.mark.parametrize("roll", [Roll(OLD, "x"), None], ids=["noted", "made by an older operator"])
async def test_the_worker_of_a_pool_waits_for_its_turn_until_all_of_its_flows_are_judged(
    roll: Roll | None,
) -> None:
    """Then it is noted how each of them was."""
    leader = Leader()
    old = pooled(leader, "one", "two", roll=roll)
    leader.rollout.note(Ref("Flow", "itsm", "one"), Standing(ready=True, review=2))
    await leader.rollout.step()
    assert leader.rollout.roll(QUIET, "x", old)[1], "nobody has judged the other one yet"

    leader.rollout.note(Ref("Flow", "itsm", "two"), Standing(ready=False))
    await leader.rollout.step()
    given, held = leader.rollout.roll(QUIET, "x", old)
    flows = (Before("one", True, 2), Before("two", ready=False))
    assert (given, held) == (Roll(NEW, "x", NOW, flows=flows), False)

    new = pooled(leader, "one", "two", roll=given)
    leader.seconds = 60
    await leader.rollout.step()
    assert leader.rollout.roll(QUIET, "x", new)[0] == replace(given, proved=True)


async def test_a_pool_that_cannot_be_applied_takes_no_turn() -> None:
    """It would take the room of others for ever."""
    leader = Leader()
    old = pooled(leader, "one", roll=Roll(OLD, "x"))
    leader.rollout.note(Ref("Flow", "itsm", "one"), Standing(ready=True))
    await leader.rollout.step()
    assert not leader.rollout.roll(QUIET, "x", old)[1]
    leader.rollout.note(Ref("Flow", "itsm", "one"), Standing(ready=False, rolls=False))
    await leader.rollout.step()

    roll, held = leader.rollout.roll(QUIET, "x", old)
    assert (roll.release, held) == (OLD, True)


def heard(at_s: float = 0.0, **report: Any) -> Heard:
    """A report of one worker, so many seconds ago."""
    store = {"scope": "shared", "received": 100, "waiting": 20, "sending": 5, "pending": 3,
             "oldestAt": "2026-11-25T11:59:15Z", **report.pop("store", {})}  # fmt: skip
    raw = {"flow": {"namespace": "itsm", "name": FLOW.name}, "store": store, **report}
    return Heard("pod", NOW - timedelta(seconds=at_s), PlanReport.model_validate(raw))


def test_a_shared_store_counts_once_by_its_newest_report() -> None:
    """Two workers that say the same of one store are not twice the backlog."""
    older = heard(3.0, store={"waiting": 900})

    assert load_of([older, heard()], NOW) == Load(NOW, 28, 45.0, arrived=103, ended=75)
    assert load_of([heard(store={"scope": "worker"})], NOW) is None


@pytest.mark.parametrize(
    ("system", "blocked"),
    [
        ({"role": "target", "state": "held"}, True),
        ({"role": "target", "state": "limited"}, True),
        ({"role": "target", "state": "ok"}, False),
        ({"role": "enricher", "state": "open"}, False),
    ],
)
def test_a_target_that_holds_messages_back_for_any_worker_holds_them_for_all(
    system: dict[str, str], blocked: bool
) -> None:
    """Another worker would only wait as well."""
    said = heard(connectors=[{"name": "helpdesk", "connector": "helpdesk", **system}])
    load = load_of([heard(), said], NOW)

    assert load is not None
    assert load.blocked is blocked


def shared(least: int, most: int) -> Runtime:
    """A Flow with a database and bounds."""
    store = Store(postgres=PostgresStore(secret_name="database"))
    return Runtime(replicas=Replicas(min=least, max=most), store=store)


def test_a_new_leader_keeps_the_size_that_was_noted() -> None:
    """Without any report it changes nothing; where the spec leaves no choice nothing is decided."""
    sizing = Sizing(
        NOBODY, Cache(), ReportBook(), down_after_s=300, no_report_after_s=30, now=lambda: NOW
    )
    noted = deployed(body(size_note(Size(3, NOW, 8.0)), replicas=3))

    assert sizing.size(FLOW, shared(1, 4), noted) == Size(3, NOW, 8.0)
    assert sizing.look_again_s(FLOW, shared(1, 4)) is not None
    assert sizing.size(FLOW, shared(2, 2), noted) is None
    assert sizing.size(FLOW, Runtime(), noted) is None


def test_a_size_that_somebody_edited_is_not_taken_for_ours() -> None:
    """What was noted counts, and where nothing was, the least."""
    sizing = Sizing(
        NOBODY, Cache(), ReportBook(), down_after_s=300, no_report_after_s=30, now=lambda: NOW
    )
    edited = deployed(body({names.ANNOTATION_SCALE: "ours"}, replicas=4))
    size = sizing.size(FLOW, shared(1, 4), edited)

    assert size is not None
    assert size.replicas == 1
