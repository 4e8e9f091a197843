"""Ways in which a volume or a person ruins a store's files."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

PAGE = 4096
FILE, LOG = "store.sqlite", "store.sqlite-wal"


def _pages(file: Path) -> int:
    return file.stat().st_size // PAGE


def _overwritten(folder: Path, draw: random.Random) -> None:
    """Some pages hold something else, or nothing."""
    file = folder / FILE
    data = bytearray(file.read_bytes())
    for _ in range(draw.choice((1, 1, 2, 8))):
        at = draw.randrange(_pages(file)) * PAGE + draw.choice((0, 0, 512, 2048))
        size = draw.choice((512, PAGE // 2, PAGE))
        data[at : at + size] = draw.choice((draw.randbytes(size), bytes(size), b"\xff" * size))
    file.write_bytes(bytes(data))


def _truncated(folder: Path, draw: random.Random) -> None:
    file = folder / FILE
    size = file.stat().st_size
    shorter = draw.choice((1, 15, 99, 100, 512, PAGE, draw.randrange(size), size - PAGE, size - 1))
    file.write_bytes(file.read_bytes()[:shorter])


def _log_cut(folder: Path, draw: random.Random) -> None:
    log = folder / LOG
    log.write_bytes(log.read_bytes()[: draw.randrange(log.stat().st_size + 1)])


def _log_overwritten(folder: Path, draw: random.Random) -> None:
    log = folder / LOG
    data = bytearray(log.read_bytes())
    if data:
        at = draw.randrange(len(data))
        data[at : at + PAGE] = draw.randbytes(PAGE)
    log.write_bytes(bytes(data))


def _log_of_nobody(folder: Path, draw: random.Random) -> None:
    (folder / LOG).write_bytes(draw.randbytes(draw.choice((1, 32, 10_000))))


def _empty(folder: Path, draw: random.Random) -> None:
    """The file is there, and nothing is in it."""
    (folder / FILE).write_bytes(b"")


def _another_database(folder: Path, draw: random.Random) -> None:
    (folder / FILE).unlink()
    with closing(sqlite3.connect(folder / FILE)) as db:
        db.execute(f"PRAGMA user_version={draw.choice((0, 1, 5, 99))}")
        db.execute("CREATE TABLE messages(id INTEGER PRIMARY KEY, body TEXT)")
        db.commit()


def _text(folder: Path, draw: random.Random) -> None:
    (folder / FILE).write_text("notes\n" * draw.choice((1, 20, 5000)), encoding="utf-8")


def _random(folder: Path, draw: random.Random) -> None:
    (folder / FILE).write_bytes(draw.randbytes(draw.choice((1, 2, 100, 20_000))))


RUINS: dict[str, Callable[[Path, random.Random], None]] = {
    "pages overwritten": _overwritten,
    "cut off": _truncated,
    "log cut off": _log_cut,
    "log overwritten": _log_overwritten,
    "log of nobody": _log_of_nobody,
    "empty": _empty,
    "another database": _another_database,
    "a text": _text,
    "noise": _random,
}
MAY_BEGIN_EMPTY = frozenset({"log cut off", "log overwritten", "log of nobody"})
"""What a log held after its damage has not happened, which may be all there was."""
