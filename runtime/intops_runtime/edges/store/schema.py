"""Tables of the embedded store and how an older file becomes a newer one, one transaction a step."""

import contextlib
from typing import Any

import apsw

from intops_runtime.core.fingerprints import fingerprint
from intops_runtime.edges.store.migrations import outstanding

APPLICATION_ID = 0x494F5053  # "IOPS"

_V1 = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE deliveries(
  id INTEGER PRIMARY KEY, source TEXT NOT NULL, delivery_id TEXT, headers TEXT NOT NULL,
  body BLOB NOT NULL, sha256 BLOB NOT NULL, at REAL NOT NULL, state TEXT NOT NULL, detail TEXT,
  UNIQUE(source, delivery_id));
CREATE INDEX deliveries_pending ON deliveries(id) WHERE state = 'pending';
CREATE TABLE messages(
  id INTEGER PRIMARY KEY, delivery_id INTEGER NOT NULL, item INTEGER NOT NULL, source TEXT NOT NULL,
  key TEXT NOT NULL, state TEXT NOT NULL, stage TEXT NOT NULL, reason TEXT NOT NULL,
  due_at REAL NOT NULL, tries INTEGER NOT NULL DEFAULT 0, plan_hash TEXT NOT NULL, record TEXT,
  original TEXT, variant TEXT, error_class TEXT, detail TEXT, path TEXT, held_for TEXT,
  received_at REAL NOT NULL, ended_at REAL, review_at REAL);
