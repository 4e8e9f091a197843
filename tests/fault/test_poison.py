"""What the worker dies of (row F44 of the fault matrix): set aside after three deaths, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest

from intops_api.report import PlanReport
from intops_runtime.core.crashes import TRIES
from support.peers.process import wait_until
from support.ports import free_port
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk, put_on_trial
from support.runtime.worker_process import WorkerProcess
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.fault

SOURCE_TOKEN = "a-token-for-tests"
FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))
DEADLY = "deadly"
OTHERS = 5


Edit = Callable[[list[dict[str, Any]]], None]


class Patient:
    """A worker that dies again and again, started anew as kubelet would, and its desk."""

    def __init__(self, desk: HelpdeskSimulator, edit: Edit | None = None) -> None:
        self.desk = desk
        self.plan = alerts_to_helpdesk(desk.url, concurrency=4, edit=edit)
        self.console = free_port("127.0.0.1")
        secrets = {
            "alertmanager-token": {"token": SOURCE_TOKEN},
            "helpdesk-token": {"token": desk.token},
        }
        self.worker = WorkerProcess(self.plan, secrets=secrets)

    async def start(self, *flags: str) -> None:
        """One more life."""
        self.worker.kill()
        self.worker.start(*flags, worker_flags=("--console-port", str(self.console)))
        await asyncio.to_thread(self.worker.wait_ready)

    async def send(self, *titles: str, receiver: str = "intops") -> None:
        """One delivery with an alert for each title."""
        alerts = [
            {**FIRING["alerts"][0], "fingerprint": title, "annotations": {"summary": title}}
            for title in titles
        ]
        body = json.dumps({**FIRING, "alerts": alerts, "receiver": receiver}, separators=(",", ":"))
        headers = {
            "Authorization": f"Bearer {SOURCE_TOKEN}", "Content-Type": "application/json",
        }  # fmt: skip
        async with httpx.AsyncClient(timeout=30) as client:
            url = self.worker.capture_url(self.plan)
            # A worker that dies of it may do so before it has answered.
            with suppress(httpx.TransportError):
                assert (await client.post(url, content=body, headers=headers)).status_code == 200

    async def dies(self) -> None:
        """Wait for its death."""
        await asyncio.to_thread(wait_until, self.worker.exited, what="the worker dies")

    async def live(self, lives: int, *flags: str) -> int:
        """Start again after each death, at most so often; returns how often it has died."""
        for deaths in range(lives):
            await self.start(*flags)
            await asyncio.to_thread(
                wait_until,
                lambda: self.worker.exited() or self._at_rest(),
                what="the worker dies or has done everything",
                timeout_s=60,
            )
            if not self.worker.exited():
                return deaths
        return lives

    def _at_rest(self) -> bool:
        try:
            return self.worker.report().store.in_flight == 0
        except httpx.HTTPError:
            return False

    def review(self) -> list[dict[str, str]]:
        """What a person finds."""
        with httpx.Client(base_url=f"http://127.0.0.1:{self.console}", timeout=10) as client:
            found = [item for item in client.get("/messages").json() if item["state"] == "review"]
            return [client.get(f"/messages/{item['id']}").json() for item in found]

    def report(self) -> PlanReport:
        """What the worker says."""
        return self.worker.report()


@asynccontextmanager
async def patient(edit: Edit | None = None) -> AsyncIterator[Patient]:
    """A worker and its desk, both gone afterwards; `edit` changes the manifests."""
    with HelpdeskSimulator() as desk:
        found = Patient(desk, edit)
        with found.worker:
            yield found


async def test_f44_a_message_that_the_worker_dies_of_is_set_aside_after_three_deaths() -> None:
    """All others, sent before and after it in the same second, become tickets."""
    titles = [f"ordinary {number}" for number in range(OTHERS)]
    async with patient() as ill:
        await ill.start("--die-of", DEADLY)
        await ill.send(*titles[:2], f"a {DEADLY} alert", *titles[2:])
        await ill.dies()

        deaths = 1 + await ill.live(2 * TRIES, "--die-of", DEADLY)

        assert deaths == TRIES
        (aside,) = ill.review()
        assert aside["reason"] == "poison"
        assert f"died {TRIES} times while it handled this message" in aside["detail"]
        assert sorted(t["Subject"] for t in ill.desk.tickets()) == titles
        assert ill.report().store.imbalance == 0


async def test_f44_a_delivery_that_the_worker_dies_of_does_not_stop_those_behind_it() -> None:
    """It is kept whole for a person; deliveries are split in order, so all others waited behind it."""
    async with patient() as ill:
        await ill.start("--die-of", DEADLY)
        await ill.send("inside", receiver=DEADLY)
        await ill.dies()

        deaths = 1 + await ill.live(2 * TRIES, "--die-of", DEADLY)
        await ill.send("behind")
        await asyncio.to_thread(ill.worker.wait_drained)

        assert deaths == TRIES
        (aside,) = ill.review()
        assert aside["reason"] == "poison"
        assert f"died {TRIES} times while it handled this delivery" in aside["detail"]
        assert [t["Subject"] for t in ill.desk.tickets()] == ["behind"]
        store = ill.report().store
        assert (store.malformed, store.imbalance) == (1, 0)


async def test_f44_a_defect_of_ours_costs_one_message_or_one_delivery_and_no_life() -> None:
    """A crash within the process: the message after three tries, the delivery at once, and all others go on."""
    async with patient() as ill:
        await ill.start("--fail-on", DEADLY)
        await ill.send("inside", receiver=DEADLY)
        await ill.send("before", f"a {DEADLY} alert", "after")
        await asyncio.to_thread(ill.worker.wait_drained)

        assert not ill.worker.exited()
        assert sorted(aside["detail"].split(";")[0] for aside in ill.review()) == [
            "Handling this delivery crashed (KeyError)",
            f"Handling this message crashed {TRIES} times (KeyError)",
        ]
        assert sorted(t["Subject"] for t in ill.desk.tickets()) == ["after", "before"]


async def test_f44_kills_from_outside_are_no_fault_of_the_message_that_waits_for_its_system() -> (
    None
):
    """A desk that never answers, and more deaths than poison needs: the ticket is made all the same."""
    async with patient() as ill:
        ill.desk.set_faults(hang_before_probability=1.0, scope="writes")
        await ill.start()
        await ill.send("innocent")
        for _ in range(TRIES + 1):
            await asyncio.to_thread(
                wait_until,
                lambda: ill.report().store.sending,
                what="the desk is asked for its ticket",
            )
            ill.worker.kill()
            await ill.start()
        ill.desk.clear_faults()

        await asyncio.to_thread(ill.worker.wait_drained)

        assert [t["Subject"] for t in ill.desk.tickets()] == ["innocent"]


def on_trial(manifests: list[dict[str, Any]]) -> None:
    """The source's Mapping has a copy of itself as its shadow."""
    put_on_trial(manifests, "alertmanager-to-event", lambda spec: None)


