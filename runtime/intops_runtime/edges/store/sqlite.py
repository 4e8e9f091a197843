"""The embedded store: one SQLite file a plan, one connection on one thread, answers after the fsync.

`open_store` is called by the worker for each plan; see `base.Store` for what it does. One module: every
operation of that interface, each a few lines around one job on the one thread.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import apsw

from intops_api.report import StoreReport
from intops_runtime.core.auditing import Entry, Row
from intops_runtime.core.clock_steps import ClockSteps
from intops_runtime.core.decisions import (
    Answer,
    Applied,
    Decision,
    Resolution,
    ReviewGroup,
    ReviewItem,
)
from intops_runtime.core.messages import (
    Accepted,
    Delivery,
    IntakeResult,
    Leased,
    Settlement,
)
from intops_runtime.core.pressure import pause_s
from intops_runtime.edges.store import (
    audits,
    completions,
    deliveries,
    lanes,
    pruning,
    queries,
    reviews,
)
from intops_runtime.edges.store.base import Decisions, StoreError, StoreFull
from intops_runtime.edges.store.opening import damaged, moment, open_file
from intops_runtime.edges.store.tally import Tally
from intops_runtime.edges.store.writer import Writer

log = logging.getLogger("intops.worker")

# Room that is never given to new deliveries, so that what is stored can still be settled.
RESERVE_SHARE: Final = 0.1
RESERVE_MIN_BYTES: Final = 16 * 1024 * 1024
RESERVE_MAX_BYTES: Final = 64 * 1024 * 1024
# The volume is asked again after this time, or after so many bytes: much less than the reserve.
ROOM_FOR_S: Final = 0.2
ROOM_FOR_BYTES: Final = 1024 * 1024

SHRINK_PAGES: Final = 1000
SHRINK_PAGES_FULL: Final = 100
"""Each page that leaves the file may move another one, through the log: so many need half a MiB of room."""


async def open_store(
    path: Path,
    *,
    now: float,
    review_due_s: float,
    on_fatal: Callable[[str], None],
    allow_volatile: bool = False,
) -> "SqliteStore":
    """Open a store file, or make it.

    Args:
        path: The file; its folder is made.
        now: Epoch seconds.
        review_due_s: How soon a person must look at a message in review.
        on_fatal: Called once with a sentence when the file can no longer be written.
        allow_volatile: Take a file system that is empty after a restart, for try-outs.

    Raises:
        StoreError: it cannot be used; the most specific kind, with a sentence.
    """
    tally = Tally()
    writer = Writer(
        lambda: open_file(path, now=now, allow_volatile=allow_volatile), str(path), tally, on_fatal
    )
    await writer.opened
    try:
        meta = await writer.run(lambda db: dict(db.execute("SELECT name, value FROM meta")))
        await writer.run(tally.load)
        # The clock may have been set back since the last end.
        await writer.run(lambda db: lanes.set_back(db, now, 0.0))
    except StoreError:
        await writer.close()
        raise
    except UnicodeDecodeError as error:
        await writer.close()
        raise damaged(path) from error
    return SqliteStore(path, writer, tally, meta, review_due_s)


class SqliteStore:
    """See `base.Store`."""

    def __init__(
        self,
        path: Path,
        writer: Writer,
        tally: Tally,
        meta: dict[Any, Any],
        review_due_s: float,
    ) -> None:
        self.path = path
        self.store_id = str(meta["store_id"])
        # Unreadable: nothing is known for certain, so everything is looked up first.
        self.known_since = moment(meta["known_since"], otherwise=time.time())
        self.decisions: Decisions = self
        self.poll_s = 1.0
        self.pause_s = 0.0
        self.takings = 0
        self._writer = writer
        self._tally = tally
        self._review_due_s = review_due_s
        self._busy: dict[int, str] = {}
        self._room_until, self._room_bytes = 0.0, 0
        self._opened_at = (time.time(), time.monotonic())
        self._clock = ClockSteps(*self._opened_at)

    async def accept(
        self, source: str, delivery_id: str | None, headers: dict[str, str], body: bytes, at: float
    ) -> Accepted:
        """See `base.Store`."""
        self._see_clock(at)
        self._refuse_without_room(len(body))
        return await self._writer.run(
            lambda db: deliveries.insert(db, self._tally, source, delivery_id, headers, body, at),
            ("K06", "K08", "K09"),
        )

    def _refuse_without_room(self, size: int) -> None:
        """Look at the volume, though not for every delivery."""
        now = time.monotonic()
        self._room_bytes -= size
        if now < self._room_until and self._room_bytes > 0:
            return
        free, reserve = self._room()
        if free < reserve:
            raise StoreFull(
                f"{self.path}: less than {reserve >> 20} MiB are free; give the volume more room."
            )
        self._room_until, self._room_bytes = now + ROOM_FOR_S, ROOM_FOR_BYTES
        self.pause_s = pause_s(self._fill(free, reserve))

    def _room(self) -> tuple[int, int]:
        """Bytes that are free on the volume, and how many of them must stay so."""
        volume = os.statvfs(self.path.parent)
        free = volume.f_bavail * volume.f_frsize
        share = int(volume.f_blocks * volume.f_frsize * RESERVE_SHARE)
        return free, max(RESERVE_MIN_BYTES, min(RESERVE_MAX_BYTES, share))

    def _fill(self, free: int, reserve: int) -> float:
        """Part of the room for messages that is used, from 0 to 1."""
        used = self._tally.used_bytes
        return round(used / max(used + free - reserve, 1), 3)

    async def next_intake(self, limit: int) -> list[Delivery]:
        """See `base.Store`."""
        if self._tally["pending"] <= 0:
            return []
        return await self._writer.run(lambda db: deliveries.pending(db, limit))

    async def settle_intake(self, results: list[IntakeResult], now: float) -> None:
        """See `base.Store`."""
        self._see_clock(now)
        due_at = now + self._review_due_s

        def work(db: Any) -> None:
            for result in results:
                deliveries.split(db, self._tally, result, now=now, due_at=due_at)

        await self._writer.run(work)

    async def lease(self, now: float, limit: int) -> list[Leased]:
        """See `base.Store`."""
        self._see_clock(now)
        numbers, keys = set(self._busy), set(self._busy.values())
        found = await self._writer.run(
            lambda db: lanes.due(
                db,
                self._tally,
                numbers,
                keys,
                now=now,
                limit=limit,
                review_at=now + self._review_due_s,
            )
        )
        found = [leased for leased in found if leased.message.id not in self._busy]
        for leased in found:
            self._busy[leased.message.id] = leased.message.key
        return [self._with_true_age(leased) for leased in found]

    def _see_clock(self, now: float) -> None:
        """A clock that is set back would keep what waits for as long as it was set back."""
        step_s = self._clock.look(now, time.monotonic())
        if not step_s:
            return
        data = {"seconds": round(step_s), "store": str(self.path)}
        log.warning("the clock was set; what waits goes on as if not", extra={"data": data})
        self._writer.post(lambda db: lanes.set_back(db, now, -step_s))

    def _with_true_age(self, leased: Leased) -> Leased:
        received_at = self._clock.received_at(leased.message.received_at)
        if received_at == leased.message.received_at:
            return leased
        return replace(leased, message=replace(leased.message, received_at=received_at))

    async def intend(
        self,
        message_id: int,
        step: str,
        binding: str,
        idem_key: str,
        plan_hash: str,
        now: float,
    ) -> int:
        """See `base.Store`."""
        return await self._writer.run(
            lambda db: lanes.insert_attempt(
                db, self._tally, message_id, step, binding, idem_key, plan_hash, now
            )
        )

    async def close_attempt(
        self, attempt_id: int, outcome: str, evidence: dict[str, Any], now: float
    ) -> None:
        """See `base.Store`."""
        await self._writer.run(
            lambda db: lanes.end_attempt(db, attempt_id, outcome, None, evidence, now)
        )

    async def settle(self, settlement: Settlement, now: float) -> None:
        """See `base.Store`."""
        self._see_clock(now)
        due_at = now + self._review_due_s
        await self._writer.run(
            lambda db: lanes.settle(db, self._tally, settlement, now=now, due_at=due_at),
            ("", "K20", "K21"),
        )
        self.release(settlement.message_id)

    def check(self, message_id: int) -> None:
        """See `base.Store`. Nobody else can have the file open."""

    def release(self, message_id: int) -> None:
        """See `base.Store`."""
        self._busy.pop(message_id, None)

    async def unhold(self, binding: str, now: float, limit: int) -> int:
        """See `base.Store`."""
        return await self._writer.run(lambda db: lanes.unhold(db, self._tally, binding, now, limit))

    async def hasten(self, binding: str, now: float) -> None:
        """See `base.Store`."""
        await self._writer.run(lambda db: lanes.hasten(db, binding, now))

    async def complete(self, binding: str, now: float, limit: int) -> int:
        """See `base.Store`."""
        return await self._writer.run(
            lambda db: completions.take_up(db, self._tally, binding, now, limit)
        )

    async def incomplete(self) -> dict[str, int]:
        """See `base.Store`."""
        return await self._writer.run(completions.how_many)

    async def held_bindings(self) -> list[str]:
        """See `base.Store`."""
        return await self._writer.run(
            lambda db: [str(row[0]) for row in db.execute(lanes.HELD_BINDINGS)]
        )

    async def next_due(self) -> float | None:
        """See `base.Store`."""
        busy = set(self._busy)
        return await self._writer.run(lambda db: lanes.next_due(db, busy))

    async def messages(self, wanted: queries.Filter, now: float) -> list[dict[str, Any]]:
        """See `base.Store`."""
        return await self._writer.run(lambda db: queries.messages(db, wanted, now))

    async def deliveries(self, since: float, below: int | None, limit: int) -> list[Delivery]:
        """See `base.Store`."""
        return await self._writer.run(lambda db: deliveries.stored(db, since, below, limit))

    async def delivery_state(self, source: str, number: int) -> str | None:
        """See `base.Store`."""
        return await self._writer.run(lambda db: queries.delivery_state(db, source, number))

    async def message(self, number: int) -> dict[str, Any] | None:
        """See `base.Store`."""
        return await self._writer.run(lambda db: queries.message(db, number))

    async def trace(self, text: str) -> dict[str, Any] | None:
        """See `base.Store`."""
        name = text.lstrip("#")
        keys = await self._writer.run(lambda db: queries.keys_by_name(db, name))
        until = await self._writer.run(queries.newest)
        while not keys and until > 0:
            # A few at a time: deliveries are taken in between.
            keys = await self._writer.run(partial(queries.keys_by_identity, name=name, until=until))
            until -= queries.LOOK_THROUGH
        return await self._writer.run(lambda db: queries.trace(db, keys))

    async def review_groups(self, limit: int) -> list[ReviewGroup]:
        """See `base.Store`."""
        return await self._writer.run(lambda db: reviews.groups(db, limit))

    async def review_items(self, wanted: reviews.Wanted) -> list[ReviewItem]:
        """See `base.Store`."""
        return await self._writer.run(lambda db: reviews.items(db, wanted))

    async def begin_decision(self, decision_id: str, now: float) -> tuple[float, Answer | None]:
        """See `base.Store`."""
        return await self._writer.run(lambda db: reviews.begin(db, decision_id, now))

    async def decide(
        self, decision: Decision, resolutions: Sequence[Resolution], now: float
    ) -> Applied:
        """See `base.Store`."""
        return await self._writer.run(
            lambda db: reviews.apply(db, self._tally, decision, resolutions, now)
        )

    async def end_decision(self, decision: Decision, answer: Answer, now: float) -> Answer:
        """See `base.Store`."""
        return await self._writer.run(lambda db: reviews.end(db, decision, answer, now))

    def tells(self, channel: str) -> bool:
        """See `base.Store`. Nobody else can have the file open."""
        return True

    async def notices(self) -> dict[tuple[str, str], float]:
        """See `base.Store`."""
        return await self._writer.run(reviews.notices)

    async def note_notice(self, kind: str, fingerprint: str, entry: Entry, now: float) -> None:
        """See `base.Store`."""
        await self._writer.run(lambda db: reviews.note_notice(db, kind, fingerprint, entry, now))

    async def audit(self, entry: Entry, now: float) -> None:
        """See `base.Store`."""
        await self._writer.run(lambda db: audits.note(db, entry, now))

    async def audit_page(self, after: int, limit: int) -> list[Row]:
        """See `base.Store`."""
        return await self._writer.run(lambda db: audits.page(db, after, limit))

    async def erase(self, key: str, entry: Entry, now: float) -> int:
        """See `base.Store`."""
        erased, after = 0, 0
        while True:
            found, more = await self._writer.run(partial(_erase, key, entry, after, now))
            erased += found
            if more is None:
                await self._writer.shrink(SHRINK_PAGES)  # nor does it stay in the log
                return erased
            after = more

    async def prune(self, now: float) -> None:
        """See `base.Store`."""
        # A clock that is put forward must not empty the memory of copies: time is what has passed here.
        wall, steady = self._opened_at
        passed = min(now, wall + time.monotonic() - steady)
        gone, overwritten = await self._prune(passed)
        if self._writer.full:
            # Tried even where no message comes, so that the report does not tell of the past.
            await self._writer.run(_try_a_write)
        free, reserve = self._room()
        if free < reserve or not overwritten:
            await self._give_all_back()
        elif gone:
            await self._writer.shrink(SHRINK_PAGES)

    async def _prune(self, passed: float) -> tuple[int, bool]:
        """How many rows went, and whether they are overwritten.

        Only this makes room on a full volume, so it must do with what little there is.
        """
        rest = list(pruning.WAYS)
        while True:
            rows, overwrite = rest.pop(0)
            work = partial(
                pruning.prune, tally=self._tally, now=passed, rows=rows, overwrite=overwrite
            )
            try:
                gone = await self._writer.run(work)
            except StoreFull:
                if not rest:
                    raise
                await self._writer.shrink(SHRINK_PAGES_FULL)
                continue
            return gone, overwrite

    async def _give_all_back(self) -> None:
        """Free pages leave the file: the volume needs the room, and what they held is not to be read there."""
        free = await self._writer.run(pruning.free_pages)
        while True:
            await self._writer.shrink(SHRINK_PAGES_FULL)
            before, free = free, await self._writer.run(pruning.free_pages)
            if not free or free == before:
                return

    def counts(self, now: float) -> StoreReport:
        """See `base.Store`."""
        free, reserve = self._room()
        full = self._writer.full or free < reserve
        if full:
            self._room_until = 0.0
        fill = 1.0 if full else self._fill(free, reserve)
        return self._tally.report(now, failed=self._writer.broken, full=full, fill=fill)

    async def recount(self) -> dict[str, int]:
        """Messages and deliveries by state, counted from the rows: what `counts` must agree with."""
        return await self._writer.run(queries.recount)

    async def close(self) -> None:
        """See `base.Store`."""
        await self._writer.close()


def _erase(
    key: str, entry: Entry, after: int, now: float, db: apsw.Connection
) -> tuple[int, int | None]:
    with pruning.overwriting(db):
        return audits.erase(db, key, entry, after=after, now=now)


def _try_a_write(db: apsw.Connection) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES('room_at', datetime('now'))")
