"""What a FlowAction is judged by beyond its shape: when it is made, and with its Flow.

Used by conformance; the worker judges corrections again, with the model of the plan that runs.
"""

from collections.abc import Iterator

from intops_api.flow_action import FlowActionSpec
from intops_api.rules.flow_rules import APPROVED_TOO_EARLY
from intops_core.facts import gather_flow
from intops_core.findings import Breach
from intops_core.fitting import MisfitError, fit
from intops_core.resources import Resource, Resources


def early_approval(action: FlowActionSpec) -> Iterator[Breach]:
    """An approval that comes with the decision; in a cluster the policy on FlowActions refuses it first."""
    if action.approved_by is not None:
        yield Breach("spec.approvedBy", APPROVED_TOO_EARLY)


def correction_breaches(
    action: FlowActionSpec, flow: Resource, resources: Resources
) -> Iterator[Breach]:
    """Fields that do not exist, are personal, or do not take their value."""
    model = gather_flow(flow, resources).model_in if action.patch else None
    if model is None:
        return
    record = model.record
    for index, correction in enumerate(action.patch):
        try:
            fit(record, model.name, correction.path, correction.value)
        except MisfitError as error:
            yield Breach(f"spec.patch[{index}]", str(error))
