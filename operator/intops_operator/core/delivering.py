"""Conditions about systems and messages: credentials, targets, review.

Called by `judging`; everything here comes from the workers' reports.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from intops_api.common import Owner
from intops_api.conditions import ConditionType, Reason
from intops_api.names import SECRET_ALLOWED_ORIGINS
from intops_api.report import NOT_IN_RANGES, ConnectorReport, Finding
from intops_operator.core import sentences as say
from intops_operator.core.facts import Counts, FlowFacts, instant
from intops_operator.core.senders import senders_secrets
from intops_operator.core.verdict import Verdict

REFUSED: Final = {"authDenied", "authExpired", "forbidden"}
STOPPED: Final = {"held", "open", "halfOpen"}
EXPIRES_SOON: Final = timedelta(days=30)  # long enough to order a certificate by hand

WORDS: Final = {
    ConditionType.VOLUME_NORMAL: "Whether as many messages arrive as usual is not judged yet.",
    ConditionType.WITHIN_SLO: "Whether the promise in spec.slo is kept is not judged yet.",
    ConditionType.DELETES_ALLOWED: "Whether too much would be deleted is not judged yet.",
}


def not_available(kind: ConditionType) -> Verdict:
    """A condition whose engine is not there yet."""
    return Verdict(kind, "Unknown", Reason.NOT_AVAILABLE, WORDS[kind])


def _unknown(kind: ConditionType, facts: FlowFacts) -> Verdict:
    if facts.live and facts.heard:
        text = "The worker has not reported lately."
        return Verdict(kind, "Unknown", Reason.NO_REPORT, text)
    return Verdict(kind, "Unknown", Reason.PENDING, "Waits for the first report of the worker.")


def credentials_valid(facts: FlowFacts, counts: Counts | None) -> Verdict:
    """Whether every credential is present and accepted by its system."""
    kind = ConditionType.CREDENTIALS_VALID
    if not facts.reports:
        return _unknown(kind, facts)
    needed = [_as_needed(system) for system in facts.connectors() if system.role != "enricher"]
    return credentials_of(facts, needed, counts)


def _as_needed(system: ConnectorReport) -> ConnectorReport:
    """What messages need of a system: a source that refuses to be asked still sends, and its poll is told of."""
    return system.model_copy(update={"state": "ok"}) if system.role == "source" else system


def credentials_of(
    facts: FlowFacts, systems: Sequence[ConnectorReport], counts: Counts | None
) -> Verdict:
    """CredentialsValid, judged from these systems."""
    kind = ConditionType.CREDENTIALS_VALID
    for system in systems:
        found = _credential_trouble(system)
        if found is not None:
            reason, what, action = found
            message = _about(facts, system, what, action, counts)
            return Verdict(kind, "False", reason, message)
    for system in systems:
        expires = instant(system.certificate_expires)
        if expires is not None and expires - facts.now < EXPIRES_SOON:
            what = f'The certificate of connector "{system.connector}" ends at {say.at(expires)}.'
            message = _about(facts, system, what, "Renew it before then.", None)
            return Verdict(kind, "True", Reason.EXPIRING, message)
    kept = senders_secrets(systems)
    if kept is not None:
        message = _about(facts, kept.system, kept.what, kept.action, None)
        return Verdict(kind, "True", kept.reason, message)
    return Verdict(kind, "True", Reason.VALID, "Every credential is present and accepted.")


def _credential_trouble(system: ConnectorReport) -> tuple[Reason, str, str] | None:
    """Reason, what is the case, and what to do; None if the credential is fine."""
    secret, name = system.secret, system.connector
    if secret is not None and (not secret.present or secret.missing_keys):
        if not secret.present:
            what = f'Secret "{secret.secret}" of connector "{name}" does not exist'
        else:
            keys = say.quoted(secret.missing_keys)
            what = f'Secret "{secret.secret}" of connector "{name}" lacks the key {keys}'
        action = "Create it in this namespace; it is used within two minutes, without a restart."
        return Reason.SECRET_MISSING, f"{what}{say.since(secret.since)}.", action
    if system.state == "ok":
        return None
    where = f'Secret "{secret.secret}"' if secret else "its Secret"
    if system.error_class == "policyDenied":
        return (Reason.ORIGIN_NOT_ALLOWED, *_not_allowed(system, where))
    if system.error_class in REFUSED:
        what = (
            f'The system of connector "{name}" refused its credential{_detail(system)}'
            f"{say.since(system.since)}."
        )
        action = f"Put a valid credential into {where}; it is used without a restart."
        return Reason.AUTH_DENIED, what, action
    return None


def _not_allowed(system: ConnectorReport, where: str) -> tuple[str, str]:
    """What the worker's guard refuses, and what to write so that it does not."""
    name, why = system.connector, f"{_detail(system)}{say.since(system.since)}."
    if SECRET_ALLOWED_ORIGINS in (system.detail or ""):
        what = f'The Secret of connector "{name}" may not be sent to its endpoint{why}'
        action = (
            f'Correct spec.endpoint of Connector "{name}", or add its origin to the key '
            f"{SECRET_ALLOWED_ORIGINS} of {where}."
        )
        return what, action
    what = f'The address of connector "{name}" may not be called{why}'
    correct = f'Correct the address in spec.endpoint or spec.config of Connector "{name}"'
    if NOT_IN_RANGES not in (system.detail or ""):
        return what, f"{correct}."
    action = (
        f"{correct}, or name its range in worker.allowRanges of the chart; what is named there replaces "
        "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 and fc00::/7, so repeat those that are called."
    )
    return what, action


