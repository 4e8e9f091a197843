"""The shape of a payload: which paths it has and what kind of value stands at each, without any value.

Used to see that a sender changed its payloads. Maps with free keys, such as labels, are one path.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from intops_api.common import FieldSchema

Kind = Literal["string", "number", "boolean", "list", "map", "null"]

# Kinds that a declared type is read from: what a tolerant reader converts is no change of type.
_READABLE: Final[Mapping[str, frozenset[Kind]]] = {
    "string": frozenset({"string", "number", "boolean"}),
    "integer": frozenset({"number", "string"}),
    "number": frozenset({"number", "string"}),
    "boolean": frozenset({"boolean", "string"}),
    "time": frozenset({"string", "number"}),
    "list": frozenset({"list", "string", "number", "boolean", "map"}),
    "map": frozenset({"map"}),
}


def kind_of(value: object) -> Kind:
    """What kind of JSON value this is.

    >>> kind_of(True), kind_of(1.5), kind_of([])
    ('boolean', 'number', 'list')
    """
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "list"
        case _:
            return "map"


def paths(
    value: Mapping[str, Any], declared: Mapping[str, FieldSchema]
) -> Iterator[tuple[str, Kind]]:
    """Every path of an object with the kind of its value, one that is not declared as a whole.

    >>> schema = {"a.b": FieldSchema(), "labels": FieldSchema(type="map")}
    >>> list(paths({"a": {"b": "x", "c": 1}, "labels": {"free": "y"}, "new": {"d": 1}}, schema))
    [('a.b', 'string'), ('a.c', 'number'), ('labels', 'map'), ('new', 'map')]
    """
    parents = {path[:index] for path in declared for index, sign in enumerate(path) if sign == "."}
    return _walk(value, "", declared, parents)


def _walk(
    value: Mapping[str, Any],
    prefix: str,
    declared: Mapping[str, FieldSchema],
    parents: set[str],
) -> Iterator[tuple[str, Kind]]:
    for name, child in value.items():
        path = prefix + name
        if isinstance(child, dict) and path in parents and path not in declared:
            yield from _walk(child, path + ".", declared, parents)
        else:
            yield path, kind_of(child)


def is_readable(kind: Kind, schema: FieldSchema) -> bool:
    """Whether a value of this kind can be what the schema says; null is an absent value."""
    return kind == "null" or kind in _READABLE.get(schema.type, {kind})
