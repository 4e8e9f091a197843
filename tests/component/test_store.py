"""The embedded store: what it refuses to open, and that its counts are its rows."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from intops_runtime.core.messages import IntakeResult, Link, NewMessage, Settlement, State
from intops_runtime.edges.store.base import (
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreTooNew,
)
from intops_runtime.edges.store.schema import APPLICATION_ID, STEPS, VERSION
from intops_runtime.edges.store.sqlite import SqliteStore, open_store
from intops_runtime.edges.store.tally import LOOK_EVERY_S
from support.runtime.volumes import fill_but, memory_volume

pytestmark = pytest.mark.component


async def opened(path: Path, *, allow_volatile: bool = True) -> SqliteStore:
    """A store at a path."""
    return await open_store(
        path,
        now=time.time(),
        review_due_s=3600,
        on_fatal=lambda words: None,
        allow_volatile=allow_volatile,
    )


def message(key: str, dedup: str | None = None, state: State = State.WAITING) -> NewMessage:
    """One message as intake makes it."""
    return NewMessage(0, key, dedup, state, "mapped", "", "hash", {"title": key}, {"a": 1})


async def put(store: SqliteStore, *messages: NewMessage) -> None:
    """One delivery with these messages, split."""
    accepted = await store.accept("source", None, {}, b"{}", time.time())
    await store.settle_intake([IntakeResult(accepted.id, messages)], time.time())


async def test_a_second_worker_cannot_open_the_same_file(tmp_path: Path) -> None:
    """Two writers would deliver everything twice."""
    store = await opened(tmp_path / "s" / "store.sqlite")
    with pytest.raises(StoreBusy, match="another worker has this store open"):
        await opened(tmp_path / "s" / "store.sqlite")
    await store.close()


async def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """Nothing is repaired or deleted behind anybody's back."""
    path = tmp_path / "store.sqlite"
    store = await opened(path)
    for number in range(200):
        await put(store, message(f"k{number}"))
    await store.close()
    data = bytearray(path.read_bytes())
    data[4096:8192] = b"\x5a" * 4096
    path.write_bytes(bytes(data))

    with pytest.raises(StoreCorrupt, match=r"the store is damaged.*restore a backup"):
        await opened(path)
    assert path.read_bytes() == bytes(data)


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """An old worker must not write what it does not understand."""
    path = tmp_path / "store.sqlite"
    await (await opened(path)).close()
    db = apsw.Connection(str(path))
    db.execute(f"PRAGMA user_version={VERSION + 1}")
    db.close()

    with pytest.raises(StoreTooNew, match="a newer intops wrote this file"):
        await opened(path)


async def test_links_of_the_version_before_are_found_and_changed_in_their_place(
    tmp_path: Path,
) -> None:
    """An upgrade forgets no record: an update goes to the one that was made before it."""
    path = tmp_path / "store.sqlite"
    db = apsw.Connection(str(path))
    db.execute("PRAGMA journal_mode=wal")
    for step in STEPS[:2]:
        db.execute(step)
    db.create_scalar_function("intops_fingerprint", lambda *_: "", 4, deterministic=True)
    for step in STEPS[2:5]:
        db.execute(step)
    db.execute(f"PRAGMA application_id={APPLICATION_ID}")
    db.execute("PRAGMA user_version=5")
    for key, name in (("a", "#7"), ("b", None)):
        db.execute(
            "INSERT INTO links VALUES(?, 'desk', 'helpdesk', 'ticket', '7', ?, NULL, 'v1', '{}', NULL)",
            (key, name),
        )
        db.execute("INSERT INTO episodes VALUES(?, 'open', 1, 0.0, '{}', NULL)", (key,))
    db.close()

    store = await opened(path)
    await put(store, message("a"))
    (leased,) = await store.lease(time.time(), 10)
    assert leased.links == (Link("a", "desk", "helpdesk", "ticket", "7", "#7", None, "v1", {}),)
    changed = Link("a", "desk", "helpdesk", "ticket", "8", None, None, "v2", {"incident": {}})
    await store.settle(
        Settlement(leased.message.id, State.DONE, "act", "updated", link=changed), time.time()
    )
    await put(store, message("a"))
    (again,) = await store.lease(time.time(), 10)
    assert again.links == (changed,)
    by_name = await store.trace("7")
    assert by_name is not None
    assert [link["key"] for link in by_name["links"]] == ["b"]
    await store.close()


async def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    """A wrong data directory is told rather than filled."""
    path = tmp_path / "store.sqlite"
    db = apsw.Connection(str(path))
    db.execute("PRAGMA user_version=1")
    db.execute("CREATE TABLE theirs(x)")
    db.close()

    with pytest.raises(StoreError, match="of another program"):
        await opened(path)


