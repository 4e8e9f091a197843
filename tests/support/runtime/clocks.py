"""Runs a process with another clock: a wall clock that jumps, or a monotonic clock of another machine.

Used by the storage rows of the fault suite. Each gives the beginning of a command line.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support.peers.process import PeerError, require_binary


def fake_clock(folder: Path) -> tuple[tuple[str, ...], Callable[[str], None]]:
    """A wall clock apart from the monotonic one, and how it is set: `+10y`, `-2h`, `+0`."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        raise PeerError("libfaketime is not here. `apt-get install libfaketime` installs it.")
    stamp = folder / "clock"

    def set_to(offset: str) -> None:
        fresh = stamp.with_suffix(".fresh")
        fresh.write_text(f"{offset}\n", encoding="utf-8")
        fresh.rename(stamp)

    set_to("+0")
    settings = {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(stamp),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }
    return ("env", *(f"{name}={value}" for name, value in settings.items())), set_to


def other_monotonic(offset_s: int) -> tuple[str, ...]:
    """A monotonic clock that is so many seconds ahead; takes root."""
    unshare = require_binary("unshare", remedy="`apt-get install util-linux` installs it.")
    return (unshare, "--time", "--monotonic", str(offset_s))
