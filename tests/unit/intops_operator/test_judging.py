"""What the conditions of a Flow say, by what is known about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from intops_api.conditions import FLOW_CONDITIONS, READY_REASONS_FALSE, Condition, Reason
from intops_api.flow import RuleException
from intops_api.report import NOT_IN_RANGES
from intops_core.findings import Finding, Ref
from intops_operator.core.deployed import Deployed
from intops_operator.core.facts import FlowFacts, Heard, Problem
from intops_operator.core.flowstatus import MAX_SHADOWS, flow_status
from intops_operator.core.judging import Judged, judge_flow
from intops_operator.core.observed import ChildFact
from support.operator_facts import NOW, POD, healthy_facts, heard, with_spec

FLOW = Ref("Flow", "itsm", "alerts-to-helpdesk")
MAPPING = Ref("Mapping", "itsm", "incident-to-helpdesk")


def named(judged: Judged, kind: str) -> Condition:
    """One condition."""
    return next(c for c in judged.conditions if c.type == kind)


def said(facts: FlowFacts, kind: str) -> tuple[str, str, str]:
    """Status, reason and message of one condition."""
    found = named(judge_flow(facts), kind)
    return found.status, found.reason, found.message


def system(**more: Any) -> dict[str, Any]:
    """What a worker reports about the target."""
    return {"name": "helpdesk", "connector": "helpdesk", "role": "target", **more}


def finding(
    rule: str, *, ref: Ref = FLOW, missing: Ref | None = None, message: str = ""
) -> Finding:
    """A denial."""
    return Finding(rule, "deny", "spec.x", message or f"broken by {rule}", ref, missing)


def without_plan(*findings: Finding) -> FlowFacts:
    """A Flow that had a worker and now has no valid plan."""
    return replace(healthy_facts(), plan=None, findings=findings)


def worker_of(**more: Any) -> ChildFact:
    """The Deployment."""
    return ChildFact("Deployment", "itsm", "intops-x", "d", "x", "f", "0", **more)


def replacing() -> ChildFact:
    """The Deployment between the change of its template and the first new pod."""
    return worker_of(deployed=Deployed(1, 1, False, "worker:2", None, None, current=False))


def test_a_flow_whose_worker_runs_the_plan_is_healthy() -> None:
    """Ready is True, and nothing is being reconciled."""
    judged = judge_flow(healthy_facts(store={"received": 2, "done": 2}))

    assert (judged.ready.status, judged.ready.reason) == ("True", "Healthy")
    assert {"Stalled", "Reconciling"}.isdisjoint(c.type for c in judged.conditions)


def test_every_flow_shows_every_condition_with_ready_first() -> None:
    """What is not judged yet is Unknown, not absent."""
    judged = judge_flow(healthy_facts())

    types = [c.type for c in judged.conditions]
    assert types[0] == "Ready"
    assert types[1:] == [kind for kind in FLOW_CONDITIONS if kind != "DeletesAllowed"]
    for kind in ("VolumeNormal", "WithinSLO"):
        assert (named(judged, kind).status, named(judged, kind).reason) == (
            "Unknown",
            "NotAvailable",
        )


@pytest.mark.parametrize(
    ("facts", "kind", "reason"),
    [
        pytest.param(
            without_plan(finding("Schema")), "Accepted", "InvalidSpec", id="a wrong shape"
        ),
        pytest.param(
            without_plan(finding("COM-06")), "Accepted", "PatternViolation", id="a broken rule"
        ),
        pytest.param(
            without_plan(finding("Reference", missing=MAPPING)),
            "ResolvedRefs",
            "RefNotFound",
            id="something missing",
        ),
        pytest.param(
            without_plan(finding("Example", ref=MAPPING)),
            "ResolvedRefs",
            "RefInvalid",
            id="something broken elsewhere",
        ),
        pytest.param(
            replace(healthy_facts(), problems=(Problem(Reason.QUOTA_EXCEEDED, "No room."),)),
            "Programmed",
            "QuotaExceeded",
            id="no room in the quota",
        ),
        pytest.param(replace(healthy_facts(), pods=()), "Programmed", "Applying", id="no pod yet"),
        pytest.param(
            replace(healthy_facts(), pods=(), deployment=worker_of(trouble="FailedCreate: no")),
            "Programmed",
            "WorkerUnavailable",
            id="no pod can be made",
        ),
        pytest.param(
            replace(
                healthy_facts(),
                pods=(replace(POD, ready=False, trouble="ImagePullBackOff: no such image"),),
            ),
            "Programmed",
            "WorkerUnavailable",
            id="no image",
        ),
        pytest.param(
            replace(healthy_facts(), pods=(replace(POD, ready=False),)),
            "Programmed",
            "Applying",
            id="its container began anew, and what the former one said is still fresh",
        ),
        pytest.param(
            replace(healthy_facts(), deployment=replacing()),
            "Programmed",
            "Applying",
            id="its pods are about to be replaced, and the old one still runs the plan",
        ),
        pytest.param(
            replace(
                healthy_facts(),
                deployment=replace(replacing(), trouble="FailedCreate: no", quota=True),
            ),
            "Programmed",
            "QuotaExceeded",
            id="no room for the pod that should replace the old one",
        ),
        pytest.param(healthy_facts(active="old"), "Programmed", "Applying", id="an older plan"),
        pytest.param(
            healthy_facts(error="It has no routes"), "Programmed", "PlanRejected", id="plan refused"
        ),
        pytest.param(
            healthy_facts(store={"failed": "The disk is gone"}),
            "Programmed",
            "StoreFailed",
            id="no store",
        ),
        pytest.param(healthy_facts(store={"full": True}), "Programmed", "StoreFull", id="full"),
        pytest.param(
            healthy_facts(connectors=[system(secret={"secret": "s", "present": False})]),
            "CredentialsValid",
            "SecretMissing",
            id="no Secret",
        ),
        pytest.param(
            healthy_facts(
                connectors=[system(secret={"secret": "s", "present": True, "missingKeys": ["k"]})]
            ),
            "CredentialsValid",
            "SecretMissing",
            id="a key missing",
        ),
        pytest.param(
            healthy_facts(connectors=[system(state="held", errorClass="authDenied")]),
            "CredentialsValid",
            "AuthDenied",
            id="a refused credential",
        ),
        pytest.param(
            healthy_facts(connectors=[system(state="held", errorClass="policyDenied")]),
            "CredentialsValid",
            "OriginNotAllowed",
            id="an address that is not allowed",
        ),
        pytest.param(
            healthy_facts(connectors=[system(state="open", errorClass="destinationDown")]),
            "TargetReachable",
            "DestinationDown",
            id="a dead target",
        ),
        pytest.param(
            healthy_facts(connectors=[system(state="open", detail="TLS: unknown authority")]),
            "TargetReachable",
            "TLSFailed",
            id="an untrusted target",
        ),
        pytest.param(
            healthy_facts(store={"received": 1, "review": 1, "reviewOverdue": 1}),
            "ReviewClear",
            "ReviewOverdue",
            id="an overdue review",
        ),
    ],
)
def test_what_is_wrong_shows_in_its_condition_and_in_ready(
    facts: FlowFacts, kind: str, reason: str
) -> None:
    """Ready takes the reason of the condition that is False, from the documented list."""
    judged = judge_flow(facts)

    assert (named(judged, kind).status, named(judged, kind).reason) == ("False", reason)
    assert (judged.ready.status, judged.ready.reason) == ("False", reason)
    assert Reason(reason) in READY_REASONS_FALSE


def test_a_refused_credential_says_all_that_a_person_needs() -> None:
    """What, since when, how many wait, what is done, what to do, who owns it."""
    facts = healthy_facts(
        connectors=[
            system(
                state="held",
                errorClass="authDenied",
                detail="HTTP 401",
                since="2026-11-25T10:02:11Z",
                doing="asks again every 10 s",
                secret={"secret": "helpdesk-token", "present": True},
            )
        ],
        store={"received": 150, "done": 2, "held": 148, "oldestAt": "2026-11-25T10:02:11Z"},
    )

    assert said(facts, "CredentialsValid")[2] == (
        'The system of connector "helpdesk" refused its credential (HTTP 401) since '
        "2026-11-25 10:02:11 UTC. 148 messages are waiting, none lost, the oldest since "
        "2026-11-25 10:02:11 UTC. The worker asks again every 10 s. Put a valid credential into "
        'Secret "helpdesk-token"; it is used without a restart. '
        "Owner: service-desk (service-desk@example.com)."
    )


@pytest.mark.parametrize(
    ("detail", "what", "action"),
    [
        (
            "169.254.169.254 is not called: it is link-local",
            'The address of connector "helpdesk" may not be called',
            'Correct the address in spec.endpoint or spec.config of Connector "helpdesk".',
        ),
        (
            'allowedOrigins of Secret "helpdesk-token" does not list https://rt.example.com',
            'The Secret of connector "helpdesk" may not be sent to its endpoint',
            'or add its origin to the key allowedOrigins of Secret "helpdesk-token".',
        ),
        (
            f"100.64.0.9 may not be called: it is private and {NOT_IN_RANGES}",
            'The address of connector "helpdesk" may not be called',
            "or name its range in worker.allowRanges of the chart; what is named there replaces 10.0.0.0/8",
        ),
    ],
    ids=["an address", "an origin", "a range"],
)
def test_what_the_guard_refuses_names_the_connector_and_what_to_write(
    detail: str, what: str, action: str
) -> None:
    """One is mended in the Connector only, the other in the Secret too; neither is a dead target."""
    facts = healthy_facts(
        connectors=[
            system(
                state="held",
                errorClass="policyDenied",
                detail=detail,
                since="2026-11-25T10:02:11Z",
                secret={"secret": "helpdesk-token", "present": True},
            )
        ]
    )

    status, reason, message = said(facts, "CredentialsValid")
    assert (status, reason) == ("False", "OriginNotAllowed")
    assert message.startswith(f"{what} ({detail}) since 2026-11-25 10:02:11 UTC.")
    assert action in message
    assert judge_flow(facts).ready.reason == "OriginNotAllowed"
    assert said(facts, "TargetReachable")[:2] == ("True", "Reachable")


@pytest.mark.parametrize("role", ["source", "enricher"])
def test_a_credential_that_no_message_needs_keeps_nobody_from_being_ready(role: str) -> None:
    """A source that refuses to be asked still sends; what an enricher knows is added later."""
    refused = {"state": "held", "errorClass": "authDenied", "detail": "HTTP 401"}
    facts = healthy_facts(connectors=[{**system(**refused), "name": "am", "role": role}])

    assert said(facts, "CredentialsValid")[0] == "True"
    assert said(facts, "Ready")[0] == "True"


def test_a_refused_credential_is_no_dead_target() -> None:
    """A system that answers 401 answers."""
    facts = healthy_facts(connectors=[system(state="held", errorClass="authDenied")])

    assert said(facts, "TargetReachable")[:2] == ("True", "Reachable")


def test_a_system_at_its_limit_is_neither_down_nor_denied() -> None:
    """Slower is not broken."""
    facts = healthy_facts(connectors=[system(state="limited", errorClass="rateLimited")])

    assert judge_flow(facts).ready.reason == "Healthy"


def test_a_certificate_that_ends_soon_is_told_while_it_is_still_valid() -> None:
    """Expiring is a True with the date."""
    facts = healthy_facts(connectors=[system(certificateExpires="2026-12-01T00:00:00Z")])

    status, reason, message = said(facts, "CredentialsValid")
    assert (status, reason) == ("True", "Expiring")
    assert "2026-12-01" in message


def sender(**secret: Any) -> dict[str, Any]:
    """The source as a worker reports it."""
    return {
        "name": "prometheus", "connector": "alertmanager", "role": "source",
        "secret": {"secret": "am-token", "present": True, **secret},
    }  # fmt: skip


OLD = {"key": "token.previous", "lastUsed": "2026-11-25T10:02:11Z"}


@pytest.mark.parametrize(
    ("secret", "reason", "sentences"),
    [
        ({"weakKeys": ["token"]}, "WeakSecret", [
            'Secret "am-token" of connector "alertmanager" has in "token" a value of less than 32 bytes',
            "Messages are taken as before.", "openssl rand -hex 32", 'may stay as "token.previous"']),
        ({"weakKeys": ["token.previous"], "previous": [OLD]}, "WeakSecret", [
            'has in "token.previous" a value', "last used in the hour that began at 2026-11-25 10:00 UTC",
            'Take "token.previous" away once every sender has the new value.']),
        ({"previous": [OLD]}, "Rotating", [
            ('The old value in "token.previous" of Secret "am-token" is still good; it was last used in the hour '
            "that began at 2026-11-25 10:00 UTC."), 'Take "token.previous" away']),
        ({"previous": [{"key": "token.previous"}]}, "Rotating", [
            "it has not been used since the worker started."]),
        ({"missingKeys": ["token"], "previous": [OLD]}, "SecretMissing", []),
        ({}, "Valid", []),
    ],
    ids=["short", "short, and on its way out", "in use", "not in use", "a key is missing", "well"],
)  # fmt: skip
def test_s15_a_short_secret_is_told_and_keeps_nothing_from_being_delivered(
    secret: dict[str, Any], reason: str, sentences: list[str]
) -> None:
    """True with a reason, so Ready stays True; a previous value is told until it is taken away."""
    facts = healthy_facts(connectors=[sender(**secret), system()])

    status, told, message = said(facts, "CredentialsValid")
    missing = reason == "SecretMissing"
    assert (status, told) == ("False" if missing else "True", reason)
    assert [sentence for sentence in sentences if sentence not in message] == []
    assert judge_flow(facts).ready.status == ("False" if missing else "True")


def test_reviews_that_are_not_due_are_no_fault() -> None:
    """ReviewClear stays True until somebody is late."""
    facts = healthy_facts(store={"received": 3, "review": 3})

    assert said(facts, "ReviewClear")[:2] == ("True", "Clear")
    assert "3 messages wait for a person" in judge_flow(facts).ready.message


def test_a_backlog_older_than_promised_is_late() -> None:
    """Everything answers, and yet the promise is broken: BacklogLate."""
    store = {"received": 1, "waiting": 1, "oldestAt": "2026-11-25T11:58:00Z"}

    assert judge_flow(healthy_facts(store=store)).ready.reason == "BacklogLate"
    store["oldestAt"] = "2026-11-25T11:59:30Z"
    assert judge_flow(healthy_facts(store=store)).ready.reason == "Healthy"


def test_a_backlog_that_a_limit_has_made_names_the_system_that_asked_for_it() -> None:
    """A limit is no outage, but nobody should have to look for the cause of a backlog."""
    limited = system(
        state="limited", errorClass="rateLimited", detail="HTTP 429",
        since="2026-11-25T11:58:00Z", doing="pauses as long as the system asked",
    )  # fmt: skip
    store = {"received": 1, "waiting": 1, "oldestAt": "2026-11-25T11:58:00Z"}
    ready = judge_flow(healthy_facts(store=store, connectors=[limited])).ready

    assert ready.reason == "BacklogLate"
    assert "asks for a pause (HTTP 429) since 2026-11-25 11:58:00 UTC" in ready.message
    assert judge_flow(healthy_facts(connectors=[limited])).ready.reason == "Healthy"


def test_a_way_that_is_blocked_points_at_what_blocks_it() -> None:
    """Silence is what a firewall makes; a refusal comes from the system's own host."""
    silent = "desk.example.com does not accept a connection within 3 s"
    for detail, told in ((silent, True), ("desk.example.com refuses connections", False)):
        down = system(state="open", errorClass="destinationDown", detail=detail)
        message = said(healthy_facts(connectors=[down]), "TargetReachable")[2]
        assert ("a firewall or a NetworkPolicy" in message) == told


