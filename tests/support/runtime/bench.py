"""A worker whose Flow leads to a desk that a test serves itself, and a look into its store.

Used by component tests of systems that exist only there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiohttp import web

from intops_api.plan import FlowPlan
from support.ports import free_port
from support.runtime.worker_process import WorkerProcess

SOURCE_TOKEN = "a-token-for-tests"


@dataclass(slots=True)
class Bench:
    """A running worker, its plan, and the port of its console."""

    worker: WorkerProcess
    plan: FlowPlan
    console: int
    test_flags: tuple[str, ...] = field(default=(), kw_only=True)
    """Flags of `support.runtime.entry`."""

    async def post(self, body: dict[str, Any]) -> None:
        """Deliver a webhook."""
        async with httpx.AsyncClient() as client:
            url = self.worker.capture_url(self.plan)
            answer = await client.post(
                url, json=body, headers={"Authorization": f"Bearer {SOURCE_TOKEN}"}
            )
        assert answer.status_code == 200

    async def deliver(self, body: dict[str, Any]) -> None:
        """Deliver a webhook and wait until everything that follows from it has happened."""
        await self.post(body)
        await asyncio.to_thread(self.worker.wait_drained)

    async def restart(self) -> None:
        """Kill the worker and start it again."""
        self.worker.kill()
        await self.start()

    async def start(self) -> None:
        """Start the worker."""
        self.worker.start(*self.test_flags, worker_flags=("--console-port", str(self.console)))
        await asyncio.to_thread(self.worker.wait_ready)

    def messages(self) -> list[dict[str, Any]]:
        """Every message with its attempts, oldest first."""
        with httpx.Client(base_url=f"http://127.0.0.1:{self.console}") as client:
            return [client.get(f"/messages/{row['id']}").json() for row in self.rows()]

    def rows(self) -> list[dict[str, Any]]:
        """Every message in a few words, oldest first."""
        with httpx.Client(base_url=f"http://127.0.0.1:{self.console}") as client:
            found = client.get("/messages", params={"limit": "1000"}).json()
        return sorted(found, key=lambda message: int(message["id"]))


@asynccontextmanager
async def bench_with(
    desk: web.Application,
    plan_for: Callable[[int], FlowPlan],
    *,
    desk_secret: dict[str, str],
    secret_name: str = "helpdesk-token",
) -> AsyncIterator[Bench]:
    """Serve a desk and run a worker against it; `plan_for` gets the desk's port."""
    runner = web.AppRunner(desk, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    plan = plan_for(runner.addresses[0][1])
    secrets = {"alertmanager-token": {"token": SOURCE_TOKEN}, secret_name: desk_secret}
    console = free_port("127.0.0.1")
    try:
        with WorkerProcess(plan, secrets=secrets) as worker:
            bench = Bench(worker, plan, console)
            await bench.start()
            yield bench
    finally:
        await runner.cleanup()
