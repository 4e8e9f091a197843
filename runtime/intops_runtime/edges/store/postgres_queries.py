"""Questions that people ask a PostgreSQL store: which messages, what became of one, what goes by a name.

Answered from one snapshot each; values are JSON-ready and the same as those of `queries`. Times are shown
as the server counts them.
"""

from typing import Any, Final

import orjson

from intops_runtime.core.reporting import rfc3339
from intops_runtime.edges.store.postgres_server import Connection
from intops_runtime.edges.store.queries import LOOK_THROUGH, MAX_LIST, MAX_TRACE, Filter
from intops_runtime.edges.store.tally import counter_of

_COLUMNS: Final = """
SELECT m.id, m.state, m.reason, m.error_class, m.detail, m.path, m.stage, m.tries, m.key, m.source,
  m.received_at, m.record, m.item, m.original, m.delivery_id,
  (SELECT coalesce(l.display_id, l.native_id) FROM intops.links l
    WHERE l.flow = m.flow AND l.key = m.key ORDER BY l.binding LIMIT 1) AS record_name
FROM intops.messages m WHERE m.flow = $1"""
_BY_NAME: Final = (
    "SELECT key FROM intops.messages WHERE flow = $1 AND key = $2 LIMIT 1",
    (
        "SELECT key FROM intops.messages WHERE flow = $1 "
        "AND id = CASE WHEN $2 ~ '^[0-9]{1,18}$' THEN $2::bigint END"
    ),
    (
        "SELECT key FROM intops.links WHERE flow = $1 AND (native_id = $2 OR display_id = $2 "
        "OR display_id = '#' || $2)"
    ),
)
_NAMED: Final = (
    "SELECT id, key, record FROM (SELECT id, key, record FROM intops.messages "
    "WHERE flow = $1 AND id < $2 ORDER BY id DESC LIMIT $3) AS few WHERE strpos(record, $4) > 0"
)
_FLOOR: Final = (
    "SELECT min(id) FROM (SELECT id FROM intops.messages WHERE flow = $1 AND id < $2 "
    "ORDER BY id DESC LIMIT $3) AS few"
)
_NEWEST: Final = "SELECT max(id) FROM intops.messages WHERE flow = $1"


async def messages(db: Connection, flow: int, wanted: Filter, now: float) -> list[dict[str, Any]]:
    """Messages, newest first. `now` is the server's time."""
    received_until = None if wanted.older_s is None else now - wanted.older_s
    asked = {
        "m.state =": wanted.state,
        "m.error_class =": wanted.error_class,
        "m.key =": wanted.key,
        "m.delivery_id =": wanted.delivery,
        "m.received_at <=": received_until,
    }
    asked = {condition: value for condition, value in asked.items() if value is not None}
    # Only what was asked for stands in the query, so that an index can serve it.
    where = "".join(f" AND {condition} ${n}" for n, condition in enumerate(asked, start=3))
    limit = max(1, min(wanted.limit, MAX_LIST))
    query = f"{_COLUMNS}{where} ORDER BY m.id DESC LIMIT $2"
    return [_row(row) for row in await db.fetch(query, flow, limit, *asked.values())]


async def delivery_state(db: Connection, flow: int, source: str, number: int) -> str | None:
    """Whether a delivery of a source is pending, split or malformed; None if it is not known."""
    state: str | None = await db.fetchval(
        "SELECT state FROM intops.deliveries WHERE flow = $1 AND id = $2 AND source = $3",
        flow,
        number,
        source,
    )
    return state


async def message(db: Connection, flow: int, number: int) -> dict[str, Any] | None:
    """One message with everything that happened to it, and the original as it came."""
    row = await db.fetchrow(f"{_COLUMNS} AND m.id = $2", flow, number)
    if row is None:
        return None
    delivery = await db.fetchrow(
        "SELECT body, headers FROM intops.deliveries WHERE flow = $1 AND id = $2",
        flow,
        row["delivery_id"],
    )
    found = _row(row)
    found["record_values"] = _loads(row["record"])
    found["original"] = _loads(row["original"])
    found["payload"] = delivery["body"].decode("utf-8", "replace") if delivery else None
    found["headers"] = _loads(delivery["headers"]) if delivery else None
    found["transitions"] = [
        {"at": rfc3339(at), "from": old, "to": new, "reason": reason, "try": tried}
        for at, old, new, reason, tried in await db.fetch(
            "SELECT at, from_state, to_state, reason, try FROM intops.transitions "
            "WHERE flow = $1 AND message_id = $2 ORDER BY number",
            flow,
            number,
        )
    ]
    found["attempts"] = [
        _attempt(row)
        for row in await db.fetch(
            "SELECT step, binding, intent_at, outcome_at, outcome, error_class, evidence "
            "FROM intops.attempts WHERE flow = $1 AND message_id = $2 ORDER BY id",
            flow,
            number,
        )
    ]
    return found


