"""Looks into a store file that no worker has open, and changes nothing in it.

For the command line, when no worker answers. While it is open, no worker can open the file.
"""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import apsw

from intops_runtime.edges.store import queries
from intops_runtime.edges.store.base import StoreError
from intops_runtime.edges.store.opening import close_as_it_is, look_at, sentences
from intops_runtime.edges.store.schema import VERSION


def open_readonly(path: Path) -> "StoreReader":
    """Open a store file to look into it.

    Raises:
        StoreBusy: a worker has it open; ask that one.
        StoreError: it is not there, or cannot be read; with a sentence.
    """
    if not path.exists():
        raise StoreError(f"{path}: there is no store here; name the folder of the worker's data.")
    with sentences(path):
        # Not read-only for SQLite: it could neither take the lock nor read what the log holds.
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
            db.execute("PRAGMA busy_timeout=0")
            look_at(db, path)
            db.execute("PRAGMA query_only=ON")
            version = int(db.pragma("user_version") or 0)
        except Exception:
            close_as_it_is(db)
            raise
    if version < VERSION:
        close_as_it_is(db)
        raise StoreError(
            f"{path}: an older intops wrote this file (schema {version}); "
            "start a worker of this version on it once."
        )
    return StoreReader(db)


class StoreReader:
    """What people ask of a store, without a worker. Use it in a `with` statement."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def messages(self, wanted: queries.Filter, now: float) -> list[dict[str, Any]]:
        """Messages, newest first."""
        return queries.messages(self._db, wanted, now)

    def message(self, number: int) -> dict[str, Any] | None:
        """One message with everything that happened to it."""
        return queries.message(self._db, number)

    def trace(self, text: str) -> dict[str, Any] | None:
        """Everything about one key, found by any of its names."""
        name = text.lstrip("#")
        keys = queries.keys_by_name(self._db, name)
        until = queries.newest(self._db)
        while not keys and until > 0:
            keys = queries.keys_by_identity(self._db, name, until)
            until -= queries.LOOK_THROUGH
        return queries.trace(self._db, keys)

    def recount(self) -> dict[str, int]:
        """Messages and deliveries by state."""
        return queries.recount(self._db)

    def close(self) -> None:
        """Let workers open the file again."""
        close_as_it_is(self._db)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
