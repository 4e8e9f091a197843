"""The first example in a real cluster between real systems, and what is written there meanwhile.

Used by tests/cluster/test_end_to_end.py: `Installed` is what its tests act on; the rest watches the
API for what must not happen.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from intops_api import names
from support.cluster.kubectl import Kubectl, Manifest
from support.cluster.network import run
from support.cluster.onenode import OneNode
from support.cluster.polling import until
from support.cluster.product import NAMESPACE as OPERATOR_NAMESPACE
from support.cluster.product import RELEASE
from support.peers.request_tracker import RequestTracker
from support.runtime.flows import EXAMPLE, example_manifests
from support.simulators.launcher import HelpdeskSimulator

NAMESPACE = "itsm"
FLOW = "alerts-to-helpdesk"
SOURCE_TOKEN = "a-token-for-tests"
FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))

LEASE = f"Lease {OPERATOR_NAMESPACE}/{RELEASE}"
"""The key in `versions` of the one object that is written all the time."""

COUNTERS_S = 60
"""Shortest time between two writes of a status that bring nothing but counters (design section 6)."""

WRITTEN_KINDS = (
    "flows,connectors,mappings,patterns,connectorclasses,canonicalmodels,flowactions,"
    "serviceaccounts,configmaps,deployments,replicasets,services,networkpolicies,"
    "persistentvolumeclaims,pods,secrets,leases,validatingwebhookconfigurations,"
    "validatingadmissionpolicies,customresourcedefinitions"
)


@dataclass
class Installed:
    """A cluster with intops and the first example in it, and a desk that its pods reach."""

    cluster: OneNode
    desk: RequestTracker | HelpdeskSimulator

    def flow(self) -> Manifest:
        """The Flow as it is now."""
        return self.cluster.kubectl.get("flow", FLOW, "-n", NAMESPACE)

    def condition(self, kind: str) -> dict[str, Any]:
        """One of its conditions."""
        return condition_of(self.flow(), kind)

    def is_ready(self) -> bool:
        """Whether it says that messages arrive."""
        return bool(self.condition("Ready")["status"] == "True")

    def row(self) -> dict[str, str]:
        """The Flow's line of `kubectl get flows`, by heading."""
        return table(self.cluster.kubectl.run("get", "flows", "-n", NAMESPACE))[FLOW]

    def capture_url(self, flow: str = FLOW) -> str:
        """Where this machine reaches a worker: the Service's own address."""
        found = self.cluster.kubectl.get("service", f"intops-{flow}", "-n", NAMESPACE)
        address = found["spec"]["clusterIP"]
        path = names.CAPTURE_PATH.format(namespace=NAMESPACE, flow=flow, binding="prometheus")
        return f"http://{address}:{names.PORT_CAPTURE}{path}"

    def post(self, *fingerprints: str, to: str | None = None, receiver: str = "intops") -> int:
        """Deliver a webhook with one alert for each fingerprint; returns the answer's status.

        Args:
            fingerprints: Of the alerts.
            to: Where; looked up if absent.
            receiver: Says nothing to the product: another one makes another delivery.
        """
        alert = FIRING["alerts"][0]
        alerts = [{**alert, "fingerprint": name} for name in fingerprints]
        body = {**FIRING, "alerts": alerts, "receiver": receiver}
        headers = {"Authorization": f"Bearer {SOURCE_TOKEN}"}
        url = to or self.capture_url()
        return httpx.post(url, json=body, headers=headers, timeout=10).status_code

    def deliver(self, *fingerprints: str, to: str) -> None:
        """Post until it is accepted, as every source does: kube-proxy may still lead to a pod that ended."""

        def accepted() -> bool:
            with suppress(httpx.TransportError):
                return self.post(*fingerprints, to=to) == 200
            return False

        until(accepted, "the worker to accept a webhook", timeout_s=60, every_s=0.5)

    @contextmanager
    def desk_away(self) -> Iterator[None]:
        """The desk does not answer meanwhile."""
        self.desk.stop()
        try:
            yield
        finally:
            self.desk.start()

    @contextmanager
    def gone_afterwards(self, flow: str) -> Iterator[None]:
        """Delete a Flow at the end, whatever happened, so that the next test sees what this one saw."""
        try:
            yield
        finally:
            self.cluster.kubectl.run("delete", "flow", flow, "-n", NAMESPACE, "--ignore-not-found")
            until(
                lambda: not self.children(flow),
                "every child is gone",
                timeout_s=120,
                explain=lambda: f"still there: {self.children(flow)}\n{self.operator_log()}",
            )

    def tickets(self) -> list[dict[str, Any]]:
        """Tickets that carry our key."""
        return [t for t in self.desk.tickets() if t["CustomFields"].get("intops_key")]

    def children(self, flow: str) -> list[str]:
        """What exists for a Flow, as `kind/name`."""
        kinds = (
            "deployment,pod,service,configmap,serviceaccount,networkpolicy,persistentvolumeclaim"
        )
        chosen = ("-n", NAMESPACE, "-l", f"{names.LABEL_FLOW}={flow}")
        found = self.cluster.kubectl.get(kinds, *chosen)["items"]
        return [f"{one['kind']}/{one['metadata']['name']}" for one in found]

    def operator_log(self) -> str:
        """The last lines of both operators, for errors."""
        chosen = ("-n", OPERATOR_NAMESPACE, "-l", "app.kubernetes.io/name=intops-operator")
        return self.cluster.kubectl.run("logs", *chosen, "--prefix", "--tail=40")

    def pods(self) -> list[Manifest]:
        """The worker's pods."""
        chosen = ("-n", NAMESPACE, "-l", f"{names.LABEL_FLOW}={FLOW}")
        return list(self.cluster.kubectl.get("pods", *chosen)["items"])

    def lives(self) -> list[tuple[str, int]]:
        """The worker's pods by uid and number of restarts."""
        return [
            (pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"])
            for pod in self.pods()
        ]

    def dropped(self) -> int:
        """How many messages its store has dropped, for whatever reason."""
        return sum(self.store()["dropped"].values())

    def store(self) -> dict[str, Any]:
        """The counts of the worker's store, from its own report."""
        address = self.pods()[0]["status"]["podIP"]
        report = httpx.get(f"http://{address}:{names.PORT_OPERATIONS}/report", timeout=5).json()
        counts: dict[str, Any] = report["plans"][0]["store"]
        return counts

    def put_secret(self, name: str, **values: str) -> None:
        """Write a Secret, and have kubelet look at once rather than within its sync period."""
        self.cluster.kubectl.apply(secret(name, **values))
        self.cluster.kubectl.run(
            "annotate", "pods", "-n", NAMESPACE, "-l", f"{names.LABEL_FLOW}={FLOW}", "--overwrite",
            f"example.com/looked={len(self.tickets())}-{values}".replace("'", "")[:60],
        )  # fmt: skip

    def leader(self) -> str:
        """containerd's id of the operator's container that leads; empty while there is none."""
        kubectl, space = self.cluster.kubectl, ("-n", OPERATOR_NAMESPACE)
        holder = kubectl.get("lease", RELEASE, *space)["spec"]["holderIdentity"]
        done = kubectl.try_run("get", "pod", holder, *space, "-o", "json")
        pod = json.loads(done.stdout) if done.returncode == 0 else {}
        states = pod.get("status", {}).get("containerStatuses", [])
        return "".join(one.get("containerID", "").removeprefix("containerd://") for one in states)

    def kill_leader(self) -> None:
        """End the leader's process as a crash would."""
        run(*self.cluster.node.ctr("tasks", "kill", "--signal", "SIGKILL", self.leader()))

    def remove_operators(self) -> None:
        """Delete both replicas at once."""
        self.cluster.kubectl.run(
            "delete", "pods", "-n", OPERATOR_NAMESPACE,
            "-l", "app.kubernetes.io/name=intops-operator", "--force", "--grace-period=0",
        )  # fmt: skip

    def versions(self) -> dict[str, str]:
        """resourceVersion of all that is the product's, by kind, namespace and name."""
        found = {}
        for one in self.cluster.kubectl.get(WRITTEN_KINDS, "-A")["items"]:
            meta = one["metadata"]
            if meta.get("namespace") in (None, OPERATOR_NAMESPACE, NAMESPACE):
                key = f"{one['kind']} {meta.get('namespace', '-')}/{meta['name']}"
                found[key] = meta["resourceVersion"]
        return found

    def written_since(self, before: dict[str, str]) -> set[str]:
        """Keys of `versions` that were written, made or removed; without the Lease."""
        return {key for key, _ in before.items() ^ self.versions().items()} - {LEASE}

    def await_quiet(self) -> None:
        """Wait until all counters are in the statuses: they follow within a minute of an event."""
        until(
            lambda: self._counted() and self._users_counted(),
            "every status to have the last counters",
            timeout_s=COUNTERS_S + 30,
            every_s=1,
        )

    def _counted(self) -> bool:
        store, status = self.store(), self.flow()["status"]
        told = [status.get(key, 0) for key in ("received", "done", "dropped", "backlog")]
        return told == [store["received"], store["done"], sum(store["dropped"].values()), 0]

    def _users_counted(self) -> bool:
        kubectl = self.cluster.kubectl
        used = [one["spec"]["class"] for one in kubectl.get("connectors", "-A")["items"]]
        used += [
            one["spec"][end].get("model", "")
            for one in kubectl.get("mappings", "-A")["items"]
            for end in ("from", "to")
        ]
        used += [one["spec"]["pattern"] for one in kubectl.get("flows", "-A")["items"]]
        column = {"ConnectorClass": "connectors", "CanonicalModel": "mappings", "Pattern": "flows"}
        return all(
            one["status"][column[one["kind"]]] == used.count(one["metadata"]["name"])
            for one in kubectl.get("connectorclasses,canonicalmodels,patterns")["items"]
        )


def condition_of(found: Manifest, kind: str = "Ready") -> dict[str, Any]:
    """One condition of an object; status Unknown if it has none."""
    conditions = found.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), {"status": "Unknown"})


