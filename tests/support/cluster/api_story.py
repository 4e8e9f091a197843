"""The life of one Flow in one namespace, and a picture of what the operator has made of it.

Two pictures are equal when the operator has come to the same end, whatever went wrong on its way: names of
namespaces, random names, times and versions are taken out.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from typing import Any

from support.cluster.api import Api, Manifest
from support.cluster.polling import until
from support.operators import CHILD, FLOW, RUNNING, ReportServer, condition, documents, namespace

FILES = ("connectors.yaml", "mappings.yaml", "flow.yaml")
CHILDREN = ("ServiceAccount", "ConfigMap", "Service", "Deployment", "NetworkPolicy",
            "PersistentVolumeClaim")  # fmt: skip
JUDGED = ("Flow", "Connector", "Mapping")
OURS = f"intops.io/flow={FLOW}"
PATIENCE_S = 120.0  # longer than the 70 s after which a watch that says nothing is opened anew


class Story:
    """Tells one Flow's life; each step returns when the operator has followed."""

    def __init__(
        self,
        api: Api,
        workers: ReportServer,
        space: str,
        log: Callable[[], str],
        like: Story | None = None,
    ) -> None:
        """`like` is a life that nothing disturbed; this one must come to look the same."""
        self._api, self._workers = api, workers
        self._log = log
        self._like = like
        self.space = space
        self.pictures: list[dict[str, Any]] = []

    def tell(self) -> None:
        """Make a Flow, change its Mapping, damage its children, delete it."""
        for number, step in enumerate((self.create, self.change, self.damage)):
            step()
            if self._like is None:
                self.pictures.append(self.settled())
            else:
                self._becomes(self._like.pictures[number])
        self.delete()

    def create(self) -> None:
        """From nothing to Ready."""
        self.apply()
        self.await_ready()

    def apply(self) -> None:
        """What a person applies."""
        self._api.apply(namespace(self.space))
        for file in FILES:
            for document in documents(file):
                self._api.apply(self._placed(document))

    def await_ready(self) -> None:
        """Until its worker runs what it should, and the status says so."""
        self._until(self._answered, "Ready")

    def healed(self) -> dict[str, Any]:
        """The picture after one more look at the worker's answers and pods."""
        self._answered()
        return self.picture()

    def change(self) -> None:
        """A Mapping in other words: a new plan for the same worker."""
        mapping = next(d for d in documents("mappings.yaml") if "incident" in d["metadata"]["name"])
        mapping["spec"]["fields"][0]["meaning"] = "Said in other words, for the business."
        before = self._hash()
        self._api.apply(self._placed(mapping))
        self._until(lambda: self._hash() != before and self._answered(), "the new plan to be Ready")

    def damage(self) -> None:
        """A scaled Deployment, a deleted Service, a label that is gone: repaired."""
        self._api.merge("Deployment", self.space, CHILD, {"spec": {"replicas": 3}})
        self._api.delete("Service", self.space, CHILD)
        self._api.merge("NetworkPolicy", self.space, CHILD, {"spec": {"egress": None}})
        self._until(self._repaired, "the children as they were")
        self.await_ready()

    def delete(self) -> None:
        """Everything goes but the volume: its worker ended without a word about what is left on it."""
        self._api.delete("Flow", self.space, FLOW)
        self._until(
            lambda: not any(self._api.list(kind, self.space, OURS) for kind in CHILDREN[:-1]),
            "all children to go",
        )
        kept = self._api.get("PersistentVolumeClaim", self.space, CHILD) is not None
        # Unless an operator has started since: it knows of no worker, and nothing was ever bound to the claim.
        unused = any(
            "empty volume removed" in line and f'"{self.space}"' in line
            for line in self._log().splitlines()
        )
        assert kept or unused
        self._workers.plans.pop((self.space, FLOW), None)

    def _placed(self, document: Manifest) -> Manifest:
        return {**document, "metadata": {**document["metadata"], "namespace": self.space}}

    def _run_pods(self) -> None:
        """As kubelet: what is there and not on its way out runs."""
        for pod in self._api.list("Pod", self.space, OURS):
            meta = pod["metadata"]
            if not meta.get("deletionTimestamp") and pod["status"].get("phase") != "Running":
                self._api.try_merge(
                    "Pod", self.space, meta["name"], {"status": RUNNING}, subresource="status"
                )

    def _hash(self) -> str | None:
        flow = self._api.get("Flow", self.space, FLOW) or {}
        found: str | None = flow.get("status", {}).get("configHash")
        return found

    def _answered(self) -> bool:
        """The worker reports the plan that it should have, and the status says Ready."""
        self._run_pods()
        flow = self._api.get("Flow", self.space, FLOW) or {}
        wanted = flow.get("status", {}).get("configHash")
        if not wanted:
            return False
        self._workers.say(self.space, FLOW, active=wanted)
        ready = condition(flow, "Ready")
        return (ready.get("status"), ready.get("reason")) == ("True", "Healthy")

    def _repaired(self) -> bool:
        deployment = self._api.get("Deployment", self.space, CHILD) or {}
        policy = self._api.get("NetworkPolicy", self.space, CHILD) or {}
        service = self._api.get("Service", self.space, CHILD)
        return (
            deployment.get("spec", {}).get("replicas") == 1
            and service is not None
            and bool(policy.get("spec", {}).get("egress"))
        )

    def _uid(self) -> str | None:
        flow = self._api.get("Flow", self.space, FLOW) or {}
        found: str | None = flow.get("metadata", {}).get("uid")
        return found

    def settled(self) -> dict[str, Any]:
        """The picture, once it is the same twice: statuses of used objects come a moment later."""
        seen: list[dict[str, Any]] = [{}]

        def same() -> dict[str, Any] | None:
            seen.append(self.picture())
            return seen[-1] if seen[-1] == seen[-2] else None

        return until(same, "a picture that stays", timeout_s=PATIENCE_S, every_s=0.3)

    def _becomes(self, wanted: dict[str, Any]) -> None:
        """Wait until the picture is as it should be; where it differs is said."""

        def explain() -> str:
            return f"{differences(wanted, self.picture())}\n{self._state()}"

        until(
            lambda: self.picture() == wanted, f"{self.space} to look as it should",
            timeout_s=PATIENCE_S, every_s=0.3, explain=explain,
        )  # fmt: skip

    def picture(self) -> dict[str, Any]:
        """What the operator has made here, without what differs from run to run."""
        plan_hash = self._hash() or "none"
        found: dict[str, Any] = {}
        for kind in CHILDREN:
            for item in self._api.list(kind, self.space, OURS):
                found[f"{kind}/{item['metadata']['name']}"] = _essence(item)
        for kind in JUDGED:
            for item in self._api.list(kind, self.space):
                found[f"{kind}/{item['metadata']['name']}"] = _told(item)
        text = json.dumps(found, sort_keys=True)
        for varies in (self.space, plan_hash, self._uid() or "none"):
            text = text.replace(varies, "...")
        picture: dict[str, Any] = json.loads(text)
        return picture

    def _until(self, fact: Callable[[], Any], what: str) -> Any:
        return until(
            fact, f"{what} in {self.space}", timeout_s=PATIENCE_S, every_s=0.1, explain=self._state
        )

    def _state(self) -> str:
        """What there is, for an error message."""
        flow = self._api.get("Flow", self.space, FLOW) or {}
        told = json.dumps(_told(flow), indent=1)
        mine = [line for line in self._log().splitlines() if f'"{self.space}"' in line]
        pods = [
            f"{p['metadata']['name']} {p['status'].get('phase')} "
            f"{p['metadata'].get('deletionTimestamp', '')} {p['metadata'].get('annotations', {})}"
            for p in self._api.list("Pod", self.space)
        ]
        return "\n".join([told, *pods, *mine[-20:]])


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> str:
    """Where two pictures differ, for an error message."""
    return "\n".join(
        f"{name} {part}: {json.dumps(one)[:600]} is wanted, {json.dumps(other)[:600]} is there"
        for name in sorted(wanted.keys() | found.keys())
        for part in sorted(wanted.get(name, {}).keys() | found.get(name, {}).keys())
        if (one := wanted.get(name, {}).get(part)) != (other := found.get(name, {}).get(part))
    )


def _essence(item: Manifest) -> dict[str, Any]:
    meta = item["metadata"]
    spec = {
        key: value
        for key, value in item.get("spec", {}).items()
        if key not in {"clusterIP", "clusterIPs", "volumeName"}
    }
    return {
        "labels": meta.get("labels"),
        "owners": [(o["kind"], o["name"]) for o in meta.get("ownerReferences", ())],
        "spec": spec,
        "data": {
            key: gzip.decompress(base64.b64decode(value)).decode() if key.endswith(".gz") else value
            for key, value in item.get("binaryData", {}).items()
        },
    }


def _told(item: Manifest) -> dict[str, Any]:
    return {
        one["type"]: [one["status"], one["reason"], one["message"]]
        for one in item.get("status", {}).get("conditions", ())
    }
