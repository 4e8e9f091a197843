"""Turn a pydantic model into a structural schema, the form of JSON Schema that a CRD may hold.

Used by crd.py. What the API server refuses is converted here or fails loudly; checker.py proves the rest.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from intops_api.rules import LIST_KEYS, rules_of

Schema = dict[str, Any]

# Carries the key of a list's elements from the element's model to the list around it.
_KEY_MARK = "x-intops-key"
# Set by a field that takes one text or a list of texts: a union, which a structural schema has not.
_STRING_OR_LIST = "x-intops-string-or-list"
# Set by a field whose default goes without saying; the API server then does not write it into objects.
_IMPLIED = "x-intops-implied"

ANYTHING: Schema = {"x-kubernetes-preserve-unknown-fields": True}

_KEPT = frozenset(
    {
        "type",
        "description",
        "enum",
        "format",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "pattern",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "required",
        "x-kubernetes-validations",
        "x-kubernetes-int-or-string",
    }
)
# Noise or handled elsewhere: strict decoding refuses unknown fields, rules judge the names of keys.
_DROPPED = frozenset({"title", "propertyNames", "examples", "deprecated", "$defs", _IMPLIED})


class SchemaError(Exception):
    """A model that cannot become a structural schema; the message says where and why."""


class _Generator(GenerateJsonSchema):
    """pydantic's generator, without null, and with the rules of each model."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        # Optional means absent in a manifest: null breaks merge patch and server-side apply.
        return self.generate_inner(schema["schema"])

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        model = schema["cls"]
        validations = [_validation(rule.rule, rule.message, rule.field) for rule in rules_of(model)]
        if validations:
            made["x-kubernetes-validations"] = validations
        if model in LIST_KEYS:
            made[_KEY_MARK] = LIST_KEYS[model]
        return made


def _validation(rule: str, message: str, field: str) -> Schema:
    made = {"rule": rule, "message": message}
    return {**made, "fieldPath": field} if field else made


def structural(model: type[BaseModel]) -> Schema:
    """The structural schema of a model.

    Raises:
        SchemaError: the model refers to itself or uses a construct that has no structural form.
    """
    raw = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    made = _convert(raw, raw.get("$defs", {}), model.__name__, ())
    made.pop(_KEY_MARK, None)
    return made


def _convert(
    node: Mapping[str, Any], defs: Mapping[str, Any], path: str, trail: tuple[str, ...]
) -> Schema:
    if "$ref" in node:
        return _inlined(node, defs, path, trail)
    if node.get(_STRING_OR_LIST):
        return _described(node, ANYTHING)
    made: Schema = {}
    for keyword, value in node.items():
        if keyword in _KEPT or keyword == _KEY_MARK:
            made[keyword] = value
        elif keyword == "const":
            made["enum"] = [value]
        elif keyword == "default":
            if _speaks(value) and not node.get(_IMPLIED):
                made["default"] = value
        elif keyword in ("exclusiveMinimum", "exclusiveMaximum"):
            made["minimum" if keyword.endswith("Minimum") else "maximum"] = value
            made[keyword] = True
        elif keyword == "properties":
            made["properties"] = {
                name: _property(below, defs, f"{path}.{name}", trail)
                for name, below in value.items()
            }
        elif keyword == "items":
            made.update(_items(value, defs, f"{path}[]", trail))
        elif keyword in ("additionalProperties", "patternProperties"):
            made.update(_values(keyword, value, defs, path + "{}", trail))
        elif keyword not in _DROPPED:
            raise SchemaError(
                f"{path}: a CRD has no {keyword}; describe the field with one type, and alternatives "
                "as optional members with a rule"
            )
    return _typed(_told(made) if "[]" in path else made)


def _told(made: Schema) -> Schema:
    """A field of a list's element, with its default in words instead.

    Client-side apply compares lists as a whole, so a default that the API server writes into one
    would look like a change each time, to kubectl and to GitOps tools.
    """
    if "default" in made:
        default = made.pop("default")
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        made["description"] = f"{made.get('description', '')} `{shown}` if absent.".strip()
    return made


def _inlined(
    node: Mapping[str, Any], defs: Mapping[str, Any], path: str, trail: tuple[str, ...]
) -> Schema:
    name = str(node["$ref"]).rpartition("/")[2]
    if name in trail:
        raise SchemaError(
            f"{path}: {name} contains itself, and a CRD cannot say so; end the recursion in the model"
        )
    site = {keyword: value for keyword, value in node.items() if keyword != "$ref"}
    return _convert({**defs[name], **site}, defs, path, (*trail, name))


def _property(
    node: Mapping[str, Any], defs: Mapping[str, Any], path: str, trail: tuple[str, ...]
) -> Schema:
    made = _convert(node, defs, path, trail)
    made.pop(_KEY_MARK, None)
    return made


def _items(
    node: Mapping[str, Any], defs: Mapping[str, Any], path: str, trail: tuple[str, ...]
) -> Schema:
    item = _convert(node, defs, path, trail)
    key = item.pop(_KEY_MARK, None)
    if key is None:
        return {"items": item}
    return {
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": [key],
    }


def _values(
    keyword: str, value: Any, defs: Mapping[str, Any], path: str, trail: tuple[str, ...]
) -> Schema:
    if value is False:
        return {}  # a closed object: pruning and strict decoding see to it
    if value is True or value == {}:
        return dict(ANYTHING)
    if keyword == "patternProperties":
        (value,) = value.values()
    made = _property(value, defs, path, trail)
    return dict(ANYTHING) if made == ANYTHING else {"additionalProperties": made}


def _typed(made: Schema) -> Schema:
    kind = made.get("type")
    if kind == "integer":
        made.setdefault("format", "int64")
    if kind is None and "enum" in made:
        made["type"] = "string"
    if made.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    elif "type" not in made:
        made = _described(made, ANYTHING)
    return made


def _described(node: Mapping[str, Any], made: Schema) -> Schema:
    text = node.get("description")
    return {"description": text, **made} if text else dict(made)


def _speaks(default: Any) -> bool:
    """Whether a default is a scalar that differs from saying nothing."""
    return isinstance(default, str | int | float) and default is not False and default != ""
