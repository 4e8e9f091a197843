"""Deliveries in SQL: kept as they came, then split into messages. Run on the store's own thread."""

import hashlib
import zlib

import apsw
import orjson

from intops_runtime.core.failpoints import reach
from intops_runtime.core.fingerprints import fingerprint
from intops_runtime.core.messages import Accepted, Delivery, IntakeResult, NewMessage
from intops_runtime.edges.store import audits
from intops_runtime.edges.store.tally import Tally

# PagerDuty repeats for 48 hours (domain reference, section 2.1); a day more.
DEDUP_HORIZON_S = 72 * 3600.0


def insert(
    db: apsw.Connection,
    tally: Tally,
    source: str,
    delivery_id: str | None,
    headers: dict[str, str],
    body: bytes,
    at: float,
) -> Accepted:
    """Keep one delivery, unless the same source has sent one of this id."""
    db.execute(
        "INSERT OR IGNORE INTO deliveries(source, delivery_id, headers, body, sha256, at, state) "
        "VALUES(?, ?, ?, ?, ?, ?, 'pending')",
        (source, delivery_id, orjson.dumps(headers).decode(), body, _checksum(body), at),
    )
    reach("K07")
    if db.changes():
        tally.add("captured")
        tally.add("pending")
        tally.used_bytes += len(body)  # a burst can fill a volume between two looks
        return Accepted(db.last_insert_rowid(), duplicate=False)
    known = db.execute(
        "SELECT id FROM deliveries WHERE source = ? AND delivery_id = ?", (source, delivery_id)
    ).get
    return Accepted(int(known), duplicate=True)


# Texts as bytes: damaged ones must reach the one who sets them aside, not a decoder.
_KEPT = (
    "SELECT id, CAST(source AS BLOB), CAST(delivery_id AS BLOB), CAST(headers AS BLOB), body, at, sha256 "
    "FROM deliveries "
)


def pending(db: apsw.Connection, limit: int) -> list[Delivery]:
    """Deliveries that are not yet split, in the order of arrival."""
    rows = db.execute(_KEPT + "WHERE state = 'pending' ORDER BY id LIMIT ?", (limit,))
    return [_delivery(*row) for row in rows]


def stored(db: apsw.Connection, since: float, below: int | None, limit: int) -> list[Delivery]:
    """Deliveries since a moment and below a number, newest first, as they came."""
    rows = db.execute(
        _KEPT + "WHERE at >= ?1 AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3",
        (since, below, limit),
    )
    return [_delivery(*row) for row in rows]


def _delivery(
    number: int,
    source: bytes,
    name: bytes | None,
    headers: bytes,
    body: bytes,
    at: float,
    sha: bytes,
) -> Delivery:
    damaged = _checksum(body) != sha
    try:
        known = orjson.loads(headers)
    except ValueError:
        known, damaged = {}, True
    try:
        return Delivery(number, source.decode(), (name or b"").decode(), known, body, at, damaged)
    except UnicodeDecodeError:
        return Delivery(number, source.decode(errors="replace"), "", known, body, at, damaged=True)


def split(
    db: apsw.Connection, tally: Tally, result: IntakeResult, *, now: float, due_at: float
) -> None:
    """Messages in, delivery settled. `due_at` is when a person must have looked at review items."""
    state = "malformed" if result.malformed else "split"
    row = db.execute(
        "UPDATE deliveries SET state = ?, detail = ? WHERE id = ? AND state = 'pending' "
        "RETURNING CAST(source AS BLOB), at",
        (state, result.malformed, result.delivery_id),
    ).get
    if row is None:
        return  # settled before a crash that lost only the answer
    source, received_at = row[0].decode(errors="replace"), row[1]
    for message in result.messages:
        _insert_message(db, tally, result.delivery_id, source, received_at, message, now, due_at)
    tally.add("pending", -1)
    tally.add(state)


def _insert_message(
    db: apsw.Connection,
    tally: Tally,
    delivery_id: int,
    source: str,
    received_at: float,
    new: NewMessage,
    now: float,
    due_at: float,
) -> None:
    state, reason, error_class, detail = new.state.value, new.reason, new.error_class, new.detail
    if new.dedup is not None:
        db.execute("INSERT OR IGNORE INTO dedup VALUES(?, ?, ?)", (source, new.dedup, now))
        if not db.changes():
            state, reason, error_class, detail = "dropped", "duplicate", None, None
    record, original = _json(new.record), _json(new.original)
    in_review = state == "review"
    cause = fingerprint(error_class, reason, new.path, detail) if in_review else None
    db.execute(
        "INSERT INTO messages(delivery_id, item, source, key, state, stage, reason, due_at, plan_hash, "
        "record, original, variant, error_class, detail, path, received_at, ended_at, review_at, crc, "
        "fingerprint, review_since, head) "
        "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, "
        "?20, ?21, ?5 IN ('waiting', 'held', 'sending') AND NOT EXISTS(SELECT 1 FROM messages "
        "INDEXED BY messages_key WHERE key = ?4 AND state IN ('waiting', 'held', 'sending')))",
        (
            delivery_id,
            new.item,
            source,
            new.key,
            state,
            new.stage,
            reason,
            now,
            new.plan_hash,
            None if record is None else record.decode(),
            None if original is None else original.decode(),
            new.variant,
            error_class,
            detail,
            new.path,
            received_at,
            now if state == "dropped" else None,
            due_at if in_review else None,
            checksum(new.key, record, original),
            cause,
            now if in_review else None,
        ),
    )
    number = db.last_insert_rowid()
    db.execute("INSERT INTO transitions VALUES(?, ?, NULL, ?, ?, 0)", (number, now, state, reason))
    tally.add("received")
    tally.moved(None, state, reason)
    if cause is not None:
        audits.not_mapped(db, number, new, cause, now)


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


def checksum(key: str, record: bytes | None, original: bytes | None) -> int:
    """What is kept beside the parts of a message that are delivered; 32 bits see any single flip."""
    return zlib.crc32(b"\0".join((key.encode(), record or b"", original or b"")))


def _json(value: object) -> bytes | None:
    return None if value is None else orjson.dumps(value)
