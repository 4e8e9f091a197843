"""The tables and the page of `intops review`, word for word. Run as a script, it rewrites the files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from intops_cli.commands.audit import entry_table
from intops_cli.output import render
from intops_cli.review_tables import group_table, item_page, item_table

HERE = Path(__file__).parent
NOW = datetime(2026, 11, 25, 12, 30, tzinfo=UTC)
ANSWERS: dict[str, Any] = json.loads((HERE / "answers.json").read_text(encoding="utf-8"))


def made() -> dict[str, str]:
    """Every text by the name of its file."""
    groups, items = group_table(ANSWERS["groups"], NOW), item_table(ANSWERS["items"], NOW)
    entries = entry_table(ANSWERS["entries"])
    return {
        "groups.txt": render(groups.cut(wide=False)),
        "groups-wide.txt": render(groups.cut(wide=True)),
        "items.txt": render(items.cut(wide=False)),
        "item.txt": item_page(ANSWERS["items"][0], NOW),
        "audit.txt": render(entries.cut(wide=False)),
        "audit-wide.txt": render(entries.cut(wide=True)),
    }


@pytest.mark.parametrize("name", sorted(made()))
def test_review_looks_as_people_know_it(name: str) -> None:
    """Scripts cut these tables, and screenshots of them stand in run books."""
    assert made()[name] + "\n" == (HERE / name).read_text(encoding="utf-8")


if __name__ == "__main__":
    for name, text in made().items():
        (HERE / name).write_text(text + "\n", encoding="utf-8")