def test_a_suspended_flow_is_not_ready_and_says_how_to_resume() -> None:
    """Suspended hides systems that are down meanwhile, not a worker that cannot capture."""
    facts = with_spec(
        healthy_facts(connectors=[system(state="open", errorClass="destinationDown")]), suspend=True
    )

    assert judge_flow(facts).ready.reason == "Suspended"
    assert "spec.suspend" in judge_flow(facts).ready.message
    broken = replace(facts, pods=(), deployment=worker_of(trouble="FailedCreate"))
    assert judge_flow(broken).ready.reason == "WorkerUnavailable"


def test_a_roll_out_takes_ready_away_once_and_gives_it_back_once() -> None:
    """From the moment in which it is written until a new pod is ready and runs the plan; nothing in between."""
    facts, new = healthy_facts(), replace(POD, name="new", uid="pod-2")
    going, coming = (
        replace(POD, leaving=True, ready=False),
        replace(new, phase="Pending", ready=False),
    )
    said = (*facts.heard, replace(facts.heard[0], pod_uid="pod-2"))
    seen = worker_of(deployed=Deployed(1, 1, False, "worker:2", None, None))
    story = [
        replace(facts, deployment=seen),
        replace(facts, deployment=replacing()),
        replace(facts, deployment=replacing(), pods=(going,)),
        replace(facts, deployment=replacing(), pods=()),
        replace(facts, deployment=seen, pods=(POD, coming)),
        replace(facts, deployment=seen, pods=(coming,)),
        replace(facts, deployment=seen, pods=(replace(new, ready=False),)),
        replace(facts, deployment=seen, pods=(replace(new, ready=False),), heard=said),
        replace(facts, deployment=seen, pods=(new,)),
        replace(facts, deployment=seen, pods=(new,), heard=said),
    ]

    told = [judge_flow(each).ready.status for each in story]

    assert told == ["True", *["False"] * 8, "True"]


