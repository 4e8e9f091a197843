"""Runs a process with another clock: a wall clock that jumps, or a monotonic clock of another machine.

Used by the storage rows of the fault suite. Each gives a part of a command line.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support.peers.process import require_binary

SetClock = Callable[[float], None]
"""Sets a worker's clock to so many seconds from the true time."""


def wall_clock(folder: Path) -> tuple[tuple[str, ...], SetClock]:
    """Flags for a worker whose wall clock can be set while its monotonic clock goes on."""
    return _clock("--clock", folder)


def passing_time(folder: Path) -> tuple[tuple[str, ...], SetClock]:
    """Flags for a worker for which hours pass in a moment, by both its clocks. Only forward."""
    return _clock("--time", folder)


def _clock(flag: str, folder: Path) -> tuple[tuple[str, ...], SetClock]:
    stamp = folder / "clock"

    def set_to(seconds: float) -> None:
        fresh = stamp.with_suffix(".fresh")
        fresh.write_text(f"{seconds}\n", encoding="ascii")
        fresh.rename(stamp)

    set_to(0.0)
    return (flag, str(stamp)), set_to


def other_monotonic(offset_s: int) -> tuple[str, ...]:
    """A monotonic clock that is so many seconds ahead; takes root."""
    unshare = require_binary("unshare", remedy="`apt-get install util-linux` installs it.")
    return (unshare, "--time", "--monotonic", str(offset_s))
