"""The worker with a test's hands in it: stop it at a named point, or take one safeguard away.

The only place that installs failpoints. `python -m support.runtime.entry [test flags] -- [worker flags]`.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from intops_runtime import intake_loop, lane, logs
from intops_runtime.__main__ import main
from intops_runtime.core import failpoints, gates, shadowing
from intops_runtime.core.intake import intake, messages_of
from intops_runtime.core.shaping import shape
from intops_runtime.edges.black_box import BlackBox
from intops_runtime.edges.store import opening, postgres_settling
from intops_runtime.edges.store.postgres import PostgresStore
from support.runtime.storage_safeguards import STORAGE_SAFEGUARDS

_TRANSACTION_S = 0.3
"""Longer than any transaction of these tests takes."""


def kill_at(point: str, hit: int, note: Path) -> None:
    """End this process with SIGKILL when `point` is reached for the `hit`-th time.

    A kill from outside, only well aimed: the message that is at work just then is not to blame.
    """
    without_black_box()
    signal_at(point, hit, note, signal.SIGKILL)


def signal_at(
    point: str, hit: int, note: Path, what: signal.Signals, once: Path | None = None
) -> None:
    """Send this process a signal when `point` is reached for the `hit`-th time.

    The note tells the test that the point was reached, and how busy the worker was. With `once`, only
    hits after a file of that name is there are counted.
    """
    seen = 0

    def hook(name: str) -> None:
        nonlocal seen
        if name != point or (once is not None and not once.exists()):
            return
        seen += 1
        if seen == hit:
            if what is signal.SIGSTOP:
                # Not within a transaction of the store's thread: nobody else could write until the end.
                time.sleep(_TRANSACTION_S)
            note.write_text(f"{point} {hit}\n", encoding="utf-8")
            os.kill(os.getpid(), what)

    failpoints.install(hook)


def without_intent() -> None:
    """Forget every attempt that has no outcome, as if intents were not stored."""
    run = lane.Lane.run

    async def forgetful(self: lane.Lane, leased: Any) -> Any:
        return await run(self, replace(leased, open_attempt=None))

    lane.Lane.run = forgetful  # type: ignore[method-assign]
    without_first_look()


def without_lookup() -> None:
    """Repeat an attempt whose outcome is unknown without looking for what it did."""

    async def nothing(*_: Any, **__: Any) -> None:
        return None

    lane.Lane._look_up = nothing  # type: ignore[method-assign]


def without_first_look() -> None:
    """Take every episode for younger than the store, so that only intents protect it."""
    lane.Lane._may_exist = lambda *_: False  # type: ignore[method-assign]


def without_fence() -> None:
    """Write to lanes that others have taken over, and send for them, as if leases never ran out."""

    async def all_of_them(unit: Any, tenancy: Any, lanes: Any) -> set[int]:
        return set(lanes)

    setattr(postgres_settling, "held_of", all_of_them)  # noqa: B010  it is imported there
    PostgresStore.check = lambda *_: None  # type: ignore[method-assign]


def without_black_box() -> None:
    """Forget at every death what was at work."""
    BlackBox.computing = lambda *_: nullcontext()  # type: ignore[method-assign, assignment]


def without_doubt() -> None:
    """Take every store for the newest there is, as if none were ever restored."""
    setattr(opening, "UNTOUCHED_S", float("inf"))  # noqa: B010  it is imported there


def in_a_hurry() -> None:
    """A store is old after a second, and clocks agree: a test need not wait for minutes."""
    setattr(opening, "UNTOUCHED_S", 1.0)  # noqa: B010
    lane.CLOCK_MARGIN_S = 0.0


def die_of(text: str, end: Callable[[], None]) -> None:
    """Come to an `end` as soon as something is handled that holds `text`.

    In a title it is the message that does it, and in a body's receiver the whole delivery.
    """

    def deadly_shape(plan: Any, key: str, record: Any, *more: Any) -> Any:
        if text in str(record.get("title")):
            end()
        return shape(plan, key, record, *more)

    def deadly_split(plan: Any, delivery: Any, **options: Any) -> Any:
        if f'"receiver":"{text}"'.encode() in delivery.body:
            end()
        return intake(plan, delivery, **options)

    setattr(lane, "shape", deadly_shape)  # noqa: B010  it is imported there
    setattr(intake_loop, "intake", deadly_split)  # noqa: B010


def end_on_trial(text: str, end: Callable[[], None]) -> None:
    """Come to an `end` as soon as a shadow maps an alert that holds `text`; what decides is not touched."""

    def deadly(plan: Any, source: Any, delivery: Any, index: int, item: Any, *more: Any) -> Any:
        if text in str(item):
            end()
        return messages_of(plan, source, delivery, index, item, *more)

    setattr(shadowing, "messages_of", deadly)  # noqa: B010  it is imported there


def killed() -> None:
    """The end of the process, as by a crash of native code."""
    os.kill(os.getpid(), signal.SIGKILL)


def defect() -> None:
    """The end of one turn, as by a defect of ours."""
    raise KeyError("a defect")


def without_gate() -> None:
    """Let each message meet a limit by itself."""
    gates.Gate.limit = lambda self, *_: self  # type: ignore[method-assign]


def crash_while(file: Path) -> None:
    """Fail in handling each message whose title stands in a file, as long as the file is there."""
    run = lane.Lane.run

    async def stumbling(self: lane.Lane, leased: Any) -> Any:
        if file.exists() and (leased.message.record or {}).get("title") == file.read_text("utf-8"):
            raise ZeroDivisionError("a crash of the test's making")
        return await run(self, leased)

    lane.Lane.run = stumbling  # type: ignore[method-assign]


def without_circuit() -> None:
    """Let each message find out by itself that a system is down."""
    gates.Gate.failed = lambda self, *_: self  # type: ignore[method-assign]


def another_clock(file: Path, *, steady: bool) -> None:
    """Add to the wall clock what a file says in seconds; to the monotonic one only if `steady`.

    In Python rather than by a preloaded library: that one stops threads which wait while it jumps.
    """

    def shifted(true_time: Callable[[], float]) -> Callable[[], float]:
        return lambda: true_time() + float(file.read_text("ascii"))

    time.time = shifted(time.time)
    if steady:
        time.monotonic = shifted(time.monotonic)


def talkative() -> None:
    """Log every detail of every library, and where all threads are when the process is aborted."""
    usual = logs.set_up

    def every_detail() -> None:
        usual(logging.DEBUG)
        logging.getLogger("intops.worker").debug("every detail is logged")

    logs.set_up = every_detail  # type: ignore[assignment]
    faulthandler.enable()


SAFEGUARDS = {
    "intent": without_intent,
    "lookup": without_lookup,
    "fence": without_fence,
    "black-box": without_black_box,
    "doubt": without_doubt,
    "gate": without_gate,
    "circuit": without_circuit,
    **STORAGE_SAFEGUARDS,
}


def run() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kill-at", default="")
    parser.add_argument("--freeze-at", default="")
    parser.add_argument("--once", type=Path, default=None)
    parser.add_argument("--hit", type=int, default=1)
    parser.add_argument("--note", type=Path, default=Path(os.devnull))
    parser.add_argument("--die-of", default="")
    parser.add_argument("--fail-on", default="")
    parser.add_argument("--shadow-dies-of", default="")
    parser.add_argument("--shadow-fails-on", default="")
    parser.add_argument("--hurry", action="store_true")
    parser.add_argument("--talkative", action="store_true")
    parser.add_argument("--without", choices=sorted(SAFEGUARDS), default=None)
    parser.add_argument("--intents-only", action="store_true")
    parser.add_argument("--crash-while", type=Path, default=None)
    parser.add_argument("--clock", type=Path, default=None)
    parser.add_argument("--time", type=Path, default=None)
    parser.add_argument("worker", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if given.kill_at:
        kill_at(given.kill_at, given.hit, given.note)
    if given.freeze_at:
        signal_at(given.freeze_at, given.hit, given.note, signal.SIGSTOP, given.once)
    if given.die_of:
        die_of(given.die_of, killed)
    if given.fail_on:
        die_of(given.fail_on, defect)
    if given.shadow_dies_of:
        end_on_trial(given.shadow_dies_of, killed)
    if given.shadow_fails_on:
        end_on_trial(given.shadow_fails_on, defect)
    if given.hurry:
        in_a_hurry()
    if given.talkative:
        talkative()
    if given.without:
        SAFEGUARDS[given.without]()
    if given.intents_only:
        without_first_look()
    if given.crash_while:
        crash_while(given.crash_while)
    if given.clock:
        another_clock(given.clock, steady=False)
    if given.time:
        another_clock(given.time, steady=True)
    main([argument for argument in given.worker if argument != "--"])


if __name__ == "__main__":
    run()
