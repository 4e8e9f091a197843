"""A store file with known content, and what a worker would deliver from a copy with one bit changed.

Used by the fault test of damaged volumes and by nothing else.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intops_runtime.core.messages import (
    Delivery,
    Episode,
    IntakeResult,
    Leased,
    Link,
    NewMessage,
    Settlement,
    State,
)
from intops_runtime.edges.store.base import StoreError
from intops_runtime.edges.store.sqlite import SqliteStore, open_store

BEGAN_AT = 1_000_000.0
MESSAGES = 60
FILES = ("store.sqlite", "store.sqlite-wal")


async def opened(folder: Path, fatal: list[str]) -> SqliteStore:
    """The store of a folder."""
    return await open_store(
        folder / "store.sqlite", now=BEGAN_AT, review_due_s=3600.0, on_fatal=fatal.append,
        allow_volatile=True,
    )  # fmt: skip


async def fill_store(store: SqliteStore) -> dict[int, Any]:
    """Episodes with a link, each with one message more to come; what each message is, was or will be."""
    for number in range(MESSAGES):
        accepted = await store.accept("source", None, {}, b"body %d" % number * 20, BEGAN_AT)
        await store.settle_intake([IntakeResult(accepted.id, (_new(number),))], BEGAN_AT)
    first = await store.lease(BEGAN_AT, MESSAGES)
    for leased in first:
        await store.settle(_linked(leased), BEGAN_AT)
    for number in range(MESSAGES):
        accepted = await store.accept("source", None, {}, b"more %d" % number * 20, BEGAN_AT)
        await store.settle_intake([IntakeResult(accepted.id, (_new(number),))], BEGAN_AT)
    second = await store.lease(BEGAN_AT, MESSAGES)
    assert len(second) == MESSAGES
    return {one.message.id: what_is_delivered(one) for one in (*first, *second)}


def _new(number: int) -> NewMessage:
    record = {"title": f"title {number} " * 10, "severity": "critical"}
    return NewMessage(
        0, f"key-{number}", None, State.WAITING, "mapped", "", "hash", record, {"raw": number}
    )


def _linked(leased: Leased) -> Settlement:
    message = leased.message
    link = Link(
        message.key, "desk", "helpdesk", "ticket", f"{1000 + message.id}", f"#{message.id}",
        None, "7", {"record": {"title": message.id}},
    )  # fmt: skip
    episode = Episode(message.key, "open", 1, BEGAN_AT)
    return Settlement(message.id, State.DONE, "linked", "created", link=link, episode=episode)


def what_is_delivered(leased: Leased) -> Any:
    """Everything of a turn that decides what is sent, and to which record."""
    message = leased.message
    return (message.key, message.record, leased.original, leased.links, leased.episode)


@dataclass(slots=True)
class Found:
    """What came of all copies."""

    fates: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Origin:
    """A folder that is copied, and what there is to be delivered from it."""

    folder: Path
    wanted: dict[int, Any]


async def filled_copy(folder: Path, *, in_order: bool) -> Origin:
    """A store as it is left by a worker that ended in order, or by one that was killed."""
    store = await opened(folder / "live", [])
    wanted = await fill_store(store)
    if in_order:
        await store.close()
        shutil.copytree(folder / "live", folder / "origin")
        return Origin(folder / "origin", wanted)
    shutil.copytree(folder / "live", folder / "origin")
    await store.close()
    return Origin(folder / "origin", wanted)


async def flip(origin: Origin, folder: Path, file: str, count: int, seed: int) -> Found:
    """Flip one bit at a time, anywhere in a file, so many times; stops after a few wrong ones."""
    draw, found = random.Random(seed), Found()
    bits = (origin.folder / file).stat().st_size * 8
    for _ in range(count):
        await try_copy(origin.folder, folder, origin.wanted, file, draw.randrange(bits), found)
        if len(found.wrong) > 3:
            break
    return found


async def try_copy(
    origin: Path, folder: Path, wanted: dict[int, Any], file: str, bit: int, found: Found
) -> None:
    """Flip one bit in a copy, and see what a worker would deliver from it."""
    folder.mkdir(exist_ok=True)
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
        if (origin / name).exists():
            shutil.copyfile(origin / name, folder / name)
    with (folder / file).open("r+b") as handle:
        handle.seek(bit // 8)
        (byte,) = handle.read(1)
        handle.seek(bit // 8)
        handle.write(bytes([byte ^ (1 << bit % 8)]))
    fatal: list[str] = []
    try:
        store = await opened(folder, fatal)
    except StoreError:
        found.fates["refused at the start"] += 1
        return
    try:
        leased = await store.lease(BEGAN_AT, 2 * MESSAGES)
        pending: list[Delivery] = await store.next_intake(100)
    except StoreError:
        found.fates["stopped at the first touch"] += 1
    else:
        told = store.counts(BEGAN_AT)
        for one in leased:
            if wanted.get(one.message.id) != what_is_delivered(one):
                found.wrong.append(f"{file} bit {bit}: message {one.message.id}: {one}")
        if file == FILES[0]:  # of the log, what comes after the damage has not happened
            found.wrong += [f"{file} bit {bit}: pending {d.id}" for d in pending if not d.damaged]
        found.fates["a message is set aside" if told.review else "delivered as it was"] += 1
        if len(leased) + told.review < MESSAGES:
            found.fates["some have not happened"] += 1
    await store.close()
