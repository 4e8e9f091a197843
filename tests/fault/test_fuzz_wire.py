"""Random bytes from both sides of a running worker: what senders send, and what systems answer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import re
import socket
import sqlite3
from collections import Counter

import pytest

from intops_core.error_classes import BY_NAME
from support.fuzz.answers import answer
from support.fuzz.captures import Door, attack
from support.peers.fault_proxy import NetworkFault
from support.peers.process import wait_until
from support.ports import free_port
from support.runtime.flows import alerts_to_helpdesk
from support.runtime.stage import FIRING, register_behind_proxy, stage_for
from support.runtime.worker_process import WorkerProcess
from support.simulators.register import plan_for

pytestmark = pytest.mark.fault

TOKEN = "canary-source-7e1a53c09bd24f6f"
SECRETS = {"alertmanager-token": {"token": TOKEN}, "helpdesk-token": {"token": "unused"}}
ATTACKS = {"short": 150, "full": 5000}
ANSWERS = {"short": 20, "full": 600}
MEMORY_KIB = 512 * 1024
"""The limit that the operator gives a worker's pod."""


def exchange(port: int, raw: bytes, *, is_whole: bool = False) -> bytes | None:
    """Everything that comes back on a connection of its own; None where it was reset meanwhile.

    What may not be whole is waited for a moment only: whoever stops sending before the answer gets none.
    """
    found = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
            line.settimeout(20 if is_whole else 0.3)
            line.sendall(raw)
            with contextlib.suppress(TimeoutError):  # it waits for more, which does not come
                found = line.recv(65536)
            with contextlib.suppress(OSError):  # it has been reset already
                line.shutdown(socket.SHUT_WR)
            line.settimeout(20)
            while chunk := line.recv(65536):
                found += chunk
    except ConnectionError:
        return found or None
    return found


def statuses(found: bytes | None) -> list[int]:
    """Statuses of all answers on a connection."""
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3}) ", found or b"")]


def test_whatever_bytes_a_sender_sends_capture_refuses_or_keeps_and_serves_the_next_one(
    seed: int, fault_runs: str
) -> None:
    """S-05, S-19: No 5xx but 503, no crash, bounded memory; what was answered with 2xx is in the store, each byte."""
    draw = random.Random(seed)
    plan = alerts_to_helpdesk(f"http://127.0.0.1:{free_port('127.0.0.1')}")
    kinds: Counter[str] = Counter()
    kept: list[bytes] = []
    taken = unclear = 0
    with WorkerProcess(plan, secrets=SECRETS) as worker:
        worker.start()
        worker.wait_ready()
        port = worker.capture_port
        door = Door(worker.capture_url(plan).split(str(port), 1)[1], TOKEN, FIRING)
        for number in range(ATTACKS[fault_runs]):
            one = attack(door, draw)
            found = exchange(port, one.raw)
            got = statuses(found)
            words = f"{number}: {one.kind}: {got} for {one.raw[:3000]!r}"
            assert not [code for code in got if code >= 500 and code != 503], words
            assert TOKEN.encode() not in (found or b""), words
            kinds[f"{one.kind} {got[0] if got else 'closed'}"] += 1
            taken += sum(200 <= code < 300 for code in got)
            unclear += not got
            if one.body is not None and got == [200]:
                kept.append(one.body)
            good = door.good(f"good-{number}")
            assert statuses(exchange(port, door.whole(good), is_whole=True)) == [200], (
                f"after {words}"
            )
            kept.append(good)
            taken += 1
        wait_until(lambda: worker.report().store.pending == 0, what="all deliveries are split")
        store = worker.report().store
        peak_kib = worker.peak_memory_kib()
        worker.terminate()
        log = worker.log_file.read_text(encoding="utf-8")
        (file,) = worker.root.glob("data/*/store.sqlite")
        with contextlib.closing(sqlite3.connect(file)) as db:
            there = {row[0] for row in db.execute("SELECT sha256 FROM deliveries")}

    print(
        f"{len(kept)} bodies kept, {taken} taken, {unclear} unclear, {peak_kib >> 10} MiB, {kinds}"
    )
    assert taken <= store.captured <= taken + unclear
    assert store.captured == store.split + store.malformed
    assert store.imbalance == 0
    assert {hashlib.sha256(body).digest() for body in kept} <= there
    assert peak_kib < MEMORY_KIB
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:4000]
    assert TOKEN not in log


async def test_f28_whatever_bytes_a_system_answers_each_message_ends_done_or_with_a_person(
    seed: int, fault_runs: str
) -> None:
    """S-27: Statuses, headers, lengths and bodies at random: nothing crashes, and each end has a documented class."""
    draw = random.Random(seed)
    answers = [answer(draw) for _ in range(ANSWERS[fault_runs])]
    async with register_behind_proxy() as (register, proxy):
        register.is_unique = False
        plan = plan_for(proxy.url, {})
        async with stage_for(plan, register, proxy) as stage:
            await stage.deliver(_alerts(["first"]))  # with a token that is good for all the rest
            proxy.begins = b"POST /cases "
            for _, raw in answers:
                proxy.faults += (NetworkFault("lie", raw=raw), None)
            names = [f"a{number}" for number in range(len(answers))]
            await stage.post(_alerts(names))
            await asyncio.to_thread(stage.worker.wait_drained, 60.0 + 3.0 * len(answers))
            messages = await asyncio.to_thread(stage.messages)
            log = stage.worker.log_file.read_text(encoding="utf-8")
            peak_kib = stage.worker.peak_memory_kib()

    ends = {message["title"]: message["state"] for message in messages}
    review = [message for message in messages if message["state"] == "review"]
    print(f"{proxy.met} answers met, {peak_kib >> 10} MiB, {Counter(ends.values())}")
    print(Counter(message["errorClass"] for message in review))
    assert ends.keys() == {"first", *names}
    assert set(ends.values()) <= {"done", "review"}
    assert {message["errorClass"] for message in review} <= BY_NAME.keys()
    titles = Counter(case["title"] for case in register.cases.values())
    assert [title for title, times in titles.items() if times > 1] == []
    # The system itself has told for some that they are made.
    claims = sum(status in (0, 201) for status, _ in answers)
    done = {title for title, state in ends.items() if state == "done"}
    assert len(done - titles.keys()) <= claims
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:4000]
    assert peak_kib < MEMORY_KIB


def _alerts(names: list[str]) -> dict[str, object]:
    """One delivery with an alert for each name, so young that nobody looks before the first write."""
    first = {**FIRING["alerts"][0], "startsAt": "2090-01-01T00:00:00Z"}
    alerts = [{**first, "fingerprint": name, "annotations": {"summary": name}} for name in names]
    return {**FIRING, "alerts": alerts}
