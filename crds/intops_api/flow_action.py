"""FlowAction: what a person decided about messages of a Flow. Short-lived; applied once by the worker."""

from typing import Annotated, Any, Literal

from pydantic import Field

from intops_api.common import ApiModel, FieldPath, LabelName
from intops_api.conditions import Condition

Action = Literal["retry", "edit", "discard", "replay", "approve"]


class ActionSelect(ApiModel):
    """Which messages are meant. At least one member."""

    messages: list[Annotated[str, Field(max_length=64)]] = Field(
        default_factory=list, max_length=100
    )
    """Message ids."""
    fingerprint: str | None = Field(default=None, max_length=64)
    """All messages whose error has this fingerprint."""
    all_in_review: bool = False
    """All messages of the Flow that wait for review."""


class FieldPatch(ApiModel):
    """One corrected field. Personal fields cannot be patched."""

    path: FieldPath
    """Path of the field in the canonical record."""
    value: Any = None
    """The corrected value."""


class FlowActionSpec(ApiModel):
    """What was decided, on what, why and by whom. Only the approval can be added once it is made."""

    flow: LabelName
    """Flow in the same namespace."""
    action: Action
    """What is to be done."""
    select: ActionSelect
    """Which messages are meant."""
    patch: list[FieldPatch] = Field(default_factory=list, max_length=50)
    """Corrections, for `edit` only."""
    reason: str = Field(min_length=1, max_length=1024)
    """Why, in words that an auditor understands."""
    actor: str = Field(min_length=1, max_length=253)
    """User who decided; must be the user who creates this object."""
    approved_by: str | None = Field(default=None, max_length=253)
    """Second person, where the Flow asks for one: written by that person, after the decision was made."""


class FlowActionStatus(ApiModel):
    """What became of the decision."""

    observed_generation: int | None = None
    """Generation that this status describes."""
    conditions: list[Condition] = Field(default_factory=list, max_length=16)
    """Ready is True once the worker has applied the decision; Stalled is True if it was refused."""
    applied_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When the worker applied it."""
    messages: int | None = None
    """How many messages it concerned."""
