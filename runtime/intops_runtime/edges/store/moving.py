"""Moves a Flow's messages from its embedded store to PostgreSQL: copied, compared, and only then switched.

Called by `intops store move` while no worker has either store. It may be killed at any moment and run again:
until both sides are found equal the embedded store is the one that counts; then it is marked as moved, which
makes every worker refuse it, and only after that may workers open the other.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import apsw

from intops_runtime.core.failpoints import reach
from intops_runtime.edges.store.audits import AUDITED_PLAN
from intops_runtime.edges.store.base import StoreError
from intops_runtime.edges.store.opening import MOVED_TO, close_as_it_is, open_to_move, sentences
from intops_runtime.edges.store.postgres_lanes import lane_of
from intops_runtime.edges.store.postgres_schema import (
    BEGIN_MOVE,
    LANES,
    MAKE_CHAIN,
    make_tables,
)
from intops_runtime.edges.store.postgres_server import Connection, Server
from intops_runtime.edges.store.postgres_text import plain

BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class Table:
    """A table that both stores have. `key` orders it; `lane_by` names the column that says its lane."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    lane_by: str | None = None
    flags: tuple[str, ...] = ()
    fixed: tuple[tuple[str, str], ...] = ()
    """Columns that only PostgreSQL has, with their values."""


def _table(name: str, columns: str, key: str, **more: Any) -> Table:
    return Table(name, tuple(columns.split()), tuple(key.split()), **more)


