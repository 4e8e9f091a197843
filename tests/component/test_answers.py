"""Senders that wait for the outcome: the record in the answer, or 202 and a place to ask later."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from intops_api.plan import FlowPlan
from support.peers.process import wait_until
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk
from support.runtime.worker_process import WorkerProcess
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.component

SOURCE_TOKEN = "a-token-for-tests"
FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))


@dataclass(slots=True)
class Counter:
    """A sender at the counter of a worker."""

    desk: HelpdeskSimulator
    worker: WorkerProcess
    plan: FlowPlan

    def post(self, *fingerprints: str, **changed: Any) -> httpx.Response:
        """Deliver alerts and take the answer."""
        alerts = [{**FIRING["alerts"][0], "fingerprint": name, **changed} for name in fingerprints]
        return self.request("POST", "", json={**FIRING, "alerts": alerts})

    def request(self, method: str, below: str, **more: Any) -> httpx.Response:
        """One authenticated request."""
        headers = {"Authorization": f"Bearer {SOURCE_TOKEN}"}
        url = self.worker.capture_url(self.plan) + below
        return httpx.request(method, url, headers=headers, timeout=30, **more)


@pytest.fixture
def counter() -> Iterator[Counter]:
    """A Flow whose source waits up to two seconds."""
    with HelpdeskSimulator() as desk:
        plan = alerts_to_helpdesk(desk.url, answer_within="2s")
        secrets = {
            "alertmanager-token": {"token": SOURCE_TOKEN},
            "helpdesk-token": {"token": desk.token},
        }
        with WorkerProcess(plan, secrets=secrets) as worker:
            worker.start()
            worker.wait_ready()
            yield Counter(desk, worker, plan)


def test_the_answer_names_the_record_of_every_message(counter: Counter) -> None:
    """200 once everything of the delivery has ended; a copy is told the same."""
    answer = counter.post("a", "b")

    assert answer.status_code == 200
    found = answer.json()
    assert found["state"] == "ended"
    assert [(m["state"], m["record"]) for m in found["messages"]] == [
        ("done", "#1"),
        ("done", "#2"),
    ]
    again = counter.post("a", "b")
    assert again.status_code == 200
    assert {m["record"] for m in again.json()["messages"]} == {"#1", "#2"}
    assert len(counter.desk.tickets()) == 2


def test_what_takes_longer_is_answered_with_a_place_to_ask(counter: Counter) -> None:
    """202 after the time that the Flow gives; nothing is lost, and later the place knows."""
    counter.desk.set_faults(latency_s=0.9)
    began = time.monotonic()
    answer = counter.post("slow", "slower", "slowest", "last", "late")
    assert answer.status_code == 202
    assert 1.5 < time.monotonic() - began < 6
    assert answer.json()["state"] == "waiting"
    place = answer.headers["Location"]
    counter.desk.clear_faults()

    url = f"http://127.0.0.1:{counter.worker.capture_port}{place}"
    headers = {"Authorization": f"Bearer {SOURCE_TOKEN}"}
    wait_until(lambda: httpx.get(url, headers=headers).status_code == 200, what="it has ended")
    assert len(httpx.get(url, headers=headers).json()["messages"]) == 5
    assert httpx.get(url).status_code == 401


def test_what_a_person_must_decide_is_not_called_ended(counter: Counter) -> None:
    """202 at once, without waiting in vain, and without the payload or the desk's words."""
    labels = {**FIRING["alerts"][0]["labels"], "severity": "sev0"}
    began = time.monotonic()
    answer = counter.post("odd", labels=labels)

    assert answer.status_code == 202
    assert time.monotonic() - began < 2
    (message,) = answer.json()["messages"]
    assert (message["state"], message["errorClass"]) == ("review", "validation")
    assert "sev0" not in answer.text


def test_only_numbers_of_ones_own_deliveries_are_answered(counter: Counter) -> None:
    """S-11: Everything else is the same 404."""
    assert counter.post("a").status_code == 200
    for below in ("/999", "/-1", "/0x1", "/1/2", "/", "/9999999999999999999999"):
        assert counter.request("GET", below).status_code == 404, below
    assert counter.request("GET", "").status_code == 404
    assert counter.request("POST", "/1", json={}).status_code == 404


def test_a_webhook_without_alerts_has_ended(counter: Counter) -> None:
    """Nothing is in it, so nothing is waited for."""
    answer = counter.post()

    assert answer.status_code == 200
    assert answer.json()["messages"] == []
