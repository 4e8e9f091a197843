"""Long-running programs of the harness: started once, logged to a file, stopped by process id.

The control plane and the node are lists of these. A service is found again by a later process
through its record in `run/`, which carries the start time so that a reused id is never killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.cluster.polling import HarnessError, until

LOG_LINES = 15
"""Lines of a log that an error shows: enough for a Go panic's first frames or a flag error."""


def birth(pid: int) -> str | None:
    """The start time of a running process in whatever unit the system has, None if it is gone."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The command in parentheses may hold spaces: fields are counted from behind it.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] == "Z" else fields[19]  # 22nd field: starttime, proc(5)
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return shown.partition(" ")[2] if shown and not shown.startswith("Z") else None


def _reap(pid: int) -> None:
    """Collect the exit status if the process was ours, so that it does not stay as a zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def take(state: Path) -> None:
    """Make a cluster's directory, and note this process as the one it belongs to."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    owner = {"pid": os.getpid(), "born": birth(os.getpid())}
    (state / "owner.json").write_text(json.dumps(owner))


def is_abandoned(state: Path) -> bool:
    """Whether the process that took a cluster has ended; so it is with every `up` of a shell."""
    try:
        owner = json.loads((state / "owner.json").read_text())
    except (OSError, ValueError):
        return True
    born = birth(owner["pid"])
    return born is None or born != owner["born"]


@dataclass(frozen=True, slots=True)
class Service:
    """One program that runs until it is stopped."""

    name: str
    argv: tuple[str, ...]
    state: Path
    """Directory of the cluster it belongs to; logs/ and run/ are below it."""
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """Where its output goes; a restart appends."""
        return self.state / "logs" / f"{self.name}.log"

    @property
    def _record(self) -> Path:
        return self.state / "run" / f"{self.name}.json"

    def pid(self) -> int | None:
        """The id of the running process, None if it does not run."""
        try:
            record = json.loads(self._record.read_text())
        except (OSError, ValueError):
            return None
        pid = int(record["pid"])
        born = birth(pid)
        if born is None:
            _reap(pid)
        return pid if born is not None and born == record["born"] else None

    def start(self) -> None:
        """Start it unless it runs. Returns before it is ready."""
        if self.pid() is not None:
            return
        for path in (self.log, self._record):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.state,
                env={**os.environ, **self.env},
                start_new_session=True,
            )
        # The record is the handle from here on; a Popen that is dropped while its process runs
        # would warn, and warnings are errors.
        process.returncode = 0
        self._record.write_text(json.dumps({"pid": process.pid, "born": birth(process.pid)}))

    def tail(self) -> str:
        """The last lines of the log, under a heading that names the file."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        except OSError:
            lines = ["(no log was written)"]
        return "\n".join([f"last lines of {self.log}:", *(f"  {line[:400]}" for line in lines)])

    def must_live(self) -> None:
        """Give up waiting for a program that has ended.

        Raises:
            HarnessError: With the last lines of its log.
        """
        if self.pid() is None:
            raise HarnessError(f"{self.name} ended although it should run\n{self.tail()}")


def stop(
    state: Path,
    *names: str,
    timeout_s: float = 10.0,
    signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGKILL),
) -> None:
    """Stop the named services of one cluster at once: terminate, wait, kill what is left.

    The records are enough: neither binaries nor certificates have to be there any more.
    """
    services = [Service(name, (), state) for name in names]
    for deadly in signals:
        living = [pid for service in services if (pid := service.pid()) is not None]
        for pid in living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, deadly)
        with contextlib.suppress(HarnessError):
            until(
                lambda: all(service.pid() is None for service in services),
                "the services to end",
                timeout_s=timeout_s,
            )
            break
    for service in services:
        service._record.unlink(missing_ok=True)
