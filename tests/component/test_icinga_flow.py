"""A real Icinga 2 with the shipped script and configuration, a real worker, and the simulated helpdesk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from intops_core.catalog import shipped
from intops_core.resources import Resource, parse_resource
from intops_runtime.core.exchanges import Facts, HttpResponse
from intops_runtime.core.requests import CompiledClass
from support.peers.icinga import HOST, SERVICE, Icinga
from support.peers.process import wait_until
from support.ports import free_port
from support.runtime.flows import asked
from support.runtime.source_flows import SOURCE_TOKEN, SourceLine, line_from, plan_from
from support.simulators.launcher import HelpdeskSimulator

pytestmark = [pytest.mark.component, pytest.mark.peers]

LOAD = "Load on Database 1"


@contextmanager
def running(*, notifies: bool) -> Iterator[tuple[Icinga, SourceLine]]:
    """An Icinga whose script reaches the worker, or nobody."""
    nowhere = f"http://127.0.0.1:{free_port('127.0.0.1')}/"
    icinga = Icinga(nowhere, token=SOURCE_TOKEN)
    try:
        with HelpdeskSimulator() as desk:
            plan = asked(
                plan_from(
                    "icinga2", desk.url, endpoint=icinga.url, config={"command": "intops"},
                    tls={"caSecretName": "source-ca"},
                )
            )  # fmt: skip
            asks = {"apiUser": icinga.user, "apiPassword": icinga.password}
            with line_from(plan, desk, ca=icinga.ca, **asks) as line:
                if notifies:
                    icinga.receiver_url = line.url
                icinga.start()
                yield icinga, line
    finally:
        icinga.close()


@pytest.fixture
def peers() -> Iterator[tuple[Icinga, SourceLine]]:
    """An Icinga whose notifications arrive."""
    with running(notifies=True) as found:
        yield found


def shows(line: SourceLine, *tickets: tuple[str, str]) -> None:
    """Wait until the desk shows these tickets."""
    wait_until(
        lambda: line.tickets() == list(tickets),
        what=f"{tickets}, and there is {line.tickets()}",
        timeout_s=30,
    )


def test_a_problem_makes_a_ticket_that_gets_worse_is_acknowledged_and_ends(
    peers: tuple[Icinga, SourceLine],
) -> None:
    """One outbreak from the first hard state to the recovery; the next one makes a ticket of its own."""
    icinga, line = peers
    icinga.check(0, "OK load 1")
    good_at = int(time.time())
    icinga.check(1, "WARNING load 5")
    shows(line, (f"{LOAD} is WARNING", "new"))

    icinga.check(2, "CRITICAL load 9")
    line.until("the worse state came", lambda r: r.store.dropped.get("repeat", 0) == 1)
    acknowledged = icinga.act(
        "acknowledge-problem", type="Service", service=f"{HOST}!{SERVICE}", author="jo",
        comment="on it", sticky=True, notify=True,
    )  # fmt: skip
    assert acknowledged.status_code == 200
    shows(line, (f"{LOAD} is WARNING", "open"))

    # The second of the last good check names an outbreak.
    wait_until(lambda: int(time.time()) > good_at, what="another second")
    icinga.check(0, "OK load 1")
    shows(line, (f"{LOAD} is WARNING", "resolved"))
    icinga.check(2, "CRITICAL load 9")
    shows(line, (f"{LOAD} is WARNING", "resolved"), (f"{LOAD} is CRITICAL", "new"))

    report = line.worker.wait_drained()
    assert (report.store.review, report.store.imbalance) == (0, 0)
    assert line.desk.tickets()[1]["CustomFields"]["Service"] == "payments"


def test_a_soft_state_and_a_downtime_open_no_ticket_and_a_host_does(
    peers: tuple[Icinga, SourceLine],
) -> None:
    """What Icinga keeps quiet about stays quiet, in its list too."""
    icinga, line = peers
    icinga.check(0, "UP", of_host=True)
    icinga.check(0, "OK load 1")
    subject: dict[str, Any] = {"type": "Service", "service": f"{HOST}!{SERVICE}"}
    icinga.act("process-check-result", exit_status=2, plugin_output="x", **subject)
    icinga.check(0, "OK load 1")
    icinga.act(
        "schedule-downtime", author="jo", comment="patching", start_time=time.time(),
        end_time=time.time() + 3600, fixed=True, **subject,
    ).raise_for_status()  # fmt: skip
    icinga.check(2, "CRITICAL load 9")

    icinga.check(1, "no answer", of_host=True)

    shows(line, ("Database 1 is DOWN", "new"))
    enough = line.worker.report().polls[0].ok + 4
    report = line.until("Icinga was asked again", lambda r: r.polls[0].ok >= enough)
    assert report.polls[0].recovered == 0
    assert line.tickets() == [("Database 1 is DOWN", "new")]
    icinga.check(0, "UP", of_host=True)
    shows(line, ("Database 1 is DOWN", "resolved"))


def test_a_notification_that_was_lost_makes_its_ticket_by_asking() -> None:
    """Icinga runs a notification once; host and service are both found, each once."""
    with running(notifies=False) as (icinga, line):
        icinga.check(0, "UP", of_host=True)
        icinga.check(0, "OK load 1")
        icinga.check(2, "CRITICAL load 9")
        report = line.until("the loss is counted", lambda r: r.polls[0].recovered == 1)
        assert line.tickets() == [(f"{LOAD} is CRITICAL", "new")]
        assert [finding.reason for finding in report.findings] == ["WebhooksLost"]

        icinga.check(1, "no answer", of_host=True)
        line.until("both are found", lambda r: r.polls[0].recovered == 2)
        assert sorted(line.tickets()) == [
            ("Database 1 is DOWN", "new"),
            (f"{LOAD} is CRITICAL", "new"),
        ]


def test_a_problem_is_acknowledged_there_by_the_operation_of_the_class(
    peers: tuple[Icinga, SourceLine],
) -> None:
    """A second time is no error; a service that is not there is told as such."""
    icinga, _ = peers
    icinga.check(0, "OK load 1")
    icinga.check(2, "CRITICAL load 9")

    def acknowledge(**record: str) -> tuple[bool, HttpResponse]:
        operation = compiled().operations["acknowledge"]
        facts = Facts({}, record, text="Ticket 4711")
        asks = operation.request(icinga.url, facts, headers={}, timeout_s=None)
        got = icinga.request(asks.method, "/v1/actions/acknowledge-problem", json=asks.body)
        response = HttpResponse(got.status_code, {}, got.json())
        return operation.succeeded(facts, asks, response), response

    assert acknowledge(host=HOST, service=SERVICE)[0]
    shown = icinga.request("GET", f"/v1/objects/services/{HOST}!{SERVICE}").json()
    assert shown["results"][0]["attrs"]["acknowledgement"] == 2  # sticky
    assert acknowledge(host=HOST, service=SERVICE)[0]
    done, response = acknowledge(host=HOST, service="none")
    assert (done, response.status) == (False, 404)


def compiled() -> CompiledClass:
    """The shipped class."""
    (raw,) = [one for one in shipped() if one["metadata"]["name"] == "icinga2"]
    parsed = parse_resource(raw)
    assert isinstance(parsed, Resource)
    return CompiledClass("icinga2", parsed.spec)  # type: ignore[arg-type]
