"""The status of a Flow as it is written: conditions, numbers, and who is at both ends.

Called by the reconciler after `judging`.
"""

from collections.abc import Mapping
from typing import Any, Final

from intops_api.flow import FlowSpec, FlowStatus, ShadowStatus
from intops_api.report import ShadowReport
from intops_operator.core.children.service import capture_url
from intops_operator.core.facts import Counts, FlowFacts
from intops_operator.core.judging import Judged

MAX_SHADOWS: Final = 16
"""The schema takes no more."""
NUMBERS = (
    "backlog", "oldestAt", "review", "slo", "lastDeliveredAt", "received", "done", "dropped",
    "discarded", "deliveredPerHour", "failedPerHour", "variants", "shadows",
)  # fmt: skip


def flow_status(facts: FlowFacts, judged: Judged, written: Mapping[str, Any]) -> dict[str, Any]:
    """The whole status, ready to be applied.

    Without a fresh report the numbers written last are kept: unknown is not zero.
    """
    spec = facts.spec
    wire = FlowStatus(
        observed_generation=facts.generation,
        conditions=judged.conditions,
        config_hash=facts.plan.hash if facts.plan else None,
        replicas=len(facts.fresh),
        desired_replicas=_desired(facts),
        source=_connectors(spec, "source"),
        target=_connectors(spec, "target"),
        capture_url=_capture_url(facts),
    ).to_wire()
    del wire["shadows"]  # an empty list says nothing
    if judged.counts is None:
        wire |= {key: written[key] for key in NUMBERS if key in written}
    else:
        wire |= numbers(judged.counts)
        if found := shadows(facts):
            wire["shadows"] = [shadow.to_wire() for shadow in found]
    return wire


def _desired(facts: FlowFacts) -> int | None:
    found = facts.deployment.deployed if facts.deployment is not None else None
    return found.replicas if found is not None else None


def numbers(counts: Counts) -> dict[str, Any]:
    """The numeric part of a status."""
    found: dict[str, Any] = {
        "backlog": counts.in_flight,
        "oldestAt": counts.oldest_at,
        "review": counts.review,
        "slo": _share(counts.in_time, counts.in_time + counts.late),
        "lastDeliveredAt": counts.last_delivered_at,
        "received": counts.received,
        "done": counts.done,
        "dropped": counts.dropped,
        "discarded": counts.discarded,
        "deliveredPerHour": counts.delivered_per_hour,
        "failedPerHour": counts.failed_per_hour,
        "variants": _shares(counts.variants) or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def shadows(facts: FlowFacts) -> list[ShadowStatus]:
    """Mappings on trial under the wanted plan, counts of all workers together; what fails or differs first."""
    wanted = facts.plan.hash if facts.plan else None
    found: dict[tuple[str, str], list[ShadowReport]] = {}
    for report in facts.reports:
        for shadow in report.shadows if report.active == wanted else ():
            found.setdefault((shadow.binding, shadow.mapping), []).append(shadow)
    summed = [
        ShadowStatus(
            binding=binding,
            mapping=mapping,
            compared=sum(one.compared for one in each),
            differing=sum(one.differing for one in each),
            failing=sum(one.failing for one in each),
            since=min((one.since for one in each if one.since), default=None),
            stopped=next((one.stopped for one in each if one.stopped), None),
        )
        for (binding, mapping), each in found.items()
    ]
    summed.sort(key=lambda s: (not s.failing, not s.differing, s.binding))
    return summed[:MAX_SHADOWS]


def _shares(forms: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, str]]:
    """How much of the traffic still has which form, by source."""
    return {
        source: {form: _share(n, sum(counts.values())) or "" for form, n in counts.items()}
        for source, counts in forms.items()
    }


def _share(good: int, total: int) -> str | None:
    """`99.97%`, rounded down so that 100% means all; None without a delivery."""
    if total == 0:
        return None
    hundredths = good * 10000 // total
    return f"{hundredths // 100}.{hundredths % 100:02d}%" if hundredths < 10000 else "100%"


def _connectors(spec: FlowSpec | None, role: str) -> str | None:
    bindings = spec.roles.get(role, []) if spec else []
    return ", ".join(dict.fromkeys(b.connector for b in bindings)) or None


def _capture_url(facts: FlowFacts) -> str | None:
    """Where senders deliver: the first binding whose class captures."""
    plan = facts.plan
    if plan is None:
        return None
    for binding in plan.bindings:
        blob = plan.blobs.classes.get(binding.class_)
        if binding.role == "source" and blob is not None and blob.spec.capture is not None:
            return capture_url(facts.namespace, facts.name, binding.name)
    return None
