"""The audit chain of a Flow in PostgreSQL, to which any number of replicas write without waiting for each other.

A transaction puts what it decides beside the chain, in `audit_pending`. One replica at a time, whoever has the
row of the chain, takes what waits there in its order and hangs it on the chain, about once a second; whoever
reads the chain sees to that first. Called by `postgres_writer` and `postgres_decisions`. Times are the server's.
"""

import json
import os
from functools import lru_cache
from typing import Any, Final

from intops_runtime.core.auditing import (
    GENESIS,
    Entry,
    Row,
    hash_of,
    packed,
    seal,
    unpacked,
)
from intops_runtime.core.reporting import rfc3339
from intops_runtime.edges.store.audits import (
    FORGET_AT_LEAST,
    FORGET_AT_ONCE,
    KEEP_S,
    LOOK_THROUGH,
    PAGE,
    SALT_BYTES,
)
from intops_runtime.edges.store.postgres_server import Connection, Server

SEAL_AT_ONCE: Final = 500

RECORD: Final = """
INSERT INTO intops.audit_pending(flow, body, hash)
SELECT $1::int, body, hash FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS u(body, hash, ord) ORDER BY ord
"""
ANY_PENDING: Final = "SELECT EXISTS(SELECT 1 FROM intops.audit_pending WHERE flow = $1)"
OURS: Final = "SELECT 1 FROM intops.chains WHERE flow = $1 FOR UPDATE"
OURS_IF_FREE: Final = OURS + " SKIP LOCKED"
TAKE: Final = """
DELETE FROM intops.audit_pending WHERE flow = $1 AND number IN (
  SELECT number FROM intops.audit_pending WHERE flow = $1 ORDER BY number LIMIT $2)
RETURNING number, body, hash
"""
LAST: Final = "SELECT seq, hash FROM intops.audit WHERE flow = $1 ORDER BY seq DESC LIMIT 1"
APPEND: Final = """
INSERT INTO intops.audit(flow, seq, body, hash)
SELECT $1::int, * FROM unnest($2::bigint[], $3::text[], $4::text[])
"""
# Values without an entry are what somebody left who cut the chain; messages go on all the same.
PUT_VALUES: Final = """
INSERT INTO intops.audit_values(flow, seq, data) SELECT $1::int, * FROM unnest($2::bigint[], $3::text[])
ON CONFLICT(flow, seq) DO UPDATE SET data = excluded.data
"""
NEW_PLAN: Final = """
UPDATE intops.chains SET audited_plan = $2 WHERE flow = $1 AND audited_plan IS DISTINCT FROM $2 RETURNING 1
"""
ROWS: Final = """
SELECT a.seq, a.body, a.hash, v.data FROM intops.audit a LEFT JOIN intops.audit_values v USING(flow, seq)
WHERE a.flow = $1 AND a.seq > $2 ORDER BY a.seq LIMIT $3
"""
ERASE: Final = """
DELETE FROM intops.audit_values WHERE flow = $1 AND seq = ANY($2::bigint[]) RETURNING seq
"""
BOUNDS: Final = "SELECT min(seq) AS first, max(seq) AS last FROM intops.audit WHERE flow = $1"
# Read as text: an entry that somebody has damaged is none the less old.
TOO_OLD: Final = """
SELECT max(seq) FROM (SELECT seq, body FROM intops.audit WHERE flow = $1 AND seq < $2) AS oldest
WHERE substring(body from '"at":"([^"]*)"') COLLATE "C" < $3
"""
FORGET: Final = (
    "DELETE FROM intops.audit_values WHERE flow = $1 AND seq <= $2",
    "DELETE FROM intops.audit WHERE flow = $1 AND seq <= $2",
)
NOW: Final = "SELECT floor(extract(epoch FROM clock_timestamp()))::bigint"


async def record(db: Connection, flow: int, said: list[str]) -> None:
    """Put packed entries beside the chain, within the transaction that they record."""
    if said:
        await db.execute(RECORD, flow, said, [hash_of(text) for text in said])


@lru_cache(maxsize=4)
def second(now: int) -> str:
    """The time of an entry; under load a thousand entries have the same."""
    return rfc3339(now) or ""


