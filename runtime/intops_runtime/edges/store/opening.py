"""Opens a store file with exactly the settings that keep promises, or says in a sentence why not.

Every setting is read back where SQLite may refuse it silently (reliability reference, section 3.1).
"""

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apsw

from intops_runtime.edges.store.base import (
    UNTOUCHED_S,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreTooNew,
)
from intops_runtime.edges.store.schema import APPLICATION_ID, VERSION, is_whole, migrate

# Older ones can corrupt a write-ahead log (sqlite.org, release notes of 3.51.3).
OLDEST_SQLITE: Final = (3, 51, 3)

# "WAL does not work over a network filesystem" (sqlite.org/wal.html).
NETWORK_FILE_SYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "fuse.glusterfs", "ceph", "9p", "afs"}
)
# Locks and syncs are those of some program: sshfs, an object store, a share of another machine.
USER_SPACE: Final = "fuse"
# Gone after a restart of the machine or of the container.
VOLATILE_FILE_SYSTEMS: Final = frozenset({"tmpfs", "ramfs", "overlay", "overlayfs"})

_SETTINGS: Final = (
    ("synchronous", "FULL"),
    ("wal_autocheckpoint", "1000"),
    ("journal_size_limit", str(64 * 1024 * 1024)),
    ("mmap_size", "0"),
    ("cache_size", "-8000"),  # KiB, of which only what is used is taken
    ("foreign_keys", "ON"),
    ("trusted_schema", "OFF"),
    ("cell_size_check", "ON"),
    ("temp_store", "MEMORY"),
)
_SYNCHRONOUS_FULL: Final = 2


MADE: Final = "-made"
"""Ending of an empty file beside a store that has been made: such a store is never empty again."""
MOVED_TO: Final = "moved_to"
TOUCHED: Final = """
SELECT max(at) FROM (
  SELECT max(at) AS at FROM (SELECT at FROM transitions ORDER BY rowid DESC LIMIT 1) UNION ALL
  SELECT max(at) FROM (SELECT at FROM deliveries ORDER BY id DESC LIMIT 1) UNION ALL
  SELECT CAST(value AS REAL) FROM meta WHERE name = 'created_at')
"""
"""Name of the value that says where a store has gone."""


def open_to_move(path: Path, *, now: float) -> apsw.Connection:
    """The one connection to a store that is being moved, or has been moved already.

    Raises:
        StoreError: it is not there, or cannot be used; the most specific kind, with a sentence.
    """
    if not path.exists():
        raise StoreError(f"{path}: there is no store here; name the file of the worker's data.")
    with sentences(path):
        db = apsw.Connection(str(path))
        prepare(db, path, now=now, fresh=False, moved=True)
    return db


def open_file(path: Path, *, now: float, allow_volatile: bool) -> apsw.Connection:
    """The one connection to a store file, its schema up to date.

    Raises:
        StoreError: it cannot be used; the most specific kind, with a sentence.
    """
    _refuse_old_library()
    with sentences(path):
        make_folder(path.parent)
        _refuse_file_system(path, allow_volatile=allow_volatile)
        fresh = _is_fresh(path)
        db = apsw.Connection(str(path))
        prepare(db, path, now=now, fresh=fresh)
        try:
            _note_made(path, fresh=fresh)
        except OSError:
            close_as_it_is(db)
            raise
    return db


def _is_fresh(path: Path) -> bool:
    """Whether a store is to be made here.

    Raises:
        StoreCorrupt: there was one, and its file has become empty. SQLite would begin a new one over it, and
            throw its log away.
    """
    # SQLite takes a file of one byte for an empty one.
    empty = not path.exists() or path.stat().st_size <= 1
    log = Path(f"{path}-wal")
    if empty and log.exists() and log.stat().st_size > 0:
        raise damaged(path)
    if empty and path.exists() and Path(f"{path}{MADE}").exists():
        raise damaged(path)
    if not path.exists():  # somebody has moved the store away to start with an empty one
        Path(f"{path}{MADE}").unlink(missing_ok=True)
    return empty


def _note_made(path: Path, *, fresh: bool) -> None:
    """Leave a mark beside the file, before anything is acknowledged: from now on it is never empty."""
    mark = Path(f"{path}{MADE}")
    if fresh:
        mark.touch()
        _sync_folder(path.parent)
    elif not mark.exists():
        with contextlib.suppress(OSError):  # an older store without room for a mark works as before
            mark.touch()


def prepare(
    db: apsw.Connection,
    path: Path,
    *,
    now: float,
    fresh: bool,
    moved: bool = False,
) -> None:
    """Settings, checks and schema of a new connection; closes it where any of them fails."""
    try:
        # First, before the log is touched: no shared memory, and a second opener gets BUSY.
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA busy_timeout=0")
        look_at(db, path)
        _set_up(db, path, fresh=fresh)
        _examine(db, path)
        migrate(db)
        if not is_whole(db):
            raise damaged(path)
        if not moved:
            _refuse_moved(db, path)
        with db:
            db.execute("INSERT OR IGNORE INTO meta VALUES('store_id', ?)", (uuid.uuid4().hex,))
            db.execute("INSERT OR IGNORE INTO meta VALUES('created_at', ?)", (str(now),))
            _note_since_when_all_is_known(db, now)
        # One write at least: a volume that takes none is told now, not by an end at the first message.
        db.execute(f"PRAGMA user_version={VERSION}")
    except Exception:
        close_as_it_is(db)
        raise


