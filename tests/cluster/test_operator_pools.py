"""The operator and pools, on a real API server: places, a change of leader, moves, ends."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from intops_api.report import LastWords
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.operators import (
    OperatorProcess,
    ReportServer,
    apply,
    await_condition,
    condition,
    documents,
    end,
    node,
    operator,
    run_pod,
)

pytestmark = pytest.mark.cluster

CHILD = "intopspool-quiet"
MANY = 12
NODE = "node-of-pools"


def flow(space: str, name: str, pool: str | None = "quiet", **spec: Any) -> dict[str, Any]:
    """The example's Flow under another name, in a pool."""
    (raw,) = documents("flow.yaml")
    found = copy.deepcopy(raw)
    found["metadata"] = {"name": name, "namespace": space}
    store = {"store": {"embedded": {"size": "1Gi"}}}
    found["spec"]["runtime"] = {**store, "pool": pool} if pool else store
    found["spec"] |= spec
    return found


def places(plane: ControlPlane, space: str) -> dict[str, str]:
    """Flows by the name of their place in the pool, of those that have a plan there."""
    listed = plane.kubectl.get("configmaps", "-n", space, "-l", "intops.io/pool=quiet")["items"]
    return {
        one["metadata"]["name"]: one["metadata"]["labels"]["intops.io/flow"]
        for one in listed
        if one.get("binaryData")
    }


def test_flows_that_come_together_get_a_place_each_and_a_new_leader_changes_nothing(
    plane: ControlPlane, replica: OperatorProcess, itsm: str, tmp_path: Path
) -> None:
    """Eight of them are reconciled at a time; the pool's Deployment is written once."""
    apply(plane, itsm, "connectors.yaml", "mappings.yaml")
    plane.kubectl.apply(*[flow(itsm, f"flow-{n}") for n in range(MANY)])
    until(lambda: len(places(plane, itsm)) == MANY, "a place for each", timeout_s=90,
          explain=replica.tail)  # fmt: skip

    taken = places(plane, itsm)
    assert sorted(taken) == [f"{CHILD}-{n:02d}" for n in range(MANY)]
    assert sorted(taken.values()) == sorted(f"flow-{n}" for n in range(MANY))
    deployment = plane.kubectl.get("deployment", CHILD, "-n", itsm)
    assert deployment["metadata"]["generation"] == 1
    listed = plane.kubectl.get("deployments", "-n", itsm)["items"]
    assert [one["metadata"]["name"] for one in listed] == [CHILD]

    with operator(plane, tmp_path, "next") as successor:
        replica.process.terminate()
        until(successor.leads, "another leader", timeout_s=60)
        plane.kubectl.apply(flow(itsm, "one-more"))
        until(lambda: len(places(plane, itsm)) == MANY + 1, "its place", timeout_s=60)
        after = plane.kubectl.get("deployment", CHILD, "-n", itsm)
        assert after["metadata"]["generation"] == 1
        assert {k: v for k, v in places(plane, itsm).items() if k in taken} == taken

        plane.kubectl.run("delete", "flows", "-n", itsm, "--all")
        kinds = "deployment,configmap,service,serviceaccount,networkpolicy,persistentvolumeclaim"

        def left() -> list[str]:
            chosen = ("-n", itsm, "-l", "app.kubernetes.io/managed-by=intops")
            return [one["metadata"]["name"] for one in plane.kubectl.get(kinds, *chosen)["items"]]

        until(lambda: not left(), "everything to go", timeout_s=90, explain=successor.tail)


