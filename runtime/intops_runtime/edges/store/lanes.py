"""Lanes in SQL: which messages may run, what was meant to be sent, what became of it.

Run on the store's own thread. Within one process leases are held in memory by the store. More than 400 lines,
because reads and writes of one row share its statements and its checksum: apart they could disagree.
"""

import zlib
from collections.abc import Collection, Sequence
from typing import Any, Final

import apsw
import orjson

from intops_runtime.core.fingerprints import fingerprint
from intops_runtime.core.messages import (
    IN_FLIGHT,
    Attempt,
    Episode,
    Leased,
    Link,
    Message,
    Settlement,
    State,
)
from intops_runtime.edges.store import audits
from intops_runtime.edges.store.deliveries import checksum
from intops_runtime.edges.store.tally import Tally

# Indexes are named where a query runs for every message: left alone, the planner takes the one on the
# state and looks at all that is in flight.
# What is delivered is read as bytes: a damaged text must reach its checksum, not a decoder.
DUE: Final = (
    "SELECT id FROM messages INDEXED BY messages_due WHERE head = 1 AND state IN ('waiting', 'sending') "
    "AND due_at <= ? ORDER BY due_at, id LIMIT ?"
)
# Everything that is known of some messages, in the order in which they are due; a row for each link.
LEASED: Final = (
    "SELECT m.id, m.delivery_id, m.item, m.source, m.key, m.state, m.stage, m.reason, m.due_at, m.tries, "
    "m.plan_hash, CAST(m.record AS BLOB), m.received_at, m.error_class, m.detail, m.path, m.variant, "
    "CAST(m.original AS BLOB), m.crc, "
    "a.id, a.message_id, a.step, a.binding, a.idem_key, a.plan_hash, a.intent_at, "
    "e.key, e.state, e.count, e.changed_at, e.data, e.crc, "
    "l.key, l.binding, l.connector, l.object, l.native_id, l.display_id, l.url, l.version, l.agreed, "
    "l.crc "
    "FROM json_each(?) wanted JOIN messages m ON m.id = wanted.value "
    "LEFT JOIN attempts a ON a.id = (SELECT max(id) FROM attempts "
    "WHERE message_id = m.id AND outcome_at IS NULL) "
    "LEFT JOIN episodes e ON e.key = m.key LEFT JOIN links l ON l.key = m.key ORDER BY wanted.key"
)
NEXT_DUE: Final = (
    "SELECT id, due_at FROM messages INDEXED BY messages_due WHERE head = 1 AND state IN ('waiting', 'sending') "
    "ORDER BY due_at, id LIMIT ?"
)
OLDEST_OF_KEY: Final = (
    "SELECT min(id) FROM messages INDEXED BY messages_key "
    "WHERE key = ? AND state IN ('waiting', 'held', 'sending')"
)
HASTEN: Final = (
    "UPDATE messages INDEXED BY messages_backoff SET due_at = ? "
    "WHERE state = 'waiting' AND held_for = ? AND due_at > ?"
)
HELD: Final = (
    "SELECT id FROM messages INDEXED BY messages_held WHERE state = 'held' AND held_for = ? "
    "ORDER BY id LIMIT ?"
)
HELD_BINDINGS: Final = (
    "SELECT DISTINCT held_for FROM messages INDEXED BY messages_held WHERE state = 'held'"
)
END_ATTEMPT: Final = (
    "UPDATE attempts SET outcome_at = CASE WHEN ?2 IS NULL THEN outcome_at ELSE ?1 END, "
    "outcome = coalesce(?2, outcome), error_class = coalesce(error_class, ?3), "
    "evidence = CASE WHEN json_valid(evidence) THEN json_patch(?4, evidence) ELSE ?4 END WHERE id = ?5"
)
# In its place where there is one: a row that is deleted and made anew would come last in the table.
PUT_LINK: Final = (
    "INSERT INTO links VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(key, binding) DO UPDATE SET "
    "connector = excluded.connector, object = excluded.object, native_id = excluded.native_id, "
    "display_id = excluded.display_id, url = excluded.url, version = excluded.version, "
    "agreed = excluded.agreed, crc = excluded.crc"
)
# Longer than any back-off, and than any pause that a system may ask for.
LONGEST_WAIT_S: Final = 6 * 3600.0
_DAMAGED: Final = (
    "What is stored of this message no longer matches its checksum, so it was not delivered; "
    "see the volume, then ask the source to send it again."
)
_ENDED = (State.DONE, State.DROPPED, State.DISCARDED)


