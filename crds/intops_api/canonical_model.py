"""CanonicalModel: one thing of IT service management in business terms, independent of any tool."""

from pydantic import Field

from intops_api.common import ApiModel, FieldPath, FieldSchema, Owner
from intops_api.conditions import Condition


class ModelVersion(ApiModel):
    """One edition of the model."""

    name: str = Field(max_length=16, pattern=r"^v[0-9]+$")
    """Name of the edition, such as `v1`."""
    served: bool = True
    """Whether new Flows may use it."""
    fields: dict[str, FieldSchema] = Field(min_length=1, max_length=256)
    """Fields by dotted path, with type, values and meaning."""
    identity: list[FieldPath] = Field(default_factory=list, max_length=8)
    """Fields that tell one thing from another."""
    transitions: dict[str, list[str]] = Field(default_factory=dict, max_length=64)
    """Allowed changes of the `state` field; empty where the model has no lifecycle."""


class CanonicalModelSpec(ApiModel):
    """What a CanonicalModel says."""

    description: str = Field(min_length=1, max_length=2048)
    """What the thing is, in one or two sentences."""
    owner: Owner | None = None
    """Who is accountable for the definition."""
    versions: list[ModelVersion] = Field(min_length=1, max_length=8)
    """Editions, oldest first."""


class CanonicalModelStatus(ApiModel):
    """What intops observed about a CanonicalModel."""

    observed_generation: int | None = None
    """Generation that this status describes."""
    conditions: list[Condition] = Field(default_factory=list, max_length=16)
    """Accepted and Ready."""
    mappings: int | None = None
    """How many Mappings end at this model."""
    classes: int | None = None
    """How many ConnectorClasses bring Mappings of their own for it."""
    patterns: int | None = None
    """How many Patterns move it."""
