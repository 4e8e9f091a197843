"""Wait for a fact instead of for a time.

Every start and stop of the harness waits here; there is no other pause in it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class HarnessError(Exception):
    """The harness cannot do what was asked; the message says why, for a person to read."""


def until(
    fact: Callable[[], T | None],
    what: str,
    *,
    timeout_s: float = 30.0,
    every_s: float = 0.05,
    explain: Callable[[], str] = lambda: "",
) -> T:
    """Ask `fact` until it answers with something true, and return that.

    Args:
        fact: Answers falsy while it is not so yet. May raise `HarnessError` to give up at once.
        what: Ends the sentence "waited for ...".
        timeout_s: Seconds after which waiting is an error.
        every_s: Seconds between two questions.
        explain: Called when time is up; its text follows the error, e.g. the last lines of a log.

    Raises:
        HarnessError: Time is up.
    """
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while True:
        answer = fact()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            details = explain()
            raise HarnessError(
                f"waited {timeout_s:g} s for {what}, in vain" + (f"\n{details}" if details else "")
            )
        pause.wait(every_s)
