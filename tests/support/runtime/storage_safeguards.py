"""Takes one safeguard of the embedded store away, so that a fault test can show what it is for.

Used by the test entry points only; the product has no such settings.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from intops_runtime.edges.store import opening, sqlite
from intops_runtime.edges.store import writer as writers

# Longer than the loop needs to write an answer.
_HEAD_START_S: Final = 0.1


def without_commit() -> None:
    """Answer before the commit rather than after it."""
    reach = writers.Writer._reach

    def early(batch: list[Any], which: int) -> None:
        reach(batch, which)
        if which != 1:
            return
        for job in batch:
            loop = job.done.get_loop()
            loop.call_soon_threadsafe(job.done.set_result, job.result)
            job.done = loop.create_future()
        threading.Event().wait(_HEAD_START_S)

    writers.Writer._reach = staticmethod(early)  # type: ignore[method-assign]


def without_sync() -> None:
    """Commit without waiting for the volume."""
    weaker = [(n, "OFF" if n == "synchronous" else v) for n, v in opening._SETTINGS]
    setattr(opening, "_SETTINGS", tuple(weaker))  # noqa: B010  it is final there
    setattr(opening, "_SYNCHRONOUS_FULL", 0)  # noqa: B010


def without_stop() -> None:
    """Go on with a file that could not be written."""
    writers.Writer._break = lambda *_: None  # type: ignore[method-assign]


def without_reserve() -> None:
    """Take deliveries as long as there is any room at all."""
    setattr(sqlite.SqliteStore, "_short_of", lambda _: 0)  # noqa: B010  a method


def without_lock() -> None:
    """Let others open the file while it is open."""
    prepare = opening.prepare

    def shared(db: Any, *given: Any, **named: Any) -> None:
        class Shared:
            """The connection, deaf to the one setting."""

            def __getattr__(self, name: str) -> Any:
                return getattr(db, name)

            def __enter__(self) -> Any:
                return db.__enter__()

            def __exit__(self, *ended: Any) -> Any:
                return db.__exit__(*ended)

            def execute(self, words: str, *values: Any) -> Any:
                plain = words.replace("locking_mode=EXCLUSIVE", "locking_mode=NORMAL")
                return db.execute(plain.replace("busy_timeout=0", "busy_timeout=5000"), *values)

        prepare(Shared(), *given, **named)  # type: ignore[arg-type]

    opening.prepare = shared


def without_wall() -> None:
    """Write times of a clock that begins anew with each machine."""
    time.time = time.monotonic


STORAGE_SAFEGUARDS: Final[dict[str, Callable[[], None]]] = {
    "commit": without_commit,
    "sync": without_sync,
    "stop": without_stop,
    "reserve": without_reserve,
    "lock": without_lock,
    "wall": without_wall,
}