def _note_since_when_all_is_known(db: apsw.Connection, now: float) -> None:
    """A store that lay untouched may be a backup: records made meanwhile are in the systems and not in here."""
    db.execute(
        "INSERT OR IGNORE INTO meta SELECT 'known_since', value FROM meta WHERE name = 'created_at'"
    )
    touched = moment(db.execute(TOUCHED).get, otherwise=0.0)
    if not 0 <= now - touched <= UNTOUCHED_S:
        db.execute("UPDATE meta SET value = ? WHERE name = 'known_since'", (str(now),))


def moment(stored: Any, *, otherwise: float) -> float:
    """A stored time (epoch seconds); another one where the volume has made it unreadable."""
    try:
        return float(stored)
    except (TypeError, ValueError):
        return otherwise


def _refuse_moved(db: apsw.Connection, path: Path) -> None:
    place = db.execute("SELECT value FROM meta WHERE name = ?", (MOVED_TO,)).get
    if place is not None:
        raise StoreError(
            f"{path}: this store has been moved to {place}; let the Flow name that one "
            "(runtime.store.postgres). What is here may be read, never delivered."
        )


def close_as_it_is(db: apsw.Connection) -> None:
    """Close a file without copying its log into it: what is refused or broken is not changed."""
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.close()


@contextlib.contextmanager
def sentences(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say on opening into what a person can act on."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(
                f"{path}: the volume has no room for a new file, or too many files already; "
                "give it more room."
            ) from error
        raise StoreError(
            f"{path}: the store cannot be opened ({error.strerror}); see that its volume is there and "
            "writable."
        ) from error
    except apsw.BusyError as error:
        raise StoreBusy(
            f"{path}: another worker has this store open; stop it, or wait until it has ended."
        ) from error
    except (apsw.NotADBError, apsw.CorruptError, UnicodeDecodeError) as error:
        raise damaged(path) from error
    except apsw.FullError as error:
        raise StoreFull(f"{path}: the volume is full; give it more room.") from error
    except apsw.Error as error:
        kind = type(error).__name__.removesuffix("Error")
        raise StoreError(
            f"{path}: the store cannot be opened ({kind}); see that its volume is there and writable."
        ) from error


def _refuse_old_library() -> None:
    version = apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")[:3]) < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise StoreError(
            f"SQLite {version} has a fault that damages files; use an apsw that brings {wanted} or newer."
        )


def _refuse_file_system(path: Path, *, allow_volatile: bool) -> None:
    kind = file_system_of(path.parent)
    if kind in NETWORK_FILE_SYSTEMS or kind.startswith(USER_SPACE):
        raise StoreError(
            f"{path}: a {kind} volume cannot hold a store, because its locks and syncs cannot be "
            "trusted; use a block volume with ext4 or XFS."
        )
    if kind in VOLATILE_FILE_SYSTEMS and not allow_volatile:
        raise StoreError(
            f"{path}: {kind} is empty after a restart, so acknowledged messages would be lost; "
            "mount a volume there, or allow it for a try-out with --allow-volatile."
        )


def file_system_of(folder: Path) -> str:
    """Type of the file system that holds a folder, as /proc/mounts names it; empty if unknown."""
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    wanted, best = str(folder.resolve()), ("", "")
    for line in mounts:
        _, place, kind, *_ = line.split(" ")
        place = place.replace("\\040", " ")
        inside = wanted == place or wanted.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best[0]):
            best = (place, kind)
    return best[1]


def _set_up(db: apsw.Connection, path: Path, *, fresh: bool) -> None:
    if fresh:
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")
    if db.pragma("journal_mode", "wal") != "wal":
        raise StoreError(f"{path}: this volume cannot hold a write-ahead log; use a block volume.")
    for name, value in _SETTINGS:
        db.execute(f"PRAGMA {name}={value}")
    # Else SQLite plans every statement again that a partial index might serve, at each new value.
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    if db.pragma("synchronous") != _SYNCHRONOUS_FULL:
        raise StoreError(f"{path}: SQLite does not sync every commit here; use another volume.")
    db.execute("BEGIN IMMEDIATE")  # takes the lock now rather than at the first message
    db.execute("COMMIT")


def look_at(db: apsw.Connection, path: Path) -> None:
    """Refuse what is not ours before anything in it is changed."""
    version = int(db.pragma("user_version") or 0)
    used = version or db.execute("SELECT count(*) FROM sqlite_schema").get
    if used and db.pragma("application_id") != APPLICATION_ID:
        raise StoreError(
            f"{path}: this is a SQLite file of another program; name another data directory."
        )
    if version > VERSION:
        raise StoreTooNew(
            f"{path}: a newer intops wrote this file (schema {version}, this one knows {VERSION}); "
            "use that version again."
        )


def _examine(db: apsw.Connection, path: Path) -> None:
    """See whether the file is whole.

    Indexes are compared with their tables too: a volume changes values also while nobody works with it.
    """
    if db.execute("PRAGMA integrity_check(1)").get != "ok":
        raise damaged(path)
    if not db.pragma("user_version"):
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")


def damaged(path: Path) -> StoreCorrupt:
    """What to do about a file that is not whole."""
    return StoreCorrupt(
        f"{path}: the store is damaged. It is left as it is: restore a backup in its place, or move it "
        "away to start empty (what it holds is then not delivered)."
    )


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each safe in the one that holds it."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in made:
        _sync_folder(place.parent)


def _sync_folder(folder: Path) -> None:
    """A new file is safe only once its name is on disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
