"""Copies, disorder, changed Mappings and pauses (section C of the fault matrix): each record ends as it should."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from intops_api.plan import FlowPlan
from support.peers.process import wait_until
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk, change
from support.runtime.worker_process import WorkerProcess
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.fault

SOURCE_TOKEN = "a-token-for-tests"
FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))
COPIES = {"short": 200, "full": 1000}
EPISODES = {"short": 60, "full": 1000}
SWITCHES = {"short": 12, "full": 300}
BURST, LARGEST = 200, 1024 * 1024

Edit = Callable[[list[dict[str, Any]]], None]


@dataclass(slots=True)
class Line:
    """A sender, a worker and a desk."""

    desk: HelpdeskSimulator
    worker: WorkerProcess
    client: httpx.AsyncClient
    url: str = ""
    """Where alerts are sent: the same whatever the plan says of them."""

    def plan(self, edit: Edit | None = None) -> FlowPlan:
        """The example's plan for this desk, with changed manifests."""
        return alerts_to_helpdesk(self.desk.url, concurrency=8, edit=edit)

    async def send(self, *alerts: dict[str, Any]) -> None:
        """Deliver a webhook; it is acknowledged."""
        answer = await self.client.post(self.url, json={**FIRING, "alerts": list(alerts)})
        assert answer.status_code == 200

    async def switch(self, plan: FlowPlan) -> None:
        """Hand the worker another plan and wait until it runs."""
        self.worker.write_plan(plan)
        await asyncio.to_thread(
            wait_until, lambda: self.worker.report().active == plan.hash, what="the new plan runs"
        )

    async def drained(self) -> dict[str, int]:
        """Wait until nothing is in flight; what was dropped, by reason."""
        report = await asyncio.to_thread(self.worker.wait_drained, 120.0)
        assert report.store.imbalance == 0
        assert report.store.review == 0
        return report.store.dropped

    def status(self) -> dict[str, str]:
        """Status of each ticket by its title; a title twice would be a doubled ticket."""
        tickets = self.desk.tickets()
        found = {ticket["Subject"]: ticket["Status"] for ticket in tickets}
        assert len(found) == len(tickets)
        return found


@asynccontextmanager
async def line() -> AsyncIterator[Line]:
    """A running line, gone afterwards."""
    headers = {"Authorization": f"Bearer {SOURCE_TOKEN}"}
    with HelpdeskSimulator() as desk:
        secrets = {
            "alertmanager-token": {"token": SOURCE_TOKEN},
            "helpdesk-token": {"token": desk.token},
        }
        with WorkerProcess(secrets=secrets) as worker:
            async with httpx.AsyncClient(headers=headers, timeout=30) as client:
                found = Line(desk, worker, client)
                plan = found.plan()
                found.url = worker.capture_url(plan)
                worker.write_plan(plan)
                worker.start()
                await asyncio.to_thread(worker.wait_ready)
                yield found


def alert(number: int, status: str = "firing") -> dict[str, Any]:
    """An event of one episode."""
    ended = {"endsAt": "2026-11-23T21:00:00.000Z"} if status == "resolved" else {}
    return {
        **FIRING["alerts"][0], "status": status, "fingerprint": f"{number:016x}",
        "annotations": {"summary": f"trouble {number}"}, **ended,
    }  # fmt: skip


async def test_f40_hundreds_of_copies_at_once_make_one_ticket(fault_runs: str) -> None:
    """Copies are acknowledged like the first one, counted, and do nothing."""
    copies = COPIES[fault_runs]
    async with line() as run:
        async with asyncio.TaskGroup() as group:
            for _ in range(copies):
                group.create_task(run.send(alert(1), alert(2)))
        dropped = await run.drained()

        assert run.status() == {"trouble 1": "new", "trouble 2": "new"}
        assert dropped == {"duplicate": 2 * (copies - 1)}


async def test_f41_f42_whatever_the_order_no_record_is_left_open_and_none_is_made_twice(
    seed: int, fault_runs: str
) -> None:
    """F41, F42: a recovery before its alert makes no record, an alert after its recovery opens none again."""
    draw, count = random.Random(seed), EPISODES[fault_runs]
    events = [(n, status) for n in range(count) for status in ("firing", "firing", "resolved")]
    start = 0
    while start < len(events):
        window = draw.randint(2, 100)
        part = events[start : start + window]
        draw.shuffle(part)
        events[start : start + window] = part
        start += window
    first = {}
    for number, status in events:
        first.setdefault(number, status)
    async with line() as run:
        for number, status in events:
            await run.send(alert(number, status))
        dropped = await run.drained()

        expected = {f"trouble {n}": "resolved" for n, status in first.items() if status == "firing"}
        assert run.status() == expected
        healed = count - len(expected)
        print(f"{healed} of {count} episodes came in the wrong order")
        assert healed
        assert dropped["resolvedBeforeFiring"] == healed
        assert dropped["selfHealed"] == healed


