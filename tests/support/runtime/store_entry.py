"""A process that does nothing but keep deliveries in a store file and says what it has acknowledged.

`python -m support.runtime.store_entry FILE ROUNDS [--without SAFEGUARD]`; prints a line for each
promise: `delivery 3`, `split 3`. Used by fault tests that need a hundred lives where a whole worker is
too slow to start. Ends with 1 and a sentence where the store fails, as the worker does.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

from intops_runtime.core.messages import IntakeResult, NewMessage, State
from intops_runtime.edges.store.base import StoreError
from intops_runtime.edges.store.sqlite import SqliteStore, open_store
from support.runtime.storage_safeguards import STORAGE_SAFEGUARDS

BODY_BYTES = 900
SPLIT_INTO = 3


async def _one_round(store: SqliteStore) -> None:
    """Three deliveries at once, then their messages in one transaction each."""

    async def one() -> None:
        accepted = await store.accept("source", None, {}, b"x" * BODY_BYTES, time.time())
        print("delivery", accepted.id, flush=True)

    await asyncio.gather(*(one() for _ in range(3)))
    for delivery in await store.next_intake(2):
        messages = tuple(
            NewMessage(item, f"k{item}", None, State.WAITING, "m", "", "h", {"n": item}, {})
            for item in range(SPLIT_INTO)
        )
        await store.settle_intake([IntakeResult(delivery.id, messages)], time.time())
        print("split", delivery.id, flush=True)


async def _live(file: Path, rounds: int) -> int:
    fatal: list[str] = []
    try:
        store = await open_store(
            file, now=time.time(), review_due_s=3600.0, on_fatal=fatal.append, allow_volatile=True
        )
    except StoreError as error:
        print(f"not opened: {error}", file=sys.stderr)
        return 1
    try:
        for _ in range(rounds):
            await _one_round(store)
    except StoreError as error:
        print(f"failed: {error}", file=sys.stderr)
    await store.close()
    return 1 if fatal else 0


def run() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("rounds", type=int)
    parser.add_argument("--without", choices=sorted(STORAGE_SAFEGUARDS), default=None)
    given = parser.parse_args()
    if given.without:
        STORAGE_SAFEGUARDS[given.without]()
    return asyncio.run(_live(given.file, given.rounds))


if __name__ == "__main__":
    sys.exit(run())
