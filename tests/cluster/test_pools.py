"""Pools in a real cluster: several Flows in one worker, that come, change, move and go without losing a message."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from intops_api import names
from support.cluster import product
from support.cluster.kubectl import Manifest
from support.cluster.onenode import OneNode
from support.cluster.polling import until
from support.cluster.scenario import (
    NAMESPACE,
    SOURCE_TOKEN,
    Installed,
    await_admission,
    condition_of,
    secret,
    table,
)
from support.peers.request_tracker import RequestTracker
from support.runtime.flows import change, example_manifests

pytestmark = [pytest.mark.cluster, pytest.mark.peers]

POOL = "quiet"
CHILD = f"intopspool-{POOL}"
SPACE = ("-n", NAMESPACE)
SETTLES_S = 120
"""Longest time for what takes a pod to start or to end."""


class Pooled:
    """The cluster with intops, a desk, and Flows that are copies of the example."""

    def __init__(self, installed: Installed) -> None:
        self.installed = installed
        self.kubectl = installed.cluster.kubectl
        (self._flow,) = [raw for raw in example_manifests() if raw["kind"] == "Flow"]

    def put(self, name: str, pool: str | None = POOL, **spec: Any) -> None:
        """Apply a Flow; the rest of its spec is the example's."""
        flow = copy.deepcopy(self._flow)
        flow["metadata"]["name"] = name
        runtime = {"store": {"embedded": {"size": "64Mi"}}}
        flow["spec"] |= {"runtime": {**runtime, "pool": pool} if pool else runtime, **spec}
        self.kubectl.apply(flow)

    def flow(self, name: str) -> Manifest:
        """A Flow as it is now."""
        return self.kubectl.get("flow", name, *SPACE)

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        """One of its conditions, if it is about the present spec."""
        found = self.flow(name)
        known = condition_of(found, kind)
        current = known.get("observedGeneration") == found["metadata"]["generation"]
        return known if current else {"status": "Unknown", "reason": "", "message": ""}

    def await_ready(self, *flows: str, reason: str = "Healthy") -> None:
        """Wait until Flows are Ready, or not Ready for a reason."""
        for name in flows:
            until(
                lambda name=name: self.condition(name, "Ready").get("reason") == reason,
                f"Flow {name} to be {reason}",
                timeout_s=SETTLES_S,
                explain=lambda name=name: f"{self.condition(name, 'Ready')}\n{self.log()}",
            )

    def log(self) -> str:
        """What operators and workers said last."""
        workers = self.kubectl.try_run(
            "logs", *SPACE, "-l", "app.kubernetes.io/name=intops-worker", "--prefix", "--tail=20"
        )
        return f"{self.installed.operator_log()}\n{workers.stdout}"

    def pods(self, selector: str = f"{names.LABEL_POOL}={POOL}") -> list[Manifest]:
        """Pods that are not on their way out."""
        found = self.kubectl.get("pods", *SPACE, "-l", selector)["items"]
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def lives(self) -> list[tuple[str, int]]:
        """The pool's pods by uid and number of restarts."""
        return [
            (pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"])
            for pod in self.pods()
        ]

    def report(self) -> dict[str, Any]:
        """What the pool's worker says about itself."""
        address = self.pods()[0]["status"]["podIP"]
        url = f"http://{address}:{names.PORT_OPERATIONS}/report"
        found: dict[str, Any] = httpx.get(url, timeout=5).json()
        return found

    def deliver(self, flow: str, fingerprint: str) -> None:
        """Send an alert to a Flow until it is accepted."""
        self.installed.deliver(fingerprint, to=self.installed.capture_url(flow))

    def await_tickets(self, count: int) -> None:
        """Wait until the desk has so many."""
        until(
            lambda: len(self.installed.tickets()) == count,
            f"{count} tickets",
            timeout_s=60,
            explain=self.log,
        )

    def left(self) -> list[str]:
        """What exists of the pool itself, as `kind/name`."""
        kinds = (
            "deployment,pod,service,configmap,serviceaccount,networkpolicy,persistentvolumeclaim"
        )
        found = self.kubectl.get(kinds, *SPACE, "-l", f"{names.LABEL_POOL}={POOL}")["items"]
        return [f"{one['kind']}/{one['metadata']['name']}" for one in found]

    def remove(self, *flows: str) -> None:
        """Delete Flows, and wait until their children are gone."""
        self.kubectl.run("delete", "flow", *flows, *SPACE, "--ignore-not-found")
        for name in flows:
            until(
                lambda name=name: not self.installed.children(name),
                f"the children of {name} to go",
                timeout_s=SETTLES_S,
                explain=lambda name=name: f"{self.installed.children(name)}\n{self.log()}",
            )


@pytest.fixture(scope="module")
def pooled(node: OneNode) -> Iterator[Pooled]:
    """The chart from this tree, a real desk, and the Connectors and Mappings of the example."""
    product.install(node)
    await_admission(node.kubectl)
    node.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    with RequestTracker(bind=node.machine_address) as desk:
        manifests = example_manifests()
        change(manifests, "Connector", "helpdesk", lambda spec: spec.update(endpoint=desk.url))
        node.kubectl.apply(
            secret("alertmanager-token", token=SOURCE_TOKEN),
            secret("helpdesk-token", token=desk.token),
            *[raw for raw in manifests if raw["kind"] != "Flow"],
        )
        yield Pooled(Installed(node, desk))


@pytest.fixture
def three(pooled: Pooled) -> Pooled:
    """Three Flows of one pool, Ready; what other Flows a test makes, it removes."""
    for name in ("one", "two", "three"):
        pooled.put(name)
    pooled.await_ready("one", "two", "three")
    return pooled


def test_three_flows_of_a_pool_deliver_through_one_worker(three: Pooled) -> None:
    """One pod, one volume, no Deployment of a Flow; each Flow its address, its counts, its status."""
    before = len(three.installed.tickets())

    for name in ("one", "two", "three"):
        three.deliver(name, f"first-{name}")

    three.await_tickets(before + 3)
    assert len(three.pods()) == 1
    for name in ("one", "two", "three"):
        until(lambda name=name: three.flow(name)["status"].get("done") == 1, f"the count of {name}",
              timeout_s=90)  # fmt: skip
        assert sorted(kind.split("/")[0] for kind in three.installed.children(name)) == [
            "ConfigMap", "Service",
        ]  # fmt: skip
    row = table(three.kubectl.run("get", "flows", *SPACE, "-o", "wide"))["one"]
    assert row["POOL"] == POOL


def test_a_changed_plan_and_a_flow_that_comes_restart_nobody(three: Pooled) -> None:
    """Both arrive through the volume, in the seconds that kubelet takes."""
    lives, deployment = three.lives(), three.kubectl.get("deployment", CHILD, *SPACE)
    plan = three.flow("one")["status"]["configHash"]

    three.put("one", slo={"delivered": "99%", "within": "90s", "window": "30d"})
    three.put("four")
    three.await_ready("one", "four")

    assert three.flow("one")["status"]["configHash"] != plan
    after = three.kubectl.get("deployment", CHILD, *SPACE)
    assert after["metadata"]["generation"] == deployment["metadata"]["generation"]
    assert three.lives() == lives
    three.remove("four")
    assert three.lives() == lives


def test_a_deleted_flow_leaves_its_messages_and_the_others_alone(three: Pooled) -> None:
    """What it had not delivered stays in the pool's volume, is told, and goes out when it comes again."""
    before, lives = len(three.installed.tickets()), three.lives()
    three.put("two", suspend=True)
    three.await_ready("two", reason="Suspended")
    three.deliver("two", "kept")

    three.remove("two")
    until(
        lambda: three.report()["left"].get(f"{NAMESPACE}/two") == 1,
        "the worker to tell what is left",
        timeout_s=SETTLES_S,
        explain=three.log,
    )
    until(lambda: "store kept, it holds messages" in three.log(), "the operator to tell it")
    three.deliver("one", "meanwhile")
    three.await_tickets(before + 1)

    three.put("two")
    three.await_tickets(before + 2)
    assert three.lives() == lives
    assert f"{NAMESPACE}/two" not in three.report()["left"]


def test_a_flow_moves_only_while_suspended_and_empty(three: Pooled) -> None:
    """Into the pool and out again: what it holds is delivered where it is, and nothing is lost or doubled."""
    before = len(three.installed.tickets())
    three.put("mover", pool=None)
    three.await_ready("mover")
    url = three.installed.capture_url("mover")

    refused = three.kubectl.try_run(
        "patch", "flow", "mover", *SPACE, "--type=merge",
        "-p", json.dumps({"spec": {"runtime": {"pool": POOL}}}),
    )  # fmt: skip
    assert "A running Flow cannot move to another pool" in refused.stderr

    three.put("mover", pool=None, suspend=True)
    three.await_ready("mover", reason="Suspended")
    three.deliver("mover", "moving-1")
    three.put("mover", suspend=True)
    until(
        lambda: (
            "1 message in its store would stay behind"
            in three.condition("mover", "Programmed")["message"]
        ),
        "the Flow to say what keeps it",
        timeout_s=60,
        explain=three.log,
    )
    assert three.condition("mover", "Ready")["reason"] == "MoveHeld"

    three.put("mover", suspend=False)
    three.await_tickets(before + 1)
    three.put("mover", suspend=True)
    three.await_ready("mover", reason="Suspended")
    three.put("mover", suspend=False)
    three.await_ready("mover")
    assert not three.pods(f"{names.LABEL_FLOW}=mover")
    assert three.installed.capture_url("mover") == url
    three.deliver("mover", "moving-2")
    three.await_tickets(before + 2)

    three.put("mover", suspend=True)
    three.await_ready("mover", reason="Suspended")
    three.put("mover", pool=None, suspend=True)
    until(
        lambda: three.pods(f"{names.LABEL_FLOW}=mover"), "a worker of its own", timeout_s=SETTLES_S
    )
    three.put("mover", pool=None)
    three.await_ready("mover")
    three.deliver("mover", "moving-3")
    three.await_tickets(before + 3)
    three.remove("mover")


def test_a_pool_ends_with_its_last_flow(three: Pooled) -> None:
    """Nothing is left of it; but with a message in it the volume stays, and the next Flow delivers it."""
    before = len(three.installed.tickets())
    three.put("one", suspend=True)
    three.await_ready("one", reason="Suspended")
    three.deliver("one", "last")
    until(lambda: three.flow("one")["status"].get("backlog") == 1, "it to be counted", timeout_s=90)

    three.remove("one", "two", "three")
    claim = f"PersistentVolumeClaim/{CHILD}"
    until(
        lambda: three.left() == [claim] and "volume kept, it may hold messages" in three.log(),
        "everything but the volume to go",
        timeout_s=SETTLES_S,
        explain=lambda: f"{three.left()}\n{three.log()}",
    )

    three.put("one")
    three.await_tickets(before + 1)
    three.remove("one")
    until(
        lambda: not three.left(),
        "the pool to go",
        timeout_s=SETTLES_S,
        explain=lambda: f"{three.left()}\n{three.log()}",
    )