CREATE INDEX messages_key ON messages(key, id) WHERE state IN ('waiting','held','sending');
CREATE INDEX messages_due ON messages(due_at, id) WHERE state IN ('waiting','sending');
CREATE INDEX messages_held ON messages(held_for, id) WHERE state = 'held';
CREATE INDEX messages_flight ON messages(received_at) WHERE state IN ('waiting','held','sending');
CREATE INDEX messages_state ON messages(state, id);
CREATE INDEX messages_ended ON messages(ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX messages_by_key ON messages(key);
CREATE TABLE dedup(source TEXT NOT NULL, id TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY(source, id)) WITHOUT ROWID;
CREATE INDEX dedup_at ON dedup(at);
CREATE TABLE transitions(
  message_id INTEGER NOT NULL, at REAL NOT NULL, from_state TEXT, to_state TEXT NOT NULL,
  reason TEXT NOT NULL, try INTEGER NOT NULL DEFAULT 0);
CREATE INDEX transitions_message ON transitions(message_id);
CREATE TABLE attempts(
  id INTEGER PRIMARY KEY, message_id INTEGER NOT NULL, step TEXT NOT NULL, binding TEXT NOT NULL,
  idem_key TEXT NOT NULL, plan_hash TEXT NOT NULL, intent_at REAL NOT NULL, outcome_at REAL,
  outcome TEXT, error_class TEXT, evidence TEXT);
CREATE INDEX attempts_message ON attempts(message_id);
CREATE TABLE links(
  key TEXT NOT NULL, binding TEXT NOT NULL, connector TEXT NOT NULL, object TEXT NOT NULL,
  native_id TEXT NOT NULL, display_id TEXT, url TEXT, version TEXT, agreed TEXT NOT NULL,
  PRIMARY KEY(key, binding)) WITHOUT ROWID;
CREATE INDEX links_native ON links(native_id);
CREATE TABLE episodes(
  key TEXT PRIMARY KEY, state TEXT NOT NULL, count INTEGER NOT NULL, changed_at REAL NOT NULL,
  data TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE counters(name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
"""

# `head` marks the oldest unfinished message of a key, so that a lease looks at nothing else however
# many wait behind it; `crc` covers what is delivered.
_V2 = """
ALTER TABLE messages ADD COLUMN head INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN crc INTEGER;
UPDATE messages SET head = 1 WHERE id IN (
  SELECT min(id) FROM messages WHERE state IN ('waiting','held','sending') GROUP BY key);
DROP INDEX messages_due;
CREATE INDEX messages_due ON messages(due_at, id) WHERE head = 1 AND state IN ('waiting','sending');
CREATE INDEX messages_backoff ON messages(held_for, due_at)
  WHERE state = 'waiting' AND held_for IS NOT NULL;
CREATE INDEX messages_delivery ON messages(delivery_id);
CREATE INDEX messages_review ON messages(review_at) WHERE state = 'review';
CREATE INDEX deliveries_settled ON deliveries(at) WHERE state IN ('split','malformed');
CREATE INDEX links_display ON links(display_id);
"""

# What waits for a person is grouped by the cause of its error; a decision counts once; the audit chain
# stands beside what may be erased from it.
_V3 = """
ALTER TABLE messages ADD COLUMN fingerprint TEXT;
ALTER TABLE messages ADD COLUMN review_since REAL;
UPDATE messages SET fingerprint = intops_fingerprint(error_class, reason, path, detail),
  review_since = coalesce((SELECT max(at) FROM transitions WHERE message_id = messages.id AND
    to_state = 'review'), received_at)
  WHERE state = 'review';
CREATE INDEX messages_fingerprint ON messages(fingerprint, id, review_at, review_since)
  WHERE state = 'review';
CREATE TABLE decisions(
  id TEXT PRIMARY KEY, at REAL NOT NULL, ended_at REAL, answer TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX decisions_at ON decisions(at);
CREATE TABLE notices(
  kind TEXT NOT NULL, fingerprint TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY(kind, fingerprint))
  WITHOUT ROWID;
CREATE TABLE audit(seq INTEGER PRIMARY KEY, body TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TABLE audit_values(seq INTEGER PRIMARY KEY, data TEXT NOT NULL);
"""

# What says which record is written to is checked like what is written.
_V4 = """
ALTER TABLE links ADD COLUMN crc INTEGER;
ALTER TABLE episodes ADD COLUMN crc INTEGER;
"""

# What was delivered without all that could be known is found again.
_V5 = """
CREATE INDEX messages_incomplete ON messages(held_for, due_at, id) WHERE state = 'done' AND held_for IS NOT NULL;
"""

# A link is 1 kB under a key that is as good as random: in the order of keys each new one rewrote four pages,
# in the order of arrival it shares its page with those of the same commit.
_V6 = """
ALTER TABLE links RENAME TO links_by_key;
CREATE TABLE links(
  key TEXT NOT NULL, binding TEXT NOT NULL, connector TEXT NOT NULL, object TEXT NOT NULL,
  native_id TEXT NOT NULL, display_id TEXT, url TEXT, version TEXT, agreed TEXT NOT NULL, crc INTEGER,
  PRIMARY KEY(key, binding));
INSERT INTO links SELECT key, binding, connector, object, native_id, display_id, url, version, agreed, crc
  FROM links_by_key;
DROP TABLE links_by_key;
CREATE INDEX links_native ON links(native_id);
CREATE INDEX links_display ON links(display_id) WHERE display_id IS NOT NULL;
"""

STEPS = (_V1, _V2, _V3, _V4, _V5, _V6)
VERSION = len(STEPS)


_COLUMNS = (
    "SELECT m.type, m.name, c.name FROM sqlite_schema m LEFT JOIN pragma_table_info(m.name) c"
)


def migrate(db: apsw.Connection) -> None:
    """Bring a file to this version; the caller has refused newer ones."""
    current = int(db.pragma("user_version") or 0)
    db.create_scalar_function("intops_fingerprint", _fingerprint, 4, deterministic=True)
    for number, step in outstanding("store file", current, STEPS):
        with db:
            db.execute(step)
            db.execute(f"PRAGMA user_version={number}")


def is_whole(db: apsw.Connection) -> bool:
    """Whether every table has its columns; SQLite takes a changed name for another name."""
    with contextlib.closing(apsw.Connection(":memory:")) as pattern:
        migrate(pattern)
        wanted = set(pattern.execute(_COLUMNS))
    return wanted <= set(db.execute(_COLUMNS))


def _fingerprint(*cause: Any) -> str:
    error_class, reason, path, detail = cause
    return fingerprint(error_class, str(reason), path, detail)
