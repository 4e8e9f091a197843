"""F91: the power of the volume below a PostgreSQL server goes while a store acknowledges deliveries.

The kernel's ext4 forgets what was not synced; what the store has acknowledged must be in the server again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from intops_runtime.edges.store import postgres_settings
from intops_runtime.edges.store.base import StoreError
from support.peers.postgresql import PostgreSQL
from support.runtime.store_engines import PostgresEngine
from support.runtime.volumes import PoweredVolume, need_root

pytestmark = pytest.mark.fault

CUTS = {"short": 3, "full": 40}
SENDERS = 4
VOLUME_MIB = 384
LONGEST_LIFE_S = 0.8
SETTINGS = {"wal_writer_delay": "5s"}
"""By default a commit that nobody waits for is written 0.2 s later, and a cut would often miss it."""


@dataclass(slots=True)
class Machine:
    """A server, the volume that its data lies on, and what its store has acknowledged."""

    peer: PostgreSQL
    volume: PoweredVolume
    promised: set[int] = field(default_factory=set)

    def lose_power(self) -> None:
        """The volume stops, the server ends, and both come back."""
        self.volume.cut()
        self.peer.crash()
        self.volume.off()
        self.volume.on()
        self.peer.start()

    def missing(self) -> set[int]:
        """What was acknowledged and is not there."""
        return self.promised - set(
            map(int, self.peer.sql("SELECT id FROM intops.deliveries").split())
        )


@contextlib.contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """A server that runs on a volume of its own."""
    need_root()
    peer = PostgreSQL(SETTINGS, data="volume/data")
    place = peer.workdir / "volume"
    place.mkdir()
    try:
        with PoweredVolume(place, folder / "image", mib=VOLUME_MIB) as volume, peer:
            yield Machine(peer, volume)
    finally:
        shutil.rmtree(peer.workdir, ignore_errors=True)


async def one_life(
    computer: Machine, draw: random.Random, weaker: pytest.MonkeyPatch | None
) -> int:
    """Take deliveries until the power goes; how many were acknowledged."""
    store = PostgresEngine(computer.peer, "flow").start()
    await store.refresh()
    if weaker:  # only now: the store looks at its settings when it opens
        begin = postgres_settings.BEGIN.replace("commit = 'on'", "commit = 'off'")
        assert begin != postgres_settings.BEGIN
        weaker.setattr(postgres_settings, "BEGIN", begin)
    before = len(computer.promised)

    async def send() -> None:
        with contextlib.suppress(StoreError):
            while True:
                accepted = await store.accept("source", None, {}, draw.randbytes(300), time.time())
                computer.promised.add(accepted.id)

    sending = [asyncio.create_task(send()) for _ in range(SENDERS)]
    await asyncio.sleep(draw.uniform(0.2, LONGEST_LIFE_S))
    await asyncio.to_thread(computer.lose_power)
    for task in sending:
        task.cancel()
    ends = await asyncio.gather(*sending, return_exceptions=True)
    with contextlib.suppress(StoreError):
        await store.close()
    if weaker:
        weaker.undo()
    assert [end for end in ends if isinstance(end, Exception)] == []
    return len(computer.promised) - before


async def test_f91_nothing_that_was_acknowledged_is_lost_when_the_servers_volume_loses_its_power(
    tmp_path: Path, seed: int, fault_runs: str
) -> None:
    """The server recovers by itself each time, and every delivery that was acknowledged is there."""
    draw = random.Random(seed)
    with machine(tmp_path) as computer:
        for number in range(CUTS[fault_runs]):
            kept = await one_life(computer, draw, None)
            assert kept > 0, f"life {number} took nothing, so its cut shows nothing"
            assert computer.missing() == set(), f"cut {number}"
    print(f"seed {seed}: {CUTS[fault_runs]} cuts, {len(computer.promised)} promises")


async def test_f91_without_a_wait_at_each_commit_the_servers_volume_loses_what_was_acknowledged(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control, `synchronous_commit = off`: what senders were told is kept is gone after few cuts."""
    draw = random.Random(seed)
    lost = 0
    with machine(tmp_path) as computer:
        for _ in range(CUTS["short"]):
            await one_life(computer, draw, monkeypatch)
            lost += len(computer.missing())
            computer.promised.clear()
    print(f"seed {seed}: {CUTS['short']} cuts, {lost} lost")
    assert lost > 0, "the run proves nothing if it is clean without the safeguard"