def test_of_a_worker_that_is_neither_ready_nor_heard_its_silence_is_told() -> None:
    """As of one whose node is lost: that it starts would be wrong."""
    facts = replace(
        healthy_facts(), pods=(replace(POD, ready=False),), now=NOW + timedelta(seconds=31)
    )

    assert judge_flow(facts).ready.reason == "NoReport"


def test_a_silent_worker_makes_everything_about_messages_unknown() -> None:
    """A report that is too old is not believed."""
    facts = healthy_facts()
    old = replace(facts.heard[0], at=NOW - timedelta(seconds=31))
    judged = judge_flow(replace(facts, heard=(old,)))

    assert (judged.ready.status, judged.ready.reason) == ("False", "NoReport")
    assert named(judged, "CredentialsValid").reason == "NoReport"
    assert named(judged, "Programmed").status == "True"


def test_a_worker_that_never_answered_is_not_reported_as_programmed() -> None:
    """Running is not the same as running the plan."""
    judged = judge_flow(replace(healthy_facts(), heard=()))

    assert (named(judged, "Programmed").status, judged.ready.reason) == ("Unknown", "NoReport")


def test_every_live_replica_must_run_the_plan() -> None:
    """One that lags keeps Programmed False; one that leaves does not count."""
    facts = healthy_facts()
    second = replace(POD, name="second", uid="pod-2")
    assert facts.plan is not None
    lagging = replace(heard(facts.plan, active="old"), pod_uid="pod-2")
    two = replace(facts, pods=(POD, second), heard=(*facts.heard, lagging))

    assert said(two, "Programmed")[1] == "Applying"
    assert said(two, "Programmed")[2].startswith("1 of 2 workers run plan")
    leaving = replace(two, pods=(POD, replace(second, leaving=True)))
    assert said(leaving, "Programmed")[1] == "Programmed"


