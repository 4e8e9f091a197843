"""What the worker was computing when it died: a mark in a file that outlives the process.

The plan runner sets it around everything that it computes for one delivery, for one message or for a Mapping on
trial, and takes it away whenever it waits. One thread does all of that, so a mark that is there at the next start
names what the process died of: a crash of native code, the end of its memory, or a hang that kubelet ended.

A mark is a write to memory that the file shows, a microsecond for each step of a turn: the kernel keeps it
when the process is killed. A power cut may lose it, as it should: no message cuts the power.
"""

import logging
import mmap
import os
import struct
from collections import Counter
from collections.abc import Awaitable, Generator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Generic, Literal, Self, TypeVar

import orjson

log = logging.getLogger("intops.worker")

Kind = Literal["delivery", "message", "shadow"]
Result = TypeVar("Result")

_MARK: Final = struct.Struct("<qq")  # what kind, and its id; zeros where nothing is computed
_KINDS: Final[dict[Kind, int]] = {"delivery": 1, "message": 2, "shadow": 3}
_NOTHING: Final = _MARK.pack(0, 0)


class BlackBox:
    """The mark of one plan, and how often the process has died under which.

    Args:
        folder: The plan's own; there must be no other process at work in it.
        flow: Names the plan in the log.
    """

    def __init__(self, folder: Path, *, flow: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._tally = folder / "deaths.json"
        self._deaths = self._read_deaths()
        self._memory = _shared_memory(folder / "doing")
        code, number = _MARK.unpack_from(self._memory)
        for kind, known in _KINDS.items():
            if code == known:
                self._deaths[kind][number] += 1
                self._write_deaths()
                log.warning(
                    "the worker died while it handled something",
                    extra={
                        "data": {
                            "flow": flow, kind: number, "times": self._deaths[kind][number],
                        }
                    },
                )  # fmt: skip
        self._memory[: _MARK.size] = _NOTHING

    def deaths(self, kind: Kind) -> dict[int, int]:
        """How often the process has died while it computed for each of these, by id."""
        return dict(self._deaths[kind])

    def computing(self, kind: Kind, number: int) -> "_Marked":
        """Set the mark: `with`, and nothing in it may wait."""
        return _Marked(self._memory, _MARK.pack(_KINDS[kind], number))

    def forget(self, kind: Kind, number: int) -> None:
        """It came to its end: what was before counts no more."""
        if self._deaths[kind].pop(number, None) is not None:
            self._write_deaths()

    def close(self) -> None:
        """Let the file go; there is no mark in it."""
        self._memory.close()

    def _read_deaths(self) -> dict[Kind, Counter[int]]:
        try:
            stored = orjson.loads(self._tally.read_bytes())
            return {
                kind: Counter({int(number): int(n) for number, n in stored.get(kind, {}).items()})
                for kind in _KINDS
            }
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            log.warning("the count of deaths begins anew", extra={"data": {"why": str(error)}})
        return {kind: Counter() for kind in _KINDS}

    def _write_deaths(self) -> None:
        told = {
            kind: {str(number): n for number, n in counts.items()}
            for kind, counts in self._deaths.items()
        }
        fresh = self._tally.with_suffix(".fresh")
        try:
            fresh.write_bytes(orjson.dumps(told))
            fresh.replace(self._tally)
        except OSError as error:
            # A full volume must not keep the worker from draining it.
            log.warning("the count of deaths is not kept", extra={"data": {"why": str(error)}})


class _Marked:
    """The mark, while something is computed. A class, because a generator costs more in every message."""

    __slots__ = ("_mark", "_memory")

    def __init__(self, memory: mmap.mmap, mark: bytes) -> None:
        self._memory = memory
        self._mark = mark

    def __enter__(self) -> Self:
        self._memory[: _MARK.size] = self._mark
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._memory[: _MARK.size] = _NOTHING


class Watched(Generic[Result]):
    """Awaits something under the mark, which is away whenever that waits.

    Args:
        mark: Of what is computed.
        work: What is awaited.
    """

    __slots__ = ("_mark", "_work")

    def __init__(self, mark: _Marked, work: Awaitable[Result]) -> None:
        self._mark = mark
        self._work = work

    def __await__(self) -> Generator[Any, Any, Result]:
        steps = self._work.__await__()
        step, given = steps.send, None
        while True:
            try:
                with self._mark:
                    wanted = step(given)
            except StopIteration as done:
                result: Result = done.value
                return result
            try:
                given, step = (yield wanted), steps.send
            except BaseException as error:  # a cancellation belongs to the work
                given, step = error, steps.throw


def _shared_memory(file: Path) -> mmap.mmap:
    """The file as memory; memory of our own where no file can be had, since work goes on without."""
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(handle).st_size < _MARK.size:
                # Written, not only made longer: a write to a hole of a full disk would end the process.
                os.pwrite(handle, _NOTHING, 0)
            return mmap.mmap(handle, _MARK.size)
        finally:
            os.close(handle)
    except OSError as error:
        log.warning("deaths are not counted", extra={"data": {"why": str(error)}})
        return mmap.mmap(-1, _MARK.size)
