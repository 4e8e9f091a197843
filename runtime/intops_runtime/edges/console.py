"""Questions of people to a worker: messages, traces, explanations, review, audit. Loopback or a socket only.

The loopback port of a pod answers questions only. The socket of a local run takes decisions too.
Used by the `intops` command.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from intops_api.names import PLAN_MAX_BYTES
from intops_api.report import FlowReport
from intops_core.planning import PlanError, decode_plan
from intops_runtime.core.compiled import PlanRejected, compile_plan
from intops_runtime.core.masking import personal_in_original, personal_in_record
from intops_runtime.edges.review_console import add_review_routes
from intops_runtime.edges.store.base import StoreError
from intops_runtime.edges.store.queries import Filter
from intops_runtime.explaining import explain_message
from intops_runtime.message_views import (
    explanation_view,
    link_view,
    message_row,
    message_view,
    words_view,
)
from intops_runtime.record_views import record_views
from intops_runtime.replay_views import MAX_DELIVERIES, replay_view
from intops_runtime.runner import PlanRunner
from intops_runtime.shadow_views import shadow_view

Runners = Callable[[], dict[tuple[str, str], PlanRunner]]


def console_app(
    runners: Runners, report: Callable[[], FlowReport], *, decides: bool = False
) -> web.Application:
    """The application behind the socket; `decides` says whether it takes decisions too."""

    def chosen(request: web.Request) -> list[PlanRunner]:
        flow = request.query.get("flow")
        return [r for (_, name), r in runners().items() if flow in (None, name)]

    async def get_report(_: web.Request) -> web.Response:
        return _json(report().to_wire())

    async def get_messages(request: web.Request) -> web.Response:
        wanted = _filter(request)
        found: list[dict[str, Any]] = []
        for runner in chosen(request):
            found += _named(runner, await _rows(runner, wanted))
        found.sort(key=lambda m: (m["receivedAt"], m["id"]), reverse=True)
        return _json(found[: wanted.limit])

    async def get_message(request: web.Request) -> web.Response:
        for runner in chosen(request):
            found = await runner.store.message(int(request.match_info["id"]))
            if found is not None:
                return _json(_named(runner, [message_view(runner.compiled, found)])[0])
        return _json(None, status=404)

    async def get_explanation(request: web.Request) -> web.Response:
        for runner in chosen(request):
            found = await runner.store.message(int(request.match_info["id"]))
            if found is not None:
                plan = runner.compiled
                shown = message_view(plan, found)
                known = {**found, "detail": shown["detail"]}
                view = explanation_view(plan, explain_message(plan, known, time.time()))
                return _json({**view, "attempts": shown["attempts"]})
        return _json(None, status=404)

    async def get_trace(request: web.Request) -> web.Response:
        found = []
        for runner in chosen(request):
            trace = await runner.store.trace(request.query.get("text", ""))
            if trace is not None:
                plan = runner.compiled
                messages = [message_view(plan, message) for message in trace["messages"]]
                links = [link_view(plan, link) for link in trace["links"]]
                _named(runner, messages)
                found.append({"flow": runner.flow[1], "messages": messages, "links": links})
        return _json(found)

    async def get_record(request: web.Request) -> web.Response:
        found = []
        for runner in chosen(request):
            found += await record_views(runner, request.query.get("text", ""))
        return _json(found)

    async def get_shadow(request: web.Request) -> web.Response:
        return _json([await shadow_view(runner) for runner in chosen(request)])

    async def post_replay(request: web.Request) -> web.Response:
        return await _replay(runners(), request)

    app = web.Application(middlewares=[_in_words], client_max_size=2 * PLAN_MAX_BYTES)
    app.router.add_get("/report", get_report)
    app.router.add_get("/messages", get_messages)
    app.router.add_get(r"/messages/{id:\d+}", get_message)
    app.router.add_get(r"/messages/{id:\d+}/explain", get_explanation)
    app.router.add_get("/trace", get_trace)
    app.router.add_get("/record", get_record)
    app.router.add_get("/shadow", get_shadow)
    app.router.add_post("/replay", post_replay)
    add_review_routes(app, chosen, decides=decides)
    return app


@web.middleware
async def _in_words(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A store that cannot be asked just now says why in its own sentence."""
    try:
        return await handler(request)
    except StoreError as error:
        return _json({"refused": str(error)}, status=503)


async def _replay(
    runners: Mapping[tuple[str, str], PlanRunner], request: web.Request
) -> web.Response:
    """Compare the plan in the body with the one that runs; nothing is sent or written."""
    try:
        plan = decode_plan(await request.read())
        runner = runners.get((plan.flow.namespace, plan.flow.name))
        if runner is None:
            return _json(None, status=404)
        candidate = await asyncio.to_thread(compile_plan, plan)
    except (PlanError, PlanRejected) as error:
        return _json({"refused": str(error)}, status=409)
    limit = max(1, min(int(request.query.get("limit", "1000")), MAX_DELIVERIES))
    since_s = float(request.query.get("since_s", "inf"))
    return _json(await replay_view(runner, candidate, since_s=since_s, limit=limit))


async def _rows(runner: PlanRunner, wanted: Filter) -> list[dict[str, Any]]:
    """Messages of a list. A sentence may quote personal data: only the whole message shows what to mask."""
    plan, rows = runner.compiled, []
    quotes = personal_in_record(plan) or any(personal_in_original(plan, s) for s in plan.sources)
    for row in await runner.store.messages(wanted, time.time()):
        shown = message_row(plan, row)
        if quotes and row["detail"] is not None:
            whole = await runner.store.message(row["id"])
            shown = {**shown, "detail": whole and words_view(plan, whole)}
        rows.append(shown)
    return rows


def _filter(request: web.Request) -> Filter:
    query = request.query
    older = query.get("older_s")
    return Filter(
        state=query.get("state"),
        error_class=query.get("error_class"),
        key=query.get("key"),
        older_s=float(older) if older else None,
        limit=int(query.get("limit", "50")),
    )


def _named(runner: PlanRunner, found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say of which Flow each message is."""
    rows = list(found)
    for row in rows:
        row["flow"] = runner.flow[1]
    return rows


def _json(data: Any, *, status: int = 200) -> web.Response:
    return web.json_response(data, status=status)
