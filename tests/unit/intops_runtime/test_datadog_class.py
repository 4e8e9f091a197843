"""The class datadog held against the payload template that its page documents, filled as Datadog fills it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from intops_runtime.core.compiled import CompiledPlan, compile_plan
from intops_runtime.core.messages import State
from support.runtime.flows import REPOSITORY
from support.runtime.source_flows import plan_from, taken

PAGE = (REPOSITORY / "docs" / "systems" / "datadog.md").read_text(encoding="utf-8")
TEMPLATE = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])
VALUES = {
    "$ID": "7001",
    "$AGGREG_KEY": "9bd4ac313a4d1e8fae2482df7b77628",
    "$ALERT_CYCLE_KEY": "5150",
    "$ALERT_TRANSITION": "Triggered",
    "$ALERT_TYPE": "error",
    "$ALERT_PRIORITY": "P2",
    "$ALERT_ID": "1234",
    "$ALERT_TITLE": "[Triggered on {host:pay01}] Payments are slow",
    "$EVENT_TITLE": "[P2] [Triggered on {host:pay01}] Payments are slow",
    "$ALERT_SCOPE": "availability-zone:us-east-1a,host:pay01",
    "$ALERT_METRIC": "payments.latency",
    "$ALERT_STATUS": "payments.latency over host:pay01 was > 2.0 on average during the last 5m",
    "$TEXT_ONLY_MSG": 'The p95 is above 2 s. "Nobody" can pay.\nSee the runbook.',
    "$HOSTNAME": "pay01",
    "$TAGS": "monitor, env:prod, service:payments, category:business",
    "$DATE": "1795465419000",
    "$LINK": "https://app.datadoghq.com/monitors/1234?to_ts=1795465419000",
    "$ORG_NAME": "Example",
}


@pytest.fixture(scope="module")
def plan() -> CompiledPlan:
    """A Flow whose source is Datadog."""
    return compile_plan(plan_from("datadog", "https://desk.example.com"))


def sent(**changes: str) -> dict[str, Any]:
    """The documented template with its variables filled."""
    values = {**VALUES, **{f"${name}": value for name, value in changes.items()}}
    return {name: values.get(variable, variable) for name, variable in TEMPLATE.items()}


def test_the_documented_template_fills_the_event(plan: CompiledPlan) -> None:
    """Each variable of it is one that the class reads."""
    (message,) = taken(plan, sent())

    assert message.state is State.WAITING, message.detail
    assert message.dedup == "7001"
    assert not [value for value in sent().values() if str(value).startswith("$")]
    assert (message.record or {}) | {"deliveryId": ""} == {
        "deliveryId": "",
        "identityKey": VALUES["$AGGREG_KEY"],
        "episodeKey": f"{VALUES['$AGGREG_KEY']}/5150",
        "state": "firing",
        "severity": "major",
        "category": "business",
        "title": VALUES["$EVENT_TITLE"],
        "description": VALUES["$TEXT_ONLY_MSG"],
        "source": {"tool": "datadog", "instance": "Example", "rule": "1234"},
        "resource": {
            "node": "pay01",
            "component": VALUES["$ALERT_SCOPE"],
            "metric": "payments.latency",
        },
        "service": "payments",
        "environment": "production",
        "startsAt": "2026-11-23T20:23:39Z",
        "links": {"source": VALUES["$LINK"]},
    }


@pytest.mark.parametrize(
    ("transition", "alert_type", "priority", "state", "severity"),
    [
        ("Triggered", "error", "P1", "firing", "critical"),
        ("Re-Triggered", "error", "P3", "firing", "minor"),
        ("Renotify", "error", "", "firing", "major"),
        ("Warn", "warning", "P1", "firing", "warning"),
        ("Re-Warn", "warning", "", "firing", "warning"),
        ("No Data", "error", "P1", "firing", "unknown"),
        ("Re-No Data", "error", "", "firing", "unknown"),
        ("Recovered", "success", "P1", "resolved", "clear"),
    ],
)
def test_each_transition_has_a_meaning(
    plan: CompiledPlan, transition: str, alert_type: str, priority: str, state: str, severity: str
) -> None:
    """The priority says how bad an alert is, and not how bad its warning is."""
    body = sent(ALERT_TRANSITION=transition, ALERT_TYPE=alert_type, ALERT_PRIORITY=priority)

    (message,) = taken(plan, body)

    record = message.record or {}
    assert (record["state"], record["severity"]) == (state, severity)


def test_an_outbreak_keeps_its_key_and_the_next_one_has_another(plan: CompiledPlan) -> None:
    """The aggregation key alone would be the same for ever."""
    fired, over, again = (
        taken(plan, sent(**changes))[0]
        for changes in (
            {},
            {"ID": "7002", "ALERT_TRANSITION": "Recovered"},
            {"ID": "7003", "ALERT_CYCLE_KEY": "5151"},
        )
    )

    assert fired.key == over.key != again.key
    assert len({fired.dedup, over.dedup, again.dedup}) == 3


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (sent(ALERT_TRANSITION="Null"), "review"),
        (sent(ALERT_CYCLE_KEY=""), "review"),
        ({"id": "7001", "title": "Datadog's own template", "date": 1795465419000}, "drift"),
    ],
    ids=["another transition", "no cycle", "another template"],
)
def test_what_cannot_be_placed_waits_for_a_person(
    plan: CompiledPlan, body: dict[str, Any], reason: str
) -> None:
    """Nothing is guessed."""
    (message,) = taken(plan, body)

    assert (message.state, message.reason) == (State.REVIEW, reason)
