"""The third example against a simulated ServiceNow instance with all its vices, by a real worker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from intops_core.catalog import shipped
from support.peers.process import wait_until
from support.runtime.bench import Bench, bench_with
from support.runtime.flows import EXAMPLE, REPOSITORY, change, example_manifests, make_plan
from support.simulators.snow_schema import GROUPS
from support.simulators.snow_server import Instance, SnowServer

pytestmark = pytest.mark.component

SERVICENOW = REPOSITORY / "examples" / "03-alerts-to-servicenow"
FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))
RESOLVED = json.loads((EXAMPLE / "samples" / "02-resolved.json").read_text(encoding="utf-8"))
USER = {"username": "intops", "password": "a-password-for-tests"}

Manifests = list[dict[str, Any]]


@dataclass(slots=True)
class SnowBench(Bench):
    """A bench whose desk is the instance."""

    snow: SnowServer


def quick(manifests: Manifests, *, timeout: str = "2s", settle: str = "1s") -> dict[str, Any]:
    """Let the example use the shipped class under another name, with times fit for a test; returns the class."""
    (own,) = [raw for raw in shipped() if raw["metadata"]["name"] == "servicenow"]
    own = json.loads(json.dumps(own))
    own["metadata"]["name"] = "test-snow"
    own["spec"]["mappings"] = {}
    own["spec"]["limits"] = {"requestsPerSecond": 1000, "concurrency": 4}
    for operation in own["spec"]["operations"].values():
        operation["timeout"] = timeout
    own["spec"]["operations"]["lookupByCorrelation"]["settle"] = settle
    for name, end in (("incident-to-servicenow", "to"), ("servicenow-to-incident", "from")):
        change(
            manifests,
            "Mapping",
            name,
            lambda spec, end=end: spec[end].update({"class": "test-snow"}),
        )  # type: ignore[misc]
    manifests.append(own)
    return own


@pytest.fixture
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[SnowBench]:
    """Everything running; the parameter, if any, changes manifests and the class before they are planned."""
    snow = SnowServer(Instance({USER["username"]: USER["password"]}))
    edit: Callable[[Manifests, dict[str, Any]], None] | None = getattr(request, "param", None)
    secret = dict(USER)

    def plan_for(port: int) -> Any:
        manifests = example_manifests(SERVICENOW)
        own = quick(manifests)
        there = {
            "class": "test-snow", "endpoint": f"http://127.0.0.1:{port}",
            "limits": {"requestsPerSecond": 1000, "concurrency": 4},
        }  # fmt: skip
        change(manifests, "Connector", "servicenow", lambda spec: spec.update(there))
        if edit is not None:
            edit(manifests, own)
        return make_plan(manifests)

    async with bench_with(
        snow.app(), plan_for, desk_secret=secret, secret_name="servicenow-user"
    ) as running:
        yield SnowBench(running.worker, running.plan, running.console, snow)


def alert(body: dict[str, Any], fingerprint: str = "f1", **labels: str) -> dict[str, Any]:
    """The captured webhook with one alert of this fingerprint; an alert of the far future, so that nobody
    else can have made its record."""
    first = body["alerts"][0]
    changed = {**first, "fingerprint": fingerprint, "labels": {**first["labels"], **labels}}
    return {**body, "alerts": [{**changed, "startsAt": "2090-01-01T00:00:00Z"}]}


async def told(bench: SnowBench) -> dict[str, Any]:
    """The newest message, with its attempts."""
    return (await asyncio.to_thread(bench.messages))[-1]


def only(bench: SnowBench) -> dict[str, str]:
    """The only incident there is."""
    (row,) = bench.snow.incidents
    return row


async def test_an_alert_becomes_an_incident_with_its_key_group_and_time(bench: SnowBench) -> None:
    """A create, and what the instance made of it is read back."""
    await bench.deliver(alert(FIRING, severity="critical", criticality="1"))

    row, message = only(bench), await told(bench)
    assert (message["state"], message["reason"]) == ("done", "created")
    assert row["correlation_id"] == message["key"]
    assert (row["state"], row["impact"], row["urgency"]) == ("1", "1", "1")
    assert row["priority"] == "1"  # computed there, never written
    assert row["assignment_group"] == GROUPS["Payments L2"]
    assert row["opened_at"] == "2090-01-01 00:00:00"
    assert row["sys_created_by"] == "intops"
    # The probe before any message, the write, the read-back.
    assert [line.split()[0] for line in bench.snow.requests] == ["GET", "POST", "GET"]


async def test_a_repeat_makes_no_second_incident(bench: SnowBench) -> None:
    """One outbreak is one incident."""
    await bench.deliver(alert(FIRING))
    await bench.deliver(alert(FIRING))

    assert len(bench.snow.incidents) == 1


async def test_a_recovery_resolves_with_a_code_and_notes(bench: SnowBench) -> None:
    """Without them the instance would refuse."""
    await bench.deliver(alert(FIRING))
    await bench.deliver(alert(RESOLVED))

    row = only(bench)
    assert (row["state"], row["close_code"]) == ("6", "No resolution provided")
    assert row["close_notes"]
    assert row["resolved_at"]


def remark(manifests: Manifests, _own: dict[str, Any]) -> None:
    """A recovery is only told."""
    change(
        manifests, "Flow", "alerts-to-servicenow",
        lambda spec: spec["closure"].update(onResolved="comment"),
    )  # fmt: skip


def remark_to_callers(manifests: Manifests, own: dict[str, Any]) -> None:
    """A recovery is told, to callers."""
    remark(manifests, own)
    change(
        manifests, "Connector", "servicenow", lambda spec: spec["config"].update(remarks="comments")
    )


@pytest.mark.parametrize(
    ("bench", "journal", "other"),
    [(remark, "work_notes", "comments"), (remark_to_callers, "comments", "work_notes")],
    indirect=["bench"],
)
async def test_a_remark_is_seen_only_by_those_who_may(
    bench: SnowBench, journal: str, other: str
) -> None:
    """work_notes unless the Connector says that callers may read it."""
    await bench.deliver(alert(FIRING))
    await bench.deliver(alert(RESOLVED))

    (note,) = bench.snow.notes(journal)
    assert note.startswith("The alert recovered")
    assert bench.snow.notes(other) == []
    assert only(bench)["state"] == "1"


async def test_a_refused_password_stops_the_traffic_and_a_new_one_resumes_it(
    bench: SnowBench,
) -> None:
    """401: nothing is lost, nothing is tried again until the Secret changes."""
    bench.worker.report()
    bench.worker.write_secret("servicenow-user", {**USER, "password": "wrong"})
    log = bench.worker.log_file
    await asyncio.to_thread(
        wait_until, lambda: "a secret changed" in log.read_text("utf-8"), what="the Secret is seen"
    )
    await bench.post(alert(FIRING))
    await asyncio.to_thread(
        wait_until, lambda: bench.worker.report().store.held == 1, what="the message is held"
    )
    (connector,) = [c for c in bench.worker.report().connectors if c.role == "target"]
    assert (connector.state, connector.error_class) == ("held", "authDenied")
    assert "User Not Authenticated" in (connector.detail or "")
    assert bench.snow.incidents == []

    bench.worker.write_secret("servicenow-user", USER)
    await asyncio.to_thread(bench.worker.wait_drained)
    assert len(bench.snow.incidents) == 1


async def test_a_user_without_the_right_is_told_in_the_instances_words(bench: SnowBench) -> None:
    """403 of an access rule: forbidden, for a person."""
    bench.snow.instance.denied = True
    await bench.deliver(alert(FIRING))

    message = await told(bench)
    assert (message["state"], message["errorClass"]) == ("review", "forbidden")
    assert "ACL Exception Insert Failed" in message["detail"]


async def test_a_policy_of_the_instance_is_no_question_of_rights(bench: SnowBench) -> None:
    """403 of a data policy: the record lacks a field, which is named."""
    bench.snow.instance.mandatory = ["caller_id"]
    await bench.deliver(alert(FIRING))

    message = await told(bench)
    assert (message["state"], message["errorClass"]) == ("review", "validation")
    assert "mandatory: caller_id" in message["detail"]


async def test_a_limit_is_kept_until_its_window_ends(bench: SnowBench) -> None:
    """429: as long as Retry-After says, then delivered; no try is used up."""
    bench.snow.instance.limit, bench.snow.instance.window_s = 2, 3.0
    began = time.monotonic()
    await bench.deliver(alert(FIRING, "f1"))
    await bench.deliver(alert(FIRING, "f2"))

    assert time.monotonic() - began >= 3.0
    assert len(bench.snow.incidents) == 2
    message = await told(bench)
    assert [a["errorClass"] for a in message["attempts"]] == ["rateLimited", None]
    assert message["tries"] == 0


async def test_an_answer_that_is_lost_makes_no_duplicate(bench: SnowBench) -> None:
    """The instance makes the incident and never says so; it is found by correlation_id."""
    bench.snow.faults.change({"hang_after_next": 1, "scope": "creates"})
    await bench.deliver(alert(FIRING))

    assert len(bench.snow.incidents) == 1
    assert (await told(bench))["reason"] == "found"
    assert bench.snow.ledger.summary()["duplicates"] == {}


async def test_a_lost_request_is_made_again_after_it_was_looked_for(bench: SnowBench) -> None:
    """The connection breaks before the instance has done anything."""
    bench.snow.faults.change({"reset_before_next": 1, "scope": "creates"})
    await bench.deliver(alert(FIRING))

    assert len(bench.snow.incidents) == 1
    assert any("sysparm_query=correlation_id" in line for line in bench.snow.requests)


@pytest.mark.parametrize("hidden", [["correlation_id"]])
async def test_a_query_that_is_left_out_finds_everything_and_adopts_nothing(
    bench: SnowBench, hidden: list[str]
) -> None:
    """The look-up sees records without our key: a person decides, and neither a twin nor a theft happens."""
    now = time.time()
    for number in range(3):
        fields = {"short_description": f"somebody else's {number}"}
        bench.snow.store.insert("incident", fields, user="agent", now=now)
    bench.snow.instance.hidden = hidden
    bench.snow.faults.change({"hang_after_next": 1, "scope": "creates"})
    await bench.deliver(alert(FIRING))

    message = await told(bench)
    assert (message["state"], message["errorClass"]) == ("review", "schemaDrift")
    assert "Let the user of intops read correlation_id" in message["detail"]
    assert len(bench.snow.incidents) == 4
    assert {row["sys_mod_count"] for row in bench.snow.incidents} == {"0"}


def with_own_field(manifests: Manifests, _own: dict[str, Any]) -> None:
    """The Mapping fills a field that this instance does not have."""
    rule = {"to": "u_site", "from": "environment", "meaning": "The site decides who drives there."}
    change(manifests, "Mapping", "incident-to-servicenow", lambda spec: spec["fields"].append(rule))


@pytest.mark.parametrize("bench", [with_own_field], indirect=True)
async def test_a_field_that_the_instance_ignores_is_found_by_reading_back(
    bench: SnowBench,
) -> None:
    """201, and the field is nowhere: a person is told its name, the incident stays linked."""
    await bench.deliver(alert(FIRING))

    message = await told(bench)
    assert (message["state"], message["reason"]) == ("review", "notKept")
    assert "u_site" in message["detail"]
    assert only(bench)["correlation_id"] == message["key"]


def with_wrong_group(manifests: Manifests, _own: dict[str, Any]) -> None:
    """The Mapping names a group as people do."""
    rule = {"to": "assignment_group", "from": "assignmentGroup", "meaning": "The team by its name."}

    def how(spec: dict[str, Any]) -> None:
        spec["fields"] = [r for r in spec["fields"] if r["to"] != "assignment_group"] + [rule]
        spec["examples"] = spec["examples"][:1]

    change(manifests, "Mapping", "incident-to-servicenow", how)


@pytest.mark.parametrize("bench", [with_wrong_group], indirect=True)
async def test_a_reference_that_leads_nowhere_is_found_by_reading_back(bench: SnowBench) -> None:
    """A name where a sys_id belongs is an empty reference there."""
    await bench.deliver(alert(FIRING))

    message = await told(bench)
    assert message["reason"] == "notKept"
    assert "assignment_group (wrote 'Payments-L2', reads '')" in message["detail"]


@pytest.mark.parametrize("how", ["maintenance", "asleep"])
async def test_a_page_for_people_is_no_answer(bench: SnowBench, how: str) -> None:
    """200 with HTML: the instance is down, the message waits and is delivered once."""
    if how == "asleep":
        bench.snow.instance.asleep = 1
    else:
        bench.snow.faults.change({"maintenance": True})
    await bench.post(alert(FIRING))
    await asyncio.to_thread(
        wait_until, lambda: bench.snow.requests, what="the instance was asked", timeout_s=20
    )
    await asyncio.to_thread(
        wait_until,
        lambda: any(c.error_class == "destinationDown" for c in bench.worker.report().connectors),
        what="it is told",
    )
    assert bench.snow.incidents == []

    bench.snow.faults.clear()
    await asyncio.to_thread(bench.worker.wait_drained, 90.0)
    assert len(bench.snow.incidents) == 1


async def test_what_a_person_changed_is_left_alone(bench: SnowBench) -> None:
    """A recovery writes state, code and notes; headline and group are the agent's by then."""
    await bench.deliver(alert(FIRING))
    bench.snow.edit(
        only(bench)["sys_id"],
        short_description="db01: controller is broken",
        assignment_group=GROUPS["Network"],
        work_notes="on my way",
    )
    await bench.deliver(alert(RESOLVED))

    row = only(bench)
    assert row["state"] == "6"
    assert row["short_description"] == "db01: controller is broken"
    assert row["assignment_group"] == GROUPS["Network"]


