"""Condition types and reasons of every kind: one closed, documented list.

The operator writes them, the command line prints them, docs/reference/conditions.md is generated from here.
What each reason says stands in `reasons`.
Conditions are positive; a type whose engine is not there yet is Unknown with reason NotAvailable.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from pydantic import Field

from intops_api.common import ApiModel
from intops_api.reasons import Reason

__all__ = [
    "FLOW_CONDITIONS",
    "READY_REASONS_FALSE",
    "STANDING_CONDITIONS",
    "Condition",
    "ConditionDoc",
    "ConditionType",
    "Reason",
    "Status",
]

Status = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """Every condition type that intops writes."""

    READY = "Ready"
    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    PROGRAMMED = "Programmed"
    CREDENTIALS_VALID = "CredentialsValid"
    TARGET_REACHABLE = "TargetReachable"
    REVIEW_CLEAR = "ReviewClear"
    VOLUME_NORMAL = "VolumeNormal"
    SCHEMA_STABLE = "SchemaStable"
    WITHIN_SLO = "WithinSLO"
    COMPLIANT = "Compliant"
    DELETES_ALLOWED = "DeletesAllowed"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


@dataclass(frozen=True, slots=True)
class ConditionDoc:
    """What one condition type says, and which reasons it may carry for each status."""

    says: str
    counts_for_ready: bool
    when_true: tuple[Reason, ...] = ()
    when_false: tuple[Reason, ...] = ()
    when_unknown: tuple[Reason, ...] = field(default=(Reason.PENDING,))


# Order matters: Ready takes the reason of the first False condition that counts.
FLOW_CONDITIONS: dict[ConditionType, ConditionDoc] = {
    ConditionType.ACCEPTED: ConditionDoc(
        "The Flow is well-formed and complies with its Pattern.",
        True,
        (Reason.ACCEPTED,),
        (Reason.INVALID_SPEC, Reason.PATTERN_VIOLATION),
    ),
    ConditionType.RESOLVED_REFS: ConditionDoc(
        "Everything the Flow names exists and is usable.",
        True,
        (Reason.RESOLVED,),
        (Reason.REF_NOT_FOUND, Reason.REF_INVALID),
    ),
    ConditionType.PROGRAMMED: ConditionDoc(
        "Every live replica of the worker reports that it runs the wanted plan.",
        True,
        (Reason.PROGRAMMED, Reason.STORE_FILLING),
        (
            Reason.APPLYING,
            Reason.PLAN_REJECTED,
            Reason.WORKER_UNAVAILABLE,
            Reason.STORE_FAILED,
            Reason.STORE_FULL,
            Reason.QUOTA_EXCEEDED,
            Reason.POOL_FULL,
            Reason.MOVE_HELD,
            Reason.MOVING,
        ),
    ),
    ConditionType.CREDENTIALS_VALID: ConditionDoc(
        "Every credential of the Flow is present, may be sent to its system's address, and is accepted there.",
        True,
        (Reason.VALID, Reason.EXPIRING, Reason.WEAK_SECRET, Reason.ROTATING),
        (Reason.SECRET_MISSING, Reason.AUTH_DENIED, Reason.ORIGIN_NOT_ALLOWED),
        (Reason.PENDING, Reason.NO_REPORT),
    ),
    ConditionType.TARGET_REACHABLE: ConditionDoc(
        "Every system that the Flow writes to answers.",
        True,
        (Reason.REACHABLE,),
        (Reason.DESTINATION_DOWN, Reason.TLS_FAILED),
        (Reason.PENDING, Reason.NO_REPORT),
    ),
    ConditionType.REVIEW_CLEAR: ConditionDoc(
        "No message waits for a person longer than agreed; items that are not yet due stay True.",
        True,
        (Reason.CLEAR,),
        (Reason.REVIEW_OVERDUE,),
        (Reason.PENDING, Reason.NO_REPORT),
    ),
    ConditionType.VOLUME_NORMAL: ConditionDoc(
        "As many messages arrive as usual.",
        True,  # Silent only
        (Reason.HEALTHY,),
        (Reason.SILENT, Reason.VOLUME_LOW, Reason.VOLUME_HIGH),
        (Reason.PENDING, Reason.NOT_AVAILABLE, Reason.LEARNING),
    ),
    ConditionType.SCHEMA_STABLE: ConditionDoc(
        "Payloads look the way the Mappings expect.",
        False,
        (Reason.HEALTHY,),
        (Reason.DRIFT_DETECTED,),
        (Reason.PENDING, Reason.NO_REPORT),
    ),
    ConditionType.WITHIN_SLO: ConditionDoc(
        "The promise in spec.slo is kept.",
        False,
        (Reason.HEALTHY,),
        (Reason.BUDGET_EXHAUSTED, Reason.BUDGET_BURNING),
        (Reason.PENDING, Reason.NOT_AVAILABLE),
    ),
    ConditionType.COMPLIANT: ConditionDoc(
        "Reviews are done in time, the next one is at most 180 days ahead (where the Pattern lists COM-07), "
        "and no exception has expired.",
        False,
        (Reason.COMPLIANT,),
        (Reason.EXCEPTION_EXPIRED, Reason.REVIEW_DUE, Reason.REVIEW_TOO_FAR),
    ),
    ConditionType.DELETES_ALLOWED: ConditionDoc(
        "The delete guard of a configuration-sync Flow is not tripped.",
        False,
        (Reason.HEALTHY,),
        (Reason.DELETE_GUARD_TRIPPED,),
        (Reason.PENDING, Reason.NOT_AVAILABLE),
    ),
}

_ACCEPTED = ConditionDoc(
    "It is well-formed and keeps the rules of its kind.",
    True,
    (Reason.ACCEPTED,),
    (Reason.INVALID_SPEC,),
)
_RESOLVED = ConditionDoc(
    "Everything it names exists.", True, (Reason.RESOLVED,), (Reason.REF_NOT_FOUND,)
)
_NO_FLOW = (Reason.PENDING, Reason.UNUSED)
_NAMES_NOTHING = {ConditionType.ACCEPTED: _ACCEPTED}
_NAMES_OTHERS = {ConditionType.ACCEPTED: _ACCEPTED, ConditionType.RESOLVED_REFS: _RESOLVED}

# Of every kind beside Flow and FlowAction. Order matters as above.
STANDING_CONDITIONS: dict[str, dict[ConditionType, ConditionDoc]] = {
    "Connector": {
        **_NAMES_OTHERS,
        ConditionType.CREDENTIALS_VALID: ConditionDoc(
            "Every Flow that uses the Connector has its credential, and the system accepts it.",
            True,
            (Reason.VALID, Reason.EXPIRING, Reason.WEAK_SECRET, Reason.ROTATING),
            (Reason.SECRET_MISSING, Reason.AUTH_DENIED, Reason.ORIGIN_NOT_ALLOWED),
            _NO_FLOW,
        ),
        ConditionType.TARGET_REACHABLE: ConditionDoc(
            "The system answers every Flow that uses the Connector.",
            True,
            (Reason.REACHABLE,),
            (Reason.DESTINATION_DOWN, Reason.TLS_FAILED),
            _NO_FLOW,
        ),
    },
    "Mapping": {
        **_NAMES_OTHERS,
        ConditionType.SCHEMA_STABLE: ConditionDoc(
            "Payloads look the way the Mapping expects, in every Flow that uses it.",
            False,
            (Reason.HEALTHY,),
            (Reason.DRIFT_DETECTED,),
            _NO_FLOW,
        ),
    },
    "ConnectorClass": _NAMES_OTHERS,
    "CanonicalModel": _NAMES_NOTHING,
    "Pattern": _NAMES_OTHERS,
}

READY_REASONS_FALSE: tuple[Reason, ...] = (
    *(r for doc in FLOW_CONDITIONS.values() if doc.counts_for_ready for r in doc.when_false),
    Reason.BACKLOG_LATE,
    Reason.SUSPENDED,
    Reason.NO_REPORT,
)


class Condition(ApiModel):
    """One standard Kubernetes condition."""

    type: str = Field(max_length=316)
    """Which statement this is."""
    status: Status
    """Whether the statement holds: True, False or Unknown."""
    reason: str = Field(min_length=1, max_length=1024)
    """One word from a closed list that says why."""
    message: str = Field(max_length=32768)
    """What is the case, since when, what was done by itself, what a person must do, who owns it."""
    last_transition_time: str = Field(json_schema_extra={"format": "date-time"})
    """When the status changed last."""
    observed_generation: int | None = Field(default=None, ge=0)
    """Generation of the object that this was judged from."""
