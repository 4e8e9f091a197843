"""A large estate for bench/scale.py: its objects, a client that writes many at once, and workers that only report.

Pods need nodes; here a pod is an object that is marked as running at an address of its own on loopback, where one
server answers for all of them. Each worker reports its own Flow, as a real one does.
"""

from __future__ import annotations

import asyncio
import copy
import json
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import aiohttp
from aiohttp import web

from intops_api import names
from intops_operator.core.children.worker import child_name
from support.cluster.controlplane import ControlPlane
from support.operators import RUNNING, documents, namespace

Manifest = dict[str, Any]

SPACE = "estate"
MAPPINGS = 2000
CONNECTORS = 500
SHARED = "alertmanager-to-event"
"""The Mapping that every Flow uses."""
IN_FLIGHT = 32
PLURALS = {
    "Namespace": "/api/v1/namespaces",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Connector": "/apis/intops.io/v1alpha1/namespaces/{}/connectors",
    "Mapping": "/apis/intops.io/v1alpha1/namespaces/{}/mappings",
    "Flow": "/apis/intops.io/v1alpha1/namespaces/{}/flows",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Pattern": "/apis/intops.io/v1alpha1/patterns",
    "CanonicalModel": "/apis/intops.io/v1alpha1/canonicalmodels",
    "ConnectorClass": "/apis/intops.io/v1alpha1/connectorclasses",
}


def flow_name(number: int) -> str:
    """Name of a Flow."""
    return f"flow-{number:05d}"


def objects(flows: int) -> Iterator[Manifest]:
    """Everything that people would apply: Connectors and Mappings first, then the Flows."""
    yield namespace(SPACE)
    source, target = documents("connectors.yaml")
    for number in range(CONNECTORS // 2):
        for side in (source, target):
            yield _named(side, f"{side['metadata']['name']}-{number}")
    shared, out = documents("mappings.yaml")[:2]
    assert shared["metadata"]["name"] == SHARED, shared["metadata"]["name"]
    yield _named(shared, SHARED)
    for number in range(MAPPINGS - 1):
        yield _named(out, f"{out['metadata']['name']}-{number}")
    (flow,) = documents("flow.yaml")
    for number in range(flows):
        made = _named(flow, flow_name(number))
        (takes,), (gives,) = made["spec"]["roles"]["source"], made["spec"]["roles"]["target"]
        takes["connector"] = f"{source['metadata']['name']}-{number % (CONNECTORS // 2)}"
        gives["connector"] = f"{target['metadata']['name']}-{number % (CONNECTORS // 2)}"
        gives["mapping"] = f"{out['metadata']['name']}-{number % (MAPPINGS - 1)}"
        yield made


def _named(doc: Manifest, name: str) -> Manifest:
    made = copy.deepcopy(doc)
    made["metadata"] = {"name": name, "namespace": SPACE}
    return made


class Client:
    """Requests of an administrator, many at once."""

    def __init__(self, plane: ControlPlane) -> None:
        tls = ssl.create_default_context(cafile=str(plane.authority.ca.cert))
        tls.load_cert_chain(plane.admin.cert, plane.admin.key)
        self._server = plane.server
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=IN_FLIGHT)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def all(self, jobs: Iterable[Manifest], do: Callable[[Manifest], Any]) -> None:
        """Do something for each manifest, 32 at a time."""
        waiting = iter(jobs)

        async def one() -> None:
            for job in waiting:
                await do(job)

        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(one())

    async def apply(self, manifest: Manifest, *, dry: bool = False) -> None:
        """Server-side apply."""
        meta = manifest["metadata"]
        path = PLURALS[manifest["kind"]].format(meta.get("namespace"))
        params = {"fieldManager": "estate", "force": "true", **({"dryRun": "All"} if dry else {})}
        await self.ask(
            "PATCH", f"{path}/{meta['name']}", params=params, data=json.dumps(manifest),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )  # fmt: skip

    async def run_pod(self, manifest: Manifest) -> None:
        """Make a pod, and mark it as running where its Flow's address is; the Deployment sees it."""
        path, status = PLURALS["Pod"].format(SPACE), manifest.pop("status")
        name, flow = manifest["metadata"]["name"], manifest["metadata"]["labels"][names.LABEL_FLOW]
        await self.ask("POST", path, data=json.dumps(manifest), headers=JSON)
        await self._tell_status(f"{path}/{name}", status)
        deployment = f"{PLURALS['Deployment'].format(SPACE)}/{child_name(flow)}"
        while not await self.has(deployment):  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.5)  # it is applied a moment after the ConfigMap
        await self._tell_status(deployment, ROLLED)

    async def _tell_status(self, path: str, status: Manifest) -> None:
        await self.ask(
            "PATCH", f"{path}/status", data=json.dumps({"status": status}),
            headers={"Content-Type": "application/merge-patch+json"},
        )  # fmt: skip

    async def hashes(self) -> dict[str, str]:
        """Hash of the plan that stands in the ConfigMap of each Flow."""
        found: dict[str, str] = {}
        path, more = PLURALS["ConfigMap"].format(SPACE), ""
        while True:
            page = json.loads(
                await self.ask(
                    "GET", path, params={"limit": "500", "continue": more}, headers=METADATA
                )
            )
            for item in page["items"] or ():
                meta = item["metadata"]
                flow = (meta.get("labels") or {}).get(names.LABEL_FLOW)
                if flow:
                    found[flow] = (meta.get("annotations") or {}).get(
                        names.ANNOTATION_PLAN_HASH, ""
                    )
            more = page["metadata"].get("continue", "")
            if not more:
                return found

    async def has(self, path: str) -> bool:
        """Whether an object is there."""
        async with self._session.get(self._server + path, headers=METADATA_OF_ONE) as answer:
            return answer.status == 200

    async def ask(self, verb: str, path: str, **more: Any) -> str:
        """One request; its answer's text."""
        async with self._session.request(verb, self._server + path, **more) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise AssertionError(f"{verb} {path}: HTTP {answer.status} {text[:300]}")
            return text


