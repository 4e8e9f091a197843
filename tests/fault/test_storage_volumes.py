"""F08, F09, F10, F12: the volume is full, read-only, damaged, or somebody else's.

A real worker on a file system of its own; in the end what was acknowledged is compared with the desk.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import apsw
import pytest

from support.runtime.flipped_store import filled_copy, flip
from support.runtime.storage_run import Answer, StorageRun, storage_run, store_of
from support.runtime.syscall_faults import let_go, traced
from support.runtime.volumes import (
    ext4_volume,
    fail_for_good,
    fill,
    fill_but,
    make_ext4,
    memory_volume,
    use_inodes,
)

pytestmark = pytest.mark.fault

COME_AGAIN = Answer(503, "5")
MUCH = b"unreadable" * 100_000
"""A delivery that is kept as it is."""


def delivered(run: StorageRun) -> int:
    """How many tickets there are."""
    return len(run.desk.ledger(entries=False)["tickets_by_key"])


async def some_delivered(run: StorageRun, count: int) -> None:
    """Wait until the desk has more tickets than this."""
    await run.until(f"more than {count} are delivered", lambda: delivered(run) > count)


async def with_backlog(run: StorageRun) -> int:
    """A third is sent while the desk answers slowly, so that much is stored and little delivered."""
    run.desk.set_faults(latency_s=0.5)
    run.send(0.4)
    await run.until("there is a backlog", lambda: run.worker.report().store.in_flight > 10)
    return delivered(run)


async def test_f08_a_volume_that_fills_up_refuses_in_time_delivers_on_and_heals_by_itself(
    tmp_path: Path, seed: int
) -> None:
    """F47: 503 while a reserve is left, the backlog is delivered from it, and room ends it without a restart."""
    async with storage_run(80, seed) as run:
        with memory_volume(run.volume, mib=64):
            await run.start()
            before = await with_backlog(run)
            ballast = fill_but(run.volume, mib=8)
            await run.until("it is told", lambda: run.worker.report().store.full)
            assert await run.offer() == COME_AGAIN
            run.send(0.3)
            run.desk.set_faults(latency_s=0.0)
            drained = await asyncio.to_thread(run.worker.wait_drained)
            assert drained.store.full
            assert delivered(run) > before
            assert await run.offer() == COME_AGAIN

            ballast.unlink()
            verdict = await run.finish()
            assert not (await run.report()).store.full
            run.worker.terminate()
    assert verdict.clean, verdict


async def test_f47_a_volume_that_fills_up_slows_its_senders_down_before_it_refuses_them(
    seed: int,
) -> None:
    """Deliveries come until one waits for some tenths of a second; all of them, the last too, get a 200."""
    async with storage_run(10, seed) as run:
        with memory_volume(run.volume, mib=96):
            await run.start()
            waited_s = 0.0
            while waited_s < 0.3:
                began = time.monotonic()
                answer = await run.offer(MUCH)
                waited_s = time.monotonic() - began
                assert answer == Answer(200, None)
            fill = (await run.report()).store.fill
            run.worker.terminate()
    assert fill is not None
    assert fill >= 0.7


async def test_f08_without_the_reserve_nothing_is_delivered_from_a_full_volume(
    tmp_path: Path, seed: int
) -> None:
    """The control: deliveries are taken to the last byte, and what is stored cannot be settled."""
    async with storage_run(80, seed) as run:
        with memory_volume(run.volume, mib=24):
            await run.start("--without", "reserve")
            await with_backlog(run)
            ballast = fill(run.volume)
            run.desk.set_faults(latency_s=0.0)
            run.send(1.0)
            await run.until("it is full to the last byte", lambda: run.worker.report().store.full)
            await asyncio.sleep(3.0)
            stuck = (await run.report()).store.in_flight
            ballast.unlink()
            run.worker.kill()
    assert stuck > 0, "the reserve is for nothing if a full volume drains without it"


async def test_f08_writes_that_find_no_room_at_all_are_not_acknowledged_and_made_later(
    tmp_path: Path, seed: int
) -> None:
    """Whatever the reserve: ENOSPC at every write harms nothing, and passes without a restart."""
    async with storage_run(60, seed) as run:
        full = traced(tmp_path / "calls", "pwrite64:error=ENOSPC:when=260+", for_good=False)
        await run.start(prefix=full)
        run.send()
        await run.until("it is told", lambda: run.worker.report().store.full)
        assert await run.offer() == COME_AGAIN
        let_go(run.worker.pid)
        verdict = await run.finish()
        assert not run.worker.exited()
    assert verdict.clean, verdict
    assert "Traceback" not in run.log()


async def test_f09_without_inodes_a_worker_tells_it_and_opens_its_store_once_there_are_some(
    tmp_path: Path, seed: int
) -> None:
    """No file can be made: 503 and a sentence; one that has its store open does not even notice."""
    image = tmp_path / "image"
    make_ext4(image, mib=96, inodes=32)
    async with storage_run(60, seed) as run:
        with ext4_volume(run.volume, image):
            used = use_inodes(run.volume)
            await run.start()
            told = await run.report()
            assert "no room for a new file" in (told.store.failed or "")
            assert await run.offer() == COME_AGAIN
            run.send(0.3)
            for file in used:
                file.unlink()
            await some_delivered(run, 3)

            use_inodes(run.volume)
            verdict = await run.finish()
            run.worker.terminate()
    assert verdict.clean, verdict
    assert run.log().count("a store cannot be opened") == 1


async def test_f09_a_volume_that_turns_read_only_ends_the_worker_and_nothing_is_lost(
    tmp_path: Path, seed: int
) -> None:
    """Fail-stop; the next worker says what is wrong, and goes on once the volume is mended."""
    image = tmp_path / "image"
    make_ext4(image, mib=96, inodes=64)
    async with storage_run(60, seed) as run:
        with ext4_volume(run.volume, image):
            await run.start()
            run.send(0.4)
            await some_delivered(run, 3)
            fail_for_good(run.volume)
            run.send(0.2)
            assert await run.ended() == 1
            await run.start()
            told = await run.report()
            assert "the store cannot be opened" in (told.store.failed or "")
            assert await run.offer() == COME_AGAIN
            run.worker.kill()
        with ext4_volume(run.volume, image):
            await run.start()
            verdict = await run.finish()
            run.worker.terminate()
    assert verdict.clean, verdict
    assert "Traceback" not in run.log()


# So many that each fate is met for sure: by chance, one in forty flips sets a message aside.
FLIPS = {"short": 400, "full": 10_000}


@pytest.mark.parametrize("end", ["in order", "killed"])
async def test_f10_one_changed_bit_in_the_file_is_never_delivered(
    tmp_path: Path, seed: int, fault_runs: str, end: str
) -> None:
    """Whole messages, their records' numbers and their episodes are as they were, or a person is asked."""
    origin = await filled_copy(tmp_path, in_order=end == "in order")
    found = await flip(origin, tmp_path / "copy", "store.sqlite", FLIPS[fault_runs], seed)

    print(found.fates)
    assert found.wrong == []
    assert found.fates["refused at the start"] > 0
    if end == "in order":  # else the log holds what matters, and few bits of the file do
        assert found.fates["a message is set aside"] > 0


