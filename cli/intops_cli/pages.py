"""Markdown of the generated reference pages: a page and a table.

Used by `reference` and `error_pages`.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

NOTE: Final = "<!-- Generated from the code by `make generate`; edit the code instead. -->"


def page(title: str, *parts: str) -> str:
    """A page from its title and parts; empty parts are left out."""
    return "\n\n".join([NOTE, f"# {title}", *(part for part in parts if part)]) + "\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells may be anything that has a text."""
    lines = [_row(headings), _row(["---"] * len(headings)), *(_row(row) for row in rows)]
    return "\n".join(lines)


def _row(cells: Sequence[Any]) -> str:
    texts = (" ".join(str(cell).split()).replace("|", "\\|") for cell in cells)
    return "| " + " | ".join(texts) + " |"
