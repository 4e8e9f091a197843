"""Answers of several workers as one: in one order, and not longer than was asked for. Pure.

Used by `cluster_access`.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

OLDEST_FIRST: Final = frozenset({"/review/items"})
"""Questions whose answer begins with what has waited longest; other lists of messages begin with the newest."""


def merged(path: str, answers: Iterable[Sequence[Any]], limit: int | None) -> list[Any]:
    """Rows of all answers, at most `limit`, in the order in which one worker would give them.

    Rows that are no messages stay in the order in which the workers answered.
    """
    rows = [row for answer in answers for row in answer]
    if all(isinstance(row, dict) and {"receivedAt", "id"} <= row.keys() for row in rows):
        rows.sort(key=lambda row: (row["receivedAt"], row["id"]), reverse=path not in OLDEST_FIRST)
    return rows[:limit]
