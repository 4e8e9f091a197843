"""A queue of keys that never holds one twice and never gives one to two workers at a time.

The feed and the report poller add; reconcile workers take. A failed key comes back by itself,
later each time. People's edits go before fan-out.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 300.0  # a permanent failure costs at most 12 requests an hour and key


class WorkQueue(Generic[K]):
    """De-duplicating queue with per-key exponential back-off."""

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        self._urgent: deque[K] = deque()
        self._patient: deque[K] = deque()
        self._waiting: set[K] = set()
        self._active: set[K] = set()
        self._again: dict[K, bool] = {}
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._filled = asyncio.Event()
        self._draw = draw

    def __len__(self) -> int:
        return len(self._waiting) + len(self._again)

    def add(self, key: K, *, urgent: bool = True) -> None:
        """Ask for one more look at `key`; nothing if it waits already.

        Args:
            key: What to look at.
            urgent: False for fan-out and resync, which wait behind people's edits.
        """
        if key in self._active:
            self._again[key] = urgent or self._again.get(key, False)
            return
        if key in self._waiting:
            return
        self._waiting.add(key)
        (self._urgent if urgent else self._patient).append(key)
        self._filled.set()

    def add_later(self, key: K, delay_s: float) -> None:
        """Ask for a look after a while; an earlier look that is planned already stays."""
        loop = asyncio.get_running_loop()
        planned = self._timers.get(key)
        if planned is not None:
            if planned.when() <= loop.time() + delay_s:
                return
            planned.cancel()
        self._timers[key] = loop.call_later(delay_s, self._due, key)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key, urgent=False)

    async def take(self) -> K:
        """The next key, when there is one. The taker must call `done`."""
        while not self._urgent and not self._patient:
            self._filled.clear()
            await self._filled.wait()
        key = (self._urgent or self._patient).popleft()
        self._waiting.discard(key)
        self._active.add(key)
        return key

    def done(self, key: K, *, failed: bool = False) -> None:
        """Give a key back; a failed one is looked at again, later each time."""
        self._active.discard(key)
        if failed:
            tries = self._failures[key] = self._failures.get(key, 0) + 1
            delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(tries - 1, 16))
            self.add_later(key, delay_s * (0.5 + self._draw() / 2))
        else:
            self._failures.pop(key, None)
        if key in self._again:
            self.add(key, urgent=self._again.pop(key))

    def clear(self) -> None:
        """Forget everything that waits, for a replica that no longer leads."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._urgent.clear()
        self._patient.clear()
        self._waiting.clear()
        self._again.clear()
        self._failures.clear()
