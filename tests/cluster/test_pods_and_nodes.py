"""Pods that go, pods that cannot start, and programs of the node that restart: under load, beside a neighbour."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.cluster import product
from support.cluster.node import NAME as NODE
from support.cluster.onenode import OneNode
from support.cluster.polling import until
from support.cluster.scenario import FLOW, first_within
from support.cluster.services import stop
from support.cluster.tenants import Tenant, tenant

pytestmark = [pytest.mark.cluster, pytest.mark.peers]

DRAINED_WITHIN_S = 30.0
"""Longest time from the word to go until a worker has ended: 2 s in which it still captures, and its drain."""
LATENCY_S = 0.4
"""Of the desk: so that something is being sent at any moment."""
AWAY_S = {"short": 5.0, "full": 30.0}
# Too little for an interpreter to start: the kernel ends it, again and again.
STARVED = {"resources": {"requests": {"memory": "10Mi"}, "limits": {"memory": "24Mi"}}}


@pytest.fixture(scope="module")
def moved(operators: OneNode) -> Iterator[Tenant]:
    """The Flow whose pods go."""
    with tenant(operators, "moved") as found:
        found.desk.set_faults(latency_s=LATENCY_S)
        yield found


@pytest.fixture(scope="module")
def neighbour(operators: OneNode) -> Iterator[Tenant]:
    """Another Flow on the same node, which must not notice."""
    with tenant(operators, "neighbour") as found:
        yield found


def pod_of(found: Tenant) -> str:
    """The name of the only worker pod that stays."""
    (name,) = (p["metadata"]["name"] for p in found.pods() if not _leaves(p))
    return str(name)


def _leaves(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def evict(cluster: OneNode, space: str, pod: str) -> str:
    """Ask for an eviction as `kubectl drain` does; empty if it is granted, else the refusal."""
    body = {
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": space}
    }  # fmt: skip
    path = f"/api/v1/namespaces/{space}/pods/{pod}/eviction"
    done = cluster.kubectl.try_run("create", "--raw", path, "-f", "-", given=json.dumps(body))
    return done.stderr if done.returncode else ""


def delete(found: Tenant) -> None:
    """As a person does."""
    found.cluster.kubectl.run("delete", "pod", pod_of(found), "-n", found.space, "--wait=false")


def delete_in_a_second(found: Tenant) -> None:
    """As somebody in a hurry does: the worker is killed while it drains."""
    found.cluster.kubectl.run(
        "delete", "pod", pod_of(found), "-n", found.space, "--wait=false", "--grace-period=1"
    )


def evict_worker(found: Tenant) -> None:
    """As an autoscaler does."""
    assert evict(found.cluster, found.space, pod_of(found)) == ""


def drain(found: Tenant) -> None:
    """As an upgrade of the node does; the pod comes back when the node does."""
    kubectl = found.cluster.kubectl
    try:
        kubectl.run("cordon", NODE)
        evict_worker(found)
        until(
            lambda: any(p["status"]["phase"] == "Pending" for p in found.pods()),
            "the next pod to wait for a node",
        )
        told = found.await_reason("Programmed", "WorkerUnavailable")
        assert "Unschedulable" in told["message"], told
    finally:
        kubectl.run("uncordon", NODE)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Two ways a pod goes are enough to see that nothing has changed; the long form has all of them."""
    if "way" in metafunc.fixturenames:
        full = metafunc.config.option.fault_runs == "full"
        more = [delete, evict_worker] if full else []
        metafunc.parametrize("way", [delete_in_a_second, drain, *more])


def test_f73_a_worker_whose_pod_goes_drains_in_time_and_loses_nothing(
    moved: Tenant, neighbour: Tenant, way: Callable[[Tenant], None]
) -> None:
    """F73: deleted, killed while it drains, evicted, drained from its node; another Flow does not notice."""
    theirs, gone = neighbour.lives(), moved.pods()[0]["metadata"]["uid"]
    with moved.sender() as sender, neighbour.sender() as beside:
        until(lambda: moved.store()["sending"], "something to be on its way")
        began = time.monotonic()
        way(moved)
        until(
            lambda: gone not in {pod["metadata"]["uid"] for pod in moved.pods()},
            "the old pod to end", timeout_s=90,
        )  # fmt: skip
        took_s = time.monotonic() - began
        moved.await_ready()
        sender.await_more(3)
    print(
        f"{way.__name__}: ended after {took_s:.1f} s, {sender.longest_gap_s:.1f} s without capture"
    )
    assert took_s < DRAINED_WITHIN_S
    assert 401 not in sender.answers, sender.answers
    assert neighbour.lives() == theirs
    assert set(beside.answers) == {200}, beside.answers
    moved.await_agreement()
    neighbour.await_agreement()


def test_f73_an_image_that_cannot_be_had_is_told_and_costs_time_only(
    moved: Tenant, neighbour: Tenant
) -> None:
    """F73: its pod cannot start, the condition says why; once there is the image, all is made up."""
    theirs = neighbour.lives()
    references = product.load_images(moved.cluster)
    with moved.sender() as sender, neighbour.sender() as beside:
        sender.await_more(2)
        moved.cluster.node.remove_image(references["worker"])
        delete(moved)
        told = moved.await_reason("Programmed", "WorkerUnavailable")
        assert "ErrImageNeverPull" in told["message"], told
        product.load_images(moved.cluster)
        moved.await_ready(timeout_s=180)
        sender.await_more(2)
    assert neighbour.lives() == theirs
    assert set(beside.answers) == {200}, beside.answers
    moved.await_agreement()


