"""Review and audit in the console: what waits, what one message looks like, the chain; and decisions.

Part of the console application. Decisions are taken only on the Unix socket of a local run, where the
kernel says who asks; in a cluster they are FlowActions and come with the plan.
"""

import json
import os
import pwd
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web

from intops_runtime.core import auditing
from intops_runtime.core.decisions import Answer, Decision, Select, Verb
from intops_runtime.core.reporting import rfc3339
from intops_runtime.desk import decide
from intops_runtime.edges.store.base import StoreError
from intops_runtime.edges.store.reviews import Wanted
from intops_runtime.review_views import group_view, item_view
from intops_runtime.runner import PlanRunner

MAX_GROUPS = 500
VERBS = ("retry", "edit", "discard")
UCRED = "3i"  # pid, uid, gid: unix(7), SO_PEERCRED

Chosen = Callable[[web.Request], list[PlanRunner]]


def add_review_routes(app: web.Application, chosen: Chosen, *, decides: bool) -> None:
    """Routes below /review and /audit; `decides` says whether decisions are taken here."""
    routes = _Routes(chosen)
    app.router.add_get("/review", routes.groups)
    app.router.add_get("/review/items", routes.items)
    app.router.add_get("/audit", routes.audit)
    if decides:
        app.router.add_post("/decisions", routes.decide)
        app.router.add_post("/erase", routes.erase)


class _Routes:
    """Handlers; each answers for the Flows that the request means."""

    def __init__(self, chosen: Chosen) -> None:
        self._chosen = chosen

    async def groups(self, request: web.Request) -> web.Response:
        """Groups of equal errors."""
        found: list[dict[str, Any]] = []
        for runner in self._chosen(request):
            groups = await runner.decisions.review_groups(MAX_GROUPS)
            found += [await group_view(runner, group, time.time()) for group in groups]
        return web.json_response(found)

    async def items(self, request: web.Request) -> web.Response:
        """Messages in review, each with original and mapped form."""
        query = request.query
        wanted = Wanted(
            messages=tuple(int(n) for n in query.get("ids", "").split(",") if n.isdigit()),
            fingerprint=query.get("fingerprint"),
            limit=max(1, min(int(query.get("limit", "50")), MAX_GROUPS)),
        )
        found: list[dict[str, Any]] = []
        for runner in self._chosen(request):
            items = await runner.decisions.review_items(wanted)
            found += [item_view(runner, item, time.time()) for item in items]
        return web.json_response(found)

    async def audit(self, request: web.Request) -> web.Response:
        """Entries of the chain of one Flow after a number."""
        runners = self._chosen(request)
        if len(runners) != 1:
            names = ", ".join(runner.flow[1] for runner in runners)
            return _refuse(f"Each Flow has a chain of its own; name one with --flow: {names}.")
        after, limit = int(request.query.get("after", "0")), int(request.query.get("limit", "500"))
        rows = await runners[0].decisions.audit_page(after, limit)
        flow = "/".join(runners[0].flow)
        return web.json_response({"flow": flow, "rows": [auditing.exported(row) for row in rows]})

    async def decide(self, request: web.Request) -> web.Response:
        """Take one decision of the person at the other end of the socket."""
        body = await request.json()
        runners = await self._meant(request, body)
        if len(runners) != 1:
            names = ", ".join(runner.flow[1] for runner in runners)
            words = (
                f"Several Flows have such messages ({names}); name one with --flow."
                if runners
                else "No message in review has this number; `intops review list` shows them."
            )
            return _refuse(words)
        decision = _decision(body, actor=_peer(request))
        try:
            answer = await decide(runners[0], decision)
        except StoreError as error:
            return _refuse(str(error), status=503)
        return web.json_response(answer_view(runners[0], answer))

    async def erase(self, request: web.Request) -> web.Response:
        """Erase what may be personal in the audit of one key."""
        body = await request.json()
        key, erased = str(body["key"]), 0
        values = {"actor": _peer(request), "reason": str(body["reason"])}
        for runner in self._chosen(request):
            entry = auditing.Entry("erased", {"key": key}, values)
            erased += await runner.decisions.erase(key, entry, time.time())
        return web.json_response({"erased": erased})

    async def _meant(self, request: web.Request, body: dict[str, Any]) -> list[PlanRunner]:
        """Flows that have what a decision selects; message numbers are those of one store."""
        runners = self._chosen(request)
        select = body.get("select", {})
        if len(runners) <= 1 or select.get("allInReview"):
            return runners
        wanted = Wanted(
            messages=tuple(map(int, select.get("messages", ()))),
            fingerprint=select.get("fingerprint"),
            limit=1,
        )
        return [r for r in runners if await r.decisions.review_items(wanted)]


def answer_view(runner: PlanRunner, answer: Answer) -> dict[str, Any]:
    """What became of a decision, JSON-ready."""
    return {
        "flow": runner.flow[1],
        "applied": answer.applied,
        "refused": answer.refused,
        "left": answer.left,
        "path": answer.path,
        "messages": list(answer.messages),
        "at": rfc3339(answer.at),
        "repeated": answer.repeated,
    }


def _decision(body: dict[str, Any], *, actor: str) -> Decision:
    verb = str(body.get("action"))
    if verb not in VERBS:
        raise web.HTTPBadRequest(text=f"action must be one of {', '.join(VERBS)}")
    select = body.get("select", {})
    return Decision(
        id=str(body["id"]),
        verb=cast(Verb, verb),
        select=Select(
            tuple(int(n) for n in select.get("messages", ())),
            select.get("fingerprint"),
            bool(select.get("allInReview")),
        ),
        reason=str(body.get("reason", "")),
        actor=actor,
        approved_by=body.get("approvedBy"),
        patch={str(p["path"]): p.get("value") for p in body.get("patch", ())},
    )


def _peer(request: web.Request) -> str:
    """Who is at the other end: the kernel says which user, nobody can write another name."""
    sock = request.transport.get_extra_info("socket") if request.transport else None
    if sock is None or sock.family != socket.AF_UNIX:
        raise web.HTTPForbidden(text="decisions are taken on the socket of the worker only")
    if not hasattr(socket, "SO_PEERCRED"):
        return _user(os.getuid())  # the socket is open to its owner only
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(UCRED))
    return _user(struct.unpack(UCRED, data)[1])


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _refuse(words: str, *, status: int = 409) -> web.Response:
    return web.Response(
        text=json.dumps({"refused": words}), status=status, content_type="application/json"
    )