def test_a_worker_that_does_not_know_the_flow_is_lagging() -> None:
    """It answers, but not about this Flow."""
    facts = replace(healthy_facts(), heard=(Heard(POD.uid, NOW, None),))

    assert said(facts, "Programmed")[1] == "Applying"


def test_refused_is_stalled_and_applying_is_reconciling() -> None:
    """kstatus: Stalled only where trying again cannot help."""
    refused = judge_flow(without_plan(finding("COM-06")))
    applying = judge_flow(healthy_facts(active="old"))
    missing = judge_flow(without_plan(finding("Reference", missing=MAPPING)))

    assert named(refused, "Stalled").reason == "PatternViolation"
    assert named(applying, "Reconciling").status == "True"
    assert {"Stalled", "Reconciling"}.isdisjoint(c.type for c in missing.conditions)


def test_all_findings_are_told_at_once_and_the_last_good_plan_is_named() -> None:
    """Numbers, so that none is overlooked; and nobody fears that the worker is gone."""
    facts = without_plan(finding("COM-06"), finding("COM-10"))

    _, _, message = said(facts, "Accepted")
    assert message.startswith("(1) COM-06: broken by COM-06. [spec.x] (2) COM-10:")
    assert f"The last good plan ({facts.running_hash}) keeps running." in message


