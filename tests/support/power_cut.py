"""A disk in memory for SQLite that can lose its power: only what was synced is sure to survive.

Everything written since the last sync of a file is kept, lost, or kept in part by sectors, each write
for itself, so that writes also change their order. Used by the fault tests of the embedded store.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from typing import Any

import apsw

SECTOR = 512
_numbers = itertools.count()


class PowerGone(apsw.IOError):
    """The machine has no power: nothing can be read or written."""


@dataclass(slots=True)
class Change:
    """One write at an offset, or with `data` None a cut of the file to that length."""

    at: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        """Do it."""
        if self.data is None:
            del content[self.at :]
            return
        if len(content) < self.at:
            content.extend(bytes(self.at - len(content)))
        content[self.at : self.at + len(self.data)] = self.data


@dataclass(slots=True)
class Content:
    """One file: what programs see, what the platters hold, and what lies between."""

    seen: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    changes: list[Change] = field(default_factory=list)

    def do(self, change: Change) -> None:
        """Change what is seen; the platters do not know yet."""
        change.apply(self.seen)
        self.changes.append(change)

    def sync(self) -> None:
        """Everything seen is on the platters."""
        self.synced = bytes(self.seen)
        self.changes.clear()

    def lose_power(self, draw: random.Random) -> None:
        """Of what was not synced, chance decides."""
        content = bytearray(self.synced)
        for change in self.changes:
            fate = draw.random()
            if fate < 0.4:
                change.apply(content)
            elif fate < 0.65 and change.data is not None:
                for offset in range(0, len(change.data), SECTOR):
                    if draw.random() < 0.5:
                        Change(change.at + offset, change.data[offset : offset + SECTOR]).apply(
                            content
                        )
        self.seen, self.synced = content, bytes(content)
        self.changes.clear()


class Disk:
    """Files by name; `power` counts down with every write and sync, None means a steady supply."""

    def __init__(self) -> None:
        self.files: dict[str, Content] = {}
        self.power: int | None = None
        self.boot = 0
        self.vfs = _Vfs(self, f"power-cut-{next(_numbers)}")

    def connect(self, name: str) -> apsw.Connection:
        """Open a database that lies on this disk."""
        return apsw.Connection(name, vfs=self.vfs.name)

    def use(self) -> None:
        """One write or sync."""
        if self.power is None:
            return
        if self.power <= 0:
            raise PowerGone("the power is gone")
        self.power -= 1

    def cut(self, draw: random.Random) -> None:
        """Cut the power and start again: handles from before are dead, the supply is steady."""
        for content in self.files.values():
            content.lose_power(draw)
        self.boot += 1
        self.power = None

    def close(self) -> None:
        """Take the file system out of SQLite again."""
        self.vfs.unregister()


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk, name: str) -> None:
        self.disk = disk
        self.name = name
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802  SQLite's name
        plain = name.filename() if hasattr(name, "filename") else (name or f"temp-{id(flags)}")
        flags[1] = flags[0]
        return _File(self.disk, self.disk.files.setdefault(plain, Content()))

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        return pathname in self.disk.files

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.disk.use()
        self.disk.files.pop(filename, None)

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name

    def excepthook(self, *_: Any) -> bool:
        """Lost power is no news."""
        return True


class _File:
    def __init__(self, disk: Disk, content: Content) -> None:
        self.disk = disk
        self.content = content
        self.boot = disk.boot

    def _use(self) -> None:
        if self.boot != self.disk.boot:
            raise PowerGone("this handle is from before the power was cut")
        self.disk.use()

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return bytes(self.content.seen[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._use()
        self.content.do(Change(offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._use()
        self.content.do(Change(size, None))

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._use()
        self.content.sync()

    def xFileSize(self) -> int:  # noqa: N802
        return len(self.content.seen)

    def xLock(self, level: int) -> None:  # noqa: N802
        """One process only."""

    def xUnlock(self, level: int) -> None:  # noqa: N802
        """One process only."""

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802
        return False

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return 0

    def xSectorSize(self) -> int:  # noqa: N802
        return SECTOR

    def xClose(self) -> None:  # noqa: N802
        """Nothing is held."""
