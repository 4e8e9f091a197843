"""Kills a worker again and again while alerts arrive, and compares three ledgers at the end.

The sender's ledger (what was acknowledged), the desk's ledger (what was done) and the worker's report
(what it says). The desk has no idempotency of its own, its search lags, and now and then it does the work
and never answers.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from intops_runtime.core.keys import correlation_key
from support.peers.process import wait_until
from support.runtime.flows import alerts_to_helpdesk
from support.runtime.worker_process import WorkerProcess
from support.simulators.launcher import HelpdeskSimulator

# K01 to K22 of the fault matrix.
POINTS = tuple(f"K{number:02d}" for number in range(1, 23))
SOURCE_TOKEN = "a-token-for-tests"
LONGEST_LIFE_S = 4.0
# Of so many lives one begins as in production, by executing the program; the others are forked.
EXECUTED = 10


@dataclass(frozen=True, slots=True)
class Scenario:
    """How much is sent and how often the worker dies."""

    events: int
    kills: int
    seed: int
    flags: tuple[str, ...] = ()
    search_lag_s: float = 0.5
    hang_share: float = 0.02


@dataclass(slots=True)
class Verdict:
    """What came out."""

    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    duplicates: dict[str, list[int]] = field(default_factory=dict)
    not_resolved: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    imbalance: int = 0
    review: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, doubled, left open, or set aside."""
        return not (
            self.lost or self.duplicates or self.not_resolved or self.unasked
            or self.imbalance or self.review
        )  # fmt: skip


def _alert(number: int, status: str) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {
            "alertname": f"Alert{number}",
            "severity": "critical",
            "instance": f"n{number}:9100",
        },
        "annotations": {"summary": f"node {number} is down"},
        "startsAt": "2026-11-23T20:23:39.119Z",
        "endsAt": "2026-11-23T21:00:00.000Z" if status == "resolved" else "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example.com/graph",
        "fingerprint": f"{number:016x}",
    }


def _webhook(alerts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "version": "4", "receiver": "intops", "status": "firing", "groupKey": "{}", "truncatedAlerts": 0,
        "externalURL": "http://alertmanager.example.com", "groupLabels": {}, "commonLabels": {},
        "commonAnnotations": {}, "alerts": alerts,
    }  # fmt: skip


class Sender:
    """Posts alerts, retries like Alertmanager does, and remembers what was acknowledged.

    With several addresses it goes on to the next one for every try, as a Service does.
    """

    def __init__(
        self, urls: Sequence[str], scenario: Scenario, *, answer_within_s: float = 5.0
    ) -> None:
        self._urls = itertools.cycle(urls)
        self._timeout = aiohttp.ClientTimeout(total=answer_within_s)
        self._random = random.Random(scenario.seed)
        self.fired: set[int] = set()
        self.resolved: set[int] = set()
        self._budget = asyncio.Semaphore(0)
        self._batches = self._plan(scenario.events)

    def _plan(self, events: int) -> list[list[tuple[int, str]]]:
        """Webhooks of one to three alerts; a tenth are repeats, a quarter recover later."""
        batches: list[list[tuple[int, str]]] = []
        number = 0
        while number < events:
            size = min(self._random.choice((1, 1, 2, 3)), events - number)
            batch = [(number + i, "firing") for i in range(size)]
            batches.append(batch)
            number += size
            if self._random.random() < 0.1:
                batches.append(batch)
            if self._random.random() < 0.25:
                batches.append([(n, "resolved") for n, _ in batch])
        return batches

    @property
    def batches(self) -> int:
        """How many webhooks there are to send."""
        return len(self._batches)

    def first_webhook(self) -> dict[str, Any]:
        """The webhook of the very first alert, for deliveries by hand."""
        return _webhook([_alert(0, "firing")])

    def release(self, count: int) -> None:
        """Let this many more webhooks go."""
        for _ in range(count):
            self._budget.release()

    async def run(self) -> None:
        """Send everything, in order, four at a time for different alerts."""
        headers = {"Authorization": f"Bearer {SOURCE_TOKEN}"}
        waiting: dict[int, asyncio.Task[None]] = {}
        async with aiohttp.ClientSession(headers=headers) as session, asyncio.TaskGroup() as group:
            for batch in self._batches:
                await self._budget.acquire()
                before = [waiting[n] for n, _ in batch if n in waiting]
                task = group.create_task(self._post(session, batch, before))
                waiting.update({n: task for n, _ in batch})

    async def _post(
        self,
        session: aiohttp.ClientSession,
        batch: list[tuple[int, str]],
        before: list[asyncio.Task[None]],
    ) -> None:
        if before:
            await asyncio.wait(before)
        body = _webhook([_alert(number, status) for number, status in batch])
        while True:
            try:
                async with session.post(
                    next(self._urls), json=body, timeout=self._timeout
                ) as answer:
                    if answer.status < 300:
                        break
                    assert answer.status == 503, f"capture answered {answer.status}"
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(0.05)
        for number, status in batch:
            (self.fired if status == "firing" else self.resolved).add(number)


