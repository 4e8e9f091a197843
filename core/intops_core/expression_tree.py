"""The tree of a checked expression, read from the form in which the engine writes it down.

Used by `expression_forms`. The engine parses, expands macros and checks; what it found comes as a
`cel.expr.CheckedExpr` (cel-spec, proto/cel/expr/syntax.proto), of which only the tree is read here.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

# Fields of google.protobuf.Any, CheckedExpr, and the kinds of Expr and Constant, by their numbers.
ANY_VALUE: Final = 2
CHECKED_EXPR: Final = 4
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class UnknownTree(Exception):
    """The tree has a part that is not read here; the engine runs such an expression."""


@dataclass(frozen=True, slots=True)
class Constant:
    """null, a boolean, a signed integer, a double or a text."""

    value: Any


@dataclass(frozen=True, slots=True)
class Ident:
    """A name: a variable, or a type such as `string`."""

    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`, or `has(operand.field)` where it only tests."""

    operand: "Node"
    field: str
    tests: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function or an operator; the operand of a member function is the first argument."""

    function: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list as it is written."""

    elements: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map as it is written: key, value, and whether the entry is left out without a value."""

    entries: tuple[tuple["Node", "Node", bool], ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """What `exists`, `all`, `filter` and `map` become."""

    variable: str
    items: "Node"
    result_name: str
    start: "Node"
    condition: "Node"
    step: "Node"
    result: "Node"


Node = Constant | Ident | Select | Call | ListOf | MapOf | Loop


def read_tree(serialized: bytes) -> Node:
    """The tree of `cel.Expression.serialize()`.

    Raises:
        UnknownTree: it has a part that is not read here.
    """
    checked = dict(fields(serialized)).get(ANY_VALUE)
    if not isinstance(checked, bytes):
        raise UnknownTree
    return _node(dict(fields(checked)).get(CHECKED_EXPR))


def _node(raw: Any) -> Node:
    if not isinstance(raw, bytes):
        raise UnknownTree
    for number, value in fields(raw):
        if number in _KINDS:
            return _KINDS[number](list(fields(value)))
    raise UnknownTree


_Parts = list[tuple[int, Any]]


def _one(parts: _Parts, number: int, default: Any = None) -> Any:
    return next((value for found, value in parts if found == number), default)


def _text(parts: _Parts, number: int) -> str:
    return str(_one(parts, number, b"").decode())


def _constant(parts: _Parts) -> Node:
    if not parts:
        raise UnknownTree
    number, value = parts[0]
    match number:
        case 1:
            return Constant(None)
        case 2:
            return Constant(bool(value))
        case 3:
            return Constant(value - 2**64 if value >= 2**63 else value)
        case 5:
            return Constant(struct.unpack("<d", value)[0])
        case 6:
            return Constant(value.decode())
    raise UnknownTree


def _select(parts: _Parts) -> Node:
    return Select(_node(_one(parts, 1)), _text(parts, 2), bool(_one(parts, 3, 0)))


def _call(parts: _Parts) -> Node:
    target = _one(parts, 1)
    arguments = [_node(value) for number, value in parts if number == 3]
    if target is not None:
        arguments.insert(0, _node(target))
    return Call(_text(parts, 2), tuple(arguments))


def _list(parts: _Parts) -> Node:
    if any(number != 1 for number, _ in parts):  # elements that may be left out
        raise UnknownTree
    return ListOf(tuple(_node(value) for _, value in parts))


def _map(parts: _Parts) -> Node:
    entries = []
    for number, value in parts:
        if number != 2:  # a message and not a map
            raise UnknownTree
        entry = list(fields(value))
        entries.append((_node(_one(entry, 3)), _node(_one(entry, 4)), bool(_one(entry, 5, 0))))
    return MapOf(tuple(entries))


def _loop(parts: _Parts) -> Node:
    if _one(parts, 8):  # a second variable
        raise UnknownTree
    return Loop(
        _text(parts, 1),
        _node(_one(parts, 2)),
        _text(parts, 3),
        *(_node(_one(parts, number)) for number in (4, 5, 6, 7)),
    )


_KINDS: Final = {
    3: _constant,
    4: lambda parts: Ident(_text(parts, 1)),
    5: _select,
    6: _call,
    7: _list,
    8: _map,
    9: _loop,
}


def fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a protobuf message (protobuf.dev, encoding)."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(raw, at)
            yield number, value
        elif kind == _BYTES:
            size, at = _varint(raw, at)
            yield number, raw[at : at + size]
            at += size
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
            yield number, raw[at : at + size]
            at += size
        else:
            raise UnknownTree


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
