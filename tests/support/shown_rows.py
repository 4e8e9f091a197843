"""Which tests name which rows: what the pages of faults and of security are written from.

A test names its rows in its own name (`test_f21_…`, `test_s12_…`) or at the start of its docstring
(`F90, S-12: …`).
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
_ROW = r"(?:F\d{2,3}|S-\d{2})"
_SAID = re.compile(rf"({_ROW}(?:, {_ROW})*): ")
_PREFIX = re.compile(r"^test_((?:[fs]\d{2,3}_)*)")


@dataclass(frozen=True, slots=True)
class Shown:
    """One test: where it is, and what it says about the product."""

    file: str
    name: str
    says: str

    @property
    def line(self) -> str:
        """A line of a list, with a link from docs/."""
        return f"- {self.says} ([{Path(self.file).name}](../{self.file}))"


def shown_by(path: Path) -> Iterator[tuple[str, Shown]]:
    """Every row that a test of this file names, with the test."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if not node.name.startswith("test_"):
            continue
        said = (ast.get_docstring(node) or "").partition("\n")[0]
        named = _SAID.match(said)
        prefix = _PREFIX.match(node.name)
        rows = re.findall(_ROW, named.group(1)) if named else []
        for short in re.findall(r"[fs]\d{2,3}", prefix.group(1)) if prefix else ():
            rows.append(short.upper() if short[0] == "f" else f"S-{short[1:]}")
        words = _PREFIX.sub("", node.name).replace("_", " ")
        for row in dict.fromkeys(rows):
            yield row, Shown(str(path.relative_to(TREE)), node.name, words)


def rows_of(files: Iterable[Path], known: Iterable[str], letter: str) -> dict[str, list[Shown]]:
    """The tests of each row whose name begins with a letter.

    Raises:
        KeyError: a test names a row that there is not.
    """
    there = set(known)
    found: dict[str, list[Shown]] = defaultdict(list)
    for path in files:
        for row, shown in shown_by(path):
            if not row.startswith(letter):
                continue
            if row not in there:
                raise KeyError(f"{shown.file}: {shown.name} names {row}, which is no row")
            found[row].append(shown)
    return found


def write(page: Path, text: str, *, check: bool) -> int:
    """Write a page, or compare only; returns the exit code."""
    fresh = page.exists() and page.read_text(encoding="utf-8") == text
    if check:
        if not fresh:
            print(f"{page.relative_to(TREE)} is stale; run `make generate`.")
        return 0 if fresh else 1
    if not fresh:
        page.write_text(text, encoding="utf-8")
        print(f"wrote {page.relative_to(TREE)}")
    return 0
