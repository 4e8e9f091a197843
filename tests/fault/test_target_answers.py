"""What the system answers, named by rows of the fault matrix: limits, bursts, every status, late searches, silence.

One worker and the register; in the end its own ledger is compared with what was acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any

import pytest

from intops_api.conditions import ConditionType
from support.peers.fault_proxy import NetworkFault
from support.runtime.stage import FIRING, Stage, register_behind_proxy, stage_for
from support.simulators.register import CLIENT, Reply, plan_for

pytestmark = pytest.mark.fault

YOUNG = "2090-01-01T00:00:00Z"
"""An episode so young that nobody is expected to have a record of it: no look before the first write."""


@asynccontextmanager
async def staged(*safeguard: str) -> AsyncIterator[Stage]:
    """Everything running; `--without NAME` takes a safeguard away."""
    async with (
        register_behind_proxy() as (register, proxy),
        stage_for(plan_for(proxy.url, {}), register, proxy, *safeguard) as stage,
    ):
        yield stage


async def fire_all(stage: Stage, names: list[str]) -> None:
    """One delivery with an alert for each name."""
    first = {**FIRING["alerts"][0], "startsAt": YOUNG}
    alerts = [{**first, "fingerprint": n, "annotations": {"summary": n}} for n in names]
    await stage.post({**FIRING, "alerts": alerts})


def twins(stage: Stage) -> list[str]:
    """Titles that the register has more than once."""
    counted = Counter(case["title"] for case in stage.register.cases.values())
    return [title for title, times in counted.items() if times > 1]


def pauses(seed: int) -> list[str | None]:
    """What a 429 may say about how long: seconds, a date, garbage, a negative number, nothing."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    forms = ["1", soon, "soon", "-5", "", None, "Mon, 99999999999999999999 Jan 2026 00:00:00 GMT"]
    random.Random(seed).shuffle(forms)
    return forms


async def storm(stage: Stage, events: int, seed: int) -> int:
    """Send while the desk sets limits for four seconds; returns how many writes it saw in all."""
    forms = pauses(seed)
    until = time.monotonic() + 4.0
    refused = 0

    def limits(_method: str, _record: dict[str, Any]) -> Reply | None:
        nonlocal refused
        if time.monotonic() > until:
            return None
        refused += 1
        form = forms[refused % len(forms)]
        return Reply(429, headers={} if form is None else {"Retry-After": form})

    stage.register.script = limits
    await fire_all(stage, [f"a{number}" for number in range(events)])
    await asyncio.to_thread(stage.worker.wait_drained, 90.0)
    assert refused > 0
    assert (len(stage.register.cases), twins(stage)) == (events, [])
    return stage.register.writes


async def test_f22_a_storm_of_limits_costs_hardly_any_attempt(seed: int) -> None:
    """S-30: However odd the header is: attempts stay below 1.1 times the events, and all arrive."""
    async with staged() as stage:
        assert await storm(stage, 120, seed) <= 1.1 * 120
        messages = await asyncio.to_thread(stage.rows)
        assert {message["tries"] for message in messages} == {0}


async def test_f22_without_the_gate_the_storm_is_answered_by_a_storm(seed: int) -> None:
    """The control: each message meets the limit by itself."""
    async with staged("--without", "gate") as stage:
        assert await storm(stage, 120, seed) > 1.2 * 120


async def test_f22_a_limit_of_ten_years_ends_within_the_hour() -> None:
    """It is taken for a mistake; until then nothing is sent."""
    async with staged() as stage:
        stage.register.script = lambda *_: Reply(429, headers={"Retry-After": "315360000"})
        await fire_all(stage, ["a"])
        await stage.comes_to("a", "waiting")
        assert stage.register.writes == 1
        stage.worker.terminate()
        (file,) = (stage.worker.root / "data").rglob("store.sqlite")
        with contextlib.closing(sqlite3.connect(file)) as store:
            (due_at,) = store.execute("SELECT due_at FROM messages").fetchone()
        await stage.start()
        assert 3000 < due_at - time.time() < 1.2 * 3600


async def test_f22_after_a_limit_half_as_many_requests_run_at_once() -> None:
    """A desk that could not take four at once gets two."""
    async with staged() as stage:
        stage.register.work_s = 0.05
        await fire_all(stage, [f"a{number}" for number in range(20)])
        await asyncio.to_thread(stage.worker.wait_drained)
        before, stage.register.most_at_once = stage.register.most_at_once, 0
        left = [Reply(429, headers={"Retry-After": "1"})]
        stage.register.script = lambda *_: left.pop() if left else None
        await fire_all(stage, ["limited"])
        await stage.comes_to("limited", "done")
        await fire_all(stage, [f"b{number}" for number in range(20)])
        await asyncio.to_thread(stage.worker.wait_drained)

        assert (before, stage.register.most_at_once) == (4, 2)


async def bursts(stage: Stage, seed: int) -> None:
    """Two bursts of answers that are no success, half of them after the work was done."""
    draw = random.Random(seed)
    odd = [502, 503, 504, 200, 201]

    def errs(method: str, _record: dict[str, Any]) -> Reply | None:
        if method == "GET" or draw.random() > 0.4:
            return None
        return Reply(draw.choice(odd), {"code": "no"}, after_work=draw.random() < 0.5)

    stage.register.is_unique = False
    for burst in range(2):
        stage.register.script = errs
        await fire_all(stage, [f"{burst}-{number}" for number in range(15)])
        await asyncio.sleep(2.0)
        stage.register.script = lambda *_: None
        await asyncio.to_thread(stage.worker.wait_drained, 90.0)


