"""What was meant to be sent in PostgreSQL, and what became of it.

Batches of equal jobs for a `postgres_writer.Writer`. Each checks the lease of every lane that it writes to,
inside its transaction (`postgres_lanes.held_of`). Times are the server's, in epoch seconds.
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from intops_runtime.core import audit_entries
from intops_runtime.core.fingerprints import fingerprint
from intops_runtime.core.messages import IN_FLIGHT, Episode, Link, Settlement, State
from intops_runtime.edges.store.base import Fenced
from intops_runtime.edges.store.postgres_lanes import Tenancy, held_of
from intops_runtime.edges.store.postgres_text import plain
from intops_runtime.edges.store.postgres_writer import Unit
from intops_runtime.edges.store.tally import counter_of

INTEND: Final = """
WITH given AS (
  SELECT nextval('intops.attempt_ids') AS id, u.* FROM unnest($2::bigint[], $3::text[], $4::text[],
    $5::text[], $6::text[]) WITH ORDINALITY AS u(message_id, step, binding, idem_key, plan_hash, ord)),
meant AS (
  INSERT INTO intops.attempts(flow, id, message_id, step, binding, idem_key, plan_hash, intent_at)
  SELECT $1::int, id, message_id, step, binding, idem_key, plan_hash, $7::float8 FROM given),
was AS (
  SELECT m.id, m.state FROM intops.messages m JOIN given ON given.message_id = m.id WHERE m.flow = $1),
sending AS (
  UPDATE intops.messages m SET state = 'sending' FROM was
  WHERE m.flow = $1 AND m.id = was.id AND was.state <> 'sending'),
told AS (
  INSERT INTO intops.transitions(flow, message_id, at, from_state, to_state, reason)
  SELECT $1::int, was.id, $7::float8, was.state, 'sending', given.step
  FROM was JOIN given ON given.message_id = was.id
  WHERE was.state <> 'sending')
SELECT given.id, was.state FROM given JOIN was ON was.id = given.message_id ORDER BY given.ord
"""
# An escaped NUL, as a store that was moved here may have kept one, is JSON that PostgreSQL cannot read.
END_ATTEMPTS: Final = r"""
UPDATE intops.attempts a SET outcome_at = CASE WHEN g.outcome IS NULL THEN a.outcome_at ELSE $2::float8 END,
  outcome = coalesce(g.outcome, a.outcome), error_class = coalesce(a.error_class, g.error_class),
  evidence = CASE WHEN a.evidence IS NULL THEN g.evidence
    ELSE (g.evidence::jsonb || replace(a.evidence, '\u0000', '\ufffd')::jsonb)::text END
FROM json_to_recordset($3::json) AS g(id bigint, outcome text, error_class text, evidence text)
WHERE a.flow = $1 AND a.id = g.id RETURNING a.id, a.plan_hash, a.step, a.binding
"""
# The edition tells a settlement that was written already, when only the answer to its commit got lost.
SETTLE: Final = """
WITH given AS (
  SELECT * FROM json_to_recordset($2::json) AS g(id bigint, edition int, state text, stage text,
    reason text, due_at float8, tried int, error_class text, detail text, path text, held_for text,
    ended_at float8, review_at float8, fingerprint text)),
was AS (
  SELECT m.id, m.state, m.key, m.plan_hash FROM intops.messages m JOIN given ON given.id = m.id
  WHERE m.flow = $1 AND m.edition = given.edition FOR UPDATE OF m),
ended AS (
  UPDATE intops.messages m SET state = g.state, stage = g.stage, reason = g.reason, due_at = g.due_at,
    tries = m.tries + g.tried, error_class = g.error_class, detail = g.detail, path = g.path,
    held_for = g.held_for, ended_at = g.ended_at, review_at = g.review_at, fingerprint = g.fingerprint,
    review_since = CASE g.state WHEN 'review' THEN $3::float8 END, edition = m.edition + 1,
    head = m.head AND g.state IN ('waiting', 'held', 'sending')
  FROM given g, was WHERE m.flow = $1 AND m.id = g.id AND was.id = g.id
  RETURNING m.id, m.tries, m.state, m.reason),
told AS (
  INSERT INTO intops.transitions(flow, message_id, at, from_state, to_state, reason, try)
  SELECT $1::int, ended.id, $3::float8, was.state, ended.state, ended.reason, ended.tries
  FROM ended JOIN was ON was.id = ended.id)
