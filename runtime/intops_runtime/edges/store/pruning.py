"""Forgets what ended long ago, a few rows at a time, so that no message waits for it.

Called by the store when the worker is idle.
"""

import contextlib
from collections.abc import Iterator
from typing import Final

import apsw

from intops_api.report import KEEP_ENDED_S
from intops_runtime.edges.store import audits, reviews
from intops_runtime.edges.store.deliveries import DEDUP_HORIZON_S
from intops_runtime.edges.store.tally import FORGOTTEN, Tally, counter_of

BATCH: Final = 200

# The newest row stays whatever its age: SQLite gives the number of a deleted last row away again, and a
# message number is part of idempotency keys, so a system would take the next write for a repeated one.
OLD_MESSAGES: Final = (
    "SELECT id, state, reason FROM messages WHERE ended_at < ? "
    "AND id < (SELECT max(id) FROM messages) ORDER BY ended_at LIMIT ?"
)
OLD_DELIVERIES: Final = (
    "SELECT id, state FROM deliveries d WHERE state IN ('split', 'malformed') AND at < ? "
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


def prune(db: apsw.Connection, tally: Tally, now: float) -> int:
    """Delete some of what may go, and overwrite it; returns how many rows went."""
    with overwriting(db):
        return _prune(db, tally, now)


def _prune(db: apsw.Connection, tally: Tally, now: float) -> int:
    before = db.total_changes()
    until = (now - KEEP_ENDED_S, BATCH)
    for number, state, reason in db.execute(OLD_MESSAGES, until).fetchall():
        db.execute("DELETE FROM transitions WHERE message_id = ?", (number,))
        db.execute("DELETE FROM attempts WHERE message_id = ?", (number,))
        db.execute("DELETE FROM messages WHERE id = ?", (number,))
        tally.add(FORGOTTEN + counter_of(str(state), str(reason)))
    for number, state in db.execute(OLD_DELIVERIES, until).fetchall():
        db.execute("DELETE FROM deliveries WHERE id = ?", (number,))
        tally.add(FORGOTTEN + str(state))
    db.execute(OLD_COPIES, (now - DEDUP_HORIZON_S, BATCH))
    reviews.forget(db, now)
    audits.forget(db, now)
    return db.total_changes() - before
