"""A deletion that reaches the API server late takes no volume that somebody uses by then."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from support.cluster.api_proxy import ApiProxy
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.operators import apply, documents, operator

pytestmark = pytest.mark.cluster

CHILD, PLACE = "intopspool-quiet", "intopspool-quiet-00"


class SlowDeletions(ApiProxy):
    """Holds every deletion of a volume back until `release` is called."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        super().__init__(plane, folder)
        self.held = threading.Event()
        self.answers: list[int] = []
        self._go = asyncio.Event()

    def release(self) -> None:
        """Let them go on."""
        self._loop.call_soon_threadsafe(self._go.set)

    async def _ask(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "DELETE" or "/persistentvolumeclaims/" not in request.path:
            return await super()._ask(request)
        await request.read()
        self.held.set()
        await self._go.wait()
        answer = await super()._ask(request)
        self.answers.append(answer.status)
        return answer


def flow(space: str) -> dict[str, Any]:
    """The example's Flow in a pool."""
    (found,) = documents("flow.yaml")
    found["metadata"] = {"name": "alone", "namespace": space}
    found["spec"]["runtime"] = {"store": {"embedded": {"size": "1Gi"}}, "pool": "quiet"}
    return found


def apply_again(plane: ControlPlane, claim: dict[str, Any], folder: Path) -> None:
    """Apply a claim as leaders before have: the second time writes it anew, any further time changes nothing."""
    meta = {key: claim["metadata"][key] for key in ("name", "namespace", "labels", "annotations")}
    spec = {key: claim["spec"][key] for key in ("accessModes", "resources")}
    file = folder / "claim.json"
    body = {"apiVersion": "v1", "kind": claim["kind"], "metadata": meta, "spec": spec}
    file.write_text(json.dumps(body))
    for _ in range(2):
        plane.kubectl.run(
            "apply", "--server-side", "--field-manager=intops-controller", "-f", str(file)
        )


def taken(place: dict[str, Any], by: dict[str, Any]) -> dict[str, Any]:
    """The place of a pool as it was, taken by a Flow."""
    meta = {key: place["metadata"][key] for key in ("name", "namespace", "labels", "annotations")}
    (owner,) = place["metadata"]["ownerReferences"]
    meta["ownerReferences"] = [owner | {"uid": by["metadata"]["uid"]}]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": meta,
        "binaryData": place["binaryData"],
    }


def test_a_volume_of_a_pool_that_is_taken_again_outlives_the_deletion_that_was_under_way(
    plane: ControlPlane, itsm: str, tmp_path: Path
) -> None:
    """The leader who asked for it is dead, the next one has given the place to a Flow of the same name."""
    kubectl = plane.kubectl

    def claim() -> dict[str, Any]:
        found = kubectl.get("persistentvolumeclaims", "-n", itsm)["items"]
        return next((one for one in found if one["metadata"]["name"] == CHILD), {})

    def has_worker() -> bool:
        return kubectl.try_run("get", "deployment", CHILD, "-n", itsm).returncode == 0

    proxy = SlowDeletions(plane, tmp_path)
    try:
        with operator(plane, tmp_path, "first", kubeconfig=proxy.kubeconfig) as first:
            until(first.leads, "the operator to lead", timeout_s=60, explain=first.tail)
            apply(plane, itsm, "connectors.yaml", "mappings.yaml")
            kubectl.apply(flow(itsm))
            until(has_worker, "the pool", timeout_s=60, explain=first.tail)
            before, place = claim()["metadata"], kubectl.get("configmap", PLACE, "-n", itsm)
            assert before["annotations"]["intops.io/taken"] == "true"
            apply_again(plane, claim(), tmp_path)
            kubectl.run("delete", "flow", "alone", "-n", itsm)
            until(proxy.held.is_set, "a deletion of its volume", timeout_s=60, explain=first.tail)
            first.process.kill()
        kubectl.apply(flow(itsm))
        # What the next leader does first; else it might find the pool empty itself before it comes to the Flow.
        kubectl.apply(taken(place, kubectl.get("flow", "alone", "-n", itsm)))
        with operator(plane, tmp_path, "second") as second:
            until(second.leads, "another to lead", timeout_s=60, explain=second.tail)
            until(has_worker, "the pool again", timeout_s=60, explain=second.tail)
            assert claim()["metadata"]["uid"] == before["uid"]
            proxy.release()
            until(lambda: proxy.answers, "the late deletion to be answered", timeout_s=60)
            assert proxy.answers == [409]
            assert claim()["metadata"]["uid"] == before["uid"]
            assert "deletionTimestamp" not in claim()["metadata"]
    finally:
        proxy.stop()
