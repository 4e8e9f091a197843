"""Decisions that come with the plan: applied once by a real worker, answered in its report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from intops_api.plan import FlowPlan
from support.peers.postgresql import PostgreSQL
from support.peers.process import wait_until
from support.runtime.decisions import decision
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk
from support.runtime.replica_set import SECRET, shared
from support.runtime.worker_process import WorkerProcess
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.component


@pytest.fixture
def desk() -> Iterator[HelpdeskSimulator]:
    """The simulated helpdesk."""
    desk = HelpdeskSimulator(token="desk-token-1")
    desk.start()
    yield desk
    desk.stop()
    shutil.rmtree(desk.workdir, ignore_errors=True)


def secrets_of(plan: FlowPlan) -> dict[str, dict[str, str]]:
    """A token for every Secret of a plan."""
    found = {}
    for binding in plan.bindings:
        token = "desk-token-1" if binding.role == "target" else "source-token-1"
        found[binding.secret_name or ""] = {"token": token, "bearer": token}
    return found


def post(worker: WorkerProcess, plan: FlowPlan, name: str, severity: str) -> None:
    """Deliver one firing alert."""
    body = json.loads((EXAMPLE / "samples" / "01-firing.json").read_bytes())
    (item,) = body["alerts"]
    item["labels"]["severity"] = severity
    item["annotations"]["summary"] = f"{name} hurts"
    item["fingerprint"] = name
    answer = httpx.post(
        worker.capture_url(plan), json=body, timeout=10.0,
        headers={"Authorization": "Bearer source-token-1"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text


def begin(worker: WorkerProcess) -> None:
    """Start a worker and wait until its store is open too."""
    worker.start()
    worker.wait_ready()
    wait_until(lambda: worker.report().store.failed is None, what="the store is open")


@pytest.fixture(params=["sqlite", "postgres"])
def secrets(request: pytest.FixtureRequest) -> dict[str, dict[str, str]]:
    """Each store engine in turn: what a worker needs to reach it, where it needs anything."""
    if request.param == "sqlite":
        return {}
    peer: PostgreSQL = request.getfixturevalue("peer")
    peer.sql("DROP SCHEMA IF EXISTS intops CASCADE")
    return {SECRET: peer.secret}


@pytest.fixture
def plan(desk: HelpdeskSimulator, secrets: dict[str, dict[str, str]]) -> FlowPlan:
    """The first example against the simulated desk."""
    plan = alerts_to_helpdesk(desk.url)
    return shared(plan) if secrets else plan


@pytest.fixture
def worker(plan: FlowPlan, secrets: dict[str, dict[str, str]]) -> Iterator[WorkerProcess]:
    """A worker with two alerts of an unknown severity in review."""
    with WorkerProcess(plan, secrets={**secrets_of(plan), **secrets}) as worker:
        begin(worker)
        for name in ("a", "b"):
            post(worker, plan, name, "odd")
        wait_until(lambda: worker.report().store.review == 2, what="two messages are in review")
        yield worker


def test_a_decision_is_applied_once_and_answered(
    worker: WorkerProcess, plan: FlowPlan, desk: HelpdeskSimulator
) -> None:
    """Corrected by a person in the cluster: both alerts reach the desk, and a restart repeats nothing."""
    edit = decision("u1", "edit", patch=[{"path": "severity", "value": "major"}])
    worker.write_actions(plan, edit)
    found = wait_until(lambda: worker.answers().get("u1"), what="the answer")
    wait_until(lambda: len(desk.tickets()) == 2, what="two tickets")
    assert (found.applied, found.refused) == (2, None)

    worker.terminate()
    begin(worker)
    again = wait_until(lambda: worker.answers().get("u1"), what="the same answer")
    assert (again.applied, again.at) == (2, found.at)
    worker.wait_drained()
    assert len(desk.tickets()) == 2
    assert worker.report().store.imbalance == 0


def test_answers_last_as_long_as_the_decision_stands_there(
    worker: WorkerProcess, plan: FlowPlan
) -> None:
    """What the operator has taken note of leaves the report."""
    worker.write_actions(plan, decision("u1"))
    wait_until(lambda: worker.answers().get("u1"), what="the answer")
    worker.write_actions(plan, decision("u2", select={"messages": ["99"]}))
    found = wait_until(lambda: worker.answers().get("u2"), what="the next answer")

    assert set(worker.answers()) == {"u2"}
    assert "No message in review has the number 99" in (found.refused or "")


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"action": "retry"}, "Field severity cannot be mapped; `intops review show 1` tells why."),
        ({"action": "replay"}, 'cannot do "replay"'),
        ({"select": {"messages": ["one"]}}, "numbers of messages"),
        (
            {"action": "edit", "patch": [{"path": "severity", "value": "awful"}]},
            'severity: it cannot be "awful"; allowed: critical',
        ),
    ],
    ids=["retry without a mended Mapping", "unknown action", "no number", "misfit"],
)
def test_a_decision_that_cannot_be_applied_is_answered_without_words_of_a_message(
    worker: WorkerProcess, plan: FlowPlan, parts: dict[str, Any], says: str
) -> None:
    """S-32: The status is read by more people than messages are."""
    worker.write_actions(plan, decision("u1", **parts))
    found = wait_until(lambda: worker.answers().get("u1"), what="the answer")

    assert says in (found.refused or "")
    assert "odd" not in (found.refused or "")
    assert worker.report().store.review == 2


def test_a_flow_that_asks_for_two_people_takes_no_decision_of_one(
    plan: FlowPlan, secrets: dict[str, dict[str, str]]
) -> None:
    """S-64: Also where somebody gets past the operator."""
    review = plan.review.model_copy(update={"second_approver": True})
    plan = plan.model_copy(update={"review": review})
    with WorkerProcess(plan, secrets={**secrets_of(plan), **secrets}) as worker:
        begin(worker)
        post(worker, plan, "a", "odd")
        wait_until(lambda: worker.report().store.review == 1, what="the message is in review")
        worker.write_actions(
            plan, decision("u1"), decision("u2", approvedBy="alice@example.com"),
            decision("u3", approvedBy="bob@example.com"),
        )  # fmt: skip
        found = wait_until(lambda: len(worker.answers()) == 3 and worker.answers(), what="answers")

    assert "asks for a second person" in (found["u1"].refused or "")
    assert "is the one who decided" in (found["u2"].refused or "")
    assert found["u3"].applied == 1