SELECT ended.id, was.key, was.state AS old, was.plan_hash FROM ended JOIN was ON was.id = ended.id
"""
PASS_HEAD: Final = """
UPDATE intops.messages SET head = true WHERE flow = $1 AND head IS NOT TRUE AND id IN (
  SELECT min(id) FROM intops.messages WHERE flow = $1 AND key = ANY($2::text[])
    AND state IN ('waiting', 'held', 'sending') GROUP BY key)
"""
PUT_LINKS: Final = """
INSERT INTO intops.links(flow, key, binding, connector, object, native_id, display_id, url, version, agreed)
SELECT $1::int, g.* FROM json_to_recordset($2::json) AS g(key text, binding text, connector text, object text,
  native_id text, display_id text, url text, version text, agreed text)
ON CONFLICT(flow, key, binding) DO UPDATE SET connector = excluded.connector, object = excluded.object,
  native_id = excluded.native_id, display_id = excluded.display_id, url = excluded.url,
  version = excluded.version, agreed = excluded.agreed
"""
PUT_EPISODES: Final = """
INSERT INTO intops.episodes(flow, key, state, count, changed_at, data)
SELECT $1::int, g.* FROM json_to_recordset($2::json) AS g(key text, state text, count int, changed_at float8,
  data text)
ON CONFLICT(flow, key) DO UPDATE SET state = excluded.state, count = excluded.count,
  changed_at = excluded.changed_at, data = excluded.data
"""
_LATE: Final = (
    "Another replica has taken over; this late write was refused and nothing was changed."
)
_ENDED: Final = (State.DONE, State.DROPPED, State.DISCARDED)


@dataclass(frozen=True, slots=True)
class Lease:
    """A message that runs here: its lane and generation, and the edition that was read."""

    key: str
    lane: int
    edition: int
    tenancy: Tenancy


@dataclass(frozen=True, slots=True)
class Intent:
    """A request that is about to be sent."""

    lease: Lease
    message_id: int
    step: str
    binding: str
    idem_key: str
    plan_hash: str
    now: float


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a message that ran here."""

    lease: Lease
    settlement: Settlement
    now: float
    review_at: float


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """What became of an attempt of a message that runs here."""

    lease: Lease
    attempt_id: int
    outcome: str
    evidence: dict[str, Any]
    now: float


async def intend(unit: Unit, intents: list[Intent]) -> list[int | Fenced]:
    """Store intents; their messages are being sent from now on."""
    held = await _still_held(unit, [intent.lease for intent in intents])
    good = [intent for intent, ours in zip(intents, held, strict=True) if ours]
    numbers: dict[int, int] = {}
    if good:
        rows = await unit.db.fetch(
            INTEND, unit.flow, [i.message_id for i in good], [i.step for i in good],
            [i.binding for i in good], [i.idem_key for i in good], [i.plan_hash for i in good],
            max(i.now for i in good),
        )  # fmt: skip
        for intent, row in zip(good, rows, strict=True):
            numbers[intent.message_id] = row["id"]
            unit.moved(row["state"], State.SENDING.value)
    return [numbers.get(intent.message_id) or Fenced(_LATE) for intent in intents]


async def end_attempts(unit: Unit, ends: list[EndedAttempt]) -> list[Fenced | None]:
    """Store the outcomes of attempts, beside what was known of them."""
    held = await _still_held(unit, [end.lease for end in ends])
    rows = [
        {"id": end.attempt_id, "outcome": end.outcome, "evidence": _evidence(end.evidence)}
        for end, ours in zip(ends, held, strict=True)
        if ours
    ]
    if rows:
        at = max(end.now for end in ends)
        await unit.db.execute(END_ATTEMPTS, unit.flow, at, orjson.dumps(rows).decode())
    return [None if ours else Fenced(_LATE) for ours in held]


async def settle(unit: Unit, ends: list[Ended]) -> list[Fenced | None]:
    """Store what became of messages, their attempts, links and episodes."""
    held = await _still_held(unit, [end.lease for end in ends])
    await settle_held(unit, [end for end, ours in zip(ends, held, strict=True) if ours])
    return [None if ours else Fenced(_LATE) for ours in held]


