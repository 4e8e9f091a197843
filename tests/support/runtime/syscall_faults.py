"""Makes system calls of a process fail, wait or kill it, and tells which it made; by strace.

Used by the storage rows of the fault suite. The traced process keeps its own pid: strace runs beside it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.peers.process import require_binary, wait_until

_LINE = re.compile(r"^(?P<pid>\d+) +(?P<rest>.*)$")
_RESUMED = re.compile(r"^<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)$", re.DOTALL)
_CALL = re.compile(r"^(?P<name>\w+)\((?P<rest>.*)$", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
SHOWN_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Call:
    """One system call: its words, and the places in the log where it began and where it had returned."""

    name: str
    words: str
    began: int
    ended: int

    @property
    def handle(self) -> int:
        """The file descriptor that it is about."""
        return int(self.words.partition(",")[0].partition(")")[0].partition("<")[0])

    @property
    def failed(self) -> bool:
        """Whether it returned an error."""
        return " = -1 " in self.words


def traced(
    log: Path, *faults: str, calls: str = "fdatasync,pwrite64", for_good: bool = True
) -> tuple[str, ...]:
    """The beginning of a command line that runs the rest of it under strace.

    Args:
        log: Where the calls are written.
        faults: What strace injects, such as `fdatasync:error=EIO:when=3`.
        calls: Names of the calls that are looked at, with commas.
        for_good: False where the process is let go later; it is slower until then.
    """
    strace = require_binary("strace", remedy="`apt-get install strace` installs it.")
    injected = [word for fault in faults for word in ("-e", f"inject={fault}")]
    # The quick way stops at few calls only; it knows no signals, and cannot be taken away again.
    quick = ("--seccomp-bpf",) if for_good and "signal=" not in "".join(faults) else ()
    return (
        strace, "-D", "-f", "-q", *quick, "-e", "signal=none", "-s", str(SHOWN_BYTES),
        "-e", f"trace={calls}", *injected, "-o", str(log),
    )  # fmt: skip


def let_go(pid: int) -> None:
    """End the strace beside a process, which runs on by itself: the fault is over."""
    tracer = tracer_of(pid)
    assert tracer, f"process {pid} is not traced"
    os.kill(tracer, signal.SIGKILL)  # asked to end, it would end the process too
    wait_until(lambda: not tracer_of(pid), what=f"process {pid} runs by itself", timeout_s=10.0)


def tracer_of(pid: int) -> int:
    """The process that traces this one; 0 if none does."""
    with contextlib.suppress(FileNotFoundError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("TracerPid:"):
                return int(line.split()[1])
    return 0


def calls_in(log: Path) -> list[Call]:
    """Every call of a log, in the order in which they returned."""
    begun: dict[tuple[str, str], tuple[int, str]] = {}
    found = []
    for place, line in enumerate(log.read_text(encoding="utf-8", errors="replace").splitlines()):
        matched = _LINE.match(line)
        if matched is None:
            continue
        pid, rest = matched["pid"], matched["rest"]
        resumed, call = _RESUMED.match(rest), _CALL.match(rest)
        if resumed is not None:
            began, words = begun.pop((pid, resumed["name"]), (place, ""))
            found.append(Call(resumed["name"], words + resumed["rest"], began, place))
        elif call is not None and rest.endswith(_UNFINISHED):
            begun[pid, call["name"]] = (place, call["rest"].removesuffix(_UNFINISHED))
        elif call is not None:
            found.append(Call(call["name"], call["rest"], place, place))
    return found


@contextlib.contextmanager
def attached(pid: int, log: Path, fault: str) -> Iterator[None]:
    """Inject a fault into syncs of a running process; `when` counts from now, whatever it did before."""
    argv = [word for word in traced(log, fault, calls="fdatasync", for_good=False) if word != "-D"]
    with subprocess.Popen([*argv, "-p", str(pid)]) as strace:
        wait_until(lambda: tracer_of(pid), what="strace looks", timeout_s=10.0)
        try:
            yield
        finally:
            strace.terminate()


def slowed(pid: int, log: Path, *, seconds: int) -> contextlib.AbstractContextManager[None]:
    """Every sync of a running process takes so much longer."""
    return attached(pid, log, f"fdatasync:delay_exit={seconds * 1_000_000}")


def resident_mib(pid: int) -> float:
    """Memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)
