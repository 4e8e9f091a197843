"""Tables of the PostgreSQL store, and the row of a Flow in them. Every key starts with the Flow.

Many Flows share one database. Run when a store is opened, by whichever replica comes first.
"""

import uuid
from dataclasses import dataclass
from functools import partial
from typing import Final

from intops_runtime.core.fingerprints import fingerprint
from intops_runtime.edges.store import postgres_settings as settings
from intops_runtime.edges.store.base import UNTOUCHED_S, StoreAway
from intops_runtime.edges.store.migrations import outstanding
from intops_runtime.edges.store.postgres_server import Connection, Server

LANES: Final = 256
_LOCK: Final = 0x494F5053  # "IOPS": the number of our advisory lock

# `head` marks the oldest unfinished message of a key; NULL is one of which nobody knows yet, because it
# came while another replica may have been ending the one before it. Only who holds its lane decides.
_V1 = """
CREATE SEQUENCE intops.delivery_ids;
CREATE SEQUENCE intops.message_ids;
CREATE SEQUENCE intops.attempt_ids;
CREATE TABLE intops.flows(
  flow integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, namespace text NOT NULL, name text NOT NULL,
  store_id text NOT NULL, created_at double precision NOT NULL, UNIQUE(namespace, name));
CREATE TABLE intops.replicas(
  flow integer NOT NULL, owner text NOT NULL, name text NOT NULL, expires_at timestamptz NOT NULL,
  PRIMARY KEY(flow, owner)) WITH (fillfactor = 50);
CREATE TABLE intops.lanes(
  flow integer NOT NULL, lane smallint NOT NULL, owner text, generation bigint NOT NULL DEFAULT 0,
  PRIMARY KEY(flow, lane)) WITH (fillfactor = 50);
CREATE TABLE intops.deliveries(
  flow integer NOT NULL, id bigint NOT NULL, source text NOT NULL, lane smallint NOT NULL,
  delivery_id text, headers text NOT NULL, body bytea NOT NULL, sha256 bytea NOT NULL,
  at double precision NOT NULL, state text NOT NULL, detail text,
  PRIMARY KEY(flow, id), UNIQUE(flow, source, delivery_id));
CREATE INDEX deliveries_pending ON intops.deliveries(flow, lane, id) WHERE state = 'pending';
CREATE INDEX deliveries_settled ON intops.deliveries(flow, at) WHERE state IN ('split', 'malformed');
CREATE TABLE intops.messages(
  flow integer NOT NULL, id bigint NOT NULL, delivery_id bigint NOT NULL, item integer NOT NULL,
  source text NOT NULL, lane smallint NOT NULL, key text NOT NULL, state text NOT NULL,
  stage text NOT NULL, reason text NOT NULL, due_at double precision NOT NULL,
  tries integer NOT NULL DEFAULT 0, plan_hash text NOT NULL, record text, original text, variant text,
  error_class text, detail text, path text, held_for text, received_at double precision NOT NULL,
  ended_at double precision, review_at double precision, crc bigint, head boolean,
  edition integer NOT NULL DEFAULT 0, PRIMARY KEY(flow, id)) WITH (fillfactor = 80);
CREATE INDEX messages_due ON intops.messages(flow, lane, due_at, id)
  WHERE head AND state IN ('waiting', 'sending');
CREATE INDEX messages_new ON intops.messages(flow, lane, id)
  WHERE head IS NULL AND state IN ('waiting', 'held', 'sending');
CREATE INDEX messages_key ON intops.messages(flow, key, id) WHERE state IN ('waiting', 'held', 'sending');
CREATE INDEX messages_held ON intops.messages(flow, held_for, id) WHERE state = 'held';
CREATE INDEX messages_backoff ON intops.messages(flow, held_for, due_at)
  WHERE state = 'waiting' AND held_for IS NOT NULL;
CREATE INDEX messages_flight ON intops.messages(flow, received_at)
  WHERE state IN ('waiting', 'held', 'sending');
CREATE INDEX messages_state ON intops.messages(flow, state, id);
CREATE INDEX messages_ended ON intops.messages(flow, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX messages_by_key ON intops.messages(flow, key);
CREATE INDEX messages_delivery ON intops.messages(flow, delivery_id);
CREATE INDEX messages_review ON intops.messages(flow, review_at) WHERE state = 'review';
CREATE TABLE intops.dedup(
  flow integer NOT NULL, source text NOT NULL, id text NOT NULL, at double precision NOT NULL,
  PRIMARY KEY(flow, source, id));
CREATE INDEX dedup_at ON intops.dedup(flow, at);
CREATE TABLE intops.transitions(
  flow integer NOT NULL, number bigint GENERATED ALWAYS AS IDENTITY, message_id bigint NOT NULL,
  at double precision NOT NULL, from_state text, to_state text NOT NULL, reason text NOT NULL,
  try integer NOT NULL DEFAULT 0, PRIMARY KEY(flow, message_id, number));
CREATE TABLE intops.attempts(
  flow integer NOT NULL, id bigint NOT NULL, message_id bigint NOT NULL, step text NOT NULL,
  binding text NOT NULL, idem_key text NOT NULL, plan_hash text NOT NULL,
  intent_at double precision NOT NULL, outcome_at double precision, outcome text, error_class text,
  evidence text, PRIMARY KEY(flow, id));
CREATE INDEX attempts_message ON intops.attempts(flow, message_id, id);
CREATE TABLE intops.links(
  flow integer NOT NULL, key text NOT NULL, binding text NOT NULL, connector text NOT NULL,
  object text NOT NULL, native_id text NOT NULL, display_id text, url text, version text,
  agreed text NOT NULL, PRIMARY KEY(flow, key, binding));
CREATE INDEX links_native ON intops.links(flow, native_id);
CREATE INDEX links_display ON intops.links(flow, display_id);
CREATE TABLE intops.episodes(
  flow integer NOT NULL, key text NOT NULL, state text NOT NULL, count integer NOT NULL,
  changed_at double precision NOT NULL, data text NOT NULL, PRIMARY KEY(flow, key));
CREATE TABLE intops.counters(
  flow integer NOT NULL, shard text NOT NULL, name text NOT NULL, n bigint NOT NULL,
  PRIMARY KEY(flow, shard, name)) WITH (fillfactor = 50);
"""

