"""How answers look: aligned tables like kubectl's, wide tables, JSON, YAML. Colour only on a terminal.

Used by every command that prints more than a sentence.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

import yaml

from intops_cli.terminal import steers

FORMATS = ("table", "wide", "json", "yaml")

_STATUS_COLOURS = {"True": "32", "False": "31", "Unknown": "33"}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings. `wide_from` is the index of the first column shown only with `-o wide`."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    wide_from: int | None = None

    def cut(self, *, wide: bool) -> "Table":
        """The same without the wide columns, unless they are wanted."""
        if wide or self.wide_from is None:
            return self
        end = self.wide_from
        return Table(self.headings[:end], [row[:end] for row in self.rows])


def render(table: Table, *, colour: bool = False) -> str:
    """The table as lines of equal columns, three spaces apart, as kubectl prints them."""
    cells = [list(table.headings), *[[c or "" for c in row] for row in table.rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(table.headings))]
    lines = []
    for index, row in enumerate(cells):
        padded = [
            text if i == len(row) - 1 else text.ljust(widths[i]) for i, text in enumerate(row)
        ]
        if colour and index:
            padded = [_coloured(text, row[i]) for i, text in enumerate(padded)]
        lines.append("   ".join(padded).rstrip())
    return "\n".join(lines)


def _coloured(padded: str, text: str) -> str:
    code = _STATUS_COLOURS.get(text)
    return f"\x1b[{code}m{padded}\x1b[0m" if code else padded


def uses_colour(stream: TextIO) -> bool:
    """Whether this stream is a terminal that wants colour (NO_COLOR is honoured: no-color.org)."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def show_data(data: Any, output: str) -> None:
    """Print an answer as JSON or YAML."""
    show(data, Table([], []), output)


def show(data: Any, table: Table, output: str, *, stream: TextIO | None = None) -> None:
    """Print an answer in the wanted form; `data` is its JSON-ready shape."""
    out = stream or sys.stdout
    if output == "json":
        print(json.dumps(data, indent=2, ensure_ascii=False), file=out)
    elif output == "yaml":
        print(_as_yaml(data).rstrip(), file=out)
    elif not table.rows:
        print("Nothing found.", file=sys.stderr)
    else:
        print(render(table.cut(wide=output == "wide"), colour=uses_colour(out)), file=out)


class _Dumper(yaml.SafeDumper):
    """Quotes texts in which signs are going to be written out: only between quotes an escape is that sign."""


def _represented(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style='"' if steers(text) else None
    )


_Dumper.add_representer(str, _represented)


def _as_yaml(data: Any) -> str:
    found: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return found


def age(stamp: str | None, now: datetime | None = None) -> str:
    """How long ago a moment was, as kubectl writes it: 12s, 6m, 3h, 9d.

    >>> age("2026-11-25T10:00:00Z", datetime(2026, 11, 25, 10, 6, tzinfo=UTC))
    '6m'
    """
    if not stamp:
        return ""
    seconds = int(((now or datetime.now(UTC)) - datetime.fromisoformat(stamp)).total_seconds())
    seconds = max(seconds, 0)
    for limit, unit, size in ((120, "s", 1), (7200, "m", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86400}d"


def flow_of(row: Mapping[str, Any]) -> str:
    """The Flow that a row is about, with its namespace where rows of several are shown."""
    namespace = row.get("namespace")
    return f"{namespace}/{row['flow']}" if namespace else str(row["flow"])


def say(lines: Iterable[str] | str) -> None:
    """Tell a person something beside the answer, on standard error."""
    for line in [lines] if isinstance(lines, str) else lines:
        print(line, file=sys.stderr)
