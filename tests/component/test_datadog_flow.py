"""Datadog's webhooks in the documented template, a real worker, and the simulated helpdesk."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from support.runtime.flows import REPOSITORY
from support.runtime.source_flows import SourceLine, line_from, plan_from
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.component

PAGE = (REPOSITORY / "docs" / "systems" / "datadog.md").read_text(encoding="utf-8")
TEMPLATE = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])


def sent(number: int, transition: str, cycle: str, **rest: str) -> dict[str, Any]:
    """One notification of a monitor."""
    values = {
        "$ID": str(number),
        "$AGGREG_KEY": "9bd4ac313a4d1e8fae2482df7b77628",
        "$ALERT_CYCLE_KEY": cycle,
        "$ALERT_TRANSITION": transition,
        "$ALERT_TYPE": "error",
        "$EVENT_TITLE": f"{transition} in cycle {cycle}",
        "$DATE": "1795465419000",
        "$TAGS": "env:prod,service:payments",
        **rest,
    }
    # Datadog leaves nothing of a variable that has no value.
    return {
        name: values.get(variable, "" if variable.startswith("$") else variable)
        for name, variable in TEMPLATE.items()
    }


@pytest.fixture
def line() -> Iterator[SourceLine]:
    """A worker that takes Datadog's webhooks."""
    with HelpdeskSimulator() as desk, line_from(plan_from("datadog", desk.url), desk) as running:
        yield running


def test_a_monitor_makes_one_ticket_from_warning_to_recovery_and_another_for_the_next_cycle(
    line: SourceLine,
) -> None:
    """A retry of Datadog is a copy; a renotification is no second ticket."""
    for body in (
        sent(1, "Warn", "A"),
        sent(2, "Triggered", "A"),
        sent(2, "Triggered", "A"),
        sent(3, "Renotify", "A"),
    ):
        assert line.post(body) == 200
    report = line.worker.wait_drained()
    assert line.tickets() == [("Warn in cycle A", "new")]
    assert report.store.dropped == {"duplicate": 1, "repeat": 2}

    assert line.post(sent(4, "Recovered", "A")) == 200
    assert line.post(sent(5, "No Data", "B")) == 200
    report = line.worker.wait_drained()
    assert line.tickets() == [("Warn in cycle A", "resolved"), ("No Data in cycle B", "new")]
    assert line.desk.tickets()[0]["CustomFields"]["Service"] == "payments"
    assert (report.store.review, report.store.imbalance) == (0, 0)


def test_a_webhook_without_the_token_is_refused(line: SourceLine) -> None:
    """The address alone is no proof."""
    assert line.post(sent(1, "Triggered", "A"), {"Authorization": "Bearer wrong"}) == 401
    assert line.tickets() == []
