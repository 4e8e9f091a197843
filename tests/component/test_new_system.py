"""A system that nobody has heard of needs no Python: a class that exists only here, driven by the worker.

Its manners differ from those of every shipped class: our key is the address of the record, a repeated
write is the same write, and every answer is HTTP 200 with its error inside.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from aiohttp import web

from intops_api.plan import FlowPlan
from support.peers.process import wait_until
from support.runtime.bench import SOURCE_TOKEN, Bench, bench_with
from support.runtime.flows import EXAMPLE, change, example_manifests, make_plan

pytestmark = pytest.mark.component

DESK_KEY = "the-key-of-the-shelf"
FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))
RESOLVED = json.loads((EXAMPLE / "samples" / "02-resolved.json").read_text(encoding="utf-8"))

CASE_RESULT = {"nativeId": "response.body.case.key", "displayId": "response.body.case.ref"}
WRITE = {
    "object": "case",
    "request": {
        "method": "PUT",
        "path": "/cases/{key}",
        "params": {"key": "key"},
        "body": "record",
    },
    "success": "response.body.ok",
    "result": CASE_RESULT,
    "idempotency": {"style": "upsert"},
    "timeout": "3s",
}
SHELF: dict[str, Any] = {
    "apiVersion": "intops.io/v1alpha1",
    "kind": "ConnectorClass",
    "metadata": {"name": "shelf"},
    "spec": {
        "displayName": "Shelf",
        "credentials": [{"key": "apiKey"}],
        "auth": {"scheme": "header", "header": "X-Shelf-Key", "key": "apiKey"},
        "objects": {
            "case": {
                "fields": {
                    "key": {"type": "string", "required": True, "searchable": True},
                    "headline": {"type": "string", "required": True},
                    "phase": {"type": "string", "required": True, "enum": ["begun", "over"]},
                    "rank": {"type": "integer"},
                }
            }
        },
        "operations": {
            "create": WRITE,
            "update": WRITE,
            "transition": WRITE,
            "comment": {
                "object": "case",
                "request": {
                    "method": "POST",
                    "path": "/cases/{key}/remarks",
                    "params": {"key": "link.nativeId"},
                    "body": '{"words": text}',
                },
                "success": "response.body.ok",
            },
            "lookupByCorrelation": {
                "object": "case",
                "request": {"path": "/cases/{key}", "params": {"key": "key"}},
                "success": 'response.body.ok || response.body.code == "nothing-there"',
                "result": {
                    "items": "response.body.ok ? [response.body.case] : []",
                    "nativeId": "item.key",
                    "displayId": "item.ref",
                },
            },
        },
        "errors": [
            {"when": 'response.body.code == "who-are-you"', "class": "authDenied"},
            {
                "when": 'response.body.code == "not-now"',
                "class": "rateLimited",
                "retryAfter": "response.body.seconds",
            },
            {
                "when": 'response.body.code == "not-so"',
                "class": "validation",
                "detail": "response.body.words",
            },
        ],
    },
}
TO_SHELF: dict[str, Any] = {
    "from": {"model": "incident", "version": "v1"},
    "to": {"class": "shelf", "object": "case"},
    "fields": [
        {"to": "key", "from": "correlationKey", "meaning": "One outbreak is one case on the shelf."},
        {"to": "headline", "from": "title", "meaning": "The line that a person can act on."},
        {
            "to": "phase",
            "from": "state",
            "values": {"new": "begun", "in_progress": "begun", "on_hold": "begun"}
            | {"resolved": "over", "closed": "over", "cancelled": "over"},
            "onUnmapped": "review",
            "lossy": True,
            "meaning": "The shelf only knows whether somebody still has to act.",
        },
        {
            "to": "rank",
            "cel": '{"high": 1, "medium": 2, "low": 3}[incident.impact]',
            "meaning": "The shelf sorts by a number in which less is more urgent.",
        },
    ],
    "examples": [
        {
            "name": "a new incident is a case that has begun",
            "input": {
                "correlationKey": "iop1:abc", "title": "db01 is down", "state": "new",
                "impact": "high", "urgency": "high", "openedAt": "2026-11-23T20:23:39Z",
            },
            "output": {"key": "iop1:abc", "phase": "begun", "rank": 1},
        }
    ],
}  # fmt: skip


class Shelf:
    """The imaginary system. `answers` are given to the next requests instead of doing the work."""

    def __init__(self) -> None:
        self.cases: dict[str, dict[str, Any]] = {}
        self.remarks: list[str] = []
        self.requests: list[str] = []
        self.answers: list[dict[str, Any]] = []
        self.hang_after_writing = 0
        self.may_refuse = asyncio.Event()
        self.may_refuse.set()

    async def handle(self, request: web.Request) -> web.Response:
        """Every answer is 200."""
        self.requests.append(f"{request.method} {request.match_info['what']}")
        if request.headers.get("X-Shelf-Key") != DESK_KEY:
            await self.may_refuse.wait()
            return web.json_response({"ok": False, "code": "who-are-you"})
        if self.answers:
            return web.json_response(self.answers.pop(0))
        key, _, below = request.match_info["what"].partition("/")
        if below == "remarks":
            self.remarks.append((await request.json())["words"])
            return web.json_response({"ok": True})
        if request.method == "PUT":
            known = self.cases.get(key, {"ref": f"S{len(self.cases) + 1}"})
            self.cases[key] = {**known, **await request.json(), "key": key}
            if self.hang_after_writing:
                self.hang_after_writing -= 1
                await asyncio.sleep(4)  # longer than the caller waits
        if key not in self.cases:
            return web.json_response({"ok": False, "code": "nothing-there"})
        return web.json_response({"ok": True, "case": self.cases[key]})


@dataclass(slots=True)
class ShelfBench(Bench):
    """A bench whose desk is the shelf."""

    shelf: Shelf


def shelf_plan(port: int, *, on_resolved: str = "resolve") -> FlowPlan:
    """The first example with the desk replaced by the shelf."""
    manifests = example_manifests()
    desk = {"class": "shelf", "endpoint": f"http://127.0.0.1:{port}", "config": {}}
    change(manifests, "Connector", "helpdesk", lambda spec: spec.update(desk))
    body = copy.deepcopy(TO_SHELF)
    change(manifests, "Mapping", "incident-to-helpdesk", lambda spec: spec.update(body))
    change(
        manifests,
        "Flow",
        "alerts-to-helpdesk",
        lambda spec: spec["closure"].update(onResolved=on_resolved),
    )
    return make_plan([*manifests, copy.deepcopy(SHELF)])


@pytest.fixture
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[ShelfBench]:
    """Everything running; the parameter, if any, is what a recovery does."""
    shelf = Shelf()
    app = web.Application()
    app.router.add_route("*", "/cases/{what:.+}", shelf.handle)
    on_resolved = getattr(request, "param", "resolve")
    async with bench_with(
        app,
        lambda port: shelf_plan(port, on_resolved=on_resolved),
        desk_secret={"apiKey": DESK_KEY},
    ) as running:
        yield ShelfBench(running.worker, running.plan, running.console, shelf)


async def test_an_alert_becomes_a_case_and_its_recovery_ends_it(bench: ShelfBench) -> None:
    """Address, credential, body and answer are all said by the class."""
    await bench.deliver(FIRING)
    (case,) = bench.shelf.cases.values()
    assert (case["headline"], case["phase"], case["rank"]) == ("127.0.0.1:19199 down", "begun", 3)

    await bench.deliver(RESOLVED)
    (case,) = bench.shelf.cases.values()
    assert case["phase"] == "over"


async def test_a_write_whose_answer_was_lost_is_repeated_without_a_second_case(
    bench: ShelfBench,
) -> None:
    """The class says that a repeated write is the same write, so nothing is looked up first."""
    bench.shelf.hang_after_writing = 1

    await bench.deliver(FIRING)

    assert len(bench.shelf.cases) == 1
    assert [r.split()[0] for r in bench.shelf.requests] == ["PUT", "PUT"]


async def test_a_pause_that_the_answer_asks_for_is_kept(bench: ShelfBench) -> None:
    """The wait stands in the body of a 200; until it is over nothing is sent."""
    bench.shelf.answers = [{"ok": False, "code": "not-now", "seconds": 1}]

    await bench.deliver(FIRING)

    (message,) = await asyncio.to_thread(bench.messages)
    assert [a["errorClass"] for a in message["attempts"]] == ["rateLimited", None]
    assert len(bench.shelf.requests) == 2
    assert len(bench.shelf.cases) == 1


async def test_a_refusal_is_told_in_the_words_of_the_system(bench: ShelfBench) -> None:
    """A 200 that refuses is no success; the message waits for a person."""
    words = "a headline must not name a host"
    bench.shelf.answers = [{"ok": False, "code": "not-so", "words": words}]

    await bench.deliver(FIRING)

    (message,) = await asyncio.to_thread(bench.messages)
    assert (message["state"], message["errorClass"]) == ("review", "validation")
    assert words in message["detail"]


@pytest.mark.parametrize("bench", ["comment"], indirect=True)
async def test_a_recovery_may_be_a_remark_instead(bench: ShelfBench) -> None:
    """The Flow says so; the class says how."""
    await bench.deliver(FIRING)
    await bench.deliver(RESOLVED)

    assert bench.shelf.remarks == [f"The alert recovered at {RESOLVED['alerts'][0]['endsAt']}."]
    assert [case["phase"] for case in bench.shelf.cases.values()] == ["begun"]


async def test_a_refused_key_holds_the_connector_and_is_not_tried_again(bench: ShelfBench) -> None:
    """Also where the refusal comes with 200; the new Secret is used without a restart."""
    bench.worker.report()  # a Secret is watched from its first use on; the report looks at each
    bench.worker.write_secret("helpdesk-token", {"apiKey": "wrong"})
    log = bench.worker.log_file
    await asyncio.to_thread(
        wait_until, lambda: "a secret changed" in log.read_text("utf-8"), what="the Secret is seen"
    )
    many = {**FIRING, "alerts": [{**FIRING["alerts"][0], "fingerprint": f"f{n}"} for n in range(9)]}
    async with httpx.AsyncClient() as client:
        url = bench.worker.capture_url(bench.plan)
        await client.post(url, json=many, headers={"Authorization": f"Bearer {SOURCE_TOKEN}"})
    await asyncio.to_thread(
        wait_until, lambda: bench.worker.report().store.held == 9, what="all messages are held"
    )
    # Requests that were under way together may all be refused; nothing is sent after that.
    assert len(bench.shelf.requests) <= bench.plan.bindings_of("target")[0].concurrency

    bench.worker.write_secret("helpdesk-token", {"apiKey": DESK_KEY})
    await asyncio.to_thread(bench.worker.wait_drained)
    assert len(bench.shelf.cases) == 9


async def test_a_late_refusal_of_an_old_key_does_not_hold_the_new_one(bench: ShelfBench) -> None:
    """The Secret is changed while a request with the old key is under way: nobody waits five minutes."""
    log = bench.worker.log_file

    async def change_key(key: str, times: int) -> None:
        bench.worker.report()
        bench.worker.write_secret("helpdesk-token", {"apiKey": key})
        await asyncio.to_thread(
            wait_until,
            lambda: log.read_text("utf-8").count("a secret changed") == times,
            what="the Secret is seen",
        )

    await change_key("old", 1)
    bench.shelf.may_refuse.clear()
    await bench.post(FIRING)
    await asyncio.to_thread(wait_until, lambda: bench.shelf.requests, what="a request is there")
    await change_key(DESK_KEY, 2)
    bench.shelf.may_refuse.set()

    await asyncio.to_thread(bench.worker.wait_drained, 20.0)
    assert len(bench.shelf.cases) == 1