def test_a_past_review_date_is_not_compliant_but_ready() -> None:
    """Dates never stop messages."""
    judged = judge_flow(with_spec(healthy_facts(), review_by="2026-11-24"))

    assert named(judged, "Compliant").reason == "ReviewDue"
    assert judged.ready.status == "True"


def test_a_review_too_far_ahead_is_not_compliant_where_the_pattern_limits_it() -> None:
    """Half a year at most under the shipped Pattern; the sentence says the last day that would do."""
    facts = with_spec(healthy_facts(), review_by="2028-01-01")

    assert named(judge_flow(facts), "Compliant").status == "True"
    limited = judge_flow(replace(facts, limits_reviews=True))
    assert named(limited, "Compliant").reason == "ReviewTooFar"
    assert (
        "Set spec.reviewBy to 2027-05-24 or an earlier day." in named(limited, "Compliant").message
    )
    assert limited.ready.status == "True"


def test_an_expired_exception_is_not_compliant_but_ready() -> None:
    """Nobody forgets what was allowed for a while, and no message waits for it."""
    over = RuleException(
        rule="COM-08", reason="r", approved_by="boss@example.com", until="2026-11-24"
    )
    judged = judge_flow(with_spec(healthy_facts(), exceptions=[over]))

    assert named(judged, "Compliant").reason == "ExceptionExpired"
    assert "COM-08 (until 2026-11-24)" in named(judged, "Compliant").message
    assert judged.ready.status == "True"