TABLES: Final = (
    _table("deliveries", "id source delivery_id headers body sha256 at state detail", "id", lane_by="source"),
    _table(
        "messages",
        "id delivery_id item source key state stage reason due_at tries plan_hash record original variant "
        "error_class detail path held_for received_at ended_at review_at crc head fingerprint review_since",
        "id",
        lane_by="key",
        flags=("head",),
    ),
    _table("dedup", "source id at", "source id"),
    _table("transitions", "message_id at from_state to_state reason try", "message_id"),
    _table(
        "attempts",
        "id message_id step binding idem_key plan_hash intent_at outcome_at outcome error_class evidence",
        "id",
    ),
    _table(
        "links",
        "key binding connector object native_id display_id url version agreed",
        "key binding",
    ),
    _table("episodes", "key state count changed_at data", "key"),
    _table("counters", "name n", "name", fixed=(("shard", ""),)),
    _table("decisions", "id at ended_at answer", "id"),
    _table("notices", "kind fingerprint at", "kind fingerprint"),
    _table("audit", "seq body hash", "seq"),
    _table("audit_values", "seq data", "seq"),
)  # fmt: skip
STAYS: Final = frozenset({"meta"})
"""Tables of the embedded store that say something of the file only."""
_SEQUENCES: Final = (
    ("delivery_ids", "deliveries"),
    ("message_ids", "messages"),
    ("attempt_ids", "attempts"),
)


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved: rows by table, and the digest that both sides agree on."""

    rows: dict[str, int]
    digest: str


async def move(path: Path, server: Server, *, namespace: str, flow: str, now: float) -> Moved:
    """Move one store; what was begun before is begun anew.

    Raises:
        StoreBusy: a worker has the embedded store open.
        StoreError: it cannot be moved, or the copy is not equal; with a sentence.
    """
    with sentences(path):
        db = open_to_move(path, now=now)
        try:
            return await _move(db, path, server, namespace, flow)
        finally:
            close_as_it_is(db)


async def _move(
    db: apsw.Connection, path: Path, server: Server, namespace: str, flow: str
) -> Moved:
    _see_all_tables(db, path)
    meta = {str(name): str(value) for name, value in db.execute("SELECT name, value FROM meta")}
    await make_tables(server)
    place = f"{server.place} {namespace}/{flow}"
    marked = meta.get(MOVED_TO)
    if marked not in (None, place):
        raise StoreError(f"{path}: this store has been moved to {marked} already.")
    number, is_open = await server.transact(lambda c: _begin(c, place, namespace, flow, meta))
    if marked is not None and not is_open:
        raise StoreError(
            f"{path}: this store has been moved to {marked} already, and workers use it."
        )
    if marked is None:
        reach("M01")
        await _copy(db, server, number)
        reach("M02")
    rows, digest = await _compare(db, server, number, place)
    reach("M03")
    if marked is None:
        with db:
            db.execute("INSERT INTO meta VALUES(?, ?)", (MOVED_TO, place))
    reach("M04")
    await server.transact(lambda c: _release(c, number, meta.get(AUDITED_PLAN)))
    return Moved(rows, digest)


def _see_all_tables(db: apsw.Connection, path: Path) -> None:
    """Nothing is left behind silently."""
    names = {
        str(row[0])
        for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        if not str(row[0]).startswith("sqlite_")
    }
    unknown = sorted(names - STAYS - {table.name for table in TABLES})
    if unknown:
        raise StoreError(
            f"{path}: it has tables that cannot be moved yet ({', '.join(unknown)}); nothing was changed."
        )


async def _begin(
    connection: Connection, place: str, namespace: str, flow: str, meta: dict[str, str]
) -> tuple[int, bool]:
    """Take the Flow's row for this move, so that no worker opens it; False where the move has ended."""
    store_id, known_since = meta["store_id"], float(meta["known_since"])
    await connection.execute(BEGIN_MOVE, namespace, flow, store_id, known_since)
    row = await connection.fetchrow(
        "SELECT flow, store_id, moving FROM intops.flows WHERE namespace = $1 AND name = $2 FOR UPDATE",
        namespace,
        flow,
    )
    number = int(row["flow"])
    if row["moving"] == store_id:
        return number, True
    if MOVED_TO in meta:
        return number, False
    if row["moving"] is not None:
        raise StoreError(f"{place}: another store is being moved there; end that move first.")
    used = await connection.fetchrow(
        "SELECT EXISTS(SELECT 1 FROM intops.deliveries WHERE flow = $1) AS filled, "
        "EXISTS(SELECT 1 FROM intops.replicas WHERE flow = $1 AND expires_at > clock_timestamp()) AS alive",
        number,
    )
    if used["filled"]:
        raise StoreError(
            f"{place}: this Flow has messages there already, and two stores cannot become one; name "
            "another database, or let both be delivered."
        )
    if used["alive"]:
        raise StoreError(f"{place}: a worker has this store open; stop it, then move.")
    await connection.execute(
        "UPDATE intops.flows SET store_id = $2, created_at = $3, moving = $2 WHERE flow = $1",
        number, store_id, known_since,
    )  # fmt: skip
    return number, True


async def _copy(db: apsw.Connection, server: Server, number: int) -> None:
    """Every row, in batches; whatever an earlier try has left goes first."""
    await server.transact(lambda c: _empty(c, number))
    for table in TABLES:
        rows = _source_rows(db, table)
        while batch := list(islice(rows, BATCH)):
            await server.transact(lambda c, t=table, b=batch: _put(c, number, t, b))  # type: ignore[misc]
    for sequence, name in _SEQUENCES:
        await server.transact(lambda c, s=sequence, n=name: _advance(c, number, s, n))  # type: ignore[misc]


async def _empty(connection: Connection, number: int) -> None:
    for table in TABLES:
        # All names in it are those of our own schema.
        await connection.execute(f"DELETE FROM intops.{table.name} WHERE flow = $1", number)  # noqa: S608  # nosec B608
    await connection.execute("DELETE FROM intops.audit_pending WHERE flow = $1", number)
    await connection.execute(
        "INSERT INTO intops.lanes(flow, lane) SELECT $1::int, generate_series(0, $2::int) "
        "ON CONFLICT DO NOTHING",
        number,
        LANES - 1,
    )