async def seal_all(server: Server, flow: int, *, wait: bool) -> None:
    """Hang on the chain whatever waits; with `wait` also when another replica is at it."""
    while await server.ask(lambda db: db.fetchval(ANY_PENDING, flow)):
        count = await server.transact(lambda db: _seal_some(db, flow, wait=wait))
        if count < SEAL_AT_ONCE:
            return


async def _seal_some(db: Connection, flow: int, *, wait: bool) -> int:
    if await db.fetchval(OURS if wait else OURS_IF_FREE, flow) is None:
        return 0
    taken = sorted(tuple(row) for row in await db.fetch(TAKE, flow, SEAL_AT_ONCE))
    last = await db.fetchrow(LAST, flow)
    seq, previous = (last["seq"], last["hash"]) if last is not None else (0, GENESIS)
    rows: list[Row] = []
    for number, body, digest in taken:
        if hash_of(body) == digest:
            entry, at = unpacked(body)
        else:
            # Changed while it waited: a mark is left that no verification overlooks.
            entry, at = Entry("damaged", {"pending": number}), second(await db.fetchval(NOW))
        rows.append(seal(entry, seq=seq + 1, previous=previous, at=at, salt=_salt))
        seq, previous = rows[-1].seq, rows[-1].hash
    await db.execute(
        APPEND, flow, [row.seq for row in rows], [row.body for row in rows],
        [row.hash for row in rows],
    )  # fmt: skip
    valued = [(row.seq, row.values) for row in rows if row.values is not None]
    if valued:
        await db.execute(PUT_VALUES, flow, [seq for seq, _ in valued], [v for _, v in valued])
    return len(taken)


def _salt() -> str:
    return os.urandom(SALT_BYTES).hex()


async def page(db: Connection, flow: int, after: int, limit: int) -> list[Row]:
    """Entries after a number, in order."""
    rows = await db.fetch(ROWS, flow, after, max(1, min(limit, PAGE)))
    return [Row(*row) for row in rows]


async def erase(
    db: Connection, flow: int, key: str, entry: Entry, *, after: int, now: float
) -> tuple[int, int | None]:
    """Erase the values of entries about a key, among the next `LOOK_THROUGH` entries.

    Returns:
        How many lost their values, and after which number to go on; None at the end.
    """
    rows = await db.fetch(
        "SELECT seq, body FROM intops.audit WHERE flow = $1 AND seq > $2 ORDER BY seq LIMIT $3",
        flow, after, LOOK_THROUGH,
    )  # fmt: skip
    about = [seq for seq, body in rows if _key_of(body) == key]
    numbers = sorted(row["seq"] for row in await db.fetch(ERASE, flow, about))
    if numbers:
        told = Entry(entry.action, {**entry.facts, "entries": numbers}, entry.values)
        await record(db, flow, [packed(told, second(int(now)))])
    return len(numbers), rows[-1]["seq"] if len(rows) == LOOK_THROUGH else None


def _key_of(body: str) -> Any:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found.get("key") if isinstance(found, dict) else None


async def forget(db: Connection, flow: int, keep_entries: int) -> None:
    """Forget the oldest entries, a few at a time, and leave an anchor that the rest hangs on."""
    if await db.fetchval(OURS_IF_FREE, flow) is None:
        return
    first, last = await db.fetchrow(BOUNDS, flow)
    if first is None:
        return
    now = await db.fetchval(NOW)
    horizon, until = rfc3339(now - KEEP_S), first + FORGET_AT_ONCE
    too_old = await db.fetchval(TOO_OLD, flow, first + 1, horizon)
    if too_old is not None:
        too_old = await db.fetchval(TOO_OLD, flow, until, horizon)
    through = min(max(last - keep_entries, too_old or 0), until - 1, last - 1)
    if through - first + 1 < FORGET_AT_LEAST:
        return
    anchor = await db.fetchval(
        "SELECT hash FROM intops.audit WHERE flow = $1 AND seq = $2", flow, through
    )
    for statement in FORGET:
        await db.execute(statement, flow, through)
    entry = Entry("forgotten", {"through": through, "hash": anchor})
    await record(db, flow, [packed(entry, second(now))])