def target_reachable(facts: FlowFacts, counts: Counts | None) -> Verdict:
    """Whether every system that the Flow writes to answers."""
    kind = ConditionType.TARGET_REACHABLE
    if not facts.reports:
        return _unknown(kind, facts)
    written_to = [system for system in facts.connectors() if _is_written_to(facts, system)]
    return reachability_of(facts, written_to, counts)


def reachability_of(
    facts: FlowFacts, systems: Sequence[ConnectorReport], counts: Counts | None
) -> Verdict:
    """TargetReachable, judged from these systems."""
    kind = ConditionType.TARGET_REACHABLE
    for system in systems:
        if not _is_down(system):
            continue
        tls = (
            "tls" in (system.detail or "").lower() or "certificate" in (system.detail or "").lower()
        )
        if tls:
            what = (
                f'The system of connector "{system.connector}" cannot prove who it is'
                f"{_detail(system)}{say.since(system.since)}."
            )
            action = "Correct its certificate, or name its authority in spec.tls.caSecretName."
        else:
            what = (
                f'The system of connector "{system.connector}" does not answer'
                f"{_detail(system)}{say.since(system.since)}."
            )
            action = "Nothing in intops: bring the system back; delivery resumes by itself."
            if "does not accept a connection" in (system.detail or ""):
                action = (
                    "If the system is up, see whether a firewall or a NetworkPolicy keeps the worker "
                    "from it; delivery resumes by itself."
                )
        message = _about(facts, system, what, action, counts)
        reason = Reason.TLS_FAILED if tls else Reason.DESTINATION_DOWN
        return Verdict(kind, "False", reason, message)
    return Verdict(kind, "True", Reason.REACHABLE, "Every system that is written to answers.")


def is_in_trouble(system: ConnectorReport) -> bool:
    """Whether its credential or the system itself keeps requests from it."""
    return _credential_trouble(system) is not None or _is_down(system)


def pausing(facts: FlowFacts) -> str:
    """Which system asked for a pause, where one did; a limit is no outage, but it explains a backlog."""
    for system in facts.connectors():
        if system.state == "limited":
            return (
                f'The system of connector "{system.connector}" asks for a pause{_detail(system)}'
                f"{say.since(system.since)}; the worker {say.sentence(system.doing or 'waits')}"
            )
    return ""


def unenriched(facts: FlowFacts) -> str:
    """What is delivered without, where somebody who may know more does not answer; it keeps nothing waiting.

    Without counts, which change with every message.
    """
    for plan in facts.reports:
        for asked in plan.enrichments:
            if asked.since is not None:
                why = f" ({asked.detail})" if asked.detail else ""
                return (
                    f' Without what "{asked.binding}" knows, which does not answer{why}{say.since(asked.since)}; '
                    "it is added when it does."
                )
    return ""


