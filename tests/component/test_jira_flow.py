"""Alerts become issues of Jira: the fourth example with a real worker against the simulated site.

The simulator is written from the vendor's documentation, not from the class; what it does not imitate it says itself.
"""

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
from support.simulators.jira_flow import EXAMPLE, Edit, alerts_to_jira
from support.simulators.jira_server import USER, JiraSimulator
from support.simulators.jira_store import Issue

pytestmark = pytest.mark.component

FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))
RESOLVED = json.loads((EXAMPLE / "samples" / "02-resolved.json").read_text(encoding="utf-8"))


@dataclass(slots=True)
class JiraBench(Bench):
    """A bench whose desk is the simulated Jira."""

    jira: JiraSimulator

    def issue(self) -> Issue:
        """The only issue."""
        (issue,) = self.jira.issues()
        return issue

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


@pytest.fixture
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[JiraBench]:
    """Everything running; the parameter, if any, changes the manifests in place."""
    async with bench_of(edit=getattr(request, "param", lambda _: None)) as running:
        yield running


@asynccontextmanager
async def bench_of(**plan: Any) -> AsyncIterator[JiraBench]:
    """Everything running, with a plan of these settings."""
    jira = JiraSimulator()
    async with bench_with(
        jira.app(),
        lambda port: alerts_to_jira(f"http://127.0.0.1:{port}", **plan),
        desk_secret=USER,
    ) as running:
        yield JiraBench(running.worker, running.plan, running.console, jira)