async def test_f44_a_shadow_that_the_worker_dies_of_three_times_is_over_and_costs_no_message() -> (
    None
):
    """What the trial was shown is stored by then: each alert becomes its ticket, and the last harms nobody."""
    titles = [f"a {DEADLY} alert {number}" for number in range(TRIES + 1)]
    async with patient(on_trial) as ill:
        for title in titles[:TRIES]:
            await ill.start("--shadow-dies-of", DEADLY)
            await ill.send(title)
            await ill.dies()

        await ill.start("--shadow-dies-of", DEADLY)
        await ill.send(titles[-1])
        await asyncio.to_thread(
            wait_until, lambda: ill.report().store.done == len(titles), what="tickets"
        )

        assert not ill.worker.exited()
        assert sorted(t["Subject"] for t in ill.desk.tickets()) == titles
        (shadow,) = ill.report().shadows
        assert f"died {TRIES} times while it tried Mapping" in (shadow.stopped or "")
        assert ill.review() == []


async def test_f44_without_its_black_box_a_shadow_kills_the_worker_for_ever() -> None:
    """The control: what decides nothing would keep a Flow from its messages."""
    async with patient(on_trial) as ill:
        for number in range(TRIES + 1):
            await ill.start("--shadow-dies-of", DEADLY, "--without", "black-box")
            await ill.send(f"a {DEADLY} alert {number}")
            await ill.dies()


async def test_f44_without_its_black_box_the_the_worker_dies_for_ever() -> None:
    """The control: nobody remembers what it was."""
    flags = ("--die-of", DEADLY, "--without", "black-box")
    async with patient() as ill:
        await ill.start(*flags)
        await ill.send(f"a {DEADLY} alert")
        await ill.dies()

        assert await ill.live(TRIES + 2, *flags) == TRIES + 2
