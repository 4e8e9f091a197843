"""Stored deliveries run through two plans, without sending anything: what would another plan make of them?

Pure. Called by the console for `intops replay --dry-run`.
"""

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from intops_runtime.core.made import Made, Turn, differing, shown, turned

# A person reads no more, and an answer stays small; what is beyond is counted.
MAX_GROUPS: Final = 200


@dataclass(frozen=True, slots=True)
class Change:
    """One field that would get another value, in so many messages; values of personal fields are masked."""

    field: str
    before: Any
    after: Any
    messages: int
    example: tuple[int, int]
    """Delivery and item of the first one seen."""


@dataclass(frozen=True, slots=True)
class Fate:
    """Messages that would fail (`breaks`) or no longer do (`mends`), that come anew or no more."""

    turn: Turn
    failure: str | None
    detail: str
    path: str | None
    messages: int
    example: tuple[int, int]


@dataclass(slots=True)
class Comparison:
    """The difference between two plans over many deliveries.

    Args:
        personal: Fields, by the names of `Made.values`, that people must not see.
    """

    personal: Set[str]
    deliveries: int = 0
    messages: int = 0
    same: int = 0
    further: int = 0
    """Messages with a change beyond `MAX_GROUPS` kinds of changes."""
    _changes: dict[tuple[str, bytes, bytes], Change] = field(default_factory=dict)
    _fates: dict[tuple[Turn, str | None, str], Fate] = field(default_factory=dict)
    _turned: Counter[Turn] = field(default_factory=Counter)

    def add(self, delivery: int, now: list[Made], then: list[Made]) -> None:
        """One delivery, as the running plan makes it `now`, and as the other plan would `then`."""
        self.deliveries += 1
        for item in range(max(len(now), len(then))):
            self.messages += 1
            here = now[item] if item < len(now) else None
            there = then[item] if item < len(then) else None
            if not self._compare((delivery, item), here, there):
                self.same += 1

    def changes(self) -> list[Change]:
        """Most frequent first."""
        return sorted(self._changes.values(), key=lambda c: (-c.messages, c.field))

    def fates(self) -> list[Fate]:
        """What breaks first, then most frequent first."""
        return sorted(self._fates.values(), key=lambda f: (f.turn != "breaks", -f.messages))

    def turned(self, turn: Turn) -> int:
        """How many messages turn so."""
        return self._turned[turn]

    def _compare(self, where: tuple[int, int], now: Made | None, then: Made | None) -> bool:
        """Note how they differ; whether they do."""
        turn = turned(now, then)
        if turn is not None:
            told = now if turn == "mends" else then
            self._turned[turn] += 1
            self._note_fate(turn, where, told)
            return True
        if now is None or then is None or now.failure is not None:
            return False
        found = differing(now, then)
        noted = [self._note_change(where, *one) for one in found]
        self.further += 0 if all(noted) else 1
        return bool(found)

    def _note_fate(self, turn: Turn, where: tuple[int, int], told: Made | None) -> None:
        failure, detail = (told.failure, told.detail) if told is not None else (None, "")
        key = (turn, failure, detail)
        known = self._fates.get(key)
        if known is not None:
            self._fates[key] = replace(known, messages=known.messages + 1)
        elif len(self._fates) < MAX_GROUPS:
            path = told.path if told is not None else None
            self._fates[key] = Fate(turn, failure, detail, path, 1, where)

    def _note_change(self, where: tuple[int, int], name: str, before: Any, after: Any) -> bool:
        old, new = (shown(name, value, self.personal) for value in (before, after))
        key = (name, orjson.dumps(old, default=str), orjson.dumps(new, default=str))
        known = self._changes.get(key)
        if known is not None:
            self._changes[key] = replace(known, messages=known.messages + 1)
        elif len(self._changes) < MAX_GROUPS:
            self._changes[key] = Change(name, old, new, 1, where)
        else:
            return False
        return True
