"""Which messages may run, in PostgreSQL, with all that is known of their keys.

Batches of equal jobs for a `postgres_writer.Writer`; only lanes that are held are looked at. Times are the
server's, in epoch seconds.
"""

from collections.abc import Set
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from intops_runtime.core.messages import Attempt, Episode, Leased, Link, Message, Settlement, State
from intops_runtime.edges.store.deliveries import checksum
from intops_runtime.edges.store.postgres_lanes import Tenancy, held_of
from intops_runtime.edges.store.postgres_settling import Ended, Lease, settle_held
from intops_runtime.edges.store.postgres_writer import Unit

SETTLE_NEW: Final = """
UPDATE intops.messages m SET head = NOT EXISTS(SELECT 1 FROM intops.messages e WHERE e.flow = m.flow
  AND e.key = m.key AND e.id < m.id AND e.state IN ('waiting', 'held', 'sending'))
WHERE m.flow = $1 AND m.lane = ANY($2::smallint[]) AND m.head IS NULL
  AND m.state IN ('waiting', 'held', 'sending')
"""
# A few of each lane, so that one lane's backlog hides no other's.
DUE: Final = """
SELECT m.*, EXISTS(SELECT 1 FROM intops.messages e WHERE e.flow = m.flow AND e.key = m.key AND e.id < m.id
    AND e.state IN ('waiting', 'held', 'sending')) AS overtakes
FROM (SELECT few.id, few.due_at FROM unnest($2::smallint[]) AS mine(lane) CROSS JOIN LATERAL (
    SELECT id, due_at FROM intops.messages WHERE flow = $1 AND lane = mine.lane AND head
      AND state IN ('waiting', 'sending') AND due_at <= $3 AND id <> ALL($4::bigint[])
    ORDER BY due_at, id LIMIT $6) AS few ORDER BY few.due_at, few.id LIMIT $5) AS picked
JOIN intops.messages m ON m.flow = $1 AND m.id = picked.id ORDER BY picked.due_at, picked.id
"""
NEXT_DUE: Final = """
SELECT min(few.due_at) FROM unnest($2::smallint[]) AS mine(lane) CROSS JOIN LATERAL (
  SELECT due_at FROM intops.messages WHERE flow = $1 AND lane = mine.lane AND head
    AND state IN ('waiting', 'sending') AND id <> ALL($3::bigint[]) ORDER BY due_at, id LIMIT 1) AS few
"""
DEMOTE: Final = "UPDATE intops.messages SET head = false WHERE flow = $1 AND id = ANY($2::bigint[])"
OPEN_ATTEMPTS: Final = """
SELECT DISTINCT ON (message_id) id, message_id, step, binding, idem_key, plan_hash, intent_at, gave_up_at
FROM intops.attempts WHERE flow = $1 AND message_id = ANY($2::bigint[]) AND outcome_at IS NULL
ORDER BY message_id, id DESC
"""
LINKS: Final = """
SELECT key, binding, connector, object, native_id, display_id, url, version, agreed
FROM intops.links WHERE flow = $1 AND key = ANY($2::text[]) ORDER BY key, binding
"""
EPISODES: Final = """
SELECT key, state, count, changed_at, data FROM intops.episodes
WHERE flow = $1 AND key = ANY($2::text[])
"""
UNHOLD: Final = """
WITH let AS (
  UPDATE intops.messages SET state = 'waiting', held_for = NULL, due_at = $5, edition = edition + 1
  WHERE flow = $1 AND id IN (
    SELECT id FROM intops.messages WHERE flow = $1 AND state = 'held' AND held_for = $2
      AND lane = ANY($3::smallint[]) ORDER BY id LIMIT $4) RETURNING id)
INSERT INTO intops.transitions(flow, message_id, at, from_state, to_state, reason)
SELECT $1::int, id, $5::float8, 'held', 'waiting', 'gateOpen' FROM let
"""
HASTEN: Final = """
UPDATE intops.messages SET due_at = $4 WHERE flow = $1 AND state = 'waiting' AND held_for = $2
  AND lane = ANY($3::smallint[]) AND due_at > $4
"""
HELD_BINDINGS: Final = """
SELECT DISTINCT held_for FROM intops.messages WHERE flow = $1 AND state = 'held'
  AND lane = ANY($2::smallint[])
"""
FEWEST_A_LANE: Final = 8
_DAMAGED: Final = (
    "What is stored of this message no longer matches its checksum, so it was not delivered; "
    "see the server's disks, then ask the source to send it again."
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A look for messages that may run."""

    tenancy: Tenancy
    numbers: list[int]
    """Messages that run here already."""
    keys: Set[str]
    now: float
    limit: int
    review_at: float


@dataclass(frozen=True, slots=True)
class Hurry:
    """A binding whose messages need not wait any longer."""

    tenancy: Tenancy
    binding: str
    now: float
    limit: int = 0


Found = list[tuple[Leased, Lease]]


async def due(unit: Unit, looks: list[Wanted]) -> list[Found]:
    """Due messages that are the oldest unfinished of their key; damaged ones are set aside."""
    return [await _due(unit, wanted) for wanted in looks]


async def _due(unit: Unit, wanted: Wanted) -> Found:
    lanes = sorted(await held_of(unit, wanted.tenancy, set(wanted.tenancy.lanes)))
    await unit.db.execute(SETTLE_NEW, unit.flow, lanes)
    a_lane = FEWEST_A_LANE + 2 * wanted.limit // max(len(lanes), 1)
    rows = await unit.db.fetch(
        DUE, unit.flow, lanes, wanted.now, wanted.numbers, wanted.limit, a_lane
    )
    overtaking = [row["id"] for row in rows if row["overtakes"]]
    if overtaking:
        await unit.db.execute(DEMOTE, unit.flow, overtaking)
    found: list[tuple[Any, Message, Any]] = []
    damaged: list[Ended] = []
    for row in rows:
        if row["overtakes"] or row["key"] in wanted.keys:
            continue
        lease = Lease(row["key"], row["lane"], row["edition"], wanted.tenancy)
        read = _intact(row)
        if read is None:
            aside = Settlement(
                row["id"], State.REVIEW, row["stage"], "damaged",
                error_class="payloadMalformed", detail=_DAMAGED,
            )  # fmt: skip
            damaged.append(Ended(lease, aside, wanted.now, wanted.review_at))
        else:
            found.append((lease, *read))
    await settle_held(unit, damaged)
    return await _with_surroundings(unit, found)


def _intact(row: Any) -> tuple[Message, Any] | None:
    """A message and its original; None where the disk has changed any of it."""
    record, original = row["record"], row["original"]
    parts = [None if text is None else text.encode() for text in (record, original)]
    if row["crc"] is not None and row["crc"] != checksum(row["key"], *parts):
        return None
    try:
        message = Message(
            id=row["id"], delivery_id=row["delivery_id"], item=row["item"], source=row["source"],
            key=row["key"], seq=row["id"], state=State(row["state"]), stage=row["stage"],
            reason=row["reason"], due_at=row["due_at"], tries=row["tries"],
            plan_hash=row["plan_hash"], record=orjson.loads(record) if record else None,
            received_at=row["received_at"], error_class=row["error_class"], detail=row["detail"],
            path=row["path"], variant=row["variant"],
        )  # fmt: skip
        return message, orjson.loads(original) if original else None
    except ValueError:
        return None


async def _with_surroundings(unit: Unit, found: list[tuple[Any, Message, Any]]) -> Found:
    """Messages with their open attempts, and with links and episodes of their keys."""
    if not found:
        return []
    numbers = [message.id for _, message, _ in found]
    keys = [message.key for _, message, _ in found]
    attempts: dict[int, Attempt] = {}
    given_up: dict[int, float] = {}
    for *row, gave_up_at in await unit.db.fetch(OPEN_ATTEMPTS, unit.flow, numbers):
        attempt = attempts[row[1]] = Attempt(*row)
        # Given up by whoever had the lane then, and opened again by a person on any replica.
        given_up[attempt.message_id] = gave_up_at or 0.0
    links: dict[str, list[Link]] = {}
    for row in await unit.db.fetch(LINKS, unit.flow, keys):
        link = Link(**{**row, "agreed": orjson.loads(row["agreed"])})
        links.setdefault(link.key, []).append(link)
    known = {}
    for row in await unit.db.fetch(EPISODES, unit.flow, keys):
        known[row["key"]] = Episode(**{**row, "data": orjson.loads(row["data"])})
    return [
        (
            Leased(
                message, original, attempts.get(message.id), tuple(links.get(message.key, ())),
                known.get(message.key),
                max(lease.tenancy.lanes[lease.lane].since, given_up.get(message.id, 0.0)),
            ),
            lease,
        )
        for lease, message, original in found
    ]  # fmt: skip


async def unhold(unit: Unit, hurries: list[Hurry]) -> list[int]:
    """Held messages of a binding wait again, oldest first, in the lanes that are ours."""
    answers = []
    for hurry in hurries:
        lanes = sorted(await held_of(unit, hurry.tenancy, set(hurry.tenancy.lanes)))
        status = await unit.db.execute(
            UNHOLD, unit.flow, hurry.binding, lanes, hurry.limit, hurry.now
        )
        count = int(status.rpartition(" ")[2])
        unit.moved(State.HELD.value, State.WAITING.value, count)
        answers.append(count)
    return answers


async def hasten(unit: Unit, hurries: list[Hurry]) -> list[None]:
    """What waits out a back-off for a binding is due now, in the lanes that are ours."""
    for hurry in hurries:
        lanes = sorted(await held_of(unit, hurry.tenancy, set(hurry.tenancy.lanes)))
        await unit.db.execute(HASTEN, unit.flow, hurry.binding, lanes, hurry.now)
    return [None for _ in hurries]


def moved_in_time(leased: Leased, by_s: float) -> Leased:
    """The same with every time that the lane compares with its own clock moved by some seconds."""
    message, attempt = leased.message, leased.open_attempt
    episode = leased.episode
    return replace(
        leased,
        message=replace(
            message, due_at=message.due_at + by_s, received_at=message.received_at + by_s
        ),
        open_attempt=None
        if attempt is None
        else replace(attempt, intent_at=attempt.intent_at + by_s),
        episode=None if episode is None else replace(episode, changed_at=episode.changed_at + by_s),
        since=leased.since + by_s,
    )