def _is_written_to(facts: FlowFacts, system: ConnectorReport) -> bool:
    binding = facts.binding(system.name)
    return system.role == "target" or (binding is not None and binding.out is not None)


def _is_down(system: ConnectorReport) -> bool:
    if system.state not in STOPPED:
        return False
    return system.error_class not in REFUSED | {"policyDenied"}


def _detail(system: ConnectorReport) -> str:
    return f" ({system.detail})" if system.detail else ""


def _about(
    facts: FlowFacts, system: ConnectorReport, what: str, action: str, counts: Counts | None
) -> str:
    doing = f"The worker {say.sentence(system.doing)}" if system.doing else ""
    return say.tell(
        what, waiting=say.waiting(counts), doing=doing, action=action, owner=_owner(facts, system)
    )


def _owner(facts: FlowFacts, system: ConnectorReport) -> Owner | None:
    binding = facts.binding(system.name)
    if binding is not None and binding.owner is not None:
        return binding.owner
    return facts.plan.owner if facts.plan is not None else None


def review_clear(facts: FlowFacts, counts: Counts | None) -> Verdict:
    """Whether no message waits for a person longer than agreed."""
    kind = ConditionType.REVIEW_CLEAR
    if counts is None:
        return _unknown(kind, facts)
    if counts.overdue == 0:
        number = say.messages(counts.review)
        text = f"{number} in review, none overdue." if counts.review else "Nobody has to look."
        return Verdict(kind, "True", Reason.CLEAR, text)
    plan = facts.plan
    team = (plan.review.owner if plan else None) or (plan.owner.team if plan else "the owner")
    verb = "waits" if counts.overdue == 1 else "wait"
    what = (
        f"{say.messages(counts.overdue)} {verb} for a decision of a person longer than agreed; "
        f"the first was due at {say.at(counts.review_oldest_due_at) or 'an unknown time'}."
    )
    message = say.tell(
        what,
        doing="They are kept; nothing is dropped.",
        action=(
            f"{team} decides: kubectl intops review list --namespace {facts.namespace} "
            f"--flow {facts.name}."
        ),
        owner=plan.owner if plan else None,
    )
    return Verdict(kind, "False", Reason.REVIEW_OVERDUE, message)


def gaps(facts: FlowFacts) -> str:
    """What webhooks lose, or why nobody could notice; empty if neither. Without counts: it must not flicker."""
    found = {f.message: None for plan in facts.reports for f in plan.findings if f.kind == "gap"}
    return " ".join(found)


def schema_stable(facts: FlowFacts) -> Verdict:
    """Whether payloads look the way the Mappings expect. The text has no counts: it must not flicker."""
    kind = ConditionType.SCHEMA_STABLE
    if not facts.reports:
        return _unknown(kind, facts)
    found = _changes(facts)
    hurting = [finding for finding in found if finding.severity != "info"]
    if not hurting:
        text = "Payloads look the way the Mappings expect."
        if found:
            text += f" {found[0].message}"
        return Verdict(kind, "True", Reason.HEALTHY, text)
    return _drifted(facts, hurting)


def drift_of(facts: FlowFacts) -> dict[str, Verdict]:
    """SchemaStable of each Mapping whose payloads changed so that it hurts, by its name."""
    hurting: dict[str, list[Finding]] = {}
    for finding in _changes(facts):
        if finding.mapping is not None and finding.severity != "info":
            hurting.setdefault(finding.mapping, []).append(finding)
    return {mapping: _drifted(facts, found) for mapping, found in hurting.items()}


def _changes(facts: FlowFacts) -> list[Finding]:
    """What all workers say of changed payloads, each change once, in their order."""
    found = {
        f.message: f
        for plan in facts.reports
        for f in plan.findings
        if f.kind in ("drift", "proposal")
    }
    return list(found.values())


def _drifted(facts: FlowFacts, hurting: Sequence[Finding]) -> Verdict:
    first, more = hurting[0], len(hurting) - 1
    others = f"{more} more change{'' if more == 1 else 's'} of payloads." if more else ""
    message = say.tell(
        first.message, waiting=others, owner=facts.plan.owner if facts.plan else None
    )
    return Verdict(ConditionType.SCHEMA_STABLE, "False", Reason.DRIFT_DETECTED, message)