def secret(name: str, **values: str) -> Manifest:
    """A Secret manifest."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE}, "data": data,
    }  # fmt: skip


def table(text: str) -> dict[str, dict[str, str]]:
    """What `kubectl get` printed, by the name in the first column and by heading."""
    head, *lines = text.splitlines()
    starts = [one.start() for one in re.finditer(r"\S+", head)]
    cuts = list(zip(starts, [*starts[1:], None], strict=True))
    rows = [[line[first:last].strip() for first, last in cuts] for line in lines]
    return {row[0]: dict(zip(head.split(), row, strict=True)) for row in rows}


def await_admission(kubectl: Kubectl) -> None:
    """Wait until admission answers: a second or so after the operator is ready.

    kube-proxy has to write the operator's address into the kernel's rules first.
    """
    connector = next(one for one in example_manifests() if one["kind"] == "Connector")
    connector["metadata"] = {"name": "only-to-be-judged"}
    asked, said = json.dumps(connector), [""]

    def answers() -> bool:
        done = kubectl.try_run("create", "--dry-run=server", "-f", "-", given=asked)
        said[0] = done.stderr
        return done.returncode == 0

    until(answers, "admission to answer", every_s=0.5, explain=lambda: said[0])


def first_within(seconds: float, fact: Callable[[], Any], *, every_s: float = 0.5) -> Any:
    """What `fact` answered first that was true, or None after so many seconds of falsehood.

    For what must not happen: `until` waits for what must.
    """
    end = time.monotonic() + seconds
    answer: list[Any] = [None]

    def over() -> bool:
        answer[0] = fact()
        return bool(answer[0]) or time.monotonic() >= end

    until(over, "the time to pass", timeout_s=seconds + 60, every_s=every_s)
    return answer[0] or None


@contextmanager
def watched(kubectl: Kubectl, *what: str) -> Iterator[list[Manifest]]:
    """Watch an object: the list grows by every state of it that the API shows, the present first."""
    argv = kubectl.argv(
        "get", *what, "--watch", "--output=json", "--output-watch-events", "--show-managed-fields"
    )
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    stream = process.stdout
    assert stream is not None
    seen: list[Manifest] = []

    def read() -> None:
        # One event a line.
        seen.extend(json.loads(line)["object"] for line in stream)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        until(lambda: seen, f"a watch of {' '.join(what)} to begin")
        yield seen
    finally:
        process.terminate()
        process.wait()
        reader.join()
        stream.close()


def unreasoned(one: Manifest, following: Manifest) -> str:
    """What a write of a status brought that design section 6 does not allow; empty if it does.

    Allowed are another verdict, a backlog or review that came or went, and counters each minute.
    """
    before, after = one["status"], following["status"]
    crossed = any(bool(before.get(key)) != bool(after.get(key)) for key in ("backlog", "review"))
    elapsed_s = _written_at(following) - _written_at(one)
    # The API server notes whole seconds.
    if crossed or elapsed_s >= COUNTERS_S - 2 or _verdicts(before) != _verdicts(after):
        return ""
    changed = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
    return f"after {elapsed_s:.0f} s: {', '.join(changed)}"


def _written_at(found: Manifest) -> float:
    """When the status was written, in seconds of the epoch."""
    (entry,) = (
        one for one in found["metadata"]["managedFields"] if one.get("subresource") == "status"
    )
    return datetime.fromisoformat(entry["time"]).timestamp()


def _verdicts(status: Manifest) -> dict[str, tuple[Any, ...]]:
    """The conditions without their sentences."""
    return {
        one["type"]: (one["status"], one["reason"], one["observedGeneration"])
        for one in status["conditions"]
    }
