"""A cluster whose product changes its version while alerts arrive and people apply things.

Used by tests/cluster/test_upgrade.py. `Site` moves between versions as a platform engineer does, by helm; `Load`
says at its end whether anything was lost, doubled, or refused that should not be.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intops_api import names
from intops_core.catalog import shipped
from intops_operator.edges.catalogue import version_of
from support.cluster import product
from support.cluster.kubectl import condition
from support.cluster.load import Applying, Asked, Sender, copy_of, title
from support.cluster.older import Version
from support.cluster.onenode import OneNode
from support.cluster.polling import until
from support.cluster.scenario import (
    FLOW,
    NAMESPACE,
    SOURCE_TOKEN,
    Installed,
    await_admission,
    secret,
)
from support.runtime.flows import change, example_manifests
from support.simulators.launcher import HelpdeskSimulator

SETTLED_S = 120.0


@dataclass(slots=True)
class Load:
    """What went on while versions changed."""

    sender: Sender
    asked: Asked
    silences: dict[str, float] = field(default_factory=dict)
    """Longest time without an acknowledged delivery, in seconds, by step."""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure how long senders were not served during a step and until somebody is served again."""
        began = time.monotonic()
        yield
        taken = len(self.sender.acknowledged)
        until(
            lambda: len(self.sender.acknowledged) > taken + 5,
            "deliveries to be acknowledged",
            timeout_s=60,
        )
        self.silences[name] = self.sender.longest_silence_s(began)
        print(
            f"{name}: {time.monotonic() - began:.0f} s, of which {self.silences[name]:.1f} s without capture"
        )

    def await_more(self, outbreaks: int = 15) -> None:
        """Wait until so many further outbreaks are acknowledged."""
        wanted = len(self.sender.acknowledged) + outbreaks
        until(lambda: len(self.sender.acknowledged) >= wanted, "more outbreaks", timeout_s=60)


