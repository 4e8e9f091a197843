"""A real Prometheus with the shipped rules reads a real worker, and answers every panel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from intops_api.plan import FlowPlan
from intops_cli import measures
from intops_core.monitoring import ALERT_GROUPS, DASHBOARDS
from intops_core.monitoring.promql import named
from support.peers.process import wait_until
from support.peers.prometheus import Prometheus
from support.ports import free_port
from support.runtime.flows import EXAMPLE, change, example_manifests, make_plan
from support.runtime.worker_process import WorkerProcess

pytestmark = [pytest.mark.component, pytest.mark.peers]

RULES = Path(__file__).resolve().parents[2] / "helm" / "intops" / "monitoring" / "rules.yaml"
TOKEN = "a-token-for-tests"
FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))

NOT_HERE = frozenset(
    {"intops_enrichment_total", "intops_incomplete_messages", "intops_shadow_total",
     "intops_last_delivered_timestamp_seconds", "intops_poll_total", "intops_poll_recovered_total"}
)  # fmt: skip
"""Series of what this Flow has not: enrichers, a Mapping on trial, polls, anything delivered."""


@pytest.fixture(scope="module")
def plan() -> FlowPlan:
    """The first example with a desk that is away, and a promise that is soon broken."""
    manifests = example_manifests()
    away = f"http://127.0.0.1:{free_port('127.0.0.1')}"
    change(manifests, "Connector", "helpdesk", lambda spec: spec.update(endpoint=away))
    change(
        manifests, "Flow", "alerts-to-helpdesk",
        lambda spec: spec.update(slo={**spec.get("slo", {}), "within": "1s"}),
    )  # fmt: skip
    return make_plan(manifests)


@pytest.fixture(scope="module")
def worker(plan: FlowPlan) -> Iterator[WorkerProcess]:
    """A worker that holds one message which it cannot deliver."""
    secrets = {"alertmanager-token": {"token": TOKEN}, "helpdesk-token": {"token": "t"}}
    with WorkerProcess(plan, secrets=secrets) as running:
        running.start()
        running.wait_ready()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = httpx.post(running.capture_url(plan), json=FIRING, headers=headers)
        assert answer.status_code == httpx.codes.OK
        wait_until(lambda: running.report().store.in_flight, what="the message is in flight")
        yield running


@pytest.fixture(scope="module")
def prometheus(worker: WorkerProcess) -> Iterator[Prometheus]:
    """Reads that worker, with the rules of the chart."""
    scrape = {"intops-workers": [f"127.0.0.1:{worker.operations_port}"]}
    with Prometheus(None, scrape=scrape, rule_files=[RULES]) as running:
        rate = "rate(intops_messages_received_total[1m])"
        wait_until(lambda: running.query(rate), what="the worker was read twice")
        yield running


def chosen(expression: str, plan: FlowPlan) -> str:
    """What Grafana sends once the reader has chosen the Flow."""
    for name, value in {
        "$namespace": plan.flow.namespace, "$flow": plan.flow.name, "$__rate_interval": "1m",
    }.items():  # fmt: skip
        expression = expression.replace(name, value)
    return expression


def test_every_series_of_a_worker_that_is_named_comes_with_its_labels(
    prometheus: Prometheus, worker: WorkerProcess
) -> None:
    """The definitions, by which alerts and dashboards are checked, are what a scrape brings."""
    defined = {measure.name: set(measure.labels) for measure in measures.of_worker()}
    brought: dict[str, set[str]] = {}
    for found in prometheus.query('{__name__=~"intops_.+"}'):
        labels: dict[str, Any] = found["metric"]
        name = labels.pop("__name__")
        brought[name] = brought.get(name, set()) | (set(labels) - {"instance", "job"})

    assert {name: labels - defined.get(name, set()) for name, labels in brought.items()} == {
        name: set() for name in brought
    }
    # Prometheus keeps no empty label: a message that is done has no reason.
    missing = {name: defined[name] - labels for name, labels in brought.items()}
    assert {n: gone for n, gone in missing.items() if gone} == {
        "intops_messages_settled_total": {"reason"}
    }
    assert set(defined) - set(brought) <= NOT_HERE


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.uid)
def test_prometheus_answers_every_panel(board: Any, prometheus: Prometheus, plan: FlowPlan) -> None:
    """No panel is an error; those about workers have something to show."""
    known = {measure.name for measure in measures.of_worker()} - NOT_HERE
    empty = []
    for title, query in board.queries():
        found = prometheus.query(chosen(query.expression, plan))
        always = {name for name, _ in named(query.expression).selectors} <= known
        # What compares shows only what is wrong.
        if always and not found and " > 0" not in query.expression:
            empty.append(title)

    # Nothing was dropped here, and the first example's Mapping has one form only.
    assert set(empty) <= {"Why were messages dropped?", "Forms of payloads"}


def test_a_late_message_is_an_alert_of_the_worker_alone(
    prometheus: Prometheus, plan: FlowPlan
) -> None:
    """No operator runs here, and the alert about late messages is on its way all the same."""

    def pending() -> dict[str, dict[str, Any]]:
        return {alert["labels"]["alertname"]: alert for alert in prometheus.alerts()}

    wait_until(lambda: "IntopsMessagesLate" in pending(), what="the alert is pending")
    labels = pending()["IntopsMessagesLate"]["labels"]
    wait_until(lambda: "IntopsNoLeader" in pending(), what="that nobody leads is pending")

    assert (labels["namespace"], labels["flow"]) == (plan.flow.namespace, plan.flow.name)
    assert "has waited for" in pending()["IntopsMessagesLate"]["annotations"]["description"]
    quiet = {"IntopsMessagesUnaccounted", "IntopsStoreFilling", "IntopsReviewOverdue"}
    assert quiet & set(pending()) == set()


def test_prometheus_evaluates_every_rule(prometheus: Prometheus) -> None:
    """None of them is an error when it meets real series."""

    def evaluated() -> list[dict[str, Any]]:
        answer = httpx.get(f"{prometheus.url}/api/v1/rules", timeout=10.0).json()
        rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
        return rules if rules and all(r["health"] != "unknown" for r in rules) else []

    rules = wait_until(evaluated, what="every rule was evaluated")
    assert {rule["name"] for rule in rules} == {a.name for g in ALERT_GROUPS for a in g.alerts}
    assert [rule for rule in rules if rule["health"] != "ok"] == []
