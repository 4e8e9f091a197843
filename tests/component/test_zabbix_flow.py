"""Problems of Zabbix become tickets: the fifth example with a real worker, a simulated Zabbix and a simulated desk.

The simulator is written from the vendor's documentation, not from the class; what it does not imitate it says itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from intops_api.plan import FlowPlan
from intops_api.report import PlanReport
from support.peers.process import wait_until
from support.ports import free_port
from support.runtime.flows import change
from support.runtime.worker_process import WorkerProcess
from support.simulators.launcher import HelpdeskSimulator
from support.simulators.zabbix_flow import Edit, zabbix_to_helpdesk
from support.simulators.zabbix_server import TOKEN, Alert, ZabbixSimulator
from support.simulators.zabbix_store import ACKNOWLEDGE, MESSAGE, SEVERITY, Trigger

pytestmark = pytest.mark.component

SENT_TOKEN = "a-token-for-tests-of-the-media-type"
SECRETS = {"token": SENT_TOKEN, "apiToken": TOKEN}
TAGS = [{"tag": "class", "value": "os"}, {"tag": "service", "value": "payments"}]


@dataclass(slots=True)
class Line:
    """A Zabbix, a worker that takes its webhooks and asks it, and a desk."""

    zabbix: ZabbixSimulator
    worker: WorkerProcess
    desk: HelpdeskSimulator
    plan: FlowPlan
    console: int

    def trigger(self, **more: Any) -> Trigger:
        """A trigger of a host that has two names."""
        store = self.zabbix.store
        host = store.add_host("db-pay-01.example.com", "db-pay-01")
        given = {"tags": TAGS, "opdata": "not available (0)", **more}
        return store.add_trigger("Zabbix agent is not available", host, **given)

    async def send(self, *, times: int = 1) -> list[Alert]:
        """The webhooks arrive, and everything that follows from them happens."""
        url = self.worker.capture_url(self.plan, "zabbix")
        sent = await self.zabbix.send(url, SENT_TOKEN, times=times)
        await asyncio.to_thread(self.worker.wait_drained)
        return sent

    async def tickets(self) -> list[dict[str, Any]]:
        """The tickets of the desk, oldest first."""
        return await asyncio.to_thread(self.desk.tickets)

    async def statuses(self) -> list[str]:
        """Where the tickets stand."""
        return [ticket["Status"] for ticket in await self.tickets()]

    async def newest(self) -> dict[str, Any]:
        """The newest message with its reason."""

        def look() -> dict[str, Any]:
            with httpx.Client(base_url=f"http://127.0.0.1:{self.console}") as client:
                rows = client.get("/messages", params={"limit": "1000"}).json()
                last = max(rows, key=lambda row: int(row["id"]))
                found: dict[str, Any] = client.get(f"/messages/{last['id']}").json()
                return found

        return await asyncio.to_thread(look)

    async def until(self, what: str, holds: Callable[[PlanReport], bool]) -> PlanReport:
        """Wait for a report that says so."""

        def seen() -> PlanReport | None:
            report = self.worker.report()
            return report if holds(report) else None

        found: PlanReport = await asyncio.to_thread(wait_until, seen, what=what, timeout_s=40.0)
        return found

    async def dropped(self) -> dict[str, int]:
        """How many messages were dropped, by reason."""
        report = await asyncio.to_thread(self.worker.report)
        return report.store.dropped


@asynccontextmanager
async def line_of(edit: Edit = lambda _: None) -> AsyncIterator[Line]:
    """Everything running."""
    console = free_port("127.0.0.1")
    desk = HelpdeskSimulator()
    await asyncio.to_thread(desk.start)
    try:
        async with ZabbixSimulator() as zabbix:
            plan = zabbix_to_helpdesk(zabbix.url, desk.url, edit=edit)
            secrets = {"zabbix-tokens": SECRETS, "helpdesk-token": {"token": desk.token}}
            with WorkerProcess(plan, secrets=secrets) as worker:
                worker.start(worker_flags=("--console-port", str(console)))
                await asyncio.to_thread(worker.wait_ready)
                yield Line(zabbix, worker, desk, plan, console)
    finally:
        await asyncio.to_thread(desk.stop)


def is_not_asked(manifests: list[dict[str, Any]]) -> None:
    """Nobody has said which problems are ours."""
    change(manifests, "Connector", "zabbix", lambda spec: spec.pop("config"))


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    """Everything running; Zabbix is not asked, so that only its webhooks count."""
    async with line_of(is_not_asked) as running:
        yield running


@pytest.fixture
async def asking() -> AsyncIterator[Line]:
    """Everything running; Zabbix is asked every second for what was open for two."""
    async with line_of() as running:
        yield running


async def test_a_problem_becomes_a_ticket_and_its_recovery_resolves_it(line: Line) -> None:
    """One ticket, in words that people read: the visible name of the host, the service of the tag."""
    problem = line.zabbix.fire(line.trigger(severity=5))
    await line.send()

    (ticket,) = await line.tickets()
    assert ticket["Subject"] == "Zabbix agent is not available"
    assert (ticket["Status"], ticket["CustomFields"]["Severity"]) == ("new", "critical")
    assert ticket["CustomFields"]["Node"] == "db-pay-01"
    assert ticket["CustomFields"]["Service"] == "payments"

    line.zabbix.recover(problem)
    await line.send()
    assert await line.statuses() == ["resolved"]


async def test_each_step_of_an_escalation_is_a_copy(line: Line) -> None:
    """Zabbix tells a problem anew with every step, and a recovery to everybody who was told."""
    problem = line.zabbix.fire(line.trigger())
    await line.send(times=3)
    line.zabbix.tell(problem)
    line.zabbix.recover(problem)
    await line.send(times=2)

    assert await line.statuses() == ["resolved"]
    assert await line.dropped() == {"duplicate": 5}


async def test_an_acknowledgement_says_that_somebody_works_on_it(line: Line) -> None:
    """A remark alone and a changed severity leave the ticket as it is; so does the second acknowledgement."""
    problem = line.zabbix.fire(line.trigger())
    line.zabbix.update(problem, MESSAGE, message="I am on my way.")
    line.zabbix.update(problem, SEVERITY, severity=5)
    await line.send()
    assert await line.statuses() == ["new"]

    line.zabbix.update(problem, ACKNOWLEDGE | MESSAGE, message="I look at it.")
    await line.send()
    assert await line.statuses() == ["open"]

    line.zabbix.update(problem, MESSAGE, message="It was the cable.")
    await line.send()
    assert await line.statuses() == ["open"]
    assert await line.dropped() == {"repeat": 2, "stale": 1}


async def test_a_recovery_that_overtakes_its_problem_makes_no_ticket(line: Line) -> None:
    """Webhooks of one problem may run side by side; the late one is about what is over."""
    problem = line.zabbix.fire(line.trigger())
    line.zabbix.recover(problem)
    line.zabbix.queue.reverse()
    await line.send()

    assert await line.tickets() == []
    assert await line.dropped() == {"resolvedBeforeFiring": 1, "selfHealed": 1}


async def test_an_update_after_the_recovery_opens_nothing_again(line: Line) -> None:
    """The same problem is over; the next one of the trigger is another outbreak."""
    trigger = line.trigger()
    problem = line.zabbix.fire(trigger)
    line.zabbix.recover(problem)
    line.zabbix.update(problem, MESSAGE, message="It was the cable.")
    await line.send()
    assert await line.statuses() == ["resolved"]
    assert await line.dropped() == {"late": 1}

    line.zabbix.fire(trigger)
    await line.send()
    assert len(await line.tickets()) == 2


async def test_what_nobody_has_classified_is_unknown_and_not_guessed(line: Line) -> None:
    """Severity 0 is the least number, and says nothing about how bad it is."""
    line.zabbix.fire(line.trigger(severity=0))
    await line.send()

    (ticket,) = await line.tickets()
    assert ticket["CustomFields"]["Severity"] == "unknown"


async def test_a_severity_that_nobody_has_placed_is_for_a_person(line: Line) -> None:
    """No ticket with a wrong word in it; the sentence says which value it is."""
    line.zabbix.fire(line.trigger(severity=6))
    await line.send()

    message = await line.newest()
    assert (message["state"], message["errorClass"]) == ("review", "validation")
    assert '"6"' in message["detail"]
    assert await line.tickets() == []


async def test_macros_that_nobody_fills_in_are_no_names(line: Line) -> None:
    """The ticket names the host by what is known of it."""
    line.zabbix.unfilled = {"{HOST.NAME}", "{TRIGGER.URL}", "{EVENT.OPDATA}", "{EVENT.TIMESTAMP}"}
    line.zabbix.unknown = {"{HOST.HOST}"}
    line.zabbix.fire(line.trigger())
    await line.send()

    (ticket,) = await line.tickets()
    assert ticket["CustomFields"]["Node"] == "192.0.2.10"


async def test_a_problem_without_its_id_is_for_a_person_and_repeats_are_not_mixed_up(
    line: Line,
) -> None:
    """The button Test of the media type sends macros as they stand."""
    line.zabbix.unfilled = {"{EVENT.ID}"}
    line.zabbix.fire(line.trigger())
    await line.send()

    message = await line.newest()
    assert message["state"] == "review"
    assert "episodeKey" in message["detail"]
    assert await line.tickets() == []


async def test_a_webhook_with_another_token_is_refused(line: Line) -> None:
    """Zabbix gives it up after its attempts; the poll is what finds the problem then."""
    line.zabbix.fire(line.trigger())
    url = line.worker.capture_url(line.plan, "zabbix")
    (alert,) = await line.zabbix.send(url, "not-the-token")

    assert (alert.failed, alert.statuses) == (True, [401, 401, 401])


async def test_a_problem_whose_webhook_is_lost_makes_its_ticket_and_is_told(asking: Line) -> None:
    """The ticket is the one that the webhook would have made: it comes late and makes no second one."""
    problem = asking.zabbix.fire(asking.trigger(severity=4))
    lost, asking.zabbix.queue = asking.zabbix.queue, []

    report = await asking.until("the loss is counted", lambda r: r.polls[0].recovered == 1)
    (ticket,) = await asking.tickets()
    assert ticket["CustomFields"]["Node"] == "db-pay-01"
    assert ticket["CustomFields"]["Severity"] == "major"
    (told,) = report.findings
    assert (told.kind, told.reason, told.count) == ("gap", "WebhooksLost", 1)

    asking.zabbix.queue = lost
    asking.zabbix.recover(problem)
    await asking.send()
    assert await asking.statuses() == ["resolved"]
    assert (await asking.dropped())["duplicate"] == 1


async def test_only_what_an_action_would_tell_is_found(asking: Line) -> None:
    """Not what is quiet, below the least severity, of a disabled trigger, or a symptom of another problem."""
    quiet = asking.zabbix.fire(asking.trigger())
    quiet.suppressed = True
    asking.zabbix.fire(asking.trigger(severity=1))
    asking.zabbix.fire(asking.trigger(enabled=False))
    symptom = asking.zabbix.fire(asking.trigger())
    symptom.cause_eventid = quiet.eventid
    asking.zabbix.queue.clear()

    seen = (await asking.until("a listing", lambda r: bool(r.polls))).polls[0].ok
    await asking.until("listings enough", lambda r: r.polls[0].ok >= seen + 5)
    assert await asking.tickets() == []

    quiet.suppressed = False  # the maintenance is over
    await asking.until("it is found", lambda r: r.polls[0].recovered == 1)
    assert len(await asking.tickets()) == 1


async def test_what_the_webhook_brought_is_not_brought_again(asking: Line) -> None:
    """The API and the media type name a problem alike."""
    asking.zabbix.fire(asking.trigger())
    await asking.send()

    seen = asking.worker.report().polls[0].ok
    report = await asking.until("listings enough", lambda r: r.polls[0].ok >= seen + 5)
    assert report.store.dropped == {"duplicate": 1}  # asked once the patience was over
    assert (report.polls[0].recovered, report.findings) == (0, [])
    assert len(await asking.tickets()) == 1


async def test_a_long_list_is_read_to_its_end(asking: Line) -> None:
    """The API has no pages; the next question begins behind the last id."""
    trigger = asking.trigger()
    for _ in range(401):
        asking.zabbix.store.fire(trigger, 1795465419)

    await asking.until("all are found", lambda r: r.polls[0].recovered == 401)
    assert asking.zabbix.methods[:6] == ["problem.get", "trigger.get"] * 3


@pytest.mark.parametrize("state", ["expired", "session", "unknown"])
async def test_an_error_in_a_200_is_no_empty_list(asking: Line, state: Any) -> None:
    """A token that is refused is told as such, nothing is resolved, and a new one is used at once."""
    asking.zabbix.fire(asking.trigger())
    await asking.send()
    asking.zabbix.token_state = state

    def told(report: PlanReport) -> bool:
        return any(finding.reason == "PollFailing" for finding in report.findings)

    report = await asking.until("the trouble is told", told)
    (finding,) = report.findings
    assert "API token" in finding.message
    (source,) = [one for one in report.connectors if one.role == "source"]
    assert (source.state, source.error_class) == ("held", "authDenied")
    assert await asking.statuses() == ["new"]

    asking.zabbix.token, asking.zabbix.token_state = "the-next-token-for-tests", "ok"
    asking.worker.write_secret("zabbix-tokens", {**SECRETS, "apiToken": asking.zabbix.token})
    await asking.until("it is asked again", lambda r: r.findings == [])
    log = asking.worker.log_file.read_text(encoding="utf-8")
    assert TOKEN not in log
    assert asking.zabbix.token not in log


async def test_a_listing_that_fails_half_way_counts_as_failed(asking: Line) -> None:
    """The hosts of the problems cannot be asked for: nothing is guessed, nothing is made without its host."""
    asking.zabbix.api.role.refused_methods = {"trigger.get"}
    asking.zabbix.fire(asking.trigger())
    asking.zabbix.queue.clear()

    report = await asking.until("it is told", lambda r: r.polls[0].failed >= 3)
    assert any("Allow the method in the role" in finding.message for finding in report.findings)
    assert await asking.tickets() == []

    asking.zabbix.api.role.refused_methods = set()
    await asking.until("it is found", lambda r: r.polls[0].recovered == 1)


async def test_without_a_least_severity_nothing_is_asked_for(line: Line) -> None:
    """The control: what an action does not send is not ours, and nobody has said what it sends."""
    line.zabbix.fire(line.trigger())
    await line.send()

    assert line.worker.report().polls == []
    assert line.zabbix.methods == []
    assert len(await line.tickets()) == 1
