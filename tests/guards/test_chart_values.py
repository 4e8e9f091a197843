"""Every value of the chart has a place in its schema, and every place a value.

`make check` runs it; what the chart makes of them is rendered in tests/cluster.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "helm" / "intops"
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES = (CHART / "values.yaml").read_text(encoding="utf-8")


def paths_of_schema(schema: dict[str, Any], at: str = "") -> Iterator[str]:
    """Dotted names of what the schema allows; free objects such as labels are leaves."""
    if "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    properties = schema.get("properties")
    if properties is None:
        yield at
        return
    for name, inner in properties.items():
        yield from paths_of_schema(inner, f"{at}.{name}".lstrip("."))


def paths_of_values(values: Any, allowed: set[str], at: str = "") -> Iterator[str]:
    """Dotted names of what is set."""
    if at in allowed or not isinstance(values, dict):
        yield at
        return
    for name, inner in values.items():
        yield from paths_of_values(inner, allowed, f"{at}.{name}".lstrip("."))


def test_the_schema_and_the_values_are_of_one_list() -> None:
    """A value without a schema takes anything; a schema without a value is one that nobody finds."""
    allowed = set(paths_of_schema(SCHEMA))
    there = set(paths_of_values(yaml.safe_load(VALUES), allowed))

    # Whoever installs a chart below another may hand it `global`.
    assert allowed - there == {"global"}
    assert there - allowed == set()


def test_a_value_that_was_mistyped_is_refused() -> None:
    """Closed at each level: a mistyped value would be as good as none, and nobody would be told."""
    open_ones = [
        name
        for name, inner in SCHEMA["properties"].items()
        if "properties" in inner and inner.get("additionalProperties") is not False
    ]
    assert open_ones == []
    assert SCHEMA["additionalProperties"] is False
