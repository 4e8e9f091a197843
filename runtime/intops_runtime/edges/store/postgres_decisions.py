"""What people decide about a Flow in PostgreSQL, and its audit. Part of `postgres.PostgresStore`.

See `base.Decisions` for what it does. What is done in SQL stands in `postgres_reviews` and `postgres_chain`;
here times are moved between our clock and the server's, and the chain is kept up to date.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from intops_runtime.core.auditing import Entry, Row
from intops_runtime.core.decisions import (
    Answer,
    Applied,
    Decision,
    Resolution,
    ReviewGroup,
    ReviewItem,
)
from intops_runtime.edges.store import postgres_chain, postgres_reviews
from intops_runtime.edges.store.base import StoreError
from intops_runtime.edges.store.postgres_lanes import Tenancy, lane_of
from intops_runtime.edges.store.postgres_reviews import Begun, End, Noticed, Part
from intops_runtime.edges.store.postgres_server import Connection, Server
from intops_runtime.edges.store.postgres_writer import Writer
from intops_runtime.edges.store.reviews import Wanted

log = logging.getLogger("intops.store")

SEAL_EVERY_S: Final = 1.0
"""How long an entry stays beside the chain, about; until then only its own hash guards it."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ground:
    """What a store lends. `flow` raises StoreAway until the store is open; `skew_s` is how far the
    server's clock is ahead; `is_valid` says whether the lease surely holds."""

    server: Server
    flow: Callable[[], int]
    tenancy: Callable[[], Tenancy]
    skew_s: Callable[[], float]
    is_valid: Callable[[], bool]


class PostgresDecisions:
    """See `base.Decisions`."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        # A decision may wait for another replica's; what is delivered waits for neither.
        self._writer = Writer(
            ground.server, ground.flow, lambda: f"{ground.tenancy().owner}/decisions"
        )
        self._stopping = asyncio.Event()
        self._sealer = asyncio.create_task(self._keep_sealed(), name="intops-store-audit")

    async def _keep_sealed(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                pause_s = SEAL_EVERY_S * random.uniform(0.8, 1.2)
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            try:
                await self.seal(wait=False)
            except StoreError:
                continue  # the store's own signs of life tell of it
            except Exception as error:
                log.error("the audit chain cannot be continued", exc_info=error)

    async def seal(self, *, wait: bool = True) -> None:
        """Hang on the chain what waits beside it; with `wait` also when another replica is at it."""
        await postgres_chain.seal_all(self._ground.server, self._ground.flow(), wait=wait)

    async def stop(self) -> None:
        """Finish what is being decided, seal once more, then no more."""
        await self._writer.close()
        self._stopping.set()
        await asyncio.gather(self._sealer, return_exceptions=True)

    def _there(self, at: float) -> float:
        return at + self._ground.skew_s()

    async def _ask(self, work: Callable[[Connection, int, float], Awaitable[T]]) -> T:
        flow, skew_s = self._ground.flow(), self._ground.skew_s()
        return await self._ground.server.ask(lambda db: work(db, flow, skew_s))

    async def _write(self, work: Any, given: Any, points: Any = None) -> Any:
        self._ground.flow()
        return await self._writer.run(work, given, points)

    async def review_groups(self, limit: int) -> list[ReviewGroup]:
        """See `base.Decisions`."""
        return await self._ask(lambda db, flow, by: postgres_reviews.groups(db, flow, limit, by))

    async def review_items(self, wanted: Wanted) -> list[ReviewItem]:
        """See `base.Decisions`."""
        return await self._ask(lambda db, flow, by: postgres_reviews.items(db, flow, wanted, by))

    def _begun(self, decision_id: str, now: float) -> Begun:
        return Begun(decision_id, self._ground.tenancy().owner, self._there(now))

    async def begin_decision(self, decision_id: str, now: float) -> tuple[float, Answer | None]:
        """See `base.Decisions`."""
        begun = self._begun(decision_id, now)
        at, answer = await self._write(postgres_reviews.begin, begun)
        return at - self._ground.skew_s(), answer

    async def decide(
        self, decision: Decision, resolutions: Sequence[Resolution], now: float
    ) -> Applied:
        """See `base.Decisions`."""
        part = Part(self._begun(decision.id, now), decision, list(resolutions))
        applied: Applied = await self._write(postgres_reviews.apply, part, ("", "D01", "D02"))
        skew_s = self._ground.skew_s()
        return Applied(applied.messages, {n: at - skew_s for n, at in applied.reopened.items()})

    async def end_decision(self, decision: Decision, answer: Answer, now: float) -> Answer:
        """See `base.Decisions`."""
        last = End(self._begun(decision.id, now), decision, answer)
        found: Answer = await self._write(postgres_reviews.end, last)
        return found

    def tells(self, channel: str) -> bool:
        """See `base.Decisions`. Whoever holds the lane of the channel's name."""
        return self._ground.is_valid() and lane_of(channel) in self._ground.tenancy().lanes

    async def notices(self) -> dict[tuple[str, str], float]:
        """See `base.Decisions`."""

        async def read(db: Connection, flow: int, skew_s: float) -> dict[tuple[str, str], float]:
            rows = await db.fetch(postgres_reviews.NOTICES, flow)
            return {(kind, fingerprint): at - skew_s for kind, fingerprint, at in rows}

        return await self._ask(read)

    async def note_notice(self, kind: str, fingerprint: str, entry: Entry, now: float) -> None:
        """See `base.Decisions`. Not fenced: whoever has told people, has."""
        noticed = Noticed(kind, fingerprint, entry, self._there(now))
        await self._write(postgres_reviews.note_notices, noticed)

    async def audit(self, entry: Entry, now: float) -> None:
        """See `base.Decisions`."""
        await self._write(postgres_reviews.note, (entry, self._there(now)))

    async def audit_page(self, after: int, limit: int) -> list[Row]:
        """See `base.Decisions`."""
        await self.seal()
        return await self._ask(lambda db, flow, _: postgres_chain.page(db, flow, after, limit))

    async def erase(self, key: str, entry: Entry, now: float) -> int:
        """See `base.Decisions`."""
        await self.seal()
        flow, at = self._ground.flow(), self._there(now)
        erased = 0
        after: int | None = 0
        while after is not None:
            since = after

            async def some(db: Connection) -> tuple[int, int | None]:
                return await postgres_chain.erase(db, flow, key, entry, after=since, now=at)  # noqa: B023

            found, after = await self._ground.server.transact(some)
            erased += found
        return erased