async def trace(db: Connection, flow: int, name: str) -> dict[str, Any] | None:
    """Everything about the keys that go by a name; of very long stories the newest part."""
    keys = sorted(await _keys(db, flow, name))
    rows = await db.fetch(
        "SELECT id FROM intops.messages WHERE flow = $1 AND key = ANY($2::text[]) "
        "ORDER BY id DESC LIMIT $3",
        flow,
        keys,
        MAX_TRACE,
    )
    found = [await message(db, flow, row["id"]) for row in reversed(rows)]
    links = [
        {
            "key": key, "connector": connector, "object": kind, "nativeId": native,
            "displayId": display, "url": url, "binding": binding, "version": version,
            "agreed": _loads(agreed) or {},
        }
        for key, connector, kind, native, display, url, binding, version, agreed in await db.fetch(
            "SELECT key, connector, object, native_id, display_id, url, binding, version, agreed "
            "FROM intops.links WHERE flow = $1 AND key = ANY($2::text[]) ORDER BY key, binding",
            flow, keys,
        )
    ]  # fmt: skip
    if not found and not links:
        return None
    return {"messages": [m for m in found if m is not None], "links": links}


async def _keys(db: Connection, flow: int, name: str) -> set[str]:
    """The key itself, else by message number, else by record number, else by what an event is about."""
    for query in _BY_NAME:
        found = {row["key"] for row in await db.fetch(query, flow, name)}
        if found:
            return found
    until = (await db.fetchval(_NEWEST, flow) or 0) + 1
    while until is not None and "\0" not in name:
        rows = await db.fetch(_NAMED, flow, until, LOOK_THROUGH, name)
        found = {row["key"] for row in rows if _is_about(row["record"], name)}
        if found:
            return found
        until = await db.fetchval(_FLOOR, flow, until, LOOK_THROUGH)
    return set()


def _is_about(record: str, name: str) -> bool:
    known = _loads(record)
    return isinstance(known, dict) and name in (known.get("identityKey"), known.get("episodeKey"))


async def recount(db: Connection, flow: int) -> dict[str, int]:
    """Messages by state (dropped ones by reason) and deliveries by state, counted from the rows."""
    found = {
        counter_of(row["state"], row["reason"]): row["n"]
        for row in await db.fetch(
            "SELECT state, CASE state WHEN 'dropped' THEN reason ELSE '' END AS reason, count(*) AS n "
            "FROM intops.messages WHERE flow = $1 GROUP BY 1, 2",
            flow,
        )
    }
    states = await db.fetch(
        "SELECT state, count(*) AS n FROM intops.deliveries WHERE flow = $1 GROUP BY state", flow
    )
    return found | {f"deliveries.{row['state']}": row["n"] for row in states}


def _attempt(row: Any) -> dict[str, Any]:
    evidence = _loads(row["evidence"]) or {}
    return {
        "step": row["step"], "binding": row["binding"], "intentAt": rfc3339(row["intent_at"]),
        "outcomeAt": rfc3339(row["outcome_at"]), "outcome": row["outcome"],
        "errorClass": row["error_class"], "detail": evidence.get("detail"),
        "rule": evidence.get("rule"), "evidence": evidence,
    }  # fmt: skip


def _row(row: Any) -> dict[str, Any]:
    record = _loads(row["record"]) or {}
    return {
        "id": row["id"], "state": row["state"], "reason": row["reason"],
        "errorClass": row["error_class"], "detail": row["detail"], "path": row["path"],
        "stage": row["stage"], "tries": row["tries"], "key": row["key"], "source": row["source"],
        "receivedAt": rfc3339(row["received_at"]), "title": record.get("title"),
        "item": row["item"],
        "record": row["record_name"],
    }  # fmt: skip


def _loads(text: str | None) -> Any:
    """A stored value; None where there is none, or where the disk has damaged it."""
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None
