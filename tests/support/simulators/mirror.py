"""Two desks that tell of every case that is made or changed, each bound as the source of a Flow to the other.

Served in the test's own loop. The class reads the correlation key that a case carries (`capture.origin`), unless a
test leaves that out.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from aiohttp import web

from intops_api.plan import FlowPlan
from support.runtime.flows import NAMESPACE, make_plan

HOOK_TOKEN = "a-token-for-tests-of-mirrors"
OWNER = {"team": "operations", "contact": "operations@example.com"}
_FIELDS = {
    "id": {"type": "string"},
    "key": {"type": "string", "required": True, "searchable": True},
    "title": {"type": "string", "required": True},
    "state": {"type": "string", "required": True, "enum": ["new", "resolved"]},
}
_RESULT = {"nativeId": "response.body.id", "displayId": "response.body.id"}
_CHANGE: dict[str, Any] = {
    "object": "case",
    "request": {
        "method": "PATCH", "path": "/cases/{id}", "params": {"id": "link.nativeId"}, "body": "record",
    },
    "success": "response.status == 200",
    "result": _RESULT,
}  # fmt: skip
MIRROR: dict[str, Any] = {
    "apiVersion": "intops.io/v1alpha1",
    "kind": "ConnectorClass",
    "metadata": {"name": "mirror"},
    "spec": {
        "displayName": "Mirror",
        "credentials": [{"key": "token"}],
        "auth": {"scheme": "bearer", "key": "token"},
        "objects": {"case": {"fields": _FIELDS}, "told": {"fields": {
            "id": {"type": "string", "required": True}, "key": {"type": "string"},
            "title": {"type": "string", "required": True},
            "state": {"type": "string", "required": True}, "edition": {"type": "integer"},
        }}},
        "capture": {
            "object": "told",
            "ack": 200,
            "verify": [{"scheme": "bearer", "key": "token"}],
            "deliveryId": 'object.id + "/" + string(object.edition)',
            "origin": "object.key",
        },
        "operations": {
            "create": {
                "object": "case",
                "request": {"method": "POST", "path": "/cases", "body": "record"},
                "success": "response.status == 201",
                "result": _RESULT,
            },
            "update": _CHANGE,
            "transition": _CHANGE,
            "comment": {**_CHANGE, "request": {**_CHANGE["request"], "body": '{"comment": text}'}},
            "lookupByCorrelation": {
                "object": "case",
                "request": {"path": "/cases", "query": {"key": "key"}},
                "success": "response.status == 200",
                "result": {"items": "response.body", "nativeId": "item.id", "displayId": "item.id"},
            },
        },
        "limits": {"requestsPerSecond": 1000, "concurrency": 8, "source": "A simulator has none."},
        "mappings": {
            "told-to-event": {
                "from": {"class": "mirror", "object": "told"},
                "to": {"model": "event", "version": "v1"},
                "fields": [
                    {"to": "identityKey", "from": "id", "meaning": "A case is the thing that its changes are about."},
                    {"to": "episodeKey", "from": "id", "meaning": "A case is one outbreak from beginning to end."},
                    {
                        "to": "state", "from": "state", "values": {"new": "firing", "resolved": "resolved"},
                        "onUnmapped": "review", "meaning": "A case that is resolved is over on the other side too.",
                    },
                    {"to": "severity", "cel": '"minor"', "meaning": "A desk tells nothing of technical severity."},
                    {"to": "title", "from": "title", "meaning": "The line that a person can act on."},
                    {"to": "source.tool", "cel": '"mirror"', "meaning": "Tells the responder which tool to open."},
                    {"to": "resource.node", "from": "id", "meaning": "The case is what the other desk works on."},
                    {"to": "startsAt", "cel": "now", "meaning": "A desk tells of a case as it is made."},
                ],
            },
            "incident-to-case": {
                "from": {"model": "incident", "version": "v1"},
                "to": {"class": "mirror", "object": "case"},
                "fields": [
                    {"to": "key", "from": "correlationKey", "meaning": "One outbreak is one case, known as ours."},
                    {"to": "title", "from": "title", "meaning": "The line that a person can act on."},
                    {
                        "to": "state", "from": "state", "onUnmapped": "review", "lossy": True,
                        "values": {"new": "new", "in_progress": "new", "resolved": "resolved"},
                        "meaning": "The other desk knows two states only.",
                    },
                ],
            },
        },
    },
}  # fmt: skip


def plans(left: str, right: str, *, recognises_its_own: bool = True) -> tuple[FlowPlan, FlowPlan]:
    """The Flow from the left desk to the right one, and the Flow back."""
    class_ = copy.deepcopy(MIRROR)
    if not recognises_its_own:
        del class_["spec"]["capture"]["origin"]
    connectors = [
        {
            "apiVersion": "intops.io/v1alpha1",
            "kind": "Connector",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "class": "mirror", "endpoint": url, "owner": OWNER,
                "credentials": {"secretName": "mirror-token"},
            },
        }
        for name, url in (("left", left), ("right", right))
    ]  # fmt: skip

    def one(source: str, target: str) -> FlowPlan:
        flow = {
            "apiVersion": "intops.io/v1alpha1",
            "kind": "Flow",
            "metadata": {"name": f"{source}-to-{target}", "namespace": NAMESPACE},
            "spec": {
                "pattern": "event-to-incident",
                "owner": OWNER,
                "roles": {
                    "source": [{"name": "from", "connector": source}],
                    "target": [{"name": "to", "connector": target}],
                },
                "routes": [{"name": "default"}],
                "closure": {"onResolved": "resolve"},
            },
        }
        return make_plan([*connectors, flow, class_])

    return one("left", "right"), one("right", "left")


class Desk:
    """One desk. Once `hook` is set, every change is told there, in order."""

    def __init__(self) -> None:
        self.cases: dict[str, dict[str, Any]] = {}
        self.hook: str | None = None
        self.told = 0
        self.url = ""
        self._numbers = itertools.count(1)
        self._news: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application()
        app.router.add_get("/cases", self.find)
        app.router.add_post("/cases", self.create)
        app.router.add_patch("/cases/{id}", self.update)
        return app

    async def find(self, request: web.Request) -> web.Response:
        """Cases of a key."""
        key = request.query["key"]
        return web.json_response([c for c in self.cases.values() if c.get("key") == key])

    async def create(self, request: web.Request) -> web.Response:
        """A new case."""
        return web.json_response(self.add(await request.json()), status=201)

    async def update(self, request: web.Request) -> web.Response:
        """Change some fields."""
        return web.json_response(self.edit(request.match_info["id"], await request.json()))

    def add(self, record: dict[str, Any]) -> dict[str, Any]:
        """A new case, as a person or a program makes it."""
        number = f"C{next(self._numbers)}"
        self.cases[number] = {"id": number, "edition": 0, "state": "new"}
        return self.edit(number, record)

    def edit(self, number: str, record: dict[str, Any]) -> dict[str, Any]:
        """Change a case, and tell of it."""
        case = self.cases[number]
        case |= record
        case["edition"] += 1
        self._news.put_nowait(dict(case))
        return case

    async def tell(self) -> None:
        """Post what happened, for as long as the desk is served."""
        async with httpx.AsyncClient() as client:
            while True:
                news = await self._news.get()
                if self.hook is None:
                    continue
                headers = {"Authorization": f"Bearer {HOOK_TOKEN}"}
                (await client.post(self.hook, json=news, headers=headers)).raise_for_status()
                self.told += 1


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    """A desk at its `url`."""
    served = Desk()
    runner = web.AppRunner(served.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    telling = asyncio.create_task(served.tell())
    try:
        yield served
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        await runner.cleanup()
