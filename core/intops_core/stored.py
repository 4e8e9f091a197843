"""A manifest as an API server stores it, before anybody judges it.

Used by resources.py. To a cluster a field that is null is a field that is not there, as it is in YAML where
nothing stands after the colon. kubectl writes 1.0 as 1, and a number beyond 64 bits is no integer any more.
"""

import math
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from intops_api.schema.structural import Schema, structural


def as_stored(spec: Any, model: type[BaseModel]) -> Any:
    """The spec of a manifest as it is stored; what has no schema, such as an example's input, is kept as it is.

    >>> from intops_api.flow import FlowSpec
    >>> as_stored({"pattern": "event-to-incident", "slo": None}, FlowSpec)
    {'pattern': 'event-to-incident'}
    """
    return _stored(spec, _schema(model)) if _may_differ(spec) else spec


# 16: there are seven kinds.
@lru_cache(maxsize=16)
def _schema(model: type[BaseModel]) -> Schema:
    return structural(model)


def _may_differ(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_may_differ(below) for below in value.values())
    if isinstance(value, list):
        return any(_may_differ(below) for below in value)
    return value is None or isinstance(value, float) or _is_beyond(value)


def _is_beyond(value: Any) -> bool:
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def _stored(value: Any, schema: Schema) -> Any:
    if isinstance(value, list) and "items" in schema:
        return [_stored(item, schema["items"]) for item in value]
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        made = {}
        for name, below in value.items():
            at = known.get(name, others)
            if at is None:
                made[name] = below
            elif below is not None:
                made[name] = _stored(below, at)
        return made
    if _is_beyond(value) and schema.get("type") == "integer":
        return math.inf
    if isinstance(value, float) and schema.get("type") == "integer" and value.is_integer():
        return int(value)
    return value
