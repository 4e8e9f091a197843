"""The mark that stands where a draft could not guess a value, and the sentence that asks for it.

Admission and `intops validate` refuse what still holds a mark, so that no draft runs half finished.
"""

from collections.abc import Iterator
from typing import Any, Final

MARK: Final = "FILL-IN"
"""Stands for a value that a person has to write."""


def marks(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Each mark in JSON: its path, and a sentence that names the field to fill.

    >>> list(marks({"team": "FILL-IN"}, "spec.owner"))[0][0]
    'spec.owner.team'
    """
    yield from _marks(value, path, path.rpartition(".")[2], "")


def _marks(value: Any, path: str, name: str, about: str) -> Iterator[tuple[str, str]]:
    """`name` is that of the field, `about` the rule of a Mapping to which it belongs."""
    if isinstance(value, dict):
        to = value.get("to")
        within = f' of the rule for "{to}"' if isinstance(to, str) and to != MARK else about
        for key, child in value.items():
            # Entries of a table are told as other findings tell them.
            place = f"{path}[{key}]" if name == "values" else f"{path}.{key}"
            yield from _marks(child, place, str(key), within)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _marks(child, f"{path}[{index}]", name, about)
    elif value == MARK:
        yield path, _sentence(name, about)


def _sentence(name: str, about: str) -> str:
    return (
        f'"{name}"{about} still says {MARK}: only you know this value, and nothing can run without it. Write the '
        "value in place of the mark; the comment beside it says what belongs there."
    )
