"""Sees that a source no longer sends a path that a Mapping reads, and under which other path it comes now.

Part of the drift watch. It compares values while it looks at a message and keeps only how often they were equal.
Detectors and thresholds: domain reference, section 4.4.
"""

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from intops_api.common import FieldSchema
from intops_api.mapping import FieldRule, MappingBody
from intops_api.report import Finding
from intops_core.records import ABSENT, getter, join_path, path_parts

# A field that nearly every message had and nearly none of the last ones has.
RECENT: Final = 50
WAS_THERE: Final = 0.95
IS_GONE: Final = 0.05
# Names that differ by a letter or two, or by an added word.
ALIKE: Final = 0.6
# Values that were equal so rarely are two fields.
SAME: Final = 0.95
# A confidence is told in steps, so that the status does not change with every message.
STEPS: Final = (0.99, 0.95, 0.9, 0.8, 0.7, 0.6)
_CERTAIN: Final = 0.95
MAX_PAIRS: Final = 64
MAX_PATHS: Final = 200
# A path is compared with those that are read when it is seen for the first times, not for ever.
FIRST_SIGHTS: Final = 20
_SEEN_TOGETHER: Final = 3
# Shorter values, and those of few kinds such as booleans, are equal by chance.
_TELLING_LENGTH: Final = 3
_DEEPEST: Final = 3
_MOST_LEAVES: Final = 50

Read = Callable[[Any], Any]


@dataclass(slots=True)
class Presence:
    """Whether something was there, in the last messages and in those before."""

    recent: list[bool] = field(default_factory=list)
    before: int = 0
    there_before: int = 0

    def note(self, *, there: bool) -> None:
        """One more message."""
        self.recent.append(there)
        if len(self.recent) > RECENT:
            self.before += 1
            self.there_before += self.recent.pop(0)

    @property
    def vanished(self) -> bool:
        """Whether it was nearly always there and is nearly never there now."""
        return (
            self.before >= RECENT
            and self.there_before >= WAS_THERE * self.before
            and sum(self.recent) <= IS_GONE * RECENT
        )

    @property
    def is_there(self) -> bool:
        """Whether nearly all of the last messages have it."""
        return bool(self.recent) and sum(self.recent) >= WAS_THERE * len(self.recent)

    @property
    def missing(self) -> int:
        """How many of the last messages lack it."""
        return len(self.recent) - sum(self.recent)


@dataclass(frozen=True, slots=True)
class Heir:
    """The path under which a value probably comes now. `confidence` is between 0 and 1, one of STEPS."""

    path: str
    confidence: float
    why: str


@dataclass(slots=True)
class _Pair:
    """A path that is read, and one that may be its new name."""

    old: Read
    new: Read
    likeness: float
    together: int = 0
    equal: int = 0
    presence: Presence = field(default_factory=Presence)

    def look(self, item: Any) -> None:
        old, new = _there(self.old(item)), _there(self.new(item))
        self.presence.note(there=new is not None)
        if old is not None and new is not None:
            self.together += 1
            self.equal += old == new

    @property
    def differs(self) -> bool:
        """Whether they were sent together often enough to know that they are two fields."""
        return self.together >= FIRST_SIGHTS and self.equal < SAME * self.together

    def confidence(self) -> tuple[float, str]:
        """How sure it is that both are one field, and why; 0 where they are not."""
        if not self.presence.is_there:
            return 0.0, ""
        if self.together >= _SEEN_TOGETHER:
            if self.equal < SAME * self.together:
                return 0.0, ""
            # Rule of succession: a few equal values are no certainty.
            sure = (self.equal + 1) / (self.together + 2)
            return max(sure, self.likeness), "both had the same value wherever both were sent"
        return self.likeness, "their names are alike"