async def test_f10_one_changed_bit_in_the_log_makes_nothing_up(
    tmp_path: Path, seed: int, fault_runs: str
) -> None:
    """What the log holds up to the bit has happened, what comes after it has not; nothing in between."""
    origin = await filled_copy(tmp_path, in_order=False)
    found = await flip(origin, tmp_path / "copy", "store.sqlite-wal", FLIPS[fault_runs], seed)

    print(found.fates)
    assert found.wrong == []


async def test_f10_without_checksums_wrong_values_are_delivered(tmp_path: Path, seed: int) -> None:
    """The control: the file is whole for SQLite, and a title or a ticket's number is another one."""
    origin = await filled_copy(tmp_path, in_order=True)
    db = apsw.Connection(str(origin.folder / "store.sqlite"))
    for table in ("messages", "links", "episodes"):
        db.execute(f"UPDATE {table} SET crc = NULL")
    db.close()
    found = await flip(origin, tmp_path / "copy", "store.sqlite", 3 * FLIPS["short"], seed)

    assert found.wrong, "the run proves nothing if it is clean without the safeguard"


async def test_f12_a_second_worker_on_the_same_volume_waits_and_takes_over(
    tmp_path: Path, seed: int
) -> None:
    """It is not ready, takes no deliveries and delivers nothing until the first one has ended."""
    async with storage_run(60, seed) as run:
        await run.start()
        run.send(0.4)
        with run.another() as second:
            second.start()
            await run.until(
                "the second one has looked", lambda: "another worker has" in said(second)
            )
            assert not second._answers("/readyz")
            assert (await asyncio.to_thread(second.report)).store.failed is not None
            run.send(0.3)
            await some_delivered(run, 5)
            run.worker.kill()
            await run.until("it takes over", lambda: second._answers("/readyz"))
            second.terminate()
        await run.start()
        verdict = await run.finish()
    assert verdict.clean, verdict


def said(worker: object) -> str:
    """What a worker has written."""
    return str(worker.log_file.read_text(encoding="utf-8"))  # type: ignore[attr-defined]


async def test_f12_without_the_lock_two_workers_deliver_everything_twice(
    tmp_path: Path, seed: int
) -> None:
    """The control: both take the same messages."""
    async with storage_run(60, seed) as run:
        await run.start("--without", "lock")
        with run.another() as second:
            second.start("--without", "lock")
            await asyncio.to_thread(second.wait_ready)
            run.desk.set_faults(latency_s=0.1)
            run.send()
            await run.until(
                "a ticket is doubled", lambda: run.desk.ledger(entries=False)["duplicates"]
            )
            second.kill()
        run.worker.kill()
    assert store_of(run.volume).exists()
