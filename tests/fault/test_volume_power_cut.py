"""F04: the power of a real file system goes under load, with a whole worker and its store on it.

`test_store_power_cut.py` cuts at every write of a simulated disk; here the kernel's ext4 forgets what was
not synced, folders and sizes of files too.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from support.runtime.kill_run import Verdict
from support.runtime.storage_run import StorageRun, storage_run
from support.runtime.volumes import PoweredVolume

pytestmark = pytest.mark.fault

CUTS = {"short": 3, "full": 40}
EVENTS_PER_CUT = 40
VOLUME_MIB = 96
LONGEST_LIFE_S = 0.6
"""At most so long after the first answer of a life the power goes."""


def acknowledged(run: StorageRun) -> int:
    """How many alerts the sender was told are kept."""
    return len(run.sender.fired)


async def lose_power(
    run: StorageRun, volume: PoweredVolume, draw: random.Random, share: float, *flags: str
) -> int:
    """One life under load that a power cut ends; how many alerts were acknowledged in it."""
    await run.start(*flags)
    before = acknowledged(run)
    run.send(share)
    await run.until("something is acknowledged", lambda: acknowledged(run) > before)
    await asyncio.sleep(draw.uniform(0.0, LONGEST_LIFE_S))
    volume.cut()
    run.worker.kill()
    volume.off()
    volume.on()
    return acknowledged(run) - before


async def lives(
    run: StorageRun, volume: PoweredVolume, seed: int, cuts: int, *flags: str
) -> Verdict:
    """So many power cuts, then the rest of the load, and what the ledgers say."""
    draw = random.Random(seed)
    # Slow, so that most of what was acknowledged is only in the store when the power goes.
    run.desk.set_faults(latency_s=0.3, search_lag_s=0.2, seed=seed)
    kept = [await lose_power(run, volume, draw, 0.9 / cuts, *flags) for _ in range(cuts)]
    run.desk.set_faults(latency_s=0.0)
    await run.start(*flags)
    verdict = await run.finish(timeout_s=120.0)
    run.worker.terminate()
    print(f"{cuts} cuts; acknowledged in each life: {kept}; lost: {len(verdict.lost)}")
    return verdict


async def test_f04_nothing_that_a_worker_acknowledged_is_lost_when_a_real_volume_loses_its_power(
    tmp_path: Path, seed: int, fault_runs: str
) -> None:
    """Whatever ext4 had not written yet: each alert is one ticket, and the store opens again each time."""
    cuts = CUTS[fault_runs]
    async with storage_run(EVENTS_PER_CUT * cuts, seed) as run:
        with PoweredVolume(run.volume, tmp_path / "image", mib=VOLUME_MIB) as volume:
            verdict = await lives(run, volume, seed, cuts)

    assert verdict.acknowledged == EVENTS_PER_CUT * cuts
    assert verdict.clean, verdict


async def test_f04_without_a_sync_at_each_commit_a_real_volume_loses_what_was_acknowledged(
    tmp_path: Path, seed: int
) -> None:
    """The control: the same few cuts, and alerts that senders were told are kept never become tickets."""
    cuts = CUTS["short"]
    async with storage_run(EVENTS_PER_CUT * cuts, seed) as run:
        with PoweredVolume(run.volume, tmp_path / "image", mib=VOLUME_MIB) as volume:
            verdict = await lives(run, volume, seed, cuts, "--without", "sync")

    assert verdict.lost, "the run proves nothing if it is clean without the safeguard"