class VanishedPaths:
    """Watches the paths that a Mapping reads from the items of one source."""

    def __init__(
        self, source: str, mapping: str, body: MappingBody, declared: Mapping[str, FieldSchema]
    ) -> None:
        """`declared` are the fields of an item that its class knows."""
        self._source, self._mapping, self._declared = source, mapping, declared
        self._rules = [
            (index, rule, [(path, getter(path)) for path in rule.from_])
            for index, rule in enumerate(body.fields)
            if rule.from_
        ]
        self._read = {path: read for _, _, reads in self._rules for path, read in reads}
        self._rule_there: dict[int, Presence] = {}
        self._path_there: dict[tuple[int, str], Presence] = {}
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self._sights: Counter[str] = Counter()
        for _, rule, _ in self._rules:
            for old in rule.from_:
                for new in rule.from_:
                    if new != old:
                        self._pair(old, new)

    def look(self, item: Any, variant: str | None, seen: Iterable[str]) -> None:
        """Look at one item. `seen` are the paths that it has."""
        for index, rule, reads in self._rules:
            if rule.variants and variant not in rule.variants:
                continue
            there = [_there(read(item)) is not None for _, read in reads]
            self._rule_there.setdefault(index, Presence()).note(there=any(there))
            if len(reads) > 1:
                for (path, _), is_there in zip(reads, there, strict=True):
                    key = (index, path)
                    self._path_there.setdefault(key, Presence()).note(there=is_there)
        for path in seen:
            self._meet(path, item)
        for pair in self._pairs.values():
            pair.look(item)
        for names in [names for names, pair in self._pairs.items() if pair.differs]:
            del self._pairs[names]

    def _meet(self, path: str, item: Any) -> None:
        """Whether a path, or one below it, may be a new name of one that is read."""
        sights = self._sights[path]
        if sights >= FIRST_SIGHTS or (not sights and len(self._sights) > MAX_PATHS):
            return
        self._sights[path] += 1
        for leaf, value in _leaves(item, path):
            tells = isinstance(value, str) and len(value) >= _TELLING_LENGTH
            for old, read in self._read.items():
                if old == leaf or (old, leaf) in self._pairs:
                    continue
                if (tells and read(item) == value) or (
                    not sights and _likeness(old, leaf) >= ALIKE
                ):
                    self._pair(old, leaf)

    def _pair(self, old: str, new: str) -> None:
        if len(self._pairs) < MAX_PAIRS:
            pair = _Pair(self._read[old], getter(new), _likeness(old, new))
            self._pairs.setdefault((old, new), pair)

    def heir(self, old: str) -> Heir | None:
        """Where the value of a path comes from now, if that is probable."""
        found = [
            (*pair.confidence(), new) for (known, new), pair in self._pairs.items() if known == old
        ]
        sure, why, path = max(found, default=(0.0, "", ""))
        step = next((step for step in STEPS if sure >= step), None)
        return None if step is None else Heir(path, step, why)

    def findings(self) -> Iterator[Finding]:
        """Which paths have vanished, with the way out where one is seen."""
        for index, rule, _ in self._rules:
            if index in self._rule_there and self._rule_there[index].vanished:
                yield self._nothing_left(index, rule, self._rule_there[index])
                continue
            for path in rule.from_:
                presence = self._path_there.get((index, path))
                if presence is not None and presence.vanished:
                    yield self._other_path_taken(index, rule, path, presence)

    def _nothing_left(self, index: int, rule: FieldRule, presence: Presence) -> Finding:
        words = (
            f'Source "{self._source}" no longer sends {" or ".join(rule.from_)}, which Mapping '
            f'"{self._mapping}" reads for {rule.to}.'
        )
        heirs = [heir for heir in map(self.heir, rule.from_) if heir is not None]
        heir = max(heirs, key=lambda one: one.confidence, default=None)
        if heir is not None:
            order = ", ".join([heir.path, *rule.from_])
            words += (
                f" It may have been renamed to {heir.path} (confidence {heir.confidence:g}: {heir.why}). "
                f"Write spec.fields[{index}].from: [{order}]"
            )
            known = heir.path in self._declared
            words += "." if known else f", and declare {heir.path} in its class."
        return Finding(
            kind="drift" if heir is None else "proposal", reason="FieldVanished", message=words,
            count=presence.missing, severity="critical" if rule.default is None else "warning",
            mapping=self._mapping,
        )  # fmt: skip

    def _other_path_taken(
        self, index: int, rule: FieldRule, path: str, presence: Presence
    ) -> Finding:
        """Nothing is lost: the rule names another path that is there."""
        words = (
            f'Source "{self._source}" no longer sends {path}, which Mapping "{self._mapping}" reads for '
            f"{rule.to}; another path of the rule is taken."
        )
        heir = self.heir(path)
        if heir is not None:
            verb = "was" if heir.confidence >= _CERTAIN else "may have been"
            words += f" It {verb} renamed: {path} → {heir.path} (confidence {heir.confidence:g}: {heir.why}). "
            words += (
                f"Once no sender uses it, take {path} out of spec.fields[{index}].from."
                if heir.path in rule.from_
                else f"Write {heir.path} into spec.fields[{index}].from, before {path}."
            )
        return Finding(
            kind="drift" if heir is None else "proposal", reason="FieldVanished", message=words,
            count=presence.missing, severity="info", mapping=self._mapping,
        )  # fmt: skip


def _there(value: Any) -> Any:
    return None if value is ABSENT else value


def _likeness(old: str, new: str) -> float:
    """How much the last parts of two paths are alike, 0 to 1.

    >>> round(_likeness("username", "request.user"), 2)
    0.67
    """
    one, other = (path.rpartition(".")[2].lower() for path in (old, new))
    return difflib.SequenceMatcher(None, one, other).ratio()


def _leaves(item: Any, path: str) -> list[tuple[str, Any]]:
    """The values at a path; what is a map there is looked into, not too far."""
    try:
        left = [(path_parts(path), getter(path)(item))]
    except ValueError:
        return []  # a name that no Mapping can write down
    found: list[tuple[str, Any]] = []
    deepest = len(left[0][0]) + _DEEPEST
    while left and len(found) < _MOST_LEAVES:
        parts, value = left.pop()
        if isinstance(value, dict) and len(parts) < deepest:
            left.extend(((*parts, name), child) for name, child in value.items() if _is_name(name))
        elif not isinstance(value, dict | list) and value is not ABSENT and value is not None:
            found.append((join_path(parts), value))
    return found


def _is_name(name: str) -> bool:
    return bool(name) and "`" not in name
