"""What real desks do in trouble, seen from their side: how often they are asked, and what they are left with."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from intops_api.plan import FlowPlan
from support.peers.process import wait_until
from support.peers.relay import Relay
from support.peers.request_tracker import RequestTracker
from support.peers.roundup import Roundup
from support.ports import free_port
from support.runtime.flows import EXAMPLE, change, example_manifests, make_plan
from support.runtime.worker_process import WorkerProcess

pytestmark = [pytest.mark.component, pytest.mark.peers]

SOURCE_TOKEN = "a-token-for-tests"
ROUNDUP_EXAMPLE = EXAMPLE.parent / "02-alerts-to-roundup"
FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))
RESOLVED = json.loads((EXAMPLE / "samples" / "02-resolved.json").read_text(encoding="utf-8"))


class Running:
    """A worker, its plan, and a look into its store."""

    def __init__(self, worker: WorkerProcess, plan: FlowPlan, console: int) -> None:
        self.worker, self.plan = worker, plan
        self._console = f"http://127.0.0.1:{console}"

    def post(self, body: dict[str, Any], *fingerprints: str) -> None:
        """Deliver a captured webhook with one alert for each fingerprint."""
        alert = body["alerts"][0]
        sent = {**body, "alerts": [{**alert, "fingerprint": name} for name in fingerprints]}
        answer = httpx.post(
            self.worker.capture_url(self.plan),
            json=sent,
            headers={"Authorization": f"Bearer {SOURCE_TOKEN}"},
        )
        assert answer.status_code == 200

    def in_review(self) -> dict[str, Any]:
        """The only message that waits for a person, once it does."""
        wait_until(lambda: self.worker.report().store.review == 1, what="a message is in review")
        (message,) = httpx.get(f"{self._console}/messages", params={"state": "review"}).json()
        found: dict[str, Any] = message
        return found

    def held(self, count: int) -> None:
        """Wait until so many messages are held."""
        wait_until(lambda: self.worker.report().store.held == count, what=f"{count} are held")


@contextmanager
def running(plan: FlowPlan, secret: str, values: dict[str, str]) -> Iterator[Running]:
    """A worker process with a plan, the source's Secret and the target's."""
    secrets = {"alertmanager-token": {"token": SOURCE_TOKEN}, secret: values}
    console = free_port("127.0.0.1")
    with WorkerProcess(plan, secrets=secrets) as worker:
        worker.start(worker_flags=("--console-port", str(console)))
        worker.wait_ready()
        yield Running(worker, plan, console)


def tracker_plan(
    tracker: Roundup, *, endpoint: str = "", on_resolved: str = "resolve", rate: float = 5.0
) -> FlowPlan:
    """The second example, pointed at the tracker or at a relay before it."""
    manifests = example_manifests(ROUNDUP_EXAMPLE)
    at = {
        "endpoint": endpoint or tracker.tracker_url,
        "config": {"web": f"{tracker.tracker_url}/"},
        "limits": {"requestsPerSecond": rate, "concurrency": 2},
    }
    change(manifests, "Connector", "tracker", lambda spec: spec.update(at))
    change(
        manifests,
        "Flow",
        "alerts-to-helpdesk",
        lambda spec: spec["closure"].update(onResolved=on_resolved),
    )
    return make_plan(manifests)


def login(tracker: Roundup) -> dict[str, str]:
    """What the Secret of the tracker holds."""
    return {"username": tracker.user, "password": tracker.password}


@pytest.fixture(scope="module")
def desk() -> Iterator[RequestTracker]:
    """A real Request Tracker."""
    with RequestTracker() as started:
        yield started


@pytest.fixture
def tracker() -> Iterator[Roundup]:
    """A real Roundup without a limit; each test has its own."""
    with Roundup() as started:
        yield started


def desk_plan(endpoint: str) -> FlowPlan:
    """The first example against a desk."""
    manifests = example_manifests()
    change(manifests, "Connector", "helpdesk", lambda spec: spec.update(endpoint=endpoint))
    return make_plan(manifests)


def test_a_wrong_token_is_not_hammered_with(desk: RequestTracker) -> None:
    """S-30: Twenty alerts and a refused token are a handful of requests, then silence until the Secret changes."""
    with (
        Relay(desk.url) as relay,
        running(desk_plan(relay.url), "helpdesk-token", {"token": "wrong"}) as flow,
    ):
        flow.post(FIRING, *(f"wrong-{number}" for number in range(20)))
        flow.held(20)
        asked = len(relay.seen)
        # The first look at the desk and what was under way together.
        assert asked <= 1 + flow.plan.bindings_of("target")[0].concurrency
        assert set(relay.statuses()) == {401}
        threading.Event().wait(5.0)  # silence has to be listened to
        assert len(relay.seen) == asked

        flow.worker.write_secret("helpdesk-token", {"token": desk.token})
        report = flow.worker.wait_drained()

        assert (report.store.done, report.store.review) == (20, 0)


def test_a_ticket_whose_field_was_not_kept_is_linked_all_the_same(desk: RequestTracker) -> None:
    """Request Tracker answers 201 and drops what it does not know: a sentence says which, and the recovery
    of that outbreak still finds its ticket.
    """
    manifests = example_manifests()
    change(manifests, "Connector", "helpdesk", lambda spec: spec.update(endpoint=desk.url))

    def nonsense(spec: dict[str, Any]) -> None:
        rule = next(r for r in spec["fields"] if r["to"] == "CustomFields.Severity")
        rule["values"] = {**rule["values"], "warning": "no value of the list"}

    change(manifests, "Mapping", "incident-to-helpdesk", nonsense)
    before = len(desk.tickets())
    with running(make_plan(manifests), "helpdesk-token", {"token": desk.token}) as flow:
        flow.post(FIRING, "not-kept")
        message = flow.in_review()
        made = desk.tickets()[before:]

        assert len(made) == 1
        assert message["path"] == "CustomFields.Severity"
        assert (
            "did not keep CustomFields.Severity (wrote 'no value of the list'" in message["detail"]
        )
        assert message["record"] == f"#{made[0]['id']}"

        flow.post(RESOLVED, "not-kept")
        flow.worker.wait_drained()
        assert desk.ticket(made[0]["id"])["Status"] == "resolved"


def test_a_rate_limit_is_obeyed() -> None:
    """After a 429 nothing is sent before the limiter allows it, and nothing is lost or made twice."""
    with (
        # One call every two seconds after a burst of three, which a slow machine meets, too; Roundup cuts
        # fractions of a second off its Retry-After, so a faster limiter would say 0 and show nothing here.
        Roundup(calls=3, interval_s=6) as tracker,
        Relay(tracker.tracker_url) as relay,
        running(tracker_plan(tracker, endpoint=relay.url), "tracker-user", login(tracker)) as flow,
    ):
        flow.post(FIRING, *(f"limited-{number}" for number in range(2)))
        report = flow.worker.wait_drained(180.0)

        seen = relay.seen
        refused = [one for one in seen if one.status == 429]
        assert refused, "the limiter was never reached, so this shows nothing"
        assert {one.retry_after for one in refused} == {"2"}
        assert (report.store.done, report.store.review) == (2, 0)
        assert len(refused) <= len(seen) / 2
        for one in refused:
            # Two requests may be under way together; everything else waits as long as it was told to.
            early = [other for other in seen if one.at < other.at < one.at + 1.6]
            assert len(early) <= 1, (one, early)
        tracker.set_rate_limit(calls=0, interval_s=3600)  # for the test's own look
        issues = tracker.issues()
        assert len(issues) == len({issue["intops_key"] for issue in issues}) == 2


def test_a_login_that_roundup_refuses_in_plain_text_holds_the_connector(tracker: Roundup) -> None:
    """Its 401 is text and no JSON; the right password is used once the Secret has it."""
    with (
        Relay(tracker.tracker_url) as relay,
        running(
            tracker_plan(tracker, endpoint=relay.url),
            "tracker-user",
            {"username": tracker.user, "password": "wrong"},
        ) as flow,
    ):
        flow.post(FIRING, *(f"login-{number}" for number in range(6)))
        flow.held(6)
        target = next(c for c in flow.worker.report().connectors if c.role == "target")
        assert (target.state, target.error_class) == ("held", "authDenied")
        assert set(relay.statuses()) == {401}
        assert len(relay.seen) <= 3

        flow.worker.write_secret("tracker-user", login(tracker))
        flow.worker.wait_drained()
        assert len(tracker.issues()) == 6


def test_a_property_that_the_tracker_lacks_is_named(tracker: Roundup) -> None:
    """Roundup refuses the whole issue and says why; its words reach the person, and nothing is made."""
    known = json.dumps(tracker_plan(tracker).to_wire())
    plan = known.replace('"intops_note"', '"rack"')  # in the class and in the Mapping alike
    with running(FlowPlan.model_validate_json(plan), "tracker-user", login(tracker)) as flow:
        flow.post(FIRING, "rack")
        message = flow.in_review()

        assert message["errorClass"] == "validation"
        assert "Property rack not found in class issue" in message["detail"]
        assert tracker.issues() == []


def test_an_issue_whose_key_only_contains_ours_is_not_taken_for_ours(tracker: Roundup) -> None:
    """Roundup finds parts of a text unless it is asked for the whole."""
    with running(tracker_plan(tracker), "tracker-user", login(tracker)) as flow:
        flow.post(FIRING, "ours")
        flow.worker.wait_drained()
        ours = tracker.issues()[0]
        with tracker.client() as client:
            other = {"title": "of somebody else", "intops_key": f"{ours['intops_key']}-and-more"}
            client.post("/issue", json=other).raise_for_status()
            edition = client.get(f"/issue/{ours['id']}").headers["ETag"]
            given = {"intops_key": f"{ours['intops_key']}-gone"}
            client.put(
                f"/issue/{ours['id']}", json=given, headers={"If-Match": edition}
            ).raise_for_status()

    # A worker that has lost its store looks for what it may have made.
    with running(tracker_plan(tracker), "tracker-user", login(tracker)) as flow:
        flow.post(FIRING, "ours")
        flow.worker.wait_drained()

    keys = [issue["intops_key"] for issue in tracker.issues()]
    assert keys.count(ours["intops_key"]) == 1
    assert len(keys) == 3


def test_a_worker_that_lost_its_store_finds_the_issue_it_made(tracker: Roundup) -> None:
    """The exact search of the class finds it, so that no second one is made."""
    for _ in range(2):
        with running(tracker_plan(tracker), "tracker-user", login(tracker)) as flow:
            flow.post(FIRING, "again")
            flow.worker.wait_drained()

    assert len(tracker.issues()) == 1


def test_a_recovery_may_be_a_comment(tracker: Roundup) -> None:
    """The tracker demands the edition of the issue for a comment too."""
    plan = tracker_plan(tracker, on_resolved="comment")
    with running(plan, "tracker-user", login(tracker)) as flow:
        flow.post(FIRING, "comment")
        flow.post(RESOLVED, "comment")
        report = flow.worker.wait_drained()

    assert (report.store.done, report.store.review) == (2, 0)
    (issue,) = tracker.issues()
    assert issue["status"] == "unread"
    with tracker.client() as client:
        answer = client.get(f"/issue/{issue['id']}").json()
    assert "recovered at" in answer["data"]["attributes"]["intops_note"]