@pytest.mark.parametrize("state", ["6", "7", "8"])
async def test_what_a_person_ended_keeps_their_words(bench: SnowBench, state: str) -> None:
    """Resolved, closed or cancelled by hand before the alert recovered: code and notes stay as they wrote them."""
    await bench.deliver(alert(FIRING))
    theirs = {"close_code": "Solution provided", "close_notes": "Replaced the controller."}
    before = dict(bench.snow.edit(only(bench)["sys_id"], state=state, **theirs))
    await bench.deliver(alert(RESOLVED))

    assert only(bench) == before
    message = await told(bench)
    assert (message["state"], message["reason"]) == ("done", "agreed")


async def test_an_incident_that_lost_our_key_is_not_touched(bench: SnowBench) -> None:
    """Somebody has taken it for something else."""
    await bench.deliver(alert(FIRING))
    before = dict(bench.snow.edit(only(bench)["sys_id"], correlation_id="theirs"))
    await bench.deliver(alert(RESOLVED))

    assert only(bench) == before
    message = await told(bench)
    assert (message["state"], message["errorClass"]) == ("review", "conflict")


async def test_a_lost_answer_to_a_change_is_read_and_not_repeated(bench: SnowBench) -> None:
    """The incident is resolved, nobody says so: it reads as written."""
    await bench.deliver(alert(FIRING))
    bench.snow.faults.change({"hang_after_next": 1, "scope": "writes"})
    await bench.deliver(alert(RESOLVED))

    assert only(bench)["state"] == "6"
    assert only(bench)["sys_mod_count"] == "1"
    assert (await told(bench))["reason"] == "found"


