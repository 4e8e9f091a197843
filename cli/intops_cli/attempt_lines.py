"""Attempts as people read them: how each ended, why nobody knew at first, and what was found later.

Used by `trace` and `explain message`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# What has a place of its own in the line.
_NAMED = frozenset({"rule", "detail", "status"})


def attempt_lines(attempts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """One line for each attempt, as the console gives them."""
    for attempt in attempts:
        ended = attempt["outcome"] or "no outcome yet"
        line = f"attempt {attempt['step']} at {attempt['intentAt']}: {ended}"
        if attempt["errorClass"]:
            line += f", {attempt['errorClass']}"
        if attempt["rule"]:
            line += f" by {attempt['rule']}"
        if attempt["detail"]:
            line += f" ({attempt['detail']})"
        found = (f"; {name}: {_said(value)}" for name, value in _found(attempt))
        yield line + "".join(found)


def _found(attempt: Mapping[str, Any]) -> list[tuple[str, Any]]:
    evidence: Mapping[str, Any] = attempt["evidence"] or {}
    return [(name, value) for name, value in evidence.items() if name not in _NAMED]


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
