"""Who may work on which keys: replicas, their signs of life, and the lanes they hold.

A lane is a 256th of all keys. It belongs to the replica whose row it names; that row is the lease, and only
the server's clock says when it has run out. A lane changes hands in two ways only: its owner lets go of it,
or the owner's row is deleted because it has run out, which waits for every transaction that has seen the row
(`fence`). Either way the lane's generation goes up, so a late write is told by its old one.
"""

import zlib
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import orjson

from intops_runtime.edges.store.base import StoreAway
from intops_runtime.edges.store.postgres_schema import LANES
from intops_runtime.edges.store.postgres_settings import OFFERED
from intops_runtime.edges.store.postgres_writer import Unit

BEAT_S: Final = 1.5
LEASE_S: Final = 8.0

RENEW: Final = """
UPDATE intops.replicas SET expires_at = clock_timestamp() + make_interval(secs => $3)
WHERE flow = $1 AND owner = $2 RETURNING 1
"""
ENROL: Final = """
INSERT INTO intops.replicas(flow, owner, name, expires_at)
SELECT flow, $2, $4, clock_timestamp() + make_interval(secs => $3) FROM intops.flows
WHERE flow = $1 AND moving IS NULL
"""
# Who is in the middle of a write is alive.
BURY: Final = """
DELETE FROM intops.replicas WHERE flow = $1 AND owner IN (
  SELECT owner FROM intops.replicas WHERE flow = $1 AND expires_at < clock_timestamp()
  FOR UPDATE SKIP LOCKED) RETURNING owner
"""
INHERIT: Final = """
WITH gone AS (DELETE FROM intops.counters WHERE flow = $1 AND split_part(shard, '/', 1) = ANY($2::text[])
  RETURNING name, n)
INSERT INTO intops.counters(flow, shard, name, n)
SELECT $1::int, '', name, sum(n) FROM gone GROUP BY name ORDER BY name
ON CONFLICT(flow, shard, name) DO UPDATE SET n = counters.n + excluded.n
"""
LOOK: Final = """
SELECT (SELECT count(*) FROM intops.replicas WHERE flow = $1) AS replicas,
  (SELECT count(*) FROM intops.replicas WHERE flow = $1 AND expires_at < clock_timestamp()) AS late,
  count(*) FILTER (WHERE l.owner = $2) AS mine, count(*) FILTER (WHERE r.owner IS NULL) AS free
FROM intops.lanes l LEFT JOIN intops.replicas r ON r.flow = l.flow AND r.owner = l.owner
WHERE l.flow = $1
"""
ALONE: Final = "SELECT 1 FROM intops.flows WHERE flow = $1 FOR UPDATE"
CLAIM: Final = """
UPDATE intops.lanes SET owner = $2, generation = generation + 1 WHERE flow = $1 AND lane IN (
  SELECT lane FROM intops.lanes l WHERE flow = $1 AND NOT EXISTS(
    SELECT 1 FROM intops.replicas r WHERE r.flow = l.flow AND r.owner = l.owner)
  ORDER BY lane LIMIT $3 FOR UPDATE SKIP LOCKED)
"""
LET_GO: Final = """
UPDATE intops.lanes SET owner = NULL, generation = generation + 1
WHERE flow = $1 AND owner = $2 AND lane = ANY($3::smallint[])
"""
MINE: Final = "SELECT lane, generation FROM intops.lanes WHERE flow = $1 AND owner = $2"
# Locks nothing but the lease against being deleted, and that until the end of the transaction.
FENCE: Final = """
SELECT array_agg(lane) AS lanes, array_agg(generation) AS generations FROM (
  SELECT l.lane, l.generation FROM intops.replicas r
  JOIN intops.lanes l ON l.flow = r.flow AND l.owner = r.owner
  WHERE r.flow = $1 AND r.owner = $2 AND l.lane = ANY($3::smallint[]) FOR KEY SHARE OF r) AS held
"""
# Counts of one moment: each transaction changes them so that the balance holds.
STATE: Final = """
SELECT extract(epoch FROM clock_timestamp())::float8 AS now,
  (SELECT value::int FROM intops.meta WHERE name = 'schema') AS schema,
  (SELECT json_object_agg(name, n) FROM (SELECT name, sum(n)::bigint AS n FROM intops.counters
    WHERE flow = $1 GROUP BY name) AS c) AS counts,
  (SELECT min(received_at) FROM intops.messages WHERE flow = $1
    AND state IN ('waiting', 'held', 'sending') AND stage <> 'completing') AS oldest,
  (SELECT min(first.at) FROM generate_series(0, 255) AS each_of(lane) CROSS JOIN LATERAL (
    SELECT at FROM intops.deliveries WHERE flow = $1 AND lane = each_of.lane AND state = 'pending'
    ORDER BY id LIMIT 1) AS first) AS oldest_pending,
  (SELECT min(review_at) FROM intops.messages WHERE flow = $1 AND state = 'review') AS review_due
"""


@dataclass(frozen=True, slots=True)
class Holding:
    """A lane that is ours: under which generation, and since when (the server's time, epoch seconds)."""

    generation: int
    since: float