def test_a_flow_moves_when_its_worker_has_said_twice_that_nothing_is_left(
    plane: ControlPlane, workers: ReportServer, itsm: str, tmp_path: Path
) -> None:
    """Into a pool and out again, with a message that comes at the last moment."""
    kubectl = plane.kubectl
    with operator(plane, tmp_path, "mover", f"--operations-port={workers.port}") as replica:
        until(replica.leads, "the operator to lead", timeout_s=60, explain=replica.tail)
        apply(plane, itsm, "connectors.yaml", "mappings.yaml")
        kubectl.apply(node(NODE), flow(itsm, "mover", pool=None, suspend=True))
        pod = run_pod(plane, itsm, "intops.io/flow=mover", NODE)
        found = kubectl.wait(
            lambda one: bool(one.get("status", {}).get("configHash")),
            "flow/mover", "-n", itsm, what="a plan",
        )  # fmt: skip
        active = found["status"]["configHash"]
        workers.say(itsm, "mover", active=active, suspended=True, store={"received": 1, "held": 1})
        await_condition(plane, itsm, "Ready", "False", "Suspended", of="flow/mover")

        kubectl.apply(flow(itsm, "mover", suspend=True))
        found = await_condition(plane, itsm, "Programmed", "False", "MoveHeld", of="flow/mover")
        assert (
            "1 message in its store would stay behind" in condition(found, "Programmed")["message"]
        )
        assert kubectl.get("deployment", "intops-mover", "-n", itsm)["spec"]["replicas"] == 1

        # Empty by its report, but something came before it ended: it runs on where it was.
        workers.say(itsm, "mover", active=active, suspended=True, store={"received": 1, "done": 1})
        _end(plane, itsm, pod, {f"{itsm}/mover": 1}, replica)
        pod = run_pod(plane, itsm, "intops.io/flow=mover", NODE)
        assert places(plane, itsm) == {}
        _end(plane, itsm, pod, {f"{itsm}/mover": 0}, replica)
        until(lambda: places(plane, itsm) == {f"{CHILD}-00": "mover"}, "its place in the pool",
              timeout_s=60, explain=replica.tail)  # fmt: skip
        _await_gone(plane, itsm, "intops-mover", replica)
        service = kubectl.get("service", "intops-mover", "-n", itsm)
        assert service["spec"]["selector"]["intops.io/pool"] == "quiet"

        pod = run_pod(plane, itsm, "intops.io/pool=quiet", NODE)
        await_condition(plane, itsm, "Programmed", "True", "Programmed", of="flow/mover")
        kubectl.apply(flow(itsm, "mover", pool=None, suspend=True))
        until(lambda: places(plane, itsm) == {}, "its plan to be taken away", timeout_s=60,
              explain=replica.tail)  # fmt: skip
        assert kubectl.try_run("get", "deployment", "intops-mover", "-n", itsm).returncode != 0
        workers.leave(itsm, "mover", 0)
        kubectl.wait(lambda _: True, "deployment/intops-mover", "-n", itsm, what="its own worker")
        until(
            lambda: kubectl.try_run("get", "deployment", CHILD, "-n", itsm).returncode != 0,
            "the pool to go",
            timeout_s=60,
            explain=replica.tail,
        )


def _end(
    plane: ControlPlane, space: str, pod: str, left: dict[str, int | None], replica: OperatorProcess
) -> None:
    """Once the operator has taken the Deployment away, end its pod with these last words."""
    until(
        lambda: plane.kubectl.try_run("get", "deployment", "intops-mover", "-n", space).returncode,
        "the old Deployment to go",
        timeout_s=60,
        every_s=0.1,
        explain=replica.tail,
    )
    plane.kubectl.wait(
        lambda found: bool(found["metadata"].get("deletionTimestamp")),
        f"pod/{pod}", "-n", space, what="its pod to be on its way out",
    )  # fmt: skip
    end(plane, space, pod, LastWords(left=left))
    plane.kubectl.run("delete", f"pod/{pod}", "-n", space, "--force", "--grace-period=0")


def _await_gone(plane: ControlPlane, space: str, name: str, replica: OperatorProcess) -> None:
    """Wait until nothing of a Flow's own worker is left but the Service, which leads elsewhere."""
    kinds = "deployment,configmap,serviceaccount,networkpolicy,persistentvolumeclaim"

    def left() -> list[str]:
        found = plane.kubectl.get(kinds, "-n", space)["items"]
        return [one["kind"] for one in found if one["metadata"]["name"] == name]

    until(
        lambda: not left(),
        f"{name} to go",
        timeout_s=60,
        explain=lambda: f"{left()}\n{replica.tail()}",
    )
