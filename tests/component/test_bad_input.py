"""Trouble from outside a running worker: odd bodies, broken requests, broken plans and a broken store.

What one request to capture is answered with stands in test_capture.py, what a store refuses to open in
test_store.py; here the whole worker goes on, says what is wrong, loses nothing and tells no secret.
"""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from intops_api.names import PLAN_KEY
from intops_api.plan import FlowPlan
from support.peers.process import wait_until
from support.ports import free_port
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk
from support.runtime.worker_process import WorkerProcess

pytestmark = pytest.mark.component

SOURCE_CANARY = "canary-source-5d1f0c7ab2e94e3c"
DESK_CANARY = "canary-desk-91b7d4a6c0f84d22"
SECRETS = {"alertmanager-token": {"token": SOURCE_CANARY}, "helpdesk-token": {"token": DESK_CANARY}}
FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def plan() -> FlowPlan:
    """The first example against a desk that is not there."""
    return alerts_to_helpdesk(f"http://127.0.0.1:{free_port('127.0.0.1')}")


@pytest.fixture
def worker(plan: FlowPlan) -> Iterator[WorkerProcess]:
    """A worker of one's own for each test."""
    with WorkerProcess(plan, secrets=SECRETS) as running:
        running.start()
        running.wait_ready()
        yield running


def post(worker: WorkerProcess, plan: FlowPlan, body: bytes) -> int:
    """One authenticated request to capture; returns its status."""
    headers = {"Authorization": f"Bearer {SOURCE_CANARY}"}
    return httpx.post(
        worker.capture_url(plan), content=body, headers=headers, timeout=20
    ).status_code


def alert(fingerprint: str, **changed: Any) -> bytes:
    """A captured webhook with one alert that is changed."""
    one = {**FIRING["alerts"][0], "fingerprint": fingerprint, **changed}
    return json.dumps({**FIRING, "alerts": [one]}).encode()


def log_of(worker: WorkerProcess) -> str:
    """Everything the worker has written."""
    return worker.log_file.read_text(encoding="utf-8")


def odd_bodies() -> dict[str, bytes]:
    """Bodies that JSON, Unicode or our own tables may stumble over, by what is odd about them."""
    labels = FIRING["alerts"][0]["labels"]
    return {
        "half a pair of surrogates": alert("a").replace(b"127.0.0.1:19199 down", b"\\ud800"),
        "a zero character": alert("b", annotations={"summary": "a\0b"}),
        "a number without end": alert("c").replace(b'"firing"', b"1" * 400, 1),
        "an infinite number": alert("d").replace(b'"firing"', b"1e999", 1),
        "not a number": alert("e").replace(b'"firing"', b"NaN", 1),
        "a mark of the byte order": b"\xef\xbb\xbf" + alert("f"),
        "UTF-16": alert("g").decode().encode("utf-16"),
        "Latin-1": alert("h", annotations={"summary": "x"}).replace(b'"x"', b'"\xe9"'),
        "the same name twice": alert("i").replace(b'"status"', b'"status": 1, "status"'),
        "a name without text": alert("j", labels={**labels, "": ""}),
        "a wrong type where a map should be": alert("k", labels=["severity"]),
        "null where a map should be": alert("l", labels=None),
        "a number where a text should be": alert("m", annotations={"summary": 7}),
        "no time": alert("n", startsAt="yesterday"),
        "an impossible time": alert("o", startsAt="2026-02-30T25:61:61Z"),
        "a very long title": alert("p", annotations={"summary": "x" * 200_000}),
        "a very long fingerprint": alert("q" * 100_000),
        "a fingerprint that is a map": alert("r").replace(b'"r"', b'{"a": 1}'),
        "no alerts": json.dumps({**FIRING, "alerts": []}).encode(),
        "alerts that are numbers": json.dumps({**FIRING, "alerts": [1, None, "x"]}).encode(),
        "a thousand alerts": json.dumps(
            {
                **FIRING,
                "alerts": [{**FIRING["alerts"][0], "fingerprint": f"t{n}"} for n in range(1000)],
            }
        ).encode(),
        "text after the end": alert("s") + b"{}",
        "another version": json.dumps({**FIRING, "version": "99"}).encode(),
    }


