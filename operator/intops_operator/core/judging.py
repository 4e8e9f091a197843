"""Judge one Flow: every condition of design section 6, in order, with a message for people.

Called by the reconciler with the facts of this moment. Conditions about systems and messages are
in `delivering`; this module has those about the resource and its worker, and sums up.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from intops_api.common import duration_s
from intops_api.conditions import (
    FLOW_CONDITIONS,
    Condition,
    ConditionType,
    Reason,
    Status,
)
from intops_api.names import LABEL_FLOW, LABEL_POOL
from intops_api.report import PlanReport
from intops_core.findings import EXAMPLE, REFERENCE, SCHEMA, Finding
from intops_operator.core import sentences as say
from intops_operator.core.compliance import compliant
from intops_operator.core.delivering import (
    credentials_valid,
    gaps,
    not_available,
    pausing,
    review_clear,
    schema_stable,
    target_reachable,
    unenriched,
)
from intops_operator.core.facts import Counts, FlowFacts, count, instant
from intops_operator.core.observed import ChildFact, PodFact
from intops_operator.core.storing import store_filling, store_trouble
from intops_operator.core.verdict import Verdict, in_order, stamp

STRUCTURAL = (ConditionType.ACCEPTED, ConditionType.RESOLVED_REFS, ConditionType.PROGRAMMED)


@dataclass(frozen=True, slots=True)
class Judged:
    """All conditions of one Flow, and the numbers behind them."""

    conditions: list[Condition]
    counts: Counts | None

    @property
    def ready(self) -> Condition:
        """The summary."""
        return next(c for c in self.conditions if c.type == ConditionType.READY)


def judge_flow(facts: FlowFacts) -> Judged:
    """Judge a Flow by what is known now. Same facts, same verdict."""
    counts = count(facts.fresh)
    verdicts = [
        accepted(facts),
        resolved_refs(facts),
        programmed(facts, counts),
        credentials_valid(facts, counts),
        target_reachable(facts, counts),
        review_clear(facts, counts),
        not_available(ConditionType.VOLUME_NORMAL),
        schema_stable(facts),
        not_available(ConditionType.WITHIN_SLO),
        compliant(facts),
    ]
    if facts.plan is not None and facts.plan.engine.name == "reconciliation":
        verdicts.append(not_available(ConditionType.DELETES_ALLOWED))
    summary = ready(facts, verdicts, counts)
    if facts.rollout:
        summary = replace(summary, message=f"{summary.message} {facts.rollout}")
    verdicts.append(summary)
    verdicts += kstatus(verdicts)
    conditions = stamp(in_order(verdicts), facts.previous, facts.generation, facts.now)
    return Judged(conditions, counts)


def split_findings(facts: FlowFacts) -> tuple[list[Finding], list[Finding], list[Finding]]:
    """Denials in three piles: about the Flow itself, about what is missing, about what is broken."""
    own, missing, broken = [], [], []
    for finding in facts.findings:
        if finding.severity != "deny" and finding.missing is None:
            continue
        if finding.missing is not None:
            missing.append(finding)
        elif finding.ref.kind != "Flow" or finding.rule == REFERENCE:
            broken.append(finding)
        else:
            own.append(finding)
    return own, missing, broken


def _last_good(facts: FlowFacts) -> str:
    if facts.running_hash and any(pod.phase == "Running" for pod in facts.live):
        return f"The last good plan ({facts.running_hash}) keeps running."
    return "Nothing runs yet."


def _findings(found: list[Finding]) -> str:
    return say.numbered([_finding(finding) for finding in found])


def _finding(finding: Finding) -> str:
    text = say.sentence(finding.message)
    label = "" if finding.rule in {SCHEMA, REFERENCE, EXAMPLE} else f"{finding.rule}: "
    where = f" [{finding.path}]" if finding.path and finding.path not in text else ""
    return f"{label}{text}{where}"


def accepted(facts: FlowFacts) -> Verdict:
    """Whether the Flow is well-formed and complies with its Pattern."""
    own, _, _ = split_findings(facts)
    if not own:
        text = "The Flow is well-formed and complies with its Pattern."
        return Verdict(ConditionType.ACCEPTED, "True", Reason.ACCEPTED, text)
    invalid = any(finding.rule == SCHEMA for finding in own)
    reason = Reason.INVALID_SPEC if invalid else Reason.PATTERN_VIOLATION
    return Verdict(
        ConditionType.ACCEPTED,
        "False",
        reason,
        say.tell(
            _findings(own),
            doing=_last_good(facts),
            action="Change the Flow; it is judged again at once.",
            owner=facts.spec.owner if facts.spec else None,
        ),
    )


def resolved_refs(facts: FlowFacts) -> Verdict:
    """Whether everything that the Flow names exists and is usable."""
    kind = ConditionType.RESOLVED_REFS
    if facts.spec is None:
        return Verdict(kind, "Unknown", Reason.PENDING, "Waits until the Flow can be read.")
    _, missing, broken = split_findings(facts)
    if not missing and not broken:
        text = "Everything the Flow names exists and is usable."
        return Verdict(kind, "True", Reason.RESOLVED, text)
    found = missing or broken
    action = (
        "Once it exists, the Flow goes on by itself."
        if missing
        else "Once it is repaired, the Flow goes on by itself."
    )
    return Verdict(
        kind,
        "False",
        Reason.REF_NOT_FOUND if missing else Reason.REF_INVALID,
        say.tell(_findings(found), doing=_last_good(facts), action=action, owner=facts.spec.owner),
    )


def programmed(facts: FlowFacts, counts: Counts | None) -> Verdict:
    """Whether every live replica reports that it runs the wanted plan."""
    kind = ConditionType.PROGRAMMED
    if facts.plan is None:
        text = f"There is no valid plan to run. {_last_good(facts)}"
        return Verdict(kind, "Unknown", Reason.PENDING, text)
    owner = facts.plan.owner
    if facts.problems:
        first = facts.problems[0]
        text = say.numbered([say.sentence(p.message) for p in facts.problems])
        doing = f"{_last_good(facts)} It is tried again by itself."
        message = say.tell(text, waiting=say.waiting(counts), doing=doing, owner=owner)
        return Verdict(kind, "False", first.reason, message)
    trouble = store_trouble(facts, counts) or _rejected(facts) or _no_worker(facts, counts)
    if trouble is not None:
        return trouble
    if facts.move is not None:
        message = say.tell(facts.move.message, waiting=say.waiting(counts), owner=owner)
        return Verdict(kind, "False", facts.move.reason, message)
    return _running(facts)


def _rejected(facts: FlowFacts) -> Verdict | None:
    for report in facts.reports:
        if report.error is None:
            continue
        runs = f"Plan {report.active} runs on." if report.active else "No plan runs."
        return Verdict(
            ConditionType.PROGRAMMED,
            "False",
            Reason.PLAN_REJECTED,
            say.tell(
                f"The worker refused the new plan: {say.sentence(report.error)}",
                doing=runs,
                action="Correct what the message names; the next plan is taken without a restart.",
                owner=facts.plan.owner if facts.plan else None,
            ),
        )
    return None


def _no_worker(facts: FlowFacts, counts: Counts | None) -> Verdict | None:
    """Why no worker can run: nothing scheduled, no image, a crash."""
    kind, live, owner = (
        ConditionType.PROGRAMMED,
        facts.live,
        facts.plan.owner if facts.plan else None,
    )
    pod = next((p for p in live if p.trouble and not p.ready), None)
    trouble = pod.trouble if pod else None
    quota = False
    found = facts.deployment
    runs = any(p.phase == "Running" for p in live)
    if trouble is None and found is not None and not (runs and _is_current(found)):
        trouble, quota = found.trouble, found.quota
    if trouble is None:
        return None
    which = f'Worker pod "{pod.name}"' if pod else "The worker"
    return Verdict(
        kind,
        "False",
        Reason.QUOTA_EXCEEDED if quota else Reason.WORKER_UNAVAILABLE,
        say.tell(
            f"{which} does not run: {say.sentence(trouble)}",
            waiting=say.waiting(counts),
            doing="Kubernetes tries again by itself; messages in the store are kept.",
            action="Raise the quota of the namespace."
            if quota
            else f"See kubectl describe pods -n {facts.namespace} -l {_selector(facts)}.",
            owner=owner,
        ),
    )


def _selector(facts: FlowFacts) -> str:
    if facts.pool is not None:
        return f"{LABEL_POOL}={facts.pool}"
    return f"{LABEL_FLOW}={facts.name}"


def _running(facts: FlowFacts) -> Verdict:
    kind, wanted = ConditionType.PROGRAMMED, facts.plan.hash if facts.plan else ""
    live = facts.live
    starting = [pod for pod in live if pod.phase != "Running"]
    if not live or starting:
        text = f"A worker is being started with plan {wanted}."
        return Verdict(kind, "False", Reason.APPLYING, text)
    unheard = [pod for pod in live if facts.last_heard(pod) is None]
    overdue = [pod for pod in unheard if _runs_long(pod, facts)]
    if overdue:
        text = (
            f"Worker pod {say.quoted(p.name for p in overdue)} runs but has not answered yet; "
            "whether it runs the wanted plan is not known."
        )
        return Verdict(kind, "Unknown", Reason.PENDING, text)
    if facts.deployment is not None and not _is_current(facts.deployment):
        text = (
            f"Workers are replaced; none of the new ones runs yet. Plan {wanted} comes with them."
        )
        return Verdict(kind, "False", Reason.APPLYING, text)
    if facts.fresh and not any(pod.ready for pod in live):
        # What it said before its container began anew is still fresh; of one that is silent more is told elsewhere.
        text = f"A worker is being started with plan {wanted}; none is ready for senders yet."
        return Verdict(kind, "False", Reason.APPLYING, text)
    lagging = [pod for pod in live if _active(facts, pod) != wanted]
    if lagging:
        left = f"{len(live) - len(lagging)} of {len(live)} workers run plan {wanted}."
        return Verdict(kind, "False", Reason.APPLYING, left)
    number = "The worker runs" if len(live) == 1 else f"All {len(live)} workers run"
    filling = store_filling(facts)
    return Verdict(
        kind,
        "True",
        Reason.STORE_FILLING if filling else Reason.PROGRAMMED,
        say.tell(f"{number} plan {wanted}.", action=filling),
    )


def _is_current(deployment: ChildFact) -> bool:
    return deployment.deployed is None or deployment.deployed.current


def _runs_long(pod: PodFact, facts: FlowFacts) -> bool:
    started = instant(pod.started_at)
    return started is None or facts.now - started > timedelta(seconds=facts.no_report_after_s)


def _active(facts: FlowFacts, pod: PodFact) -> str | None:
    heard = facts.last_heard(pod)
    plan: PlanReport | None = heard.plan if heard else None
    return plan.active if plan else None


def ready(facts: FlowFacts, verdicts: list[Verdict], counts: Counts | None) -> Verdict:
    """The summary: the first False that counts, else what else is wrong, else Healthy."""
    by_type = {verdict.type: verdict for verdict in verdicts}
    for kind in STRUCTURAL:
        if by_type[kind].status == "False":
            return _summary("False", by_type[kind].reason, by_type[kind].message)
    if facts.spec is not None and facts.spec.suspend:
        return _summary("False", Reason.SUSPENDED, _suspended(facts, counts))
    for kind, verdict in by_type.items():
        if FLOW_CONDITIONS[kind].counts_for_ready and verdict.status == "False":
            return _summary("False", verdict.reason, verdict.message)
    silent = _silent(facts, counts)
    if silent:
        return _summary("False", Reason.NO_REPORT, silent)
    if by_type[ConditionType.PROGRAMMED].status != "True":
        message = by_type[ConditionType.PROGRAMMED].message
        return _summary("Unknown", Reason.PENDING, message)
    late = _late(facts, counts)
    if late:
        return _summary("False", Reason.BACKLOG_LATE, late)
    text = f"{_healthy(counts)} {gaps(facts)}".rstrip() + unenriched(facts)
    return _summary("True", Reason.HEALTHY, text)


def _summary(status: Status, reason: Reason, message: str) -> Verdict:
    return Verdict(ConditionType.READY, status, reason, message)


def _suspended(facts: FlowFacts, counts: Counts | None) -> str:
    return say.tell(
        "The Flow is suspended: messages are captured and kept, but not delivered.",
        waiting=say.waiting(counts),
        action="Set spec.suspend to false to deliver them.",
        owner=facts.spec.owner if facts.spec else None,
    )


def _silent(facts: FlowFacts, counts: Counts | None) -> str:
    """What is wrong if a running worker does not report; empty if all do."""
    heard_uids = {heard.pod_uid for heard in facts.fresh}
    silent = [p for p in facts.live if p.phase == "Running" and p.uid not in heard_uids]
    if not silent:
        return ""
    last = [facts.last_heard(pod) for pod in silent]
    moments = [heard.at for heard in last if heard is not None]
    when = f"since {say.at(min(moments))}" if moments else "at all"
    return say.tell(
        f"Worker pod {say.quoted(p.name for p in silent)} runs but has not reported {when}, "
        "so nobody knows whether messages arrive.",
        waiting=say.waiting(counts),
        doing="It is asked again every few seconds.",
        action="See its log, and whether a NetworkPolicy keeps the operator from port 8081.",
        owner=facts.plan.owner if facts.plan else None,
    )


def _late(facts: FlowFacts, counts: Counts | None) -> str:
    """What is late; empty if nothing is."""
    within = facts.plan.slo.within if facts.plan else None
    if counts is None or within is None or counts.in_flight + counts.pending == 0:
        return ""
    oldest = instant(counts.oldest_at)
    if oldest is None or facts.now - oldest <= timedelta(seconds=duration_s(within)):
        return ""
    return say.tell(
        f"Messages wait longer than the promised {within}.",
        waiting=say.waiting(counts),
        doing=pausing(facts) or "They are delivered in order as fast as the target takes them.",
        action="Nothing, if the number falls; else look at the target's limits and errors.",
        owner=facts.plan.owner if facts.plan else None,
    )


def _healthy(counts: Counts | None) -> str:
    if counts is None:
        return "Everything works."
    review = ""
    if counts.review:
        verb = "waits" if counts.review == 1 else "wait"
        review = f" {say.messages(counts.review)} {verb} for a person, not overdue."
    delivered = say.at(counts.last_delivered_at)
    if delivered:
        return f"Messages arrive; the last was delivered at {delivered}.{review}"
    return f"Everything is in place; no message was delivered yet.{review}"


def kstatus(verdicts: list[Verdict]) -> list[Verdict]:
    """`Stalled` and `Reconciling`, only while true."""
    by_type = {verdict.type: verdict for verdict in verdicts}
    refused = by_type[ConditionType.ACCEPTED]
    if refused.status == "False":
        return [Verdict(ConditionType.STALLED, "True", refused.reason, refused.message)]
    applying = by_type[ConditionType.PROGRAMMED]
    if applying.status == "False" and applying.reason in {Reason.APPLYING, Reason.MOVING}:
        return [Verdict(ConditionType.RECONCILING, "True", applying.reason, applying.message)]
    return []
