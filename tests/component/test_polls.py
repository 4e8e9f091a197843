"""A source that is asked: a real Alertmanager, a real worker, and webhooks that never come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from intops_api.plan import FlowPlan
from intops_api.report import PlanReport
from support.peers.alertmanager import Alertmanager
from support.peers.process import wait_until
from support.ports import free_port
from support.runtime.flows import alerts_to_helpdesk, asked, change
from support.runtime.worker_process import WorkerProcess
from support.simulators.launcher import HelpdeskSimulator

pytestmark = [pytest.mark.component, pytest.mark.peers]

SOURCE_TOKEN = "a-token-for-tests"
LABELS = {"alertname": "TargetDown", "severity": "critical", "instance": "db01:9100"}


@dataclass(slots=True)
class Line:
    """An Alertmanager, a worker that asks it, and a desk."""

    source: Alertmanager
    worker: WorkerProcess
    desk: HelpdeskSimulator
    plan: FlowPlan

    def webhooks_arrive(self) -> None:
        """Alertmanager reaches the worker from now on."""
        self.source.send_to(self.worker.capture_url(self.plan), bearer_token=SOURCE_TOKEN)

    def until(self, what: str, holds: Any) -> PlanReport:
        """Wait for a report that says so."""

        def seen() -> PlanReport | None:
            report = self.worker.report()
            return report if holds(report) else None

        found: PlanReport = wait_until(seen, what=what, timeout_s=30.0)
        return found

    def listings(self, more: int) -> PlanReport:
        """Wait for so many further whole listings."""
        enough = self.worker.report().polls[0].ok + more
        return self.until(f"{more} more listings", lambda r: r.polls[0].ok >= enough)


@pytest.fixture
def line() -> Iterator[Line]:
    """A line whose webhooks go nowhere until the test says so."""
    nowhere = f"http://127.0.0.1:{free_port('127.0.0.1')}/"
    with Alertmanager(nowhere, group_interval="1s") as source, HelpdeskSimulator() as desk:

        def edit(manifests: list[dict[str, Any]]) -> None:
            change(
                manifests, "Connector", "alertmanager",
                lambda spec: spec.update(endpoint=source.url, config={"receiver": "intops"}),
            )  # fmt: skip

        plan = asked(alerts_to_helpdesk(desk.url, edit=edit))
        secrets = {
            "alertmanager-token": {"token": SOURCE_TOKEN},
            "helpdesk-token": {"token": desk.token},
        }
        with WorkerProcess(plan, secrets=secrets) as worker:
            worker.start()
            worker.wait_ready()
            yield Line(source, worker, desk, plan)


def test_f43_an_alert_whose_webhook_never_comes_makes_its_ticket_and_is_told(line: Line) -> None:
    """The ticket is the one that the webhook would have made: it comes later and makes no second one."""
    line.source.fire(LABELS, annotations={"summary": "db01 is down"})

    report = line.until("the alert is delivered", lambda r: r.store.done == 1)
    assert [ticket["Subject"] for ticket in line.desk.tickets()] == ["db01 is down"]
    report = line.until("the loss is counted", lambda r: r.polls[0].recovered == 1)
    (lost,) = report.findings
    assert (lost.kind, lost.reason, lost.count) == ("gap", "WebhooksLost", 1)
    assert "prometheus" in lost.message

    line.webhooks_arrive()
    report = line.until("the webhook came", lambda r: r.store.dropped.get("duplicate", 0) >= 1)
    assert len(line.desk.tickets()) == 1
    line.source.resolve(LABELS)
    line.until("the recovery is delivered", lambda r: r.store.done == 2)
    assert [ticket["Status"] for ticket in line.desk.tickets()] == ["resolved"]


def test_what_the_webhook_brought_is_not_brought_again_and_nobody_is_blamed(line: Line) -> None:
    """The answer of the list and the webhook name an outbreak alike."""
    line.webhooks_arrive()
    line.source.fire(LABELS, annotations={"summary": "db01 is down"})
    line.until("the webhook is delivered", lambda r: r.store.done == 1)

    report = line.listings(4)

    assert report.store.dropped == {"duplicate": 1}  # asked once the patience was over
    assert report.polls[0].recovered == 0
    assert report.findings == []
    assert len(line.desk.tickets()) == 1


def test_a_source_that_cannot_be_asked_is_told_and_nothing_is_closed(line: Line) -> None:
    """Its webhooks are taken as before, and what is open stays open."""
    line.source.fire(LABELS, annotations={"summary": "db01 is down"})
    line.until("the alert is delivered", lambda r: r.store.done == 1)
    line.source.stop()

    report = line.until(
        "the outage is told",
        lambda r: any(finding.reason == "PollFailing" for finding in r.findings),
    )
    told = next(finding for finding in report.findings if finding.reason == "PollFailing")
    assert "Webhooks are taken as before" in told.message
    assert report.polls[0].failed >= 1
    assert [ticket["Status"] for ticket in line.desk.tickets()] == ["new"]