JSON = {"Content-Type": "application/json"}
ROLLED = {
    "observedGeneration": 1_000_000,  # no change outruns the controller that is not there
    "replicas": 1,
    "updatedReplicas": 1,
    "readyReplicas": 1,
    "availableReplicas": 1,
}
METADATA_OF_ONE = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
METADATA = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}


def pod(number: int) -> Manifest:
    """The pod of a Flow's worker, as the operator looks for it."""
    flow = flow_name(number)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"intops-{flow}-0", "namespace": SPACE,
            "labels": {
                names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_NAME: "intops-worker",
                names.LABEL_COMPONENT: "worker", names.LABEL_FLOW: flow,
            },
        },
        "spec": {
            "nodeName": "nowhere", "serviceAccountName": f"intops-{flow}", "automountServiceAccountToken": False,
            "containers": [{"name": "worker", "image": "test"}],
        },
        "status": {**RUNNING, "podIP": address(number), "podIPs": [{"ip": address(number)}]},
    }  # fmt: skip


def address(number: int) -> str:
    """The address of a worker, all of them on loopback."""
    return f"127.1.{number // 250}.{number % 250 + 1}"


class Workers:
    """Answers `/report` at the address of every worker, in a thread of its own."""

    def __init__(self) -> None:
        self.active: dict[str, str] = {}
        self.traffic = False
        """Whether every worker has done some more at each question."""
        self._asked = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self.port = 0
        threading.Thread(target=self._serve, daemon=True).start()
        self._ready.wait()

    def stop(self) -> None:
        """Close the port."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()

    async def _listen(self) -> None:
        application = web.Application()
        application.router.add_get("/report", self._report)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        # Every worker has an address of its own, and all of 127.0.0.0/8 is this machine.
        site = web.TCPSite(runner, "0.0.0.0", 0)
        await site.start()
        self.port = int(runner.addresses[0][1])

    async def _report(self, request: web.Request) -> web.Response:
        name = request.transport.get_extra_info("sockname")[0] if request.transport else ""
        _, _, high, low = (int(part) for part in name.split("."))
        flow = flow_name(high * 250 + low - 1)
        self._asked += 1
        done = self._asked if self.traffic else 0
        plan = {
            "flow": {"namespace": SPACE, "name": flow},
            "active": self.active.get(flow),
            "store": {"received": done, "done": done},
        }
        return web.json_response(
            {
                "schema": 1, "worker": name, "version": "test", "startedAt": "2026-01-01T00:00:00Z",
                "at": "2026-01-01T00:00:00Z", "plans": [plan],
            }
        )  # fmt: skip


@contextmanager
def workers() -> Iterator[Workers]:
    """Workers until the block ends."""
    made = Workers()
    try:
        yield made
    finally:
        made.stop()
