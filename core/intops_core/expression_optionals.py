"""Finds optional values where the engine cannot hold them: in maps, in lists, behind `dyn`.

Used by `expressions` for every expression. The engine (cel-expr-python 0.1.3) ends the whole process when it
hands such a value out, so whoever may write a Mapping could end every worker and the admission with it.
"""

from collections.abc import Iterator
from typing import Any, Final

from intops_core.expression_tree import ANY_VALUE, CHECKED_EXPR, fields

# Fields of CheckedExpr, Type, Expr and its kinds (cel-spec, proto/cel/expr/{checked,syntax}.proto).
_TYPE_MAP: Final = 3
_ABSTRACT_TYPE: Final = 14
_ID: Final = 2
_SELECT, _CALL, _LIST, _MAP, _LOOP = 5, 6, 7, 8, 9
_LOOP_PARTS: Final = frozenset({2, 4, 5, 6, 7})


def holds_optional(serialized: bytes) -> bool:
    """Whether an expression puts an optional value where only `?` entries and elements may have one."""
    parts = list(fields(dict(fields(serialized))[ANY_VALUE]))
    optional = set(_optional_ids(parts))
    (tree,) = (value for number, value in parts if number == CHECKED_EXPR)
    return bool(optional) and any(place in optional for place in _places(tree))


def _optional_ids(parts: list[tuple[int, Any]]) -> Iterator[int]:
    """Ids of the expressions whose type is optional."""
    for number, entry in parts:
        if number == _TYPE_MAP:
            found = dict(fields(entry))
            kind = dict(fields(found.get(2, b""))).get(_ABSTRACT_TYPE)
            if kind is not None and dict(fields(kind)).get(1) == b"optional_type":
                yield int(found.get(1, 0))


def _places(tree: bytes) -> Iterator[int]:
    """Ids of the expressions that stand where no optional value may."""
    for number, value in fields(tree):
        match number:
            case n if n == _SELECT:
                yield from (
                    id_ for part, below in fields(value) if part == 1 for id_ in _places(below)
                )
            case n if n == _CALL:
                yield from _of_call(list(fields(value)))
            case n if n == _LIST:
                yield from _of_list(list(fields(value)))
            case n if n == _MAP:
                for part, entry in fields(value):
                    if part == 2:
                        yield from _of_entry(dict(fields(entry)))
            case n if n == _LOOP:
                for part, below in fields(value):
                    if part in _LOOP_PARTS:
                        yield from _places(below)


def _of_call(parts: list[tuple[int, Any]]) -> Iterator[int]:
    is_dyn = any(number == 2 and value == b"dyn" for number, value in parts)
    for number, below in parts:
        if number in (1, 3):
            if is_dyn:
                yield _id(below)
            yield from _places(below)


def _of_list(parts: list[tuple[int, Any]]) -> Iterator[int]:
    may_lack = {index for number, value in parts if number == 2 for index in _indexes(value)}
    elements = [below for number, below in parts if number == 1]
    for index, below in enumerate(elements):
        if index not in may_lack:
            yield _id(below)
        yield from _places(below)


def _of_entry(entry: dict[int, Any]) -> Iterator[int]:
    if not entry.get(5):
        yield _id(entry[4])
    yield from _places(entry[4])
    if 3 in entry:
        yield from _places(entry[3])


def _id(tree: bytes) -> int:
    return int(dict(fields(tree)).get(_ID, 0))


def _indexes(value: Any) -> list[int]:
    """Packed or single; below 128 each is one byte, and a longer list has no optional elements here."""
    return [value] if isinstance(value, int) else list(value)