def due(
    db: apsw.Connection,
    tally: Tally,
    numbers: Collection[int],
    keys: Collection[str],
    *,
    now: float,
    limit: int,
    review_at: float,
) -> list[Leased]:
    """Due messages that are the oldest unfinished of their key, at most `limit`.

    Those that run already, by their `numbers` and `keys`, are still in the table. A message whose stored
    values are damaged is set aside instead, to be looked at until `review_at`.
    """
    rows = db.execute(DUE, (now, limit + len(numbers)))
    wanted = [row[0] for row in rows if row[0] not in numbers][:limit]
    if not wanted:
        return []
    leased = []
    for number, known in _known(db, wanted).items():
        if known and known[0][4] in keys:
            continue
        one = _intact(known)
        if one is not None:
            leased.append(one)
            continue
        aside = Settlement(
            number, State.REVIEW, "act", "damaged",
            error_class="payloadMalformed", detail=_DAMAGED,
        )  # fmt: skip
        try:
            settle(db, tally, aside, now=now, due_at=review_at)
        except UnicodeDecodeError:
            _rename(db, number)
            settle(db, tally, aside, now=now, due_at=review_at)
    return leased


def _known(db: apsw.Connection, numbers: Collection[int]) -> dict[int, list[Any]]:
    """Rows of each message; none where the volume has made no text of any of them."""
    found: dict[int, list[Any]] = {}
    try:
        for row in db.execute(LEASED, (orjson.dumps(numbers).decode(),)):
            found.setdefault(row[0], []).append(row)
    except UnicodeDecodeError:
        if len(numbers) == 1:
            return {number: [] for number in numbers}
        return {n: rows for one in numbers for n, rows in _known(db, [one]).items()}
    return found


def _rename(db: apsw.Connection, number: int) -> None:
    """A message whose own words are no text any more gets others; whoever waited for it waits no longer."""
    db.execute(
        "UPDATE messages SET key = 'damaged:' || id, source = 'damaged', state = 'waiting', stage = 'act', "
        "reason = 'damaged', plan_hash = '', variant = NULL, held_for = NULL WHERE id = ?",
        (number,),
    )
    db.execute(
        "UPDATE messages SET head = 1 WHERE id IN (SELECT min(id) FROM messages "
        "WHERE state IN ('waiting', 'held', 'sending') GROUP BY key)"
    )


def _intact(rows: list[Any]) -> Leased | None:
    """A message with all that is known of its key; None where the volume has changed any of it."""
    if not rows:
        return None
    row = rows[0]
    record, original, crc = row[11], row[17], row[18]
    if crc is not None and crc != checksum(row[4], record, original):
        return None
    if row[26] is None and row[32] is not None:
        return None  # a record is linked together with its episode, so the volume has lost that
    beside = [(row[26:31], row[31]), *((one[32:41], one[41]) for one in rows)]
    if any(crc is not None and crc != _words_checksum(words) for words, crc in beside):
        return None
    try:
        return Leased(
            _message(row),
            orjson.loads(original) if original else None,
            Attempt(*row[19:26]) if row[19] is not None else None,
            tuple(_link(one[32:41]) for one in rows if one[32] is not None),
            _episode(row[26:31]) if row[26] is not None else None,
        )
    except ValueError:  # no JSON, no text, or no known state
        return None


