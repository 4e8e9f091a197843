"""A simulated Zabbix: problems, the JSON-RPC API that tells of them, and webhooks of its media type.

Written from the documentation of Zabbix 7.0. It is served in the test's own loop: `async with`. Tests play the
server with `store`, set `faults` (those of the helpdesk simulator; `fail_status` 200 is an error in a 200),
`api.role` and `token_state`, read the `ledger` of all writes and the `methods`, and send the `queue` with `send`.

Imitated, always on: every error comes with 200; ids and numbers are texts, moments are seconds; an empty map is an
empty list; parameters that problem.get does not know are refused; hosts have two names; a token ends; a close takes
effect later; a webhook is tried `attempts` times and then never again; each step of an escalation sends it anew;
macros that nobody fills in stay as they are; the user who makes an update through the API gets no webhook of it.

Not imitated: HTTP paths of the frontend, other methods and most parameters, tag filters, permissions by group, roles
beyond single methods, escalations by time, dependencies of triggers, correlation of events, sessions and logins,
translated words, the housekeeper, more than one media type, high availability, proxies, and any speed of its own.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import httpx
from aiohttp import web

from support.simulators.desk_faults import Fault, FaultSource
from support.simulators.desk_ledger import ANSWERED, Entry, Ledger
from support.simulators.zabbix_api import ApiError, ZabbixApi, failure
from support.simulators.zabbix_media import macros, parameters, posted
from support.simulators.zabbix_store import Problem, Trigger, Update, ZabbixStore

TOKEN = "an-api-token-for-tests"
JSON_TYPES = ("application/json", "application/json-rpc", "application/jsonrequest")
TokenState = Literal["ok", "expired", "session", "unknown"]


@dataclass(slots=True)
class Alert:
    """One webhook that is to be sent; `failed` says that it was given up."""

    body: dict[str, Any]
    statuses: list[int] = field(default_factory=list)
    failed: bool = False


class ZabbixSimulator:
    """One installation.

    Attributes:
        token_state: `ok`; `expired` (an API token whose time is over), `session` (a session that has ended) or
            `unknown` (a token that was removed).
        unfilled: Macros that this installation does not fill in, such as `{HOST.IP}`.
        unknown: Macros that it fills in with `*UNKNOWN*`.
        attempts: How often a webhook is tried.
        methods: Name of every method that was called.
    """

    def __init__(self) -> None:
        self.store = ZabbixStore()
        self.api = ZabbixApi(self.store)
        self.faults = FaultSource()
        self.ledger = Ledger(None)
        self.token = TOKEN
        self.token_state: TokenState = "ok"
        self.unfilled: set[str] = set()
        self.unknown: set[str] = set()
        self.attempts = 3
        self.methods: list[str] = []
        self.queue: list[Alert] = []
        self.url = ""
        self._runner: web.AppRunner | None = None
        self._over = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/api_jsonrpc.php", self._serve)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def fire(self, trigger: Trigger) -> Problem:
        """A problem begins, and its webhook waits in the queue."""
        problem = self.store.fire(trigger, time.time())
        self.tell(problem)
        return problem

    def recover(self, problem: Problem) -> None:
        """A problem ends, and its webhook waits in the queue."""
        self.store.recover(problem, time.time())
        self.tell(problem, recovered=True)

    def update(self, problem: Problem, action: int, **more: Any) -> None:
        """A person changes a problem, and its webhook waits in the queue."""
        self.tell(problem, update=self.store.update(problem, action, time.time(), **more))

    def tell(
        self, problem: Problem, *, recovered: bool = False, update: Update | None = None
    ) -> None:
        """One more step of the escalation, or what was lost once more."""
        known = macros(problem, recovered, update, self.url)
        known = {name: value for name, value in known.items() if name not in self.unfilled}
        known |= dict.fromkeys(self.unknown, "*UNKNOWN*")
        self.queue.append(Alert(posted(parameters(known))))

    async def send(self, url: str, token: str, *, times: int = 1) -> list[Alert]:
        """Send what waits, oldest first, each so many times."""
        alerts, self.queue = self.queue, []
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(headers=headers, timeout=10.0) as client:
            for alert in alerts:
                for _ in range(times):
                    alert.failed = not await self._tried(client, url, alert)
        return alerts

    async def _tried(self, client: httpx.AsyncClient, url: str, alert: Alert) -> bool:
        """Whether one of the attempts was taken; a real one waits ten seconds between them."""
        for _ in range(self.attempts):
            try:
                answer = await client.post(url, json=alert.body)
            except httpx.TransportError:
                alert.statuses.append(0)
                continue
            alert.statuses.append(answer.status_code)
            if answer.is_success:
                return True
        return False

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.method != "POST" or request.content_type not in JSON_TYPES:
            return web.Response(status=412)
        try:
            call = await request.json()
        except ValueError:
            return web.json_response(failure(ApiError(-32700, "Invalid JSON.")))
        method = str(call.get("method")) if isinstance(call, dict) else ""
        self.methods.append(method)
        refusal = self._refusal(request, method)
        if refusal is not None:
            return web.json_response(failure(refusal, call.get("id")))
        operation = "update" if method == "event.acknowledge" else "read"
        fault = self.faults.draw(operation)
        if fault in (Fault.FAIL, Fault.RESET_BEFORE, Fault.HANG_BEFORE):
            self._note(operation, call, None, fault)
            return await self._spoil(request, call, fault)
        body, changed = self.api.answer(call, time.time())
        self._note(operation, call, changed, fault)
        if fault is not None:
            return await self._spoil(request, call, fault)
        return web.json_response(body)

    def _refusal(self, request: web.Request, method: str) -> ApiError | None:
        shown = request.headers.get("Authorization")
        if method == "apiinfo.version" and shown is not None:
            words = 'The "apiinfo.version" method must be called without authorization header.'
            return ApiError(-32602, words)
        known = shown == f"Bearer {self.token}" and self.token_state != "unknown"
        if not known or self.faults.settings.refuse_token:
            return ApiError(-32602, "Not authorized.")
        if self.token_state == "expired":
            return ApiError(-32602, "API token expired.")
        if self.token_state == "session":
            return ApiError(-32602, "Session terminated, re-login, please.")
        return None

    def _note(
        self, operation: str, call: dict[str, Any], changed: Problem | None, fault: Fault | None
    ) -> None:
        if operation == "read":
            return
        self.ledger.add(
            Entry(
                at=time.time(), op=operation, ticket=changed.eventid if changed else None, key=None,
                status=200, outcome=fault.value if fault else ANSWERED, done=changed is not None,
                user=self.api.role.name, body=call.get("params"),
            )
        )  # fmt: skip

    async def _spoil(
        self, request: web.Request, call: dict[str, Any], fault: Fault
    ) -> web.StreamResponse:
        settings = self.faults.settings
        if fault is Fault.FAIL:
            if settings.fail_status == 200:
                refused = ApiError(-32500, settings.fail_message)
                return web.json_response(failure(refused, call.get("id")))
            return web.Response(status=settings.fail_status, text=json.dumps(settings.fail_message))
        if fault in (Fault.RESET_BEFORE, Fault.RESET_AFTER):
            if request.transport is not None:
                request.transport.abort()
            raise asyncio.CancelledError
        await self._over.wait()  # the client goes away, or the test is over
        raise asyncio.CancelledError
