"""The sixth example against the simulated PagerDuty with its manners, by a real worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from support.peers.process import wait_until
from support.runtime.bench import Bench, bench_with
from support.runtime.decisions import decision
from support.runtime.flows import change
from support.simulators.pagerduty_flow import EXAMPLE, alerts_to_pagerduty
from support.simulators.pagerduty_server import KEY, PagerDutySimulator
from support.simulators.pagerduty_store import Incident

pytestmark = pytest.mark.component

FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))
RESOLVED = json.loads((EXAMPLE / "samples" / "02-resolved.json").read_text(encoding="utf-8"))


@dataclass(slots=True)
class DutyBench(Bench):
    """A bench whose desk is the simulated PagerDuty."""

    duty: PagerDutySimulator

    def incident(self) -> Incident:
        """The only incident."""
        (incident,) = self.duty.incidents()
        return incident

    async def told(self) -> dict[str, Any]:
        """The newest message, with its attempts."""
        return (await asyncio.to_thread(self.messages))[-1]

    async def until(self, state: str) -> dict[str, Any]:
        """Wait until the newest message is in a state; that message."""

        def there() -> dict[str, Any] | None:
            rows = self.rows()
            return rows[-1] if rows and rows[-1]["state"] == state else None

        await asyncio.to_thread(wait_until, there, what=f"the message is {state}", timeout_s=40.0)
        return await self.told()

    def writes(self) -> list[str]:
        """Method and path of every request that could change something."""
        return [line for line in self.duty.requests if not line.startswith("GET")]


@pytest.fixture
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[DutyBench]:
    """Everything running; the parameter, if any, changes the manifests in place."""
    async with bench_of(edit=getattr(request, "param", lambda _: None)) as running:
        yield running


@asynccontextmanager
async def bench_of(**plan: Any) -> AsyncIterator[DutyBench]:
    """Everything running, with a plan of these settings."""
    duty = PagerDutySimulator()
    async with bench_with(
        duty.app(),
        lambda port: alerts_to_pagerduty(f"http://127.0.0.1:{port}", **plan),
        desk_secret={"token": KEY},
    ) as running:
        yield DutyBench(running.worker, running.plan, running.console, duty)


def alert(body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The webhook with its alert changed."""
    return {**body, "alerts": [{**body["alerts"][0], **fields}]}


def acknowledged(body: dict[str, Any]) -> dict[str, Any]:
    """The webhook as of a tool that tells when somebody has taken an alert."""
    return alert(body, status="taken")


def recovery_is_told(manifests: list[dict[str, Any]]) -> None:
    """A recovery writes a note."""
    change(
        manifests, "Flow", "alerts-to-pagerduty",
        lambda spec: spec["closure"].update(onResolved="comment"),
    )  # fmt: skip


def another_service(manifests: list[dict[str, Any]]) -> None:
    """Incidents are made on a service that is not there."""
    change(
        manifests, "Connector", "pagerduty", lambda spec: spec["config"].update(service="PNONE00")
    )


def another_sender(manifests: list[dict[str, Any]]) -> None:
    """Nobody in the account has the address in whose name intops writes."""
    change(
        manifests, "Connector", "pagerduty",
        lambda spec: spec["config"].update({"from": "nobody@example.com"}),
    )  # fmt: skip


def tells_who_has_taken_it(manifests: list[dict[str, Any]]) -> None:
    """The source has a word for an alert that somebody has taken."""

    def how(spec: dict[str, Any]) -> None:
        (rule,) = [rule for rule in spec["fields"] if rule["to"] == "state"]
        rule["values"]["taken"] = "acknowledged"
        spec.pop("examples")

    change(manifests, "Mapping", "alertmanager-to-event", how)


async def test_an_alert_becomes_one_incident_with_our_key(bench: DutyBench) -> None:
    """Made on the service of the Connector, with urgency and priority, and read back; a repeat makes none."""
    await bench.deliver(FIRING)
    await bench.deliver(FIRING)

    incident = bench.incident()
    message = (await asyncio.to_thread(bench.messages))[0]
    assert (message["state"], message["reason"]) == ("done", "created")
    assert incident.key == message["key"]
    assert (incident.service, incident.title) == ("PIJ90N7", "127.0.0.1:19199 down")
    assert (incident.urgency, incident.priority, incident.status) == ("low", "PSO75BQ", "triggered")
    assert "Since: " in (incident.details or "")
    assert bench.writes() == ["POST /incidents"]


