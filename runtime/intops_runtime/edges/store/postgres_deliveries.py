"""Deliveries in PostgreSQL: kept as they came by any replica, split by the one that has the source's lane.

Batches of equal jobs for a `postgres_writer.Writer`, and what intake reads.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from intops_runtime.core import audit_entries
from intops_runtime.core.failpoints import reach
from intops_runtime.core.fingerprints import fingerprint
from intops_runtime.core.messages import IN_FLIGHT, Accepted, Delivery, IntakeResult, NewMessage
from intops_runtime.edges.store.base import Fenced
from intops_runtime.edges.store.deliveries import checksum
from intops_runtime.edges.store.postgres_lanes import Tenancy, fence, lane_of
from intops_runtime.edges.store.postgres_server import Connection
from intops_runtime.edges.store.postgres_text import plain
from intops_runtime.edges.store.postgres_writer import Unit
from intops_runtime.edges.store.tally import counter_of

_DROPPED: Final = ("dropped", "duplicate")

# Rows go in by their names, so that two replicas with the same ones wait for each other in one order;
# numbers are given in the order of arrival.
ACCEPT: Final = """
WITH given AS (
  SELECT nextval('intops.delivery_ids') AS id, u.* FROM unnest($2::text[], $3::smallint[], $4::text[],
    $5::text[], $6::bytea[], $7::bytea[], $8::float8[])
    WITH ORDINALITY AS u(source, lane, delivery_id, headers, body, sha256, at, ord)),
kept AS (
  INSERT INTO intops.deliveries(flow, id, source, lane, delivery_id, headers, body, sha256, at, state)
  SELECT $1::int, id, source, lane, delivery_id, headers, body, sha256, at, 'pending' FROM given
  ORDER BY source, delivery_id, id ON CONFLICT(flow, source, delivery_id) DO NOTHING RETURNING id)
SELECT given.id, kept.id IS NOT NULL AS fresh FROM given LEFT JOIN kept USING(id) ORDER BY given.ord
"""
KNOWN: Final = (
    "SELECT id FROM intops.deliveries WHERE flow = $1 AND source = $2 AND delivery_id = $3"
)
PENDING: Final = """
SELECT d.id, d.source, d.delivery_id, d.headers, d.body, d.at, d.sha256
FROM unnest($2::smallint[]) AS mine(lane) CROSS JOIN LATERAL (
  SELECT id FROM intops.deliveries WHERE flow = $1 AND lane = mine.lane AND state = 'pending'
  ORDER BY id LIMIT $3) AS first JOIN intops.deliveries d ON d.flow = $1 AND d.id = first.id
ORDER BY d.id LIMIT $3
"""
STORED: Final = """
SELECT id, source, delivery_id, headers, body, at, sha256 FROM intops.deliveries
WHERE flow = $1 AND at >= $2 AND ($3::bigint IS NULL OR id < $3) ORDER BY id DESC LIMIT $4
"""
UNSPLIT: Final = """
SELECT id, source, at FROM intops.deliveries
WHERE flow = $1 AND id = ANY($2::bigint[]) AND state = 'pending' FOR UPDATE
"""
REMEMBER: Final = """
INSERT INTO intops.dedup(flow, source, id, at)
SELECT DISTINCT $1::int, u.source, u.id, $4::float8 FROM unnest($2::text[], $3::text[]) AS u(source, id)
ORDER BY 2, 3 ON CONFLICT DO NOTHING RETURNING source, id
"""
INSERT: Final = """
WITH given AS (
  SELECT nextval('intops.message_ids') AS id, u.* FROM unnest($2::bigint[], $3::int[], $4::text[],
    $5::smallint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[],
    $13::text[], $14::text[], $15::text[], $16::text[], $17::float8[], $18::float8[], $19::float8[],
    $20::bigint[], $21::text[], $22::boolean[])
    WITH ORDINALITY AS u(delivery_id, item, source, lane, key, state, stage, reason,
    plan_hash, record, original, variant, error_class, detail, path, received_at, ended_at, review_at,
    crc, fingerprint, first, ord)),