async def test_a_store_that_has_become_empty_is_told_and_not_begun_anew(tmp_path: Path) -> None:
    """The file was cut to nothing while nobody worked with it; moved away, an empty one is begun."""
    path = tmp_path / "store.sqlite"
    await (await opened(path)).close()
    path.write_bytes(b"")

    with pytest.raises(StoreError, match="the store is damaged"):
        await opened(path)
    assert path.read_bytes() == b""
    path.unlink()
    await (await opened(path)).close()


async def test_a_log_without_its_store_is_told_and_kept(tmp_path: Path) -> None:
    """SQLite would begin an empty store and throw the log away."""
    path, log = tmp_path / "store.sqlite", tmp_path / "store.sqlite-wal"
    log.write_bytes(b"what was acknowledged")

    with pytest.raises(StoreError, match="the store is damaged"):
        await opened(path)
    assert log.read_bytes() == b"what was acknowledged"


async def test_a_volatile_file_system_is_refused(tmp_path: Path) -> None:
    """What is empty after a restart cannot keep a promise."""
    shared = Path("/dev/shm") / f"intops-test-{random.randrange(10**9)}"
    with pytest.raises(StoreError, match="tmpfs is empty after a restart"):
        await opened(shared / "store.sqlite", allow_volatile=False)
    shared.rmdir()


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MiB of its own."""
    if os.geteuid() != 0:
        pytest.skip("Mounting a small volume takes root.")
    place = tmp_path / "volume"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_how_full_a_volume_is_follows_what_is_kept_and_what_else_lies_there(
    small_volume: Path,
) -> None:
    """Of the room that messages may take: the reserve is none of it, and neither is what others have taken."""
    store = await opened(small_volume / "store.sqlite")
    await put(store, message("few"))
    few = store.counts(time.time()).fill
    for number in range(10):
        await store.accept("source", str(number), {}, b"x" * (1024 * 1024), time.time())
    looked = time.monotonic() + LOOK_EVERY_S
    while time.monotonic() < looked:  # what is kept is not looked at for every delivery
        await store.lease(time.time(), 1)
    many = store.counts(time.time()).fill
    (small_volume / "ballast").write_bytes(b"x" * (8 * 1024 * 1024))
    beside = store.counts(time.time()).fill
    await store.close()

    assert few is not None
    assert many is not None
    assert beside is not None
    assert few < 0.2 < many < beside < 1.0


async def test_a_full_volume_is_told_before_it_is_full_and_heals_by_itself(
    small_volume: Path,
) -> None:
    """New deliveries are refused while there is room to settle what is stored; no restart is needed."""
    store = await opened(small_volume / "store.sqlite")
    await put(store, message("before"))
    ballast = small_volume / "ballast"
    ballast.write_bytes(b"x" * (30 * 1024 * 1024))

    assert store.counts(time.time()).full  # which looks at the volume, as the second after would
    with pytest.raises(StoreFull, match="give the volume more room"):
        await store.accept("source", None, {}, b"{}", time.time())
    (leased,) = await store.lease(time.time(), 1)
    await store.settle(Settlement(leased.message.id, State.DONE, "linked", "created"), time.time())

    ballast.unlink()
    await put(store, message("after"))
    told = store.counts(time.time())
    assert (told.full, told.done, told.waiting, told.imbalance) == (False, 1, 1, 0)
    await store.close()


MONTHS_AGO_S = 100 * 86400.0


async def full_of_old(volume: Path, mark: bytes) -> SqliteStore:
    """A store whose volume has no room for deliveries any more; all that it holds ended long ago."""
    path = volume / "s" / "store.sqlite"
    store = await opened(path)
    while not store.counts(time.time()).full:
        accepted = await store.accept("source", None, {}, mark * 200_000, time.time())
        await store.settle_intake([IntakeResult(accepted.id, ())], time.time())
    await store.close()
    db = apsw.Connection(str(path))
    db.execute("UPDATE deliveries SET at = at - ?", (MONTHS_AGO_S,))
    db.close()
    return await opened(path)


@pytest.mark.parametrize("free_mib", [12, 3, 1])
async def test_a_volume_that_large_old_deliveries_have_filled_becomes_free_again(
    tmp_path: Path, free_mib: int
) -> None:
    """What is deleted is overwritten through the log, so pruning itself takes room: never more than there is."""
    mark = b"somebody's own words"
    with memory_volume(tmp_path / "volume", mib=96):
        store = await full_of_old(tmp_path / "volume", mark)
        ballast = fill_but(tmp_path / "volume", mib=free_mib)
        before = await store.recount()
        # As often as an idle worker does in as many seconds.
        for _ in range(before["deliveries.split"]):
            await store.prune(time.time())
        left = await store.recount()
        assert not store.counts(time.time()).full
        await store.accept("source", None, {}, b"{}", time.time())
        ballast.unlink()
        content = store.path.read_bytes()
        await store.close()
    assert before["deliveries.split"] > 10
    assert left["deliveries.split"] == 1, "the newest stays whatever its age"
    assert content.count(mark) <= 200_000, "what is forgotten is not to be read in the file"
