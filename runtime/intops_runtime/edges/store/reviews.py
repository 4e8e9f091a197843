"""The review queue in SQL: what waits for a person, and what that person decided.

Run on the store's own thread.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

import apsw
import orjson

from intops_runtime.core import audit_entries
from intops_runtime.core.audit_entries import Before
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
from intops_runtime.edges.store import audits
from intops_runtime.edges.store.deliveries import checksum
from intops_runtime.edges.store.lanes import come_back
from intops_runtime.edges.store.tally import Tally

IDS_SHOWN: Final = 20
KEEP_NOTICES_S: Final = 3600.0
KEEP_DECISIONS_S: Final = 30 * 86400.0

_ITEM: Final = (
    "SELECT m.id, m.delivery_id, m.source, m.key, m.stage, m.reason, m.error_class, m.detail, m.path, "
    "m.fingerprint, m.plan_hash, m.received_at, m.review_at, CAST(m.record AS BLOB), "
    "CAST(m.original AS BLOB), d.body, d.headers, m.variant, "
    "(SELECT a.binding FROM attempts a WHERE a.message_id = m.id AND a.outcome = 'unknown' "
    " AND a.id = (SELECT max(id) FROM attempts WHERE message_id = m.id)), "
    "(SELECT count(*) FROM messages n WHERE n.key = m.key AND n.id > m.id AND n.state = 'done') "
    "FROM messages m LEFT JOIN deliveries d ON d.id = m.delivery_id WHERE m.state = 'review' "
)
_GROUPS: Final = (
    "SELECT fingerprint, count(*), min(id), min(review_at), max(review_since) FROM messages "
    "INDEXED BY messages_fingerprint WHERE state = 'review' GROUP BY fingerprint "
    "ORDER BY 4 LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages in review; None leaves a condition out. `since` is when they came, at the latest."""

    messages: tuple[int, ...] = ()
    fingerprint: str | None = None
    after: int = 0
    since: float | None = None
    limit: int = 200


def items(db: apsw.Connection, wanted: Wanted) -> list[ReviewItem]:
    """Messages in review, oldest first."""
    conditions, values = ["m.id > ?"], [wanted.after]
    given: list[Any] = list(values)
    if wanted.messages:
        conditions.append("m.id IN (SELECT value FROM json_each(?))")
        given.append(orjson.dumps(list(wanted.messages)).decode())
    if wanted.fingerprint is not None:
        conditions.append("m.fingerprint = ?")
        given.append(wanted.fingerprint)
    if wanted.since is not None:
        conditions.append("m.review_since <= ?")
        given.append(wanted.since)
    query = _ITEM + "".join(f"AND {c} " for c in conditions) + "ORDER BY m.id LIMIT ?"
    return [_item(row) for row in db.execute(query, (*given, wanted.limit)).fetchall()]


def groups(db: apsw.Connection, limit: int) -> list[ReviewGroup]:
    """Groups of equal errors, the one that is due first before the others."""
    found: list[Any] = db.execute(_GROUPS, (limit,)).fetchall()
    return [_group(db, *row) for row in found]


def _group(
    db: apsw.Connection,
    fingerprint: str,
    count: int,
    first: int,
    due_at: float | None,
    newest_at: float,
) -> ReviewGroup:
    row: Any = db.execute(
        "SELECT error_class, reason, path, detail, source, plan_hash, received_at FROM messages "
        "WHERE id = ?",
        (first,),
    ).fetchone()
    ids = db.execute(
        "SELECT id FROM messages INDEXED BY messages_fingerprint WHERE state = 'review' "
        "AND fingerprint = ? ORDER BY id LIMIT ?",
        (fingerprint, IDS_SHOWN),
    )
    error_class, reason, path, detail, source, plan_hash, received_at = row
    return ReviewGroup(
        fingerprint, count, first, error_class, reason, path, detail, source, plan_hash,
        received_at, due_at, newest_at, tuple(int(str(found[0])) for found in ids),
    )  # fmt: skip


def _item(row: Any) -> ReviewItem:
    return ReviewItem(
        id=row[0], delivery_id=row[1], source=row[2], key=row[3], stage=row[4], reason=row[5],
        error_class=row[6], detail=row[7], path=row[8], fingerprint=row[9] or "", plan_hash=row[10],
        received_at=row[11], due_at=row[12], record=_loads(row[13]), original=_loads(row[14]),
        payload=bytes(row[15] or b""), headers=_loads(row[16]) or {}, variant=row[17],
        unknown=row[18], newer=row[19],
    )  # fmt: skip


def _loads(text: Any) -> Any:
    """A stored value; None where there is none, or where the volume has damaged it."""
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None


def begin(db: apsw.Connection, decision_id: str, now: float) -> tuple[float, Answer | None]:
    """When a decision was first seen, and its answer if it has been applied already."""
    db.execute("INSERT OR IGNORE INTO decisions VALUES(?, ?, NULL, '{}')", (decision_id, now))
    row: Any = db.execute(
        "SELECT at, ended_at, answer FROM decisions WHERE id = ?", (decision_id,)
    ).fetchone()
    answer = so_far(orjson.loads(row[2])) if row[1] is not None else None
    return row[0], answer


