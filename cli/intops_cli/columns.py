"""Tables from objects by the columns of their kind: the same headings and cells as `kubectl get`.

Used by `run` and `get`; the columns are those of `intops_api.kinds`.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from intops_api.kinds import Column, Kind
from intops_cli.output import Table, age

_FILTER = re.compile(r'^(\w+)\[\?\(@\.(\w+)=="(\w+)"\)\]$')
_LAST = re.compile(r"^(\w+)\[-1:\]$")
_ALL = re.compile(r"^(\w+)\[\*\]$")


def object_table(
    kind: Kind,
    objects: Iterable[dict[str, Any]],
    *,
    ages: bool = True,
    namespaces: bool = False,
) -> Table:
    """One row an object; `ages` False shows time stamps as whether they are there.

    Ages change every second, so a log of changes leaves them out. With `namespaces` each says its own, as
    `kubectl get -A` does.
    """
    narrow = [column for column in kind.columns if not column.wide]
    columns = [*narrow, *(column for column in kind.columns if column.wide)]
    if not ages:
        columns = [column for column in columns if column.type != "date"]
        narrow = [column for column in narrow if column.type != "date"]
    rows = []
    for found in objects:
        cells = [_cell(column, found) for column in columns]
        place = [str(found["metadata"].get("namespace", ""))] if namespaces else []
        rows.append([*place, str(found["metadata"]["name"]), *cells])
    place = ["NAMESPACE"] if namespaces else []
    headings = [*place, "NAME", *(column.name.upper() for column in columns)]
    return Table(headings, rows, wide_from=len(place) + len(narrow) + 1)


def _cell(column: Column, found: dict[str, Any]) -> str:
    value = value_at(found, column.path)
    if value is None:
        return ""
    if column.type == "date":
        return age(str(value), datetime.now(UTC))
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def value_at(found: Any, path: str) -> Any:
    """Value at one of the paths that printer columns use; None where there is none.

    >>> value_at({"a": [{"type": "Ready", "status": "True"}]}, '.a[?(@.type=="Ready")].status')
    'True'
    """
    value = found
    for part in _parts(path):
        if value is None:
            return None
        if match := _FILTER.match(part):
            name, field, wanted = match.groups()
            items: Sequence[Any] = value.get(name) or []
            value = next((item for item in items if item.get(field) == wanted), None)
        elif match := _LAST.match(part):
            value = next(reversed(value.get(match[1]) or []), None)
        elif match := _ALL.match(part):
            value = value.get(match[1]) or []
        elif isinstance(value, list):
            value = [item.get(part) for item in value]
        else:
            value = value.get(part)
    return value


def _parts(path: str) -> list[str]:
    return re.findall(r"[^.\[]+(?:\[[^\]]*\])?", path.lstrip("."))