async def test_a_recovery_resolves_and_says_how(bench: DutyBench) -> None:
    """The words of the resolution reach whoever was paged."""
    await bench.deliver(FIRING)
    await bench.deliver(RESOLVED)

    incident = bench.incident()
    assert incident.status == "resolved"
    assert incident.resolution == "The alert recovered by itself or was mended at its source."
    assert incident.history == ["resolved by intops"]


@pytest.mark.parametrize("bench", [recovery_is_told], indirect=True)
async def test_a_recovery_may_be_told_by_a_note(bench: DutyBench) -> None:
    """Where people want to resolve themselves."""
    await bench.deliver(FIRING)
    await bench.deliver(RESOLVED)

    incident = bench.incident()
    (note,) = incident.notes
    assert note.startswith("The alert recovered")
    assert incident.status == "triggered"


@pytest.mark.parametrize("bench", [tells_who_has_taken_it], indirect=True)
async def test_an_alert_that_somebody_has_taken_is_acknowledged(bench: DutyBench) -> None:
    """So that nobody is woken for what is in hands; a recovery still resolves it."""
    await bench.deliver(FIRING)
    await bench.deliver(acknowledged(FIRING))
    assert bench.incident().status == "acknowledged"

    await bench.deliver(RESOLVED)

    assert bench.incident().history == ["acknowledged by intops", "resolved by intops"]


async def test_what_a_person_has_acknowledged_is_resolved_and_nothing_else(
    bench: DutyBench,
) -> None:
    """Their title stays."""
    await bench.deliver(FIRING)
    bench.duty.person(bench.incident(), status="acknowledged", title="Ours")

    await bench.deliver(RESOLVED)

    incident = bench.incident()
    assert incident.history == ["acknowledged by Jane Doe", "resolved by intops"]
    assert incident.title == "Ours"


@pytest.mark.parametrize("strict", [False, True])
async def test_what_a_person_has_resolved_is_left_alone(bench: DutyBench, strict: bool) -> None:
    """Nothing is written, whatever PagerDuty would say of it."""
    await bench.deliver(FIRING)
    bench.duty.store.strict = strict
    bench.duty.person(bench.incident(), status="resolved", resolution="Restarted it.")
    writes = bench.writes()

    await bench.deliver(RESOLVED)

    message = await bench.told()
    assert (message["state"], message["reason"]) == ("done", "agreed")
    assert bench.incident().resolution == "Restarted it."
    assert bench.writes() == writes


@pytest.mark.parametrize("bench", [tells_who_has_taken_it], indirect=True)
async def test_a_late_acknowledgement_does_not_touch_what_is_resolved(bench: DutyBench) -> None:
    """There is no way back from resolved, and 200 would have changed nothing."""
    await bench.deliver(FIRING)
    bench.duty.person(bench.incident(), status="resolved")

    await bench.deliver(acknowledged(FIRING))

    assert (await bench.told())["state"] == "done"
    assert bench.incident().history == ["resolved by Jane Doe"]
    assert bench.writes() == ["POST /incidents"]


async def test_without_the_look_before_a_refused_change_is_looked_at_again() -> None:
    """The control: PagerDuty says 1001, and the reason is no fault but a person who was quicker."""

    def blind(spec: dict[str, Any]) -> None:
        for name in ("update", "transition"):
            spec["operations"][name].pop("unless")

    async with bench_of(edit_class=blind) as bench:
        await bench.deliver(FIRING)
        bench.duty.store.strict = True
        bench.duty.person(bench.incident(), status="resolved")

        await bench.deliver(RESOLVED)

        message = await bench.told()
        assert (message["state"], message["errorClass"]) == ("review", "conflict")
        assert "Incident Already Resolved" in message["detail"]


async def test_an_incident_whose_answer_is_lost_is_found_although_lists_lag(
    bench: DutyBench,
) -> None:
    """Looked up until the list has it; never made a second time."""
    bench.duty.lag_s = 1.0
    bench.duty.faults.change({"hang_after_next": 1, "scope": "creates"})

    await bench.deliver(FIRING)

    message = await bench.told()
    assert (message["state"], message["reason"]) == ("done", "found")
    assert bench.writes() == ["POST /incidents"]


async def test_where_the_list_lags_too_long_the_key_keeps_a_second_one_away() -> None:
    """The open incident refuses its twin, and is adopted as soon as the list shows it."""
    async with bench_of(settle="0s") as bench:
        bench.duty.lag_s = 2.0
        bench.duty.faults.change({"hang_after_next": 1, "scope": "creates"})

        await bench.deliver(FIRING)

        message = await bench.told()
        assert (message["state"], message["reason"]) in [("done", "adopted"), ("done", "found")]
        assert "duplicate" in [one.get("errorClass") for one in message["attempts"]]
        assert len(bench.duty.incidents()) == 1


