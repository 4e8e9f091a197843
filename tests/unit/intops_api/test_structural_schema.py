"""A model becomes a schema that a CRD may hold, or the generator says why it cannot."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, create_model

from intops_api.canonical_model import CanonicalModelSpec
from intops_api.common import ApiModel, IsoDate, Quantity
from intops_api.flow import FlowSpec
from intops_api.mapping import MappingSpec
from intops_api.schema.structural import SchemaError, structural


class Leaf(ApiModel):
    """A leaf."""

    size: int = 3
    """How large."""


class Tree(ApiModel):
    """A tree that contains trees."""

    branches: list[Tree] = Field(default_factory=list)


def field(annotation: Any, default: Any = ...) -> dict[str, Any]:
    """The schema of one field of a throw-away model."""
    model = create_model("Throwaway", __base__=ApiModel, it=(annotation, default))
    made: dict[str, Any] = structural(model)["properties"]["it"]
    return made


ANYTHING = {"x-kubernetes-preserve-unknown-fields": True}


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        pytest.param(str | None, None, {"type": "string"}, id="optional means absent, never null"),
        pytest.param(Literal["a"], ..., {"type": "string", "enum": ["a"]}, id="const is an enum"),
        pytest.param(
            int, 5, {"type": "integer", "format": "int64", "default": 5}, id="scalars have defaults"
        ),
        pytest.param(
            int, 0, {"type": "integer", "format": "int64", "default": 0}, id="zero speaks"
        ),
        pytest.param(bool, False, {"type": "boolean"}, id="false goes without saying"),
        pytest.param(bool, True, {"type": "boolean", "default": True}, id="true is written"),
        pytest.param(str, "", {"type": "string"}, id="an empty text goes without saying"),
        pytest.param(
            Annotated[float, Field(gt=0)],
            ...,
            {"type": "number", "minimum": 0.0, "exclusiveMinimum": True},
            id="an open limit is a flag beside the limit",
        ),
        pytest.param(Any, ..., ANYTHING, id="anything keeps its unknown fields"),
        pytest.param(
            dict[str, Any], ..., {"type": "object", **ANYTHING}, id="a map of anything is an object"
        ),
        pytest.param(
            dict[str, str],
            ...,
            {"type": "object", "additionalProperties": {"type": "string"}},
            id="a map has the schema of its values",
        ),
        pytest.param(
            dict[Annotated[str, Field(pattern="^a$")], int],
            ...,
            {
                "type": "object",
                "additionalProperties": {"type": "integer", "format": "int64"},
            },
            id="a pattern of keys is not for a CRD to say",
        ),
        pytest.param(
            Leaf,
            ...,
            {
                "type": "object",
                "description": "A leaf.",
                "properties": {
                    "size": {
                        "type": "integer",
                        "format": "int64",
                        "default": 3,
                        "description": "How large.",
                    }
                },
            },
            id="a model is inlined with its descriptions",
        ),
        pytest.param(
            IsoDate | None,
            None,
            {
                "type": "string",
                "format": "date",
                "maxLength": 10,
                "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
            },
            id="a date is checked as a date",
        ),
    ],
)
def test_a_field_becomes_structural(annotation: Any, default: Any, expected: Any) -> None:
    """Every construct that the models use has its one structural form."""
    assert field(annotation, default) == expected


def test_a_quantity_may_be_a_bare_number() -> None:
    """`cpu: 2` is a quantity like `cpu: 500m`, for the API server and for the models."""
    made = field(Quantity)
    model = create_model("Throwaway", __base__=ApiModel, it=(Quantity, ...))

    assert made["x-kubernetes-int-or-string"] is True
    assert "type" not in made
    assert model.model_validate({"it": 2}).model_dump() == {"it": "2"}


def test_a_model_that_contains_itself_is_refused() -> None:
    """A CRD cannot be recursive, and the refusal names the model."""
    with pytest.raises(SchemaError, match="Tree contains itself"):
        structural(Tree)


def test_a_union_is_refused_with_its_path() -> None:
    """A field is of one type; the refusal says which field is not, and what to do instead."""
    with pytest.raises(SchemaError, match=r"Throwaway\.it: a CRD has no anyOf; describe the field"):
        field(int | list[str])


def test_a_default_within_a_list_is_told_and_not_written() -> None:
    """The API server writes nothing into lists, so applying a manifest again changes nothing."""
    assert field(list[Leaf])["items"]["properties"]["size"] == {
        "type": "integer",
        "format": "int64",
        "description": "How large. `3` if absent.",
    }


def test_bindings_and_conditions_may_be_owned_one_by_one() -> None:
    """Lists whose elements have an identity are keyed; lists in which order decides are not."""
    spec = structural(FlowSpec)["properties"]
    bindings = spec["roles"]["additionalProperties"]

    assert bindings["x-kubernetes-list-type"] == "map"
    assert bindings["x-kubernetes-list-map-keys"] == ["name"]
    assert "x-kubernetes-list-type" not in spec["routes"]


def test_from_takes_one_path_or_several() -> None:
    """`from` of a rule is left open for the API server and is described all the same."""
    rule = structural(MappingSpec)["properties"]["fields"]["items"]["properties"]["from"]

    assert rule == {"description": rule["description"], **ANYTHING}
    assert rule["description"].startswith("Path in the source, or a list of paths")


def test_every_field_is_described() -> None:
    """`kubectl explain` has a sentence for every field of every spec that people write."""

    def silent(schema: dict[str, Any], path: str) -> list[str]:
        found = []
        for name, below in schema.get("properties", {}).items():
            if "description" not in below:
                found.append(f"{path}.{name}")
            found += silent(below, f"{path}.{name}")
        for keyword in ("items", "additionalProperties"):
            if isinstance(schema.get(keyword), dict):
                found += silent(schema[keyword], path + "[]")
        return found

    for model in (FlowSpec, MappingSpec, CanonicalModelSpec):
        assert silent(structural(model), model.__name__) == []
