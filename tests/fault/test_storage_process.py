"""F14 to F17: the process is frozen, runs out of file descriptors, or its clocks lie.

A real worker under load; in the end what was acknowledged is compared with the desk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.peers.process import require_binary
from support.runtime.clocks import other_monotonic, wall_clock
from support.runtime.storage_run import open_files, storage_run

pytestmark = pytest.mark.fault

DESK_DOWN_S = 2.0


async def test_f14_a_worker_that_freezes_under_load_wakes_up_and_doubles_nothing(
    tmp_path: Path, seed: int, fault_runs: str
) -> None:
    """Nobody can take its store while it is frozen, also not with a request half-way."""
    draw = random.Random(seed)
    frozen_s = 600.0 if fault_runs == "full" else 3.0
    async with storage_run(80, seed) as run:
        await run.start("--freeze-at", "K14", "--hit", str(draw.randrange(2, 9)))
        with run.another() as second:
            run.send(0.4)
            await run.until("it is frozen between intent and request", run.worker.note.exists)
            second.start()
            await run.until(
                "the second finds the store taken",
                lambda: "another worker has this store open" in second.log_file.read_text("utf-8"),
            )
            await asyncio.to_thread(second.wait, frozen_s)
            assert not second._answers("/readyz")
            second.kill()
        os.kill(run.worker.pid, signal.SIGCONT)
        for _ in range(3):
            run.send(0.1)
            os.kill(run.worker.pid, signal.SIGSTOP)
            await asyncio.sleep(draw.uniform(0.2, 1.0))
            os.kill(run.worker.pid, signal.SIGCONT)
            await asyncio.sleep(draw.uniform(0.1, 0.4))
        verdict = await run.finish()
    assert verdict.clean, verdict


async def test_f14_without_the_lock_another_takes_over_and_the_frozen_one_doubles_a_ticket(
    seed: int,
) -> None:
    """The control: the request that it was about to send is sent when it wakes up."""
    async with storage_run(20, seed, search_lag_s=0.0) as run:
        flags = ("--without", "lock", "--intents-only")
        await run.start(*flags, "--freeze-at", "K14", "--hit", "3")
        run.send()
        await run.until("it is frozen between intent and request", run.worker.note.exists)
        with run.another() as second:
            second.start(*flags)
            await asyncio.to_thread(second.wait_ready)
            await asyncio.to_thread(second.wait_drained)
            os.kill(run.worker.pid, signal.SIGCONT)
            await run.until(
                "a ticket is doubled", lambda: run.desk.ledger(entries=False)["duplicates"]
            )
            second.kill()
        run.worker.kill()


@asynccontextmanager
async def idle_connections(port: int, count: int) -> AsyncIterator[None]:
    """Clients that connect and say nothing."""
    writers = []
    for _ in range(count):
        with contextlib.suppress(OSError, TimeoutError):
            _, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 1.0)
            writers.append(writer)
    try:
        yield
    finally:
        for writer in writers:
            writer.close()


async def test_f15_without_file_descriptors_senders_come_again_and_nothing_ends(
    seed: int,
) -> None:
    """S-06: A hundred idle clients use them all up; the worker keeps its plan and goes on when they leave."""
    prlimit = require_binary("prlimit", remedy="`apt-get install util-linux` installs it.")
    async with storage_run(60, seed) as run:
        await run.start(prefix=(prlimit, "--nofile=64"))
        run.send(0.3)
        async with idle_connections(run.worker.capture_port, 100):
            await run.until("none is left", lambda: open_files(run.worker.pid) >= 60)
            run.send(0.3)
            await asyncio.sleep(4.0)
            assert not run.worker.exited()
        verdict = await run.finish()
        assert run.worker.terminate() == 0
    assert verdict.clean, verdict
    assert "plan stopped" not in run.log()
    assert len(run.log()) < 64 * 1024
    assert "Traceback" not in run.log()


JUMPS_S = (10 * 365 * 86_400.0, -7200.0, 300.0, -300.0, 0.0)


async def test_f16_a_clock_that_jumps_delays_nothing_loses_nothing_and_is_told(
    tmp_path: Path, seed: int
) -> None:
    """Ten years on, two hours back, five minutes to and fro: what waits is tried when it was due."""
    async with storage_run(100, seed) as run:
        flags, set_clock = wall_clock(tmp_path)
        await run.start(*flags)
        for jump_s in JUMPS_S:
            # Few enough that it is not taken for an outage, which would hold everything.
            run.desk.set_faults(fail_next=2, fail_status=503, scope="writes")
            run.send(0.15)
            await asyncio.sleep(0.5)
            set_clock(jump_s)
            await asyncio.sleep(1.5)
        run.desk.set_faults(fail_next=0)
        verdict = await run.finish(90.0)
    assert verdict.clean, verdict
    assert run.log().count("the clock was set") >= 2


async def test_f16_a_clock_put_forward_does_not_end_a_look_up_before_its_time(
    tmp_path: Path, seed: int
) -> None:
    """The desk has made a ticket that its search does not show yet; an hour has passed by one clock only."""
    async with storage_run(1, seed, search_lag_s=6.0, settle="8s") as run:
        flags, set_clock = wall_clock(tmp_path)
        run.desk.set_faults(hang_after_next=1)
        await run.start(*flags)
        run.send()
        await run.until("it is looked up", lambda: '"lookingUp"' in run.log())
        set_clock(3600.0)
        verdict = await run.finish()
    assert verdict.clean, verdict


async def test_f17_another_monotonic_clock_after_each_restart_changes_nothing(seed: int) -> None:
    """A node that has run for a day, then one that has just started, then the first again."""
    async with storage_run(80, seed) as run:
        for offset_s in (100_000, 0, 200_000):
            await run.start(prefix=other_monotonic(offset_s))
            run.desk.set_faults(fail_next=3, fail_status=500, scope="writes")
            run.send(0.25)
            await asyncio.sleep(1.0)
            run.worker.kill()
        await run.start()
        verdict = await run.finish()
    assert verdict.clean, verdict


async def test_f17_with_stored_monotonic_times_messages_are_stuck(seed: int) -> None:
    """The control: what was due on a machine that had run for hours is due in hours."""
    async with storage_run(60, seed) as run:
        # The desk is so slow that more come than it takes at once.
        run.desk.set_faults(latency_s=1.5)
        await run.start("--without", "wall", prefix=other_monotonic(10_000))
        run.send()
        await run.until("some wait", lambda: run.worker.report().store.waiting > 3)
        run.worker.kill()
        run.desk.clear_faults()
        await run.start("--without", "wall")
        await asyncio.sleep(3.0)
        assert (await run.report()).store.waiting > 0
        run.worker.kill()