def test_the_time_of_transition_moves_only_with_the_status() -> None:
    """A new reason or count is no transition; the default of the schema is no time at all."""
    first = judge_flow(healthy_facts())
    before = {
        c.type: c.model_copy(update={"last_transition_time": "2026-01-01T00:00:00Z"})
        for c in first.conditions
    }
    before["Accepted"] = before["Accepted"].model_copy(
        update={"last_transition_time": "1970-01-01T00:00:00Z"}
    )
    later = judge_flow(replace(healthy_facts(store={"full": True}), previous=before))

    assert named(later, "TargetReachable").last_transition_time == "2026-01-01T00:00:00Z"
    assert named(later, "Programmed").last_transition_time == "2026-11-25T12:00:00Z"
    assert named(later, "Accepted").last_transition_time == "2026-11-25T12:00:00Z"


def test_counts_of_replicas_add_up_and_a_shared_store_counts_once() -> None:
    """With PostgreSQL every replica reports the same store."""
    facts = healthy_facts()
    assert facts.plan is not None
    second = replace(POD, name="second", uid="pod-2")

    def both(scope: str) -> int:
        store = {"received": 4, "waiting": 4, "scope": scope}
        plan = facts.plan
        assert plan is not None
        reports = (heard(plan, store=store), replace(heard(plan, store=store), pod_uid="pod-2"))
        counts = judge_flow(replace(facts, pods=(POD, second), heard=reports)).counts
        assert counts is not None
        return counts.in_flight

    assert both("worker") == 8
    assert both("shared") == 4


def test_the_forms_of_payloads_are_told_as_shares_of_all_workers() -> None:
    """Whoever wants to drop an old form sees how much of the traffic still has it."""
    facts = healthy_facts()
    plan = facts.plan
    assert plan is not None
    reports = (
        heard(plan, variants={"prometheus": {"v4": 2, "v3": 1}}),
        replace(heard(plan, variants={"prometheus": {"v4": 1}}), pod_uid="pod-2"),
    )
    second = replace(POD, name="second", uid="pod-2")
    facts = replace(facts, pods=(POD, second), heard=reports)
    status = flow_status(facts, judge_flow(facts), {})

    assert status["variants"] == {"prometheus": {"v3": "25.00%", "v4": "75.00%"}}


def test_without_a_report_the_numbers_written_last_stay() -> None:
    """Unknown is not zero."""
    facts = replace(healthy_facts(), heard=())

    status = flow_status(facts, judge_flow(facts), {"backlog": 7, "done": 3})

    assert (status["backlog"], status["done"], status["replicas"]) == (7, 3, 0)


def test_the_status_names_both_ends_and_where_to_send() -> None:
    """People paste the address into the sender's settings."""
    facts = healthy_facts(rates={"inTime": 9997, "late": 3})
    status = flow_status(facts, judge_flow(facts), {})

    assert (status["source"], status["target"]) == ("alertmanager", "helpdesk")
    assert status["captureUrl"] == (
        "http://intops-alerts-to-helpdesk.itsm.svc:8080/in/itsm/alerts-to-helpdesk/prometheus"
    )
    assert status["slo"] == "99.97%"