async def run(scenario: Scenario) -> Verdict:
    """Play one scenario from the first event to the last ticket."""
    draw = random.Random(scenario.seed + 1)
    verdict = Verdict()
    with HelpdeskSimulator() as desk:
        desk.set_faults(
            search_lag_s=scenario.search_lag_s,
            hang_after_probability=scenario.hang_share,
            reset_after_probability=scenario.hang_share / 2,
            hang_before_probability=scenario.hang_share / 2,
            scope="writes",
            seed=scenario.seed,
        )
        plan = alerts_to_helpdesk(desk.url, settle="2s", timeout="1s", concurrency=16)
        secrets = {
            "alertmanager-token": {"token": SOURCE_TOKEN},
            "helpdesk-token": {"token": desk.token},
        }
        with WorkerProcess(plan, secrets=secrets) as worker:
            sender = Sender([worker.capture_url(plan)], scenario)
            sending = asyncio.create_task(sender.run())
            per_life = -(-sender.batches // max(scenario.kills, 1))
            for life in range(scenario.kills):
                sender.release(per_life)
                await _one_life(worker, scenario, life, draw, verdict)
                if sending.done():
                    await sending
            sender.release(sender.batches)
            worker.start(*scenario.flags)
            await asyncio.to_thread(worker.wait_ready)
            await sending
            desk.clear_faults()
            desk.set_faults(search_lag_s=scenario.search_lag_s)
            report = await asyncio.to_thread(worker.wait_drained, 180.0)
            worker.terminate()
        desk.clear_faults()
        compare(desk, sender, verdict)
    verdict.imbalance = report.store.imbalance
    verdict.review = report.store.review
    return verdict


async def _one_life(
    worker: WorkerProcess, scenario: Scenario, life: int, draw: random.Random, verdict: Verdict
) -> None:
    """Start the worker and kill it: at a named point, or at any moment."""
    start = worker.start if life % EXECUTED == 0 else worker.start_at_once
    if life % 3 == 2:
        start(*scenario.flags)
        await asyncio.to_thread(worker.wait_ready)
        await asyncio.sleep(draw.uniform(0.0, 0.6))
        worker.kill()
        verdict.hits["random"] += 1
    else:
        point = POINTS[(life - life // 3) % len(POINTS)]
        start("--kill-at", point, "--hit", str(draw.randint(1, 4)), *scenario.flags)
        ended = await asyncio.to_thread(worker.wait, LONGEST_LIFE_S)
        if ended and worker.note.exists():
            verdict.hits[point] += 1
        elif ended:
            raise AssertionError(f"the worker ended by itself; see {worker.log_file}")
        worker.kill()
    verdict.kills += 1


def compare(desk: HelpdeskSimulator, sender: Sender, verdict: Verdict) -> None:
    """Write into the verdict where the sender's and the desk's ledgers differ."""
    ledger = desk.ledger(entries=False)
    made: dict[str, int] = ledger["tickets_by_key"]
    # What was made last is not in the desk's search yet.
    wait_until(
        lambda: len(desk.tickets()) >= sum(made.values()), what="the search knows every ticket"
    )
    status = {t["CustomFields"].get("intops_key"): t["Status"] for t in desk.tickets()}
    verdict.duplicates = ledger["duplicates"]
    keys = {_key(number): number for number in sender.fired}
    verdict.acknowledged = len(sender.fired)
    verdict.lost = [key for key in keys if made.get(key, 0) == 0]
    verdict.unasked = [key for key in made if key not in keys]
    verdict.not_resolved = [
        _key(number) for number in sender.resolved if status.get(_key(number)) != "resolved"
    ]


def _key(number: int) -> str:
    return correlation_key("itsm", "alertmanager", "event", f"{number:016x}/2026-11-23T20:23:39")
