"""Check that a schema is structural, as the API server does when a CRD is applied, but with no server.

Used by the generator before it writes, and by the suite. It also refuses what only costs at run time:
a rule in CEL over a list or text without a bound, which the API server's cost estimate would refuse.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean"})
_KEYWORDS = frozenset(
    {
        "type",
        "description",
        "default",
        "enum",
        "format",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minLength",
        "maxLength",
        "pattern",
        "items",
        "minItems",
        "maxItems",
        "properties",
        "required",
        "additionalProperties",
        "minProperties",
        "maxProperties",
        "x-kubernetes-validations",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-preserve-unknown-fields",
    }
)
# Go's RE2 has neither look-around nor back references nor possessive quantifiers.
_NOT_RE2 = re.compile(r"\(\?(=|!|<=|<!|>)|\\[1-9]|[*+?]\+")
_BOUND = {"array": "maxItems", "string": "maxLength"}
_SELECTED = re.compile(r"\.([a-zA-Z_]\w*)\b(?!\()")

Schema = Mapping[str, Any]


def problems(schema: Schema, path: str = "") -> list[str]:
    """Everything that the API server would refuse in a schema, as sentences with a path."""
    return [*_problems(schema, path, bounded=True)]


def _problems(node: Schema, path: str, *, bounded: bool) -> Iterator[str]:
    at = path or "the root"
    for keyword in sorted(node.keys() - _KEYWORDS):
        yield f"{at}: {keyword} is not allowed in a structural schema"
    yield from _type_problems(node, at)
    yield from _object_problems(node, at)
    yield from _list_problems(node, at)
    if "pattern" in node and _NOT_RE2.search(str(node["pattern"])):
        yield f"{at}: the pattern {node['pattern']} is not RE2, which the API server uses"
    for rule in node.get("x-kubernetes-validations", ()):
        yield from _rule_problems(node, rule, at, bounded=bounded)
    for name, below in node.get("properties", {}).items():
        yield from _problems(below, f"{path}.{name}", bounded=bounded)
    if isinstance(node.get("additionalProperties"), Mapping):
        within = bounded and "maxProperties" in node
        yield from _problems(node["additionalProperties"], path + "{}", bounded=within)
    if isinstance(node.get("items"), Mapping):
        yield from _problems(node["items"], path + "[]", bounded=bounded and "maxItems" in node)


def _type_problems(node: Schema, at: str) -> Iterator[str]:
    kind = node.get("type")
    untyped = node.get("x-kubernetes-preserve-unknown-fields") or node.get(
        "x-kubernetes-int-or-string"
    )
    if kind is None and not untyped:
        yield f"{at}: has no type"
    if kind is not None and kind not in _TYPES:
        yield f"{at}: {kind} is not a type that a field can have"
    if "default" in node and node["default"] is None:
        yield f"{at}: the default is null, which is not a value; leave the default out"
    for keyword in ("exclusiveMinimum", "exclusiveMaximum"):
        if keyword in node and not isinstance(node[keyword], bool):
            yield f"{at}: {keyword} is a number; in a CRD it is true or false beside the limit"


def _object_problems(node: Schema, at: str) -> Iterator[str]:
    properties = node.get("properties", {})
    if "additionalProperties" in node:
        if properties:
            yield f"{at}: properties and additionalProperties exclude each other"
        if not isinstance(node["additionalProperties"], Mapping):
            yield f"{at}: additionalProperties is not a schema"
    for name in node.get("required", ()):
        if name not in properties:
            yield f"{at}: {name} is required but not among the properties"


def _list_problems(node: Schema, at: str) -> Iterator[str]:
    if node.get("type") == "array" and not isinstance(node.get("items"), Mapping):
        yield f"{at}: a list needs the schema of its items"
    if node.get("x-kubernetes-list-type") != "map":
        return
    item = node.get("items", {})
    for key in node.get("x-kubernetes-list-map-keys", ()):
        declared = item.get("properties", {}).get(key, {})
        if key not in item.get("required", ()) and "default" not in declared:
            yield f"{at}: the list's key {key} is neither required nor has it a default"


def _rule_problems(node: Schema, rule: Schema, at: str, *, bounded: bool) -> Iterator[str]:
    if not rule.get("message"):
        yield f"{at}: a rule has no message"
    if not bounded:
        yield f"{at}: a rule stands in a list or map without a bound"
    names = frozenset(_SELECTED.findall(str(rule["rule"])))
    for path, missing in _unbounded(node, names):
        yield f"{at}: a rule looks at {path.lstrip('.')}, which has no {missing}"


def _unbounded(node: Schema, names: frozenset[str], path: str = "") -> Iterator[tuple[str, str]]:
    """Fields that a rule names, anywhere below, whose size nothing limits."""
    for name, below in node.get("properties", {}).items():
        if name not in names:
            continue
        where = f"{path}.{name}"
        bound = _bound_of(below)
        if bound is not None and bound not in below and "enum" not in below:
            yield where, bound
        yield from _unbounded(_innermost(below), names, where)


def _bound_of(node: Schema) -> str | None:
    if node.get("type") == "object":
        return "maxProperties" if "additionalProperties" in node else None
    if node.get("format") in ("date", "date-time"):
        return None
    return _BOUND.get(str(node.get("type")))


def _innermost(node: Schema) -> Schema:
    for keyword in ("items", "additionalProperties"):
        if isinstance(node.get(keyword), Mapping):
            return _innermost(node[keyword])
    return node
