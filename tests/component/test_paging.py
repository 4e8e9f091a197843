"""A search whose answer goes on: every page is read, and a page that is elsewhere is not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from intops_api.plan import FlowPlan
from intops_runtime.core.addresses import AddressPolicy
from intops_runtime.core.classifying import Failure
from intops_runtime.core.compiled import compile_plan
from intops_runtime.core.exchanges import Facts, Found
from intops_runtime.core.requests import CompiledOperation
from intops_runtime.edges.outbound import PooledOutbound
from intops_runtime.reading import search
from intops_runtime.target import Target
from support.peers.process import wait_until
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk, asked, change
from support.runtime.worker_process import WorkerProcess
from support.simulators.alert_list import AlertList
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.component

ALL, EACH = 250, 100
NAMES = [str(number) for number in range(ALL)]


class Lister:
    """A system that lists 250 tickets, a hundred a page, in whatever way it is asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.elsewhere = ""
        """What stands before the address of a next page."""

    async def answer(self, request: web.Request) -> web.Response:
        """One page."""
        self.asked.append(request.query_string)
        given = request.query
        start = int(
            given.get("offset") or given.get("after") or EACH * (int(given.get("page") or 1) - 1)
        )
        items = NAMES[start : start + EACH]
        body: dict[str, Any] = {"items": [{"id": one} for one in items]}
        if start + EACH < ALL:
            body["after"] = str(start + EACH)
            body["next"] = f"{self.elsewhere}/REST/2.0/tickets?offset={start + EACH}"
        return web.json_response(body)


@asynccontextmanager
async def searching(paginate: dict[str, Any]) -> AsyncIterator[tuple[Lister, Callable[[], Any]]]:
    """A lister, and a search in it by a class that says so of its pages."""
    lister = Lister()
    application = web.Application()
    application.router.add_get("/REST/2.0/tickets", lister.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    lister.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    compiled = compile_plan(alerts_to_helpdesk(lister.url)).targets["helpdesk"]
    spec = compiled.class_.spec.operations["lookupByCorrelation"]
    operation = CompiledOperation(
        "lookupByCorrelation",
        type(spec).model_validate({**spec.model_dump(by_alias=True), "paginate": paginate}),
        {},
    )
    client = PooledOutbound(AddressPolicy(allow_loopback=True), concurrency=2)
    target = Target(compiled, client, lambda _: {"token": "t"}, on_gate=lambda *_: None)
    try:
        yield lister, lambda: search(target, operation, Facts(compiled.binding.config, key="k"))
    finally:
        await target.close()
        await runner.cleanup()


@pytest.mark.parametrize(
    ("paginate", "last"),
    [
        ({"style": "page", "param": "page"}, "page=4"),
        ({"style": "offset", "param": "offset"}, "offset=250"),
        ({"style": "cursor", "param": "after", "next": "response.body.after"}, "after=200"),
        ({"style": "link", "next": "response.body.next"}, "offset=200"),
    ],
)
async def test_a_long_answer_is_read_to_its_end(paginate: dict[str, Any], last: str) -> None:
    """Pages are numbered, counted, named or linked; those that are not named end with an empty one."""
    async with searching(paginate) as (lister, find):
        found: list[Found] = await find()

        assert [one.native_id for one in found] == NAMES
        assert lister.asked[-1].endswith(last)


async def test_no_more_is_read_than_the_class_allows() -> None:
    """`max` bounds what a search costs."""
    paginate = {"style": "offset", "param": "offset", "max": 150}
    async with searching(paginate) as (lister, find):
        assert [one.native_id for one in await find()] == NAMES[:150]
        assert len(lister.asked) == 2


async def test_without_paginate_there_is_one_page() -> None:
    """The control: as many as the system puts into its first answer."""
    async with searching({"style": "none"}) as (lister, find):
        assert len(await find()) == EACH
        assert len(lister.asked) == 1


@pytest.mark.parametrize("elsewhere", ["http://127.0.0.2", "https://other.example.com"])
async def test_a_next_page_of_somebody_else_is_not_asked_for(elsewhere: str) -> None:
    """The credential goes with every page."""
    async with searching({"style": "link", "next": "response.body.next"}) as (lister, find):
        lister.elsewhere = elsewhere
        failure: Failure = await find()

        assert failure.error_class == "schemaDrift"
        assert f"the next page is at {elsewhere}, which is not where this one was" in failure.detail
        assert len(lister.asked) == 1


async def test_a_page_that_names_itself_ends_the_search() -> None:
    """A system that goes round in circles is told, and not followed."""
    async with searching({"style": "cursor", "param": "after", "next": '"0"'}) as (lister, find):
        failure: Failure = await find()

        assert "the next page is this one again" in failure.detail
        assert len(lister.asked) == 2


async def test_every_page_of_a_source_that_is_asked_is_read() -> None:
    """Alerts whose webhooks never came have their tickets, on whatever page they are listed."""
    alert = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text("utf-8"))["alerts"][0]
    async with AlertList() as source:
        source.a_page = 3
        for number in range(8):
            name = f"{number:016x}"
            about = {"summary": f"trouble {number}"}
            source.active[name] = {**alert, "fingerprint": name, "annotations": about}
        with HelpdeskSimulator() as desk:
            secrets = {
                "alertmanager-token": {"token": "a-token-for-tests", "apiToken": "another"},
                "helpdesk-token": {"token": desk.token},
            }
            with WorkerProcess(_paged(source.url, desk.url), secrets=secrets) as worker:
                worker.start()
                await asyncio.to_thread(worker.wait_ready)
                await asyncio.to_thread(
                    wait_until, lambda: worker.report().store.done == 8, what="8 tickets"
                )
                titles = sorted(ticket["Subject"] for ticket in desk.tickets())

    assert titles == [f"trouble {number}" for number in range(8)]


def _paged(source: str, desk: str) -> FlowPlan:
    """The example, with an Alertmanager that is asked and that lists page by page, as the real one does not."""

    def edit(manifests: list[dict[str, Any]]) -> None:
        change(
            manifests, "Connector", "alertmanager",
            lambda spec: spec.update(endpoint=source, config={"receiver": "intops"}),
        )  # fmt: skip

    plan = asked(alerts_to_helpdesk(desk, edit=edit))
    said = plan.model_dump(by_alias=True, exclude_none=True)
    for blob in said["blobs"]["classes"].values():
        listing = blob["spec"]["operations"].get("listActive")
        if listing is not None:
            listing["paginate"] = {"style": "offset", "param": "offset"}
    return FlowPlan.model_validate(said)
