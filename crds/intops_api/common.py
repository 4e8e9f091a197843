"""Building blocks that several kinds share: the model base, owners, names, durations, typed fields.

Used by every kind's module in this package.
"""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

# RFC 1123 label and subdomain, as Kubernetes checks them; RE2-safe.
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
DURATION = r"^([0-9]{1,5}(d|h|m|s|ms)){1,4}$"
QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
PERCENT = r"^(100(\.0{1,3})?|[0-9]{1,2}(\.[0-9]{1,3})?)%$"

LabelName = Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL)]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
Duration = Annotated[str, Field(max_length=32, pattern=DURATION)]
Percent = Annotated[str, Field(max_length=8, pattern=PERCENT)]
Expression = Annotated[str, Field(min_length=1, max_length=4096)]
# An amount as Kubernetes writes it; a bare number is one too, and YAML makes it an integer.
Quantity = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    Field(max_length=32, pattern=QUANTITY),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": 32, "pattern": QUANTITY}),
]
FieldPath = Annotated[str, Field(min_length=1, max_length=256)]
IsoDate = Annotated[
    str,
    Field(
        max_length=10,
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
        json_schema_extra={"format": "date"},
    ),
]

_DURATION_PART = re.compile(r"([0-9]{1,5})(d|h|ms|m|s)")
_UNIT_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def duration_s(text: str) -> float:
    """Seconds of a duration such as `1h30m`, `2s`, `30d` or `250ms`.

    Raises:
        ValueError: the text is not a duration.

    >>> duration_s("1h30m")
    5400.0
    """
    if not re.fullmatch(DURATION, text):
        raise ValueError(f'"{text}" is not a duration; write for example 30s, 5m, 1h30m or 30d')
    return sum(int(n) * _UNIT_S[unit] for n, unit in _DURATION_PART.findall(text))


def duration(text: str) -> timedelta:
    """The same as a timedelta."""
    return timedelta(seconds=duration_s(text))


class ApiModel(BaseModel):
    """Base of everything in a manifest: camelCase on the wire, closed, frozen, documented."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    def to_wire(self) -> dict[str, Any]:
        """JSON-ready dict with the names that manifests use; unset and None are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Owner(ApiModel):
    """Who is accountable, and how to reach them."""

    team: str = Field(min_length=1, max_length=128)
    """Team that is accountable for the outcome."""
    contact: str = Field(min_length=1, max_length=256)
    """Address or channel where the team is reached, such as an e-mail address."""
    escalation: str | None = Field(default=None, max_length=256)
    """Whom to reach when the contact does not answer."""


FieldType = Literal["string", "integer", "number", "boolean", "time", "list", "map", "any"]


class FieldSchema(ApiModel):
    """Type and meaning of one field. Fields are listed flat, by dotted path: `resource.node`."""

    type: FieldType = "string"
    """What the field holds: string, integer, number, boolean, time (RFC 3339), list, map or any."""
    of: Literal["string", "integer", "number", "boolean", "any"] = Field(
        default="string", json_schema_extra={"x-intops-implied": True}
    )
    """Type of the elements of a list or of the values of a map; string if absent."""
    required: bool = False
    """Whether a record without this field is invalid."""
    enum: list[Annotated[str, Field(max_length=128)]] = Field(default_factory=list, max_length=64)
    """The closed list of values, where there is one."""
    discovered: bool = False
    """Whether the values are a list that each instance of the system defines for itself."""
    meanings: dict[str, Annotated[str, Field(max_length=1024)]] = Field(
        default_factory=dict, max_length=64
    )
    """What each value means in business terms."""
    meaning: str | None = Field(default=None, max_length=1024)
    """What the field means in business terms."""
    max_length: int | None = Field(default=None, ge=1)
    """Longest text that the field takes, in characters."""
    searchable: bool = False
    """Whether the system finds records by this field; a correlation key needs such a field."""
    personal: bool = False
    """Whether the field holds personal data; it is then masked wherever people see messages."""
    default: Any = None
    """Value that stands for an absent one."""


class ObjectMeta(BaseModel):
    """The part of Kubernetes metadata that intops reads; everything else is kept as it came."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
