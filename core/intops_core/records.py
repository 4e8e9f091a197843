"""Dotted paths into nested JSON objects: read, write, list.

Used by the mapping engine and by whoever shows or compares records. A segment that itself contains
a dot is written in backticks: ``labels.`app.kubernetes.io/name` ``.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, final

# One segment: backticks around anything but a backtick, or anything without dots and backticks.
_SEGMENT: Final = re.compile(r"`([^`]+)`|([^.`]+)")
# `payload.alerts`: no expression engine is needed to follow a path.
_PLAIN_ITEMS: Final = re.compile(r"^\s*payload\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*$")
# Deepest nesting that is copied; the capture side refuses deeper bodies (capture.maxDepth ≤ 100).
MAX_DEPTH: Final = 100


@final
class Absent:
    """The type of `ABSENT`: there is no value, which is neither null nor an empty text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = Absent()


def path_parts(path: str) -> tuple[str, ...]:
    """The segments of a dotted path.

    Raises:
        ValueError: the path is empty, has an empty segment or an unclosed backtick.

    >>> path_parts("labels.`app.kubernetes.io/name`")
    ('labels', 'app.kubernetes.io/name')
    """
    parts: list[str] = []
    position = 0
    while True:
        match = _SEGMENT.match(path, position)
        if match is None:
            break
        parts.append(match[1] or match[2])
        position = match.end()
        if position == len(path):
            return tuple(parts)
        if path[position] != ".":
            break
        position += 1
    raise ValueError(
        f'"{path}" is not a path; write names separated by dots, such as labels.severity, '
        "and backticks around a name that contains a dot"
    )


def join_path(parts: tuple[str, ...]) -> str:
    """The dotted path of segments: the reverse of `path_parts`."""
    return ".".join(f"`{part}`" if "." in part else part for part in parts)


def get_path(record: Any, path: str) -> Any:
    """The value at a path, or `ABSENT` where any part of the way does not exist."""
    return getter(path)(record)


def getter(path: str) -> Callable[[Any], Any]:
    """A function that reads one path; made once, called for every message.

    Raises:
        ValueError: the path is malformed.
    """
    parts = path_parts(path)
    if len(parts) == 1:
        (only,) = parts
        return lambda record: record.get(only, ABSENT) if isinstance(record, dict) else ABSENT

    def read(record: Any) -> Any:
        for part in parts:
            if not isinstance(record, dict):
                return ABSENT
            record = record.get(part, ABSENT)
        return record

    return read


def set_path(record: dict[str, Any], path: str, value: Any) -> bool:
    """Write a value at a path, making the objects on the way.

    Returns:
        False, with the record unchanged, where something on the way is not an object.
    """
    return set_parts(record, path_parts(path), value)


def set_parts(record: dict[str, Any], parts: tuple[str, ...], value: Any) -> bool:
    """The same for a path that is already split."""
    if len(parts) == 1:
        record[parts[0]] = value
        return True
    node = record
    for depth, part in enumerate(parts[:-1]):
        child = node.get(part, ABSENT)
        if child is ABSENT:
            for name in parts[depth:-1]:
                node[name] = node = {}
            break
        if not isinstance(child, dict):
            return False
        node = child
    node[parts[-1]] = value
    return True


def leaves(record: Any, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every path of a record that does not lead to a filled object, with its value."""
    if isinstance(record, dict) and record:
        for name, value in record.items():
            yield from leaves(value, (*prefix, str(name)))
    elif prefix:
        yield join_path(prefix), record


def copy_json(value: Any, depth: int = MAX_DEPTH) -> Any:
    """A copy that shares no list or object with the original.

    Raises:
        ValueError: nested deeper than `depth`.
    """
    if isinstance(value, dict | list):
        if depth == 0:
            raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            return {str(name): copy_json(child, depth - 1) for name, child in value.items()}
        return [copy_json(child, depth - 1) for child in value]
    return value


def items_path(source: str | None) -> str | None:
    """Where `capture.items` reads its list, as a path below `payload`; None where it is no plain path.

    >>> items_path("payload.alerts")
    'alerts'
    """
    found = _PLAIN_ITEMS.match(source or "")
    return found[1] if found else None
