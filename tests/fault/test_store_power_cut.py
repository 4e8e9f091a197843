"""The power goes at any write or sync: what the store has said is kept is there, and the file is whole."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest

from intops_runtime.core.messages import IntakeResult, NewMessage, Settlement, State
from intops_runtime.edges.store.base import StoreError
from intops_runtime.edges.store.opening import prepare, sentences
from intops_runtime.edges.store.sqlite import SqliteStore
from intops_runtime.edges.store.tally import Tally
from intops_runtime.edges.store.writer import Writer
from support.power_cut import Disk

pytestmark = pytest.mark.fault

NAME = "store.sqlite"
CUTS = 250
# Each with a store of its own: all that was ever promised is compared after each cut.
STORES = {"short": 1, "full": 24}
# Most writes and syncs until the cut; a commit is ten to thirty of them.
LONGEST = 1500
BEGAN_AT = 1_000_000.0


@dataclass(slots=True)
class Ledger:
    """What the store has said is on disk."""

    deliveries: set[int] = field(default_factory=set)
    split: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)
    attempts: set[int] = field(default_factory=set)

    @property
    def size(self) -> int:
        """How much was promised."""
        return sum(map(len, (self.deliveries, self.split, self.done, self.attempts)))


async def booted(disk: Disk, folder: Path, synchronous: str) -> SqliteStore:
    """The store on this disk, by way of the same settings and checks as on any other."""

    def connect() -> apsw.Connection:
        fresh = not disk.files.get(NAME) or not disk.files[NAME].seen
        with sentences(Path(NAME)):
            db = disk.connect(NAME)
            prepare(db, Path(NAME), now=BEGAN_AT, fresh=fresh)
        # A safeguard can be taken away only here: the product has no such setting.
        db.execute(f"PRAGMA synchronous={synchronous}")
        # So small that checkpoints happen within one life.
        db.execute("PRAGMA wal_autocheckpoint=20")
        return db

    tally = Tally()
    writer = Writer(connect, NAME, tally, lambda words: None)
    try:
        await writer.opened
        meta = await writer.run(lambda db: dict(db.execute("SELECT name, value FROM meta")))
        await writer.run(tally.load)
    except StoreError:
        await writer.close()
        raise
    return SqliteStore(folder / NAME, writer, tally, meta, 3600.0)


async def live(store: SqliteStore, ledger: Ledger, draw: random.Random) -> None:
    """Take, split, send and settle until the store is gone."""

    async def one() -> None:
        accepted = await store.accept("source", None, {}, draw.randbytes(300), BEGAN_AT)
        ledger.deliveries.add(accepted.id)

    async def run_one() -> None:
        for leased in await store.lease(BEGAN_AT, 3):
            number = leased.message.id
            attempt = await store.intend(number, "create", "desk", "i", "h", BEGAN_AT)
            ledger.attempts.add(attempt)
            await store.settle(
                Settlement(number, State.DONE, "linked", "created", attempt_id=attempt), BEGAN_AT
            )
            ledger.done.add(number)

    async def split_some() -> None:
        pending = await store.next_intake(5)
        await store.settle_intake(
            [
                IntakeResult(
                    d.id,
                    (
                        NewMessage(
                            0, f"k{d.id % 3}", None, State.WAITING, "m", "", "h", {"n": d.id}, {}
                        ),
                    ),
                )
                for d in pending
            ],
            BEGAN_AT,
        )
        ledger.split.update(d.id for d in pending)

    while True:
        jobs = [one() for _ in range(draw.randrange(1, 6))]
        jobs += [split_some()] if draw.random() < 0.5 else []
        jobs += [run_one()] if draw.random() < 0.5 else []
        ends = await asyncio.gather(*jobs, return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, StoreError):
                raise end
        if any(isinstance(end, StoreError) for end in ends):
            return


async def missing(store: SqliteStore, ledger: Ledger) -> list[str]:
    """What was promised and is not there."""

    def look(db: apsw.Connection) -> list[str]:
        def column(query: str) -> set[int]:
            return {int(str(row[0])) for row in db.execute(query)}

        found = {
            "delivery": ledger.deliveries - column("SELECT id FROM deliveries"),
            "split": ledger.split - column("SELECT delivery_id FROM messages"),
            "done": ledger.done - column("SELECT id FROM messages WHERE state = 'done'"),
            "attempt": ledger.attempts - column("SELECT id FROM attempts"),
        }
        return [f"{kind} {number}" for kind, gone in found.items() for number in sorted(gone)]

    lost = await store._writer.run(look)
    rows, told = await store.recount(), store.counts(BEGAN_AT)
    if told.imbalance or told.done != rows.get("done", 0) or told.waiting != rows.get("waiting", 0):
        lost.append(f"the counts {told} are not the rows {rows}")
    return lost


async def cut_again_and_again(
    folder: Path, cuts: int, seed: int, synchronous: str
) -> tuple[list[str], Ledger]:
    """Live, lose the power, start, compare; ends at the first loss."""
    draw = random.Random(seed)
    disk, ledger = Disk(), Ledger()
    try:
        for number in itertools.count(1):
            disk.power = draw.randrange(LONGEST)
            try:
                store = await booted(disk, folder, synchronous)
            except StoreError:
                pass  # the power went while the store was opened
            else:
                await live(store, ledger, draw)
                await store.close()
            disk.cut(draw)
            try:
                store = await booted(disk, folder, synchronous)
            except StoreError as error:
                return [f"cut {number}: {error}"], ledger
            lost = await missing(store, ledger)
            await store.close()
            if lost or number >= cuts:
                return [f"cut {number}: {words}" for words in lost], ledger
    finally:
        disk.close()
    raise AssertionError("unreachable")


async def test_nothing_that_was_acknowledged_is_lost_when_the_power_goes(
    tmp_path: Path, seed: int, fault_runs: str
) -> None:
    """F04, F05: deliveries, their split, attempts and outcomes: all of it is there, and the file is whole."""
    for number in range(STORES[fault_runs]):
        folder = tmp_path / str(number)
        folder.mkdir()
        lost, ledger = await cut_again_and_again(folder, CUTS, seed + number, "FULL")

        print(f"seed {seed + number}: {CUTS} cuts, {ledger.size} promises")
        assert lost == []
        assert ledger.size > 10 * CUTS
        assert min(map(len, (ledger.split, ledger.done, ledger.attempts))) > CUTS


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
async def test_the_same_run_loses_without_a_sync_at_each_commit(
    tmp_path: Path, seed: int, synchronous: str
) -> None:
    """F04: the safeguard is what keeps the promise; a run that loses nothing without it proves nothing."""
    lost, _ = await cut_again_and_again(tmp_path, CUTS, seed, synchronous)

    assert lost, "the run proves nothing if it is clean without the safeguard"