def test_whatever_a_proved_sender_sends_is_accounted_for(
    worker: WorkerProcess, plan: FlowPlan, seed: int
) -> None:
    """S-09, S-19: Acknowledged means kept: each odd body is a message in exactly one state, and nothing crashes."""
    draw = random.Random(seed)
    bodies = list(odd_bodies().values())
    valid = alert("valid")
    for _ in range(60):  # and valid ones with a few bytes changed
        damaged = bytearray(valid)
        for _ in range(draw.randrange(1, 6)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        bodies.append(bytes(damaged))

    statuses = [post(worker, plan, body) for body in bodies]

    # Only nesting is refused at the door; a damaged bracket can make some.
    assert set(statuses) <= {200, 400}
    wait_until(lambda: worker.report().store.pending == 0, what="all deliveries are split")
    store = worker.report().store
    assert store.captured == statuses.count(200)
    assert store.captured == store.split + store.malformed
    assert store.imbalance == 0
    assert store.dropped.get("poison", 0) == 0
    log = log_of(worker)
    assert "Traceback" not in log
    assert "crashed" not in log
    assert not worker.exited()


def exchange(worker: WorkerProcess, raw: bytes) -> bytes:
    """Send bytes to the capture port as they are; what comes back until the end."""
    with socket.create_connection(("127.0.0.1", worker.capture_port), timeout=20) as line:
        line.sendall(raw)
        line.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := line.recv(65536):
            answer += chunk
    return answer


def test_what_is_no_http_is_answered_or_cut_off_and_nothing_is_kept(
    worker: WorkerProcess, plan: FlowPlan
) -> None:
    """S-05: Neither noise nor tricks with lengths reach the store, and the next sender is served."""
    path = worker.capture_url(plan).split(str(worker.capture_port), 1)[1].encode()
    head = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
    head += SOURCE_CANARY.encode() + b"\r\n"
    tricks = [
        os.urandom(4096),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(200),  # TLS
        b"GET / HTTP/9.9\r\n\r\n",
        head + b"Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        head + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        head + b"Content-Length: -1\r\n\r\n",
        head + b"Content-Length: 1000\r\n\r\n{",  # the rest never comes
        head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        head.replace(b"Host: x\r\n", b"Host: x\x95\n"),  # the next line is part of a wrong one
        head + b"X-Long: " + b"a" * 20_000 + b"\r\nContent-Length: 0\r\n\r\n",
        head + b"".join(b"X-%d: a\r\n" % n for n in range(200)) + b"Content-Length: 0\r\n\r\n",
    ]

    answers = [exchange(worker, trick) for trick in tricks]

    for answer in answers:
        assert not answer.startswith(b"HTTP/1.1 2"), answer
        assert b"Traceback" not in answer
        assert b"canary" not in answer
    assert worker.report().store.captured == 0
    assert post(worker, plan, alert("after")) == 200
    log = log_of(worker)
    assert "Traceback" not in log
    assert "canary" not in log


def test_a_sender_that_dawdles_is_sent_away(worker: WorkerProcess, plan: FlowPlan) -> None:
    """S-06: A body that does not end is not waited for, and others are served meanwhile."""
    path = worker.capture_url(plan).split(str(worker.capture_port), 1)[1]
    with socket.create_connection(("127.0.0.1", worker.capture_port), timeout=30) as line:
        line.sendall(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SOURCE_CANARY}\r\n"
            'Content-Length: 1000\r\n\r\n{"alerts'.encode()
        )
        assert post(worker, plan, alert("meanwhile")) == 200
        assert line.recv(65536).startswith(b"HTTP/1.1 408")
    assert worker.report().store.captured == 1


def told_again(worker: WorkerProcess, before: int) -> bool:
    """Whether another plan was called unreadable."""
    return log_of(worker).count("a plan cannot be read") > before


def test_a_plan_that_cannot_be_read_leaves_the_old_one_running(
    worker: WorkerProcess, plan: FlowPlan
) -> None:
    """Half a file, no file format at all, or the plan of a newer operator: each is a sentence in the log."""
    folder = worker.root / "plans" / plan.flow.name
    whole = (folder / PLAN_KEY).read_bytes()
    for number, broken in enumerate((whole[: len(whole) // 2], b"not a plan", b"")):
        before = log_of(worker).count("a plan cannot be read")
        fresh = folder / ".broken"
        fresh.write_bytes(broken)
        fresh.rename(folder / PLAN_KEY)
        wait_until(partial(told_again, worker, before), what="the broken plan is told")
        assert post(worker, plan, alert(f"plan-{number}")) == 200
    assert worker.report().active == plan.hash
    assert "Traceback" not in log_of(worker)


def damage(store: Path) -> None:
    """Overwrite the middle of a store's file, as a failing disk does."""
    data = bytearray(store.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[4096 : middle + 4096] = b"\x5a" * middle
    store.write_bytes(bytes(data))


def test_a_damaged_store_is_told_and_left_alone(worker: WorkerProcess, plan: FlowPlan) -> None:
    """Senders keep their alerts, the report says what is wrong and what to do, and the file stays as it is."""
    for number in range(20):
        assert post(worker, plan, alert(f"kept-{number}")) == 200
    worker.terminate()
    # Whoever would delete the volume is told what is in it.
    assert json.loads(worker.last_words.read_bytes()) == {"left": {f"itsm/{plan.flow.name}": 20}}
    (store,) = worker.root.glob("data/*/store.sqlite")
    whole = store.read_bytes()
    damage(store)
    damaged = store.read_bytes()

    worker.start()
    worker.wait_ready()
    failed = wait_until(lambda: worker.report().store.failed, what="the damage is reported")

    assert "damaged" in failed
    assert "restore a backup" in failed
    assert post(worker, plan, alert("new")) in (404, 503)
    assert "Traceback" not in log_of(worker)
    assert store.read_bytes() == damaged

    # What the sentence asks for helps, without a restart.
    store.write_bytes(whole)
    wait_until(lambda: worker.report().store.received == 20, what="the restored store is in use")
    assert post(worker, plan, alert("new")) == 200


def test_an_occupied_operations_port_ends_the_worker_with_a_sentence(plan: FlowPlan) -> None:
    """It names the address, and nothing was opened or changed."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with WorkerProcess(plan, secrets=SECRETS) as worker:
            worker.operations_port = taken.getsockname()[1]
            worker.start()

            assert worker.wait(30)
            log = log_of(worker)
            assert "a port cannot be opened" in log
            assert str(worker.operations_port) in log
            assert "Traceback" not in log
