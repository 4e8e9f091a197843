"""The operator's edges against real HTTP: the API client's retries and fence, the report poller."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientSession, web

from intops_core.resources import Ref
from intops_operator.edges.access import Access, AccessError, find_access
from intops_operator.edges.cluster import Cluster, ClusterError, NotLeading
from intops_operator.edges.reports import (
    Polling,
    ReportBook,
    ReportError,
    ReportPoller,
    fetch_report,
)
from support.operator_facts import POD

pytestmark = pytest.mark.component

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
FLOW = Ref("Flow", POD.namespace, POD.flow)
LOCAL = replace(POD, ip="127.0.0.1")
SECRET_MAP = {"kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}}


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """A server on a free port that gives every request to `handler`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def report(**more: Any) -> dict[str, Any]:
    """A worker's answer about the Flow of the pod."""
    plan = {"flow": {"namespace": FLOW.namespace, "name": FLOW.name}, "active": "h"}
    at = "2026-01-01T00:00:00Z"
    return {"schema": 1, "worker": "w", "startedAt": at, "at": at, "plans": [plan], **more}


async def test_a_busy_api_server_is_asked_again_when_it_says() -> None:
    """429 and 503 with Retry-After are waits, not failures."""
    answers = [429, 503, 200]

    async def busy(_: web.Request) -> web.Response:
        return web.json_response({}, status=answers.pop(0), headers={"Retry-After": "0"})

    async with serving(busy) as port, Cluster(Access(f"http://127.0.0.1:{port}")) as cluster:
        assert await cluster.apply(SECRET_MAP) == {}
    assert answers == []


async def test_a_refusal_is_not_repeated_and_keeps_the_servers_words() -> None:
    """422 will be 422 the next time too."""
    asked = []

    async def refuse(request: web.Request) -> web.Response:
        asked.append(request.path)
        body = {"reason": "Invalid", "message": "spec.x: too long"}
        return web.json_response(body, status=422)

    async with serving(refuse) as port, Cluster(Access(f"http://127.0.0.1:{port}")) as cluster:
        with pytest.raises(ClusterError, match="too long") as error:
            await cluster.apply(SECRET_MAP)
    assert (error.value.status, len(asked)) == (422, 1)


async def test_a_replica_that_lost_the_lease_sends_no_write() -> None:
    """S-65: Also not the repetition of one that began while it led."""
    asked: list[str] = []

    async def unavailable(request: web.Request) -> web.Response:
        asked.append(request.method)
        return web.json_response({}, status=503, headers={"Retry-After": "0"})

    async with serving(unavailable) as port, Cluster(Access(f"http://127.0.0.1:{port}")) as cluster:
        fenced = cluster.fenced(lambda: not asked)
        with pytest.raises(NotLeading):
            await fenced.apply(SECRET_MAP)
    assert asked == ["PATCH"]


async def test_lists_are_read_page_by_page() -> None:
    """Ten thousand objects are never in one answer."""

    async def pages(request: web.Request) -> web.Response:
        following = request.query.get("continue")
        name = "second" if following else "first"
        more = {} if following else {"continue": "token"}
        return web.json_response({"metadata": more, "items": [{"metadata": {"name": name}}]})

    async with serving(pages) as port, Cluster(Access(f"http://127.0.0.1:{port}")) as cluster:
        found = [item["metadata"]["name"] async for item in cluster.each("Flow")]
    assert found == ["first", "second"]


def test_without_a_way_to_a_cluster_the_operator_says_what_to_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No traceback."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(AccessError, match="--kubeconfig"):
        find_access(None)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(json.dumps(report(schema=2)), "upgrade it first", id="a newer edition"),
        pytest.param("{}", "worker", id="something else"),
        pytest.param(json.dumps(report(version="x" * 2_000_000)), "more than", id="too long"),
        pytest.param("no json", "Invalid JSON", id="no JSON"),
    ],
)
async def test_an_answer_that_is_no_report_is_refused(body: str, words: str) -> None:
    """Bounded, and without repeating what came."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body)

    async with serving(answer) as port, ClientSession() as session:
        with pytest.raises(ReportError, match=words):
            await fetch_report(session, LOCAL, Polling(port=port))


async def test_a_worker_that_comes_back_with_the_same_words_is_news() -> None:
    """Else its Flow would stay not ready for ever."""
    book = ReportBook()
    silent, news = asyncio.Event(), asyncio.Queue[Ref]()

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(report(), status=500 if silent.is_set() else 200)

    async with serving(answer) as port, asyncio.timeout(20):
        poller = ReportPoller(
            Polling(interval_s=0.1, port=port),
            book,
            lambda: [LOCAL],
            served_by=lambda _: [FLOW],
            is_settled=lambda _: True,
            on_news=news.put_nowait,
        )
        task = asyncio.create_task(poller.run())
        assert await news.get() == FLOW
        silent.set()
        await news.get()
        while not news.empty():
            news.get_nowait()
        silent.clear()
        before = book.heard(FLOW, [LOCAL])[0].at
        while book.heard(FLOW, [LOCAL])[0].at == before:
            await news.get()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    plan = book.heard(FLOW, [LOCAL])[0].plan
    assert plan is not None
    assert plan.active == "h"


async def test_a_pod_speaks_for_its_own_flow_only() -> None:
    """A report about another namespace is not believed."""
    book, news = ReportBook(), asyncio.Queue[Ref]()
    other = {"flow": {"namespace": "other", "name": FLOW.name}, "active": "forged"}

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(report(plans=[other]))

    async with serving(answer) as port, asyncio.timeout(20):
        poller = ReportPoller(
            Polling(interval_s=0.1, port=port),
            book,
            lambda: [LOCAL],
            served_by=lambda _: [FLOW],
            is_settled=lambda _: True,
            on_news=news.put_nowait,
        )
        task = asyncio.create_task(poller.run())
        await news.get()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    (about,) = book.heard(Ref("Flow", "other", FLOW.name), [LOCAL])
    assert about.plan is None
    assert book.heard(FLOW, [LOCAL])[0].plan is None
