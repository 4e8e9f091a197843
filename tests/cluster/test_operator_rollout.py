"""A new worker image on a real API server: one Flow or pool, then the others, and none while one is worse off."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from intops_api import names
from support.cluster.api import Api
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.operators import (
    OperatorProcess,
    ReportServer,
    apply,
    await_condition,
    condition,
    documents,
    operator,
    running_pod,
)

pytestmark = pytest.mark.cluster

OURS = ("first", "second", "third")
OLD, NEW = "example.com/intops-worker:test", "example.com/intops-worker:new"
PACE = ("--rollout-pause=1", "--rollout-deadline=5", "--rollout-wave=1")


@contextmanager
def leading(
    plane: ControlPlane, workers: ReportServer, folder: Path, name: str, image: str
) -> Iterator[OperatorProcess]:
    """An operator that leads, with a worker image."""
    flags = (
        f"--operations-port={workers.port}", f"--worker-image={image}", "--lease-name=rollout",
        f"--certificate-secret={folder.name.replace('_', '-')[:40]}", *PACE,
    )  # fmt: skip
    with operator(plane, folder, name, *flags) as process:
        until(process.leads, "the operator to lead", explain=process.tail)
        yield process


@pytest.fixture
def space(plane: ControlPlane, itsm: str) -> Iterator[str]:
    """A namespace whose Flows go with the test: a roll-out concerns all Flows that there are."""
    yield itsm
    plane.kubectl.run("delete", "flows", "--all", "-n", itsm)


def images(api: Api, space: str) -> list[str]:
    """The image of each Flow's pods, in the order of `OURS`."""
    found = (api.get("Deployment", space, f"intops-{name}") or {} for name in OURS)
    return [one["spec"]["template"]["spec"]["containers"][0]["image"] for one in found]


def pods(plane: ControlPlane, space: str, name: str) -> list[str]:
    """Names of a Flow's pods."""
    found = plane.kubectl.get("pods", "-n", space, "-l", f"{names.LABEL_FLOW}={name}")["items"]
    return sorted(pod["metadata"]["name"] for pod in found)


def unproved(api: Api, space: str) -> int:
    """How many Flows have the new image and have not proved it."""
    found = (api.get("Deployment", space, f"intops-{name}") or {} for name in OURS)
    notes = [json.loads(one["metadata"]["annotations"][names.ANNOTATION_ROLLOUT]) for one in found]
    return sum(1 for note in notes if "at" in note and not note["proved"])


def bring_up(plane: ControlPlane, workers: ReportServer, space: str) -> None:
    """Three Flows whose workers run and report."""
    apply(plane, space, "connectors.yaml", "mappings.yaml")
    for name in OURS:
        (flow,) = documents("flow.yaml")
        flow["metadata"] = {**flow["metadata"], "name": name, "namespace": space}
        plane.kubectl.apply(flow)
        run_worker(plane, workers, space, name)


def run_worker(plane: ControlPlane, workers: ReportServer, space: str, name: str) -> None:
    """Start the pod of a Flow, which reports the wanted plan."""
    running_pod(plane, space, name)
    report_well(plane, workers, space, name)


def report_well(
    plane: ControlPlane, workers: ReportServer, space: str, name: str, **report: Any
) -> None:
    """Have the worker of a Flow report the wanted plan, and wait until the Flow is Ready."""
    found = plane.kubectl.wait(
        lambda flow: bool(flow.get("status", {}).get("configHash")),
        f"flow/{name}", "-n", space, what="a plan",
    )  # fmt: skip
    workers.say(space, name, active=found["status"]["configHash"], **report)
    await_condition(plane, space, "Ready", "True", "Healthy", of=f"flow/{name}")


def stays(fact: Callable[[], Any], seconds: float) -> None:
    """Look for a while that something does not change."""
    before, looks = fact(), 0

    def over() -> bool:
        nonlocal looks
        looks += 1
        assert fact() == before
        return looks > seconds * 4

    until(over, "a while to pass", timeout_s=seconds * 10 + 30, every_s=0.25)


