"""The review queue in PostgreSQL: what waits for a person, and what that person decided, once for all replicas.

A decision belongs to the replica that began it, as long as that one lives; each of its transactions locks the
decision's row first and sees that it still does. A message that is decided about may belong to a lane of any
replica: it comes back with its place in its key left open, which whoever holds the lane settles.
Batches of equal jobs for a `postgres_writer.Writer`, and what people ask. Times are the server's.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson

from intops_runtime.core import audit_entries
from intops_runtime.core.auditing import Entry
from intops_runtime.core.decisions import (
    Answer,
    Applied,
    Decision,
    Resolution,
    ReviewGroup,
    ReviewItem,
    so_far,
    whole,
)
from intops_runtime.edges.store.base import Elsewhere, StoreError
from intops_runtime.edges.store.deliveries import checksum
from intops_runtime.edges.store.postgres_chain import NEW_PLAN
from intops_runtime.edges.store.postgres_lanes import lane_of
from intops_runtime.edges.store.postgres_server import Connection
from intops_runtime.edges.store.postgres_text import plain
from intops_runtime.edges.store.postgres_writer import Unit
from intops_runtime.edges.store.reviews import IDS_SHOWN, KEEP_DECISIONS_S, KEEP_NOTICES_S, Wanted

_ITEM: Final = """
SELECT m.id, m.delivery_id, m.source, m.key, m.stage, m.reason, m.error_class, m.detail, m.path,
  m.fingerprint, m.plan_hash, m.received_at, m.review_at, m.record, m.original, d.body, d.headers, m.variant,
  (SELECT a.binding FROM intops.attempts a WHERE a.flow = m.flow AND a.message_id = m.id
    AND a.outcome = 'unknown' AND a.id = (SELECT max(id) FROM intops.attempts
      WHERE flow = m.flow AND message_id = m.id)) AS unknown,
  (SELECT count(*) FROM intops.messages n WHERE n.flow = m.flow AND n.key = m.key AND n.id > m.id
    AND n.state = 'done') AS newer
FROM intops.messages m LEFT JOIN intops.deliveries d ON d.flow = m.flow AND d.id = m.delivery_id
WHERE m.flow = $1 AND m.state = 'review' AND m.id > $2"""
GROUPS: Final = """
SELECT g.*, m.error_class, m.reason, m.path, m.detail, m.source, m.plan_hash, m.received_at,
  ARRAY(SELECT s.id FROM intops.messages s WHERE s.flow = $1 AND s.state = 'review'
    AND s.fingerprint = g.fingerprint ORDER BY s.id LIMIT $3) AS ids
FROM (SELECT fingerprint, count(*) AS count, min(id) AS first, min(review_at) AS due_at,
    max(review_since) AS newest_at FROM intops.messages WHERE flow = $1 AND state = 'review'
    GROUP BY fingerprint ORDER BY 4 LIMIT $2) AS g
JOIN intops.messages m ON m.flow = $1 AND m.id = g.first ORDER BY g.due_at
"""
# Whose replica is gone, or late, loses it; the row's lock puts the two in an order.
CLAIM: Final = """
INSERT INTO intops.decisions(flow, id, at, answer, owner) VALUES($1, $2, $3, '{}', $4)
ON CONFLICT(flow, id) DO UPDATE SET owner = excluded.owner WHERE decisions.ended_at IS NULL
  AND NOT EXISTS(SELECT 1 FROM intops.replicas r WHERE r.flow = decisions.flow AND r.owner = decisions.owner
    AND r.owner <> excluded.owner AND r.expires_at >= clock_timestamp())
"""
DECISION: Final = """
SELECT at, ended_at, answer, owner FROM intops.decisions WHERE flow = $1 AND id = $2 FOR UPDATE
"""
KEEP: Final = """
UPDATE intops.decisions SET answer = $3, ended_at = $4 WHERE flow = $1 AND id = $2
"""
BEFORE: Final = """
SELECT id, key, record, original, plan_hash, error_class, detail, path, fingerprint FROM intops.messages
WHERE flow = $1 AND id = ANY($2::bigint[]) AND state = 'review' ORDER BY id FOR UPDATE
"""
DISCARD: Final = """
UPDATE intops.messages SET state = 'discarded', reason = 'discard', ended_at = $3, review_at = NULL,
  review_since = NULL, head = false, edition = edition + 1 WHERE flow = $1 AND id = ANY($2::bigint[])
