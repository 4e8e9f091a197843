"""The mark that stands where a draft could not guess a value, and the sentence that asks for it.

Admission and `intops validate` refuse what still holds a mark, so that no draft runs half finished.
"""

from collections.abc import Iterator
from typing import Any, Final

MARK: Final = "FILL-IN"
"""Stands for a value that a person has to write."""


def marks(value: Any, path: str, about: str = "") -> Iterator[tuple[str, str]]:
    """Each mark in JSON: its path, and a sentence that names the field to fill.

    >>> list(marks({"team": "FILL-IN"}, "spec.owner"))[0][0]
    'spec.owner.team'
    """
    if isinstance(value, dict):
        to = value.get("to")
        within = f' of the rule for "{to}"' if isinstance(to, str) and to != MARK else about
        for key, child in value.items():
            yield from marks(child, f"{path}.{key}", within)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from marks(child, f"{path}[{index}]", about)
    elif value == MARK:
        yield path, mark_sentence(path, about)


def mark_sentence(path: str, about: str = "") -> str:
    """What is said about one mark; `about` names what the field belongs to."""
    name = path.rpartition(".")[2].partition("[")[0]
    return (
        f'"{name}"{about} still says {MARK}: only you know this value, and nothing can run without it. Write the '
        "value in place of the mark; the comment beside it says what belongs there."
    )