async def test_a_key_is_unique_among_open_incidents_only() -> None:
    """Why an uncertain create is looked up: once the first is resolved, nothing refuses a twin."""
    async with bench_of(settle="0s") as bench:
        bench.duty.lag_s = 30.0
        bench.duty.faults.change({"hang_after_next": 1, "scope": "creates"})
        await bench.post(FIRING)
        await asyncio.to_thread(wait_until, bench.duty.incidents, what="the incident is made")
        bench.duty.person(bench.incident(), status="resolved")

        await asyncio.to_thread(bench.worker.wait_drained)

        assert len(bench.duty.incidents()) == 2


async def test_an_incident_with_our_key_on_another_service_is_not_ours(bench: DutyBench) -> None:
    """Two Flows of one source may have the same key; each has its service."""
    bench.duty.faults.change({"reset_before_next": -1, "scope": "creates"})
    await bench.post(FIRING)
    await asyncio.to_thread(
        wait_until, lambda: bench.duty.ledger.entries, what="the incident was asked for"
    )
    key = bench.duty.ledger.entries[0].body["incident"]["incident_key"]
    bench.duty.store.add("PF9KMXH", key, "Another team's", now=0.0)
    bench.duty.faults.clear()

    await asyncio.to_thread(bench.worker.wait_drained)

    assert [(i.service, i.key) for i in bench.duty.incidents()] == [
        ("PF9KMXH", key), ("PIJ90N7", key),
    ]  # fmt: skip


async def test_a_killed_worker_makes_no_second_incident(bench: DutyBench) -> None:
    """Killed while the answer to its create hangs; the next life finds the incident."""
    bench.duty.faults.change({"hang_after_next": 1, "scope": "creates"})
    await bench.post(FIRING)
    await asyncio.to_thread(wait_until, bench.duty.incidents, what="the incident is made")

    await bench.restart()
    await asyncio.to_thread(bench.worker.wait_drained)

    assert (await bench.told())["reason"] == "found"
    assert len(bench.duty.incidents()) == 1


async def test_a_wrong_key_holds_the_connector_until_it_is_changed(bench: DutyBench) -> None:
    """401: no message is lost, and the key is in no log."""
    bench.duty.token = "the-next-api-key"
    await bench.post(FIRING)
    await bench.until("held")
    (connector,) = [c for c in bench.worker.report().connectors if c.role == "target"]
    assert (connector.state, connector.error_class) == ("held", "authDenied")

    bench.worker.write_secret("helpdesk-token", {"token": "the-next-api-key"})
    await asyncio.to_thread(bench.worker.wait_drained)

    assert len(bench.duty.incidents()) == 1
    assert "the-next-api-key" not in bench.worker.log_file.read_text(encoding="utf-8")


@pytest.mark.parametrize("bench", [another_sender], indirect=True)
async def test_an_address_that_is_no_users_holds_the_connector_and_is_named(
    bench: DutyBench,
) -> None:
    """400, but every message would meet it: it is the credential that is wrong."""
    await bench.post(FIRING)

    await bench.until("held")

    (connector,) = [c for c in bench.worker.report().connectors if c.role == "target"]
    assert connector.error_class == "authDenied"
    assert bench.duty.incidents() == []


async def test_a_key_that_may_only_read_goes_to_a_person(bench: DutyBench) -> None:
    """403, in PagerDuty's own words."""
    bench.duty.read_only = True

    await bench.deliver(FIRING)

    message = await bench.told()
    assert (message["state"], message["errorClass"]) == ("review", "forbidden")
    assert "Access Denied" in message["detail"]


async def test_an_incident_that_is_gone_goes_to_a_person(bench: DutyBench) -> None:
    """404; no second one is made."""
    await bench.deliver(FIRING)
    bench.incident().hidden = True

    await bench.deliver(RESOLVED)

    message = await bench.told()
    assert (message["state"], message["errorClass"]) == ("review", "notFound")
    assert len(bench.duty.incidents()) == 1


@pytest.mark.parametrize("bench", [another_service], indirect=True)
async def test_a_service_that_is_not_there_is_told_in_pagerdutys_words(bench: DutyBench) -> None:
    """validation, with every sentence of the list of errors."""
    await bench.deliver(FIRING)

    message = await bench.told()
    assert (message["state"], message["errorClass"]) == ("review", "validation")
    assert "Invalid Input Provided: Service Not Found" in message["detail"]


