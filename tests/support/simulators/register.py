"""A desk with a constraint of its own, records that move, and tokens that end; and the class that describes it.

It is served in the test's own loop. Used by tests of what the worker makes of each kind of failure.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from intops_api.plan import FlowPlan
from support.runtime.flows import Change, change, example_manifests, make_plan

CLIENT = {"clientId": "intops", "clientSecret": "a-secret-for-tests"}

RESULT = {
    "nativeId": "response.body.id",
    "displayId": "response.body.id",
    "key": "response.body.key",
}
CHANGE = {
    "object": "case",
    "request": {
        "method": "PATCH", "path": "/cases/{id}", "params": {"id": "link.nativeId"}, "body": "record",
    },
    "success": "response.status == 200",
    "result": RESULT,
    "timeout": "2s",
}  # fmt: skip
REGISTER: dict[str, Any] = {
    "apiVersion": "intops.io/v1alpha1",
    "kind": "ConnectorClass",
    "metadata": {"name": "register"},
    "spec": {
        "displayName": "Register",
        "credentials": [{"key": "clientId"}, {"key": "clientSecret"}],
        "auth": {
            "scheme": "oauth2",
            "oauth2": {
                "grant": "clientCredentials", "tokenPath": "/token", "scope": "cases",
                "clientIdKey": "clientId", "clientSecretKey": "clientSecret",
            },
        },
        "objects": {
            "case": {
                "fields": {
                    "key": {"type": "string", "required": True, "searchable": True},
                    "title": {"type": "string"},
                    "state": {"type": "string"},
                }
            }
        },
        "operations": {
            "create": {
                "object": "case",
                "request": {"method": "POST", "path": "/cases", "body": "record"},
                "success": "response.status == 201",
                "result": RESULT,
                "timeout": "2s",
            },
            "update": CHANGE,
            "transition": CHANGE,
            "comment": CHANGE,
            "get": {
                "object": "case",
                "request": {"path": "/cases/{id}", "params": {"id": "link.nativeId"}},
                "success": "response.status == 200",
                "result": RESULT,
            },
            "lookupByCorrelation": {
                "object": "case",
                "request": {"path": "/cases", "query": {"key": "key"}},
                "success": "response.status == 200",
                "result": {"items": "response.body", "nativeId": "item.id", "displayId": "item.id"},
                "settle": "1s",
            },
            "probe": {"request": {"path": "/ping"}, "success": "response.status == 200"},
        },
        "errors": [
            {"when": 'response.body.code == "exists"', "class": "duplicate"},
            {
                "when": "response.status == 422",
                "class": "validation",
                "detail": "response.body.message",
            },
        ],
    },
}  # fmt: skip
TO_REGISTER: dict[str, Any] = {
    "from": {"model": "incident", "version": "v1"},
    "to": {"class": "register", "object": "case"},
    "fields": [
        {"to": "key", "from": "correlationKey", "meaning": "One outbreak is one case."},
        {"to": "title", "from": "title", "meaning": "The line that a person can act on."},
        {"to": "state", "from": "state", "meaning": "The register keeps our states."},
    ],
    "examples": [
        {
            "name": "an incident is a case",
            "input": {
                "correlationKey": "iop1:abc", "title": "db01 is down", "state": "new",
                "impact": "high", "urgency": "high", "openedAt": "2026-11-23T20:23:39Z",
            },
            "output": {"key": "iop1:abc", "state": "new"},
        }
    ],
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer instead of the desk's own; with `after_work` the work is done nevertheless."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    after_work: bool = False


Script = Callable[[str, dict[str, Any]], Reply | None]
"""Method and record of a request in, what is answered instead out; None lets the desk answer."""


class Register:
    """The desk. `search_lag` counts searches that do not find what is there; `answers` come instead of the work.

    `hang_after_work` counts writes that are done and never answered.
    """

    def __init__(self) -> None:
        self.cases: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.search_lag = 0
        self.script: Script = lambda _method, _record: None
        self.is_unique = True
        """Whether it refuses a second record of a key."""
        self.most_at_once = 0
        """Most requests that it worked on at the same time since this was set to 0."""
        self._at_once = 0
        self.work_s = 0.0
        """Seconds that a write takes."""
        self.hang_after_work = 0
        self.token_life_s = 3600
        self.token_name = "token"
        self.token_answer: tuple[int, dict[str, Any]] | None = None
        self.live_tokens: set[str] = set()
        self.tokens_given = 0
        self.refused = 0
        self.answers: list[tuple[int, dict[str, Any], dict[str, str]]] = []

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application()
        app.router.add_post("/token", self.token)
        app.router.add_route("*", "/{what:.*}", self.serve)
        return app

    async def token(self, request: web.Request) -> web.Response:
        """RFC 6749, section 4.4."""
        self.requests.append("POST token")
        if self.token_answer is not None:
            return web.json_response(self.token_answer[1], status=self.token_answer[0])
        form = await request.post()
        assert request.headers["Authorization"].startswith("Basic ")
        assert (form["grant_type"], form["scope"]) == ("client_credentials", "cases")
        self.tokens_given += 1
        name = f"{self.token_name}-{self.tokens_given}"
        self.live_tokens.add(name)
        asyncio.get_running_loop().call_later(self.token_life_s, self.live_tokens.discard, name)
        return web.json_response({"access_token": name, "expires_in": self.token_life_s})

    async def serve(self, request: web.Request) -> web.Response:
        """Everything else, for those with a live token."""
        what = request.match_info["what"]
        self.requests.append(f"{request.method} {what}")
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.live_tokens:
            self.refused += 1
            return web.json_response({"code": "who"}, status=401)
        if what == "ping":
            return web.json_response({})
        if self.answers and request.method != "GET":
            status, body, headers = self.answers.pop(0)
            return web.json_response(body, status=status, headers=headers)
        reply = self.script(request.method, await _record(request))
        if reply is not None and not reply.after_work:
            return _answer(reply)
        done = await self._counted(request, what.partition("/")[2])
        if reply is not None:
            return _answer(reply)
        if self.hang_after_work and request.method != "GET":
            self.hang_after_work -= 1
            await asyncio.sleep(3600)  # until the caller gives up
        return done

    @property
    def writes(self) -> int:
        """Requests that were to change something, refused ones too; those for a token do not count."""
        return sum(not line.startswith("GET") and line != "POST token" for line in self.requests)

    async def _counted(self, request: web.Request, number: str) -> web.Response:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if request.method != "GET":
                await asyncio.sleep(self.work_s)
            return await self._work(request, number)
        finally:
            self._at_once -= 1

    async def _work(self, request: web.Request, number: str) -> web.Response:
        if request.method == "GET" and not number:
            if self.search_lag:
                self.search_lag -= 1
                return web.json_response([])
            found = [c for c in self.cases.values() if c["key"] == request.query["key"]]
            return web.json_response(found)
        if request.method == "POST":
            record = await request.json()
            if self.is_unique and any(
                known["key"] == record["key"] for known in self.cases.values()
            ):
                return web.json_response({"code": "exists"}, status=409)
            return web.json_response(self.add(record), status=201)
        if number not in self.cases:
            return web.json_response({"code": "gone"}, status=404)
        if request.method == "PATCH":
            self.cases[number] |= await request.json()
        return web.json_response(self.cases[number])

    def add(self, record: dict[str, Any]) -> dict[str, Any]:
        """A new case."""
        number = f"C{len(self.cases) + 1}"
        self.cases[number] = {**record, "id": number}
        return self.cases[number]


async def _record(request: web.Request) -> dict[str, Any]:
    if request.method == "GET":
        return {}
    record: dict[str, Any] = await request.json()
    return record


def _answer(reply: Reply) -> web.Response:
    return web.json_response(reply.body or {}, status=reply.status, headers=reply.headers)


def plan_for(
    endpoint: int | str,
    errors: dict[str, Any],
    *,
    flow: Change = lambda _: None,
    source: Change = lambda _: None,
) -> FlowPlan:
    """The first example with its desk replaced by the register at a port or an endpoint.

    `errors` is the Flow's `spec.errors`; `flow` and `source` change the Flow and the source's Mapping.
    """
    if isinstance(endpoint, int):
        endpoint = f"http://127.0.0.1:{endpoint}"
    return make_plan(manifests_for(endpoint, errors, flow=flow, source=source))


def manifests_for(
    endpoint: str,
    errors: dict[str, Any],
    *,
    flow: Change = lambda _: None,
    source: Change = lambda _: None,
) -> list[dict[str, Any]]:
    """The manifests of `plan_for`."""
    manifests = example_manifests()
    desk = {"class": "register", "endpoint": endpoint, "config": {}}
    change(manifests, "Connector", "helpdesk", lambda spec: spec.update(desk))
    body = copy.deepcopy(TO_REGISTER)
    change(manifests, "Mapping", "incident-to-helpdesk", lambda spec: spec.update(body))
    change(manifests, "Mapping", "alertmanager-to-event", source)
    change(manifests, "Flow", "alerts-to-helpdesk", lambda spec: spec.update(errors=errors))
    change(manifests, "Flow", "alerts-to-helpdesk", flow)
    return [*manifests, copy.deepcopy(REGISTER)]
