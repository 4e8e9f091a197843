"""Everything that is written to one PostgreSQL store goes through writers: one batch, one transaction.

Natural group commit as in the embedded store: a writer takes whatever waits (at most 500 jobs, no timer),
does equal jobs together, and answers all of them after the commit. A store has two: one for capture,
which needs no lane, and one for everything that a lane's lease protects.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from intops_runtime.core.auditing import Entry, packed
from intops_runtime.core.failpoints import reach
from intops_runtime.edges.store.base import StoreAway, StoreError
from intops_runtime.edges.store.postgres_chain import record, second
from intops_runtime.edges.store.postgres_server import Connection, Server

MAX_BATCH: Final = 500
COUNT: Final = """
INSERT INTO intops.counters(flow, shard, name, n)
SELECT $1::int, $2::text, name, n FROM unnest($3::text[], $4::bigint[]) AS given(name, n)
ON CONFLICT(flow, shard, name) DO UPDATE SET n = counters.n + excluded.n
"""


@dataclass(slots=True)
class Unit:
    """One transaction: its connection, the Flow's number, and what it changes in the counts."""

    db: Connection
    flow: int
    change: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)

    def tell(self, entry: Entry, now: float) -> None:
        """The audit tells of something that this transaction decides. `now` is the server's."""
        self.said.append(packed(entry, second(int(now))))

    def moved(self, old: str | None, new: str, count: int = 1) -> None:
        """Messages left one count for another."""
        if old is not None:
            self.change[old] -= count
        self.change[new] += count


Work = Callable[[Unit, list[Any]], Awaitable[Sequence[Any]]]
"""Does equal jobs together. An answer that is a StoreError is raised for that job alone."""
Points = tuple[str, str, str]
"""Failpoints before the transaction, before its commit, and after it."""


@dataclass(slots=True)
class _Job:
    work: Work
    given: Any
    points: Points | None
    after: Callable[[Any], None] | None
    done: asyncio.Future[Any]


class Writer:
    """Runs jobs, a batch at a time. `shard` says in which rows its changes are counted."""

    def __init__(self, server: Server, flow: Callable[[], int], shard: Callable[[], str]) -> None:
        self._server = server
        self._flow = flow
        self._shard = shard
        self._jobs: asyncio.Queue[_Job | None] = asyncio.Queue()
        self._closed = False
        self._task = asyncio.create_task(self._run(), name="intops-store-writer")

    async def run(
        self,
        work: Work,
        given: Any = None,
        points: Points | None = None,
        after: Callable[[Any], None] | None = None,
    ) -> Any:
        """Do a job in the next transaction; returns its answer after the commit.

        `after` gets the answer before any later transaction begins.

        Raises:
            StoreError: nothing was written, or it is not known whether it was.
        """
        if self._closed:
            raise StoreAway(f"{self._server.place}: the store is closed.")
        job = _Job(work, given, points, after, asyncio.get_running_loop().create_future())
        self._jobs.put_nowait(job)
        return await job.done

    async def close(self) -> None:
        """Finish what waits."""
        self._closed = True
        self._jobs.put_nowait(None)
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        ending = False
        while not ending:
            job = await self._jobs.get()
            batch: list[_Job] = []
            while job is not None:
                batch.append(job)
                if len(batch) >= MAX_BATCH or self._jobs.empty():
                    break
                job = self._jobs.get_nowait()
            ending = job is None
            if batch:
                await self._commit(batch)

    async def _commit(self, batch: list[_Job]) -> None:
        groups: dict[Work, list[_Job]] = {}
        for job in batch:
            groups.setdefault(job.work, []).append(job)
        answers: list[tuple[_Job, Any]] = []

        async def body(db: Connection) -> None:
            answers.clear()
            unit = Unit(db, self._flow())
            for work, jobs in groups.items():
                found = await work(unit, [job.given for job in jobs])
                answers.extend(zip(jobs, found, strict=True))
            await record(db, unit.flow, unit.said)
            await self._count(unit)
            _reach(batch, 1)

        try:
            _reach(batch, 0)
            await self._server.transact(body)
        except StoreError as error:
            _fail(batch, error)
        except Exception as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            # One job's mistake does not stop the others: each gets a transaction of its own.
            for job in batch:
                await self._commit([job])
        else:
            _reach(batch, 2)
            for job, answer in answers:
                _answer(job, answer)

    async def _count(self, unit: Unit) -> None:
        # In one order, and in rows that no other transaction changes.
        change = sorted((name, n) for name, n in unit.change.items() if n)
        if change:
            names, counts = zip(*change, strict=True)
            await unit.db.execute(COUNT, unit.flow, self._shard(), names, counts)


def _reach(batch: list[_Job], which: int) -> None:
    for job in batch:
        if job.points is not None and job.points[which]:
            reach(job.points[which])


def _fail(batch: list[_Job], error: Exception) -> None:
    for job in batch:
        _answer(job, error)


def _answer(job: _Job, answer: Any) -> None:
    if job.after is not None and not isinstance(answer, Exception):
        job.after(answer)
    if job.done.done():  # nobody waits any longer
        return
    if isinstance(answer, Exception):
        job.done.set_exception(answer)
    else:
        job.done.set_result(answer)
