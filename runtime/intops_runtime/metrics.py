"""Metrics of a worker: every name once, with what it counts. Computed from the stores when they are scraped.

docs/reference/metrics.md is generated from METRICS.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from intops_api.report import PlanReport


@dataclass(frozen=True, slots=True)
class MetricDoc:
    """One metric: its name, kind, labels and meaning."""

    name: str
    kind: Literal["counter", "gauge"]
    labels: tuple[str, ...]
    says: str


_FLOW: Final = ("namespace", "flow")

RECEIVED: Final = MetricDoc(
    "intops_messages_received", "counter", _FLOW, "Messages split from deliveries."
)
SETTLED: Final = MetricDoc(
    "intops_messages_settled",
    "counter",
    (*_FLOW, "state", "reason"),
    "Messages that ended: done, dropped (by reason) or discarded.",
)
IN_STATE: Final = MetricDoc(
    "intops_messages",
    "gauge",
    (*_FLOW, "state"),
    "Messages that have not ended, by state: waiting, held, sending, review.",
)
IMBALANCE: Final = MetricDoc(
    "intops_messages_imbalance",
    "gauge",
    _FLOW,
    "received - (done + dropped + in flight + review + discarded); anything but 0 is a defect.",
)
DELIVERIES: Final = MetricDoc(
    "intops_deliveries",
    "counter",
    (*_FLOW, "state"),
    "Deliveries captured, and how many of them were split, pending or malformed.",
)
OLDEST: Final = MetricDoc(
    "intops_oldest_message_timestamp_seconds",
    "gauge",
    _FLOW,
    "When the oldest message in flight arrived; absent where there is none.",
)
WITHIN: Final = MetricDoc(
    "intops_delivery_target_seconds",
    "gauge",
    _FLOW,
    "How old a message may be when it is delivered (spec.slo.within); absent where nothing is promised.",
)
OVERDUE: Final = MetricDoc(
    "intops_review_overdue_messages",
    "gauge",
    _FLOW,
    "Messages that wait for a person longer than agreed (spec.review.dueWithin).",
)
LAST_DELIVERED: Final = MetricDoc(
    "intops_last_delivered_timestamp_seconds", "gauge", _FLOW, "When a message was delivered last."
)
GATE: Final = MetricDoc(
    "intops_connector_gate_closed",
    "gauge",
    (*_FLOW, "binding", "connector", "state"),
    "1 while nothing is sent to a system: open circuit, held credential or limited.",
)
FILL: Final = MetricDoc(
    "intops_store_fill_ratio",
    "gauge",
    _FLOW,
    "Share of the volume's room for messages that is used; at 1 senders get 503. Absent with PostgreSQL.",
)
FENCED: Final = MetricDoc(
    "intops_store_late_writes_refused",
    "counter",
    _FLOW,
    "Writes of this worker that came after another replica had taken over; refused, nothing is lost.",
)
PLAN_ERROR: Final = MetricDoc(
    "intops_plan_rejected", "gauge", _FLOW, "1 while the newest plan was refused and an older runs."
)

VARIANTS: Final = MetricDoc(
    "intops_variant_messages",
    "counter",
    (*_FLOW, "source", "variant"),
    "Messages by the form of their payload that was recognised, since the worker started.",
)
DRIFT: Final = MetricDoc(
    "intops_drift_findings",
    "gauge",
    (*_FLOW, "severity"),
    "Changes of payloads seen in the last hour: critical, warning, info.",
)
SHADOW: Final = MetricDoc(
    "intops_shadow",
    "counter",
    (*_FLOW, "binding", "result"),
    "Messages on which a Mapping on trial was compared, since its plan was loaded: same, differs, drift, "
    "unmapped, error; or skipped for want of time.",
)
POLLS: Final = MetricDoc(
    "intops_poll",
    "counter",
    (*_FLOW, "source", "result"),
    "Times a source was asked what is active, since the worker started: ok or failed.",
)
RECOVERED: Final = MetricDoc(
    "intops_poll_recovered",
    "counter",
    (*_FLOW, "source"),
    "Messages that came only by asking, since the worker started; their webhooks were lost.",
)

ENRICHMENT: Final = MetricDoc(
    "intops_enrichment",
    "counter",
    (*_FLOW, "enricher", "result"),
    "Look-ups of enrichers since the worker started: hit, stale (an older answer stood in), missing (it knows "
    "nothing), error (no answer in time).",
)
INCOMPLETE: Final = MetricDoc(
    "intops_incomplete_messages",
    "gauge",
    (*_FLOW, "enricher"),
    "Messages that were delivered without what an enricher knows, and are completed when it answers.",
)

METRICS: Final = (
    RECEIVED, SETTLED, IN_STATE, IMBALANCE, DELIVERIES, OLDEST, WITHIN, OVERDUE, LAST_DELIVERED, GATE,
    FILL, FENCED, PLAN_ERROR, VARIANTS, DRIFT, SHADOW, ENRICHMENT, INCOMPLETE, POLLS, RECOVERED,
)  # fmt: skip


class WorkerCollector(Collector):
    """Turns plan reports into metrics at the moment of a scrape, so that nothing is counted twice."""

    def __init__(self, reports: Callable[[], Iterable[PlanReport]]) -> None:
        self._reports = reports

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        families = {
            doc.name: (CounterMetricFamily if doc.kind == "counter" else GaugeMetricFamily)(
                doc.name, doc.says, labels=list(doc.labels)
            )
            for doc in METRICS
        }

        def put(doc: MetricDoc, labels: list[str], value: float) -> None:
            families[doc.name].add_metric(labels, value)

        for report in self._reports():
            flow = [report.flow.namespace, report.flow.name]
            store = report.store
            put(RECEIVED, flow, store.received)
            put(SETTLED, [*flow, "done", ""], store.done)
            put(SETTLED, [*flow, "discarded", ""], store.discarded)
            for reason, count in store.dropped.items():
                put(SETTLED, [*flow, "dropped", reason], count)
            for state in ("waiting", "held", "sending", "review"):
                put(IN_STATE, [*flow, state], getattr(store, state))
            put(IMBALANCE, flow, store.imbalance)
            for state in ("captured", "split", "pending", "malformed"):
                put(DELIVERIES, [*flow, state], getattr(store, state))
            put(OVERDUE, flow, store.review_overdue)
            put(FENCED, flow, store.fenced)
            if store.fill is not None:
                put(FILL, flow, store.fill)
            if report.rates.within_s is not None:
                put(WITHIN, flow, report.rates.within_s)
            put(PLAN_ERROR, flow, 1.0 if report.error else 0.0)
            for doc, stamp in (
                (OLDEST, store.oldest_at),
                (LAST_DELIVERED, report.last_delivered_at),
            ):
                if stamp is not None:
                    put(doc, flow, _epoch(stamp))
            for source, counts in report.variants.items():
                for variant, count in counts.items():
                    put(VARIANTS, [*flow, source, variant], count)
            for severity in ("critical", "warning", "info"):
                drifts = [f for f in report.findings if f.kind != "gap" and f.severity == severity]
                put(DRIFT, [*flow, severity], len(drifts))
            for shadow in report.shadows:
                for result, count in (
                    ("same", shadow.same), ("differs", shadow.differing), ("drift", shadow.drift),
                    ("unmapped", shadow.unmapped), ("error", shadow.error),
                    ("skipped", shadow.skipped),
                ):  # fmt: skip
                    put(SHADOW, [*flow, shadow.binding, result], count)
            for asked in report.enrichments:
                put(INCOMPLETE, [*flow, asked.binding], asked.incomplete)
                for result in ("hit", "stale", "missing", "error"):
                    put(ENRICHMENT, [*flow, asked.binding, result], getattr(asked, result))
            for poll in report.polls:
                put(POLLS, [*flow, poll.source, "ok"], poll.ok)
                put(POLLS, [*flow, poll.source, "failed"], poll.failed)
                put(RECOVERED, [*flow, poll.source], poll.recovered)
            for connector in report.connectors:
                put(
                    GATE,
                    [*flow, connector.name, connector.connector, connector.state],
                    0.0 if connector.state == "ok" else 1.0,
                )
        return families.values()


def _epoch(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
