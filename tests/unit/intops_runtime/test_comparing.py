"""One record on both sides: who has moved away from what was agreed."""

from __future__ import annotations

from typing import Any

import pytest

from intops_core.records import ABSENT
from intops_runtime.core.comparing import compare


@pytest.mark.parametrize(
    ("agreed", "here", "there", "differs"),
    [
        ("a", "a", "a", ""),
        ("a", "b", "a", "here"),
        ("a", "a", "b", "there"),
        ("a", "b", "c", "both"),
        ("a", "b", "b", ""),
        (1, 1, "1", ""),
        (2.0, 2, "2", ""),
        (True, True, "true", ""),
        (None, None, "", ""),
    ],
)
def test_each_side_is_compared_with_what_was_agreed(
    agreed: Any, here: Any, there: Any, differs: str
) -> None:
    """Two sides that moved to the same value agree; a system's spelling of a value is no change."""
    (found,) = compare({"f": agreed}, {"f": here}, {"f": there})

    assert found.differs == differs


def test_what_was_not_read_is_not_guessed() -> None:
    """A field that the class does not read back is unknown, unless this side moved."""
    same, moved = compare({"a": 1, "b": {"c": 1}}, {"a": 1, "b": {"c": 2}}, {})

    assert (same.differs, same.there) == ("unknown", ABSENT)
    assert (moved.field, moved.differs) == ("b.c", "here")
    assert [f.differs for f in compare({"a": 1}, None, None)] == ["unknown"]
