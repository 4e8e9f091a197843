"""FlowReport from what the worker knows: counts, gates, Secrets. No payload, no key, no personal data.

Pure; the operations server calls it for /report, the command line for its live table.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from intops_api.actions import ActionReport
from intops_api.connector_class import Verify
from intops_api.plan import FlowPlan, PlanBinding
from intops_api.report import (
    ConnectorReport,
    EnrichmentReport,
    Finding,
    PlanReport,
    PollReport,
    RateReport,
    ReportFlow,
    SecretReport,
    ShadowReport,
    StoreReport,
)
from intops_runtime.core.gates import CREDENTIAL_PROBE_EVERY_S, PROBE_EVERY_S, Gate


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What is known of one plan at one moment."""

    plan: FlowPlan
    store: StoreReport
    gates: Mapping[str, Gate]
    secrets: Mapping[str, SecretReport]
    """By binding: two that share a Secret may need other keys of it."""
    rates: RateReport
    last_delivered_at: float | None
    error: str | None = None
    findings: Sequence[Finding] = ()
    variants: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    actions: Sequence[ActionReport] = ()
    shadows: Sequence[ShadowReport] = ()
    enrichments: Sequence[EnrichmentReport] = ()
    polls: Sequence[PollReport] = ()
    certificates: Mapping[str, float | None] = field(default_factory=dict)
    """When the certificates end that systems have shown, epoch seconds by binding."""


def rfc3339(epoch_s: float | None) -> str | None:
    """Epoch seconds as RFC 3339 in UTC, whole seconds.

    >>> rfc3339(0.0)
    '1970-01-01T00:00:00Z'
    """
    if epoch_s is None:
        return None
    return datetime.fromtimestamp(int(epoch_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def plan_report(facts: PlanFacts) -> PlanReport:
    """What the worker says about one plan."""
    return PlanReport(
        flow=ReportFlow(namespace=facts.plan.flow.namespace, name=facts.plan.flow.name),
        active=facts.plan.hash,
        error=facts.error,
        suspended=facts.plan.suspend,
        store=facts.store,
        rates=facts.rates,
        last_delivered_at=rfc3339(facts.last_delivered_at),
        connectors=list(_connectors(facts)),
        findings=list(facts.findings),
        variants={source: dict(counts) for source, counts in facts.variants.items() if counts},
        shadows=list(facts.shadows),
        enrichments=list(facts.enrichments),
        polls=list(facts.polls),
        actions=list(facts.actions),
    )


def _connectors(facts: PlanFacts) -> Iterable[ConnectorReport]:
    for binding in facts.plan.bindings:
        gate = facts.gates.get(binding.name, Gate())
        yield ConnectorReport(
            name=binding.name,
            connector=binding.connector,
            role=binding.role,
            state=gate.state,
            error_class=gate.error_class,
            detail=gate.detail,
            since=rfc3339(gate.since_wall),
            doing=_doing(gate, binding),
            secret=facts.secrets.get(binding.name),
            certificate_expires=rfc3339(facts.certificates.get(binding.name)),
        )


def _doing(gate: Gate, binding: PlanBinding) -> str | None:
    match gate.state:
        case "open" if binding.role == "source":
            return f"takes webhooks as before and asks the system again every {PROBE_EVERY_S:.0f} s"
        case "open":
            return f"keeps messages and asks the system again every {PROBE_EVERY_S:.0f} s"
        case "held" if gate.error_class == "policyDenied":
            places = f'Connector "{binding.connector}"'
            if binding.secret_name:
                places += f' or Secret "{binding.secret_name}"'
            return (
                f"sends nothing and goes on when {places} is mended; it looks again every "
                f"{CREDENTIAL_PROBE_EVERY_S / 60:.0f} min"
            )
        case "held":
            webhooks = "takes webhooks as before, " if binding.role == "source" else ""
            return webhooks + (
                f"sends nothing with this credential and tries it again when Secret "
                f'"{binding.secret_name}" changes, else every {CREDENTIAL_PROBE_EVERY_S / 60:.0f} min'
            )
        case "limited":
            return "pauses as long as the system asked"
        case "ok":
            return None


def wanted_keys(plan: FlowPlan, binding: PlanBinding) -> list[list[str]]:
    """Groups of keys of which one whole group must be in the Secret."""
    spec = plan.blobs.classes[binding.class_].spec
    if binding.role == "source" and spec.capture is not None:
        return [
            [key for key in (v.key, v.username_key, v.password_key) if key]
            for v in spec.capture.verify
        ]
    return [[key.key for key in spec.credentials if key.required]]


def senders_prove(plan: FlowPlan, binding: PlanBinding) -> list[Verify]:
    """How senders may prove themselves to this binding; none where nobody sends."""
    capture = plan.blobs.classes[binding.class_].spec.capture
    return capture.verify if binding.role == "source" and capture is not None else []