made AS (
  INSERT INTO intops.messages(flow, id, delivery_id, item, source, lane, key, state, stage, reason, due_at,
    plan_hash, record, original, variant, error_class, detail, path, received_at, ended_at, review_at, crc,
    fingerprint, review_since, head)
  SELECT $1::int, id, delivery_id, item, source, lane, key, state, stage, reason, $23::float8, plan_hash, record,
    original, variant, error_class, detail, path, received_at, ended_at, review_at, crc,
    fingerprint, CASE state WHEN 'review' THEN $23::float8 END,
    CASE WHEN state NOT IN ('waiting', 'held', 'sending') THEN false
      WHEN first AND NOT EXISTS(SELECT 1 FROM intops.messages m WHERE m.flow = $1 AND m.key = given.key
        AND m.state IN ('waiting', 'held', 'sending')) THEN true END
  FROM given),
told AS (
  INSERT INTO intops.transitions(flow, message_id, at, from_state, to_state, reason)
  SELECT $1::int, id, $23::float8, NULL, state, reason FROM given)
SELECT id, ord, fingerprint FROM given WHERE state = 'review' ORDER BY id
"""
SPLIT: Final = """
UPDATE intops.deliveries d SET state = g.state, detail = g.detail
FROM unnest($2::bigint[], $3::text[], $4::text[]) AS g(id, state, detail)
WHERE d.flow = $1 AND d.id = g.id
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One delivery to keep. `at` is the server's time, in epoch seconds."""

    source: str
    delivery_id: str | None
    headers: dict[str, str]
    body: bytes
    at: float


async def insert(unit: Unit, arrivals: list[Arrival]) -> list[Accepted]:
    """Keep deliveries, but for those of which the same source has sent one of this id."""
    names = [(a.source, plain(a.delivery_id)) for a in arrivals]
    rows = await unit.db.fetch(
        ACCEPT, unit.flow, [source for source, _ in names], [lane_of(a.source) for a in arrivals],
        [name for _, name in names], [plain(orjson.dumps(a.headers).decode()) for a in arrivals],
        [a.body for a in arrivals], [_checksum(a.body) for a in arrivals], [a.at for a in arrivals],
    )  # fmt: skip
    reach("K07")
    found = []
    for row, (source, name) in zip(rows, names, strict=True):
        if row["fresh"]:
            unit.change["captured"] += 1
            unit.change["pending"] += 1
            found.append(Accepted(row["id"], duplicate=False))
        else:
            known = await unit.db.fetchval(KNOWN, unit.flow, source, name)
            found.append(Accepted(int(known or 0), duplicate=True))
    return found


async def pending(db: Connection, flow: int, lanes: list[int], limit: int) -> list[Delivery]:
    """Deliveries of sources in these lanes that are not yet split, in the order of arrival."""
    return [_delivery(row) for row in await db.fetch(PENDING, flow, lanes, limit)]


async def stored(
    db: Connection, flow: int, since: float, below: int | None, limit: int
) -> list[Delivery]:
    """Deliveries since a moment and below a number, newest first, as they came."""
    return [_delivery(row) for row in await db.fetch(STORED, flow, since, below, limit)]