def alert(body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The webhook with its alert changed."""
    return {**body, "alerts": [{**body["alerts"][0], **fields}]}


def no_paths(manifests: list[dict[str, Any]]) -> None:
    """Nobody has named the states on the way."""
    change(manifests, "Connector", "jira", lambda spec: spec["config"].pop("paths"))


def begins_in(state: str) -> Edit:
    """A new incident has another state than a new issue."""

    def how(spec: dict[str, Any]) -> None:
        (rule,) = [rule for rule in spec["fields"] if rule["to"] == "status"]
        rule["values"]["new"] = state
        rule["lossy"] = True
        spec.pop("examples")

    return lambda manifests: change(manifests, "Mapping", "incident-to-jira", how)


def field_that_is_not_there(manifests: list[dict[str, Any]]) -> None:
    """The Mapping writes a field that is on no screen."""

    def how(spec: dict[str, Any]) -> None:
        spec["fields"].append(
            {
                "to": "customFields.customfield_10077",
                "from": "service",
                "meaning": "The desk counts incidents for each business service.",
            }
        )

    change(manifests, "Mapping", "incident-to-jira", how)


def recovery_is_told(manifests: list[dict[str, Any]]) -> None:
    """A recovery writes a comment."""
    change(
        manifests,
        "Flow",
        "alerts-to-jira",
        lambda spec: spec["closure"].update(onResolved="comment"),
    )


async def test_an_alert_becomes_one_issue_with_our_key_twice(bench: JiraBench) -> None:
    """As a label, by which it is searched, and as a property that people do not see."""
    await bench.deliver(FIRING)
    await bench.deliver(FIRING)

    issue = bench.issue()
    key = issue.properties["intops"]["key"]
    assert issue.fields["labels"] == [key, "intops"]
    assert issue.fields["summary"] == "127.0.0.1:19199 down"
    assert issue.fields["customfield_10050"] == {"value": "Warning"}
    assert issue.fields["description"]["type"] == "doc"
    assert (await asyncio.to_thread(bench.messages))[0]["state"] == "done"


async def test_a_recovery_goes_through_the_states_on_the_way(bench: JiraBench) -> None:
    """Two transitions with ids of their own, the resolution only on the screen that has it."""
    await bench.deliver(FIRING)
    await bench.deliver(RESOLVED)

    issue = bench.issue()
    assert issue.history == ["Open → Work in progress", "Work in progress → Resolved"]
    assert (issue.status, issue.resolution) == ("Resolved", "Done")
    message = await bench.told()
    assert message["state"] == "done"
    assert [a["outcome"] for a in message["attempts"]] == ["ok", "ok"]


async def test_where_a_person_has_gone_the_walk_begins(bench: JiraBench) -> None:
    """The state is read anew; what a person has done is not undone."""
    await bench.deliver(FIRING)
    jira, issue = bench.jira, bench.issue()
    jira.store.move(issue, {"transition": {"id": "11"}}, now=issue.updated)
    jira.store.move(issue, {"transition": {"id": "21"}}, now=issue.updated)
    jira.store.edit(issue, {"fields": {"summary": "Ours"}, "update": {}}, now=issue.updated)
    issue.history.clear()

    await bench.deliver(RESOLVED)

    assert issue.history == ["Pending → Work in progress", "Work in progress → Resolved"]
    assert issue.fields["summary"] == "Ours"


async def test_what_a_person_has_resolved_is_left_alone(bench: JiraBench) -> None:
    """Nothing is written where the record stands where it should."""
    await bench.deliver(FIRING)
    jira, issue = bench.jira, bench.issue()
    jira.store.move(issue, {"transition": {"id": "11"}}, now=issue.updated)
    fields = {"resolution": {"name": "Duplicate"}}
    jira.store.move(issue, {"transition": {"id": "31"}, "fields": fields}, now=issue.updated)
    writes = len(jira.ledger.entries)

    await bench.deliver(RESOLVED)

    assert (await bench.told())["state"] == "done"
    assert issue.resolution == "Duplicate"
    assert len(jira.ledger.entries) == writes


async def test_an_issue_that_is_no_longer_ours_is_not_touched(bench: JiraBench) -> None:
    """The property with our key is gone: somebody has made something else of it."""
    await bench.deliver(FIRING)
    bench.issue().properties.clear()

    await bench.deliver(RESOLVED)

    message = await bench.told()
    assert (message["state"], message["errorClass"]) == ("review", "conflict")
    assert "no longer carries our key" in message["detail"]
    assert bench.issue().history == []


async def test_an_issue_that_nobody_can_resolve_goes_to_a_person(bench: JiraBench) -> None:
    """The sentence says where it stands, what is on offer, and what to do."""
    await bench.deliver(FIRING)
    issue = bench.issue()
    fields = {"resolution": {"name": "Won't Do"}}
    bench.jira.store.move(issue, {"transition": {"id": "41"}, "fields": fields}, now=issue.updated)

    await bench.deliver(RESOLVED)

    message = await bench.told()
    assert (message["state"], message["errorClass"]) == ("review", "conflict")
    assert 'OPS-1 stands at "Canceled"' in message["detail"]
    assert 'leads to "Resolved"; on offer: nothing' in message["detail"]
    assert issue.status == "Canceled"


@pytest.mark.parametrize("bench", [no_paths], indirect=True)
async def test_without_named_states_nothing_is_guessed(bench: JiraBench) -> None:
    """The control of the walk: Open offers no way to Resolved, and none is taken at random."""
    await bench.deliver(FIRING)
    await bench.deliver(RESOLVED)

    message = await bench.told()
    assert message["state"] == "review"
    assert 'on offer: "Canceled", "Work in progress"' in message["detail"]
    assert bench.issue().history == []


@pytest.mark.parametrize("bench", [begins_in("Work in progress")], indirect=True)
async def test_a_state_that_create_cannot_set_is_reached_afterwards(bench: JiraBench) -> None:
    """Jira makes every issue in the first state of its workflow."""
    await bench.deliver(FIRING)

    assert bench.issue().status == "Work in progress"
    message = await bench.told()
    assert (message["state"], message["reason"]) == ("done", "created")
    assert bench.jira.ledger.summary()["duplicates"] == {}


@pytest.mark.parametrize("bench", [begins_in("Pending")], indirect=True)
async def test_a_new_issue_that_cannot_go_on_is_taken_up_by_a_retry(bench: JiraBench) -> None:
    """A person helps it over the gap; it is the same issue that goes on from there."""
    await bench.deliver(FIRING)
    message = await bench.told()
    assert (message["state"], message["errorClass"]) == ("review", "conflict")

    bench.jira.store.move(bench.issue(), {"transition": {"id": "11"}}, now=0.0)
    bench.worker.write_actions(bench.plan, decision("u1", "retry"))
    await bench.until("done")

    assert bench.issue().status == "Pending"


async def test_a_step_whose_answer_is_lost_is_not_taken_twice(bench: JiraBench) -> None:
    """The second try reads where the issue stands, and goes on from there."""
    await bench.deliver(FIRING)
    bench.jira.faults.change({"reset_after_next": 1})

    await bench.deliver(RESOLVED)

    assert bench.issue().history == ["Open → Work in progress", "Work in progress → Resolved"]
    assert (await bench.told())["state"] == "done"


async def test_an_issue_whose_answer_is_lost_is_found_although_search_lags(
    bench: JiraBench,
) -> None:
    """Looked up until the index has it; never made a second time."""
    bench.jira.lag_s = 2.0
    bench.jira.faults.change({"hang_after_next": 1, "scope": "creates"})

    await bench.deliver(FIRING)

    message = await bench.told()
    assert (message["state"], message["reason"]) == ("done", "found")
    assert len(bench.jira.issues()) == 1


async def test_without_the_wait_for_the_index_there_would_be_two() -> None:
    """The control: the class says how long its searches lag; one that denied it would make a second issue."""
    async with bench_of(settle="0s") as bench:
        bench.jira.lag_s = 30.0
        bench.jira.faults.change({"hang_after_next": 1, "scope": "creates"})

        await bench.deliver(FIRING)

        assert len(bench.jira.issues()) == 2


async def test_a_copy_that_a_person_made_is_not_taken_for_ours(bench: JiraBench) -> None:
    """Clone copies the label; the property it does not."""
    bench.jira.faults.change({"hang_after_next": 1, "scope": "creates"})
    bench.jira.lag_s = 3.0
    await bench.post(FIRING)
    await asyncio.to_thread(wait_until, bench.jira.issues, what="the issue is made")
    twin = bench.jira.store.clone(bench.issue(), now=0.0)

    await bench.deliver(RESOLVED)

    first, _ = bench.jira.issues()
    assert (first.status, twin.status) == ("Resolved", "Open")


async def test_a_wrong_token_holds_the_connector_and_no_message_is_lost(bench: JiraBench) -> None:
    """authDenied by 401, by a page to log in that comes with 200, and by a header beside 404."""
    await bench.deliver(FIRING)
    for login in ("401", "page", "anonymous"):
        token = f"the-next-token-{login}"
        bench.jira.login, bench.jira.password = login, token
        await bench.post(alert(FIRING, fingerprint=login))
        await bench.until("held")
        (connector,) = [c for c in bench.worker.report().connectors if c.role == "target"]
        assert (connector.state, connector.error_class) == ("held", "authDenied"), login
        bench.worker.write_secret("helpdesk-token", {**USER, "password": token})
        await asyncio.to_thread(bench.worker.wait_drained)
        assert token not in bench.worker.log_file.read_text(encoding="utf-8")
    assert len(bench.jira.issues()) == 4


async def test_what_the_user_may_not_see_goes_to_a_person(bench: JiraBench) -> None:
    """404 is what Jira says of it; no second issue is made."""
    await bench.deliver(FIRING)
    bench.issue().hidden = True

    await bench.deliver(RESOLVED)

    message = await bench.told()
    assert (message["state"], message["errorClass"]) == ("review", "notFound")
    assert "the user may not see" in message["detail"]
    assert len(bench.jira.issues()) == 1


async def test_what_the_user_may_not_do_goes_to_a_person(bench: JiraBench) -> None:
    """forbidden, with Jira's own words."""
    words = "You do not have permission to create issues in this project."
    bench.jira.faults.change({"fail_next": 1, "fail_status": 403, "fail_message": words})

    await bench.deliver(FIRING)

    message = await bench.told()
    assert (message["state"], message["errorClass"]) == ("review", "forbidden")
    assert words in message["detail"]


async def test_a_limit_is_kept_and_its_reason_told(bench: JiraBench) -> None:
    """rateLimited: as long as Retry-After says; it costs no try."""
    bench.jira.faults.change({"fail_next": 1, "fail_status": 429, "fail_retry_after_s": 1})

    await bench.deliver(FIRING)

    message = await bench.told()
    assert (message["state"], message["tries"]) == ("done", 0)
    refused, _ = message["attempts"]
    assert refused["errorClass"] == "rateLimited"
    assert "jira-burst-based" in json.dumps(refused)
    assert len(bench.jira.issues()) == 1


@pytest.mark.parametrize("bench", [field_that_is_not_there], indirect=True)
async def test_a_field_that_is_on_no_screen_is_named(bench: JiraBench) -> None:
    """validation: the path of the record, and Jira's own words."""
    await bench.deliver(FIRING)

    message = await bench.told()
    assert (message["state"], message["errorClass"]) == ("review", "validation")
    assert message["path"] == "customFields.customfield_10077"
    assert "It is not on the appropriate screen" in message["detail"]
    assert bench.jira.issues() == []


@pytest.mark.parametrize("bench", [recovery_is_told], indirect=True)
async def test_a_comment_is_not_shown_to_customers(bench: JiraBench) -> None:
    """A document of paragraphs, internal unless the Connector says otherwise."""
    await bench.deliver(FIRING)
    await bench.deliver(RESOLVED)

    (comment,) = bench.issue().comments
    assert comment["properties"] == {"sd.public.comment": {"internal": True}}
    assert "The alert recovered" in json.dumps(comment["body"])
    assert bench.issue().status == "Open"


async def test_a_killed_worker_makes_no_second_issue(bench: JiraBench) -> None:
    """Killed while the answer to its create hangs; the next life finds the issue."""
    bench.jira.faults.change({"hang_after_next": 1, "scope": "creates"})
    await bench.post(FIRING)
    await asyncio.to_thread(wait_until, bench.jira.issues, what="the issue is made")

    await bench.restart()
    await asyncio.to_thread(bench.worker.wait_drained)

    assert (await bench.told())["reason"] == "found"
    assert len(bench.jira.issues()) == 1
