"""Ruined store files: pages, lengths, logs, and files that are something else."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from intops_runtime.edges.store.base import StoreError
from support.fuzz.stores import FILE, LOG, MAY_BEGIN_EMPTY, RUINS
from support.runtime.flipped_store import (
    BEGAN_AT,
    MESSAGES,
    Origin,
    filled_copy,
    opened,
    what_is_delivered,
)

pytestmark = pytest.mark.fault

EACH = {"short": 25, "full": 500}


async def fate(origin: Origin, folder: Path, words: str) -> tuple[str, list[str]]:
    """What a worker makes of a ruined copy: the fate in a few words, and what would be delivered wrong."""
    fatal: list[str] = []
    before = (folder / FILE).read_bytes()
    try:
        store = await opened(folder, fatal)
    except StoreError as error:
        wrong = [] if str(error).endswith((".", ")")) else [f"{words}: no sentence: {error}"]
        if (folder / FILE).read_bytes() != before:
            wrong.append(f"{words}: the refused file was changed")
        return "refused", wrong
    try:
        leased = await store.lease(BEGAN_AT, 2 * MESSAGES)
    except StoreError:
        return "stopped at the first touch", []
    finally:
        await store.close()
    told = store.counts(BEGAN_AT)
    wrong = [
        f"{words}: message {one.message.id}: {one}"
        for one in leased
        if origin.wanted.get(one.message.id) != what_is_delivered(one)
    ]
    return ("empty" if not told.received else "works"), wrong


@pytest.mark.parametrize("end", ["in order", "killed"])
@pytest.mark.parametrize("ruin", sorted(RUINS))
async def test_f10_a_ruined_store_is_told_or_works_and_never_delivers_wrong_or_begins_anew(
    tmp_path: Path, seed: int, fault_runs: str, ruin: str, end: str
) -> None:
    """Whatever happened to the file or its log, a person is told, or what is delivered is right."""
    draw = random.Random(f"{seed} {ruin} {end}")
    origin = await filled_copy(tmp_path, in_order=end == "in order")
    fates: Counter[str] = Counter()
    wrong: list[str] = []
    for number in range(EACH[fault_runs]):
        folder = tmp_path / f"copy-{number}"
        shutil.copytree(origin.folder, folder)
        if not (folder / LOG).exists():
            (folder / LOG).write_bytes(b"")
        RUINS[ruin](folder, draw)
        found, bad = await fate(origin, folder, f"{ruin}, number {number}")
        fates[found] += 1
        wrong += bad
        shutil.rmtree(folder)

    print(ruin, end, dict(fates))
    assert wrong == []
    assert fates["empty"] == 0 or ruin in MAY_BEGIN_EMPTY
