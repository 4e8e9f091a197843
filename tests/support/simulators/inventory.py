"""An inventory that knows which service a host carries; and the class that describes it as an enricher.

It is served in the test's own loop, in front of the register as desk (`support.simulators.register`).
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from intops_api.plan import FlowPlan
from support.runtime.flows import change, make_plan
from support.simulators.register import manifests_for

INVENTORY: dict[str, Any] = {
    "apiVersion": "intops.io/v1alpha1",
    "kind": "ConnectorClass",
    "metadata": {"name": "inventory"},
    "spec": {
        "displayName": "Inventory",
        "credentials": [],
        "objects": {
            "item": {
                "fields": {
                    "name": {"type": "string", "required": True},
                    "service": {"type": "string"},
                    "tier": {"type": "integer"},
                }
            }
        },
        "operations": {
            "lookup": {
                "object": "item",
                "request": {"path": "/items", "query": {"name": "record.resource.node"}},
                "success": "response.status == 200",
                "result": {"items": "response.body.items"},
            },
            "probe": {"request": {"path": "/ping"}, "success": "response.status == 200"},
        },
        "mappings": {
            "item-to-event": {
                "from": {"class": "inventory", "object": "item"},
                "to": {"model": "event", "version": "v1"},
                "partial": True,
                "fields": [
                    {
                        "to": "service", "from": "service",
                        "meaning": "Who is hurt when this host is down.",
                    },
                    {
                        "to": "criticality", "from": "tier",
                        "values": {"1": "1", "2": "2", "3": "3"}, "onUnmapped": "review",
                        "meaning": "How much the business needs what runs there.",
                    },
                ],
                "examples": [
                    {
                        "name": "a host of the first tier",
                        "input": {"name": "db01", "service": "payments", "tier": 1},
                        "output": {"service": "payments", "criticality": "1"},
                    }
                ],
            }
        },
        "limits": {"requestsPerSecond": 1000, "concurrency": 8, "source": "A simulator has none."},
    },
}  # fmt: skip
MORE_OF_A_CASE = {
    "service": {"type": "string"},
    "impact": {"type": "string"},
    "context": {"type": "string"},
    "team": {"type": "string"},
}
MORE_RULES = [
    {"to": "service", "from": "service", "meaning": "Who is hurt by this incident."},
    {"to": "impact", "from": "impact", "meaning": "How much of the business is hit."},
    {"to": "context", "from": "enrichment.status", "meaning": "Whether more is to be expected."},
    {"to": "team", "from": "assignmentGroup", "meaning": "The team that works on the incident."},
]


def plan_with_inventory(
    desk: str, inventory: str, errors: dict[str, Any] | None = None, *, binding: Any = None
) -> FlowPlan:
    """The Flow to the register, whose cases also say the service, with the inventory as enricher `ci`.

    `binding` adds to the enricher's binding or changes it.
    """
    manifests = manifests_for(desk, errors or {})
    for raw in manifests:
        if raw["kind"] == "ConnectorClass" and raw["metadata"]["name"] == "register":
            raw["spec"]["objects"]["case"]["fields"].update(MORE_OF_A_CASE)

    def more(spec: dict[str, Any]) -> None:
        spec["fields"] += copy.deepcopy(MORE_RULES)

    change(manifests, "Mapping", "incident-to-helpdesk", more)
    return make_plan(asking(manifests, inventory, **(binding or {})))


def asking(manifests: list[dict[str, Any]], inventory: str, **binding: Any) -> list[dict[str, Any]]:
    """The manifests of the first example with the inventory as enricher `ci` of the Flow."""

    def how(spec: dict[str, Any]) -> None:
        spec["roles"]["enricher"] = [{"name": "ci", "connector": "cmdb", **binding}]

    change(manifests, "Flow", "alerts-to-helpdesk", how)
    return [*manifests, copy.deepcopy(INVENTORY), connector(inventory, manifests[0])]


def connector(endpoint: str, beside: dict[str, Any]) -> dict[str, Any]:
    """The Connector `cmdb`, in the namespace of another manifest."""
    return {
        "apiVersion": "intops.io/v1alpha1",
        "kind": "Connector",
        "metadata": {"name": "cmdb", "namespace": beside["metadata"]["namespace"]},
        "spec": {
            "class": "inventory",
            "endpoint": endpoint,
            "owner": {"team": "platform", "contact": "platform@example.com"},
        },
    }


def on_db01(sample: dict[str, Any]) -> dict[str, Any]:
    """An alert of a host of the inventory that says nothing of its service itself."""
    changed = copy.deepcopy(sample)
    labels = changed["alerts"][0]["labels"]
    labels["instance"] = "db01:9100"
    labels.pop("service", None)
    labels.pop("criticality", None)
    return changed


class Inventory:
    """The server. `status` other than 200 refuses everything, `hang_s` delays each answer."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = [{"name": "db01", "service": "payments", "tier": 1}]
        self.status = 200
        self.hang_s = 0.0
        self.asked: list[str] = []
        """Names that were looked up."""
        self.url = ""

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application()
        app.router.add_get("/items", self.find)
        app.router.add_get("/ping", self.ping)
        return app

    async def find(self, request: web.Request) -> web.Response:
        """Items of a name."""
        name = request.query["name"]
        self.asked.append(name)
        await asyncio.sleep(self.hang_s)
        found = [item for item in self.items if item["name"] == name]
        return web.json_response({"items": found}, status=self.status)

    async def ping(self, _: web.Request) -> web.Response:
        """Whether it is there."""
        return web.json_response({}, status=self.status)


@asynccontextmanager
async def serving() -> AsyncIterator[Inventory]:
    """An inventory at its `url`."""
    inventory = Inventory()
    runner = web.AppRunner(inventory.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    inventory.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield inventory
    finally:
        await runner.cleanup()
