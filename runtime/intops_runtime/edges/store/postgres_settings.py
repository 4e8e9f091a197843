"""Which servers may hold a store: the settings that a commit's promise needs, or a sentence why not.

Read when a store is opened and again with every sign of life, because a reload can change them
(reliability reference, section 3.2).
"""

from collections.abc import Mapping
from typing import Any, Final

OLDEST_VERSION: Final = 150000
STATEMENT_TIMEOUT_MS: Final = 8000
LOCK_TIMEOUT_MS: Final = 3000
IDLE_TIMEOUT_MS: Final = 4000
"""How long a frozen worker may keep locks: less than a lease, so that nobody waits for it."""

# Set in each transaction, not in each session: a pooler may give every transaction another session.
BEGIN: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
    "SET LOCAL synchronous_commit = 'on'; "
    f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}; "
    f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}; "
    f"SET LOCAL idle_in_transaction_session_timeout = {IDLE_TIMEOUT_MS}"
)
# A time-out would end the wait for a standby, and the server then calls that a commit.
COMMIT: Final = "SET LOCAL statement_timeout = 0; COMMIT"

# What the server does by itself, whatever our transactions ask for.
OFFERED: Final = """
SELECT current_setting('server_version_num')::int AS server_version_num,
  current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
  (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit') AS synchronous_commit,
  current_setting('server_encoding') AS server_encoding, pg_is_in_recovery() AS standby
"""
# What holds inside a transaction of ours.
HELD: Final = """
SELECT current_setting('transaction_isolation') AS transaction_isolation,
  current_setting('synchronous_commit') AS synchronous_commit,
  (SELECT setting FROM pg_settings WHERE name = 'statement_timeout') AS statement_timeout,
  (SELECT setting FROM pg_settings WHERE name = 'lock_timeout') AS lock_timeout,
  (SELECT setting FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout') AS idle_timeout
"""
_WANTED_HELD: Final = {
    "transaction_isolation": "read committed",
    "synchronous_commit": "on",
    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
    "lock_timeout": str(LOCK_TIMEOUT_MS),
    "idle_timeout": str(IDLE_TIMEOUT_MS),
}
_STRONG_COMMITS: Final = ("on", "remote_write", "remote_apply")


def weakness(offered: Mapping[str, Any]) -> str | None:
    """Why a server cannot keep the promise, and what to write; None where it can."""
    if offered["server_version_num"] < OLDEST_VERSION:
        version = offered["server_version_num"] // 10000
        return f"version {version} is too old for a store; use PostgreSQL 15 or newer."
    if offered["server_encoding"] != "UTF8":
        return (
            f"the database is encoded in {offered['server_encoding']}, so some messages could not be "
            "kept; make one with ENCODING 'UTF8'."
        )
    for name, words in (
        ("fsync", "an acknowledged message could be lost, and the database with it"),
        ("full_page_writes", "a power cut could leave half-written pages"),
    ):
        if offered[name] != "on":
            return f"{name} is {offered[name]}, so {words}; set {name} = on and reload the server."
    if offered["synchronous_commit"] not in _STRONG_COMMITS:
        return (
            f"synchronous_commit is {offered['synchronous_commit']}, so an acknowledged message could be "
            "lost in a power cut; set it to on for the server, the database and the role."
        )
    return None


def not_held(held: Mapping[str, Any]) -> str | None:
    """Which setting of a transaction the server did not take; None where all hold."""
    for name, wanted in _WANTED_HELD.items():
        if held[name] != wanted:
            return (
                f"{name} stays {held[name]} instead of {wanted}; see the pooler between the worker and "
                "the server."
            )
    return None
