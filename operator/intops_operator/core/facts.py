"""What is known about one Flow at one moment: the input of the judge.

The reconciler gathers it; `judging` decides from it and from nothing else.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from intops_api.conditions import Condition, Reason
from intops_api.flow import FlowSpec
from intops_api.plan import FlowPlan, PlanBinding
from intops_api.report import ConnectorReport, PlanReport
from intops_core.findings import Finding
from intops_operator.core.observed import ChildFact, PodFact


@dataclass(frozen=True, slots=True)
class Heard:
    """The latest report of one worker about this Flow."""

    pod_uid: str
    at: datetime
    plan: PlanReport | None
    """None if the worker answered but does not know the Flow."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that kept the children from being applied."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class FlowFacts:
    """Everything that the judge looks at."""

    namespace: str
    name: str
    generation: int
    now: datetime
    no_report_after_s: float
    spec: FlowSpec | None = None
    """None if it cannot be read."""
    findings: tuple[Finding, ...] = ()
    limits_reviews: bool = False
    """Whether its Pattern, as far as it could be read, says how far ahead a review may be (COM-07)."""
    plan: FlowPlan | None = None
    """The wanted plan; None if there is none."""
    running_hash: str | None = None
    """Hash of the plan that workers have, whether wanted or the last good one."""
    pods: tuple[PodFact, ...] = ()
    heard: tuple[Heard, ...] = ()
    deployment: ChildFact | None = None
    problems: tuple[Problem, ...] = ()
    pool: str | None = None
    """Pool whose worker runs it; None if it has a worker of its own."""
    move: Problem | None = None
    """Why it does not run yet where its spec says."""
    rollout: str = ""
    """What a roll-out of a new image has to say about this Flow, in sentences."""
    previous: Mapping[str, Condition] = field(default_factory=dict)
    """Conditions as they were written last, by type."""

    @property
    def live(self) -> list[PodFact]:
        """Pods that count as replicas, by name."""
        return sorted((p for p in self.pods if p.is_live), key=lambda p: p.name)

    def last_heard(self, pod: PodFact) -> Heard | None:
        """The latest report of a pod, however old."""
        return next((h for h in self.heard if h.pod_uid == pod.uid), None)

    @property
    def fresh(self) -> list[Heard]:
        """Reports of live pods that are recent enough to be believed."""
        oldest = self.now - timedelta(seconds=self.no_report_after_s)
        found = (self.last_heard(pod) for pod in self.live)
        return [h for h in found if h is not None and h.at >= oldest]

    @property
    def reports(self) -> list[PlanReport]:
        """What the fresh reports say about this Flow."""
        return [h.plan for h in self.fresh if h.plan is not None]

    def binding(self, name: str) -> PlanBinding | None:
        """The binding of the wanted plan with this name."""
        bindings = self.plan.bindings if self.plan is not None else []
        return next((b for b in bindings if b.name == name), None)

    def connectors(self) -> list[ConnectorReport]:
        """What the fresh reports say about systems, in a fixed order."""
        found = [c for report in self.reports for c in report.connectors]
        return sorted(found, key=lambda c: (c.role, c.name, c.connector))


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of all fresh reports together."""

    in_flight: int = 0
    review: int = 0
    overdue: int = 0
    received: int = 0
    done: int = 0
    dropped: int = 0
    discarded: int = 0
    pending: int = 0
    oldest_at: str | None = None
    review_oldest_due_at: str | None = None
    last_delivered_at: str | None = None
    delivered_per_hour: int = 0
    failed_per_hour: int = 0
    in_time: int = 0
    late: int = 0
    variants: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Messages by source binding and recognised form."""


def count(heard: Iterable[Heard]) -> Counts | None:
    """Add up reports; a shared store counts once, by its newest report. None without reports."""
    newest_first = sorted(
        (h for h in heard if h.plan is not None), key=lambda h: h.at, reverse=True
    )
    reports = [h.plan for h in newest_first if h.plan is not None]
    if not reports:
        return None
    shared = [r.store for r in reports if r.store.scope == "shared"][:1]
    stores = shared + [r.store for r in reports if r.store.scope == "worker"]
    return Counts(
        in_flight=sum(s.in_flight for s in stores),
        review=sum(s.review for s in stores),
        overdue=sum(s.review_overdue for s in stores),
        received=sum(s.received for s in stores),
        done=sum(s.done for s in stores),
        dropped=sum(sum(s.dropped.values()) for s in stores),
        discarded=sum(s.discarded for s in stores),
        pending=sum(s.pending for s in stores),
        oldest_at=_earliest(s.oldest_at for s in stores),
        review_oldest_due_at=_earliest(s.review_oldest_due_at for s in stores),
        last_delivered_at=_latest(r.last_delivered_at for r in reports),
        delivered_per_hour=sum(r.rates.delivered_per_hour for r in reports),
        failed_per_hour=sum(r.rates.failed_per_hour for r in reports),
        in_time=sum(r.rates.in_time for r in reports),
        late=sum(r.rates.late for r in reports),
        variants=_forms(r.variants for r in reports),
    )


def _forms(reports: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """Messages by source and form, of all workers together."""
    found: dict[str, Counter[str]] = {}
    for report in reports:
        for source, counts in report.items():
            found.setdefault(source, Counter()).update(counts)
    return {source: dict(sorted(counts.items())) for source, counts in sorted(found.items())}


def instant(text: str | None) -> datetime | None:
    """An RFC 3339 time; None if there is none or it is not one."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _earliest(texts: Iterable[str | None]) -> str | None:
    found = [(at, text) for text in texts if (at := instant(text)) is not None and text]
    return min(found)[1] if found else None


def _latest(texts: Iterable[str | None]) -> str | None:
    found = [(at, text) for text in texts if (at := instant(text)) is not None and text]
    return max(found)[1] if found else None