def test_f73_a_worker_that_does_not_start_with_a_new_image_keeps_all_others_from_it(
    plane: ControlPlane, api: Api, workers: ReportServer, space: str, tmp_path: Path
) -> None:
    """F73: also for the next leader; started, it lets the others follow one after another."""
    with leading(plane, workers, tmp_path, "before", OLD):
        bring_up(plane, workers, space)
        assert images(api, space) == [OLD] * 3

    with leading(plane, workers, tmp_path, "upgraded", NEW) as upgraded:
        until(
            lambda: upgraded.metric("intops_operator_rollout_halted") == 1, "it halts",
            timeout_s=90, explain=upgraded.tail,
        )  # fmt: skip
        assert images(api, space) == [NEW, OLD, OLD]
        (line,) = [one for one in upgraded.events() if one["event"] == "roll-out halted"]
        assert (line["flow"], line["waiting"]) == ("first", 2)
        assert "It goes on by itself when the Flow is well again" in line["action"]
        upgraded.kill()

    with leading(plane, workers, tmp_path, "next", NEW) as following:
        until(
            lambda: following.metric("intops_operator_rollout_halted") == 1, "it is halted still",
            timeout_s=90, explain=following.tail,
        )  # fmt: skip
        stays(lambda: images(api, space), 3)
        told = plane.kubectl.wait(
            lambda flow: "halted at this Flow" in condition(flow, "Ready").get("message", ""),
            "flow/first", "-n", space, what="the status to say so",
        )  # fmt: skip
        assert condition(told, "Ready")["status"] == "False"
        told_by = [
            event for event in plane.kubectl.get("events", "-n", space)["items"]
            if event["reason"] == "RolloutHalted"
        ]  # fmt: skip
        assert {event["involvedObject"]["name"] for event in told_by} == {"first"}

        for name in OURS:
            until(
                lambda name=name: images(api, space)[OURS.index(name)] == NEW, f"the turn of {name}",
                timeout_s=60, explain=following.tail,
            )  # fmt: skip
            assert unproved(api, space) <= 1
            run_worker(plane, workers, space, name)
        until(lambda: unproved(api, space) == 0, "all have proved it", explain=following.tail)
        assert following.metric("intops_operator_rollout_halted") == 0
        assert images(api, space) == [NEW] * 3


def test_the_last_good_image_takes_back_only_what_had_left_it(
    plane: ControlPlane, api: Api, workers: ReportServer, space: str, tmp_path: Path
) -> None:
    """Two Flows never notice that there was another one."""
    with leading(plane, workers, tmp_path, "before", OLD):
        bring_up(plane, workers, space)
    before = [pods(plane, space, name) for name in OURS]

    with leading(plane, workers, tmp_path, "upgraded", NEW) as upgraded:
        until(
            lambda: upgraded.metric("intops_operator_rollout_halted") == 1, "it halts",
            timeout_s=90, explain=upgraded.tail,
        )  # fmt: skip

    with leading(plane, workers, tmp_path, "back", OLD) as back:
        until(
            lambda: images(api, space) == [OLD] * 3, "it is taken back",
            timeout_s=60, explain=back.tail,
        )  # fmt: skip
        run_worker(plane, workers, space, "first")
        until(lambda: unproved(api, space) == 0, "it has proved itself", explain=back.tail)
    after = [pods(plane, space, name) for name in OURS]
    assert [now == then for then, now in zip(before, after, strict=True)] == [False, True, True]


POOLED = ("one", "two")
BUSY = {"rates": {"deliveredPerHour": 5}}


def pool_image(api: Api, space: str) -> str:
    """The image of the pool's pod."""
    found = api.get("Deployment", space, "intopspool-quiet") or {}
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def pool_note(api: Api, space: str) -> dict[str, Any]:
    """What is noted about the roll of the pool."""
    found = api.get("Deployment", space, "intopspool-quiet") or {}
    note: dict[str, Any] = json.loads(found["metadata"]["annotations"][names.ANNOTATION_ROLLOUT])
    return note


def api_image(api: Api, space: str, name: str) -> str:
    """The image of a Flow's pods."""
    found = api.get("Deployment", space, f"intops-{name}") or {}
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def pod_uids(plane: ControlPlane, space: str) -> list[str]:
    """The pods of the pool."""
    found = plane.kubectl.get("pods", "-n", space, "-l", f"{names.LABEL_POOL}=quiet")["items"]
    return sorted(pod["metadata"]["uid"] for pod in found)


