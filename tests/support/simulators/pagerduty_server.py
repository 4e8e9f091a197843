"""A simulated PagerDuty: incidents through REST v2, Events v2 and V3 webhooks, with the manners that are documented.

It is served in the test's own loop (`support.runtime.bench`). Tests set `faults` (those of the helpdesk simulator),
`lag_s`, `left`, `read_only` and `store.strict`, read the `ledger` of all writes, and play people with `person`.

Imitated, always on: keys are unique among the open incidents of a service only, and a second create is 400; a
change of a resolved incident is 200 and changes nothing (with `strict` 400, code 1001); writes need `From` with the
address of a user; every answer tells the rate limit, in seconds; lists turn pages, hold one month unless all is asked
for, and do not show at once what was just made; Events v2 answer 202 whatever comes of them, and drop the end of what
is not open; webhooks come twice, the newest first, with the same id, signed with every secret that is valid.

Not imitated: alerts and their grouping, suppression, escalation, schedules, assignments and who is notified,
snoozing, merging, reopening, services with rules of their own for urgency, custom fields, OAuth and scopes, change
events, the limits for one kind of request, retries of webhooks and disabled subscriptions, the size of bodies.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any

import httpx
from aiohttp import web

from support.simulators.desk_faults import Fault, FaultSource
from support.simulators.desk_ledger import ANSWERED, Entry, Ledger
from support.simulators.pagerduty_store import (
    PRIORITIES,
    SERVICES,
    USERS,
    Incident,
    PagerDutyStore,
    Refused,
)

KEY = "an-api-key-for-tests"
MONTH_S = 30 * 86400.0
PROXY_PAGE = "<!DOCTYPE html><html><head><title>Bad gateway</title></head><body>Proxy</body></html>"
_OF_INCIDENT = re.compile(r"/incidents/([^/]+)(/notes)?")


@dataclass(frozen=True, slots=True)
class Event:
    """One event that a webhook tells."""

    id: str
    type: str
    body: bytes


class PagerDutySimulator:
    """One account.

    Attributes:
        token: The API key that is good.
        read_only: Whether the key may only read.
        lag_s: Seconds until lists show a new incident; reading it by id works at once.
        left: Requests that the limit still allows; None counts none.
        reset_s: What a refusal by the limit says about its end; None leaves its headers out.
        requests: Method and path of every request.
        secrets: Secrets of the webhook subscription that are valid; more than one while it is changed.
    """

    def __init__(self) -> None:
        self.store = PagerDutyStore()
        self.faults = FaultSource()
        self.ledger = Ledger(None)
        self.token = KEY
        self.read_only = False
        self.lag_s = 0.5
        self.left: int | None = None
        self.reset_s: int | None = 1
        self.requests: list[str] = []
        self.events: list[Event] = []
        self.secrets = ["a-webhook-secret-of-32-characters"]
        self._over = asyncio.Event()

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application()
        app.router.add_post("/v2/enqueue", self._enqueue)
        app.router.add_route("*", "/{path:.*}", self._serve)
        app.on_shutdown.append(self._let_go)
        return app

    async def _let_go(self, _: web.Application) -> None:
        self._over.set()

    def incidents(self) -> list[Incident]:
        """All incidents, oldest first."""
        return list(self.store.incidents.values())

    def person(self, incident: Incident, **asked: Any) -> None:
        """What Jane does to an incident in the web interface."""
        if self.store.change(incident, asked, "Jane Doe", now=time.time()):
            self.tell(f"incident.{asked.get('status', 'priority_updated')}", incident)

    def trigger(self, key: str, title: str) -> Incident:
        """An incident that a person has made."""
        incident = self.store.add("PF9KMXH", key, title, now=time.time())
        self.tell("incident.triggered", incident)
        return incident

    def note(self, incident: Incident, text: str) -> None:
        """What Jane writes below an incident."""
        incident.notes.append(text)
        data = {"id": "P2LA89X", "type": "incident_note", "content": text, "trimmed": False}
        self._queue("incident.annotated", "incident", {**data, "incident": incident.reference()})

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path, now = "/" + request.match_info["path"], time.time()
        self.requests.append(f"{request.method} {path}")
        body = await request.read()
        operation = _operation(request.method, path)
        if self.faults.settings.maintenance:
            return web.Response(text=PROXY_PAGE, content_type="text/html")
        limited = self._limited()
        if limited is not None:
            return limited
        fault = self.faults.draw(operation)
        if fault in (Fault.FAIL, Fault.RESET_BEFORE, Fault.HANG_BEFORE):
            status = self.faults.settings.fail_status if fault is Fault.FAIL else None
            self._note(operation, None, body, status, fault, now)
            return await self._spoil(request, fault)
        incident: Incident | None = None
        try:
            self._admit(request, operation)
            status, shown, incident = self._answer(request, path, body, now)
        except Refused as refused:
            status, shown = refused.status, refused.body
        self._note(operation, incident, body, status, fault, now)
        if fault is not None:
            return await self._spoil(request, fault)
        return web.json_response(shown, status=status, headers=self._limit_headers())

    def _admit(self, request: web.Request, operation: str) -> None:
        if request.headers.get("Authorization") != f"Token token={self.token}":
            raise Refused(401, 2006, "Authentication failed")
        if operation == "read":
            return
        if self.read_only:
            raise Refused(403, 2010, "Access Denied")
        if "From" not in request.headers:
            raise Refused(
                400, 2003, "Missing Arguments", "You must specify a From header with an address"
            )
        if request.headers["From"] not in USERS:
            raise Refused(400, 2001, "Invalid Input Provided", "Requester User Not Found")

    def _answer(
        self, request: web.Request, path: str, body: bytes, now: float
    ) -> tuple[int, Any, Incident | None]:
        match request.method, path:
            case "GET", "/priorities":
                names = [{"id": id_, "summary": name} for id_, name in PRIORITIES.items()]
                return 200, {"priorities": names, "more": False}, None
            case "GET", "/incidents":
                return 200, self._list(request, now), None
            case "POST", "/incidents":
                asked = _json(body).get("incident") or {}
                made = self.store.create(asked, now=now, lag_s=self.lag_s)
                self.tell("incident.triggered", made)
                return 201, {"incident": made.view()}, made
        if request.method == "GET" and path.startswith("/services/"):
            id_ = path.removeprefix("/services/")
            if id_ not in SERVICES:
                raise Refused(404, 2100, "Not Found")
            return 200, {"service": {"id": id_, "type": "service", "summary": SERVICES[id_]}}, None
        found = _OF_INCIDENT.fullmatch(path)
        if found is None:
            raise Refused(404, 2100, "Not Found")
        return self._of_incident(request, self.store.find(found[1]), found[2], body, now)

    def _of_incident(
        self, request: web.Request, incident: Incident, part: str | None, body: bytes, now: float
    ) -> tuple[int, Any, Incident]:
        by = USERS.get(request.headers.get("From", ""), ("", "nobody"))[1]
        match request.method, part:
            case "GET", None:
                return 200, {"incident": incident.view()}, incident
            case "PUT", None:
                asked = _json(body).get("incident") or {}
                if self.store.change(incident, asked, by, now=now):
                    self.tell(f"incident.{asked.get('status', 'priority_updated')}", incident)
                return 200, {"incident": incident.view()}, incident
            case "POST", "/notes":
                content = (_json(body).get("note") or {}).get("content")
                if not content:
                    raise Refused(400, 2001, "Invalid Input Provided", "Content can't be blank")
                incident.notes.append(content)
                return 201, {"note": {"id": "PWL7QXS", "content": content}}, incident
        raise Refused(404, 2100, "Not Found")

    def _list(self, request: web.Request, now: float) -> dict[str, Any]:
        query = request.query
        services, key = query.getall("service_ids[]", []), query.get("incident_key")
        since = 0.0 if query.get("date_range") == "all" else now - MONTH_S
        found = [
            one
            for one in self.store.incidents.values()
            if one.visible_at <= now and not one.hidden and one.created >= since
            and (not services or one.service in services)
            and (key is None or one.key == key)
        ]  # fmt: skip
        if query.get("sort_by", "") == "created_at:desc":
            found.reverse()
        limit = min(int(query.get("limit", "25")), 100)
        offset = int(query.get("offset", "0"))
        page = found[offset : offset + limit]
        return {
            "incidents": [one.view() for one in page], "limit": limit, "offset": offset,
            "more": offset + limit < len(found), "total": None,
        }  # fmt: skip

    def _limit_headers(self) -> dict[str, str]:
        left = 960 if self.left is None else self.left
        return {
            "ratelimit-limit": "960", "ratelimit-remaining": str(max(left, 0)),
            "ratelimit-reset": str(self.reset_s or 60),
        }  # fmt: skip

    def _limited(self) -> web.Response | None:
        if self.left is None:
            return None
        self.left -= 1
        if self.left >= 0:
            return None
        self.left = None  # the next window begins
        if self.reset_s is None:
            return web.Response(status=429, text="")
        words = {"error": {"message": "Rate Limit Exceeded", "code": 2020}}
        headers = {**self._limit_headers(), "ratelimit-remaining": "0"}
        return web.json_response(words, status=429, headers=headers)

    async def _enqueue(self, request: web.Request) -> web.StreamResponse:
        self.requests.append("POST /v2/enqueue")
        body, now = await request.read(), time.time()
        fault = self.faults.draw("create")
        if fault in (Fault.FAIL, Fault.RESET_BEFORE, Fault.HANG_BEFORE):
            self._note("create", None, body, None, fault, now)
            return await self._spoil(request, fault)
        try:
            key = self.store.enqueue(_json(body), now=now)
            words: dict[str, Any] = {"status": "success", "message": "Event processed"}
            status, shown = 202, {**words, "dedup_key": key}
        except Refused as refused:
            status, shown = refused.status, refused.body
        self._note("create", None, body, status, fault, now)
        if fault is not None:
            return await self._spoil(request, fault)
        return web.json_response(shown, status=status)

    def _note(
        self, operation: str, incident: Incident | None, body: bytes, status: int | None,
        fault: Fault | None, now: float,
    ) -> None:  # fmt: skip
        """Write one write into the ledger."""
        if operation == "read":
            return
        try:
            asked = json.loads(body)
        except ValueError:
            asked = None
        self.ledger.add(
            Entry(
                at=now, op=operation, ticket=incident.number if incident else None,
                key=incident.key if incident else None, status=status,
                outcome=fault.value if fault else ANSWERED, done=incident is not None,
                user="intops", body=asked, lag_s=self.lag_s,
            )
        )  # fmt: skip

    async def _spoil(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault is Fault.FAIL:
            settings = self.faults.settings
            words = {"error": {"message": settings.fail_message, "code": 2000}}
            return web.json_response(words, status=settings.fail_status)
        if fault in (Fault.RESET_BEFORE, Fault.RESET_AFTER):
            if request.transport is not None:
                request.transport.abort()
            raise asyncio.CancelledError
        await self._over.wait()  # the client goes away, or the test is over
        raise asyncio.CancelledError

    def tell(self, type_: str, incident: Incident) -> None:
        """Something has happened to an incident, such as `incident.reopened`."""
        self._queue(type_, "incident", incident.webhook_view())

    def ping(self) -> None:
        """What `/webhook_subscriptions/{id}/ping` sends."""
        words = {"message": "Hello from your friend Pagey!", "type": "ping"}
        self._queue("pagey.ping", "pagey", words)

    def _queue(self, type_: str, resource: str, data: dict[str, Any]) -> None:
        now = time.time()
        occurred = (
            time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03}Z"
        )
        id_ = uuid.uuid4().hex[:26].upper()
        event = {
            "id": id_, "event_type": type_, "resource_type": resource, "occurred_at": occurred,
            "agent": {"id": "PTUXL6G", "summary": "Jane Doe", "type": "user_reference"},
            "client": None, "data": data,
        }  # fmt: skip
        self.events.append(Event(id_, type_, json.dumps({"event": event}).encode()))

    async def send_webhooks(self, url: str, *, in_order: bool = False) -> list[int]:
        """Send every event that was not sent yet, the newest first and each twice; the statuses of the answers."""
        events, self.events = self.events, []
        statuses = []
        async with httpx.AsyncClient() as client:
            for event in events if in_order else events[::-1]:
                signatures = [
                    "v1=" + hmac.new(secret.encode(), event.body, hashlib.sha256).hexdigest()
                    for secret in self.secrets
                ]
                headers = {
                    "Content-Type": "application/json", "X-Webhook-Id": f"wh-{event.id}",
                    "X-PagerDuty-Signature": ",".join(signatures),
                }  # fmt: skip
                for _ in range(2):
                    answer = await client.post(url, content=event.body, headers=headers)
                    statuses.append(answer.status_code)
        return statuses


def _operation(method: str, path: str) -> str:
    if method == "PUT":
        return "update"
    if method != "POST":
        return "read"
    return "comment" if path.endswith("/notes") else "create"


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refused(400, 2001, "Invalid Input Provided", "The body is no JSON object.")
    return found
