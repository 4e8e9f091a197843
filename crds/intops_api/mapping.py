"""Mapping: system data to a canonical model, or back, or model to model, field by field.

`MappingBody` is also the shape of the mappings that ConnectorClasses and Patterns carry.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from intops_api.common import (
    ApiModel,
    Duration,
    Expression,
    FieldPath,
    IsoDate,
    ObjectName,
    Owner,
)
from intops_api.conditions import Condition


class MappingEnd(ApiModel):
    """One end of a Mapping: an object of a system, or a canonical model."""

    class_: ObjectName | None = Field(default=None, alias="class")
    """ConnectorClass whose object stands at this end."""
    object: FieldPath | None = None
    """Object of that class, such as `alert` or `ticket`."""
    model: ObjectName | None = None
    """CanonicalModel that stands at this end."""
    version: str | None = Field(default=None, max_length=16, pattern=r"^v[0-9]+$")
    """Version of that model, such as `v1`."""


class Variant(ApiModel):
    """One known form of the source's payload. The first whose `when` is true wins."""

    name: str = Field(min_length=1, max_length=63)
    """Name of the form, such as `v4`."""
    when: Expression
    """CEL over `payload`, `object` and `headers` that is true for this form only."""
    status: Literal["current", "deprecated"] = "current"
    """Whether senders should still use this form."""
    sunset: IsoDate | None = None
    """Date after which this form may be removed."""


class FieldRule(ApiModel):
    """How one field of the result comes about, and what that means for the business."""

    to: FieldPath
    """Path of the field in the result."""
    from_: list[FieldPath] = Field(
        default_factory=list,
        alias="from",
        max_length=16,
        json_schema_extra={"x-intops-string-or-list": True},
    )
    """Path in the source, or a list of paths of which the first present one is taken."""
    cel: Expression | None = None
    """CEL expression that makes the value, instead of `from`."""
    values: dict[str, Any] = Field(default_factory=dict, max_length=512)
    """Table from source value to result value; the source's value is looked up as text."""
    on_unmapped: Literal["review", "continue", "reject", "default"] | None = None
    """What happens to a value that the table lacks: a person looks first, the rest goes on and a person
    looks afterwards, it is refused, or `default`."""
    default: Any = None
    """Value for an absent source, and for an unmapped one where `onUnmapped` is `default` or `continue`."""
    lossy: bool = False
    """Whether several source values share one result value on purpose."""
    meaning: str = Field(min_length=1, max_length=1024)
    """What this rule means for the business, in one sentence."""
    variants: list[Annotated[str, Field(max_length=63)]] = Field(
        default_factory=list, max_length=16
    )
    """Variants to which this rule is limited; all when empty."""

    @field_validator("from_", mode="before")
    @classmethod
    def _one_path_is_a_list_of_one(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class MappingExample(ApiModel):
    """An input and what it must become. Run at admission and by `intops test`."""

    name: str = Field(min_length=1, max_length=128)
    """What this example shows, as a sentence."""
    input: Any
    """The object (or canonical record) that goes in."""
    payload: Any = None
    """The whole payload that the object was split from, where variants or rules look at it."""
    headers: dict[str, str] = Field(default_factory=dict, max_length=64)
    """Headers of the request, where variants or rules look at them."""
    variant: str | None = Field(default=None, max_length=63)
    """Variant that must be recognised."""
    output: Any = None
    """Fields that the result must have; fields that are not listed are not compared."""
    outcome: Literal["mapped", "review", "reject", "drift"] = "mapped"
    """How mapping must end."""


class MappingBody(ApiModel):
    """From where to where, which forms are known, and one rule a field."""

    from_: MappingEnd = Field(alias="from")
    """Where data comes from."""
    to: MappingEnd
    """Where data goes."""
    variants: list[Variant] = Field(default_factory=list, max_length=16)
    """Known forms of the payload. None true is drift and goes to review; it is never guessed."""
    fields: list[FieldRule] = Field(min_length=1, max_length=256)
    """One rule for each field of the result."""
    partial: bool = False
    """Whether it fills only some fields of a record that is there, as the Mapping of an enricher does."""
    reversible: bool = False
    """Whether the same definition also maps back; checked by a round trip of the examples."""
    examples: list[MappingExample] = Field(default_factory=list, max_length=50)
    """Examples that must hold."""


class MappingSpec(MappingBody):
    """What a Mapping says."""

    owner: Owner
    """Who is accountable for the meaning of this Mapping."""


class MappingStatus(ApiModel):
    """What intops observed about a Mapping."""

    observed_generation: int | None = None
    """Generation that this status describes."""
    conditions: list[Condition] = Field(default_factory=list, max_length=16)
    """Accepted, ResolvedRefs, SchemaStable and Ready."""
    flows: int | None = None
    """How many Flows use this Mapping."""
    ends: str | None = None
    """Both ends in one line, such as `alertmanager/alert → event/v1`."""
    examples: str | None = None
    """How many examples hold, such as `4/4`."""
    sunset: Duration | None = None
    """Time until the first deprecated variant ends."""
