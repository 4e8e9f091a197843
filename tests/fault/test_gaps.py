"""Webhooks that never come (row F43): every alert that fires has its ticket, because its source is asked."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from intops_api.plan import FlowPlan
from intops_api.report import PlanReport
from support.peers.process import wait_until
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk, asked, change
from support.runtime.worker_process import WorkerProcess
from support.simulators.alert_list import AlertList
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.fault

SOURCE_TOKEN = "a-token-for-tests"
API_TOKEN = "another-token-for-tests"
FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))
ALERTS = {"short": 200, "full": 3000}
LOST_ONE_IN = {"short": 20, "full": 1000}


@dataclass(slots=True)
class Line:
    """A source that loses webhooks, a worker and a desk."""

    source: AlertList
    worker: WorkerProcess
    desk: HelpdeskSimulator
    plan: FlowPlan
    client: httpx.AsyncClient

    async def fire(self, number: int, *, lost: bool) -> None:
        """An alert fires; its webhook comes or is lost."""
        alert = {
            **FIRING["alerts"][0], "fingerprint": f"{number:016x}",
            "annotations": {"summary": f"trouble {number}"},
        }  # fmt: skip
        self.source.active[alert["fingerprint"]] = alert
        if not lost:
            await self.send(alert)

    async def send(self, alert: dict[str, Any]) -> None:
        """Deliver a webhook; it is acknowledged."""
        answer = await self.client.post(
            self.worker.capture_url(self.plan), json={**FIRING, "alerts": [alert]}
        )
        assert answer.status_code == 200

    def titles(self) -> list[str]:
        """Titles of all tickets; one twice would be a doubled ticket."""
        return sorted(ticket["Subject"] for ticket in self.desk.tickets())

    async def until(self, what: str, holds: Any) -> PlanReport:
        """Wait for a report that says so."""

        def seen() -> PlanReport | None:
            report = self.worker.report()
            return report if holds(report) else None

        found: PlanReport = await asyncio.to_thread(wait_until, seen, what=what, timeout_s=60.0)
        return found


@asynccontextmanager
async def line(*, asks: bool = True) -> AsyncIterator[Line]:
    """A running line, gone afterwards. Without `asks` the source has no endpoint: the control."""
    headers = {"Authorization": f"Bearer {SOURCE_TOKEN}"}
    async with AlertList() as source:
        with HelpdeskSimulator() as desk:

            def edit(manifests: list[dict[str, Any]]) -> None:
                if asks:
                    change(
                        manifests, "Connector", "alertmanager",
                        lambda spec: spec.update(endpoint=source.url, config={"receiver": "intops"}),
                    )  # fmt: skip

            plan = asked(alerts_to_helpdesk(desk.url, concurrency=8, edit=edit))
            secrets = {
                "alertmanager-token": {"token": SOURCE_TOKEN, "apiToken": API_TOKEN},
                "helpdesk-token": {"token": desk.token},
            }
            with WorkerProcess(plan, secrets=secrets) as worker:
                async with httpx.AsyncClient(headers=headers, timeout=30) as client:
                    worker.start()
                    await asyncio.to_thread(worker.wait_ready)
                    yield Line(source, worker, desk, plan, client)


async def run_with_losses(run: Line, seed: int, how_many: str) -> int:
    """Fire alerts and lose some of their webhooks; how many."""
    draw, count = random.Random(seed), ALERTS[how_many]
    lost = set(draw.sample(range(count), max(1, count // LOST_ONE_IN[how_many])))
    for number in range(count):
        await run.fire(number, lost=number in lost)
    return len(lost)


async def test_f43_alerts_whose_webhooks_are_lost_have_their_tickets_and_the_losses_are_counted(
    seed: int, fault_runs: str
) -> None:
    """Nothing is lost, nothing is made twice, and the count is the true one."""
    async with line() as run:
        lost = await run_with_losses(run, seed, fault_runs)
        everything = sorted(f"trouble {number}" for number in range(ALERTS[fault_runs]))

        report = await run.until("every loss is counted", lambda r: r.polls[0].recovered == lost)
        await asyncio.to_thread(run.worker.wait_drained, 120.0)

        assert run.titles() == everything
        assert [f.reason for f in report.findings if f.kind == "gap"] == ["WebhooksLost"]
        assert run.worker.report().store.imbalance == 0
        assert set(run.source.shown) == {f"Bearer {API_TOKEN}"}


async def test_f43_without_asking_the_gap_stays(seed: int) -> None:
    """The control of F43: a lost webhook leaves no trace anywhere."""
    async with line(asks=False) as run:
        lost = await run_with_losses(run, seed, "short")
        report = await asyncio.to_thread(run.worker.wait_drained, 120.0)

        assert len(run.titles()) == ALERTS["short"] - lost
        assert report.findings == []
        assert report.polls == []


async def test_f43_what_was_lost_while_nobody_listened_is_found_after_the_start() -> None:
    """A worker that was killed asks at once when it is back, and closes nothing for an empty list."""
    async with line() as run:
        await run.fire(1, lost=False)
        await asyncio.to_thread(run.worker.wait_drained, 60.0)
        await asyncio.to_thread(run.worker.kill)
        await run.fire(2, lost=True)
        run.worker.start()
        await asyncio.to_thread(run.worker.wait_ready)
        await run.until("the loss is counted", lambda r: r.polls[0].recovered == 1)
        await asyncio.to_thread(run.worker.wait_drained, 60.0)
        assert run.titles() == ["trouble 1", "trouble 2"]

        run.source.active.clear()
        seen = run.worker.report().polls[0].ok
        await run.until("two empty listings", lambda r: r.polls[0].ok >= seen + 2)
        run.source.refuses = True
        report = await run.until("a failed listing", lambda r: r.polls[0].failed >= 1)
        assert "PollFailing" in {finding.reason for finding in report.findings}

        await run.fire(3, lost=False)
        await run.until("its webhook is delivered", lambda r: r.store.done == 3)
        assert [ticket["Status"] for ticket in run.desk.tickets()] == ["new", "new", "new"]