# A Flow whose messages are on their way from another store is opened by nobody.
_V2 = """
ALTER TABLE intops.flows ADD COLUMN moving text;
"""

# What people decided on a store that was moved here, and its audit, come with it.
_V3 = """
ALTER TABLE intops.messages ADD COLUMN fingerprint text, ADD COLUMN review_since double precision;
CREATE TABLE intops.decisions(
  flow integer NOT NULL, id text NOT NULL, at double precision NOT NULL, ended_at double precision,
  answer text NOT NULL, PRIMARY KEY(flow, id));
CREATE TABLE intops.notices(
  flow integer NOT NULL, kind text NOT NULL, fingerprint text NOT NULL, at double precision NOT NULL,
  PRIMARY KEY(flow, kind, fingerprint));
CREATE TABLE intops.audit(
  flow integer NOT NULL, seq bigint NOT NULL, body text NOT NULL, hash text NOT NULL,
  PRIMARY KEY(flow, seq));
CREATE TABLE intops.audit_values(
  flow integer NOT NULL, seq bigint NOT NULL, data text NOT NULL, PRIMARY KEY(flow, seq));
"""

# What waits for a person is grouped by the cause of its error; a decision belongs to one replica at a time;
# entries wait in `audit_pending` until one replica hangs them on the chain. A chain's row is locked by whoever
# appends to it. `gave_up_at` is when an attempt of unknown effect ended that a person wants looked up.
_V4 = """
CREATE INDEX messages_fingerprint ON intops.messages(flow, fingerprint, id) INCLUDE (review_at, review_since)
  WHERE state = 'review';
ALTER TABLE intops.decisions ADD COLUMN owner text;
ALTER TABLE intops.attempts ADD COLUMN gave_up_at double precision;
CREATE TABLE intops.audit_pending(
  flow integer NOT NULL, number bigint GENERATED ALWAYS AS IDENTITY, body text NOT NULL, hash text NOT NULL,
  PRIMARY KEY(flow, number));
CREATE TABLE intops.chains(flow integer PRIMARY KEY, audited_plan text);
INSERT INTO intops.chains(flow) SELECT flow FROM intops.flows;
"""
_UNGROUPED: Final = """
SELECT m.flow, m.id, m.error_class, m.reason, m.path, m.detail, coalesce((SELECT max(t.at)
  FROM intops.transitions t WHERE t.flow = m.flow AND t.message_id = m.id AND t.to_state = 'review'),
  m.received_at) AS since
FROM intops.messages m WHERE m.state = 'review' AND m.fingerprint IS NULL
"""
_GROUP: Final = """
UPDATE intops.messages m SET fingerprint = g.cause, review_since = g.since
FROM unnest($1::int[], $2::bigint[], $3::text[], $4::float8[]) AS g(flow, id, cause, since)
WHERE m.flow = g.flow AND m.id = g.id
"""

# What was delivered without all that could be known is found again.
_V5 = """
CREATE INDEX messages_incomplete ON intops.messages(flow, held_for, due_at, id)
  WHERE state = 'done' AND held_for IS NOT NULL;
"""

STEPS = (_V1, _V2, _V3, _V4, _V5)
VERSION = len(STEPS)
_GROUPED_SINCE: Final = 4

