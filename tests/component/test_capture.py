"""Capture under bad input: each request gets its answer, nothing is lost, no secret is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from intops_api.plan import FlowPlan
from support.peers.process import wait_until
from support.ports import free_port
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk
from support.runtime.worker_process import WorkerProcess

pytestmark = pytest.mark.component

TOKEN = "canary-token-that-must-appear-nowhere"
BODY = (EXAMPLE / "samples" / "01-firing.json").read_bytes()


@pytest.fixture(scope="module")
def plan() -> FlowPlan:
    """The first example against a desk that is not there."""
    return alerts_to_helpdesk(f"http://127.0.0.1:{free_port('127.0.0.1')}")


@pytest.fixture(scope="module")
def worker(plan: FlowPlan) -> Iterator[WorkerProcess]:
    """One worker for all tests of this file."""
    secrets = {"alertmanager-token": {"token": TOKEN}, "helpdesk-token": {"token": TOKEN}}
    with WorkerProcess(plan, secrets=secrets) as running:
        running.start()
        running.wait_ready()
        yield running


def post(
    worker: WorkerProcess, plan: FlowPlan, body: bytes = BODY, token: str = TOKEN, **headers: str
) -> httpx.Response:
    """One request to capture."""
    given = {"Authorization": f"Bearer {token}", **headers}
    return httpx.post(worker.capture_url(plan), content=body, headers=given, timeout=20)


def test_any_other_path_or_method_is_the_same_404(worker: WorkerProcess, plan: FlowPlan) -> None:
    """S-11: Nobody learns what runs here."""
    url = worker.capture_url(plan)
    root = url.split("/in/")[0]
    answers = [
        httpx.get(url), httpx.post(f"{url}x"), httpx.post(f"{root}/in/itsm/other/prometheus"),
        httpx.get(f"{root}/metrics"), httpx.put(url), httpx.post(f"{root}/"),
    ]  # fmt: skip

    assert {(a.status_code, a.text) for a in answers} == {(404, "not found\n")}


@pytest.mark.parametrize("token", ["x", "wrong", TOKEN + "x", TOKEN[:-1]])
def test_a_sender_without_the_right_token_is_refused(
    worker: WorkerProcess, plan: FlowPlan, token: str
) -> None:
    """S-01, S-12: Whatever is wrong with it, the answer is the same, and nothing is stored."""
    before = worker.report().store.captured

    answer = post(worker, plan, token=token)

    assert (answer.status_code, answer.text) == (401, "the credential is wrong\n")
    assert worker.report().store.captured == before


def test_a_body_that_is_too_large_is_refused(worker: WorkerProcess, plan: FlowPlan) -> None:
    """S-07: The class says how large; the answer says so."""
    answer = post(worker, plan, b'{"x": "' + b"a" * 1_100_000 + b'"}')

    assert answer.status_code == 413
    assert "1048576 bytes" in answer.text


def test_a_body_that_nests_too_deep_is_refused(worker: WorkerProcess, plan: FlowPlan) -> None:
    """S-09: A parser is not brought down, and the answer comes at once."""
    answer = post(worker, plan, b"[" * 5000 + b"]" * 5000)

    assert answer.status_code == 400
    assert "deeper than 32" in answer.text


def test_a_compressed_body_is_refused(worker: WorkerProcess, plan: FlowPlan) -> None:
    """S-08: A small bomb must not fill the memory."""
    assert post(worker, plan, b"x", **{"Content-Encoding": "gzip"}).status_code == 415


@pytest.mark.parametrize(
    "body", [b"{not json", b"\xff\xfe{", b"", b'"text"', b'{"alerts": 1}', b"[]"]
)
def test_what_cannot_be_read_is_kept_for_a_person(
    worker: WorkerProcess, plan: FlowPlan, body: bytes
) -> None:
    """The sender proved who it is, so its message is acknowledged and waits for review."""
    before = worker.report().store

    assert post(worker, plan, body).status_code == 200

    after = wait_until(lambda: _more_review(worker, before.review), what="it is in review")
    assert after.malformed == before.malformed + 1
    assert after.imbalance == 0


def _more_review(worker: WorkerProcess, before: int):  # type: ignore[no-untyped-def]
    store = worker.report().store
    return store if store.review == before + 1 and store.pending == 0 else None


def test_a_replayed_request_makes_no_second_message(worker: WorkerProcess, plan: FlowPlan) -> None:
    """F40, S-03: the copy is counted as a duplicate."""
    alert = json.loads(BODY)
    alert["alerts"][0]["fingerprint"] = "replayed"
    body = json.dumps(alert).encode()

    for _ in range(3):
        assert post(worker, plan, body).status_code == 200

    wait_until(
        lambda: worker.report().store.dropped.get("duplicate", 0) == 2, what="two are duplicates"
    )


def test_without_its_secret_capture_tells_senders_to_come_again(plan: FlowPlan) -> None:
    """S-36: Our own missing Secret is no fault of the sender: 503 with Retry-After, never 401."""
    with WorkerProcess(plan, secrets={"helpdesk-token": {"token": TOKEN}}) as worker:
        worker.start()
        worker.wait_ready()

        answer = post(worker, plan)

        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "5"
        source = next(c for c in worker.report().connectors if c.role == "source")
        assert source.secret is not None
        assert not source.secret.present

        worker.write_secret("alertmanager-token", {"token": TOKEN})
        wait_until(lambda: post(worker, plan).status_code == 200, what="the Secret is used")


def test_no_secret_is_shown_anywhere(worker: WorkerProcess, plan: FlowPlan) -> None:
    """S-32: After all of the above the token is in no log line, report or metric."""
    shown = [
        worker.log_file.read_text(encoding="utf-8"),
        worker.metrics(),
        worker.report().model_dump_json(),
    ]

    assert all("canary" not in text for text in shown)
    assert "Traceback" not in shown[0]
    assert 'intops_messages_imbalance{flow="alerts-to-helpdesk",namespace="itsm"} 0.0' in shown[1]


def test_an_occupied_port_ends_the_worker_with_a_sentence(
    worker: WorkerProcess, plan: FlowPlan
) -> None:
    """No traceback; the log says what is wrong."""
    with WorkerProcess(plan, secrets={}) as second:
        second.capture_port = worker.capture_port
        second.start()

        assert second.wait(20)
        log = second.log_file.read_text(encoding="utf-8")
        assert "a port cannot be opened" in log
        assert "Traceback" not in log