def generation(letter: str) -> Edit:
    """Mappings that mark what they make in two places each, so that half an application would show."""

    def edit(manifests: list[dict[str, Any]]) -> None:
        def event(spec: dict[str, Any]) -> None:
            _rule(spec, "title", cel=f'"{letter} " + object.annotations.summary')
            _rule(spec, "service", cel=f'"service-{letter}"')

        def ticket(spec: dict[str, Any]) -> None:
            _rule(spec, "Subject", cel=f'"{letter} " + incident.title')
            _rule(spec, "CustomFields.Node", cel=f'"node-{letter}"')

        change(manifests, "Mapping", "alertmanager-to-event", event)
        change(manifests, "Mapping", "incident-to-helpdesk", ticket)

    return edit


def _rule(spec: dict[str, Any], to: str, *, cel: str) -> None:
    rule = next(one for one in spec["fields"] if one["to"] == to)
    rule.pop("from", None)
    rule["cel"] = cel
    spec["examples"] = []


async def test_f48_a_mapping_changed_again_and_again_applies_to_each_message_as_a_whole(
    fault_runs: str,
) -> None:
    """Under load, with two generations in turn: no ticket has one field from each."""
    async with line() as run:
        plans = [run.plan(generation(letter)) for letter in "AB"]
        await run.switch(plans[0])
        sent, stop = 0, asyncio.Event()

        async def keep_sending() -> None:
            nonlocal sent
            while not stop.is_set():
                await run.send(alert(sent))
                sent += 1

        sending = asyncio.create_task(keep_sending())
        for number in range(SWITCHES[fault_runs]):
            await run.switch(plans[(number + 1) % 2])
        stop.set()
        await sending
        await run.drained()

        tickets = run.desk.tickets()
        made = {
            (
                t["Subject"].partition(" trouble")[0],
                t["CustomFields"].get("Node", ""), t["CustomFields"].get("Service", ""),
            )
            for t in tickets
        }  # fmt: skip
        print(f"{sent} messages, {SWITCHES[fault_runs]} switches, {sorted(made)}")
        assert len(tickets) == sent
        # Title as its event's Mapping made it, marked by the Mapping of the ticket.
        allowed = {(f"{t} {e}", f"node-{t}", f"service-{e}") for t in "AB" for e in "AB"}
        assert made <= allowed
        assert {node for _, node, _ in made} == {"node-A", "node-B"}


async def test_f49_a_flow_that_is_paused_deleted_and_made_again_keeps_its_messages() -> None:
    """Paused it takes in and sends nothing; deleted it is a 404 to senders; back again it goes on."""

    def paused(manifests: list[dict[str, Any]]) -> None:
        change(manifests, "Flow", "alerts-to-helpdesk", lambda spec: spec.update(suspend=True))

    async with line() as run:
        plan = run.plan(paused)
        await run.switch(plan)
        await run.send(*(alert(number) for number in range(5)))
        await asyncio.to_thread(
            wait_until, lambda: run.worker.report().store.waiting == 5, what="the alerts wait"
        )
        assert run.status() == {}

        run.worker.remove_plan(plan)
        url = run.worker.capture_url(plan)

        def is_unknown() -> bool:
            return httpx.post(url, json=FIRING).status_code == httpx.codes.NOT_FOUND

        await asyncio.to_thread(wait_until, is_unknown, what="senders are told that it is gone")

        run.worker.write_plan(run.plan())
        await asyncio.to_thread(
            wait_until, lambda: run.worker.plans() == 1, what="the Flow is back"
        )
        await run.drained()
        titles = {f"trouble {number}" for number in range(5)}
        assert titles <= run.status().keys()


async def test_f46_a_burst_of_the_largest_bodies_is_refused_in_part_and_kept_as_a_whole() -> None:
    """F13, F46, S-07: 503 with Retry-After beyond what fits in hand, memory below the limit, all accepted later."""
    async with line() as run:
        run.desk.stop()
        body = json.dumps({**FIRING, "alerts": [alert(0)]})
        filling = "x" * (LARGEST - len(body) - 100)
        refused, waits = 0, set()

        async def insist(number: int) -> None:
            nonlocal refused
            big = alert(number)
            big["annotations"] = {**big["annotations"], "unused": filling}
            content = json.dumps({**FIRING, "alerts": [big]}).encode()
            headers = {"Content-Type": "application/json"}
            while True:
                answer = await run.client.post(url, content=content, headers=headers)
                if answer.status_code == 200:
                    return
                assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
                waits.add(answer.headers["Retry-After"])
                refused += 1
                await asyncio.sleep(0.2)

        url = run.worker.capture_url(run.plan())
        async with asyncio.TaskGroup() as group:
            for number in range(BURST):
                group.create_task(insist(number))
        peak_kib = run.worker.peak_memory_kib()
        run.desk.start()
        await run.drained()

        print(
            f"{refused} refusals of {BURST} bodies of {LARGEST} bytes, {peak_kib >> 10} MiB at most"
        )
        assert refused
        assert waits == {"5"}
        assert peak_kib < 512 * 1024  # the limit that the operator gives a worker's pod
        assert len(run.status()) == BURST
