"""The shared store: one Flow in a PostgreSQL database that any number of replicas work on.

`PostgresStore` is made by the worker for each plan that names a Secret; see `base.Store` for what it does.
It opens itself, and again after every outage: until then it refuses with a sentence, and capture answers 503.
What is done in SQL stands in the modules `postgres_*`; here is only the interface, method by method.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from intops_api.report import StoreReport
from intops_runtime.core.messages import Accepted, Delivery, IntakeResult, Leased, Settlement
from intops_runtime.edges.store import (
    postgres_completions,
    postgres_deliveries,
    postgres_leasing,
    postgres_pruning,
    postgres_queries,
    postgres_settling,
)
from intops_runtime.edges.store.base import Decisions, Fenced, StoreAway, StoreError
from intops_runtime.edges.store.postgres_decisions import Ground, PostgresDecisions
from intops_runtime.edges.store.postgres_lanes import (
    BEAT_S,
    LEASE_S,
    Beat,
    Pulse,
    Tenancy,
    beat,
    leave,
)
from intops_runtime.edges.store.postgres_leasing import Hurry, Wanted, moved_in_time
from intops_runtime.edges.store.postgres_reporting import shared_report, tell_change
from intops_runtime.edges.store.postgres_schema import VERSION, FlowRow, prepare
from intops_runtime.edges.store.postgres_server import Connection, Server
from intops_runtime.edges.store.postgres_settings import weakness
from intops_runtime.edges.store.postgres_settling import Ended, EndedAttempt, Intent, Lease
from intops_runtime.edges.store.postgres_writer import Writer
from intops_runtime.edges.store.queries import Filter

log = logging.getLogger("intops.store")

# A request that is begun so long before the lease may run out is surely sent before it does.
MARGIN_S: Final = 1.0
ALONE_POLL_S: Final = 1.0
SHARED_POLL_S: Final = 0.2
_LATE: Final = (
    "The lease of this message's lane may have run out, so nothing is sent for it from here."
)


class PostgresStore:
    """See `base.Store`. `name` is the replica's, for people."""

    def __init__(
        self,
        server: Server,
        *,
        namespace: str,
        flow: str,
        name: str,
        review_due_s: float,
        on_close: Callable[[], Awaitable[None]],
    ) -> None:
        self.store_id = ""
        self.known_since = 0.0
        self.poll_s = ALONE_POLL_S
        self.pause_s = 0.0  # the server's room is not ours to know
        self.takings = 0
        self.fenced = 0
        """Late writes that were refused since this process started."""
        self._server = server
        self._flow_name = (namespace, flow)
        self._name = name
        self._review_due_s = review_due_s
        self._on_close = on_close
        self._row: FlowRow | None = None
        self._refusal: str | None = "The store has not been opened yet."
        """What people are told: why the last sign of life failed."""
        self._blocked: str | None = self._refusal
        """Why nothing may be read or written, whether or not the server answers."""
        self._tenancy = Tenancy("")
        self._pulse: Pulse | None = None
        self._skew_s = 0.0
        self._valid_until = 0.0
        self._beating = asyncio.Lock()
        self._busy: dict[int, Lease] = {}
        self._attempts: dict[int, int] = {}
        """Which message an attempt is of, while that message runs here."""
        self._intake_tenancy = self._tenancy
        self._capture = Writer(server, self._number, lambda: f"{self._tenancy.owner}/capture")
        self._keyed = Writer(server, self._number, lambda: f"{self._tenancy.owner}/lanes")
        self._decisions = PostgresDecisions(
            Ground(
                server, self._open_number, lambda: self._tenancy,
                lambda: self._skew_s, lambda: time.monotonic() < self._valid_until,
            )
        )  # fmt: skip
        self.decisions: Decisions = self._decisions
        self._keeper = asyncio.create_task(self._keep(), name=f"{namespace}/{flow}:store")

    @property
    def lanes(self) -> frozenset[int]:
        """Lanes that are held here, as of the last sign of life."""
        return frozenset(self._tenancy.lanes)

    # Signs of life

    async def _keep(self) -> None:
        """Open the store, and show for as long as it is open that this replica lives."""
        while True:
            await self.refresh()
            await asyncio.sleep(BEAT_S * random.uniform(0.8, 1.0))

    async def refresh(self) -> None:
        """Give one sign of life now, and learn what the store holds."""
        async with self._beating:
            await self._refresh()

    async def _refresh(self) -> None:
        before = self._refusal
        try:
            if self._row is None:
                await self._open()
            began, wall = time.monotonic(), time.time()
            await self._keyed.run(
                beat,
                Beat(self._name, self._tenancy, self._busy_lanes),
                after=lambda pulse: self._learn(pulse, began, wall),
            )
        except StoreError as error:
            self._refusal = str(error)
            if self._row is None:
                self._blocked = self._refusal
        except Exception as error:
            self._refusal = f"{self._server.place}: {type(error).__name__}; see the worker's log."
            log.error("the store failed", exc_info=error, extra={"data": self._named()})
        if self._refusal != before:
            self._tell()

    def _busy_lanes(self) -> set[int]:
        return {lease.lane for lease in self._busy.values()}

    async def _open(self) -> None:
        row = await prepare(self._server, *self._flow_name)
        self.store_id, self._row = row.store_id, row
        # Its own clock says how far ours is off; until then no time of the store is used.
        self.known_since = row.known_since

    def _learn(self, pulse: Pulse, began: float, wall: float) -> None:
        """Take over what a sign of life has brought; `began` and `wall` are when it was sent."""
        first = self._pulse is None
        self._skew_s = pulse.now - (wall + (time.monotonic() - began))
        if first and self._row is not None:
            self.known_since = self._row.known_since - self._skew_s
        self._pulse = pulse
        self._valid_until = began + LEASE_S - MARGIN_S
        self.takings += tell_change(self._tenancy, pulse, self._named())
        if pulse.tenancy != self._tenancy:
            self._tenancy = pulse.tenancy
        self.poll_s = SHARED_POLL_S if pulse.replicas > 1 else ALONE_POLL_S
        words = weakness(pulse.offered)
        if pulse.schema > VERSION:
            self._row = None  # opening it again says why not, until the older version is back
            words = (
                f"a newer intops has migrated it (schema {pulse.schema}); use that version again."
            )
        self._refusal = self._blocked = f"{self._server.place}: {words}" if words else None

    def _tell(self) -> None:
        if self._refusal is None:
            log.info("the store is open", extra={"data": self._named()})
        else:
            log.error(
                "the store cannot be used", extra={"data": {**self._named(), "why": self._refusal}}
            )

    def _named(self) -> dict[str, Any]:
        return {"flow": "/".join(self._flow_name), "replica": self._name}

    def _number(self) -> int:
        if self._row is None:
            raise StoreAway(self._refusal or "The store has not been opened yet.")
        return self._row.flow

    def _open_number(self) -> int:
        self._see_open()
        return self._number()

    def _there(self, at: float) -> float:
        """A time of ours as the server counts it."""
        return at + self._skew_s

    def _see_open(self) -> None:
        if self._blocked is not None:
            raise StoreAway(self._blocked)

    async def _ask(self, work: Callable[[Connection], Any]) -> Any:
        self._see_open()
        return await self._server.ask(work)

    # Capture and intake

    async def accept(
        self, source: str, delivery_id: str | None, headers: dict[str, str], body: bytes, at: float
    ) -> Accepted:
        """See `base.Store`."""
        self._see_open()
        arrival = postgres_deliveries.Arrival(source, delivery_id, headers, body, self._there(at))
        accepted: Accepted = await self._capture.run(
            postgres_deliveries.insert, arrival, ("K06", "K08", "K09")
        )
        return accepted

    async def next_intake(self, limit: int) -> list[Delivery]:
        """See `base.Store`. Only of sources whose lane is ours."""
        self._see_open()
        flow, lanes = self._number(), sorted(self._tenancy.lanes)
        self._intake_tenancy = self._tenancy
        found: list[Delivery] = await self._server.ask(
            lambda db: postgres_deliveries.pending(db, flow, lanes, limit)
        )
        return [replace(delivery, at=delivery.at - self._skew_s) for delivery in found]

    async def settle_intake(self, results: list[IntakeResult], now: float) -> None:
        """See `base.Store`."""
        at = self._there(now)
        intake = postgres_deliveries.Intake(
            results, self._intake_tenancy, at, at + self._review_due_s
        )
        await self._write(postgres_deliveries.settle_intake, intake)

    # Lanes

    async def lease(self, now: float, limit: int) -> list[Leased]:
        """See `base.Store`. Only of lanes that are ours."""
        self._see_open()
        at = self._there(now)
        keys = {lease.key for lease in self._busy.values()}
        wanted = Wanted(self._tenancy, list(self._busy), keys, at, limit, at + self._review_due_s)
        found: postgres_leasing.Found = await self._keyed.run(
            postgres_leasing.due, wanted, after=self._take
        )
        return [moved_in_time(leased, -self._skew_s) for leased, _ in found]

    def _take(self, found: postgres_leasing.Found) -> None:
        for leased, lease in found:
            self._busy[leased.message.id] = lease
            if leased.open_attempt is not None:
                self._attempts[leased.open_attempt.id] = leased.message.id

    def _lease_of(self, message_id: int) -> Lease:
        lease = self._busy.get(message_id)
        if lease is None:
            raise Fenced(_LATE)
        return lease

    async def intend(
        self,
        message_id: int,
        step: str,
        binding: str,
        idem_key: str,
        plan_hash: str,
        now: float,
    ) -> int:
        """See `base.Store`."""
        intent = Intent(
            self._lease_of(message_id), message_id, step, binding, idem_key, plan_hash,
            self._there(now),
        )  # fmt: skip
        number: int = await self._write(postgres_settling.intend, intent)
        self._attempts[number] = message_id
        return number

    async def close_attempt(
        self, attempt_id: int, outcome: str, evidence: dict[str, Any], now: float
    ) -> None:
        """See `base.Store`."""
        lease = self._lease_of(self._attempts.get(attempt_id, 0))
        ended = EndedAttempt(lease, attempt_id, outcome, evidence, self._there(now))
        await self._write(postgres_settling.end_attempts, ended)

    async def settle(self, settlement: Settlement, now: float) -> None:
        """See `base.Store`."""
        at = self._there(now)
        episode = settlement.episode
        moved = replace(
            settlement,
            due_at=self._there(settlement.due_at),
            episode=episode and replace(episode, changed_at=self._there(episode.changed_at)),
        )
        lease = self._lease_of(settlement.message_id)
        ended = Ended(lease, moved, at, at + self._review_due_s)
        await self._write(postgres_settling.settle, ended, ("", "K20", "K21"))
        self.release(settlement.message_id)

    async def _write(self, work: Any, given: Any, points: Any = None) -> Any:
        """A write to a lane; a refused one is counted and told."""
        try:
            return await self._keyed.run(work, given, points)
        except Fenced as error:
            self.fenced += 1
            log.warning(
                "a late write was refused", extra={"data": {**self._named(), "why": str(error)}}
            )
            raise

    def check(self, message_id: int) -> None:
        """See `base.Store`."""
        lease = self._lease_of(message_id)
        now = self._tenancy
        held = now.lanes.get(lease.lane)
        same = (
            held is not None
            and lease.tenancy.owner == now.owner
            and lease.tenancy.lanes[lease.lane].generation == held.generation
        )
        if not same or time.monotonic() > self._valid_until:
            self.fenced += 1
            log.warning(
                "a late request was not sent",
                extra={"data": {**self._named(), "message": message_id}},
            )
            raise Fenced(_LATE)

    def release(self, message_id: int) -> None:
        """See `base.Store`."""
        if self._busy.pop(message_id, None) is not None:
            self._attempts = {a: m for a, m in self._attempts.items() if m != message_id}

    async def unhold(self, binding: str, now: float, limit: int) -> int:
        """See `base.Store`."""
        self._see_open()
        hurry = Hurry(self._tenancy, binding, self._there(now), limit)
        count: int = await self._keyed.run(postgres_leasing.unhold, hurry)
        return count

    async def hasten(self, binding: str, now: float) -> None:
        """See `base.Store`."""
        self._see_open()
        hurry = Hurry(self._tenancy, binding, self._there(now))
        await self._keyed.run(postgres_leasing.hasten, hurry)

    async def complete(self, binding: str, now: float, limit: int) -> int:
        """See `base.Store`."""
        self._see_open()
        hurry = Hurry(self._tenancy, binding, self._there(now), limit)
        count: int = await self._keyed.run(postgres_completions.take_up, hurry)
        return count

    async def incomplete(self) -> dict[str, int]:
        """See `base.Store`."""
        flow = self._number()
        rows = await self._ask(lambda db: db.fetch(postgres_completions.HOW_MANY, flow))
        return {row["held_for"]: row["n"] for row in rows}

    async def held_bindings(self) -> list[str]:
        """See `base.Store`."""
        flow, lanes = self._number(), sorted(self._tenancy.lanes)
        rows = await self._ask(lambda db: db.fetch(postgres_leasing.HELD_BINDINGS, flow, lanes))
        return [row["held_for"] for row in rows]

    async def next_due(self) -> float | None:
        """See `base.Store`."""
        flow, lanes, busy = self._number(), sorted(self._tenancy.lanes), list(self._busy)
        at = await self._ask(lambda db: db.fetchval(postgres_leasing.NEXT_DUE, flow, lanes, busy))
        return None if at is None else at - self._skew_s

    # People

    async def messages(self, wanted: Filter, now: float) -> list[dict[str, Any]]:
        """See `base.Store`."""
        flow, at = self._number(), self._there(now)
        found: list[dict[str, Any]] = await self._ask(
            lambda db: postgres_queries.messages(db, flow, wanted, at)
        )
        return found

    async def deliveries(self, since: float, below: int | None, limit: int) -> list[Delivery]:
        """See `base.Store`."""
        flow, at = self._number(), self._there(since)
        found: list[Delivery] = await self._ask(
            lambda db: postgres_deliveries.stored(db, flow, at, below, limit)
        )
        return found

    async def delivery_state(self, source: str, number: int) -> str | None:
        """See `base.Store`."""
        flow = self._number()
        found: str | None = await self._ask(
            lambda db: postgres_queries.delivery_state(db, flow, source, number)
        )
        return found

    async def message(self, number: int) -> dict[str, Any] | None:
        """See `base.Store`."""
        flow = self._number()
        found: dict[str, Any] | None = await self._ask(
            lambda db: postgres_queries.message(db, flow, number)
        )
        return found

    async def trace(self, text: str) -> dict[str, Any] | None:
        """See `base.Store`."""
        flow, name = self._number(), text.lstrip("#")
        found: dict[str, Any] | None = await self._ask(
            lambda db: postgres_queries.trace(db, flow, name)
        )
        return found

    async def recount(self) -> dict[str, int]:
        """Messages and deliveries by state, counted from the rows: what `counts` must agree with."""
        flow = self._number()
        found: dict[str, int] = await self._ask(lambda db: postgres_queries.recount(db, flow))
        return found

    async def prune(self, now: float) -> None:
        """See `base.Store`. By the server's clock; replicas do not wait for each other."""
        self._see_open()
        await self._capture.run(postgres_pruning.prune, None)

    def counts(self, now: float) -> StoreReport:
        """See `base.Store`. As of the last sign of life, and of all replicas together."""
        return shared_report(
            self._pulse, now, skew_s=self._skew_s, failed=self._refusal, fenced=self.fenced
        )

    async def close(self) -> None:
        """See `base.Store`."""
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        with contextlib.suppress(StoreError):
            await self.refresh()
            await self._keyed.run(leave, self._tenancy)
        await self._keyed.close()
        await self._decisions.stop()
        await self._capture.close()
        await self._on_close()
