"""Pattern: how one kind of integration is built, so that every Flow of it can be judged and run the same way."""

from typing import Any, Literal

from pydantic import Field

from intops_api.common import ApiModel, Expression, FieldPath, LabelName, ObjectName, Owner
from intops_api.conditions import Condition
from intops_api.mapping import MappingBody

EngineName = Literal["episodes", "reconciliation", "run", "relay"]


class PatternModels(ApiModel):
    """Canonical models on the way, each as `name/version`."""

    in_: str = Field(alias="in", min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9.-]+/v[0-9]+$")
    """Model that sources are mapped to, such as `event/v1`."""
    out: str = Field(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9.-]+/v[0-9]+$")
    """Model that targets are mapped from, such as `incident/v1`."""


class Role(ApiModel):
    """A part that a system plays."""

    name: str = Field(min_length=1, max_length=63, pattern=r"^[a-z][a-zA-Z0-9]*$")
    """Name of the part, such as `source`."""
    description: str = Field(default="", max_length=1024)
    """What the part is for."""
    min: int = Field(default=0, ge=0, le=64)
    """Fewest bindings."""
    max: int = Field(default=64, ge=1, le=64)
    """Most bindings."""
    operations: list[str] = Field(default_factory=list, max_length=32)
    """What the ConnectorClass must offer: `capture` or names of operations."""
    mapping: Literal["in", "out", "enrich", "none"] = "none"
    """Which Mapping a binding has: to the `in` model, from the `out` model, into a record of the `in` model that is
    there (`enrich`), or none."""


class Stage(ApiModel):
    """One step of the engine's fixed order."""

    name: str = Field(min_length=1, max_length=63)
    """Name of the step."""
    mandatory: bool = False
    """Whether a Flow cannot leave it out."""


class Rule(ApiModel):
    """One rule of conformance: a built-in one or one of an extended Pattern by id, or a CEL expression over facts."""

    id: str = Field(min_length=1, max_length=63, pattern=r"^[A-Z][A-Z0-9]*-[0-9A-Z]+$")
    """Id of the rule, such as COM-06."""
    severity: Literal["deny", "warn", "audit"] = "deny"
    """Whether a violation refuses the Flow, warns, or is only recorded."""
    when: Expression | None = None
    """CEL over `facts` that is true when the rule is broken; absent for rules by id."""
    message: str | None = Field(default=None, max_length=1024)
    """What is wrong, why it matters, what to write; for rules of your own."""
    path: FieldPath | None = None
    """Field of the Flow that is to blame; for rules of your own."""


class PatternSpec(ApiModel):
    """What a Pattern says."""

    description: str = Field(min_length=1, max_length=4096)
    """What this kind of integration does."""
    extends: ObjectName | None = None
    """Pattern that this one tightens: its roles, steps, rules, defaults and Mappings hold here too."""
    served: bool = True
    """Whether new Flows may use it."""
    owner: Owner | None = None
    """Who is accountable for it."""
    engine: EngineName
    """What runs it."""
    models: PatternModels
    """Canonical models on the way."""
    roles: list[Role] = Field(min_length=1, max_length=32)
    """Parts that systems play."""
    stages: list[Stage] = Field(default_factory=list, max_length=32)
    """Steps, in the engine's order."""
    rules: list[Rule] = Field(default_factory=list, max_length=128)
    """Rules that every Flow of this Pattern keeps."""
    defaults: dict[str, Any] = Field(default_factory=dict)
    """Values for fields of a Flow that it leaves out."""
    mappings: dict[LabelName, MappingBody] = Field(default_factory=dict, max_length=16)
    """Mappings from model to model."""
    tests: list[dict[str, Any]] = Field(default_factory=list, max_length=100)
    """Cases that `intops test` runs: a message goes in, requests come out."""


class PatternStatus(ApiModel):
    """What intops observed about a Pattern."""

    observed_generation: int | None = None
    """Generation that this status describes."""
    conditions: list[Condition] = Field(default_factory=list, max_length=16)
    """Accepted, ResolvedRefs and Ready."""
    flows: int | None = None
    """How many Flows follow this Pattern."""
    violations: int | None = None
    """How many Flows break it."""
    exceptions: int | None = None
    """How many exceptions from its rules these Flows have."""