async def test_f23_bursts_of_errors_lose_nothing_and_double_nothing(seed: int) -> None:
    """Also where the work was done before the error, and where the error comes with 200."""
    async with staged() as stage:
        await bursts(stage, seed)
        report, _ = await stage.watch.look()
        assert (report.store.done, report.store.review) == (30, 0)
        assert (len(stage.register.cases), twins(stage)) == (30, [])


async def test_f23_without_the_look_the_bursts_make_twins(seed: int) -> None:
    """The control."""
    async with staged("--without", "lookup") as stage:
        await bursts(stage, seed)
        assert twins(stage) != []


REVIEWED = {*range(300, 400), *range(400, 500)} - {401, 407, 408, 409, 412, 423, 428, 429}
"""Statuses after which a person looks: the same request would be answered the same again."""


def down_statuses(seed: int, fault_runs: str) -> list[int]:
    """Each of these closes the gate for ten seconds, so that a short run takes some."""
    every = [status for status in range(500, 600) if status not in (502, 503, 504)]
    return every if fault_runs == "full" else random.Random(seed).sample(every, 1)


def quick_statuses(seed: int, fault_runs: str) -> list[int]:
    """Those that close no gate: all in a full run, else the ones with names and some others.

    Of those that are tried again only a few are taken, since more would use up the retry budget.
    """
    every = [status for status in range(200, 505) if status not in (407, 500, 501)]
    if fault_runs == "full":
        return every
    named = {s for s in every if s in {item.value for item in HTTPStatus} and s >= 300}
    draw = random.Random(seed)
    odd = draw.sample(sorted(REVIEWED - named), 15)
    return sorted({*named, *odd, *draw.sample(range(200, 300), 2)})


async def test_f24_every_status_leads_where_it_is_documented(seed: int, fault_runs: str) -> None:
    """100 to 599 as the answer to a create: nothing is lost or doubled, each message is where it belongs."""
    down = down_statuses(seed, fault_runs)
    async with staged() as stage:
        met: set[str] = set()

        def once(_method: str, record: dict[str, Any]) -> Reply | None:
            title = record.get("title", "")
            if not title.startswith("s") or title in met:
                return None
            met.add(title)
            return Reply(int(title[1:]))

        stage.register.script = once
        statuses = quick_statuses(seed, fault_runs)
        await fire_all(stage, [f"s{status}" for status in statuses])
        await asyncio.to_thread(stage.worker.wait_drained, 90.0)
        for status in down:
            await fire_all(stage, [f"s{status}"])
        await asyncio.to_thread(stage.worker.wait_drained, 30.0 + 15.0 * len(down))
        # A proxy's refusal holds the connector until its Secret changes.
        await fire_all(stage, ["s407"])
        await stage.comes_to("s407", "held")
        stage.worker.write_secret("helpdesk-token", {**CLIENT, "clientSecret": "another"})
        await stage.comes_to("s407", "done")
        # Interim answers that nothing follows are no answers.
        interim = [100, 101, 199]
        for status in interim:
            raw = f"HTTP/1.1 {status} Odd\r\n\r\n".encode()
            stage.proxy.faults.extend([NetworkFault("lie", raw=raw), None])
            await fire_all(stage, [f"i{status}"])
            await stage.comes_to(f"i{status}", "done")

        ended = {m["title"]: m["state"] for m in await asyncio.to_thread(stage.rows)}
        sent = [*statuses, *down, 407]
        expected = {f"s{s}": "review" if s in REVIEWED else "done" for s in sent}
        assert ended == expected | {f"i{status}": "done" for status in interim}
        titles = [case["title"] for case in stage.register.cases.values()]
        assert sorted(titles) == sorted(t for t, state in ended.items() if state == "done")


async def lagging(stage: Stage, blind_searches: int) -> None:
    """A write is done and never answered, and the search does not show it for a while."""
    stage.register.is_unique = False
    stage.register.hang_after_work = 1
    await fire_all(stage, ["a"])
    stage.register.search_lag = blind_searches
    await stage.comes_to("a", "done")


async def test_f27_a_search_that_lags_makes_no_twin() -> None:
    """Nothing found is not believed before the time that the class gives its search (`settle`)."""
    async with staged() as stage:
        await lagging(stage, 2)
        assert stage.register.search_lag == 0
        assert (len(stage.register.cases), twins(stage)) == (1, [])


async def test_f27_a_search_that_lags_longer_than_its_class_says_makes_one() -> None:
    """The control: what protects is the class's own word, so it has to be true."""
    async with staged() as stage:
        await lagging(stage, 1000)
        assert twins(stage) == ["a"]


async def test_f31_a_blocked_way_out_is_told_with_its_reason() -> None:
    """Nobody answers, not even with a refusal, as behind a firewall that drops: told, and not hammered."""
    async with register_behind_proxy() as (register, proxy):
        with silent_port() as port:
            plan = plan_for(f"http://127.0.0.1:{port}", {})
            async with stage_for(plan, register, proxy) as stage:
                await fire_all(stage, ["a"])
                said = await stage.watch.condition(ConditionType.TARGET_REACHABLE, "False")
                assert "does not accept a connection" in said.words
                assert "firewall or a NetworkPolicy" in said.words
                await stage.comes_to("a", "held")
                assert (await stage.watch.look())[0].store.review == 0


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A port whose queue of connections is full, so that the kernel drops what else comes."""
    with contextlib.ExitStack() as open_sockets:
        listening = open_sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listening.getsockname()[1]
        for _ in range(4):
            one = open_sockets.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        yield port