async def _still_held(unit: Unit, leases: list[Lease]) -> list[bool]:
    """For each lease whether it is still ours. The generation is the one of when it was taken."""
    held: dict[int, set[int]] = {}
    for tenancy in {id(lease.tenancy): lease.tenancy for lease in leases}.values():
        lanes = {lease.lane for lease in leases if lease.tenancy is tenancy}
        held[id(tenancy)] = await held_of(unit, tenancy, lanes)
    return [lease.lane in held[id(lease.tenancy)] for lease in leases]


async def settle_held(unit: Unit, ends: list[Ended]) -> None:
    """The same for messages of which the transaction has seen that their lanes are held."""
    if not ends:
        return
    now = max(end.now for end in ends)
    causes = {end.settlement.message_id: _cause(end.settlement) for end in ends}
    rows = [_settled_row(end, now, causes[end.settlement.message_id]) for end in ends]
    db, flow = unit.db, unit.flow
    found = await db.fetch(SETTLE, flow, orjson.dumps(rows).decode(), now)
    was = {row["id"]: row for row in found}
    left = []
    written = [end for end in ends if end.settlement.message_id in was]
    for end in written:
        ended = end.settlement
        before, after = was[ended.message_id]["old"], ended.state.value
        unit.moved(before, counter_of(after, ended.reason))
        if (before in IN_FLIGHT) != (after in IN_FLIGHT):
            left.append(end.lease.key)
    if left:
        await db.execute(PASS_HEAD, flow, left)
    attempts = {
        row["id"]: (row["plan_hash"], row["step"], row["binding"])
        for row in await _put(
            unit, END_ATTEMPTS, [_attempt_row(e.settlement) for e in written], now
        )
    }
    for end in written:
        ended = end.settlement
        if audit_entries.decides(ended):
            entry = audit_entries.settled(
                ended, key=end.lease.key, mapped_with=was[ended.message_id]["plan_hash"],
                fingerprint=causes[ended.message_id], attempt=attempts.get(ended.attempt_id or 0),
            )  # fmt: skip
            unit.tell(entry, end.now)
    await _put(unit, PUT_LINKS, [_link_row(e.settlement.link) for e in written])
    await _put(unit, PUT_EPISODES, [_episode_row(e.settlement.episode) for e in written])


async def _put(
    unit: Unit, statement: str, rows: list[dict[str, Any] | None], *more: Any
) -> list[Any]:
    given = [row for row in rows if row is not None]
    if not given:
        return []
    found: list[Any] = await unit.db.fetch(
        statement, unit.flow, *more, orjson.dumps(given).decode()
    )
    return found


def _cause(ended: Settlement) -> str | None:
    if ended.state is not State.REVIEW:
        return None
    return fingerprint(ended.error_class, ended.reason, plain(ended.path), plain(ended.detail))


def _settled_row(end: Ended, now: float, cause: str | None) -> dict[str, Any]:
    ended = end.settlement
    return {
        "id": ended.message_id, "edition": end.lease.edition, "state": ended.state.value,
        "stage": ended.stage, "reason": ended.reason, "due_at": ended.due_at,
        "tried": int(ended.count_try), "error_class": ended.error_class,
        "detail": plain(ended.detail), "path": plain(ended.path), "held_for": ended.held_for,
        "ended_at": now if ended.state in _ENDED else None,
        "review_at": end.review_at if ended.state is State.REVIEW else None,
        "fingerprint": cause,
    }  # fmt: skip


def _attempt_row(ended: Settlement) -> dict[str, Any] | None:
    if ended.attempt_id is None:
        return None
    return {
        "id": ended.attempt_id, "outcome": ended.outcome, "error_class": ended.error_class,
        "evidence": _evidence(ended.evidence),
    }  # fmt: skip


def _link_row(link: Link | None) -> dict[str, Any] | None:
    if link is None:
        return None
    return {
        "key": link.key, "binding": link.binding, "connector": link.connector, "object": link.object,
        "native_id": plain(link.native_id), "display_id": plain(link.display_id),
        "url": plain(link.url), "version": plain(link.version),
        "agreed": orjson.dumps(link.agreed).decode(),
    }  # fmt: skip


def _episode_row(episode: Episode | None) -> dict[str, Any] | None:
    if episode is None:
        return None
    return {
        "key": episode.key, "state": episode.state, "count": episode.count,
        "changed_at": episode.changed_at, "data": orjson.dumps(episode.data).decode(),
    }  # fmt: skip


def _evidence(evidence: dict[str, Any]) -> str:
    return orjson.dumps(evidence).decode().replace(r"\u0000", r"\ufffd")
