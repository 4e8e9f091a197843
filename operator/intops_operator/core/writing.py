"""Decide when a status is written: conditions at once, counters rarely, nothing when idle.

The status writer asks `decide` for each status and `Bucket` for room. Both take the time as an
argument.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

StatusDict = Mapping[str, Any]

ZERO_MATTERS: Final = ("backlog", "review")
_DIGITS = re.compile(r"[0-9]+")


class Cause(StrEnum):
    """Why a status is written."""

    CONDITION = "condition"
    ZERO = "zero"
    COUNTERS = "counters"


AWAITED: Final = frozenset({"Flow", "FlowAction"})
"""Kinds that people and GitOps wait for."""

Turn = tuple[Cause, bool]
"""Why a status is written, and whether it may come after those that are awaited."""

TURNS: Final[tuple[Turn, ...]] = tuple((cause, late) for cause in Cause for late in (False, True))
"""Who comes first: conditions before numbers, and Flows before what they use."""


def turn(kind: str, cause: Cause) -> Turn:
    """Where the status of an object of this kind stands in line."""
    return cause, kind not in AWAITED


@dataclass(frozen=True, slots=True)
class Write:
    """Write now."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class Wait:
    """Write after this many seconds, if it still differs then."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing to write."""


def decide(
    written: StatusDict | None,
    wanted: StatusDict,
    *,
    since_write_s: float | None,
    counters_interval_s: float,
) -> Write | Wait | Keep:
    """Decide what happens to a status.

    Args:
        written: The status as it was written last; None or empty if never.
        wanted: The status as it should be.
        since_write_s: Seconds since this operator wrote it last; None if it did not yet.
        counters_interval_s: Shortest time between two writes that bring only counters.
    """
    written = written or {}
    if written == wanted:
        return Keep()
    if _shape(written) != _shape(wanted):
        return Write(Cause.CONDITION)
    if any(bool(written.get(key)) != bool(wanted.get(key)) for key in ZERO_MATTERS):
        return Write(Cause.ZERO)
    if since_write_s is None or since_write_s >= counters_interval_s:
        return Write(Cause.COUNTERS)
    return Wait(counters_interval_s - since_write_s)


def _shape(status: StatusDict) -> Any:
    """What may not wait: everything that conditions say, except the numbers in their sentences."""
    conditions = {
        c["type"]: (
            c.get("status"),
            c.get("reason"),
            c.get("observedGeneration"),
            _DIGITS.sub("#", c.get("message", "")),
        )
        for c in status.get("conditions") or ()
    }
    return status.get("observedGeneration"), status.get("configHash"), conditions


class Bucket:
    """Tokens that come at a steady rate up to a burst."""

    def __init__(self, rate: float, burst: int, now: float) -> None:
        """`rate` tokens a second, at most `burst` saved up; `now` in seconds of any clock."""
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self._rate
