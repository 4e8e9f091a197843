"""Faults of the system and of the way to it, named by their rows of the fault matrix.

One worker, a desk without idempotency, and a proxy that cuts, stalls, drips and lies. In the end the desk's
own ledger is compared with what was acknowledged: nothing lost, nothing doubled.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from intops_api.plan import FlowPlan
from intops_api.report import ConnectorReport, PlanReport
from support.certificates import new_authority
from support.peers.fault_proxy import FaultProxy, NetworkFault
from support.peers.process import wait_until
from support.runtime.clocks import SetClock, passing_time
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk
from support.runtime.storage_run import StorageRun, storage_run
from support.runtime.worker_process import WorkerProcess
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.fault

SOURCE_TOKEN = "a-token-for-tests"
FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))
# Longer than any request of these tests; a cut at the end of it is a cut after it.
REQUEST_BYTES = 1400


@dataclass(slots=True)
class Road:
    """A worker, a desk, and the bad road between them."""

    desk: HelpdeskSimulator
    proxy: FaultProxy
    worker: WorkerProcess
    plan: FlowPlan
    sent: int = 0

    async def send(self, count: int = 1) -> None:
        """Deliver alerts of as many episodes; all are acknowledged."""
        first, self.sent = self.sent, self.sent + count
        alerts = [
            {**FIRING["alerts"][0], "fingerprint": f"{number:016x}"}
            for number in range(first, first + count)
        ]
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.post(
                self.worker.capture_url(self.plan),
                json={**FIRING, "alerts": alerts},
                headers={"Authorization": f"Bearer {SOURCE_TOKEN}"},
            )
        assert answer.status_code == 200

    async def send_through(self, faults: list[NetworkFault]) -> None:
        """One alert for each fault and two that pass: fewer would look like an outage."""
        for fault in faults:
            self.proxy.faults.extend([fault, None, None])
        await self.send(3 * len(faults))
        await self.check_met(len(faults))

    async def check_met(self, count: int) -> None:
        """Wait until so many requests have met a fault."""
        await asyncio.to_thread(
            wait_until,
            lambda: self.proxy.met == count,
            what=f"{count} faults are met",
            timeout_s=120,
        )

    async def drained(self, timeout_s: float = 60.0) -> PlanReport:
        """Wait until nothing is in flight."""
        return await asyncio.to_thread(self.worker.wait_drained, timeout_s)

    async def check(self, *, in_review: int = 0) -> None:
        """Compare the ledgers."""
        report = await self.drained(120.0)
        ledger = await asyncio.to_thread(self.desk.ledger, entries=False)
        assert ledger["duplicates"] == {}
        assert report.store.review == in_review
        assert len(ledger["tickets_by_key"]) == self.sent - in_review
        assert report.store.imbalance == 0
        assert "Traceback" not in self.worker.log_file.read_text(encoding="utf-8")


@pytest.fixture
async def road(request: pytest.FixtureRequest) -> AsyncIterator[Road]:
    """Everything running; the parameter, if any, is the time-out of an operation."""
    with HelpdeskSimulator() as desk:
        async with FaultProxy(int(desk.url.rpartition(":")[2])) as proxy:
            timeout = getattr(request, "param", "1s")
            plan = alerts_to_helpdesk(proxy.url, settle="1s", timeout=timeout)
            secrets = {
                "alertmanager-token": {"token": SOURCE_TOKEN},
                "helpdesk-token": {"token": desk.token},
            }
            with WorkerProcess(plan, secrets=secrets) as worker:
                worker.start()
                await asyncio.to_thread(worker.wait_ready)
                yield Road(desk, proxy, worker, plan)


async def test_f21_an_answer_byte_by_byte_ends_by_the_deadline_of_the_attempt(road: Road) -> None:
    """Not each byte has a deadline but the whole; the record that was made is found."""
    road.proxy.faults.append(NetworkFault("drip", delay_s=0.05))

    await road.send()
    began = time.monotonic()
    await road.check()

    assert road.proxy.met == 1
    assert time.monotonic() - began < 30


async def test_f25_a_peer_that_vanishes_without_a_word_is_given_up_by_deadline(road: Road) -> None:
    """No reset comes; the attempt ends, its effect is looked up, and nothing is doubled."""
    await road.send_through([NetworkFault("stall")] * 3)

    await road.check()


async def test_f26_a_connection_cut_at_any_byte_of_the_request_makes_one_record(road: Road) -> None:
    """Whether the desk has worked is unknown each time; it is looked up, never guessed."""
    places = list(range(0, REQUEST_BYTES, 100))
    await road.send_through([NetworkFault("cut_request", after=place) for place in places])

    await road.check()


async def test_f26_a_connection_cut_at_any_byte_of_the_answer_makes_one_record(road: Road) -> None:
    """The desk has worked each time."""
    places = (0, 1, 10, 17, 60, 120, 200, 10_000)
    await road.send_through([NetworkFault("cut_answer", after=place) for place in places])

    await road.check()


def _answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


JSON_TYPE = "Content-Type: application/json"
LIES: dict[str, bytes] = {
    "nothing": b"",
    "no HTTP": b"220 desk.example.com ESMTP\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "half a status line": b"HTTP/1.1 20",
    "a status that does not exist": _answer("999 Odd", b"{}", JSON_TYPE),
    "half JSON": _answer("201 Created", b'{"id": "1', JSON_TYPE),
    "JSON of another kind": _answer("201 Created", b"[1, 2, 3]", JSON_TYPE),
    "a record without a number": _answer("201 Created", b"{}", JSON_TYPE),
    "a number that is an object": _answer("201 Created", b'{"id": {"a": 1}}', JSON_TYPE),
    "NUL and bytes that are no text": _answer("200 OK", b"\x00\xff\xfe" * 1000, JSON_TYPE),
    "a page for people": _answer("200 OK", b"<html>Maintenance</html>", "Content-Type: text/html"),
    "a redirect": _answer("302 Found", b"", "Location: http://169.254.169.254/latest/meta-data"),
    "a permanent redirect": _answer("308 Permanent Redirect", b"", "Location: http://127.0.0.1:1/"),
    "10,000 headers": _answer("201 Created", b'{"id": 1}', *[f"X-{n}: y" for n in range(10_000)]),
    "a header of 1 MiB": _answer("201 Created", b'{"id": 1}', "X-Long: " + "y" * 1_048_576),
    "a length that is a lie": b"HTTP/1.1 201 Created\r\nContent-Length: 5000\r\n\r\n{}",
    "a length that is no number": b"HTTP/1.1 201 Created\r\nContent-Length: many\r\n\r\n{}",
    "broken chunks": b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}",
    "a bomb": _answer("201 Created", gzip.compress(b" " * 50_000_000, 9), "Content-Encoding: gzip"),
    "a body of 20 MB": _answer("201 Created", b" " * 20_000_000, JSON_TYPE),
    "no gzip": _answer("201 Created", b"this is no gzip", "Content-Encoding: gzip"),
    "only an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n",
}  # fmt: skip


async def test_f28_garbage_answers_are_bounded_and_classified(road: Road) -> None:
    """S-27: None crashes the worker, fills its memory or makes a second record; redirects are not followed."""
    pid = road.worker.pid

    await road.send_through([NetworkFault("lie", raw=raw) for raw in LIES.values()])

    # A person must look at a moved endpoint; everything else is looked up and made after all.
    await road.check(in_review=sum("redirect" in name for name in LIES))
    assert road.worker.pid == pid
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    peak_kib = int(status.partition("VmHWM:")[2].split()[0])
    assert peak_kib < 300 * 1024


async def test_f32_a_desk_that_comes_and_goes_is_neither_hammered_nor_forgotten(
    road: Road, seed: int
) -> None:
    """Up a moment, down a moment, under load: every alert gets its one ticket."""
    draw = random.Random(seed)
    sent = 0
    for _ in range(6):
        await road.proxy.down()
        await road.send(10)
        await asyncio.sleep(draw.uniform(0.2, 1.0))
        await road.proxy.up()
        await road.send(10)
        await asyncio.sleep(draw.uniform(0.2, 1.0))
        sent += 20

    await road.check()
    attempts = await asyncio.to_thread(road.desk.ledger)
    creates = [entry for entry in attempts["entries"] if entry["op"] == "create"]
    # Each cut may cost one attempt for every request that was under way.
    assert len(creates) <= sent + 12 * 4


async def test_f27_a_record_that_was_made_and_could_not_be_read_back_is_made_only_once(
    seed: int,
) -> None:
    """The answer had said which it is: it is linked and read again, whatever the search shows meanwhile."""
    async with storage_run(1, seed, search_lag_s=6.0, settle="1s") as run:
        await run.start("--intents-only")
        # The first read is that of the new ticket, unless the worker just asks whether the desk is there.
        run.desk.set_faults(fail_next=2, fail_status=502, scope="reads")
        run.send()
        verdict = await run.finish()
    assert '"state": "waiting"' in run.log(), "the read has failed"
    assert '"lookingUp"' not in run.log(), "nothing is searched for that is known"
    assert verdict.clean, verdict


DAY_S = 24 * 3600.0
STEPS = 48
MANY = 1_000_000


@dataclass(slots=True)
class Outage:
    """A desk that answers 503 to everything, while hours pass for the worker in moments."""

    run: StorageRun
    set_clock: SetClock
    passed_s: float = 0.0

    def asked(self) -> int:
        """How many requests the desk has refused."""
        return MANY - int(self.run.desk.faults()["fail_next"])

    def target(self) -> ConnectorReport:
        """What the worker says of the desk."""
        return next(one for one in self.run.worker.report().connectors if one.role == "target")

    async def goes_on(self, seconds: float) -> None:
        """So much time passes, and something is delivered; then the desk is asked again."""
        before = self.asked()
        self.run.send(1 / (2 * STEPS))
        self.passed_s += seconds
        self.set_clock(self.passed_s)
        # Its report is asked for because a request makes the worker look at its clock.
        await self.run.until(
            "the desk is asked again", lambda: self.target() and self.asked() > before
        )


@asynccontextmanager
async def outage(folder: Path, events: int, seed: int, *flags: str) -> AsyncIterator[Outage]:
    """The desk is down from the first message on."""
    async with storage_run(events, seed) as run:
        time_flags, set_clock = passing_time(folder)
        run.desk.set_faults(fail_next=MANY, fail_status=503, scope="all")
        await run.start(*time_flags, *flags)
        run.send(0.1)
        await run.until("some wait", lambda: run.worker.report().store.in_flight > 5)
        yield Outage(run, set_clock)


async def test_f20_a_day_without_the_desk_keeps_every_message_and_asks_with_single_requests(
    tmp_path: Path, seed: int
) -> None:
    """What came in a day is delivered in order when the desk is back, although a try may be a day old."""
    async with outage(tmp_path, 200, seed) as down:
        run = down.run
        await run.until("it is told", lambda: down.target().error_class == "destinationDown")
        began, at_first = time.monotonic(), down.asked()
        for _ in range(STEPS):
            await down.goes_on(DAY_S / STEPS)
        # One request each time, and one for every ten seconds that the test itself took.
        assert down.asked() - at_first <= STEPS + (time.monotonic() - began) / 10.0 + 1
        store = (await run.report()).store
        assert (store.done, store.review, store.imbalance) == (0, 0, 0)
        run.desk.clear_faults()
        verdict = await run.finish(90.0)
    assert verdict.clean, verdict


async def test_f20_without_the_circuit_a_desk_that_is_down_is_hammered(
    tmp_path: Path, seed: int
) -> None:
    """The control: each message that waits asks for itself."""
    async with outage(tmp_path, 200, seed, "--without", "circuit") as down:
        at_first = down.asked()
        for _ in range(5):
            await down.goes_on(DAY_S / STEPS)
        assert down.asked() - at_first > 5 * 5
        down.run.worker.kill()


@pytest.mark.parametrize("road", ["5s"], indirect=True)
async def test_f21_one_slow_system_delays_no_other_plan(road: Road) -> None:
    """S-61: Two Flows in one process; while one desk does not answer at all the other is served as ever."""
    with HelpdeskSimulator() as quick:
        like = alerts_to_helpdesk(quick.url, settle="1s", timeout="1s")
        other = like.model_copy(update={"flow": like.flow.model_copy(update={"name": "quick"})})
        road.worker.write_secret("helpdesk-token", {"token": quick.token})
        road.desk.accept_tokens([road.desk.token, quick.token])
        road.worker.write_plan(other)
        log = road.worker.log_file
        await asyncio.to_thread(
            wait_until,
            lambda: "itsm/quick" in log.read_text("utf-8"),
            what="the other plan is loaded",
        )
        road.desk.set_faults(hang_before_next=-1, scope="all")
        await road.send(200)

        began = time.monotonic()
        alerts = [{**FIRING["alerts"][0], "fingerprint": f"q{number}"} for number in range(50)]
        async with httpx.AsyncClient() as client:
            for alert in alerts:
                answer = await client.post(
                    road.worker.capture_url(other),
                    json={**FIRING, "alerts": [alert]},
                    headers={"Authorization": f"Bearer {SOURCE_TOKEN}"},
                )
                assert answer.status_code == 200
        await asyncio.to_thread(made, quick, 50)
        # The other desk has held every one of its requests all the time.
        assert time.monotonic() - began < 20
        assert road.desk.ledger(entries=False)["tickets_by_key"] == {}

        road.desk.clear_faults()
        await asyncio.to_thread(made, road.desk, road.sent)


def made(desk: HelpdeskSimulator, count: int) -> None:
    """Wait until a desk has one ticket for each of so many alerts."""
    wait_until(
        lambda: len(desk.ledger(entries=False)["tickets_by_key"]) == count,
        what=f"{count} tickets are made",
        timeout_s=120,
    )


class Faces:
    """The desk's ways of proving who it is; each is bad for another reason, the last is good."""

    def __init__(self, folder: Path) -> None:
        self.authority = new_authority("ours")
        sound = self.authority.server_context(folder)
        self.bad = {
            "its certificate has expired": self.authority.server_context(folder, expired=True),
            "its certificate is another host's": self.authority.server_context(
                folder, host="other.example.com"
            ),
            "its authority is unknown": new_authority("theirs").server_context(folder),
            "it speaks no TLS": None,
        }
        self.good = sound


