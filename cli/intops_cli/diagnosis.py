"""What is wrong with an installation, why it matters, and what to do: decided from what was seen.

Used by `doctor`, and by `status` for the operator. Pure: the moment and the version enter as arguments.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

Level = Literal["broken", "warning", "unseen", "ok"]
LEVELS: Final[tuple[Level, ...]] = ("broken", "warning", "unseen", "ok")
"""In the order in which they are told."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One finding, or the word that something is well.

    Attributes:
        level: `broken`: does not work; `warning`: works, and will not for long, or not as it should; `unseen`: it
            could not be looked at; `ok`.
        check: What was looked at, in one word.
        what: What is the case.
        why: Why it matters; empty where nothing is wrong.
        do: What a person must do; empty where nothing is wrong.
    """

    level: Level
    check: str
    what: str
    why: str = ""
    do: str = ""

    def as_wire(self) -> dict[str, str]:
        """The JSON-ready shape; empty texts are left out."""
        texts = {"what": self.what, "why": self.why, "do": self.do}
        return {"level": self.level, "check": self.check, **{k: v for k, v in texts.items() if v}}


def in_order(found: Iterable[Diagnosis]) -> list[Diagnosis]:
    """What is broken first; otherwise in the order of the checks."""
    return sorted(found, key=lambda one: LEVELS.index(one.level))


def age_s(stamp: str | None, now: datetime) -> float | None:
    """Seconds since a moment, RFC 3339; None without one."""
    return (now - datetime.fromisoformat(stamp)).total_seconds() if stamp else None


def listed(names: Iterable[str], most: int = 5) -> str:
    """Names in a sentence: at most `most`, and how many more there are.

    >>> listed(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    found = list(names)
    shown = ", ".join(found[:most])
    return shown if len(found) <= most else f"{shown} and {len(found) - most} more"
