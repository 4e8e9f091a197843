"""One worker under load on a volume with faults, and the comparison of all ledgers at the end.

Used by the storage rows of the fault suite: what was acknowledged, what the desk has, what the store says.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from intops_api.plan import FlowPlan
from intops_api.report import PlanReport
from support.peers.process import wait_until
from support.runtime.flows import alerts_to_helpdesk
from support.runtime.kill_run import SOURCE_TOKEN, Scenario, Sender, Verdict, compare
from support.runtime.worker_process import WorkerProcess
from support.simulators.launcher import HelpdeskSimulator

LOG_SHOWN = 4096
"""How much of its log is shown when a run fails, in bytes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sender is told."""

    status: int
    retry_after: str | None


@dataclass(slots=True)
class StorageRun:
    """A desk, a worker with its volume, and a sender that repeats what was not acknowledged."""

    desk: HelpdeskSimulator
    worker: WorkerProcess
    plan: FlowPlan
    secrets: dict[str, dict[str, str]]
    events: int
    sender: Sender
    sending: asyncio.Task[None]

    @property
    def volume(self) -> Path:
        """Where the worker keeps its store."""
        return self.worker.root / "data"

    async def start(self, *flags: str, prefix: tuple[str, ...] = ()) -> None:
        """Start the worker and wait until it answers; `prefix` is what runs it."""
        self.worker.start(*flags, prefix=prefix)
        await asyncio.to_thread(self.worker.wait_ready)

    def send(self, share: float = 1.0) -> None:
        """Let a share of all webhooks go, without waiting for them."""
        self.sender.release(max(1, int(self.sender.batches * share)))

    async def until(self, fact: str, holds: object, timeout_s: float = 30.0) -> None:
        """Wait until a fact holds; `holds` is a function without arguments."""
        assert callable(holds)
        await asyncio.to_thread(wait_until, holds, what=fact, timeout_s=timeout_s)

    async def report(self) -> PlanReport:
        """What the worker says."""
        return await asyncio.to_thread(self.worker.report)

    async def offer(self, body: bytes | None = None) -> Answer:
        """Deliver the first alert once more by hand, or a body; what comes back."""
        return await offer(self.worker, self.plan, body)

    async def ended(self, timeout_s: float = 30.0) -> int:
        """Wait until the worker ends by itself; its exit code."""
        assert await asyncio.to_thread(self.worker.wait, timeout_s), "the worker did not end"
        return self.worker.exit_code

    async def finish(self, timeout_s: float = 60.0) -> Verdict:
        """Send the rest, wait until everything is delivered, and compare the ledgers."""
        self.send()
        await asyncio.wait_for(self.sending, timeout_s)
        report = await asyncio.to_thread(self.worker.wait_drained, timeout_s)
        self.desk.clear_faults()  # its search is behind, and the comparison looks at once
        verdict = Verdict()
        await asyncio.to_thread(compare, self.desk, self.sender, verdict)
        verdict.imbalance, verdict.review = report.store.imbalance, report.store.review
        return verdict

    def log(self) -> str:
        """Everything that the worker has said."""
        return self.worker.log_file.read_text(encoding="utf-8")

    def another(self) -> WorkerProcess:
        """A second worker with the same plan and the same volume, on ports of its own."""
        second = WorkerProcess(self.plan, secrets=self.secrets)
        (second.root / "data").rmdir()
        (second.root / "data").symlink_to(self.volume)
        return second


async def offer(worker: WorkerProcess, plan: FlowPlan, body: bytes | None = None) -> Answer:
    """One webhook that the desk has a ticket for already, or will have; or a body as it is."""
    if body is None:
        body = json.dumps(Sender([""], Scenario(1, 0, 0)).first_webhook()).encode()
    headers = {"Authorization": f"Bearer {SOURCE_TOKEN}"}
    timeout = aiohttp.ClientTimeout(total=20.0)
    async with (
        aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
        session.post(worker.capture_url(plan), data=body) as answer,
    ):
        return Answer(answer.status, answer.headers.get("Retry-After"))


def store_of(volume: Path) -> Path:
    """The store file of the plan that these runs use."""
    return volume / "itsm.alerts-to-helpdesk" / "store.sqlite"


def open_files(pid: int) -> int:
    """How many file descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))


@asynccontextmanager
async def storage_run(
    events: int,
    seed: int,
    *,
    answer_within_s: float = 5.0,
    search_lag_s: float = 0.2,
    settle: str = "1s",
) -> AsyncIterator[StorageRun]:
    """Everything but the worker, which a test starts with its fault."""
    with HelpdeskSimulator() as desk:
        desk.set_faults(search_lag_s=search_lag_s, seed=seed)
        plan = alerts_to_helpdesk(desk.url, settle=settle, timeout="2s", concurrency=16)
        secrets = {
            "alertmanager-token": {"token": SOURCE_TOKEN},
            "helpdesk-token": {"token": desk.token},
        }
        with WorkerProcess(plan, secrets=secrets) as worker:
            sender = Sender(
                [worker.capture_url(plan)],
                Scenario(events, 0, seed),
                answer_within_s=answer_within_s,
            )
            sending = asyncio.create_task(sender.run())
            try:
                yield StorageRun(desk, worker, plan, secrets, events, sender, sending)
            except BaseException:
                print(
                    f"the worker's last lines:\n{worker.log_file.read_text('utf-8')[-LOG_SHOWN:]}"
                )
                raise
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
