"""Webhooks V3 of the simulated PagerDuty, taken by a real worker: who sends, copies, order, what is told."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from aiohttp import web

from intops_api.plan import FlowPlan
from support.ports import free_port
from support.runtime.worker_process import WorkerProcess
from support.simulators.pagerduty_flow import pagerduty_to_pagerduty
from support.simulators.pagerduty_server import KEY, PagerDutySimulator

pytestmark = pytest.mark.component

SECRET = "a-webhook-secret-of-32-characters"
NEXT = "the-next-webhook-secret-32-characters"


@dataclass(slots=True)
class Accounts:
    """An account that tells, a worker that listens, and an account in which it writes."""

    there: PagerDutySimulator
    here: PagerDutySimulator
    worker: WorkerProcess
    plan: FlowPlan
    console: int

    async def tell(self, *, in_order: bool = False) -> list[int]:
        """Send what has happened and wait until all that follows from it is done."""
        statuses = await self.there.send_webhooks(
            self.worker.capture_url(self.plan), in_order=in_order
        )
        await asyncio.to_thread(self.worker.wait_drained)
        return statuses

    async def messages(self) -> list[dict[str, Any]]:
        """Every message, oldest first."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.console}") as client:
            found = (await client.get("/messages", params={"limit": "1000"})).json()
        return sorted(found, key=lambda message: int(message["id"]))


@pytest.fixture
async def accounts() -> AsyncIterator[Accounts]:
    """Both accounts and the worker between them."""
    there, here = PagerDutySimulator(), PagerDutySimulator()
    there.secrets = [SECRET]
    runner = web.AppRunner(here.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    plan = pagerduty_to_pagerduty(f"http://127.0.0.1:{runner.addresses[0][1]}")
    secrets = {"helpdesk-token": {"token": KEY}, "pagerduty-webhooks": {"webhookSecret": SECRET}}
    console = free_port("127.0.0.1")
    try:
        with WorkerProcess(plan, secrets=secrets) as worker:
            worker.start(worker_flags=("--console-port", str(console)))
            await asyncio.to_thread(worker.wait_ready)
            yield Accounts(there, here, worker, plan, console)
    finally:
        await runner.cleanup()


async def test_what_a_person_raises_and_resolves_is_told_once(accounts: Accounts) -> None:
    """Each webhook comes twice and is taken twice; one incident is made, with the words of whoever raised it."""
    raised = accounts.there.trigger("checkout", "Checkout is slow")
    assert await accounts.tell() == [202, 202]
    accounts.there.person(raised, status="acknowledged")
    await accounts.tell()
    accounts.there.person(raised, status="resolved")
    await accounts.tell()

    (made,) = accounts.here.incidents()
    assert (made.title, made.service) == ("Checkout is slow", "PIJ90N7")
    assert made.history == ["acknowledged by intops", "resolved by intops"]
    reasons = [message["reason"] for message in await accounts.messages()]
    assert reasons == ["created", "changed", "changed"]


async def test_the_newest_first_makes_no_incident_of_what_is_over(accounts: Accounts) -> None:
    """Resolved, then triggered: it has healed before anybody was told."""
    raised = accounts.there.trigger("checkout", "Checkout is slow")
    accounts.there.person(raised, status="resolved")

    await accounts.tell()

    assert accounts.here.incidents() == []
    reasons = [message["reason"] for message in await accounts.messages()]
    assert reasons == ["resolvedBeforeFiring", "selfHealed"]


async def test_a_ping_and_a_note_change_nothing(accounts: Accounts) -> None:
    """They are taken, counted and told to nobody."""
    raised = accounts.there.trigger("checkout", "Checkout is slow")
    await accounts.tell()
    accounts.there.ping()
    accounts.there.note(raised, "I look at it.")

    assert set(await accounts.tell()) == {202}

    (made,) = accounts.here.incidents()
    assert (made.status, made.notes) == ("triggered", [])
    reasons = [message["reason"] for message in await accounts.messages()]
    assert reasons == ["created", "heartbeat", "heartbeat"]


async def test_what_intops_has_written_does_not_come_back(accounts: Accounts) -> None:
    """A webhook about an incident with a key of ours is an echo."""
    accounts.there.trigger("checkout", "Checkout is slow")
    await accounts.tell()
    accounts.here.secrets = [SECRET]

    # The account in which intops writes has the same subscription.
    url = accounts.worker.capture_url(accounts.plan)
    await accounts.here.send_webhooks(url)
    await asyncio.to_thread(accounts.worker.wait_drained)

    assert len(accounts.here.incidents()) == 1
    assert [message["reason"] for message in await accounts.messages()] == ["created", "echo"]


async def test_a_wrong_signature_is_refused_and_a_stranger_too(accounts: Accounts) -> None:
    """401 for every try, and nothing is stored."""
    accounts.there.secrets = ["a-secret-of-somebody-else-32-chars"]
    accounts.there.trigger("checkout", "Checkout is slow")

    assert await accounts.tell() == [401, 401]

    async with httpx.AsyncClient() as client:
        url = accounts.worker.capture_url(accounts.plan)
        unsigned = await client.post(url, json={"event": {}})
    assert unsigned.status_code == 401
    assert await accounts.messages() == []


async def test_a_secret_is_changed_without_losing_a_webhook(accounts: Accounts) -> None:
    """While PagerDuty signs with both secrets either is good; then the Secret holds the next one."""
    accounts.there.secrets = [NEXT, SECRET]
    accounts.there.trigger("one", "One is slow")
    assert await accounts.tell() == [202, 202]

    accounts.there.secrets = [NEXT]
    accounts.worker.write_secret(
        "pagerduty-webhooks", {"webhookSecret": NEXT, "webhookSecret.previous": SECRET}
    )
    accounts.there.trigger("two", "Two is slow")
    taken = list(accounts.there.events)

    async def told() -> bool:
        accounts.there.events = list(taken)
        return set(await accounts.tell()) == {202}

    until = time.monotonic() + 30.0
    while not await told():  # files of a Secret change when they change
        assert time.monotonic() < until, "the next secret is taken"
        await asyncio.sleep(0.1)

    accounts.there.secrets = [SECRET]
    accounts.there.trigger("three", "Three is slow")
    assert await accounts.tell() == [202, 202]
    assert sorted(one.title for one in accounts.here.incidents()) == [
        "One is slow", "Three is slow", "Two is slow",
    ]  # fmt: skip


async def test_an_event_that_nobody_has_placed_is_for_a_person(accounts: Accounts) -> None:
    """Taken, because PagerDuty would switch the subscription off; never guessed."""
    raised = accounts.there.trigger("checkout", "Checkout is slow")
    await accounts.tell()
    accounts.there.tell("incident.reopened", raised)

    assert await accounts.tell() == [202, 202]

    message = (await accounts.messages())[-1]
    assert (message["state"], message["errorClass"]) == ("review", "validation")


async def test_webhooks_of_the_second_version_are_parked(accounts: Accounts) -> None:
    """Their body is a list of messages: signed by hand it is taken, and a person looks."""
    body = b'{"messages": [{"event": "incident.trigger"}]}'
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-PagerDuty-Signature": f"v1={digest}"}

    async with httpx.AsyncClient() as client:
        url = accounts.worker.capture_url(accounts.plan)
        answer = await client.post(url, content=body, headers=headers)
    await asyncio.to_thread(accounts.worker.wait_drained)

    assert answer.status_code == 202
    (message,) = await accounts.messages()
    assert (message["state"], message["errorClass"]) == ("review", "payloadMalformed")
