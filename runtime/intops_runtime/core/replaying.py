"""Stored deliveries run through two plans, without sending anything: what would another plan make of them?

Pure. Called by the console for `intops replay --dry-run`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal

import orjson

from intops_core.records import ABSENT, leaves
from intops_runtime.core.compiled import CompiledPlan
from intops_runtime.core.intake import intake
from intops_runtime.core.masking import (
    MASK,
    personal_in_native,
    personal_in_original,
    personal_in_record,
    without_values,
)
from intops_runtime.core.messages import LEFT_OUT, Delivery, NewMessage
from intops_runtime.core.shaping import Unshaped, shape

Turn = Literal["breaks", "mends", "appears", "vanishes"]

# A person reads no more, and an answer stays small; what is beyond is counted.
MAX_GROUPS: Final = 200
_LONGEST_VALUE: Final = 200


@dataclass(frozen=True, slots=True)
class Made:
    """What a plan makes of one item.

    Attributes:
        values: Field → value: the correlation key, the canonical record, and what the target is written.
        failure: Class of the error that would set it aside; None where it could be sent.
        detail: The words of that error, without personal values.
    """

    values: Mapping[str, Any]
    failure: str | None = None
    detail: str = ""
    path: str | None = None


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
        turn = _turn(now, then)
        if turn is not None:
            told = now if turn == "mends" else then
            self._turned[turn] += 1
            self._note_fate(turn, where, told)
            return True
        if now is None or then is None or now.failure is not None:
            return False
        differing = [
            (name, now.values.get(name, ABSENT), then.values.get(name, ABSENT))
            for name in sorted(now.values.keys() | then.values.keys())
            if now.values.get(name, ABSENT) != then.values.get(name, ABSENT)
        ]
        noted = [self._note_change(where, *found) for found in differing]
        self.further += 0 if all(noted) else 1
        return bool(differing)

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
        hidden = any(name == one or name.startswith(f"{one}.") for one in self.personal)
        shown = _shown(before, hidden=hidden), _shown(after, hidden=hidden)
        key = (name, orjson.dumps(shown[0], default=str), orjson.dumps(shown[1], default=str))
        known = self._changes.get(key)
        if known is not None:
            self._changes[key] = replace(known, messages=known.messages + 1)
        elif len(self._changes) < MAX_GROUPS:
            self._changes[key] = Change(name, shown[0], shown[1], 1, where)
        else:
            return False
        return True


def made_of(plan: CompiledPlan, delivery: Delivery, now: datetime) -> list[Made]:
    """Everything that a plan makes of one delivery, up to the request that it would send."""
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return [
        _made(plan, delivery.source, message, stamp)
        for message in intake(plan, delivery, now=now).messages
        if message.reason != LEFT_OUT  # a question beside what is delivered
    ]


def personal_names(plan: CompiledPlan) -> set[str]:
    """Personal fields by the names that `Made.values` gives them."""
    found = {f"{plan.in_name}.{path}" for path in personal_in_record(plan)}
    for binding in plan.targets:
        found |= {f"{binding}.{path}" for path in personal_in_native(plan, binding)}
    return found


def _made(plan: CompiledPlan, source: str, message: NewMessage, stamp: str) -> Made:
    if message.record is None:
        said = message.detail or ""
        return _failed(plan, source, message, message.error_class or "", said, message.path, {})
    values = {"correlationKey": message.key, **_named(plan.in_name, leaves(message.record))}
    shaped = shape(plan, message.key, message.record, stamp)
    if isinstance(shaped, Unshaped):
        return _failed(plan, source, message, "validation", shaped.message, shaped.path, values)
    target = shaped.target.binding.name
    return Made({**values, "route": shaped.route, **_named(target, leaves(shaped.record))})


def _failed(
    plan: CompiledPlan,
    source: str,
    message: NewMessage,
    failure: str,
    detail: str,
    path: str | None,
    values: Mapping[str, Any],
) -> Made:
    words = without_values(detail, message.original, personal_in_original(plan, source))
    words = without_values(words, message.record or {}, personal_in_record(plan))
    return Made(values, failure, words or "", path)


def _named(prefix: str, found: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {f"{prefix}.{path}": value for path, value in found}


def _turn(now: Made | None, then: Made | None) -> Turn | None:
    if now is None:
        return "appears"
    if then is None:
        return "vanishes"
    if then.failure is not None and then.failure != now.failure:
        return "breaks"
    return "mends" if now.failure is not None and then.failure is None else None


def _shown(value: Any, *, hidden: bool) -> Any:
    if value is ABSENT or value is None:
        return None
    if hidden:
        return MASK
    if isinstance(value, str) and len(value) > _LONGEST_VALUE:
        return value[: _LONGEST_VALUE - 1] + "…"
    return value