_FIND = (
    "SELECT flow, store_id, created_at, moving FROM intops.flows WHERE namespace = $1 AND name = $2"
)
MAKE_CHAIN: Final = """
INSERT INTO intops.chains(flow, audited_plan) VALUES($1, $2)
ON CONFLICT(flow) DO UPDATE SET audited_plan = coalesce(excluded.audited_plan, chains.audited_plan)
"""
# Nobody lives here, and nobody has for a while: it may be a backup (`UNTOUCHED_S`).
_DOUBT: Final = """
UPDATE intops.flows f SET created_at = extract(epoch FROM clock_timestamp())
WHERE flow = $1 AND extract(epoch FROM clock_timestamp()) - greatest(created_at,
  (SELECT at FROM intops.deliveries d WHERE d.flow = f.flow ORDER BY id DESC LIMIT 1),
  (SELECT intent_at FROM intops.attempts a WHERE a.flow = f.flow ORDER BY id DESC LIMIT 1),
  (SELECT extract(epoch FROM max(expires_at)) FROM intops.replicas r WHERE r.flow = f.flow)) > $2
RETURNING created_at
"""
BEGIN_MOVE: Final = """
INSERT INTO intops.flows(namespace, name, store_id, created_at, moving)
VALUES($1, $2, $3, $4::float8, $3) ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class FlowRow:
    """A Flow in the database. `known_since` (see base.Store) is the server's time, in epoch seconds."""

    flow: int
    store_id: str
    known_since: float


async def prepare(server: Server, namespace: str, name: str) -> FlowRow:
    """See that a server may hold a store, bring its tables up to date, and find the Flow in them.

    Raises:
        StoreTooNew: a newer intops has migrated it.
        StoreError: it cannot be used; with a sentence.
    """
    await make_tables(server)
    return await server.transact(lambda c: _flow(c, server.place, namespace, name))


async def make_tables(server: Server) -> None:
    """See that a server may hold stores, and bring its tables up to date.

    Raises:
        StoreTooNew: a newer intops has migrated it.
        StoreError: it cannot be used; with a sentence.
    """
    offered = await server.ask(lambda c: c.fetchrow(settings.OFFERED))
    words = settings.weakness(offered)
    held = await server.transact(lambda c: c.fetchrow(settings.HELD))
    words = words or settings.not_held(held)
    if words is not None:
        raise StoreAway(f"{server.place}: {words}")
    await server.transact(_make_room)
    current = await server.transact(_version)
    for number, step in outstanding(server.place, current, STEPS):
        await server.transact(partial(_migrate, number=number, step=step))


async def _make_room(connection: Connection) -> None:
    """A schema of our own, and the table that says its version."""
    if await connection.fetchval("SELECT to_regclass('intops.meta') IS NULL"):
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute("CREATE SCHEMA IF NOT EXISTS intops")
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS intops.meta(name text PRIMARY KEY, value text NOT NULL)"
        )


async def _version(connection: Connection) -> int:
    found = await connection.fetchval("SELECT value FROM intops.meta WHERE name = 'schema'")
    return int(found or 0)


async def _migrate(connection: Connection, *, number: int, step: str) -> None:
    """One step, by one worker; whoever waited for the lock finds it done."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    if await _version(connection) >= number:
        return
    # A large table takes its time; nobody else writes meanwhile.
    await connection.execute("SET LOCAL statement_timeout = 0")
    await connection.execute(step)
    if number == _GROUPED_SINCE:
        await _group_what_waits(connection)
    await connection.execute(
        "INSERT INTO intops.meta VALUES('schema', $1) "
        "ON CONFLICT(name) DO UPDATE SET value = excluded.value",
        str(number),
    )


async def _group_what_waits(connection: Connection) -> None:
    """Messages that were in review before there were groups can be decided too."""
    rows = await connection.fetch(_UNGROUPED)
    causes = [fingerprint(r["error_class"], r["reason"], r["path"], r["detail"]) for r in rows]
    await connection.execute(
        _GROUP, [r["flow"] for r in rows], [r["id"] for r in rows], causes,
        [r["since"] for r in rows],
    )  # fmt: skip


async def _flow(connection: Connection, place: str, namespace: str, name: str) -> FlowRow:
    found = await connection.fetchrow(_FIND, namespace, name)
    if found is not None and found["moving"] is not None:
        raise StoreAway(
            f"{place}: a move of another store into this one has not ended; run `intops store move` again."
        )
    if found is None:
        await connection.execute(
            "INSERT INTO intops.flows(namespace, name, store_id, created_at) "
            "VALUES($1, $2, $3, extract(epoch FROM clock_timestamp())) ON CONFLICT DO NOTHING",
            namespace, name, uuid.uuid4().hex,
        )  # fmt: skip
        found = await connection.fetchrow(_FIND, namespace, name)
        await connection.execute(
            "INSERT INTO intops.lanes(flow, lane) SELECT $1::int, generate_series(0, $2::int) "
            "ON CONFLICT DO NOTHING",
            found["flow"], LANES - 1,
        )  # fmt: skip
        await connection.execute(MAKE_CHAIN, found["flow"], None)
    doubted: float | None = await connection.fetchval(_DOUBT, found["flow"], UNTOUCHED_S)
    return FlowRow(found["flow"], found["store_id"], doubted or found["created_at"])
