"""Row F45: what intops writes into a system and hears of again, with a Flow in each direction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from support.peers.process import wait_until
from support.runtime.worker_process import WorkerProcess
from support.simulators.mirror import HOOK_TOKEN, Desk, desk, plans

pytestmark = pytest.mark.fault

CASES = 50
LOOPS = 8


@asynccontextmanager
async def mirrored(
    *, recognises_its_own: bool = True
) -> AsyncIterator[tuple[Desk, Desk, WorkerProcess]]:
    """Two desks, a Flow from each to the other, and a worker that runs both."""
    async with desk() as left, desk() as right:
        there, back = plans(left.url, right.url, recognises_its_own=recognises_its_own)
        secrets = {"mirror-token": {"token": HOOK_TOKEN}}
        with WorkerProcess(there, back, secrets=secrets) as worker:
            worker.start()
            await asyncio.to_thread(worker.wait_ready)
            left.hook = worker.capture_url(there, "from")
            right.hook = worker.capture_url(back, "from")
            yield left, right, worker


async def test_a_write_that_comes_back_ends_after_one_hop() -> None:
    """F45: people on both sides make and resolve cases; each has one mirror, and every echo is counted."""
    async with mirrored() as (left, right, worker):
        for number in range(CASES):
            left.add({"title": f"left {number}"})
            right.add({"title": f"right {number}"})
        await asyncio.to_thread(
            wait_until,
            lambda: len(left.cases) == len(right.cases) == 2 * CASES,
            what="each has one mirror",
            timeout_s=60,
        )
        for side in (left, right):
            for number, case in list(side.cases.items()):
                if not case.get("key"):
                    side.edit(number, {"state": "resolved"})
        await asyncio.to_thread(
            wait_until,
            lambda: all(c["state"] == "resolved" for d in (left, right) for c in d.cases.values()),
            what="the mirrors are resolved too",
            timeout_s=60,
        )
        await asyncio.to_thread(wait_until, lambda: echoes(worker) == 4 * CASES, what="all echoes")
        assert len(left.cases) == len(right.cases) == 2 * CASES
        # A person makes and resolves; its mirror is made and resolved: no case changed more often.
        assert {c["edition"] for d in (left, right) for c in d.cases.values()} == {2}
        for report in worker.reports():
            assert report.store.imbalance == 0
            assert report.store.review == 0


def echoes(worker: WorkerProcess) -> int:
    """Messages of both Flows that were writes of ours."""
    return sum(report.store.dropped.get("echo", 0) for report in worker.reports())


async def test_without_reading_the_key_one_case_becomes_ever_more() -> None:
    """F45: the class does not say where our key stands."""
    async with mirrored(recognises_its_own=False) as (left, right, _):
        left.add({"title": "one"})
        await asyncio.to_thread(
            wait_until,
            lambda: len(left.cases) + len(right.cases) >= LOOPS,
            what="the loop goes round",
            timeout_s=60,
        )
        left.hook = right.hook = None
