"""Enrichment: what other systems know about a record, laid over it before anything is made of it.

Pure; times are seconds of the monotonic clock unless said otherwise. Called by `enriching` and the lane.
"""

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from intops_runtime.core.exchanges import HttpRequest

STALE_S: Final = 24 * 3600.0
"""How long an old answer stands in while its system is away (domain reference, class enrichmentUnavailable)."""
MOST_ANSWERS: Final = 5_000
FIRST_COMPLETION_S: Final = 10.0
LONGEST_COMPLETION_S: Final = 900.0


@dataclass(frozen=True, slots=True)
class Enrichment:
    """What was heard about one record.

    Attributes:
        known: Partial record of each enricher that answered, by binding; empty where it knows nothing.
        missing: Bindings that did not answer, in the order of the plan.
    """

    known: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def over(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record with what is known laid over it, map by map; the one that stands later wins."""
        for part in self.known.values():
            record = overlaid(record, part)
        return record

    def told(self) -> dict[str, Any]:
        """The `enrichment` of the canonical record."""
        status = "partial" if self.missing else "complete"
        return {"status": status, "missing": list(self.missing)}


NOT_ASKED: Final = Enrichment()
"""Nobody was asked, because nobody is there or nothing is to be made."""


def overlaid(record: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """`record` with the values of `part` in place of its own, nested maps field by field.

    >>> overlaid({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}})
    {'a': 1, 'b': {'c': 2, 'd': 3}}
    """
    result = dict(record)
    for name, value in part.items():
        old = result.get(name)
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        result[name] = overlaid(old, value) if both and old is not None else value
    return result


def remembered(agreed: Mapping[str, Any], wanted: Iterable[str]) -> Enrichment:
    """What a linked record was made with: those of `wanted` that it has not heard of are missing."""
    known = agreed.get("enriched", {})
    names = tuple(wanted)
    return Enrichment(
        {name: known[name] for name in names if name in known},
        tuple(name for name in names if name not in known),
    )


def next_completion(age_s: float, give_up_s: float) -> float | None:
    """Seconds until an incomplete message of that age is tried again; None if it is left as it is.

    >>> next_completion(10.0, 21600.0), next_completion(600.0, 21600.0), next_completion(22000.0, 21600.0)
    (10.0, 300.0, None)
    """
    if age_s >= give_up_s:
        return None
    return min(max(age_s / 2, FIRST_COMPLETION_S), LONGEST_COMPLETION_S)


def question_of(request: HttpRequest) -> str:
    """What makes two look-ups the same."""
    return json.dumps([request.method, request.url, request.body], sort_keys=True, default=str)


class Answers:
    """What one enricher has answered, by question; the least recently used go first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, dict[str, Any]]] = OrderedDict()

    def keep(self, question: str, part: dict[str, Any], now: float) -> None:
        """Remember an answer."""
        self._kept[question] = (now, part)
        self._kept.move_to_end(question)
        while len(self._kept) > MOST_ANSWERS:
            self._kept.popitem(last=False)

    def get(self, question: str, now: float, within_s: float) -> dict[str, Any] | None:
        """The answer to a question if it is not older than `within_s`."""
        found = self._kept.get(question)
        if found is None or now - found[0] > within_s:
            return None
        self._kept.move_to_end(question)
        return found[1]