@dataclass(slots=True)
class Site:
    """A cluster with a desk, and whichever version of the product was put into it last."""

    cluster: OneNode
    desk: HelpdeskSimulator
    found: Installed = field(init=False)

    def __post_init__(self) -> None:
        self.found = Installed(self.cluster, self.desk)

    def put(self, version: Version, *, wait: bool = True, **values: str) -> None:
        """`helm upgrade --install` of a version. Dots of names of values are written as `__`."""
        chosen = {name.replace("__", "."): value for name, value in values.items()}
        product.put(self.cluster, version.chart, version.references, chosen, wait=wait)

    def apply_kinds(self, version: Version) -> None:
        """The kinds of a version, by hand."""
        for file in sorted((version.tree / "crds").glob("*.yaml")):
            self.cluster.kubectl.run("apply", "--server-side", "--force-conflicts", "-f", str(file))

    @staticmethod
    def worker_image(version: Version) -> dict[str, str]:
        """Values that pin the image of the workers."""
        repository, tag = version.references["worker"].rsplit(":", 1)
        return {"worker__image__repository": repository, "worker__image__tag": tag}

    def change_flow(self, team: str) -> None:
        """Change the Flow as its owner would, and wait until its worker goes by it."""
        kubectl = self.cluster.kubectl
        change = [{"op": "replace", "path": "/spec/routes/1/set/assignmentGroup", "value": team}]
        kubectl.run("patch", "flow", FLOW, "-n", NAMESPACE, "--type=json", "-p", json.dumps(change))
        kubectl.wait(
            condition("Programmed"), "flow", FLOW, "-n", NAMESPACE,
            what="the change to take effect", timeout_s=SETTLED_S,
        )  # fmt: skip

    def await_new_leader(self, version: Version) -> None:
        """Wait until an operator of a version leads."""
        kubectl, image = self.cluster.kubectl, version.references["operator"]

        def leads() -> bool:
            space = ("-n", product.NAMESPACE)
            holder = kubectl.get("lease", product.RELEASE, *space)["spec"].get("holderIdentity")
            if not holder:
                return False
            done = kubectl.try_run("get", "pod", holder, *space, "-o", "json")
            pod = json.loads(done.stdout) if done.returncode == 0 else {"spec": {"containers": []}}
            return any(one["image"] == image for one in pod["spec"]["containers"])

        until(leads, f"an operator of {version.name} to lead", timeout_s=SETTLED_S, every_s=0.2)

    def await_catalogue(self) -> None:
        """Wait until every shipped object is what this tree ships."""
        wanted = {(one["kind"], one["metadata"]["name"]): version_of(one) for one in shipped()}

        def is_applied() -> bool:
            found = self.cluster.kubectl.get("connectorclasses,canonicalmodels,patterns")["items"]
            noted = {
                (one["kind"], one["metadata"]["name"]): one["metadata"]["annotations"].get(
                    names.ANNOTATION_CATALOG_VERSION
                )
                for one in found
            }
            return all(noted.get(key) == version for key, version in wanted.items())

        until(is_applied, "the catalogue to be this tree's", timeout_s=SETTLED_S, every_s=0.5)

    def roll_back(self) -> None:
        """`helm rollback` to the revision before."""
        product.helm(
            self.cluster, "rollback", product.RELEASE, "--namespace", product.NAMESPACE, "--wait",
            "--timeout", "120s",
        )  # fmt: skip

    def apply_flow(self, examples: Path) -> None:
        """The first example as one version ships it, with the simulated desk at its end."""
        self.cluster.kubectl.run("create", "namespace", NAMESPACE)
        self.cluster.kubectl.apply(
            secret("alertmanager-token", token=SOURCE_TOKEN),
            secret("helpdesk-token", token=self.desk.token),
            *self.manifests(examples),
        )

    def manifests(self, examples: Path) -> list[dict[str, Any]]:
        """Manifests of the first example."""
        manifests = example_manifests(examples / "01-alerts-to-helpdesk")

        def at(spec: dict[str, Any]) -> None:
            limits = {"requestsPerSecond": 20, "concurrency": 4}
            spec.update(endpoint=self.desk.url, limits=limits)

        change(manifests, "Connector", "helpdesk", at)
        return manifests

    def worker_images(self) -> list[str]:
        """Images of the worker's pods that are ready and not on their way out."""
        return [
            pod["spec"]["containers"][0]["image"]
            for pod in self.found.pods()
            if "deletionTimestamp" not in pod["metadata"] and condition("Ready")(pod)
        ]

    def await_worker(self, version: Version) -> None:
        """Wait until the Flow's worker is of a version and takes deliveries, and nothing else runs."""
        until(
            lambda: self.worker_images() == [version.references["worker"]],
            f"the worker to be of {version.name}",
            timeout_s=SETTLED_S,
            every_s=0.3,
            explain=self.explain,
        )

    def await_ready(self, version: Version) -> None:
        """Wait until the worker is of a version and the Flow says that its messages arrive."""
        self.await_worker(version)
        until(
            self.found.is_ready,
            f"the Flow to be Ready with {version.name}",
            timeout_s=SETTLED_S,
            every_s=0.3,
            explain=self.explain,
        )

    def explain(self) -> str:
        """What is said about the Flow and by the operators, for errors."""
        conditions = self.found.flow().get("status", {}).get("conditions", [])
        said = [f"{c['type']}={c['status']} {c['reason']}: {c['message']}" for c in conditions]
        return "\n".join([*said, *self.worker_images(), self.found.operator_log()])

    @contextmanager
    def load(self, examples: Path) -> Iterator[Load]:
        """Alerts and applies from here on; at the end everything has to be in order."""
        manifests = self.manifests(examples)
        flow = next(one for one in manifests if one["kind"] == "Flow")
        connector = next(one for one in manifests if one["kind"] == "Connector")
        bad = copy_of(flow, "bad")
        bad["spec"]["closure"] = {}
        good = [copy_of(connector, "rehearsed"), copy_of(flow, "rehearsed")]
        with ExitStack() as stack:
            sender = stack.enter_context(Sender(self.found.capture_url()))
            applying = stack.enter_context(Applying(self.cluster.plane, good, [bad]))
            load = Load(sender, applying.asked)
            yield load
            sender.resolve(sender.opened[:20])
            sender.end()
            self._await_delivered(sender)
            print(
                f"{len(sender.opened)} outbreaks in {sender.sent} deliveries, answers beside 2xx "
                f"{dict(sender.answers)}; {applying.asked.times} applies, {len(applying.asked.failed)} failed"
            )

    def _await_delivered(self, sender: Sender) -> None:
        def delivered() -> bool:
            tickets = self.desk.tickets()
            resolved = sum(one["Status"] == "resolved" for one in tickets)
            return len(tickets) >= len(sender.opened) and resolved >= len(sender.resolved)

        until(
            delivered, "everything to be delivered", timeout_s=90, every_s=1, explain=self.explain
        )
        # What would be doubled would be so by now: nothing is under way any more.
        until(
            lambda: (
                (s := self.found.store())["waiting"] + s["sending"] + s["held"] + s["pending"] == 0
            ),
            "nothing to be under way",
            timeout_s=30,
            every_s=0.5,
        )

    @contextmanager
    def alone(self, version: Version) -> Iterator[None]:
        """Start from a version with the example as it ships it; leave nothing but the kinds."""
        self.put(version)
        await_admission(self.cluster.kubectl)
        self.apply_flow(version.examples)
        try:
            self.await_ready(version)
            yield
        finally:
            kubectl = self.cluster.kubectl
            kubectl.run("delete", "flow", "--all", "-n", NAMESPACE, "--ignore-not-found")
            until(lambda: not self.found.children(FLOW), "every child is gone", timeout_s=60)
            product.helm(
                self.cluster,
                "uninstall",
                product.RELEASE,
                "--namespace",
                product.NAMESPACE,
                "--wait",
            )
            kubectl.run("delete", "namespace", NAMESPACE, "--wait=true")


def differences(site: Site, load: Load) -> list[str]:
    """Where the books of the senders, of the desk and of the worker disagree, in words; empty where all is well."""
    sender, tickets = load.sender, site.desk.tickets()
    made = Counter(one["Subject"] for one in tickets)
    status = {one["Subject"]: one["Status"] for one in tickets}
    store = site.found.store()
    ended = store["done"] + sum(store["dropped"].values()) + store["discarded"]
    return [
        *(f"outbreak {n} was never taken" for n in sender.opened if n not in sender.acknowledged),
        *(f"outbreak {n} is lost" for n in sorted(sender.acknowledged) if not made[title(n)]),
        *(f"{name}: {count} tickets" for name, count in made.items() if count > 1),
        *(f"ticket of {n} is open" for n in sender.resolved if status.get(title(n)) != "resolved"),
        *(f"{store[state]} messages are {state}" for state in ("review", "held") if store[state]),
        *([f"{store['received']} received, {ended} ended"] if store["received"] != ended else []),
    ]
