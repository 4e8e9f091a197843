"""One thread that owns the one connection of a store: every read and write goes through it.

Natural group commit: the thread takes whatever waits (at most 500 jobs), runs it in one transaction, and
answers all of them after the fsync. Only under load it waits for a moment before it takes the next ones.
Used by the SQLite store only.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import apsw

from intops_runtime.core.failpoints import reach
from intops_runtime.edges.store.base import StoreCorrupt, StoreError, StoreFull
from intops_runtime.edges.store.opening import close_as_it_is
from intops_runtime.edges.store.tally import Tally

# Above 500 rows commits got slower without more throughput (performance reference, section 5).
MAX_BATCH: Final = 500

# One job's own mistake; it says nothing about the file. Everything else of SQLite does, but for a full volume.
_MISTAKES: Final = (
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.RangeError,
    apsw.SQLError,
    apsw.TooBigError,
    apsw.BindingsError,
)

# Our statements are constants: what they name is gone only where the volume has changed the schema's text.
_SCHEMA_DAMAGED: Final = ("no query solution", "no such ", "malformed database schema")

# After a commit of so many jobs more are on their way: the next one waits for a moment, because a commit costs
# as much as ten of its jobs. Where little happens nobody waits.
GATHER_FROM: Final = 12
GATHER_S: Final = 0.003

T = TypeVar("T")
Points = tuple[str, str, str]
"""Failpoints before the transaction, before its commit, and after it."""


@dataclass(slots=True)
class _Job:
    work: Callable[[apsw.Connection], Any]
    done: asyncio.Future[Any]
    points: Points | None
    result: Any = None
    error: Exception | None = None


class Writer:
    """Runs jobs against one connection."""

    def __init__(
        self,
        connect: Callable[[], apsw.Connection],
        path: str,
        tally: Tally,
        on_fatal: Callable[[str], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._path = path
        self._tally = tally
        self._on_fatal = on_fatal
        self._shrink = 0
        self._closed = False
        self.broken: str | None = None
        """Why nothing can be written any more, in a sentence."""
        self.full = False
        self.opened: asyncio.Future[None] = self._loop.create_future()
        """Done when the file is open, or has the reason why not."""
        self._thread = threading.Thread(
            target=self._run, args=(connect,), name="intops-store", daemon=True
        )
        self._thread.start()

    async def run(self, work: Callable[[apsw.Connection], T], points: Points | None = None) -> T:
        """Run `work` in the next transaction; returns its result after the commit.

        Raises:
            StoreError: nothing was written.
        """
        if self.broken is not None:
            raise StoreError(self.broken)
        if self._closed:
            raise StoreError(f"{self._path}: the store is closed.")
        job = _Job(work, self._loop.create_future(), points)
        self._jobs.put(job)
        result: T = await job.done
        return result

    def post(self, work: Callable[[apsw.Connection], Any]) -> None:
        """Run `work` before what is asked for later; nobody waits for it, and it may be lost."""
        done = self._loop.create_future()
        done.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        self._jobs.put(_Job(work, done, None))

    async def shrink(self, pages: int) -> None:
        """Give the write-ahead log and at most so many free pages back to the volume."""
        self._shrink = pages
        await self.run(lambda _: None)

    async def close(self) -> None:
        """Finish what waits, then close the file."""
        self._closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self, connect: Callable[[], apsw.Connection]) -> None:
        try:
            db = connect()
        except Exception as error:
            self._loop.call_soon_threadsafe(self.opened.set_exception, error)
            return
        self._loop.call_soon_threadsafe(self.opened.set_result, None)
        ending = False
        while not ending:
            batch, ending = self._take()
            if batch:
                self._commit(db, batch)
                self._loop.call_soon_threadsafe(_answer, batch)
                if len(batch) >= GATHER_FROM and not ending:
                    time.sleep(GATHER_S)
            if self._shrink and self.broken is None:
                pages, self._shrink = self._shrink, 0
                self._give_back(db, pages)
        if self.broken is not None:
            # Closing would copy the log into the file through a handle that has failed.
            close_as_it_is(db)
        else:
            db.close()

    def _take(self) -> tuple[list[_Job], bool]:
        """Everything that waits, and whether the end was asked for."""
        batch: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) >= MAX_BATCH:
                return batch, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _commit(self, db: apsw.Connection, batch: list[_Job]) -> None:
        if self.broken is not None:
            # After a failed fsync the same handle is never used again: pages may be gone from the cache.
            _fail(batch, StoreError(self.broken))
            return
        before = db.total_changes()
        try:
            self._reach(batch, 0)
            db.execute("BEGIN IMMEDIATE")
            for job in batch:
                job.result = job.work(db)
            self._tally.before_commit(db)
            self._reach(batch, 1)
            db.execute("COMMIT")
        except Exception as error:
            self._undo(db)
            self._failed(db, batch, error)
            return
        self._tally.after(committed=True)
        if db.total_changes() != before:
            self.full = False
        self._reach(batch, 2)

    def _undo(self, db: apsw.Connection) -> None:
        self._tally.after(committed=False)
        if db.in_transaction:
            with contextlib.suppress(apsw.Error):
                db.execute("ROLLBACK")

    def _failed(self, db: apsw.Connection, batch: list[_Job], error: Exception) -> None:
        """Nothing of the batch is written."""
        if _is_of_the_file(error):
            self._break(error)
            _fail(batch, _failure(error, self.broken or ""))
        elif len(batch) > 1:
            # One job's mistake, or the size of one job, does not stop the others: each gets a
            # transaction of its own. Reads pass even where the volume is full.
            for job in batch:
                self._commit(db, [job])
        elif isinstance(error, apsw.FullError):
            self.full = True
            _fail(batch, StoreFull(f"{self._path}: the volume is full; give it more room."))
        else:
            _fail(batch, error)

    def _break(self, error: Exception) -> None:
        """From now on nothing is read or written any more; the worker ends."""
        kind = type(error).__name__.removesuffix("Error")
        self.broken = (
            f"{self._path}: the store can no longer be written ({kind}). The worker stops, so that "
            "nothing is acknowledged that is not on disk; see the volume."
        )
        self._loop.call_soon_threadsafe(self._on_fatal, self.broken)

    def _give_back(self, db: apsw.Connection, pages: int) -> None:
        # On a full volume only the log has room that the next step can work in, so it goes first too.
        log, free = "PRAGMA wal_checkpoint(TRUNCATE)", f"PRAGMA incremental_vacuum({pages})"
        for step in (log, free, log) if self.full else (free, log):
            try:
                # Both work row by row: a pragma that is not read to its end stops at its first page.
                list(db.execute(step))
            except apsw.FullError:
                self.full = True
            except apsw.Error as error:
                self._break(error)
                return

    @staticmethod
    def _reach(batch: list[_Job], which: int) -> None:
        for job in batch:
            if job.points is not None:
                reach(job.points[which])


def _is_of_the_file(error: Exception) -> bool:
    if isinstance(error, apsw.SQLError):
        return str(error).startswith(_SCHEMA_DAMAGED)
    return isinstance(error, apsw.Error) and not isinstance(error, (apsw.FullError, *_MISTAKES))


def _failure(error: Exception, words: str) -> StoreError:
    damaged = isinstance(error, apsw.CorruptError | apsw.NotADBError | apsw.SQLError)
    return StoreCorrupt(words) if damaged else StoreError(words)


def _fail(batch: list[_Job], error: Exception) -> None:
    for job in batch:
        job.error = error


def _answer(batch: list[_Job]) -> None:
    for job in batch:
        if job.done.cancelled():
            continue
        if job.error is not None:
            job.done.set_exception(job.error)
        else:
            job.done.set_result(job.result)
