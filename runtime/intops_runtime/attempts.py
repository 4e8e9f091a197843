"""Attempts: an intent is stored before each write and its outcome after, so that nothing is repeated blindly.

Used by the lane. What is known of an attempt without an outcome is kept here, for as long as this process lives.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from intops_runtime.core import keys
from intops_runtime.core.classifying import Failure
from intops_runtime.core.exchanges import Facts
from intops_runtime.core.failpoints import reach
from intops_runtime.core.messages import Attempt, Leased, Message
from intops_runtime.core.requests import CompiledOperation
from intops_runtime.edges.store.base import Store
from intops_runtime.target import Answer, Target


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts of one plan. `opened_at` is when this process opened the store (monotonic seconds)."""

    store: Store
    plan_hash: str
    opened_at: float
    ended_unknown: dict[int, float]
    """Attempt id → since when nothing more can come of it (monotonic seconds); attempts of this process only."""

    async def intend(self, leased: Leased, target: Target, step: str) -> int:
        message = leased.message
        attempt_id = await self.store.intend(
            message.id,
            step,
            target.name,
            self.idempotency_key(message, step),
            self.plan_hash,
            time.time(),
        )
        reach("K14")
        return attempt_id

    async def write(
        self,
        attempt_id: int,
        message: Message,
        target: Target,
        operation: CompiledOperation,
        facts: Facts,
        headers: Mapping[str, str],
    ) -> Answer | Failure:
        """Send the request of an attempt. However it ends, from then on nothing more can come of it."""
        try:
            return await target.call(
                operation, facts, headers=headers, before=self._still_ours(message)
            )
        finally:
            self.ended_unknown[attempt_id] = time.monotonic()

    async def close(self, attempt_id: int, outcome: str, evidence: dict[str, Any]) -> None:
        await self.store.close_attempt(attempt_id, outcome, evidence, time.time())
        self.ended_unknown.pop(attempt_id, None)

    def ended_for_s(self, leased: Leased, attempt: Attempt) -> float:
        """For how long nothing more can have come of an attempt: it was given up, or its process lost the lane.

        By the steady clock: a wall clock that is put forward must not end a look-up before its time.
        """
        now, ended = time.monotonic(), self.ended_unknown.get(attempt.id)
        if ended is not None:
            return now - ended
        open_s = now - self.opened_at
        return min(open_s, time.time() - leased.since) if leased.since else open_s

    def idempotency_key(self, message: Message, step: str) -> str:
        return keys.idempotency_key(self.store.store_id, message.id, message.received_at, step)

    def _still_ours(self, message: Message) -> Callable[[], None]:
        """To be called at the last moment before a write: it must not be sent once the lane is lost."""
        return lambda: self.store.check(message.id)
