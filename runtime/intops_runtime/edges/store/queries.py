"""Questions that people ask a store: which messages, what became of one, what is known by a name.

Run on the store's own thread; the console and the command line show the answers. Values are JSON-ready.
"""

from dataclasses import dataclass
from typing import Any

import apsw
import orjson

from intops_runtime.core.reporting import rfc3339
from intops_runtime.edges.store.tally import counter_of

_COLUMNS = """SELECT m.id, m.state, m.reason, m.error_class, m.detail, m.path, m.stage, m.tries, m.key,
m.source, m.received_at, CAST(m.record AS BLOB),
(SELECT coalesce(l.display_id, l.native_id) FROM links l WHERE l.key = m.key) AS record_name,
m.item, CAST(m.original AS BLOB), m.delivery_id FROM messages m """
_ONE = _COLUMNS + "WHERE m.id = ?"
MAX_LIST = 1000
MAX_TRACE = 200
LOOK_THROUGH = 2000
"""Messages whose identity is compared in one go; capture waits for no more than these."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which messages are wanted; None leaves a condition out. `older_s` is seconds."""

    state: str | None = None
    error_class: str | None = None
    key: str | None = None
    delivery: int | None = None
    older_s: float | None = None
    limit: int = 50


def messages(db: apsw.Connection, wanted: Filter, now: float) -> list[dict[str, Any]]:
    """Messages, newest first."""
    received_until = None if wanted.older_s is None else now - wanted.older_s
    limit = max(1, min(wanted.limit, MAX_LIST))
    asked = {
        "m.state = ?": wanted.state,
        "m.error_class = ?": wanted.error_class,
        "m.key = ?": wanted.key,
        "m.delivery_id = ?": wanted.delivery,
        "m.received_at <= ?": received_until,
    }
    asked = {condition: value for condition, value in asked.items() if value is not None}
    # Only what was asked for stands in the query, so that an index can serve it.
    where = "WHERE " + " AND ".join(asked) if asked else ""
    rows = db.execute(f"{_COLUMNS}{where} ORDER BY m.id DESC LIMIT ?", (*asked.values(), limit))
    return [_row(row) for row in rows]


def delivery_state(db: apsw.Connection, source: str, number: int) -> str | None:
    """Whether a delivery of a source is pending, split or malformed; None if it is not known."""
    found = db.execute("SELECT state FROM deliveries WHERE id = ? AND source = ?", (number, source))
    state = found.get
    return None if state is None else str(state)


def message(db: apsw.Connection, number: int) -> dict[str, Any] | None:
    """One message with everything that happened to it, and the original as it came."""
    row = db.execute(_ONE, (number,)).fetchone()
    if row is None:
        return None
    delivery = db.execute(
        "SELECT body, headers, at FROM deliveries WHERE id = ?", (row[-1],)
    ).fetchone()
    found = _row(row)
    found["record_values"] = _loads(row[11])
    found["original"] = _loads(row[-2])
    found["payload"] = bytes(delivery[0]).decode("utf-8", "replace") if delivery else None
    found["headers"] = _loads(delivery[1]) if delivery else None
    found["transitions"] = [
        {"at": rfc3339(at), "from": old, "to": new, "reason": reason, "try": tried}
        for at, old, new, reason, tried in db.execute(
            "SELECT at, from_state, to_state, reason, try FROM transitions "
            "WHERE message_id = ? ORDER BY rowid",
            (number,),
        )
    ]
    found["attempts"] = [_attempt(r) for r in _attempts(db, number)]
    return found