"""
TAKE_UP: Final = """
UPDATE intops.messages SET state = 'waiting',
  stage = CASE WHEN stage IN ('completing', 'confirming', 'moving') THEN stage ELSE 'mapped' END,
  reason = $4, due_at = $3, tries = 0,
  error_class = NULL, detail = NULL, path = NULL, held_for = NULL, ended_at = NULL, review_at = NULL,
  fingerprint = NULL, review_since = NULL, head = NULL, edition = edition + 1
WHERE flow = $1 AND id = ANY($2::bigint[])
"""
REWRITE: Final = """
UPDATE intops.messages m SET key = g.key, lane = g.lane, record = g.record,
  plan_hash = coalesce(g.plan_hash, m.plan_hash), variant = coalesce(g.variant, m.variant), crc = g.crc
FROM unnest($2::bigint[], $3::text[], $4::smallint[], $5::text[], $6::text[], $7::text[], $8::bigint[])
  AS g(id, key, lane, record, plan_hash, variant, crc) WHERE m.flow = $1 AND m.id = g.id
"""
TELL: Final = """
INSERT INTO intops.transitions(flow, message_id, at, from_state, to_state, reason)
SELECT $1::int, id, $3::float8, 'review', state, $4::text FROM intops.messages
WHERE flow = $1 AND id = ANY($2::bigint[])
"""
REOPEN: Final = """
UPDATE intops.attempts a SET gave_up_at = last.outcome_at, outcome_at = NULL, outcome = NULL
FROM (SELECT DISTINCT ON (message_id) id, outcome_at, outcome FROM intops.attempts
  WHERE flow = $1 AND message_id = ANY($2::bigint[]) ORDER BY message_id, id DESC) AS last
WHERE a.flow = $1 AND a.id = last.id AND last.outcome = 'unknown' RETURNING a.id, last.outcome_at AS ended
"""
NOTICES: Final = "SELECT kind, fingerprint, at FROM intops.notices WHERE flow = $1"
NOTE_NOTICE: Final = """
INSERT INTO intops.notices(flow, kind, fingerprint, at) VALUES($1, $2, $3, $4)
ON CONFLICT(flow, kind, fingerprint) DO UPDATE SET at = greatest(excluded.at, notices.at)
"""
OLD_DECISIONS: Final = """
DELETE FROM intops.decisions WHERE flow = $1 AND ended_at < extract(epoch FROM clock_timestamp()) - $2::float8
"""
OLD_NOTICES: Final = """
DELETE FROM intops.notices n WHERE n.flow = $1 AND n.at < extract(epoch FROM clock_timestamp()) - $2::float8
  AND NOT EXISTS(SELECT 1 FROM intops.messages m WHERE m.flow = n.flow AND m.fingerprint = n.fingerprint
    AND m.state = 'review')
"""
_TAKEN: Final = "Another replica applies this decision; ask again for its answer."


async def items(db: Connection, flow: int, wanted: Wanted, skew_s: float) -> list[ReviewItem]:
    """Messages in review, oldest first; their times are ours, `skew_s` behind the server's."""
    asked = {
        "m.id = ANY(${}::bigint[])": list(wanted.messages) or None,
        "m.fingerprint = ${}": wanted.fingerprint,
        "m.review_since <= ${}": None if wanted.since is None else wanted.since + skew_s,
    }
    asked = {condition: value for condition, value in asked.items() if value is not None}
    # Only what was asked for stands in the query, so that an index can serve it.
    where = "".join(f" AND {words.format(n)}" for n, words in enumerate(asked, start=4))
    query = f"{_ITEM}{where} ORDER BY m.id LIMIT $3"
    rows = await db.fetch(query, flow, wanted.after, wanted.limit, *asked.values())
    return [_item(row, skew_s) for row in rows]