def test_mappings_on_trial_are_summed_over_workers_and_the_worst_comes_first() -> None:
    """Counts of a plan that is no longer wanted say nothing about the one that is."""
    first = {"binding": "prometheus", "mapping": "new", "same": 3, "since": "2026-11-25T11:00:00Z"}
    worse = {**first, "binding": "zabbix", "unmapped": 1, "differing": 2}
    facts = healthy_facts(shadows=[first, worse])
    assert facts.plan is not None
    later = {**first, "differing": 4, "since": "2026-11-25T11:30:00Z"}
    others = [
        replace(heard(facts.plan, shadows=[later]), pod_uid="pod-2"),
        replace(heard(facts.plan, shadows=[later], active="old"), pod_uid="pod-3"),
    ]
    pods = (POD, *(replace(POD, name=uid, uid=uid) for uid in ("pod-2", "pod-3")))
    facts = replace(facts, pods=pods, heard=(*facts.heard, *others))

    assert flow_status(facts, judge_flow(facts), {})["shadows"] == [
        {
            "binding": "zabbix", "mapping": "new", "compared": 6, "differing": 2, "failing": 1,
            "since": "2026-11-25T11:00:00Z",
        },
        {
            "binding": "prometheus", "mapping": "new", "compared": 10, "differing": 4, "failing": 0,
            "since": "2026-11-25T11:00:00Z",
        },
    ]  # fmt: skip


def test_a_status_tells_of_no_more_trials_than_its_schema_takes_and_of_none_where_there_is_none() -> (
    None
):
    """A status that the API server refuses would hide everything else."""
    many = [{"binding": f"b{number}", "mapping": "new"} for number in range(MAX_SHADOWS + 5)]
    facts, plain = healthy_facts(shadows=many), healthy_facts()

    assert len(flow_status(facts, judge_flow(facts), {})["shadows"]) == MAX_SHADOWS
    assert "shadows" not in flow_status(plain, judge_flow(plain), {})


def drift(severity: str, message: str = "Source x sends y.") -> dict[str, Any]:
    """One finding of a worker."""
    return {"kind": "drift", "reason": "TypeChanged", "message": message, "severity": severity}


def test_payloads_that_changed_are_told_with_what_to_do() -> None:
    """Ready stays True: what can be delivered safely is delivered."""
    facts = healthy_facts(
        findings=[drift("critical"), drift("warning", "Another."), drift("info", "New.")]
    )
    status, reason, message = said(facts, "SchemaStable")

    assert (status, reason) == ("False", "DriftDetected")
    assert message.startswith("Source x sends y. 1 more change of payloads. Owner: ")
    assert judge_flow(facts).ready.status == "True"


def test_a_new_field_that_nobody_reads_breaks_nothing() -> None:
    """It is told beside the verdict."""
    status, _, message = said(healthy_facts(findings=[drift("info")]), "SchemaStable")

    assert status == "True"
    assert "Source x sends y." in message


def test_before_the_first_report_nothing_is_known_of_payloads() -> None:
    """Unknown, not True."""
    assert said(replace(healthy_facts(), heard=()), "SchemaStable")[0] == "Unknown"


def test_a_volume_that_fills_up_is_told_and_stays_told_until_it_is_clearly_better() -> None:
    """Ready stays True; around the limit the status does not go back and forth."""

    def programmed(fill: float, before: FlowFacts | None = None) -> Condition:
        facts = healthy_facts(store={"fill": fill})
        if before is not None:
            facts = replace(facts, previous={c.type: c for c in judge_flow(before).conditions})
        judged = judge_flow(facts)
        assert judged.ready.status == "True"
        return next(c for c in judged.conditions if c.type == "Programmed")

    told = programmed(0.71)
    assert (told.status, told.reason) == ("True", "StoreFilling")
    assert "give the volume more room (spec.runtime.store.embedded.size)" in told.message
    assert programmed(0.69).reason == "Programmed"

    filling = healthy_facts(store={"fill": 0.71})
    assert programmed(0.69, filling).reason == "StoreFilling"
    assert programmed(0.64, filling).reason == "Programmed"


def test_lost_webhooks_are_told_in_ready_and_are_no_change_of_payloads() -> None:
    """Messages arrive, so the Flow is Ready; that they arrive only by asking is what a person must know."""
    lost = {
        "kind": "gap", "reason": "WebhooksLost", "message": "Its webhook loses messages.",
        "severity": "warning",
    }  # fmt: skip
    facts = healthy_facts(findings=[lost])

    status, reason, message = said(facts, "Ready")
    assert (status, reason) == ("True", "Healthy")
    assert message.endswith("Its webhook loses messages.")
    assert said(facts, "SchemaStable")[0] == "True"
    assert "webhook" not in said(facts, "SchemaStable")[2]