@pytest.mark.parametrize("reset_s", [1, None])
async def test_a_limit_is_kept_as_long_as_it_says(bench: DutyBench, reset_s: int | None) -> None:
    """By ratelimit-reset, or without any header; it costs no try."""
    bench.duty.reset_s, bench.duty.left = reset_s, 0

    await bench.deliver(FIRING)

    message = await bench.told()
    assert (message["state"], message["tries"]) == ("done", 0)
    assert len(bench.duty.incidents()) == 1


async def test_a_page_of_a_proxy_stops_the_connector_until_it_is_gone(bench: DutyBench) -> None:
    """200 and HTML is no incident; what it was is looked up."""
    bench.duty.faults.change({"maintenance": True})
    await bench.post(FIRING)
    await bench.until("held")
    (connector,) = [c for c in bench.worker.report().connectors if c.role == "target"]
    assert connector.error_class == "destinationDown"

    bench.duty.faults.clear()
    await asyncio.to_thread(bench.worker.wait_drained)

    assert len(bench.duty.incidents()) == 1


async def test_an_incident_with_another_key_is_no_longer_ours(bench: DutyBench) -> None:
    """Somebody has merged or remade it: it is not touched."""
    await bench.deliver(FIRING)
    bench.incident().key = "somebody-elses"

    await bench.deliver(RESOLVED)

    message = await bench.told()
    assert (message["state"], message["errorClass"]) == ("review", "conflict")
    assert bench.incident().status == "triggered"


def a_severity_may_wait_for_a_person(manifests: list[dict[str, Any]]) -> None:
    """A severity that nobody has placed keeps no alert from its incident; a person decides it afterwards."""

    def how(spec: dict[str, Any]) -> None:
        (rule,) = [rule for rule in spec["fields"] if rule["to"] == "severity"]
        rule.update(onUnmapped="continue")
        spec.pop("examples")

    change(manifests, "Mapping", "alertmanager-to-event", how)


async def known_later(bench: DutyBench, severity: str) -> None:
    """An incident of a severity that nobody has placed, and then a person who says which it is."""
    labels = {**FIRING["alerts"][0]["labels"], "severity": "sev-0", "criticality": "1"}
    await bench.deliver(alert(FIRING, labels=labels))
    assert "Severity: unknown" in (bench.incident().details or "")
    patch = [{"path": "severity", "value": severity}]
    bench.worker.write_actions(bench.plan, decision("u1", "edit", patch=patch))
    await bench.until("done")


@pytest.mark.parametrize("bench", [a_severity_may_wait_for_a_person], indirect=True)
async def test_what_is_known_later_is_written_where_it_can_be_and_told_by_a_note(
    bench: DutyBench,
) -> None:
    """Urgency and priority change; the text of an incident cannot, so a note has what it would say now."""
    await known_later(bench, "critical")

    incident = bench.incident()
    assert (incident.urgency, incident.priority) == ("high", "PSO75BM")
    (note,) = incident.notes
    assert note.startswith("More is known now:\n")
    assert "Severity: critical" in note
    assert bench.writes()[1:] == [
        f"PUT /incidents/{incident.id}",
        f"POST /incidents/{incident.id}/notes",
    ]


@pytest.mark.parametrize("bench", [a_severity_may_wait_for_a_person], indirect=True)
async def test_where_only_the_text_would_change_there_is_only_a_note(bench: DutyBench) -> None:
    """A change that PagerDuty cannot make is not asked for."""
    await known_later(bench, "info")

    incident = bench.incident()
    assert bench.writes()[1:] == [f"POST /incidents/{incident.id}/notes"]
    assert (await bench.told())["reason"] == "commented"


@pytest.mark.parametrize("bench", [a_severity_may_wait_for_a_person], indirect=True)
async def test_a_change_that_is_tried_again_is_told_once(bench: DutyBench) -> None:
    """The note comes last, so that nothing before it can make it be said twice."""
    labels = {**FIRING["alerts"][0]["labels"], "severity": "sev-0", "criticality": "1"}
    await bench.deliver(alert(FIRING, labels=labels))
    bench.duty.faults.change({"reset_after_next": 1, "fail_next": 2, "scope": "writes"})
    patch = [{"path": "severity", "value": "critical"}]

    bench.worker.write_actions(bench.plan, decision("u1", "edit", patch=patch))
    await bench.until("done")

    assert bench.incident().urgency == "high"
    assert len(bench.incident().notes) == 1
