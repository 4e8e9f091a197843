"""The audit chain in SQL: appended in the transaction that it records. Run on the store's own thread."""

import json
import os
from functools import lru_cache
from typing import Any, Final

import apsw

from intops_runtime.core import audit_entries
from intops_runtime.core.auditing import GENESIS, Entry, Row, seal
from intops_runtime.core.messages import NewMessage, Settlement
from intops_runtime.core.reporting import rfc3339

KEEP_S: Final = 90 * 86400.0
KEEP_ENTRIES: Final = 1_000_000
"""About 500 MiB; older entries are forgotten, with an anchor that says so."""
FORGET_AT_ONCE: Final = 2000
FORGET_AT_LEAST: Final = 100
PAGE: Final = 1000
LOOK_THROUGH: Final = 5000
"""Entries that one transaction looks through for what is to be erased."""
SALT_BYTES: Final = 12
AUDITED_PLAN: Final = "audited_plan"
"""Name of the value that says which plan was told last."""


def append(db: apsw.Connection, entry: Entry, now: float) -> Row:
    """Add one entry to the chain."""
    last: Any = db.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    seq, previous = (last[0] + 1, last[1]) if last else (1, GENESIS)
    row = seal(entry, seq=seq, previous=previous, at=_second(int(now)), salt=_salt)
    db.execute("INSERT INTO audit VALUES(?, ?, ?)", (row.seq, row.body, row.hash))
    if row.values is not None:
        # Values without an entry are what somebody left who cut the chain; messages go on all the same.
        db.execute("INSERT OR REPLACE INTO audit_values VALUES(?, ?)", (row.seq, row.values))
    return row


@lru_cache(maxsize=4)
def _second(now: int) -> str:
    """The time of an entry; under load a thousand entries have the same."""
    return rfc3339(now) or ""


def _salt() -> str:
    return os.urandom(SALT_BYTES).hex()


def settled(
    db: apsw.Connection,
    ended: Settlement,
    *,
    key: str,
    mapped_with: str,
    fingerprint: str | None,
    now: float,
) -> None:
    """Record what was decided about a message by rule, where that was a decision."""
    if not audit_entries.decides(ended):
        return
    attempt: Any = None
    if ended.attempt_id is not None:
        attempt = db.execute(
            "SELECT plan_hash, step, binding FROM attempts WHERE id = ?", (ended.attempt_id,)
        ).fetchone()
    entry = audit_entries.settled(
        ended, key=key, mapped_with=mapped_with, fingerprint=fingerprint, attempt=attempt
    )
    append(db, entry, now)


def not_mapped(
    db: apsw.Connection, number: int, new: NewMessage, fingerprint: str, now: float
) -> None:
    """Record that a message could not be mapped and waits for a person."""
    append(db, audit_entries.not_mapped(number, new, fingerprint), now)


def note(db: apsw.Connection, entry: Entry, now: float) -> None:
    """Record something that is not about one message. A plan is told once, when it is taken into use."""
    if entry.action == "planLoaded":
        plan = str(entry.facts["plan"])
        if db.execute("SELECT value FROM meta WHERE name = ?", (AUDITED_PLAN,)).get == plan:
            return
        db.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (AUDITED_PLAN, plan))
    append(db, entry, now)


def page(db: apsw.Connection, after: int, limit: int) -> list[Row]:
    """Entries after a number, in order."""
    rows: list[Any] = db.execute(
        "SELECT a.seq, a.body, a.hash, v.data FROM audit a LEFT JOIN audit_values v USING(seq) "
        "WHERE a.seq > ? ORDER BY a.seq LIMIT ?",
        (after, max(1, min(limit, PAGE))),
    ).fetchall()
    return [Row(seq, str(body), str(hash_), data) for seq, body, hash_, data in rows]


def erase(
    db: apsw.Connection, key: str, entry: Entry, *, after: int, now: float
) -> tuple[int, int | None]:
    """Erase the values of entries about a key, among the next `LOOK_THROUGH` entries.

    Returns:
        How many lost their values, and after which number to go on; None at the end.
    """
    rows: list[Any] = db.execute(
        "SELECT seq, body FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (after, LOOK_THROUGH)
    ).fetchall()
    numbers = [
        seq
        for seq, body in rows
        if json.loads(body).get("key") == key
        and db.execute("SELECT 1 FROM audit_values WHERE seq = ?", (seq,)).get
    ]
    for seq in numbers:
        db.execute("DELETE FROM audit_values WHERE seq = ?", (seq,))
    if numbers:
        facts = {**entry.facts, "entries": numbers}
        append(db, Entry(entry.action, facts, entry.values), now)
    return len(numbers), rows[-1][0] if len(rows) == LOOK_THROUGH else None


def forget(db: apsw.Connection, now: float) -> int:
    """Forget the oldest entries, a few at a time, and leave an anchor that the rest hangs on."""
    bounds: Any = db.execute("SELECT min(seq), max(seq) FROM audit").fetchone()
    first, last = bounds
    if first is None:
        return 0
    too_old = db.execute(
        "SELECT max(seq) FROM (SELECT seq, body FROM audit ORDER BY seq LIMIT ?) "
        "WHERE body ->> '$.at' < ?",
        (FORGET_AT_ONCE, rfc3339(now - KEEP_S)),
    ).get
    through = min(max(last - KEEP_ENTRIES, int(too_old or 0)), first + FORGET_AT_ONCE - 1, last - 1)
    if through - first + 1 < FORGET_AT_LEAST:
        return 0
    anchor = str(db.execute("SELECT hash FROM audit WHERE seq = ?", (through,)).get)
    db.execute("DELETE FROM audit_values WHERE seq <= ?", (through,))
    db.execute("DELETE FROM audit WHERE seq <= ?", (through,))
    append(db, Entry("forgotten", {"through": through, "hash": anchor}), now)
    return int(through - first + 1)