def apply(
    db: apsw.Connection,
    tally: Tally,
    decision: Decision,
    resolutions: Iterable[Resolution],
    now: float,
) -> Applied:
    """Apply a part of a decision and record it; messages that are no longer in review are left alone."""
    changed: list[int] = []
    reopened: dict[int, float] = {}
    for resolution in resolutions:
        before: Any = db.execute(
            "SELECT state, key, CAST(record AS BLOB), CAST(original AS BLOB), plan_hash, error_class, "
            "detail, path, fingerprint, reason FROM messages WHERE id = ?",
            (resolution.message_id,),
        ).fetchone()
        if before is None or before[0] != "review":
            continue
        _audit(db, decision, resolution, before, now)
        new = "discarded" if resolution.discard else "waiting"
        if resolution.discard:
            _discard(db, resolution.message_id, now)
        else:
            _take_up(db, resolution, before, decision.verb, now)
        db.execute(
            "INSERT INTO transitions VALUES(?, ?, 'review', ?, ?, 0)",
            (resolution.message_id, now, new, decision.verb),
        )
        tally.moved("review", new, decision.verb)
        if not resolution.discard:
            come_back(db, resolution.key or before[1], resolution.message_id)
        if resolution.reopen:
            reopened.update(_reopen(db, resolution.message_id))
        changed.append(resolution.message_id)
    known = _so_far(db, decision.id)
    kept = Answer(
        applied=known.applied + len(changed),
        messages=(*known.messages, *changed)[:IDS_SHOWN],
    )
    _keep(db, decision.id, kept)
    return Applied(tuple(changed), reopened)


def end(db: apsw.Connection, decision: Decision, answer: Answer, now: float) -> Answer:
    """Note the answer of a decision; from now on it is only given again."""
    full = whole(_so_far(db, decision.id), answer)
    if full.refused is not None:
        audits.append(db, audit_entries.refused(decision, full), now)
    _keep(db, decision.id, full)
    db.execute("UPDATE decisions SET ended_at = ? WHERE id = ?", (now, decision.id))
    return full


def notices(db: apsw.Connection) -> dict[tuple[str, str], float]:
    """When each kind of notice was given about each fingerprint."""
    rows: list[Any] = db.execute("SELECT kind, fingerprint, at FROM notices").fetchall()
    return {(kind, fingerprint): at for kind, fingerprint, at in rows}


def note_notice(db: apsw.Connection, kind: str, fingerprint: str, entry: Entry, now: float) -> None:
    """Note and record that people were told."""
    db.execute("INSERT OR REPLACE INTO notices VALUES(?, ?, ?)", (kind, fingerprint, now))
    audits.append(db, entry, now)


def forget(db: apsw.Connection, now: float) -> None:
    """Forget decisions that nobody will repeat any more."""
    db.execute("DELETE FROM decisions WHERE ended_at < ?", (now - KEEP_DECISIONS_S,))
    db.execute(
        "DELETE FROM notices WHERE at < ? AND fingerprint NOT IN "
        "(SELECT fingerprint FROM messages INDEXED BY messages_fingerprint WHERE state = 'review')",
        (now - KEEP_NOTICES_S,),
    )


def _so_far(db: apsw.Connection, decision_id: str) -> Answer:
    """What parts of a decision have done before this one; nothing at its first."""
    row: Any = db.execute("SELECT answer FROM decisions WHERE id = ?", (decision_id,)).fetchone()
    return so_far(orjson.loads(row[0])) if row is not None else Answer()


def _keep(db: apsw.Connection, decision_id: str, answer: Answer) -> None:
    text = orjson.dumps(asdict(answer)).decode()
    db.execute("UPDATE decisions SET answer = ? WHERE id = ?", (text, decision_id))


def _audit(
    db: apsw.Connection, decision: Decision, resolution: Resolution, before: Any, now: float
) -> None:
    known = Before(
        key=before[1], record=_loads(before[2]), plan_hash=before[4], error_class=before[5],
        detail=before[6], path=before[7], fingerprint=before[8],
    )  # fmt: skip
    audits.append(db, audit_entries.decided(decision, resolution, known), now)


def _discard(db: apsw.Connection, number: int, now: float) -> None:
    db.execute(
        "UPDATE messages SET state = 'discarded', reason = 'discard', ended_at = ?, review_at = NULL, "
        "review_since = NULL WHERE id = ?",
        (now, number),
    )


def _take_up(
    db: apsw.Connection, resolution: Resolution, before: Any, verb: str, now: float
) -> None:
    db.execute(
        "UPDATE messages SET state = 'waiting', "
        "stage = CASE WHEN stage IN ('completing', 'confirming', 'moving') THEN stage ELSE 'mapped' END, "
        "reason = ?, due_at = ?, tries = 0, "
        "error_class = NULL, detail = NULL, path = NULL, held_for = NULL, ended_at = NULL, "
        "review_at = NULL, fingerprint = NULL, review_since = NULL WHERE id = ?",
        (verb, now, resolution.message_id),
    )
    if resolution.record is None:
        return
    key = resolution.key or before[1]
    record = orjson.dumps(resolution.record)
    db.execute(
        "UPDATE messages SET key = ?, record = ?, plan_hash = coalesce(?, plan_hash), "
        "variant = coalesce(?, variant), crc = ? WHERE id = ?",
        (
            key,
            record.decode(),
            resolution.plan_hash,
            resolution.variant,
            checksum(key, record, before[3]),
            resolution.message_id,
        ),
    )


def _reopen(db: apsw.Connection, number: int) -> dict[int, float]:
    """Forget that the last attempt of a message was given up, so that it is looked up first."""
    row: Any = db.execute(
        "SELECT id, outcome_at, outcome FROM attempts WHERE message_id = ? ORDER BY id DESC LIMIT 1",
        (number,),
    ).fetchone()
    if row is None or row[2] != "unknown":
        return {}
    db.execute("UPDATE attempts SET outcome_at = NULL, outcome = NULL WHERE id = ?", (row[0],))
    return {row[0]: row[1]}
