"""A worker, the register as its desk behind a proxy that can be taken down, and eyes on the status.

Used by the tests that measure how intops reacts to each class of errors.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from intops_api.plan import FlowPlan
from support.peers.fault_proxy import FaultProxy
from support.peers.process import wait_until
from support.ports import free_port
from support.runtime.bench import SOURCE_TOKEN, Bench
from support.runtime.decisions import decision
from support.runtime.flows import EXAMPLE
from support.runtime.status_watch import Said, StatusWatch, plain
from support.runtime.worker_process import WorkerProcess
from support.simulators.inventory import Inventory
from support.simulators.register import CLIENT, Register

FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))
RESOLVED = json.loads((EXAMPLE / "samples" / "02-resolved.json").read_text(encoding="utf-8"))


@dataclass(slots=True)
class Stage(Bench):
    """Everything of one test. Alerts have names, which are the titles of their messages."""

    register: Register
    proxy: FaultProxy
    watch: StatusWatch
    decided: int = 0
    inventory: Inventory | None = None
    crash: Path = field(default=Path("/nonexistent"))
    """A title written here brings the handling of that message down."""

    async def fire(self, name: str, sample: dict[str, Any] = FIRING, **changed: Any) -> None:
        """An alert of an episode of its own, or the end of one."""
        alert = {**sample["alerts"][0], "fingerprint": name, "annotations": {"summary": name}}
        await self.post({**sample, "alerts": [alert], **changed})

    async def told(self, name: str) -> dict[str, Any]:
        """The latest message of a name, with its attempts."""
        messages = await asyncio.to_thread(self.messages)
        return [message for message in messages if message["title"] == name][-1]

    async def comes_to(self, name: str, state: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """Wait until the latest message of a name is in a state."""

        def there() -> dict[str, Any] | None:
            found = [row for row in self.rows() if row["title"] == name]
            if not found or found[-1]["state"] != state:
                return None
            url = f"http://127.0.0.1:{self.console}/messages/{found[-1]['id']}"
            whole: dict[str, Any] = httpx.get(url).json()
            return whole if whole["state"] == state else None

        what = f"{name} is {state}"
        return await asyncio.to_thread(wait_until, there, what=what, timeout_s=timeout_s)

    async def others_pass(self) -> None:
        """A message of another record is delivered meanwhile."""
        await self.fire("other")
        assert (await self.comes_to("other", "done"))["tries"] == 0

    async def others_wait(self, state: str) -> None:
        """A message of another record waits too, and nothing is sent for it."""
        before = self.register.writes
        await self.fire("other")
        assert (await self.comes_to("other", state))["attempts"] == []
        assert self.register.writes == before

    async def review_words(self) -> str:
        """What a person reads of the only message in review: what is wrong, and what to do."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.console}") as client:
            (item,) = (await client.get("/review/items")).json()
        return plain(f"{item['detail'].rstrip('.')}. {item['suggestion']}")

    async def decide(self, verb: str) -> Said:
        """A person decides about everything in review; until the status has none there any more."""
        self.watch.begin()
        self.decided += 1
        choice = decision(f"d{self.decided}", verb)
        await asyncio.to_thread(self.worker.write_actions, self.plan, choice)
        return await self.watch.counted("review", 0)

    def switch(self, plan: FlowPlan) -> None:
        """Hand the worker another plan."""
        self.plan = self.watch.plan = plan
        self.worker.write_plan(plan)

    async def post_raw(self, body: bytes) -> int:
        """Deliver any bytes as the source; returns the status of the answer."""
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.post(
                self.worker.capture_url(self.plan),
                content=body,
                headers={"Authorization": f"Bearer {SOURCE_TOKEN}"},
            )
        return answer.status_code


@asynccontextmanager
async def stage_for(
    plan: FlowPlan, register: Register, proxy: FaultProxy, *test_flags: str
) -> AsyncIterator[Stage]:
    """Run a worker with a plan that leads to the proxy."""
    secrets = {"alertmanager-token": {"token": SOURCE_TOKEN}, "helpdesk-token": CLIENT}
    with WorkerProcess(plan, secrets=secrets) as worker:
        crash = worker.root / "crash"
        flags = ("--crash-while", str(crash), *test_flags)
        watch = StatusWatch(worker, plan)
        stage = Stage(
            worker, plan, free_port("127.0.0.1"), register, proxy, watch,
            crash=crash, test_flags=flags,
        )  # fmt: skip
        await stage.start()
        yield stage
        report = await asyncio.to_thread(worker.report)
        assert report.store.imbalance == 0


@asynccontextmanager
async def register_behind_proxy() -> AsyncIterator[tuple[Register, FaultProxy]]:
    """The register, and the only way to it."""
    register = Register()
    runner = web.AppRunner(register.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with FaultProxy(runner.addresses[0][1]) as proxy:
            yield register, proxy
    finally:
        await runner.cleanup()