@dataclass(frozen=True, slots=True)
class Tenancy:
    """What a replica holds: its name of this life, and its lanes."""

    owner: str
    lanes: Mapping[int, Holding] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Beat:
    """One sign of life: who gives it, what it holds, and which lanes it cannot let go of just now."""

    name: str
    tenancy: Tenancy
    busy: Callable[[], Set[int]]


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a replica learns from a sign of life. Times are the server's, in epoch seconds."""

    tenancy: Tenancy
    replicas: int
    now: float
    counts: dict[str, int]
    oldest: float | None
    review_due: float | None
    offered: dict[str, Any]
    buried: int
    schema: int


def lane_of(key: str) -> int:
    """The lane of a key or of a source's name.

    >>> lane_of("iop1:oflqlsrjnru3ejgdpflketq5sx3g3in2")
    174
    """
    return zlib.crc32(key.encode()) % LANES


async def fence(unit: Unit, tenancy: Tenancy, lanes: Set[int]) -> bool:
    """Whether lanes are still held as they were; if so, they stay so until the transaction ends."""
    return lanes <= await held_of(unit, tenancy, lanes)


async def held_of(unit: Unit, tenancy: Tenancy, lanes: Set[int]) -> set[int]:
    """Which of some lanes are still held as they were; those stay so until the transaction ends."""
    row = await unit.db.fetchrow(FENCE, unit.flow, tenancy.owner, sorted(lanes))
    found = dict(zip(row["lanes"] or (), row["generations"] or (), strict=True))
    return {
        lane
        for lane in lanes
        if lane in tenancy.lanes and found.get(lane) == tenancy.lanes[lane].generation
    }


async def beat(unit: Unit, beats: list[Beat]) -> list[Pulse]:
    """Renew the lease, bury the dead, and see that lanes are spread fairly."""
    return [await _beat(unit, given) for given in beats]


async def _beat(unit: Unit, given: Beat) -> Pulse:
    db, flow = unit.db, unit.flow
    tenancy = given.tenancy
    if await db.fetchval(RENEW, flow, tenancy.owner, LEASE_S) is None:
        # New here, or declared dead: whatever was held before is somebody else's.
        tenancy = Tenancy(uuid4().hex)
        await db.execute(ALONE, flow)
        if await db.execute(ENROL, flow, tenancy.owner, LEASE_S, given.name) != "INSERT 0 1":
            raise StoreAway("A move into this store has not ended; run `intops store move` again.")
    look = await db.fetchrow(LOOK, flow, tenancy.owner)
    buried = 0
    if look["late"] or _out_of_balance(look):
        await db.execute(ALONE, flow)  # nobody else buries or claims meanwhile
        gone = [row["owner"] for row in await db.fetch(BURY, flow)]
        buried = len(gone)
        if gone:
            await db.execute(INHERIT, flow, gone)
        look = await db.fetchrow(LOOK, flow, tenancy.owner)
        await _balance(unit, tenancy, look, given.busy())
    rows = await db.fetch(MINE, flow, tenancy.owner)
    state = await db.fetchrow(STATE, flow)
    ages = [at for at in (state["oldest"], state["oldest_pending"]) if at is not None]
    return Pulse(
        Tenancy(tenancy.owner, _holdings(tenancy, rows, state["now"])),
        look["replicas"],
        state["now"],
        orjson.loads(state["counts"] or "{}"),
        min(ages, default=None),
        state["review_due"],
        dict(await db.fetchrow(OFFERED)),
        buried,
        state["schema"],
    )


def _share(look: Any) -> int:
    """How many lanes a replica has at most."""
    return -(-LANES // max(int(look["replicas"]), 1))


def _out_of_balance(look: Any) -> bool:
    share = _share(look)
    return bool((look["free"] > 0 and look["mine"] < share) or look["mine"] > share)


async def _balance(unit: Unit, tenancy: Tenancy, look: Any, busy: Set[int]) -> None:
    """Take free lanes up to our share; let go of idle ones above it."""
    share = _share(look)
    if look["mine"] < share:
        if look["free"]:
            await unit.db.execute(CLAIM, unit.flow, tenancy.owner, share - look["mine"])
        return
    idle = [lane for lane in sorted(tenancy.lanes) if lane not in busy]
    # The last ones: the first are those that we have longest.
    surplus = idle[::-1][: look["mine"] - share]
    if surplus:
        await unit.db.execute(LET_GO, unit.flow, tenancy.owner, surplus)


def _holdings(before: Tenancy, rows: list[Any], now: float) -> dict[int, Holding]:
    found = {}
    for row in rows:
        known = before.lanes.get(row["lane"])
        if known is None or known.generation != row["generation"]:
            known = Holding(row["generation"], now)
        found[row["lane"]] = known
    return found


async def leave(unit: Unit, tenancies: list[Tenancy]) -> list[None]:
    """Give everything back at the end, so that nobody has to wait for the lease to run out."""
    for tenancy in tenancies:
        await unit.db.execute(ALONE, unit.flow)
        await unit.db.execute(LET_GO, unit.flow, tenancy.owner, list(tenancy.lanes))
        await unit.db.execute(
            "DELETE FROM intops.replicas WHERE flow = $1 AND owner = $2", unit.flow, tenancy.owner
        )
        await unit.db.execute(INHERIT, unit.flow, [tenancy.owner])
    return [None for _ in tenancies]
