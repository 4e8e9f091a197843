"""Every fault that a status can tell: what is given, and what a person reads of it.

The guards at the end hold the table against the documented lists: no reason without its case.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from intops_api.conditions import FLOW_CONDITIONS, ConditionType, Reason
from intops_api.flow import RuleException
from intops_api.reasons import SAYS
from intops_api.report import PlanReport, ReportFlow, StoreReport
from intops_core.error_classes import ERROR_CLASSES
from intops_core.findings import Finding, Ref
from intops_operator.core.delivering import WORDS
from intops_operator.core.facts import FlowFacts, Problem
from intops_operator.core.judging import judge_flow
from intops_operator.core.observed import ChildFact
from intops_operator.core.placing import DATABASE, OWN, Stay, next_step
from support.operator_facts import NOW, POD, healthy_facts, with_spec

FLOW = Ref("Flow", "itsm", "alerts-to-helpdesk")
MAPPING = Ref("Mapping", "itsm", "incident-to-helpdesk")
SINCE = "2026-11-25T10:02:11Z"
SINCE_SAID = "since 2026-11-25 10:02:11 UTC"
OWNER = "Owner: service-desk (service-desk@example.com)."
NOBODYS = {"Applying"}
"""Reasons that ask nobody for anything: it goes on by itself in seconds."""


@dataclass(frozen=True, slots=True)
class Case:
    """A fault, and what is told of it."""

    given: FlowFacts
    type: str
    reason: str
    sentence: str
    """What the message must say."""
    ready: tuple[str, str] = ("", "")
    """Status and reason of Ready; those of the condition if empty."""


def finding(rule: str, *, ref: Ref = FLOW, missing: Ref | None = None) -> FlowFacts:
    """A Flow that had a worker, and now has a finding instead of a plan."""
    found = Finding(rule, "deny", "spec.x", "It is wrong.", ref, missing)
    return replace(healthy_facts(), plan=None, findings=(found,))


def system(**more: Any) -> FlowFacts:
    """The target as a worker reports it."""
    found = {"name": "helpdesk", "connector": "helpdesk", "role": "target", "since": SINCE, **more}
    waits = {"received": 148, "held": 148, "oldestAt": SINCE}
    return healthy_facts(connectors=[found], store=waits)


def secret(**more: Any) -> dict[str, Any]:
    """What a worker reports about the target's Secret."""
    return {"secret": {"secret": "helpdesk-token", "since": SINCE, **more}}


def drift(severity: str = "critical") -> FlowFacts:
    """Payloads of an unknown form."""
    words = "Payloads of source x have no known form."
    found = {"kind": "drift", "reason": "UnknownVariant", "message": words, "severity": severity}
    return healthy_facts(findings=[found])


def problem(reason: Reason, words: str) -> FlowFacts:
    """Children that could not be applied."""
    return replace(healthy_facts(), problems=(Problem(reason, words),))


def waiting_in_volume() -> PlanReport:
    """A suspended worker in whose volume two messages wait."""
    store = StoreReport(received=2, held=2)
    return PlanReport(flow=ReportFlow(namespace="itsm", name="alerts"), suspended=True, store=store)


def moving(stay: Stay) -> FlowFacts:
    """A Flow that is not yet where it should be."""
    told = next_step(stay).told
    assert told is not None
    return replace(healthy_facts(), problems=(told,))


def governed(**changes: Any) -> FlowFacts:
    """A Flow whose Pattern limits reviews."""
    return replace(with_spec(healthy_facts(), **changes), limits_reviews=True)


EXPIRED = RuleException.model_validate(
    {"rule": "E2I-08", "reason": "r", "approvedBy": "boss@example.com", "until": "2026-11-01"}
)
HEALTHY = ("True", "Healthy")

