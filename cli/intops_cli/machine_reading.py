"""Read what this machine looks like to a local run, without changing anything.

Used by `doctor`; `machine` decides what of it is wrong.
"""

import shutil
import socket
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from intops_cli.machine import Machine, StoreFile
from intops_cli.session import Running, Session
from intops_cli.worker_client import WorkerClient, WorkerUnavailable

CAPTURE_PORT: Final = 8080
LOOPBACK: Final = "127.0.0.1"
CONNECT_S: Final = 2.0


def read_tools() -> Machine:
    """Python and the plugin only."""
    tools = bool(shutil.which("kubectl")), bool(shutil.which("kubectl-intops"))
    return Machine(sys.version_info[:2], *tools)


def read_machine(session: Session) -> Machine:
    """This machine, and the local run of a session where there is one."""
    tools = read_tools()
    if not session.root.is_dir():
        taken = CAPTURE_PORT if _is_open(CAPTURE_PORT) else None
        return replace(tools, capture_port_taken=taken)
    running = session.running()
    return replace(
        tools,
        state=str(session.root),
        pid=running.pid if running else None,
        left_marker=running is None and session.left_marker,
        answers=_answers(session) if running else None,
        closed_ports=tuple(_closed(running)) if running else (),
        readable_secrets=_others_may_read(session.secrets),
        free=shutil.disk_usage(session.root).free,
        stores=tuple(_store(path, in_use=running is not None) for path in _stores(session)),
    )


def _answers(session: Session) -> bool:
    try:
        WorkerClient(session).ask("/report")
    except WorkerUnavailable:
        return False
    return True


def _closed(running: Running) -> list[int]:
    ports = (running.capture_port, running.operations_port)
    return [port for port in ports if not _is_open(port)]


def _is_open(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), CONNECT_S):
            return True
    except OSError:
        return False


def _others_may_read(folder: Path) -> bool:
    """Whether group or others may enter a folder; what is in one that they cannot enter is safe."""
    return folder.is_dir() and bool(folder.stat().st_mode & 0o077)


def _stores(session: Session) -> list[Path]:
    return sorted(session.data.glob("*/store.sqlite"))


def _store(path: Path, *, in_use: bool) -> StoreFile:
    """One store; it is read through only while no worker writes it."""
    problem = None if in_use else _problem(path)
    return StoreFile(path.parent.name, str(path), path.stat().st_size, problem)


def _problem(path: Path) -> str | None:
    """What SQLite finds wrong; None where nothing is, or where it cannot be read without changing it."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as store:
            ((answer,), *_) = store.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.OperationalError:
        return None
    except sqlite3.DatabaseError as error:
        return f"{error}."
    return None if answer == "ok" else f"{answer}."
