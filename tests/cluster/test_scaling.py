"""Workers in a real cluster: as many as the backlog needs, on a new image one after another, never a message lost."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from intops_api import names
from support.cluster import images, paths, product
from support.cluster.kubectl import Manifest, tail_of_events
from support.cluster.network import run
from support.cluster.onenode import OneNode
from support.cluster.polling import until
from support.cluster.scenario import (
    FIRING,
    NAMESPACE,
    SOURCE_TOKEN,
    Installed,
    await_admission,
    condition_of,
    first_within,
    secret,
)
from support.peers.postgresql import PostgreSQL
from support.peers.request_tracker import RequestTracker
from support.runtime.flows import change, example_manifests

pytestmark = [pytest.mark.cluster, pytest.mark.peers]

DOWN_AFTER_S = 20
DEADLINE_S = 25
PACE = (
    f"scaling.downAfterSeconds={DOWN_AFTER_S}", "rollout.pauseSeconds=5",
    f"rollout.deadlineSeconds={DEADLINE_S}", "rollout.wave=2",
)  # fmt: skip
"""Quicker than a person would have it; what the numbers mean is a matter of unit tests."""

SPACE = ("-n", NAMESPACE)
MOST_S = 180.0
MESSAGES = 60


@dataclass
class Estate:
    """A cluster with intops, a database and a desk, and Flows between them."""

    cluster: OneNode
    desk: RequestTracker
    worker_image: str
    flows: list[str] = field(default_factory=list)

    def helm(self, *values: str) -> None:
        """Upgrade the release with more values."""
        chosen = [f"--set={value}" for value in values]
        product.helm(
            self.cluster, "upgrade", product.RELEASE, str(paths.TREE / "helm" / "intops"),
            "--namespace", product.NAMESPACE, "--reuse-values", "--wait", "--timeout", "180s",
            *chosen,
        )  # fmt: skip

    def manifest(self, name: str, replicas: dict[str, Any]) -> Manifest:
        """The example's Flow under another name, with its messages in the database."""
        flow = copy.deepcopy(next(raw for raw in example_manifests() if raw["kind"] == "Flow"))
        flow["metadata"]["name"] = name
        flow["spec"]["runtime"] = {
            "replicas": replicas, "store": {"postgres": {"secretName": "database"}},
        }  # fmt: skip
        return flow

    @contextmanager
    def flow(self, *found: str, **replicas: Any) -> Iterator[None]:
        """Flows that are Ready while the block runs, and gone after it."""
        try:
            for name in found:
                self.cluster.kubectl.apply(self.manifest(name, replicas))
            for name in found:
                self.await_ready(name)
            yield
        finally:
            self.delete(*found)

    def delete(self, *found: str) -> None:
        """Delete Flows and wait until nothing is left of them."""
        kubectl = self.cluster.kubectl
        kubectl.run("delete", "flow", *found, *SPACE, "--ignore-not-found")
        seen = Installed(self.cluster, self.desk)
        for name in found:
            until(
                lambda name=name: not seen.children(name), "every child is gone", timeout_s=MOST_S
            )

    def await_ready(self, name: str) -> None:
        """Wait until messages of a Flow arrive."""
        until(
            lambda: self.ready(name).get("status") == "True",
            f"Flow {name} is Ready",
            timeout_s=MOST_S,
            explain=lambda: f"{self.ready(name)}\n{tail_of_events(self.cluster.kubectl)}",
        )

    def ready(self, name: str) -> dict[str, Any]:
        """Its condition Ready."""
        return condition_of(self.cluster.kubectl.get("flow", name, *SPACE))

    def status(self, name: str) -> dict[str, Any]:
        """Its status."""
        found: dict[str, Any] = self.cluster.kubectl.get("flow", name, *SPACE)["status"]
        return found

    def deployment(self, name: str) -> Manifest:
        """Its Deployment."""
        return self.cluster.kubectl.get("deployment", f"intops-{name}", *SPACE)

    def replicas(self, name: str) -> int:
        """How many workers it should have."""
        return int(self.deployment(name)["spec"]["replicas"])

    def image(self, name: str) -> str:
        """What its pods are made of."""
        spec = self.deployment(name)["spec"]["template"]["spec"]
        return str(spec["containers"][0]["image"])

    def pods(self, name: str) -> list[str]:
        """Uids of its pods that are ready and stay."""
        chosen = ("-l", f"{names.LABEL_FLOW}={name}")
        found = self.cluster.kubectl.get("pods", *SPACE, *chosen)["items"]
        staying = [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]
        return [pod["metadata"]["uid"] for pod in staying if condition_of(pod)["status"] == "True"]

    def has_budget(self, name: str) -> bool:
        """Whether it has a PodDisruptionBudget."""
        done = self.cluster.kubectl.try_run("get", "poddisruptionbudget", f"intops-{name}", *SPACE)
        return done.returncode == 0

    def events(self, name: str) -> list[tuple[str, str]]:
        """What was told about its workers: reason and text. What Ready says has Events of its own."""
        found = self.cluster.kubectl.get("events", *SPACE)["items"]
        return [
            (one["reason"], one["message"]) for one in found
            if one["involvedObject"].get("kind") == "Flow" and one["involvedObject"]["name"] == name
            and one["reason"].startswith(("Scaled", "Rollout"))
        ]  # fmt: skip

    def deliver(self, name: str, *fingerprints: str) -> None:
        """One webhook with so many alerts, repeated until it is accepted."""
        alerts = [{**FIRING["alerts"][0], "fingerprint": one} for one in fingerprints]
        url = Installed(self.cluster, self.desk).capture_url(name)
        headers = {"Authorization": f"Bearer {SOURCE_TOKEN}"}

        def accepted() -> bool:
            try:
                answer = httpx.post(
                    url, json={**FIRING, "alerts": alerts}, headers=headers, timeout=10
                )
            except httpx.TransportError:
                return False
            return answer.status_code == 200

        until(accepted, "the worker to accept a webhook", timeout_s=60, every_s=0.5)

    def store(self, name: str) -> dict[str, int]:
        """The counts of its store, from the report of one of its workers."""
        chosen = ("-l", f"{names.LABEL_FLOW}={name}")
        for pod in self.cluster.kubectl.get("pods", *SPACE, *chosen)["items"]:
            address = pod["status"].get("podIP")
            if address and condition_of(pod)["status"] == "True":
                with suppress(httpx.TransportError):
                    url = f"http://{address}:{names.PORT_OPERATIONS}/report"
                    found: dict[str, int] = httpx.get(url, timeout=5).json()["plans"][0]["store"]
                    return found
        return {}

    def await_done(self, name: str, number: int, timeout_s: float = MOST_S) -> None:
        """Wait until so many of its messages are delivered and none is left."""

        def all_done() -> bool:
            counts = self.store(name)
            left = sum(counts.get(key, 1) for key in ("waiting", "held", "sending", "pending"))
            return (counts.get("done"), left) == (number, 0)

        until(
            all_done, f"{number} messages of {name} to be delivered", timeout_s=timeout_s, every_s=1,
            explain=lambda: f"{self.store(name)}\n{self.status(name)}",
        )  # fmt: skip

    def tickets(self) -> int:
        """Tickets that carry our key; a busy desk is asked again."""
        found: list[dict[str, Any]] = []

        def listed() -> bool:
            with suppress(httpx.TimeoutException):
                found[:] = self.desk.tickets()
                return True
            return False

        until(listed, "the desk to list its tickets", timeout_s=120)
        return sum(1 for one in found if one["CustomFields"].get("intops_key"))

    def metric(self, line: str) -> float:
        """A metric of the operator that leads; 0 where it shows none."""
        kubectl, space = self.cluster.kubectl, ("-n", product.NAMESPACE)
        # An operator that ends frees the Lease; the next one takes it a moment later.
        holder = until(
            lambda: kubectl.get("lease", product.RELEASE, *space)["spec"].get("holderIdentity"),
            "an operator to lead",
        )
        address = kubectl.get("pod", holder, *space)["status"]["podIP"]
        text = httpx.get(f"http://{address}:8080/metrics", timeout=10).text
        found = [one for one in text.splitlines() if one.startswith(f"{line} ")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0


@pytest.fixture(scope="module")
def estate(node: OneNode) -> Iterator[Estate]:
    """The chart from this tree at a quick pace; a desk that takes two requests a second from each worker."""
    references = product.install(node)
    kubectl = node.kubectl
    await_admission(kubectl)
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    with (
        RequestTracker(bind=node.machine_address) as desk,
        PostgreSQL({"max_connections": "200"}, bind=node.machine_address) as database,
    ):
        found = Estate(node, desk, references["worker"])
        found.helm(*PACE)
        manifests = [raw for raw in example_manifests() if raw["kind"] != "Flow"]
        slow = {"requestsPerSecond": 2, "concurrency": 2}
        change(
            manifests, "Connector", "helpdesk",
            lambda spec: spec.update(endpoint=desk.url, limits=slow),
        )  # fmt: skip
        kubectl.apply(
            secret("alertmanager-token", token=SOURCE_TOKEN),
            secret("helpdesk-token", token=desk.token),
            secret("database", **database.secret),
            *manifests,
        )
        yield found


def test_a_backlog_brings_a_second_worker_and_quiet_takes_it_away(estate: Estate) -> None:
    """With a budget while there are two; a new leader leaves the number as it is; nothing is lost."""
    before = estate.tickets()
    with estate.flow("busy", min=1, max=2, targetAge="5s"):
        assert (estate.replicas("busy"), estate.has_budget("busy")) == (1, False)
        estate.deliver("busy", *(f"busy-{number}" for number in range(MESSAGES)))

        until(
            lambda: estate.replicas("busy") == 2, "a second worker", timeout_s=MOST_S,
            explain=lambda: f"{estate.status('busy')}\n{_log(estate)}",
        )  # fmt: skip
        until(lambda: estate.has_budget("busy"), "the budget")
        until(lambda: len(estate.pods("busy")) == 2, "both are ready", timeout_s=60)
        assert [reason for reason, _ in estate.events("busy")] == ["ScaledUp"]
        assert "longer than targetAge (5 s)" in estate.events("busy")[0][1]
        _hand_over(estate)
        sizes = {2}
        assert not first_within(15, lambda: sizes.add(estate.replicas("busy")), every_s=0.5)
        assert sizes == {2}
        _evict_one_and_no_other(estate, "busy")

        estate.await_done("busy", MESSAGES, timeout_s=2 * MOST_S)
        until(
            lambda: estate.replicas("busy") == 1 and not estate.has_budget("busy"),
            "the second worker and the budget are gone", timeout_s=MOST_S,
            explain=lambda: f"{estate.status('busy')}\n{_log(estate)}",
        )  # fmt: skip
        assert [reason for reason, _ in estate.events("busy")] == ["ScaledUp", "ScaledDown"]
        assert not first_within(30, lambda: estate.replicas("busy") != 1, every_s=1)
        assert estate.tickets() == before + MESSAGES


def _hand_over(estate: Estate) -> None:
    """End the leader as a crash would, and wait for another."""
    seen = Installed(estate.cluster, estate.desk)
    ended = seen.leader()
    seen.kill_leader()
    until(lambda: seen.leader() not in ("", ended), "another process leads", timeout_s=60)


def _evict_one_and_no_other(estate: Estate, name: str) -> None:
    """What `kubectl drain` does with two workers on one node."""
    kubectl = estate.cluster.kubectl
    chosen = ("-l", f"{names.LABEL_FLOW}={name}")
    pods = [pod["metadata"]["name"] for pod in kubectl.get("pods", *SPACE, *chosen)["items"]]
    answers = []
    for pod in pods[:2]:
        eviction = {
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": pod, "namespace": NAMESPACE},
        }  # fmt: skip
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
        done = kubectl.try_run("create", "--raw", path, "-f", "-", given=json.dumps(eviction))
        answers.append(done.stderr if done.returncode else "")
    assert answers[0] == ""
    assert "disruption budget" in answers[1]


def _log(estate: Estate) -> str:
    return Installed(estate.cluster, estate.desk).operator_log()


def test_f73_an_image_that_does_not_start_halts_at_the_first_flow_and_goes_on_when_it_is_there(
    estate: Estate,
) -> None:
    """F73: one of three Flows tries it; it still delivers, as do the others, and the halt is told everywhere."""
    good, missing = estate.worker_image, f"{images.PRODUCT['worker']}:missing"
    ours = ("one", "two", "three")
    with estate.flow(*ours, min=1, max=1):
        estate.helm("worker.image.tag=missing")

        until(
            lambda: estate.metric("intops_operator_rollout_halted") == 1, "it halts",
            timeout_s=MOST_S, explain=lambda: _log(estate),
        )  # fmt: skip
        assert sorted(estate.image(name) for name in ours) == sorted([good, good, missing])
        (canary,) = [name for name in ours if estate.image(name) == missing]
        told = estate.ready(canary)
        assert (told["status"], told["reason"]) == ("False", "WorkerUnavailable")
        until(
            lambda: f"The roll-out of worker image {missing} halted" in estate.ready(canary)["message"],
            "the Flow says what halted", timeout_s=30,
        )  # fmt: skip
        assert [reason for reason, _ in estate.events(canary)] == ["RolloutHalted"]
        _hand_over(estate)
        for name in ours:
            estate.deliver(name, f"halted-{name}")
        for name in ours:
            estate.await_done(name, 1)
        held = [name for name in ours if name != canary]
        assert not first_within(
            DEADLINE_S + 10, lambda: any(estate.image(name) != good for name in held), every_s=1
        )

        run(*estate.cluster.node.ctr("images", "tag", "--force", good, missing))

        until(
            lambda: all(estate.image(name) == missing for name in ours), "all others follow",
            timeout_s=MOST_S, explain=lambda: _log(estate),
        )  # fmt: skip
        for name in ours:
            estate.await_ready(name)
        until(
            lambda: estate.metric('intops_operator_rollout_workers{state="done"}') >= 3,
            "it is done", timeout_s=60,
        )  # fmt: skip
        assert estate.metric("intops_operator_rollout_halted") == 0
        estate.helm(f"worker.image.tag={good.rpartition(':')[2]}")


def test_a_suspended_flow_captures_in_the_same_pods_and_delivers_when_it_goes_on(
    estate: Estate,
) -> None:
    """Nothing restarts, nothing is sent, nothing is lost; the status says which."""
    kubectl = estate.cluster.kubectl
    with estate.flow("paused", min=1, max=1):
        pods = estate.pods("paused")

        kubectl.run(
            "patch", "flow", "paused", *SPACE, "--type=merge", "-p", '{"spec":{"suspend":true}}'
        )
        until(
            lambda: estate.ready("paused").get("reason") == "Suspended"
            and estate.status("paused")["configHash"] == _running(estate, "paused"),
            "the worker knows that it is suspended", timeout_s=60,
        )  # fmt: skip
        estate.deliver("paused", "paused-a", "paused-b")
        until(lambda: estate.status("paused").get("backlog") == 2, "both wait", timeout_s=60)
        assert not first_within(8, lambda: estate.store("paused")["waiting"] != 2, every_s=1)
        assert "captured and kept, but not delivered" in estate.ready("paused")["message"]

        kubectl.run(
            "patch", "flow", "paused", *SPACE, "--type=merge", "-p", '{"spec":{"suspend":false}}'
        )
        estate.await_done("paused", 2)
        estate.await_ready("paused")
        assert estate.pods("paused") == pods


def _running(estate: Estate, name: str) -> str:
    """Hash of the plan that a Flow's worker reports."""
    chosen = ("-l", f"{names.LABEL_FLOW}={name}")
    pod = estate.cluster.kubectl.get("pods", *SPACE, *chosen)["items"][0]
    url = f"http://{pod['status']['podIP']}:{names.PORT_OPERATIONS}/report"
    return str(httpx.get(url, timeout=5).json()["plans"][0]["active"])


def test_a_flow_that_is_deleted_leaves_its_messages_to_the_next_of_its_name(estate: Estate) -> None:
    """In the database nothing goes with the Flow; made again, it delivers what waited."""
    left = estate.manifest("left", {"min": 1, "max": 1})
    left["spec"]["suspend"] = True
    estate.cluster.kubectl.apply(left)
    until(lambda: estate.pods("left"), "its worker is ready", timeout_s=MOST_S)
    estate.deliver("left", "left-a", "left-b")

    estate.delete("left")

    with estate.flow("left", min=1, max=1):
        estate.await_done("left", 2)