def test_f73_a_worker_that_crashes_at_every_start_is_told_and_costs_time_only(
    moved: Tenant, neighbour: Tenant
) -> None:
    """F73: too little memory to start; with enough, the next pod goes on with the same volume."""
    theirs = neighbour.lives()
    with moved.sender() as sender, neighbour.sender() as beside:
        sender.await_more(2)
        moved.apply_example(**STARVED)
        told = moved.await_reason("Programmed", "WorkerUnavailable", timeout_s=120)
        assert "CrashLoopBackOff" in told["message"], told
        moved.apply_example()
        moved.await_ready(timeout_s=120)
        sender.await_more(2)
    assert neighbour.lives() == theirs
    assert set(beside.answers) == {200}, beside.answers
    moved.await_agreement()


def test_f73_only_one_operator_at_a_time_may_be_evicted(operators: OneNode) -> None:
    """F73: its disruption budget keeps one, so that admission answers while a node is drained."""
    space = ("-n", product.NAMESPACE)
    chosen = ("-l", "app.kubernetes.io/name=intops-operator")
    first, second = (
        pod["metadata"]["name"] for pod in operators.kubectl.get("pods", *space, *chosen)["items"]
    )
    operators.kubectl.run("cordon", NODE)
    try:
        assert evict(operators, product.NAMESPACE, first) == ""
        assert "disruption budget" in evict(operators, product.NAMESPACE, second)
    finally:
        operators.kubectl.run("uncordon", NODE)
    operators.kubectl.run("rollout", "status", f"deployment/{product.RELEASE}", *space)


def test_f74_a_node_that_loses_its_power_gives_all_events_back_and_has_no_second_worker_meanwhile(
    moved: Tenant, neighbour: Tenant, fault_runs: str
) -> None:
    """F74: its pod is evicted; the next one does not run before the node is back, and has the same volume."""
    cluster, claim = moved.cluster, ("persistentvolumeclaim", f"intops-{FLOW}", "-n", moved.space)
    volume = cluster.kubectl.get(*claim)["metadata"]["uid"]
    with moved.sender() as sender:
        with moved.desk_away():
            sender.await_more(3)
            old = pod_of(moved)
            cluster.node.cut_power()
            began = time.monotonic()
            if fault_runs == "full":
                _await_verdict(cluster)
            # What Kubernetes does to the pods of a node that it has given up, five minutes after its verdict.
            cluster.kubectl.run("delete", "pod", old, "-n", moved.space, "--wait=false")
            until(lambda: len(moved.pods()) == 2, "the next pod to be made")
            assert not first_within(AWAY_S[fault_runs], lambda: _others_that_run(moved, old))
            refused = sender.answers[0]
            assert refused > 0, "nobody captures without power"
        cluster.node.start_containerd()
        cluster.node.start()
        moved.await_ready(timeout_s=180)
        took_s = time.monotonic() - began
        sender.await_more(3)
    moved.desk.set_faults(latency_s=LATENCY_S)
    print(
        f"Ready {took_s:.0f} s after the power went, {sender.longest_gap_s:.0f} s without capture"
    )
    assert cluster.kubectl.get(*claim)["metadata"]["uid"] == volume
    neighbour.await_ready(timeout_s=120)
    moved.await_agreement()


def _await_verdict(cluster: OneNode) -> None:
    """Wait until Kubernetes knows that the node is gone."""
    cluster.kubectl.wait(
        lambda node: any(t["key"] == "node.kubernetes.io/unreachable" for t in node["spec"].get("taints", ())),
        "node", NODE, what="the node to be given up", timeout_s=120,
    )  # fmt: skip


def _others_that_run(found: Tenant, old: str) -> list[str]:
    """Pods besides the old one that are said to run."""
    return [
        pod["metadata"]["name"]
        for pod in found.pods()
        if pod["metadata"]["name"] != old and pod["status"]["phase"] != "Pending"
    ]


@pytest.mark.parametrize("program", ["kubelet", "containerd"])
def test_f75_programs_of_the_node_that_restart_have_no_effect_on_messages(
    moved: Tenant, program: str, fault_runs: str
) -> None:
    """F75: kubelet or containerd is away for a while; captured, delivered and acknowledged as ever."""
    cluster, pods = moved.cluster, moved.lives()
    with moved.sender() as sender:
        sender.await_more(2)
        stop(cluster.state, program)
        made = moved.desk.ledger(entries=False)["tickets"]
        first_within(AWAY_S[fault_runs], lambda: False)
        assert moved.desk.ledger(entries=False)["tickets"] > made, "delivered meanwhile"
        cluster.node.start_containerd()
        cluster.node.start()
        sender.await_more(10)
    moved.await_ready()
    assert set(sender.answers) == {200}, sender.answers
    assert moved.lives() == pods
    moved.await_agreement()
