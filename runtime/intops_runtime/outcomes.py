"""What became of one delivery: for senders that wait for it, and for those who ask later.

Used by the plan runner and by capture. Answers carry numbers of records and reasons, never payloads.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from intops_runtime.core.messages import State
from intops_runtime.edges.store.base import Store
from intops_runtime.edges.store.queries import MAX_LIST, Filter

# Another replica may settle the message; then nobody here is told.
LOOK_EVERY_S: Final = 0.5
_ENDED: Final = frozenset({State.DONE.value, State.DROPPED.value, State.DISCARDED.value})


class Outcomes:
    """Looks up deliveries of one plan and lets senders wait for them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: defaultdict[int, set[asyncio.Event]] = defaultdict(set)

    def moved(self, delivery: int) -> None:
        """Something has happened to a delivery."""
        for event in self._waiting.get(delivery, ()):
            event.set()

    async def of(self, source: str, delivery: int) -> dict[str, Any] | None:
        """What is known of a delivery; None if the source has none of this number.

        `state` is ended (nothing more will happen), review (a person decides) or waiting.
        """
        split = await self._store.delivery_state(source, delivery)
        if split is None:
            return None
        rows = await self._store.messages(Filter(delivery=delivery, limit=MAX_LIST), time.time())
        states = {row["state"] for row in rows}
        if split == "pending" or not states <= _ENDED | {State.REVIEW.value}:
            state = "waiting"
        else:
            state = "review" if State.REVIEW.value in states else "ended"
        return {"delivery": delivery, "state": state, "messages": [_shown(r) for r in rows[::-1]]}

    async def split(self, source: str, delivery: int, within_s: float) -> list[dict[str, Any]]:
        """The messages of a delivery, once it is split or the time is up; then those that are known."""
        until = time.monotonic() + within_s
        while await self._store.delivery_state(source, delivery) == "pending":
            if time.monotonic() >= until:
                break
            await asyncio.sleep(LOOK_EVERY_S)
        return await self._store.messages(Filter(delivery=delivery, limit=MAX_LIST), time.time())

    async def wait(self, source: str, delivery: int, within_s: float) -> dict[str, Any] | None:
        """As `of`, but not before it is settled or the time is up."""
        event = asyncio.Event()
        self._waiting[delivery].add(event)
        until = time.monotonic() + within_s
        try:
            while True:
                found = await self.of(source, delivery)
                left_s = until - time.monotonic()
                if found is None or found["state"] != "waiting" or left_s <= 0:
                    return found
                try:
                    async with asyncio.timeout(min(left_s, LOOK_EVERY_S)):
                        await event.wait()
                except TimeoutError:
                    pass
                event.clear()
        finally:
            self._waiting[delivery].discard(event)
            if not self._waiting[delivery]:
                del self._waiting[delivery]


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a sender learns of one message: no payload, and no words of the target."""
    names = ("id", "state", "reason", "record", "errorClass")
    return {name: row[name] for name in names if row[name]}
