"""Decisions of people: which go down to the worker, and what their status says. Pure.

The reconciler asks with FlowActions from the cache and answers from reports.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from intops_api.actions import MAX_PENDING, ActionReport, PlanAction, PlanActions
from intops_api.conditions import Condition, ConditionType, Reason
from intops_api.flow_action import FlowActionSpec, FlowActionStatus
from intops_core.findings import Finding
from intops_core.resources import Ref, Resource
from intops_operator.core.facts import instant

KEEP: Final = timedelta(hours=24)
"""How long an answered decision stays to be read; the audit of the Flow keeps it for good."""

State = Literal["answered", "awaitingApproval", "waiting"]


@dataclass(frozen=True, slots=True)
class Told:
    """What goes down: the text for the ConfigMap and its hash; both None where nothing is pending."""

    text: str | None
    hash: str | None


def action_spec(resource: Resource) -> FlowActionSpec:
    """The decision of a FlowAction."""
    if not isinstance(resource.spec, FlowActionSpec):
        raise TypeError(f"{resource.ref} is no FlowAction")
    return resource.spec


def answered(status: Mapping[str, Any]) -> bool:
    """Whether a status says that the decision was applied or refused."""
    return status.get("appliedAt") is not None


def state_of(resource: Resource, status: Mapping[str, Any], *, second_approver: bool) -> State:
    """Where a decision stands."""
    if answered(status):
        return "answered"
    if second_approver and action_spec(resource).approved_by is None:
        return "awaitingApproval"
    return "waiting"


def told(flow: Ref, waiting: Iterable[Resource]) -> Told:
    """What the worker of a Flow is told: the oldest decisions, at most `MAX_PENDING`."""
    first = sorted(waiting, key=_age)[:MAX_PENDING]
    if not first:
        return Told(None, None)
    document = PlanActions(
        namespace=flow.namespace, flow=flow.name, actions=[_down(resource) for resource in first]
    )
    text = document.model_dump_json(by_alias=True)
    return Told(text, hashlib.sha256(text.encode()).hexdigest()[:16])


def _age(resource: Resource) -> tuple[str, str]:
    made = (resource.meta.model_extra or {}).get("creationTimestamp") or ""
    return str(made), resource.ref.name


def _down(resource: Resource) -> PlanAction:
    spec = action_spec(resource)
    return PlanAction(
        uid=resource.meta.uid,
        action=spec.action,
        select=spec.select,
        patch=spec.patch,
        reason=spec.reason,
        actor=spec.actor,
        approved_by=spec.approved_by,
    )


def action_status(
    resource: Resource,
    *,
    state: State,
    answer: ActionReport | None,
    findings: Iterable[Finding],
    previous: Mapping[str, Condition],
    now: datetime,
) -> dict[str, Any]:
    """The status of a decision that had no answer so far."""
    spec = action_spec(resource)
    missing = [finding.message for finding in findings if finding.severity == "deny"]
    if answer is not None and answer.refused is None:
        words = f"{_messages(answer.applied)} {_DONE.get(spec.action, 'decided')}."
        verdict = ("True", Reason.APPLIED, f"{words} {answer.left or ''}".strip())
    elif answer is not None:
        verdict = ("False", Reason.REFUSED, f"Nothing was changed. {answer.refused}")
    elif missing:
        verdict = ("False", Reason.REF_NOT_FOUND, missing[0])
    elif state == "awaitingApproval":
        words = (
            "The Flow asks for a second person (spec.review.secondApprover): somebody other than "
            f"{spec.actor} approves with `kubectl intops review approve {resource.ref.name}`."
        )
        verdict = ("False", Reason.AWAITING_APPROVAL, words)
    else:
        verdict = ("False", Reason.PENDING, "The worker has not answered yet.")
    conditions = [_condition(ConditionType.READY, *verdict, previous, resource, now)]
    if verdict[1] is Reason.REFUSED:
        conditions.append(
            _condition(
                ConditionType.STALLED, "True", verdict[1], verdict[2], previous, resource, now
            )
        )
    return FlowActionStatus(
        observed_generation=resource.meta.generation,
        conditions=conditions,
        applied_at=(answer.at or _stamp(now)) if answer is not None else None,
        messages=answer.applied if answer is not None else None,
    ).to_wire()


_DONE: Final = {
    "retry": "tried again",
    "edit": "corrected and tried again",
    "discard": "discarded",
}


def forget_in_s(status: Mapping[str, Any], now: datetime) -> float | None:
    """Seconds until an answered decision is taken away; None while it has no answer."""
    at = instant(status.get("appliedAt"))
    return None if at is None else (at + KEEP - now).total_seconds()


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"


def _condition(
    kind: ConditionType,
    status: Any,
    reason: Reason,
    message: str,
    previous: Mapping[str, Condition],
    resource: Resource,
    now: datetime,
) -> Condition:
    before = previous.get(kind.value)
    since = before.last_transition_time if before and before.status == status else _stamp(now)
    return Condition(
        type=kind.value,
        status=status,
        reason=reason.value,
        message=message,
        last_transition_time=since,
        observed_generation=resource.meta.generation,
    )


def _stamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