def _delivery(row: Mapping[str, Any]) -> Delivery:
    return Delivery(
        row["id"], row["source"], row["delivery_id"] or "", orjson.loads(row["headers"]),
        row["body"], row["at"], _checksum(row["body"]) != row["sha256"],
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Intake:
    """Results of intake, and under which leases they were made. Times are the server's."""

    results: list[IntakeResult]
    tenancy: Tenancy
    now: float
    due_at: float


@dataclass(frozen=True, slots=True)
class _Row:
    """One message on its way in, with what its delivery says."""

    delivery_id: int
    source: str
    received_at: float
    new: NewMessage
    state: str
    reason: str


async def settle_intake(unit: Unit, intakes: list[Intake]) -> list[Fenced | None]:
    """Messages in, deliveries settled. One batch at a time: the runner waits for each."""
    answers: list[Fenced | None] = []
    for intake in intakes:
        numbers = [result.delivery_id for result in intake.results]
        rows = await unit.db.fetch(UNSPLIT, unit.flow, numbers)
        # What is missing was settled before a crash that lost only the answer.
        known = {row["id"]: (row["source"], row["at"]) for row in rows}
        lanes = {lane_of(source) for source, _ in known.values()}
        if not await fence(unit, intake.tenancy, lanes):
            answers.append(Fenced("Another replica has taken over the intake of a source."))
            continue
        results = [result for result in intake.results if result.delivery_id in known]
        messages = await _sorted_out(unit, results, known, intake.now)
        await _insert_messages(unit, messages, intake)
        ends = [("malformed" if result.malformed else "split") for result in results]
        details = [plain(result.malformed) for result in results]
        await unit.db.execute(SPLIT, unit.flow, [r.delivery_id for r in results], ends, details)
        for end in ends:
            unit.moved("pending", end)
        answers.append(None)
    return answers


async def _sorted_out(
    unit: Unit, results: list[IntakeResult], known: dict[int, tuple[str, float]], now: float
) -> list[_Row]:
    """Every message in order, copies of earlier ones as dropped."""
    given = [(r.delivery_id, *known[r.delivery_id], new) for r in results for new in r.messages]
    copies = [(source, plain(new.dedup)) for _, source, _, new in given if new.dedup is not None]
    fresh: set[tuple[str, str]] = set()
    if copies:
        sources, names = zip(*copies, strict=True)
        rows = await unit.db.fetch(REMEMBER, unit.flow, sources, names, now)
        fresh = {(row["source"], row["id"]) for row in rows}
    found = []
    for delivery_id, source, received_at, new in given:
        state, reason = new.state.value, new.reason
        name = (source, plain(new.dedup) or "")
        if new.dedup is not None and name not in fresh:
            state, reason = _DROPPED
        fresh.discard(name)
        found.append(_Row(delivery_id, source, received_at, new, state, reason))
    return found


async def _insert_messages(unit: Unit, rows: list[_Row], intake: Intake) -> None:
    if not rows:
        return
    seen: set[str] = set()
    columns: list[list[Any]] = [[] for _ in range(21)]
    for row in rows:
        new, dropped = row.new, (row.state, row.reason) == _DROPPED
        record, original = _json(new.record), _json(new.original)
        in_flight = row.state in IN_FLIGHT
        cause = _cause(new) if row.state == "review" else None
        values = (
            row.delivery_id, new.item, row.source, lane_of(new.key), new.key, row.state, new.stage,
            row.reason, new.plan_hash, record, original, plain(new.variant),
            None if dropped else new.error_class, None if dropped else plain(new.detail),
            plain(new.path), row.received_at, intake.now if row.state == "dropped" else None,
            intake.due_at if row.state == "review" else None,
            checksum(new.key, _bytes(record), _bytes(original)), cause, in_flight and new.key not in seen,
        )  # fmt: skip
        if in_flight:
            seen.add(new.key)
        for column, value in zip(columns, values, strict=True):
            column.append(value)
        unit.change["received"] += 1
        unit.moved(None, counter_of(row.state, row.reason))
    for number, ordinal, why in await unit.db.fetch(INSERT, unit.flow, *columns, intake.now):
        entry = audit_entries.not_mapped(number, rows[ordinal - 1].new, why)
        unit.tell(entry, intake.now)


def _cause(new: NewMessage) -> str:
    return fingerprint(new.error_class, new.reason, plain(new.path), plain(new.detail))


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


def _json(value: object) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()
