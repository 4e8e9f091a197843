"""What a scrape of a worker shows."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from intops_api.report import (
    ConnectorReport,
    EnrichmentReport,
    Finding,
    PlanReport,
    PollReport,
    RateReport,
    ReportFlow,
    ShadowReport,
    StoreReport,
)
from intops_runtime.metrics import METRICS, WorkerCollector

FLOW = {"namespace": "itsm", "flow": "alerts"}
REPORT = PlanReport(
    flow=ReportFlow(namespace="itsm", name="alerts"),
    store=StoreReport(
        received=10, done=4, dropped={"duplicate": 2, "repeat": 1}, waiting=1, held=1, sending=0,
        review=1, discarded=0, captured=9, split=8, pending=0, malformed=1,
        oldest_at="2026-11-25T12:00:00Z", fill=0.25, review_overdue=1,
    ),
    rates=RateReport(within_s=60.0),
    connectors=[
        ConnectorReport(name="helpdesk", connector="desk", role="target", state="open"),
        ConnectorReport(name="prometheus", connector="am", role="source"),
    ],
)  # fmt: skip


SHADOW = ShadowReport(binding="prometheus", mapping="new", same=5, differing=2, unmapped=1)


POLL = PollReport(source="prometheus", ok=7, failed=2, recovered=3)


def samples(*reports: PlanReport) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    registry = CollectorRegistry()
    registry.register(WorkerCollector(lambda: reports))
    text = generate_latest(registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(name: str, report: PlanReport = REPORT, **labels: str) -> float | None:
    return samples(report).get((name, tuple(sorted({**FLOW, **labels}.items()))))


def test_messages_are_counted_by_what_became_of_them() -> None:
    """Counters come from the store: what it says is what is shown."""
    assert value("intops_messages_received_total") == 10
    assert value("intops_messages_settled_total", state="done", reason="") == 4
    assert value("intops_messages_settled_total", state="dropped", reason="duplicate") == 2
    assert value("intops_messages", state="held") == 1
    assert value("intops_deliveries_total", state="malformed") == 1
    assert value("intops_store_fill_ratio") == 0.25


def test_a_promise_is_shown_beside_what_it_is_compared_with() -> None:
    """An alert about late messages needs no number of its own; without a promise there is none."""
    nothing = REPORT.model_copy(update={"rates": RateReport()})

    assert value("intops_delivery_target_seconds") == 60
    assert value("intops_delivery_target_seconds", nothing) is None
    assert value("intops_review_overdue_messages") == 1


def test_a_balance_that_is_not_zero_is_seen() -> None:
    """A message in no state is a defect, and an alert can be made of it."""
    assert value("intops_messages_imbalance") == 0
    lost = REPORT.model_copy(update={"store": REPORT.store.model_copy(update={"received": 11})})
    assert value("intops_messages_imbalance", lost) == 1


def test_what_never_happened_is_absent_and_not_zero() -> None:
    """An age that is computed from 1970 would alarm everybody."""
    assert value("intops_oldest_message_timestamp_seconds") == 1795608000.0
    assert value("intops_last_delivered_timestamp_seconds") is None


def test_a_closed_gate_and_a_refused_plan_are_one() -> None:
    """An alert needs no more than `> 0`."""
    refused = REPORT.model_copy(update={"error": "The plan is wrong."})

    def gate(binding: str, connector: str, state: str) -> float | None:
        labels = {"binding": binding, "connector": connector, "state": state}
        return value("intops_connector_gate_closed", REPORT, **labels)

    assert gate("helpdesk", "desk", "open") == 1
    assert gate("prometheus", "am", "ok") == 0
    assert (value("intops_plan_rejected"), value("intops_plan_rejected", refused)) == (0, 1)


def test_a_mapping_on_trial_is_counted_by_what_came_of_it() -> None:
    """Zeros too: a rate over a result that never happened is no rate."""
    tried = REPORT.model_copy(update={"shadows": [SHADOW]})

    def counted(result: str) -> float | None:
        return value("intops_shadow_total", tried, binding="prometheus", result=result)

    results = ("same", "differs", "drift", "unmapped", "error", "skipped")
    assert [counted(result) for result in results] == [5, 2, 0, 1, 0, 0]


def test_every_metric_that_is_documented_is_shown_and_no_other() -> None:
    """The reference page and the scrape are of one list."""
    full = REPORT.model_copy(
        update={
            "last_delivered_at": "2026-11-25T12:00:00Z",
            "variants": {"prometheus": {"v4": 3}},
            "shadows": [SHADOW],
            "enrichments": [EnrichmentReport(binding="ci", hit=3, error=1, incomplete=1)],
            "polls": [POLL],
        }
    )
    shown = {name for name, _ in samples(full)}

    assert shown == {m.name + ("_total" if m.kind == "counter" else "") for m in METRICS}


def test_a_worker_without_plans_shows_nothing() -> None:
    """An empty worker is no error."""
    assert samples() == {}


def test_what_came_only_by_asking_is_counted_and_is_no_change_of_payloads() -> None:
    """A lost webhook is a number of its own; it must not look like drift."""
    lost = Finding(kind="gap", reason="WebhooksLost", message="lost", severity="warning")
    report = REPORT.model_copy(update={"polls": [POLL], "findings": [lost]})

    assert value("intops_poll_total", report, source="prometheus", result="ok") == 7
    assert value("intops_poll_total", report, source="prometheus", result="failed") == 2
    assert value("intops_poll_recovered_total", report, source="prometheus") == 3
    assert value("intops_drift_findings", report, severity="warning") == 0
