"""Every reason that a condition may carry, and what each one says: one closed list.

`conditions` says which condition carries which of them; docs/reference is generated from both.
"""

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """One word that says why a condition is as it is."""

    PENDING = "Pending"
    NOT_AVAILABLE = "NotAvailable"
    HEALTHY = "Healthy"
    ACCEPTED = "Accepted"
    INVALID_SPEC = "InvalidSpec"
    PATTERN_VIOLATION = "PatternViolation"
    RESOLVED = "Resolved"
    REF_NOT_FOUND = "RefNotFound"
    REF_INVALID = "RefInvalid"
    PROGRAMMED = "Programmed"
    APPLYING = "Applying"
    PLAN_REJECTED = "PlanRejected"
    WORKER_UNAVAILABLE = "WorkerUnavailable"
    STORE_FAILED = "StoreFailed"
    STORE_FULL = "StoreFull"
    STORE_FILLING = "StoreFilling"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POOL_FULL = "PoolFull"
    MOVING = "Moving"
    MOVE_HELD = "MoveHeld"
    VALID = "Valid"
    SECRET_MISSING = "SecretMissing"
    AUTH_DENIED = "AuthDenied"
    ORIGIN_NOT_ALLOWED = "OriginNotAllowed"
    EXPIRING = "Expiring"
    WEAK_SECRET = "WeakSecret"
    ROTATING = "Rotating"
    REACHABLE = "Reachable"
    DESTINATION_DOWN = "DestinationDown"
    TLS_FAILED = "TLSFailed"
    CLEAR = "Clear"
    REVIEW_OVERDUE = "ReviewOverdue"
    SILENT = "Silent"
    VOLUME_LOW = "VolumeLow"
    VOLUME_HIGH = "VolumeHigh"
    LEARNING = "Learning"
    DRIFT_DETECTED = "DriftDetected"
    BUDGET_EXHAUSTED = "BudgetExhausted"
    BUDGET_BURNING = "BudgetBurning"
    COMPLIANT = "Compliant"
    REVIEW_DUE = "ReviewDue"
    REVIEW_TOO_FAR = "ReviewTooFar"
    EXCEPTION_EXPIRED = "ExceptionExpired"
    DELETE_GUARD_TRIPPED = "DeleteGuardTripped"
    BACKLOG_LATE = "BacklogLate"
    SUSPENDED = "Suspended"
    NO_REPORT = "NoReport"
    APPLIED = "Applied"
    AWAITING_APPROVAL = "AwaitingApproval"
    REFUSED = "Refused"
    IN_USE = "InUse"
    UNUSED = "Unused"


SAYS: Final[dict[Reason, str]] = {
    Reason.PENDING: "Nobody has judged it yet, or what it is judged from has not come yet.",
    Reason.NOT_AVAILABLE: "This version does not judge it.",
    Reason.HEALTHY: "All is well.",
    Reason.ACCEPTED: "It is well-formed and keeps the rules.",
    Reason.INVALID_SPEC: "It does not have the shape of its kind, or breaks a rule; also an object that was stored "
    "before the rule was made.",
    Reason.PATTERN_VIOLATION: "The Flow breaks a rule of its Pattern.",
    Reason.RESOLVED: "All that it names exists.",
    Reason.REF_NOT_FOUND: "It names an object that does not exist yet.",
    Reason.REF_INVALID: "An object that it names exists and is wrong in itself.",
    Reason.PROGRAMMED: "Every worker runs the wanted plan.",
    Reason.APPLYING: "A worker starts or is replaced, or takes over a new plan.",
    Reason.PLAN_REJECTED: "The worker refused the new plan; the old one runs on.",
    Reason.WORKER_UNAVAILABLE: "No worker can run: no image, no place, a crash, an object of the same name.",
    Reason.STORE_FAILED: "The store of a worker cannot be used, or its counts do not add up.",
    Reason.STORE_FULL: "The store of a worker has no room; senders are told to come again.",
    Reason.STORE_FILLING: "The store of a worker fills up; senders are slowed down.",
    Reason.QUOTA_EXCEEDED: "A quota, or a cluster without an address for its Service, keeps the worker from running.",
    Reason.POOL_FULL: "The pool holds as many Flows as it may, or as much as its object can carry.",
    Reason.MOVING: "The Flow goes to another worker or kind of store; only time is needed.",
    Reason.MOVE_HELD: "The Flow goes to another worker or kind of store once it is suspended and its store is empty.",
    Reason.VALID: "Every credential is there and accepted.",
    Reason.SECRET_MISSING: "A Secret, or one of its keys, is not there.",
    Reason.AUTH_DENIED: "A system refused the credential.",
    Reason.ORIGIN_NOT_ALLOWED: "The address may not be called, or the Secret may not be sent there.",
    Reason.EXPIRING: "It is valid, but a certificate ends within 30 days.",
    Reason.WEAK_SECRET: "It is valid, but what senders prove themselves with is shorter than 32 bytes; nothing is "
    "refused for it.",
    Reason.ROTATING: "It is valid, and senders may still use the previous value of a key.",
    Reason.REACHABLE: "Every system that is written to answers.",
    Reason.DESTINATION_DOWN: "A system that is written to does not answer.",
    Reason.TLS_FAILED: "A system cannot prove who it is.",
    Reason.CLEAR: "Nothing waits for a person longer than agreed.",
    Reason.REVIEW_OVERDUE: "A message waits for a person longer than agreed.",
    Reason.SILENT: "No message comes although some should.",
    Reason.VOLUME_LOW: "Fewer messages come than usual.",
    Reason.VOLUME_HIGH: "More messages come than usual.",
    Reason.LEARNING: "It is not known yet what is usual.",
    Reason.DRIFT_DETECTED: "Payloads changed, and messages wait or lose a field by it.",
    Reason.BUDGET_EXHAUSTED: "The promise of the period is broken.",
    Reason.BUDGET_BURNING: "The promise of the period will be broken if it goes on like this.",
    Reason.COMPLIANT: "Reviews are done in time, and no exception has expired.",
    Reason.REVIEW_DUE: "The day of spec.reviewBy is over.",
    Reason.REVIEW_TOO_FAR: "The day of spec.reviewBy is further ahead than 180 days.",
    Reason.EXCEPTION_EXPIRED: "The last day of an exception is over.",
    Reason.DELETE_GUARD_TRIPPED: "More would be deleted than is allowed at once.",
    Reason.BACKLOG_LATE: "Messages wait longer than spec.slo.within.",
    Reason.SUSPENDED: "A person has stopped delivery (spec.suspend).",
    Reason.NO_REPORT: "A worker runs and does not say how it is.",
    Reason.APPLIED: "The decision was carried out.",
    Reason.AWAITING_APPROVAL: "The decision waits for a second person.",
    Reason.REFUSED: "The decision was not carried out.",
    Reason.IN_USE: "Something uses it.",
    Reason.UNUSED: "Nothing uses it yet.",
}
