"""Workers that start at once: forks of a process which has already imported everything.

What a run of thousands of kills waits for is nearly always the import of libraries, 0.6 s a life. A fork has
its own store, loop, threads and random numbers; nothing of them exists before it.

`python -m support.runtime.forked` is that process: it reads a line of JSON for each worker, answers with the
worker's process id, and ends with its standard input.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from support.runtime.entry import run

TESTS = Path(__file__).resolve().parents[2]


class ForkedWorker:
    """One fork that runs `support.runtime.entry`; as `subprocess.Popen`, but nobody learns its exit code."""

    returncode = None

    def __init__(self, arguments: list[str], log_file: Path) -> None:
        parent = _parent()
        assert parent.stdin is not None
        assert parent.stdout is not None
        order = {"arguments": arguments, "log_file": str(log_file)}
        parent.stdin.write(json.dumps(order).encode() + b"\n")
        parent.stdin.flush()
        self.pid = int(parent.stdout.readline())
        # Found by handle, not by number: that may be another process's by now.
        try:
            self._handle: int | None = os.pidfd_open(self.pid)
        except ProcessLookupError:
            self._handle = None

    def poll(self) -> int | None:
        """Zero if it has ended, however; None while it runs."""
        return 0 if self._ends_within(0.0) else None

    def wait(self, timeout: float | None = None) -> int:
        """Zero when it has ended, however.

        Raises:
            subprocess.TimeoutExpired: it runs on.
        """
        if not self._ends_within(timeout):
            raise subprocess.TimeoutExpired("intops-worker", timeout or 0.0)
        return 0

    def send_signal(self, what: int) -> None:
        """Send a signal, unless it has ended."""
        if self._handle is not None and self.poll() is None:
            signal.pidfd_send_signal(self._handle, what)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _ends_within(self, timeout_s: float | None) -> bool:
        if self._handle is not None and select.select([self._handle], [], [], timeout_s)[0]:
            os.close(self._handle)
            self._handle = None
        return self._handle is None


@functools.cache
def _parent() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "support.runtime.forked"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )  # fmt: skip
    atexit.register(process.communicate)
    return process


def _serve() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead need no wait
    while line := sys.stdin.readline():
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become_worker(order["arguments"], order["log_file"])
        print(pid, flush=True)


def _become_worker(arguments: list[str], log_file: str) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["intops-worker", *arguments]
    run()
    sys.exit(0)


if __name__ == "__main__":
    _serve()