def _item(row: Any, skew_s: float) -> ReviewItem:
    due_at = row["review_at"]
    return ReviewItem(
        id=row["id"], delivery_id=row["delivery_id"], source=row["source"], key=row["key"],
        stage=row["stage"], reason=row["reason"], error_class=row["error_class"],
        detail=row["detail"], path=row["path"], fingerprint=row["fingerprint"] or "",
        plan_hash=row["plan_hash"], received_at=row["received_at"] - skew_s,
        due_at=None if due_at is None else due_at - skew_s, record=_loads(row["record"]),
        original=_loads(row["original"]), payload=row["body"] or b"",
        headers=_loads(row["headers"]) or {}, variant=row["variant"], unknown=row["unknown"],
        newer=row["newer"],
    )  # fmt: skip


async def groups(db: Connection, flow: int, limit: int, skew_s: float) -> list[ReviewGroup]:
    """Groups of equal errors, the one that is due first before the others."""
    return [
        ReviewGroup(
            row["fingerprint"] or "", row["count"], row["first"], row["error_class"],
            row["reason"], row["path"], row["detail"], row["source"], row["plan_hash"],
            row["received_at"] - skew_s, None if row["due_at"] is None else row["due_at"] - skew_s,
            (row["newest_at"] or row["received_at"]) - skew_s, tuple(row["ids"]),
        )
        for row in await db.fetch(GROUPS, flow, limit, IDS_SHOWN)
    ]  # fmt: skip


def _loads(text: str | None) -> Any:
    """A stored value; None where there is none, or where the disk has damaged it."""
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None


@dataclass(frozen=True, slots=True)
class Begun:
    """A decision that is brought: to which replica, by its name of this life, and when."""

    decision_id: str
    owner: str
    now: float


@dataclass(frozen=True, slots=True)
class Part:
    """Some messages of a decision, as far as they are resolved."""

    begun: Begun
    decision: Decision
    resolutions: list[Resolution]


@dataclass(frozen=True, slots=True)
class End:
    """The last part of a decision has been applied."""

    begun: Begun
    decision: Decision
    answer: Answer


@dataclass(frozen=True, slots=True)
class Noticed:
    """People were told by a channel about a fingerprint."""

    kind: str
    fingerprint: str
    entry: Entry
    now: float


@dataclass(frozen=True, slots=True)
class _Known:
    """What is stored of a decision that is ours."""

    at: float
    ended: bool
    answer: Answer


async def _claim(unit: Unit, begun: Begun) -> _Known | None:
    """Take a decision, or see that it is still ours or has ended; None where another replica has it.

    The row stays locked until the transaction ends.
    """
    await unit.db.execute(CLAIM, unit.flow, begun.decision_id, begun.now, begun.owner)
    row = await unit.db.fetchrow(DECISION, unit.flow, begun.decision_id)
    if row["ended_at"] is None and row["owner"] != begun.owner:
        return None
    return _Known(row["at"], row["ended_at"] is not None, so_far(orjson.loads(row["answer"])))


async def begin(unit: Unit, asked: list[Begun]) -> list[tuple[float, Answer | None] | StoreError]:
    """When decisions were first seen, and the answers of those that have been applied already."""
    found: list[tuple[float, Answer | None] | StoreError] = []
    for begun in asked:
        known = await _claim(unit, begun)
        if known is None:
            found.append(Elsewhere(_TAKEN))
        else:
            found.append((known.at, known.answer if known.ended else None))
    return found


async def apply(unit: Unit, parts: list[Part]) -> list[Applied | StoreError]:
    """Apply parts of decisions and record them; what is no longer in review is left alone."""
    found: list[Applied | StoreError] = []
    for part in parts:
        known = await _claim(unit, part.begun)
        if known is None or known.ended:
            found.append(Elsewhere(_TAKEN))
        else:
            found.append(await _apply(unit, part, known.answer))
    return found