FAULTS = {
    "a field of the wrong shape": Case(finding("Schema"), "Accepted", "InvalidSpec", "It is wrong."),
    "a rule of the Pattern is broken": Case(
        finding("COM-06"), "Accepted", "PatternViolation", "COM-06: It is wrong. [spec.x]"
    ),
    "a Mapping is not there": Case(
        finding("Reference", missing=MAPPING), "ResolvedRefs", "RefNotFound", "Once it exists"
    ),
    "a Mapping fails its own example": Case(
        finding("Example", ref=MAPPING), "ResolvedRefs", "RefInvalid", "Once it is repaired"
    ),
    "a worker starts": Case(
        replace(healthy_facts(), pods=()), "Programmed", "Applying", "is being started"
    ),
    "a worker runs an older plan": Case(
        healthy_facts(active="old"), "Programmed", "Applying", "0 of 1 workers run plan"
    ),
    "a plan that the worker cannot load": Case(
        healthy_facts(error="It has no routes"), "Programmed", "PlanRejected",
        "The worker refused the new plan: It has no routes.",
    ),
    "an image that is not there": Case(
        replace(healthy_facts(), pods=(replace(POD, ready=False, trouble="ErrImagePull: no"),)),
        "Programmed", "WorkerUnavailable", "does not run: ErrImagePull: no.",
    ),
    "a Service of the same name": Case(
        problem(Reason.WORKER_UNAVAILABLE, "It is somebody else's"), "Programmed",
        "WorkerUnavailable", "It is somebody else's.",
    ),
    "a quota keeps the pod from being made": Case(
        replace(
            healthy_facts(), pods=(),
            deployment=ChildFact(
                "Deployment", "itsm", "d", "d", "x", "f", "0",
                trouble="FailedCreate: exceeded quota", quota=True,
            ),
        ),
        "Programmed", "QuotaExceeded", "Raise the quota of the namespace.",
    ),
    "a pool that has no place left": Case(
        problem(Reason.POOL_FULL, 'Pool "quiet" has 100 Flows already; write another name.'),
        "Programmed", "PoolFull", "write another name.",
    ),
    "a Flow that should go to a pool and delivers": Case(
        moving(Stay("quiet", OWN)), "Programmed", "MoveHeld", "set spec.suspend to true",
    ),
    "a Flow that goes to a pool": Case(
        moving(Stay("quiet", OWN, suspended=True)), "Programmed", "Moving", "asked what is left",
    ),
    "a Flow that should go to PostgreSQL and holds messages": Case(
        moving(Stay(DATABASE, OWN, suspended=True, reports=(waiting_in_volume(),))), "Programmed", "MoveHeld",
        "2 messages in its store would stay behind",
    ),
    "a disk that cannot be written": Case(
        healthy_facts(store={"failed": "The disk is gone"}), "Programmed", "StoreFailed",
        "The disk is gone.",
    ),
    "messages that are in no state": Case(
        healthy_facts(store={"received": 3, "done": 1}), "Programmed", "StoreFailed",
        "2 messages that the store has taken in can be found nowhere in it",
    ),
    "messages that are in two states": Case(
        healthy_facts(store={"received": 1, "done": 2}), "Programmed", "StoreFailed",
        "1 message more can be found in the store than it has taken in",
    ),
    "a full volume": Case(
        healthy_facts(store={"full": True}), "Programmed", "StoreFull", "come again (503)"
    ),
    "a Secret that is not there": Case(
        system(**secret(present=False)), "CredentialsValid", "SecretMissing",
        f'Secret "helpdesk-token" of connector "helpdesk" does not exist {SINCE_SAID}.',
    ),
    "a Secret without its key": Case(
        system(**secret(present=True, missingKeys=["token"])), "CredentialsValid", "SecretMissing",
        'lacks the key "token"',
    ),
    "a credential that is refused": Case(
        system(state="held", errorClass="authDenied", detail="HTTP 401"), "CredentialsValid",
        "AuthDenied", f"refused its credential (HTTP 401) {SINCE_SAID}.",
    ),
    "an address that may not be called": Case(
        system(state="held", errorClass="policyDenied", detail="169.254.169.254"),
        "CredentialsValid", "OriginNotAllowed", "may not be called (169.254.169.254)",
    ),
    "a system that is down": Case(
        system(state="open", errorClass="destinationDown", detail="HTTP 503"), "TargetReachable",
        "DestinationDown", f"does not answer (HTTP 503) {SINCE_SAID}.",
    ),
    "a certificate of an unknown authority": Case(
        system(state="open", errorClass="transientNetwork", detail="TLS: unknown authority"),
        "TargetReachable", "TLSFailed", "spec.tls.caSecretName",
    ),
    "a decision that nobody made in time": Case(
        healthy_facts(store={"received": 1, "review": 1, "reviewOverdue": 1}), "ReviewClear",
        "ReviewOverdue", "kubectl intops review list --namespace itsm --flow alerts-to-helpdesk.",
    ),
    "payloads of a new form": Case(
        drift(), "SchemaStable", "DriftDetected", "have no known form.", HEALTHY
    ),
    "a review day that is over": Case(
        governed(review_by="2026-11-01"), "Compliant", "ReviewDue", "by 2026-11-01.", HEALTHY
    ),
    "a review day that is too far": Case(
        governed(review_by="2030-01-01"), "Compliant", "ReviewTooFar", "or an earlier day.", HEALTHY
    ),
    "an exception that has expired": Case(
        governed(exceptions=[EXPIRED]), "Compliant", "ExceptionExpired",
        "The exception from E2I-08 (until 2026-11-01) has expired.", HEALTHY,
    ),
    "messages later than promised": Case(
        healthy_facts(store={"received": 1, "waiting": 1, "oldestAt": SINCE}), "Ready",
        "BacklogLate", f"1 message is waiting, none lost, the oldest {SINCE_SAID}.",
    ),
    "delivery that a person has stopped": Case(
        with_spec(healthy_facts(), suspend=True), "Ready", "Suspended", "spec.suspend to false"
    ),
    "a worker that says nothing": Case(
        replace(healthy_facts(), now=NOW + timedelta(minutes=5)), "Ready", "NoReport",
        "runs but has not reported since 2026-11-25 12:00:00 UTC",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_in_one_condition_with_its_reason_and_sentence(fault: str) -> None:
    """What is wrong, in Ready too where it counts, and nothing else is blamed for it."""
    case = FAULTS[fault]
    judged = judge_flow(case.given)
    by_type = {c.type: c for c in judged.conditions}
    told = by_type[case.type]

    assert (told.status, told.reason) == ("False", case.reason)
    assert case.sentence in told.message
    assert told.message.endswith(".")
    assert case.reason in NOBODYS or OWNER in told.message
    assert (judged.ready.status, judged.ready.reason) == (
        case.ready if case.ready[0] else ("False", case.reason)
    )
    wrong = {c.type for c in judged.conditions if c.status == "False"}
    assert wrong == {case.type} | ({"Ready"} if judged.ready.status == "False" else set())


def message(**store: Any) -> FlowFacts:
    """One message in some state; everything else is well."""
    return healthy_facts(store={"received": 1, **store})


@dataclass(frozen=True, slots=True)
class Class:
    """What is told of a class of errors (domain reference, section 3)."""

    given: FlowFacts
    type: str = "Ready"
    reason: str = "Healthy"
    words: str = ""


def held(name: str, state: str) -> FlowFacts:
    """A connector that is not used for a while."""
    return system(state=state, errorClass=name)


IN_REVIEW = message(review=1)
WAITS_FOR_A_PERSON = "1 message waits for a person, not overdue."
CLASSES = {
    "transientNetwork": Class(held("transientNetwork", "open"), "TargetReachable", "DestinationDown"),
    "timeout": Class(held("timeout", "open"), "TargetReachable", "DestinationDown"),
    "rateLimited": Class(held("rateLimited", "limited"), "Ready", "BacklogLate", "asks for a pause"),
    "authExpired": Class(held("authExpired", "held"), "CredentialsValid", "AuthDenied"),
    "authDenied": Class(held("authDenied", "held"), "CredentialsValid", "AuthDenied"),
    "forbidden": Class(IN_REVIEW, words=WAITS_FOR_A_PERSON),
    "validation": Class(IN_REVIEW, words=WAITS_FOR_A_PERSON),
    "conflict": Class(IN_REVIEW, words=WAITS_FOR_A_PERSON),
    "duplicate": Class(message(done=1)),
    "notFound": Class(IN_REVIEW, words=WAITS_FOR_A_PERSON),
    "destinationDown": Class(held("destinationDown", "open"), "TargetReachable", "DestinationDown"),
    "schemaDrift": Class(drift(), "SchemaStable", "DriftDetected"),
    "payloadMalformed": Class(IN_REVIEW, words=WAITS_FOR_A_PERSON),
    "poison": Class(IN_REVIEW, words=WAITS_FOR_A_PERSON),
    "policyDenied": Class(held("policyDenied", "held"), "CredentialsValid", "OriginNotAllowed"),
    "enrichmentUnavailable": Class(
        healthy_facts(
            store={"received": 1, "done": 1},
            enrichments=[{"binding": "ci", "error": 1, "since": SINCE, "detail": "HTTP 500"}],
        ),
        words=f'Without what "ci" knows, which does not answer (HTTP 500) {SINCE_SAID}',
    ),
    "bufferPressure": Class(message(done=1, full=True), "Programmed", "StoreFull"),
    "expired": Class(message(dropped={"expired": 1})),
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_of_errors_is_told_where_the_documentation_says(name: str) -> None:
    """A status that is False for a message of one record would hide a dead system behind it."""
    case = CLASSES[name]
    found = {c.type: c for c in judge_flow(case.given).conditions}[case.type]

    assert (found.status, found.reason) == (
        "True" if case.reason == "Healthy" else "False", case.reason,
    )  # fmt: skip
    assert case.words in found.message


def test_every_class_of_errors_has_its_case() -> None:
    """All eighteen."""
    assert set(CLASSES) == {entry.name for entry in ERROR_CLASSES}


def test_every_reason_for_false_that_this_version_judges_has_its_case() -> None:
    """A reason that nobody has shown is a promise."""
    documented = {
        (type_.value, reason.value)
        for type_, doc in FLOW_CONDITIONS.items()
        if type_ not in WORDS
        for reason in doc.when_false
    }
    own = {
        ("Ready", reason.value)
        for reason in (Reason.BACKLOG_LATE, Reason.SUSPENDED, Reason.NO_REPORT)
    }

    assert {(case.type, case.reason) for case in FAULTS.values()} == documented | own


def test_every_reason_has_its_sentence() -> None:
    """In the order of the list, so that none is forgotten."""
    assert list(SAYS) == list(Reason)
    assert all(text.endswith(".") for text in SAYS.values())


def test_the_types_that_this_version_does_not_judge_say_so() -> None:
    """They are Unknown and make nothing unready."""
    judged = {c.type: c for c in judge_flow(healthy_facts()).conditions}
    for type_ in WORDS:
        if type_ in judged:
            assert judged[type_].reason == Reason.NOT_AVAILABLE
    assert ConditionType.READY in judged