def insert_attempt(
    db: apsw.Connection,
    tally: Tally,
    message_id: int,
    step: str,
    binding: str,
    idem_key: str,
    plan_hash: str,
    now: float,
) -> int:
    """Store an intent; its message is being sent from now on."""
    db.execute(
        "INSERT INTO attempts(message_id, step, binding, idem_key, plan_hash, intent_at) "
        "VALUES(?, ?, ?, ?, ?, ?)",
        (message_id, step, binding, idem_key, plan_hash, now),
    )
    attempt_id = db.last_insert_rowid()
    db.execute(
        "UPDATE messages SET state = 'sending' WHERE id = ? AND state = 'waiting'", (message_id,)
    )
    if db.changes():
        db.execute(
            "INSERT INTO transitions VALUES(?, ?, 'waiting', 'sending', ?, 0)",
            (message_id, now, step),
        )
        tally.moved(State.WAITING.value, State.SENDING.value, step)
    else:
        _send_again(db, tally, message_id, step, now)
    return attempt_id


def _send_again(db: apsw.Connection, tally: Tally, message_id: int, step: str, now: float) -> None:
    """A message that was not waiting is being sent; one that is being sent already stays as it is."""
    old = db.execute(
        "INSERT INTO transitions SELECT id, ?, state, 'sending', ?, 0 FROM messages "
        "WHERE id = ? AND state <> 'sending' RETURNING from_state",
        (now, step, message_id),
    ).get
    if old is not None:
        db.execute("UPDATE messages SET state = 'sending' WHERE id = ?", (message_id,))
        tally.moved(old, State.SENDING.value, step)


def end_attempt(
    db: apsw.Connection,
    attempt_id: int,
    outcome: str | None,
    error_class: str | None,
    evidence: dict[str, Any],
    now: float,
) -> None:
    """Store what is known of an attempt, beside what was known before; without an outcome it stays open."""
    db.execute(
        END_ATTEMPT, (now, outcome, error_class, orjson.dumps(evidence).decode(), attempt_id)
    )


def settle(
    db: apsw.Connection, tally: Tally, ended: Settlement, *, now: float, due_at: float
) -> None:
    """Store what became of a message, its attempt, its link and its episode."""
    (row,) = db.execute(
        "SELECT state, key, tries, plan_hash FROM messages WHERE id = ?", (ended.message_id,)
    )
    old, key, mapped_with = str(row[0]), str(row[1]), str(row[3])
    new, tries = ended.state.value, row[2] + int(ended.count_try)
    was_in_flight, is_in_flight = old in IN_FLIGHT, new in IN_FLIGHT
    in_review = ended.state is State.REVIEW
    cause = (
        fingerprint(ended.error_class, ended.reason, ended.path, ended.detail)
        if in_review
        else None
    )
    db.execute(
        "UPDATE messages SET state = ?, stage = ?, reason = ?, due_at = ?, tries = ?, "
        "error_class = ?, detail = ?, path = ?, held_for = ?, ended_at = ?, review_at = ?, "
        "fingerprint = ?, review_since = ?, head = head AND ? WHERE id = ?",
        (
            new,
            ended.stage,
            ended.reason,
            ended.due_at,
            tries,
            ended.error_class,
            ended.detail,
            ended.path,
            ended.held_for,
            now if ended.state in _ENDED else None,
            due_at if in_review else None,
            cause,
            now if in_review else None,
            is_in_flight,
            ended.message_id,
        ),
    )
    db.execute(
        "INSERT INTO transitions VALUES(?, ?, ?, ?, ?, ?)",
        (ended.message_id, now, old, new, ended.reason, tries),
    )
    tally.moved(old, new, ended.reason)
    if was_in_flight and not is_in_flight:
        _lead(db, db.execute(OLDEST_OF_KEY, (key,)).get)
    elif is_in_flight and not was_in_flight:
        come_back(db, key, ended.message_id)
    if ended.attempt_id is not None:
        end_attempt(db, ended.attempt_id, ended.outcome, ended.error_class, ended.evidence, now)
    audits.settled(db, ended, key=key, mapped_with=mapped_with, fingerprint=cause, now=now)
    if ended.link is not None:
        _put_link(db, ended.link)
    if ended.episode is not None:
        _put_episode(db, ended.episode)


def _put_episode(db: apsw.Connection, known: Episode) -> None:
    data = orjson.dumps(known.data).decode()
    words = (known.key, known.state, known.count, known.changed_at, data)
    db.execute(
        "INSERT OR REPLACE INTO episodes VALUES(?, ?, ?, ?, ?, ?)",
        (*words, _words_checksum(words)),
    )


