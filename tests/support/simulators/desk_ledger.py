"""Remembers every write the helpdesk simulator was asked for and what became of it.

Used by the server; read by tests through `/_sim/ledger`. With a file it also survives a kill: the
file is replayed at the next start.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Entry:
    """One create, update, comment or correspondence."""

    at: float
    """Seconds since the epoch."""
    op: str
    """`create`, `update`, `comment` or `correspond`."""
    ticket: int | None
    key: str | None
    """The ticket's intops_key, or the one the request carried."""
    status: int | None
    """The HTTP status of the work; None where the request was never worked on."""
    outcome: str
    """`answered`, or a value of `Fault`: what the client got to see."""
    done: bool
    """Whether the desk did what was asked, seen or not."""
    user: str
    body: Any
    """The parsed request; None where it was not JSON."""
    lag_s: float = 0.0
    """Search lag at that time."""


class Ledger:
    """The entries of this desk, in memory and optionally in a JSON-lines file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.entries: list[Entry] = []
        self._ids_by_key: defaultdict[str, list[int]] = defaultdict(list)
        self._file: int | None = None
        if path is not None:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)

    def replay(self) -> Iterator[Entry]:
        """Yield the entries of the file, oldest first; an unfinished last line is cut off.

        Raises:
            ValueError: A finished line is not an entry; the text names it.
        """
        if self._file is None:
            return
        with os.fdopen(os.dup(self._file), "rb") as old:
            old.seek(0)
            good = 0
            for number, line in enumerate(old, 1):
                if not line.endswith(b"\n"):
                    os.ftruncate(self._file, good)
                    return
                good += len(line)
                try:
                    entry = Entry(**json.loads(line))
                except (ValueError, TypeError) as wrong:
                    raise ValueError(
                        f'line {number} of "{self._path}" is not a ledger entry; give another '
                        "file with --data, or remove this one to start empty"
                    ) from wrong
                self._remember(entry)
                yield entry

    def add(self, entry: Entry) -> None:
        """Remember an entry; when this returns, a kill of the process cannot lose it."""
        if self._file is not None:
            # One write, past every buffer of this process. No fsync: power is not cut here.
            os.write(self._file, json.dumps(asdict(entry)).encode() + b"\n")
        self._remember(entry)

    def summary(self) -> dict[str, Any]:
        """Return counts: by operation and outcome, tickets by key, and keys with several."""
        outcomes: defaultdict[str, int] = defaultdict(int)
        for entry in self.entries:
            outcomes[f"{entry.op}.{entry.outcome}"] += 1
        return {
            "count": len(self.entries),
            "outcomes": dict(outcomes),
            "tickets_by_key": {key: len(ids) for key, ids in self._ids_by_key.items()},
            "duplicates": {key: ids for key, ids in self._ids_by_key.items() if len(ids) > 1},
        }

    def _remember(self, entry: Entry) -> None:
        self.entries.append(entry)
        if entry.op == "create" and entry.done and entry.key and entry.ticket is not None:
            self._ids_by_key[entry.key].append(entry.ticket)
