"""The owner of a Flow is told by its notifier what waits, and the next one up what is overdue."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from intops_api.plan import FlowPlan
from intops_runtime.edges.store.postgres_lanes import lane_of
from support.peers.postgresql import PostgreSQL
from support.peers.process import wait_until
from support.runtime.flows import EXAMPLE, NAMESPACE, change, example_manifests, make_plan
from support.runtime.replica_set import ReplicaSet, shared
from support.runtime.worker_process import WorkerProcess

pytestmark = pytest.mark.component

SECRETS = {
    "alertmanager-token": {"token": "in-1"}, "helpdesk-token": {"token": "out-1"},
    "chat-token": {"token": "chat-1"},
}  # fmt: skip


class Chat:
    """A channel that takes JSON by POST and keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.headers: list[str | None] = []
        self.status = 200
        self.refused = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if outer.status == 200:
                    outer.told.append({"path": self.path, **body})
                    outer.headers.append(self.headers["Authorization"])
                else:
                    outer.refused += 1
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing to say."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def chat() -> Iterator[Chat]:
    """The channel."""
    chat = Chat()
    yield chat
    chat.stop()


def plan_with(chat: Chat, due_within: str) -> FlowPlan:
    """The first example with a notifier and an owner who escalates."""
    manifests = example_manifests()
    owner = {
        "team": "service-desk",
        "contact": "desk@example.com",
        "escalation": "head@example.com",
    }
    manifests.append(
        {
            "apiVersion": "intops.io/v1alpha1", "kind": "Connector",
            "metadata": {"name": "ops-chat", "namespace": NAMESPACE},
            "spec": {
                "class": "notification-webhook", "endpoint": chat.url,
                "credentials": {"secretName": "chat-token"}, "config": {"hook": "on-call"},
                "owner": {"team": "ops", "contact": "ops@example.com"},
            },
        }
    )  # fmt: skip

    def notified(spec: dict[str, Any]) -> None:
        spec["roles"]["notifier"] = [{"name": "chat", "connector": "ops-chat"}]
        spec["review"] = {"owner": "service-desk", "dueWithin": due_within}
        spec["owner"] = owner

    change(manifests, "Flow", "alerts-to-helpdesk", notified)
    return make_plan(manifests)


def post(worker: WorkerProcess, plan: FlowPlan, name: str, *, severity: str = "odd") -> None:
    """One alert of an unknown severity."""
    body = json.loads((EXAMPLE / "samples" / "01-firing.json").read_bytes())
    body["alerts"][0]["labels"]["severity"] = severity
    body["alerts"][0]["fingerprint"] = name
    answer = httpx.post(
        worker.capture_url(plan), json=body, timeout=10.0, headers={"Authorization": "Bearer in-1"}
    )
    assert answer.status_code == 200, answer.text


def test_the_owner_is_told_once_of_equal_errors(chat: Chat) -> None:
    """One message with the reason, the number and the command; a restart does not repeat it."""
    plan = plan_with(chat, "8h")
    with WorkerProcess(plan, secrets=SECRETS) as worker:
        worker.start()
        worker.wait_ready()
        for name in ("a", "b", "c"):
            post(worker, plan, name)
        wait_until(lambda: chat.told, what="the notice")
        worker.terminate()
        worker.start()
        worker.wait_ready()
        post(worker, plan, "d")
        wait_until(lambda: worker.report().store.review == 4, what="four messages in review")

    (told,) = chat.told
    assert (told["path"], told["kind"], told["owner"]) == ("/on-call", "entered", "service-desk")
    assert 'no entry for "odd"' in told["text"]
    assert told["command"] == "intops review show 1 --flow alerts-to-helpdesk -n itsm"
    assert chat.headers == ["Bearer chat-1"]


def test_a_channel_that_refused_us_is_tried_at_once_when_its_secret_changes(chat: Chat) -> None:
    """S-35: The new value is used without a restart and before the next try would be due."""
    chat.status = 401
    with WorkerProcess(plan_with(chat, "8h"), secrets=SECRETS) as worker:
        worker.start()
        worker.wait_ready()
        post(worker, plan_with(chat, "8h"), "a")
        wait_until(lambda: chat.refused, what="the notice is refused")

        chat.status = 200
        worker.write_secret("chat-token", {"token": "chat-2"})
        wait_until(lambda: chat.told, what="the notice", timeout_s=20.0)

    assert chat.headers == ["Bearer chat-2"]


def test_what_is_overdue_is_told_to_the_next_one_up_and_raises_the_report(chat: Chat) -> None:
    """Nobody's queue is forgotten; the condition comes from the same report."""
    plan = plan_with(chat, "1s")
    with WorkerProcess(plan, secrets=SECRETS) as worker:
        worker.start()
        worker.wait_ready()
        post(worker, plan, "a")
        wait_until(lambda: [t for t in chat.told if t["kind"] == "overdue"], what="the escalation")
        assert worker.report().store.review_overdue >= 1

    overdue = next(told for told in chat.told if told["kind"] == "overdue")
    assert (overdue["owner"], overdue["contact"]) == ("head@example.com", "head@example.com")
    assert overdue["title"].startswith("Overdue: 1 message of Flow alerts-to-helpdesk waits")


def test_people_are_told_once_by_three_replicas(chat: Chat) -> None:
    """One replica tells; when it is killed another takes over, repeats nothing, and tells what is new."""
    plan = shared(plan_with(chat, "8h"))
    with PostgreSQL() as peer, ReplicaSet(peer, plan, SECRETS, replicas=3) as replicas:
        replicas.start_all({})
        workers = replicas.workers
        post(workers["replica-0"], plan, "a")
        wait_until(lambda: chat.told, what="the notice")
        for worker in workers.values():
            wait_until(lambda w=worker: w.report().store.review == 1, what="it is in review")  # type: ignore[misc]
        lane = lane_of("chat")
        teller = peer.sql(
            "SELECT r.name FROM intops.lanes l JOIN intops.replicas r USING(flow, owner) "
            f"WHERE l.lane = {lane}"
        )
        workers.pop(teller).kill()
        replicas.wait_taken_over(teller)
        time_told = len(chat.told)
        left = next(iter(workers.values()))
        post(left, plan, "b", severity="strange")
        wait_until(lambda: len(chat.told) > 1, what="the notice of the heir")
        noticed = peer.sql("SELECT count(*) FROM intops.notices")

    assert time_told == 1
    assert [told["count"] for told in chat.told] == [1, 1]
    assert "strange" in chat.told[1]["text"]
    assert noticed == "2"


def test_a_channel_that_is_down_is_asked_again_and_stops_no_message(chat: Chat) -> None:
    """Telling is beside the message path."""
    chat.status = 503
    plan = plan_with(chat, "8h")
    with WorkerProcess(plan, secrets=SECRETS) as worker:
        worker.start()
        worker.wait_ready()
        post(worker, plan, "a")
        wait_until(lambda: chat.refused >= 1, what="a refusal of the channel")
        post(worker, plan, "b")
        wait_until(lambda: worker.report().store.review == 2, what="both messages in review")
        chat.status = 200
        wait_until(lambda: chat.told, what="the notice after all", timeout_s=60)

    assert chat.told[0]["count"] == 2