async def test_f29_a_desk_that_cannot_prove_who_it_is_gets_no_credential(tmp_path: Path) -> None:
    """S-26: Nothing is sent to it, the report says why, and it goes on by itself once that is mended."""
    faces = Faces(tmp_path)
    with HelpdeskSimulator() as desk:
        proxy = FaultProxy(int(desk.url.rpartition(":")[2]), scheme="https")
        await proxy.up(faces.bad["its certificate has expired"])
        plan = alerts_to_helpdesk(proxy.url, settle="1s", timeout="1s", ca_secret="desk-ca")
        secrets = {
            "alertmanager-token": {"token": SOURCE_TOKEN},
            "helpdesk-token": {"token": desk.token},
            "desk-ca": {"ca.crt": faces.authority.pem},
        }
        with WorkerProcess(plan, secrets=secrets) as worker:
            worker.start()
            await asyncio.to_thread(worker.wait_ready)
            road = Road(desk, proxy, worker, plan)
            await road.send(8)
            await asyncio.to_thread(
                wait_until, lambda: state_of(road) == ("open", "destinationDown"), what="it is told"
            )
            for reason, face in faces.bad.items():
                await proxy.down()
                await proxy.up(face)
                worker.terminate()  # the next one knows nothing, so what it tells it has seen
                worker.start()
                await asyncio.to_thread(worker.wait_ready)
                await asyncio.to_thread(wait_until, lambda: told_of(road), what=f"{reason} is told")
            assert proxy.credentials == 0

            await proxy.down()
            await proxy.up(faces.good)
            await road.check()
            # The authority signs for a day.
            ends = datetime.fromisoformat(end_of(road) or "")
            assert timedelta(0) < ends - datetime.now(UTC) <= timedelta(days=1)

            # Another authority, and the Secret follows: no restart.
            other = new_authority("next")
            await proxy.down()
            await proxy.up(other.server_context(tmp_path))
            worker.write_secret("desk-ca", {"ca.crt": other.pem})
            await road.send(3)
            await road.check()
            assert proxy.credentials > 0
            assert desk.token not in worker.log_file.read_text(encoding="utf-8")
        await proxy.down()


def state_of(road: Road) -> tuple[str, str | None]:
    """What the report says of the desk."""
    (desk,) = [one for one in road.worker.report().connectors if one.role == "target"]
    return desk.state, desk.error_class


def end_of(road: Road) -> str | None:
    """When the report says that the desk's certificate ends."""
    (desk,) = [one for one in road.worker.report().connectors if one.role == "target"]
    return desk.certificate_expires


def told_of(road: Road) -> bool:
    """Whether the report says that the desk cannot prove who it is."""
    (desk,) = [one for one in road.worker.report().connectors if one.role == "target"]
    return "cannot prove who it is" in (desk.detail or "")
