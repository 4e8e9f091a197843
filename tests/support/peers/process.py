"""Starts one server as a child process, waits until it answers, and stops it by its pid.

Used by every peer in this package and by the launcher of the helpdesk simulator.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self, TypeVar

import httpx

from support.ports import free_port

T = TypeVar("T")

START_TIMEOUT_S = 60.0
# A loaded two-core machine has been seen to need 24 s for Request Tracker, its slowest peer.

STOP_TIMEOUT_S = 10.0
POLL_S = 0.05
ADDRESS_IN_USE = ("address already in use", "port already in use")
BIND_ATTEMPTS = 3


class PeerError(Exception):
    """A peer cannot be installed, started or driven; the text says what to do about it."""


class MissingBinary(PeerError):
    """The program of a peer is not on this machine."""

    def __init__(self, binary: str, remedy: str) -> None:
        super().__init__(
            f'The program "{binary}" is not on this machine, so this peer cannot run. {remedy}'
        )
        self.binary = binary


def require_binary(binary: str, *, remedy: str, search: Sequence[str] = ()) -> str:
    """Return the path of a program, or raise `MissingBinary` with the command that installs it.

    Args:
        binary: Name of the program.
        remedy: One sentence with the command that installs it.
        search: Folders to look in besides PATH, such as the folder of the running interpreter.
    """
    path = os.pathsep.join([*search, os.environ.get("PATH", ""), "/usr/sbin"])
    found = shutil.which(binary, path=path)
    if found is None:
        raise MissingBinary(binary, remedy)
    return found


def wait_until(
    probe: Callable[[], T | None], *, what: str, timeout_s: float = START_TIMEOUT_S
) -> T:
    """Poll until `probe` returns something true and return it; raise `PeerError` otherwise.

    Args:
        probe: Called about twenty times a second.
        what: The awaited fact, for the error: "the alert reached the receiver".
        timeout_s: Seconds to wait.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        result = probe()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise PeerError(f"Waited {timeout_s:g} s and still not true: {what}.")
        threading.Event().wait(POLL_S)


class Peer:
    """A server that runs as a child process with its own folder, port and log file.

    Subclasses say how to prepare the folder, what to run and when it is ready. The port is chosen
    at the first start and kept, so that `stop()` and `start()` play an outage of the same address.

    Args:
        bind: Address to listen on. Pods of the test cluster reach 10.99.0.1, not 127.0.0.1.
        port: TCP port; 0 chooses a free one.
    """

    name: ClassVar[str]

    def __init__(self, *, bind: str = "127.0.0.1", port: int = 0) -> None:
        self.bind = bind
        self._port = port
        self._chosen_here = port == 0
        self._started_once = False
        self._process: subprocess.Popen[bytes] | None = None
        self.workdir = Path(tempfile.mkdtemp(prefix=f"intops-{self.name}-"))
        self.log_file = self.workdir / f"{self.name}.log"

    # What a subclass answers

    def prepare(self) -> None:
        """Write the configuration; called before every start, when the port is known."""

    def command(self) -> list[str]:
        """Return the command line of the server."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return variables added to the environment of the server."""
        return {}

    def is_ready(self) -> bool:
        """Say whether the server answers as it does in normal work."""
        raise NotImplementedError

    # What a test uses

    @property
    def port(self) -> int:
        """The TCP port; chosen when it is first asked for."""
        if self._port == 0:
            self._port = free_port(self.bind)
        return self._port

    @property
    def url(self) -> str:
        """The base address, such as `http://127.0.0.1:18180`, without a slash at its end."""
        return f"http://{self.bind}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self._process is None:
            raise PeerError(f"{self.name} is not running; call start().")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Say whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start the server and return when it is ready.

        Raises:
            MissingBinary: The program is not installed; the text names the command.
            PeerError: It ended or did not become ready; the text holds the end of its log.
        """
        for attempt in range(1, BIND_ATTEMPTS + 1):
            self.prepare()
            self._spawn()
            if self._becomes_ready():
                self._started_once = True
                return self
            tail = self.log_tail().lower()
            lost_the_port = any(words in tail for words in ADDRESS_IN_USE)
            self.kill()
            # Between choosing a free port and listening on it somebody else may take it.
            if not (lost_the_port and self._chosen_here) or self._started_once:
                break
            if attempt < BIND_ATTEMPTS:
                self._port = 0
        raise PeerError(
            f"{self.name} did not start. The end of {self.log_file}:\n{self.log_tail()}"
        )

    def stop(self) -> None:
        """Ask the server to end and wait; its data stays. Does nothing when it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server and its children at once, as a power cut would; its data stays."""
        self._end(signal.SIGKILL)

    def restart(self) -> Self:
        """Stop and start again on the same address with the same data."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """Stop the server and remove its folder."""
        self.stop()
        shutil.rmtree(self.workdir, ignore_errors=True)

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines the server wrote."""
        if not self.log_file.exists():
            return "(nothing was written)"
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    def answers(self, path: str, *, status: int = 200) -> bool:
        """Say whether a GET of a path of this server answers with a status."""
        try:
            return httpx.get(f"{self.url}{path}", timeout=2.0).status_code == status
        except httpx.HTTPError:
            return False

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _spawn(self) -> None:
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.workdir,
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own, so that kill() reaches forked workers and nobody else.
                start_new_session=True,
            )

    def _becomes_ready(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.is_running and time.monotonic() < deadline:
            # A stranger on the same port may answer; only a living child of ours counts.
            if self.is_ready() and self.is_running:
                return True
            threading.Event().wait(POLL_S)
        return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            _signal(process.pid, how, group=how is signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
        # Forked workers that serve a kept-alive connection outlive some servers, and with them
        # the listening socket; nobody could start again on this port.
        _signal(process.pid, signal.SIGKILL, group=True)
        process.wait(STOP_TIMEOUT_S)


def _signal(pid: int, how: signal.Signals, *, group: bool) -> None:
    try:
        if group:
            os.killpg(pid, how)
        else:
            os.kill(pid, how)
    except ProcessLookupError:
        return


def run_tool(
    command: Sequence[str],
    *,
    cwd: Path,
    environment: dict[str, str] | None = None,
    given: str = "",
) -> str:
    """Run a short-lived program of a peer and return what it wrote to its standard output.

    `given` is what it reads.

    Raises:
        PeerError: It failed; the text holds its last lines.
    """
    done = subprocess.run(
        list(command),
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-12:])
        raise PeerError(f'"{Path(command[0]).name}" failed with {done.returncode}:\n{tail}')
    return done.stdout
