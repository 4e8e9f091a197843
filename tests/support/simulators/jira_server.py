"""A simulated Jira Cloud: issues through REST v3, with the manners that its documentation tells of.

It is served in the test's own loop (`support.runtime.bench`). Tests set `faults` (those of the helpdesk simulator),
`login` and `lag_s`, read the `ledger` of all writes, and play people with `store`.

Imitated, always on: states are reached by transitions whose ids depend on the present state, and not from
everywhere; edits and transitions answer 204 without a body; a field that is not on the screen is 400 with a map of
errors; texts are documents (ADF), people are accountIds; what may not be seen is 404; searches do not find what was
just made; webhooks come twice, the newest first, with the same identifier. What the user may do (`denied`) and which
fields are demanded (`demanded`) is told where one asks for it.

Not imitated: other projects and their schemes, issue security, screens by issue type, OAuth and scopes, the quotas by
points and by issue, attachments, links, other JQL than `labels = …` and `project = …`, the limits on what searches
return, ADF beyond paragraphs of text, requests, queues and SLAs of Jira Service Management, expiry of webhooks.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid
from dataclasses import dataclass
from email.utils import formatdate

import httpx
from aiohttp import web

from support.simulators.desk_faults import Fault, FaultSource
from support.simulators.desk_ledger import ANSWERED, Entry, Ledger
from support.simulators.jira_rest import Answer, Call, JiraRest
from support.simulators.jira_store import Issue, JiraStore, stamp

USER = {"username": "intops@example.com", "password": "an-api-token-for-tests"}
LOGIN_PAGE = (
    "<!DOCTYPE html><html><head><title>Log in to continue</title></head>"
    "<body><h1>Log in to continue</h1></body></html>"
)


@dataclass(frozen=True, slots=True)
class Event:
    """One event that a webhook tells."""

    identifier: str
    name: str
    body: bytes


class JiraSimulator:
    """One site.

    Attributes:
        lag_s: Seconds until searches find a new issue; reading it by id works at once.
        login: How a wrong credential is answered: `401`, `page` (200 and HTML) or `anonymous` (as if nobody had
            logged in: 404, and a header that tells why).
        requests: Method and path of every request.
        clock_ahead_s: Seconds by which the dates of its answers are ahead.
    """

    def __init__(self) -> None:
        self.store = JiraStore()
        self.faults = FaultSource()
        self.ledger = Ledger(None)
        self.lag_s = 1.0
        self.login = "401"
        self.password = USER["password"]
        self.requests: list[str] = []
        self.clock_ahead_s = 0.0
        self.events: list[Event] = []
        self.webhook_secret = "a-webhook-secret-for-tests"
        self._rest = JiraRest(self.store)
        self.denied, self.demanded = self._rest.denied, self._rest.demanded
        self._over = asyncio.Event()

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application()
        app.router.add_route("*", "/rest/api/3/{path:.*}", self._serve)
        app.on_shutdown.append(self._let_go)
        app.on_response_prepare.append(self._date)
        return app

    async def _date(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(time.time() + self.clock_ahead_s, usegmt=True)

    async def _let_go(self, _: web.Application) -> None:
        self._over.set()

    def issues(self) -> list[Issue]:
        """All issues, oldest first."""
        return list(self.store.issues.values())

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = "/" + request.match_info["path"]
        self._rest.url = f"{request.scheme}://{request.host}"
        self.requests.append(f"{request.method} {path}")
        call = Call(
            request.method, path, request.query, await request.read(), time.time(), self.lag_s
        )
        if not self._knows(request):
            return self._not_known()
        fault = self.faults.draw(call.operation)
        if fault in (Fault.FAIL, Fault.RESET_BEFORE, Fault.HANG_BEFORE):
            status = self.faults.settings.fail_status if fault is Fault.FAIL else 0
            self._note(call, Answer(status), fault)
            return await self._spoil(request, fault)
        answer = self._rest.answer(call)
        self._note(call, answer, fault)
        return _response(answer) if fault is None else await self._spoil(request, fault)

    def _knows(self, request: web.Request) -> bool:
        login = f"{USER['username']}:{self.password}".encode()
        return request.headers.get("Authorization") == f"Basic {base64.b64encode(login).decode()}"

    def _not_known(self) -> web.Response:
        if self.login == "page":
            return web.Response(text=LOGIN_PAGE, content_type="text/html")
        if self.login == "anonymous":
            words = {"errorMessages": ["Issue does not exist or you do not have permission."]}
            headers = {"X-Seraph-LoginReason": "AUTHENTICATED_FAILED"}
            return web.json_response({**words, "errors": {}}, status=404, headers=headers)
        return web.Response(text=LOGIN_PAGE, content_type="text/html", status=401)

    def _note(self, call: Call, answer: Answer, fault: Fault | None) -> None:
        """Write one write into the ledger, and its webhook into the queue."""
        if call.operation == "read":
            return
        issue, known = answer.issue, None
        if issue is not None:
            known = (issue.properties.get("intops") or {}).get("key")
            self._tell(call, issue)
        try:
            body = json.loads(call.body)
        except ValueError:
            body = None
        self.ledger.add(
            Entry(
                at=call.now, op=call.operation, ticket=issue.id if issue else None, key=known,
                status=answer.status or None, outcome=fault.value if fault else ANSWERED,
                done=issue is not None, user=USER["username"], body=body, lag_s=call.lag_s,
            )
        )  # fmt: skip

    async def _spoil(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault is Fault.FAIL:
            settings = self.faults.settings
            headers = {}
            if settings.fail_retry_after_s is not None:
                headers["Retry-After"] = str(settings.fail_retry_after_s)
            if settings.fail_status == 429:
                headers |= {"RateLimit-Reason": "jira-burst-based", "X-RateLimit-Remaining": "0"}
                headers["X-RateLimit-Reset"] = stamp(time.time() + 1.0)
            words = {"errorMessages": [settings.fail_message], "errors": {}}
            return web.json_response(words, status=settings.fail_status, headers=headers)
        if fault in (Fault.RESET_BEFORE, Fault.RESET_AFTER):
            if request.transport is not None:
                request.transport.abort()
            raise asyncio.CancelledError
        await self._over.wait()  # the client goes away, or the test is over
        raise asyncio.CancelledError

    def _tell(self, call: Call, issue: Issue) -> None:
        name = {"create": "jira:issue_created", "comment": "comment_created"}.get(
            call.operation, "jira:issue_updated"
        )
        body = {
            "timestamp": int(call.now * 1000),
            "webhookEvent": name,
            "issue": {"id": str(issue.id), "key": issue.key, "fields": issue.view()},
        }
        self.events.append(Event(str(uuid.uuid4()), name, json.dumps(body).encode()))

    async def send_webhooks(self, url: str) -> list[int]:
        """Send every event that was not sent yet, the newest first and each twice; the statuses of the answers."""
        events, self.events = self.events[::-1], []
        statuses = []
        async with httpx.AsyncClient() as client:
            for event in events:
                digest = hmac.new(self.webhook_secret.encode(), event.body, hashlib.sha256)
                headers = {
                    "Content-Type": "application/json",
                    "X-Atlassian-Webhook-Identifier": event.identifier,
                    "X-Hub-Signature": f"sha256={digest.hexdigest()}",
                }
                for retry in (None, "1"):
                    again = {"X-Atlassian-Webhook-Retry": retry} if retry else {}
                    answer = await client.post(url, content=event.body, headers=headers | again)
                    statuses.append(answer.status_code)
        return statuses


def _response(answer: Answer) -> web.Response:
    if answer.body is None:
        return web.Response(status=answer.status, headers=answer.headers)
    return web.json_response(answer.body, status=answer.status, headers=answer.headers)
