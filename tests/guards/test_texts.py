"""What no file of the tree may say: where packages come from here, paths of a machine, leftovers.

`make check` runs it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]

MADE = {"__pycache__", "build", "dist", "node_modules"}
"""Folders that are made here and never committed, beside the hidden ones."""

PACKAGE_SOURCES = re.compile(
    r"pypi\.org|pythonhosted\.org|proxy\.golang\.org|sum\.golang\.org|registry\.npmjs\.org"
    r"|--(extra-)?index-url|--find-links|--trusted-host"
)
MACHINE_PATHS = re.compile(r"(?<![\w.$}<*/-])/(work|root|home|Users)/[\w.-]")
LEFTOVERS = re.compile(r"^\s*(#|//|<!--)\s*(TODO|FIXME|XXX|HACK)\b", re.MULTILINE)


def texts() -> Iterator[tuple[str, str]]:
    """Path below the tree and text of every file that is not made here; this file is left out."""
    for folder, folders, files in os.walk(TREE):
        inner = Path(folder)
        folders[:] = [
            name
            for name in folders
            if name not in MADE and (not name.startswith(".") or name == ".ci")
        ]
        for name in files:
            path = inner / name
            if path == Path(__file__) or (name.startswith(".") and name != ".gitignore"):
                continue
            try:
                yield str(path.relative_to(TREE)), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # a picture or another sample that is no text


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        pytest.param(
            PACKAGE_SOURCES,
            "pip, uv and go are told on each machine where packages come from",
            id="a package source",
        ),
        pytest.param(
            MACHINE_PATHS, "the path exists on one machine only", id="a path of one machine"
        ),
        pytest.param(LEFTOVERS, "what is not done belongs in an issue", id="a leftover"),
    ],
)
def test_no_file_names(pattern: re.Pattern[str], why: str) -> None:
    """A clone on another machine, behind another proxy, works as it is."""
    found = [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match.group().strip()}"
        for path, text in texts()
        for match in pattern.finditer(text)
    ]
    assert found == [], f"{why}: " + ", ".join(found)


def test_the_search_sees_the_tree() -> None:
    """An empty search would let everything through."""
    seen = {path for path, _ in texts()}
    assert {"pyproject.toml", ".ci/run", "constraints/dev.txt", "Makefile"} <= seen
    assert len(seen) > 100


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (PACKAGE_SOURCES, "pip install --index-url x"),
        (MACHINE_PATHS, 'PATH = "/home/someone/x"'),
        (LEFTOVERS, "    # TODO: later"),
    ],
)
def test_the_search_finds_what_it_looks_for(pattern: re.Pattern[str], text: str) -> None:
    """The patterns themselves can fail."""
    assert pattern.search(text)
