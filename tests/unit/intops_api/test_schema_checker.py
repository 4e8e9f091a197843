"""What the API server refuses in a schema is found without one."""

from __future__ import annotations

from typing import Any

import pytest

from intops_api.kinds import KINDS, Kind
from intops_api.schema.checker import problems
from intops_api.schema.crd import root_schema

TEXT = {"type": "string", "maxLength": 9}


def holding(below: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"it": below}}


def ruled(rule: str, below: dict[str, Any]) -> dict[str, Any]:
    return {
        **holding(below),
        "x-kubernetes-validations": [{"rule": rule, "message": "No; write yes."}],
    }


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        pytest.param(
            holding({**TEXT, "$ref": "#/x"}), ".it: $ref is not allowed", id="an unknown keyword"
        ),
        pytest.param(holding({"description": "x"}), ".it: has no type", id="a missing type"),
        pytest.param(holding({"type": "null"}), ".it: null is not a type", id="a type of null"),
        pytest.param(
            holding({**TEXT, "anyOf": [TEXT, {"type": "integer"}]}),
            ".it: anyOf is not",
            id="a free union",
        ),
        pytest.param(
            holding({**TEXT, "default": None}), ".it: the default is null", id="a default of null"
        ),
        pytest.param(
            holding({"type": "number", "exclusiveMinimum": 0}),
            ".it: exclusiveMinimum is a number",
            id="an open limit as a number",
        ),
        pytest.param(
            holding({"type": "object", "properties": {"a": TEXT}, "additionalProperties": TEXT}),
            ".it: properties and additionalProperties exclude",
            id="fixed and free keys together",
        ),
        pytest.param(
            holding({"type": "object", "additionalProperties": False}),
            ".it: additionalProperties is not a schema",
            id="a closed object",
        ),
        pytest.param(
            {"type": "object", "properties": {}, "required": ["a"]},
            "the root: a is required but",
            id="a required field that is not there",
        ),
        pytest.param(
            holding({"type": "array"}), ".it: a list needs the schema", id="a list of nothing"
        ),
        pytest.param(
            holding(
                {
                    "type": "array",
                    "items": holding(TEXT),
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["it"],
                }
            ),
            ".it: the list's key it is neither required",
            id="an optional key",
        ),
        pytest.param(
            holding({**TEXT, "pattern": "^(?!a)"}), "is not RE2", id="a pattern that looks ahead"
        ),
        pytest.param(
            ruled("self.it == 'a'", {"type": "string"}),
            "the root: a rule looks at it, which has no maxLength",
            id="a rule over a text without bound",
        ),
        pytest.param(
            ruled("self.it.all(i, i == 'a')", {"type": "array", "items": TEXT}),
            "the root: a rule looks at it, which has no maxItems",
            id="a rule over a list without bound",
        ),
        pytest.param(
            ruled(
                "self.it.all(i, i.name == 'a')",
                {
                    "type": "array",
                    "maxItems": 3,
                    "items": {"type": "object", "properties": {"name": {"type": "string"}}},
                },
            ),
            "a rule looks at it.name, which has no maxLength",
            id="a rule over texts without bound in a list",
        ),
        pytest.param(
            holding({"type": "array", "items": ruled("self.it == 'a'", TEXT)}),
            ".it[]: a rule stands in a list or map without a bound",
            id="a rule that is judged any number of times",
        ),
    ],
)
def test_a_schema_that_the_api_server_refuses_is_found(
    schema: dict[str, Any], sentence: str
) -> None:
    """The fault is told with its path before any server sees it, and it is the only one told."""
    found = problems(schema)

    assert len(found) == 1
    assert sentence in found[0]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_is_structural(kind: Kind) -> None:
    """No kind has a fault that the checker knows."""
    assert problems(root_schema(kind)) == []
