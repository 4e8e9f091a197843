"""Runs a process with another clock: a wall clock that jumps, or a monotonic clock of another machine.

Used by the storage rows of the fault suite. Each gives a part of a command line.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support.peers.process import require_binary


def wall_clock(folder: Path) -> tuple[tuple[str, ...], Callable[[float], None]]:
    """Flags for a worker with a wall clock of its own, and how that is set: seconds from the true time."""
    stamp = folder / "clock"

    def set_to(seconds: float) -> None:
        fresh = stamp.with_suffix(".fresh")
        fresh.write_text(f"{seconds}\n", encoding="ascii")
        fresh.rename(stamp)

    set_to(0.0)
    return ("--clock", str(stamp)), set_to


def other_monotonic(offset_s: int) -> tuple[str, ...]:
    """A monotonic clock that is so many seconds ahead; takes root."""
    unshare = require_binary("unshare", remedy="`apt-get install util-linux` installs it.")
    return (unshare, "--time", "--monotonic", str(offset_s))
