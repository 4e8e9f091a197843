"""Decisions on their way down: what people decided about one Flow, as the worker gets it beside its plan.

Written by the operator from FlowActions into the plan's ConfigMap (`names.ACTIONS_KEY`), read by the worker.
The worker answers in its report. A reader refuses a newer major schema.
"""

from typing import Literal

from pydantic import ConfigDict, Field

from intops_api.common import ApiModel
from intops_api.flow_action import Action, ActionSelect, FieldPatch

ACTIONS_SCHEMA: Literal[1] = 1
MAX_PENDING = 20
"""Decisions of one Flow that are under way at once; later ones wait for their turn."""


class PlanAction(ApiModel):
    """One decision. The API server has verified who made it and who approved it."""

    uid: str
    """Uid of the FlowAction: a decision is applied once, however often it comes."""
    action: Action
    select: ActionSelect
    patch: list[FieldPatch] = Field(default_factory=list)
    reason: str
    actor: str
    approved_by: str | None = None


class PlanActions(ApiModel):
    """Decisions about one Flow that have not been answered yet, oldest first."""

    schema_: int = Field(default=ACTIONS_SCHEMA, alias="schema")
    namespace: str
    flow: str
    actions: list[PlanAction] = Field(default_factory=list, max_length=MAX_PENDING)


class ActionReport(ApiModel):
    """What became of a decision. No message, no key, no personal data but what the actor wrote."""

    model_config = ConfigDict(extra="ignore")  # a part of the report, which older operators read

    uid: str
    applied: int = 0
    """How many messages it concerned."""
    refused: str | None = None
    """Why nothing was changed, in a sentence."""
    left: str | None = None
    """Which messages stay in review although others were decided, in a sentence."""
    at: str | None = None
    """When it was applied or refused, RFC 3339."""
