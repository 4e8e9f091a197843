"""Small file systems of their own: full, without inodes, read-only while files are open, or without power.

Used by the storage rows of the fault suite; mounting takes root.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from support.peers.process import require_binary

MIB = 1024 * 1024
# EXT4_IOC_SHUTDOWN of the kernel, and its flag for "write nothing more, not even the journal".
_SHUTDOWN = 0x8004587D
_WITHOUT_FLUSH = struct.pack("I", 2)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


def need_root() -> None:
    """Leave a test out, with the reason, where it cannot mount."""
    if os.geteuid() != 0:
        pytest.skip("Mounting a small volume takes root.")


@contextlib.contextmanager
def mounted(place: Path, *options: str) -> Iterator[None]:
    """Something is mounted at a folder until the end."""
    need_root()
    place.mkdir(exist_ok=True)
    _run("mount", *options, str(place))
    try:
        yield
    finally:
        _run("umount", "-l", str(place))


@contextlib.contextmanager
def memory_volume(place: Path, *, mib: int) -> Iterator[None]:
    """A volume in memory."""
    with mounted(place, "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs"):
        yield


def make_ext4(image: Path, *, mib: int, inodes: int, journal: bool = False) -> None:
    """A file that holds an ext4 file system; only with a journal does it survive a power cut."""
    need_root()
    with image.open("wb") as file:
        file.truncate(mib * MIB)
    mkfs = require_binary("mkfs.ext4", remedy="`apt-get install e2fsprogs`", search=("/sbin",))
    feature = "has_journal" if journal else "^has_journal"
    _run(mkfs, "-q", "-F", "-N", str(inodes), "-O", feature, "-m", "0", str(image))


@contextlib.contextmanager
def ext4_volume(place: Path, image: Path) -> Iterator[None]:
    """The ext4 file system in a file."""
    with mounted(place, "-t", "ext4", "-o", "loop", str(image)):
        yield


class PoweredVolume:
    """An ext4 file system with a journal whose power can go: what was not synced is gone.

    Args:
        place: Where it is mounted; an empty folder.
        image: The file that holds it; made here.
        mib: Its size.
    """

    def __init__(self, place: Path, image: Path, *, mib: int) -> None:
        self.place = place
        self._image = image
        self._is_on = False
        make_ext4(image, mib=mib, inodes=4096, journal=True)

    def on(self) -> None:
        """Mount it; the kernel replays its journal."""
        _run("mount", "-t", "ext4", "-o", "loop", str(self._image), str(self.place))
        self._is_on = True

    def cut(self) -> None:
        """The power goes: nothing reaches the volume any more, and who writes is told so."""
        folder = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _SHUTDOWN, _WITHOUT_FLUSH)
        finally:
            os.close(folder)

    def off(self) -> None:
        """Unmount it, once nothing has a file open; a lazy unmount would keep what is in memory."""
        _run("umount", str(self.place))
        self._is_on = False

    def __enter__(self) -> Self:
        self.on()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_on:
            _run("umount", "-l", str(self.place))


def fail_for_good(place: Path) -> None:
    """The file system sees an error and takes no more writes, also not of files that are open."""
    _run("mount", "-o", "remount,abort", str(place))


def fill(place: Path) -> Path:
    """Use every byte that is free; returns the file, which a test removes to make room."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (MIB, 4096):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    return ballast


def fill_but(place: Path, *, mib: int) -> Path:
    """Use what is free but for so much."""
    ballast = place / "ballast"
    volume = os.statvfs(place)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, volume.f_bavail * volume.f_frsize - mib * MIB)
    return ballast


def use_inodes(place: Path) -> list[Path]:
    """Make files until there may be no more; returns them."""
    made: list[Path] = []
    with contextlib.suppress(OSError):
        while True:
            file = place / f"file-{len(made)}"
            file.touch()
            made.append(file)
    return made