def bring_up_pool(plane: ControlPlane, workers: ReportServer, space: str) -> None:
    """Two Flows that deliver in a pool, and one with a worker of its own that does not."""
    apply(plane, space, "connectors.yaml", "mappings.yaml")
    for name in (*POOLED, "first"):
        (flow,) = documents("flow.yaml")
        flow["metadata"] = {**flow["metadata"], "name": name, "namespace": space}
        if name in POOLED:
            flow["spec"]["runtime"] = {"pool": "quiet", "store": {"embedded": {"size": "1Gi"}}}
        plane.kubectl.apply(flow)
    run_worker(plane, workers, space, "first")
    running_pod(plane, space, "quiet", kind="pool")
    for name in POOLED:
        report_well(plane, workers, space, name, **BUSY)


def says(plane: ControlPlane, space: str, name: str) -> str:
    """What the Ready condition of a Flow says."""
    found = plane.kubectl.get("flow", name, "-n", space)
    return str(condition(found, "Ready").get("message", ""))


def test_f73_a_pool_takes_one_turn_and_a_worse_flow_in_it_keeps_all_others_from_the_image(
    plane: ControlPlane, api: Api, workers: ReportServer, space: str, tmp_path: Path
) -> None:
    """F73: that Flow says so and its neighbour does not; well again, it lets the others follow."""
    with leading(plane, workers, tmp_path, "before", OLD):
        bring_up_pool(plane, workers, space)
        assert pool_image(api, space) == OLD

    with leading(plane, workers, tmp_path, "upgraded", NEW) as upgraded:
        until(lambda: pool_image(api, space) == NEW, "the turn of the pool", timeout_s=60,
              explain=upgraded.tail)  # fmt: skip
        assert pool_note(api, space)["flows"] == {"one": [True, 0], "two": [True, 0]}
        workers.plans[space, "two"] |= {"store": {"received": 9, "review": 9}}
        running_pod(plane, space, "quiet", kind="pool")
        report_well(plane, workers, space, "one", **BUSY)
        until(lambda: "halted at this Flow of pool" in says(plane, space, "two"), "it says so",
              timeout_s=60, explain=upgraded.tail)  # fmt: skip
        assert upgraded.metric("intops_operator_rollout_halted") == 1
        assert "intops.io/pool=quiet" in says(plane, space, "two")
        (line,) = [one for one in upgraded.events() if one["event"] == "roll-out halted"]
        assert (line["flow"], line["pool"], line["waiting"]) == ("two", "quiet", 1)
        stays(lambda: api_image(api, space, "first"), 2)
        assert api_image(api, space, "first") == OLD
        assert "halted" not in says(plane, space, "one")
        upgraded.kill()

    with leading(plane, workers, tmp_path, "next", NEW) as following:
        until(lambda: following.metric("intops_operator_rollout_halted") == 1, "it is halted still",
              timeout_s=90, explain=following.tail)  # fmt: skip
        workers.plans[space, "two"] |= {"store": {"received": 9, "done": 9}}
        until(lambda: api_image(api, space, "first") == NEW, "the turn of the other",
              timeout_s=60, explain=following.tail)  # fmt: skip
        assert pool_note(api, space)["proved"]
        assert following.metric("intops_operator_rollout_halted") == 0
        until(lambda: "halted" not in says(plane, space, "two"), "it says so no more",
              explain=following.tail)  # fmt: skip


def test_a_pool_that_waits_for_its_turn_keeps_its_pod_and_its_size(
    plane: ControlPlane, api: Api, workers: ReportServer, space: str, tmp_path: Path
) -> None:
    """A plan that comes changes nothing of it, and one pod it has whatever somebody wrote."""
    with leading(plane, workers, tmp_path, "before", OLD):
        bring_up_pool(plane, workers, space)
        report_well(plane, workers, space, "first", **BUSY)
    before = pod_uids(plane, space)

    with leading(plane, workers, tmp_path, "upgraded", NEW) as upgraded:
        until(lambda: api_image(api, space, "first") == NEW, "the canary", timeout_s=60,
              explain=upgraded.tail)  # fmt: skip
        until(lambda: upgraded.metric("intops_operator_rollout_halted") == 1, "it halts",
              timeout_s=60, explain=upgraded.tail)  # fmt: skip
        assert (pool_image(api, space), pod_uids(plane, space)) == (OLD, before)
        plane.kubectl.run("scale", "deployment/intopspool-quiet", "-n", space, "--replicas=0")
        until(
            lambda: plane.kubectl.get("deployment", "intopspool-quiet", "-n", space)["spec"]["replicas"],
            "its size to be as it was", explain=upgraded.tail,
        )  # fmt: skip
        assert pool_image(api, space) == OLD