def _source_rows(db: apsw.Connection, table: Table) -> Iterator[tuple[Any, ...]]:
    """Rows as they are to be in PostgreSQL, in the order of the key."""
    order = ", ".join((*table.key, "rowid") if table.name == "transitions" else table.key)
    # All names in it are those of our own schema.
    query = f"SELECT {', '.join(table.columns)} FROM {table.name} ORDER BY {order}"  # noqa: S608  # nosec B608
    flags = [table.columns.index(name) for name in table.flags]
    for row in db.execute(query):
        values: list[Any] = [plain(v) if isinstance(v, str) else v for v in row]
        for at in flags:
            values[at] = bool(values[at])
        yield tuple(values)


async def _put(
    connection: Connection, number: int, table: Table, rows: list[tuple[Any, ...]]
) -> None:
    columns = ["flow", *(name for name, _ in table.fixed), *table.columns]
    before = (number, *(value for _, value in table.fixed))
    records = [(*before, *row) for row in rows]
    if table.lane_by is not None:
        at = table.columns.index(table.lane_by)
        columns.append("lane")
        records = [(*record, lane_of(row[at])) for record, row in zip(records, rows, strict=True)]
    await connection.copy_records_to_table(
        table.name, schema_name="intops", columns=columns, records=records
    )


async def _advance(connection: Connection, number: int, sequence: str, name: str) -> None:
    """New numbers are above those that were moved: they are part of idempotency keys."""
    # Changes nothing, but keeps others from drawing numbers until this transaction ends.
    await connection.execute(f"ALTER SEQUENCE intops.{sequence} CACHE 1")
    await connection.execute(
        # All names in it are those of our own schema.
        f"SELECT setval('intops.{sequence}', greatest((SELECT last_value FROM intops.{sequence}), "  # noqa: S608  # nosec B608
        f"(SELECT coalesce(max(id), 1) FROM intops.{name} WHERE flow = $1)))",
        number,
    )


async def _compare(
    db: apsw.Connection, server: Server, number: int, place: str
) -> tuple[dict[str, int], str]:
    """Count and digest every table on both sides.

    Raises:
        StoreError: they differ; the embedded store still counts.
    """
    counted: dict[str, int] = {}
    whole = hashlib.sha256()
    for table in TABLES:
        here = _digest(_source_rows(db, table))
        there = await server.transact(lambda c, t=table: _digest_there(c, number, t))  # type: ignore[misc]
        if here != there:
            raise StoreError(
                f"{place}: the copy of {table.name} is not equal ({there[0]} rows of {here[0]}); the "
                "embedded store still counts. Run the move again."
            )
        counted[table.name] = here[0]
        whole.update(here[1])
    return counted, whole.hexdigest()


def _digest(rows: Iterator[tuple[Any, ...]]) -> tuple[int, bytes]:
    count, digest = 0, hashlib.sha256()
    for row in rows:
        count += 1
        digest.update(repr(row).encode("utf-8", "surrogatepass"))
    return count, digest.digest()


async def _digest_there(connection: Connection, number: int, table: Table) -> tuple[int, bytes]:
    texts = {"key", "binding", "source", "name"} | ({"id"} if table.name == "dedup" else set())
    keys = [f'{name} COLLATE "C"' if name in texts else name for name in table.key]
    order = ", ".join((*keys, "number") if table.name == "transitions" else keys)
    query = (
        # All names in it are those of our own schema.
        f"SELECT {', '.join(table.columns)} FROM intops.{table.name} WHERE flow = $1 "  # noqa: S608  # nosec B608
        f"ORDER BY {order}"
    )
    count, digest = 0, hashlib.sha256()
    async for row in connection.cursor(query, number, prefetch=BATCH):
        count += 1
        digest.update(repr(tuple(row)).encode("utf-8", "surrogatepass"))
    return count, digest.digest()


async def _release(connection: Connection, number: int, plan: str | None) -> None:
    await connection.execute(MAKE_CHAIN, number, plan)
    await connection.execute("UPDATE intops.flows SET moving = NULL WHERE flow = $1", number)