def trace(db: apsw.Connection, keys: set[str]) -> dict[str, Any] | None:
    """Everything about some keys; of very long stories the newest part."""
    wanted = (orjson.dumps(sorted(keys)).decode(), MAX_TRACE)
    numbers = db.execute(
        "SELECT id FROM messages WHERE key IN (SELECT value FROM json_each(?)) "
        "ORDER BY id DESC LIMIT ?",
        wanted,
    ).fetchall()
    found = [message(db, int(str(row[0]))) for row in reversed(numbers)]
    links = [
        {
            "key": key, "connector": connector, "object": kind, "nativeId": native,
            "displayId": display, "url": url, "binding": binding, "version": version,
            "agreed": _loads(agreed) or {},
        }
        for key, connector, kind, native, display, url, binding, version, agreed in db.execute(
            "SELECT key, connector, object, native_id, display_id, url, binding, version, "
            "CAST(agreed AS BLOB) FROM links WHERE key IN "
            "(SELECT value FROM json_each(?))",
            wanted[:1],
        )
    ]  # fmt: skip
    if not found and not links:
        return None
    return {"messages": [m for m in found if m is not None], "links": links}


def keys_by_name(db: apsw.Connection, name: str) -> set[str]:
    """Keys that go by this name: the key itself, else a message number, else a record number."""
    for query in (
        "SELECT key FROM messages WHERE key = ?1 LIMIT 1",
        "SELECT key FROM messages WHERE id = CAST(?1 AS INTEGER) AND ?1 GLOB '[0-9]*'",
        "SELECT key FROM links WHERE native_id = ?1 OR display_id = ?1 OR display_id = '#' || ?1",
    ):
        found = {str(row[0]) for row in db.execute(query, (name,))}
        if found:
            return found
    return set()


def keys_by_identity(db: apsw.Connection, name: str, until: int) -> set[str]:
    """Keys whose event has this identity or episode, among `LOOK_THROUGH` messages up to a number."""
    query = (
        "SELECT key FROM messages WHERE id > ?2 AND id <= ?3 AND CASE WHEN json_valid(record) "
        "THEN ?1 IN (record ->> '$.identityKey', record ->> '$.episodeKey') END"
    )
    return {str(row[0]) for row in db.execute(query, (name, until - LOOK_THROUGH, until))}


def newest(db: apsw.Connection) -> int:
    """Number of the newest message; 0 if there is none."""
    return int(db.execute("SELECT coalesce(max(id), 0) FROM messages").get)


def _attempts(db: apsw.Connection, number: int) -> list[Any]:
    return db.execute(
        "SELECT step, binding, intent_at, outcome_at, outcome, error_class, evidence "
        "FROM attempts WHERE message_id = ? ORDER BY id",
        (number,),
    ).fetchall()


def _attempt(row: Any) -> dict[str, Any]:
    evidence = _loads(row[6]) or {}
    return {
        "step": row[0], "binding": row[1], "intentAt": rfc3339(row[2]), "outcomeAt": rfc3339(row[3]),
        "outcome": row[4], "errorClass": row[5], "detail": evidence.get("detail"),
        "rule": evidence.get("rule"), "evidence": evidence,
    }  # fmt: skip


def _row(row: Any) -> dict[str, Any]:
    record = _loads(row[11]) or {}
    return {
        "id": row[0], "state": row[1], "reason": row[2], "errorClass": row[3], "detail": row[4],
        "path": row[5], "stage": row[6], "tries": row[7], "key": row[8], "source": row[9],
        "receivedAt": rfc3339(row[10]), "title": record.get("title"), "record": row[12],
        "item": row[13],
    }  # fmt: skip


def _loads(text: Any) -> Any:
    """A stored value; None where there is none, or where the volume has damaged it."""
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None


def recount(db: apsw.Connection) -> dict[str, int]:
    """Messages by state (dropped ones by reason) and deliveries by state, counted from the rows."""
    found = {
        counter_of(str(state), str(reason)): int(str(count))
        for state, reason, count in db.execute(
            "SELECT state, CASE state WHEN 'dropped' THEN reason ELSE '' END r, count(*) "
            "FROM messages GROUP BY state, r"
        )
    }
    states = db.execute("SELECT state, count(*) FROM deliveries GROUP BY state")
    return found | {f"deliveries.{state}": int(str(count)) for state, count in states}
