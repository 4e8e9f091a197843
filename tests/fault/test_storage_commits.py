"""F03, F06, F07, F11: the commit itself is hit: killed, refused by the volume, or slow.

A real worker or a real store file under strace; in the end what was acknowledged is compared with what
is there.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest

from intops_runtime.edges.store.sqlite import open_store
from support.runtime.storage_run import Answer, storage_run
from support.runtime.store_entry import SPLIT_INTO
from support.runtime.syscall_faults import (
    Call,
    attached,
    calls_in,
    let_go,
    resident_mib,
    slowed,
    traced,
)
from support.runtime.worker_process import TESTS

pytestmark = pytest.mark.fault

ROUNDS = 2
LIVES = {"short": 6, "full": 10_000}
# Writes that belong to commits of deliveries: after the schema, before the log is copied at the end.
IN_COMMITS = range(125, 215)


def live(folder: Path, fault: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """One life of the process that only keeps deliveries, with a fault in its system calls."""
    argv = [
        *traced(folder / "calls", fault), sys.executable, "-m", "support.runtime.store_entry",
        str(folder / "store.sqlite"), str(ROUNDS), *flags,
    ]  # fmt: skip
    return subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )  # fmt: skip


async def missing(folder: Path, said: str) -> list[str]:
    """What was promised and is not there, and what is there in part."""
    store = await open_store(
        folder / "store.sqlite", now=time.time(), review_due_s=1.0, on_fatal=print,
        allow_volatile=True,
    )  # fmt: skip

    def look(db: apsw.Connection) -> list[str]:
        kept = {f"delivery {row[0]}" for row in db.execute("SELECT id FROM deliveries")}
        split = db.execute("SELECT delivery_id, count(*) FROM messages GROUP BY 1").fetchall()
        kept |= {f"split {number}" for number, _ in split}
        halves = [f"half of {number}" for number, count in split if count != SPLIT_INTO]
        return sorted(set(said.splitlines()) - kept) + halves

    found = await store._writer.run(look)
    rows, told = await store.recount(), store.counts(time.time())
    assert told.imbalance == 0
    assert (told.pending, told.waiting) == (
        rows.get("deliveries.pending", 0), rows.get("waiting", 0),
    )  # fmt: skip
    await store.close()
    return found


def places(draw: random.Random, folder: Path, lives: int) -> list[tuple[str, int]]:
    """Which write or sync of a life is hit: every one, or as many as there is time for."""
    folder.mkdir()
    whole = live(folder, "fdatasync:delay_exit=1")
    assert whole.returncode == 0, whole.stderr
    calls = calls_in(folder / "calls")
    every = [
        (name, number)
        for name in ("pwrite64", "fdatasync")
        for number in range(1, sum(call.name == name for call in calls) + 1)
    ]
    assert len(every) > 60
    return sorted(draw.sample(every, min(lives, len(every))))


async def test_f03_killed_in_any_write_or_sync_of_a_commit_the_group_is_there_or_is_not(
    tmp_path: Path, seed: int, fault_runs: str
) -> None:
    """Never acknowledged and absent, never half of it, and the file is whole."""
    killed = 0
    for name, number in places(random.Random(seed), tmp_path / "look", LIVES[fault_runs]):
        folder = tmp_path / f"{name}-{number}"
        folder.mkdir()
        ended = live(folder, f"{name}:signal=KILL:when={number}")
        killed += ended.returncode == -9
        assert await missing(folder, ended.stdout) == [], (name, number)
    assert killed >= LIVES["short"] // 2, "hardly any life was cut short"


async def test_f03_the_same_run_loses_when_it_answers_before_the_commit(
    tmp_path: Path, seed: int
) -> None:
    """The control: killed while it writes, what had been said is not there."""
    for number in random.Random(seed).sample(IN_COMMITS, 5):
        folder = tmp_path / str(number)
        folder.mkdir()
        ended = live(folder, f"pwrite64:signal=KILL:when={number}", "--without", "commit")
        if await missing(folder, ended.stdout):
            return
    pytest.fail("the run proves nothing if it is clean without the safeguard")


ORDER = "fdatasync,pwrite64,read,write"  # libuv reads and writes sockets as if they were files


def too_early(calls: list[Call], events: int) -> tuple[int, list[str]]:
    """How many first answers were found, and which left before the sync of their delivery returned."""
    answers, early = 0, []
    for number in range(events):
        mark = f"{number:016x}"
        asked = next((c for c in calls if c.name == "read" and mark in c.words), None)
        if asked is None:
            continue
        told = next(
            c for c in calls
            if c.name == "write" and c.began > asked.ended and c.handle == asked.handle
        )  # fmt: skip
        if "HTTP/1.1 200" not in told.words:
            continue
        answers += 1
        wrote = [c for c in calls if c.name == "pwrite64" and mark in c.words]
        synced = any(
            sync.name == "fdatasync"
            and not sync.failed
            and sync.began > wrote[0].ended
            and sync.ended < told.began
            for sync in calls
        ) if wrote else False  # fmt: skip
        if not synced:
            early.append(mark)
    return answers, early


@pytest.mark.parametrize("without", ["", "commit", "sync"])
async def test_f03_no_answer_leaves_before_the_sync_of_its_delivery_has_returned(
    tmp_path: Path, seed: int, without: str
) -> None:
    """Seen in the system calls of a real worker; answering early, or not syncing, is seen there too."""
    flags = ("--without", without) if without else ()
    async with storage_run(40, seed) as run:
        await run.start(*flags, prefix=traced(tmp_path / "calls", calls=ORDER))
        await run.finish()
        run.worker.terminate()

    answers, early = too_early(calls_in(tmp_path / "calls"), run.events)
    assert answers > run.events // 2
    assert bool(early) == bool(without)


async def test_f06_a_sync_that_fails_once_ends_the_worker_and_the_next_one_goes_on(
    tmp_path: Path, seed: int
) -> None:
    """Not acknowledged, exit 1, no second sync on the same file; nothing is lost or doubled."""
    draw = random.Random(seed)
    async with storage_run(90, seed) as run:
        for life in range(2):
            log = tmp_path / f"calls-{life}"
            await run.start()
            with attached(run.worker.pid, log, f"fdatasync:error=EIO:when={draw.randrange(3, 12)}"):
                run.send(0.4)
                assert await run.ended() == 1
            syncs = [c for c in calls_in(log) if c.name == "fdatasync"]
            assert [c for c in syncs if c.failed] == syncs[-1:]
        await run.start()
        verdict = await run.finish()

    assert verdict.clean, verdict
    assert run.log().count("the store can no longer be written") >= 2
    assert "Traceback" not in run.log()


async def test_f06_without_the_stop_the_same_file_is_synced_again(
    tmp_path: Path, seed: int
) -> None:
    """The control: what the volume has once refused is taken for written."""

    def syncs() -> list[Call]:
        return [c for c in calls_in(tmp_path / "calls") if c.name == "fdatasync"]

    def synced_again() -> bool:
        found = syncs()
        return any(c.failed for c in found) and not found[-1].failed

    async with storage_run(40, seed) as run:
        await run.start("--without", "stop")
        with attached(run.worker.pid, tmp_path / "calls", "fdatasync:error=EIO:when=5"):
            run.send()
            await run.until("it goes on", synced_again)
            run.worker.kill()


async def test_f07_a_volume_that_stays_bad_is_told_and_senders_come_again_until_it_is_well(
    tmp_path: Path, seed: int
) -> None:
    """503 with Retry-After rather than 404, a sentence in the report, and no restart once it is mended."""
    async with storage_run(60, seed) as run:
        await run.start()
        run.send(0.3)
        await run.until("some are delivered", lambda: run.desk.ledger(entries=False)["count"] > 3)
        run.worker.kill()
        bad = traced(tmp_path / "calls", "fdatasync:error=EIO", for_good=False)
        await run.start(prefix=bad)

        told = await run.report()
        answer = await run.offer()
        assert "the store cannot be opened (IO)" in (told.store.failed or "")
        assert answer == Answer(503, "5")
        run.send(0.3)
        await run.until("it tries again", lambda: len(calls_in(tmp_path / "calls")) > 8)
        assert not run.worker.exited()
        let_go(run.worker.pid)
        verdict = await run.finish()

    assert verdict.clean, verdict
    assert run.log().count("a store cannot be opened") == 1


async def test_f11_a_slow_volume_is_told_to_senders_in_time_and_fills_no_memory(
    tmp_path: Path, seed: int
) -> None:
    """With a sync of five seconds nobody waits longer than three; what was late is not doubled."""
    async with storage_run(40, seed, answer_within_s=10.0) as run:
        await run.start()
        run.send(0.2)
        await run.until("some are delivered", lambda: run.desk.ledger(entries=False)["count"] > 3)
        with slowed(run.worker.pid, tmp_path / "calls", seconds=5):
            before = resident_mib(run.worker.pid)
            began = time.monotonic()
            answers = await asyncio.gather(*(run.offer() for _ in range(20)))
            took_s = time.monotonic() - began
            statuses = {answer.status for answer in answers}
            grown = resident_mib(run.worker.pid) - before
        verdict = await run.finish()

    assert 503 in statuses
    assert statuses <= {200, 503}
    assert took_s < 5.0
    assert grown < 16
    assert verdict.clean, verdict


async def test_f11_a_sync_of_a_second_makes_groups_larger_rather_than_senders_wait_in_line(
    tmp_path: Path, seed: int
) -> None:
    """A hundred senders are acknowledged by a few commits."""
    async with storage_run(20, seed) as run:
        await run.start()
        log = tmp_path / "calls"
        with slowed(run.worker.pid, log, seconds=1):
            began = time.monotonic()
            answers = await asyncio.gather(*(run.offer() for _ in range(100)))
            took_s = time.monotonic() - began
        acknowledged = sum(answer.status == 200 for answer in answers)
        verdict = await run.finish()

    assert acknowledged > 50
    assert took_s < 6.0
    assert sum(call.name == "fdatasync" for call in calls_in(log)) < 10
    assert verdict.clean, verdict
