"""What outlives a worker's death: what it was computing, and how often it died of that."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

import pytest

from intops_runtime.edges.black_box import BlackBox, Watched


def box(folder: Path) -> BlackBox:
    return BlackBox(folder, flow="itsm/alerts")


def mark(folder: Path) -> tuple[int, ...]:
    """What a process that is killed now would leave."""
    return struct.unpack("<qq", (folder / "doing").read_bytes())


def dead_of(folder: Path, number: int) -> None:
    """A life that ends while it computes for a message."""
    box(folder).computing("message", number).__enter__()


def test_deaths_are_counted_over_lives_and_by_what_was_computed(tmp_path: Path) -> None:
    """The mark of a life that ended in the middle is a death of that message and of no other."""
    for number in (7, 7, 8):
        dead_of(tmp_path, number)

    found = box(tmp_path)
    assert found.deaths("message") == {7: 2, 8: 1}
    assert found.deaths("delivery") == {}
    assert box(tmp_path).deaths("message") == {7: 2, 8: 1}  # nothing is counted twice


def test_a_count_from_before_there_were_trials_is_read(tmp_path: Path) -> None:
    """An upgrade must not forget what is poison."""
    (tmp_path / "deaths.json").write_bytes(b'{"message": {"7": 2}, "delivery": {}}')

    found = box(tmp_path)
    assert (found.deaths("message"), found.deaths("shadow")) == ({7: 2}, {})


def test_what_comes_to_its_end_is_forgotten(tmp_path: Path) -> None:
    """Deaths that lie lives apart are no poison."""
    dead_of(tmp_path, 7)
    box(tmp_path).forget("message", 7)

    assert box(tmp_path).deaths("message") == {}


@pytest.mark.parametrize("rubbish", [b"", b"{", b"[]", b'{"message": {"x": 1}, "delivery": {}}'])
def test_a_damaged_count_begins_anew(tmp_path: Path, rubbish: bytes) -> None:
    """It must not keep a worker from its messages."""
    (tmp_path / "deaths.json").write_bytes(rubbish)

    assert box(tmp_path).deaths("message") == {}


def test_work_goes_on_where_no_file_can_be_had(tmp_path: Path) -> None:
    """A volume that cannot be written to has other guards; here nothing is counted."""
    (tmp_path / "doing").mkdir()

    with box(tmp_path).computing("delivery", 1):
        pass


def test_the_mark_is_there_while_something_is_computed_and_away_while_it_waits(
    tmp_path: Path,
) -> None:
    """So that a kill that meets a waiting message is not counted."""
    found, seen = box(tmp_path), []

    async def turn() -> str:
        seen.append(mark(tmp_path))
        await asyncio.sleep(0)
        seen.append(mark(tmp_path))
        return "done"

    async def run() -> str:
        task = asyncio.ensure_future(_awaited(Watched(found.computing("message", 7), turn())))
        await asyncio.sleep(0)
        assert mark(tmp_path) == (0, 0)
        return await task

    assert asyncio.run(run()) == "done"
    assert seen == [(2, 7), (2, 7)]
    assert mark(tmp_path) == (0, 0)


def test_errors_and_cancellations_pass_through(tmp_path: Path) -> None:
    """The work sees its cancellation, and the caller its error; the mark is away after both."""
    found, told = box(tmp_path), []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append(mark(tmp_path))
            raise

    async def run() -> None:
        task = asyncio.ensure_future(_awaited(Watched(found.computing("message", 7), endless())))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def defect() -> None:
        await asyncio.sleep(0)
        raise KeyError("a defect")

    asyncio.run(run())
    assert told == [(2, 7)]
    with pytest.raises(KeyError):
        asyncio.run(_awaited(Watched(found.computing("message", 8), defect())))
    assert mark(tmp_path) == (0, 0)


async def _awaited(watched: Watched[str] | Watched[None]) -> str | None:
    return await watched
