"""Forgets what ended long ago, a few rows at a time, so that no message waits for it.

Called by the store when the worker is idle.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import apsw

from intops_api.report import KEEP_ENDED_S
from intops_runtime.edges.store import audits, reviews
from intops_runtime.edges.store.deliveries import DEDUP_HORIZON_S
from intops_runtime.edges.store.tally import FORGOTTEN, Tally, counter_of

BATCH: Final = 200
BATCH_BYTES: Final = 4 * 1024 * 1024
"""What one transaction overwrites goes through the log: it needs as much room as what it deletes."""

WAYS: Final = ((BATCH, True), (1, True), (1, False))
"""How to prune, each where the one before found no room: most rows, and whether they are overwritten at once."""

# The newest row stays whatever its age: SQLite gives the number of a deleted last row away again, and a
# message number is part of idempotency keys, so a system would take the next write for a repeated one.
OLD_MESSAGES: Final = (
    "SELECT id, coalesce(octet_length(record), 0) + coalesce(octet_length(original), 0), state, reason "
    "FROM messages WHERE ended_at < ? "
    "AND id < (SELECT max(id) FROM messages) ORDER BY ended_at LIMIT ?"
)
OLD_DELIVERIES: Final = (
    "SELECT id, octet_length(body), state FROM deliveries d WHERE state IN ('split', 'malformed') AND at < ? "
    "AND id < (SELECT max(id) FROM deliveries) "
    "AND NOT EXISTS(SELECT 1 FROM messages m WHERE m.delivery_id = d.id) ORDER BY at LIMIT ?"
)
OLD_COPIES: Final = (
    "DELETE FROM dedup WHERE (source, id) IN (SELECT source, id FROM dedup WHERE at < ? LIMIT ?)"
)


@contextlib.contextmanager
def overwriting(db: apsw.Connection) -> Iterator[None]:
    """What is deleted meanwhile is overwritten with zeros: whoever gets the file must not read it there.

    Off at other times, when nothing is deleted that anybody sent.
    """
    list(db.execute("PRAGMA secure_delete=ON"))
    try:
        yield
    finally:
        list(db.execute("PRAGMA secure_delete=OFF"))


def prune(db: apsw.Connection, tally: Tally, now: float, rows: int, *, overwrite: bool) -> int:
    """Delete some of what may go, at most so many rows of a kind; returns how many rows went.

    What is not overwritten is on free pages afterwards: give them all back (`free_pages`).
    """
    if not overwrite:
        return _prune(db, tally, now, rows)
    with overwriting(db):
        return _prune(db, tally, now, rows)


def free_pages(db: apsw.Connection) -> int:
    """Pages of the file that hold nothing any more."""
    return int(db.pragma("freelist_count"))


def _prune(db: apsw.Connection, tally: Tally, now: float, rows: int) -> int:
    before = db.total_changes()
    until = (now - KEEP_ENDED_S, rows)
    messages, left = _as_fit(db.execute(OLD_MESSAGES, until).fetchall(), BATCH_BYTES)
    for number, _, state, reason in messages:
        db.execute("DELETE FROM transitions WHERE message_id = ?", (number,))
        db.execute("DELETE FROM attempts WHERE message_id = ?", (number,))
        db.execute("DELETE FROM messages WHERE id = ?", (number,))
        tally.add(FORGOTTEN + counter_of(str(state), str(reason)))
    if left > 0:
        bodies, _ = _as_fit(db.execute(OLD_DELIVERIES, until).fetchall(), left)
        for number, _, state in bodies:
            db.execute("DELETE FROM deliveries WHERE id = ?", (number,))
            tally.add(FORGOTTEN + str(state))
    db.execute(OLD_COPIES, (now - DEDUP_HORIZON_S, rows))
    if rows == BATCH:
        reviews.forget(db, now)
        audits.forget(db, now)
    return db.total_changes() - before


def _as_fit(found: list[Any], room: int) -> tuple[list[Any], int]:
    """The first of these rows (their second value is bytes) that fit, at least one; and the room left."""
    fit: list[Any] = []
    for row in found:
        if fit and row[1] > room:
            return fit, 0
        fit.append(row)
        room -= row[1]
    return fit, room
