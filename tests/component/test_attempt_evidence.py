"""What is kept of a request whose answer never came: why nobody knew what it did, and what was found later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from support.ports import free_port
from support.runtime.bench import SOURCE_TOKEN, Bench
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk
from support.runtime.worker_process import WorkerProcess
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.component

DESK_TOKEN = "a-token-of-the-desk"
FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_bytes())


@pytest.fixture
async def bench() -> AsyncIterator[tuple[Bench, HelpdeskSimulator]]:
    """A worker and the simulated desk."""
    with HelpdeskSimulator(token=DESK_TOKEN) as desk:
        plan = alerts_to_helpdesk(desk.url, settle="500ms")
        secrets = {
            "alertmanager-token": {"token": SOURCE_TOKEN},
            "helpdesk-token": {"token": DESK_TOKEN},
        }
        with WorkerProcess(plan, secrets=secrets) as worker:
            running = Bench(worker, plan, free_port("127.0.0.1"))
            await running.start()
            yield running, desk


async def test_after_the_look_up_an_attempt_shows_its_timeout_its_rule_and_its_end(
    bench: tuple[Bench, HelpdeskSimulator], seed: int
) -> None:
    """The desk hangs before or after it makes a ticket; each attempt says which of them it turned out to be."""
    worker, desk = bench
    desk.set_faults(
        hang_before_probability=0.4, hang_after_probability=0.4, scope="creates", seed=seed
    )
    alerts = [{**FIRING["alerts"][0], "fingerprint": f"a{number}"} for number in range(8)]
    await worker.deliver({**FIRING, "alerts": alerts})

    messages = await asyncio.to_thread(worker.messages)
    assert {message["state"] for message in messages} == {"done"}
    attempts = [attempt for message in messages for attempt in message["attempts"]]
    silent = [attempt for attempt in attempts if attempt["errorClass"] is not None]
    assert silent
    for attempt in silent:
        assert (attempt["errorClass"], attempt["rule"]) == ("timeout", "transport:timeout")
        assert attempt["detail"]
        assert (attempt["outcome"], attempt["evidence"]["lookup"]) in (
            ("absent", "nothing found"),
            ("ok", "found"),
        )
    ledger = desk.ledger()
    assert (len(ledger["tickets_by_key"]), ledger["duplicates"]) == (8, {})