def _words_checksum(words: Sequence[Any]) -> int:
    return zlib.crc32("\0".join(map(str, words)).encode())


def come_back(db: apsw.Connection, key: str, message_id: int) -> None:
    """A message is in its lane again: the oldest of its key that is unfinished leads."""
    oldest = db.execute(OLDEST_OF_KEY, (key,)).get
    if oldest == message_id:  # before another that has led since
        db.execute(
            "UPDATE messages SET head = 0 WHERE key = ? AND head = 1 "
            "AND state IN ('waiting', 'held', 'sending')",
            (key,),
        )
    _lead(db, oldest)


def _lead(db: apsw.Connection, oldest: int | None) -> None:
    """This message is the first of its key; none is where the key has no other."""
    if oldest is not None:
        db.execute("UPDATE messages SET head = 1 WHERE id = ?", (oldest,))


def unhold(db: apsw.Connection, tally: Tally, binding: str, now: float, limit: int) -> int:
    """Held messages of a binding wait again, oldest first."""
    numbers = [row[0] for row in db.execute(HELD, (binding, limit))]
    for number in numbers:
        db.execute(
            "UPDATE messages SET state = 'waiting', held_for = NULL, due_at = ? WHERE id = ?",
            (now, number),
        )
        db.execute(
            "INSERT INTO transitions VALUES(?, ?, 'held', 'waiting', 'gateOpen', 0)", (number, now)
        )
        tally.moved(State.HELD.value, State.WAITING.value, "gateOpen")
    return len(numbers)


def set_back(db: apsw.Connection, now: float, seconds: float) -> None:
    """The clock was set back: what is due later than now is due as much earlier, at the earliest now.

    What is due later than anything can be was stamped by a clock that was wrong: it is due now.
    """
    db.execute(
        "UPDATE messages SET due_at = CASE WHEN due_at - ?2 > ?1 + ?3 THEN ?1 "
        "ELSE max(?1, due_at - ?2) END WHERE state IN ('waiting', 'sending') AND due_at > ?1",
        (now, max(seconds, 0.0), LONGEST_WAIT_S),
    )
    db.execute(
        "UPDATE attempts SET intent_at = ?1 WHERE outcome_at IS NULL AND intent_at > ?1", (now,)
    )


def hasten(db: apsw.Connection, binding: str, now: float) -> None:
    """What waits out a back-off for a binding is due now."""
    db.execute(HASTEN, (now, binding, now))


def next_due(db: apsw.Connection, busy: set[int]) -> float | None:
    """When the next message may run that does not run already."""
    rows = db.execute(NEXT_DUE, (len(busy) + 1,))
    return next((float(at) for number, at in rows if number not in busy), None)


def _link(row: Any) -> Link:
    key, binding, connector, kind, native_id, display_id, url, version, agreed = row
    return Link(
        key, binding, connector, kind, native_id, display_id, url, version, orjson.loads(agreed)
    )


def _episode(row: Any) -> Episode:
    key, state, count, changed_at, data = row
    return Episode(key, state, count, changed_at, orjson.loads(data))


def _message(row: Any) -> Message:
    return Message(
        id=row[0],
        delivery_id=row[1],
        item=row[2],
        source=row[3],
        key=row[4],
        seq=row[0],
        state=State(row[5]),
        stage=row[6],
        reason=row[7],
        due_at=row[8],
        tries=row[9],
        plan_hash=row[10],
        record=orjson.loads(row[11]) if row[11] else None,
        received_at=row[12],
        error_class=row[13],
        detail=row[14],
        path=row[15],
        variant=row[16],
    )


def _put_link(db: apsw.Connection, link: Link) -> None:
    words = (
        link.key,
        link.binding,
        link.connector,
        link.object,
        link.native_id,
        link.display_id,
        link.url,
        link.version,
        orjson.dumps(link.agreed).decode(),
    )
    db.execute(
        PUT_LINK,
        (*words, _words_checksum(words)),
    )