async def test_an_incident_that_is_gone_is_for_a_person(bench: SnowBench) -> None:
    """404, which may also mean that the user may no longer see it: no twin is made."""
    await bench.deliver(alert(FIRING))
    bench.snow.store.tables["incident"].clear()
    await bench.deliver(alert(RESOLVED))

    message = await told(bench)
    assert (message["state"], message["errorClass"]) == ("review", "notFound")
    assert bench.snow.incidents == []


def with_tokens(_manifests: Manifests, own: dict[str, Any]) -> None:
    """The class as docs/systems/servicenow.md changes it for OAuth 2."""
    own["spec"]["credentials"] = [{"key": "clientId"}, {"key": "clientSecret"}]
    own["spec"]["auth"] = {
        "scheme": "oauth2",
        "oauth2": {
            "grant": "clientCredentials", "tokenPath": "/oauth_token.do", "clientAuth": "body",
            "clientIdKey": "clientId", "clientSecretKey": "clientSecret",
        },
    }  # fmt: skip


@pytest.mark.parametrize("bench", [with_tokens], indirect=True)
async def test_a_client_with_a_token_works_as_well(bench: SnowBench) -> None:
    """OAuth 2: one token for all requests, another one when the instance no longer takes it."""
    bench.snow.instance.clients = {"intops": "a-secret-for-tests"}
    bench.worker.write_secret(
        "servicenow-user", {"clientId": "intops", "clientSecret": "a-secret-for-tests"}
    )
    await bench.restart()
    await bench.deliver(alert(FIRING))
    await bench.deliver(alert(RESOLVED))

    assert only(bench)["state"] == "6"


async def test_the_search_for_our_key_is_one_exact_term(bench: SnowBench) -> None:
    """An alert that may be older than this store is looked for first."""
    await bench.deliver({**FIRING, "alerts": [FIRING["alerts"][0]]})

    first = next(line for line in bench.snow.requests if "sysparm_query" in line)
    asked = parse_qs(urlsplit(first.split()[1]).query)
    key = (await told(bench))["key"]
    assert asked["sysparm_query"] == [f"correlation_id={key}^ORDERBYsys_created_on"]