async def _apply(unit: Unit, part: Part, earlier: Answer) -> Applied:
    decision, now = part.decision, part.begun.now
    wanted = {resolution.message_id: resolution for resolution in part.resolutions}
    before = {row["id"]: row for row in await unit.db.fetch(BEFORE, unit.flow, list(wanted))}
    changing = [wanted[number] for number in before]
    for resolution in changing:
        known = _before(before[resolution.message_id])
        unit.tell(audit_entries.decided(decision, resolution, known), now)
        unit.moved("review", "discarded" if resolution.discard else "waiting")
    gone = [r.message_id for r in changing if r.discard]
    kept = [r for r in changing if not r.discard]
    if gone:
        await unit.db.execute(DISCARD, unit.flow, gone, now)
    if kept:
        numbers = [r.message_id for r in kept]
        await unit.db.execute(TAKE_UP, unit.flow, numbers, now, decision.verb)
        await _rewrite(unit, [r for r in kept if r.record is not None], before)
    await unit.db.execute(TELL, unit.flow, list(before), now, decision.verb)
    doubtful = [r.message_id for r in kept if r.reopen]
    rows = await unit.db.fetch(REOPEN, unit.flow, doubtful) if doubtful else []
    answer = Answer(
        applied=earlier.applied + len(before), messages=(*earlier.messages, *before)[:IDS_SHOWN]
    )
    await unit.db.execute(KEEP, unit.flow, decision.id, _stored(answer), None)
    return Applied(tuple(before), {row["id"]: row["ended"] for row in rows})


def _before(row: Any) -> audit_entries.Before:
    return audit_entries.Before(
        key=row["key"], record=_loads(row["record"]), plan_hash=row["plan_hash"],
        error_class=row["error_class"], detail=row["detail"], path=row["path"],
        fingerprint=row["fingerprint"],
    )  # fmt: skip


async def _rewrite(unit: Unit, changed: list[Resolution], before: dict[int, Any]) -> None:
    """Corrected records under their keys, each with its own checksum."""
    if not changed:
        return
    columns: list[list[Any]] = [[] for _ in range(7)]
    for resolution in changed:
        was = before[resolution.message_id]
        key = plain(resolution.key or was["key"])
        record = orjson.dumps(resolution.record)
        original = None if was["original"] is None else was["original"].encode()
        values = (
            resolution.message_id, key, lane_of(key), record.decode(), resolution.plan_hash,
            plain(resolution.variant), checksum(key, record, original),
        )  # fmt: skip
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    await unit.db.execute(REWRITE, unit.flow, *columns)


async def end(unit: Unit, ends: list[End]) -> list[Answer | StoreError]:
    """Note the answers of decisions; from now on they are only given again."""
    found: list[Answer | StoreError] = []
    for last in ends:
        known = await _claim(unit, last.begun)
        if known is None:
            found.append(Elsewhere(_TAKEN))
            continue
        if known.ended:
            found.append(known.answer)
            continue
        full = whole(known.answer, last.answer)
        if full.refused is not None:
            unit.tell(audit_entries.refused(last.decision, full), last.begun.now)
        await unit.db.execute(
            KEEP, unit.flow, last.begun.decision_id, _stored(full), last.begun.now
        )
        found.append(full)
    return found


def _stored(answer: Answer) -> str:
    return orjson.dumps(asdict(answer)).decode()


async def note_notices(unit: Unit, given: list[Noticed]) -> list[None]:
    """Note and record that people were told."""
    for one in given:
        await unit.db.execute(NOTE_NOTICE, unit.flow, one.kind, one.fingerprint, one.now)
        unit.tell(one.entry, one.now)
    return [None for _ in given]


async def note(unit: Unit, given: list[tuple[Entry, float]]) -> list[None]:
    """Record what is not about one message. A plan is told once, by whichever replica is first."""
    for entry, now in given:
        if entry.action == "planLoaded":
            plan = str(entry.facts["plan"])
            if await unit.db.fetchval(NEW_PLAN, unit.flow, plan) is None:
                continue
        unit.tell(entry, now)
    return [None for _ in given]


async def forget(db: Connection, flow: int) -> None:
    """Forget decisions that nobody will repeat any more, and notices about what is decided."""
    await db.execute(OLD_DECISIONS, flow, KEEP_DECISIONS_S)
    await db.execute(OLD_NOTICES, flow, KEEP_NOTICES_S)
