"""What each part of an event's way costs alone, in µs of CPU: the least of some rounds, in this process.

The parts of the store are those of its own thread, in transactions of 32 events, fsync'ed.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import apsw
import orjson

from bench.load import webhook
from bench.measuring import plan_for, target
from intops_core.mapping import CompiledMapping, Source
from intops_runtime.core import settling
from intops_runtime.core.addresses import AddressPolicy
from intops_runtime.core.compiled import CompiledPlan, compile_plan
from intops_runtime.core.exchanges import Facts, Found, HttpRequest, HttpResponse
from intops_runtime.core.intake import intake
from intops_runtime.core.messages import Delivery, Leased
from intops_runtime.core.shaping import Shaped, shape
from intops_runtime.edges.outbound import PooledOutbound
from intops_runtime.edges.store import deliveries, lanes
from intops_runtime.edges.store.opening import open_file
from intops_runtime.edges.store.tally import Tally

EVENTS, BATCH, ROUNDS = 1600, 32, 5
STAMP = "2026-01-01T00:00:00Z"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def run() -> None:
    """Print one row a part."""
    print("| part | µs of CPU |")
    print("|---|---:|")
    os.sched_setaffinity(0, {0})
    with target() as url:
        plan = compile_plan(plan_for(url))
        for name, found in (*_pure(plan), *asyncio.run(_clients(url)), *_store(plan)):
            print(f"| {name} | {found:.0f} |", flush=True)


def _least(work: Callable[[int], Any]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for number in range(EVENTS):
            work(number)
        best = min(best, time.process_time() - started)
    return best / EVENTS * 1e6


def _delivered(plan: CompiledPlan) -> list[Delivery]:
    source = next(iter(plan.sources))
    headers = {"content-type": "application/json"}
    return [Delivery(n, source, "", headers, webhook(n), 0.0) for n in range(EVENTS)]


def _by_engine(mapping: CompiledMapping) -> Callable[[Any], Any]:
    """The same Mapping rule by rule, its expressions by the engine."""
    rules = tuple(
        (replace(r, program=r.program and replace(r.program, form=None)), form)
        for r, form in mapping._rules
    )
    variants = tuple((name, replace(program, form=None)) for name, program in mapping._variants)
    stepwise = replace(mapping, _rules=rules, _variants=variants)
    return lambda source: stepwise.apply(source, explain=True)


def _pure(plan: CompiledPlan) -> list[tuple[str, float]]:
    known = _delivered(plan)
    message = intake(plan, known[0], now=NOW).messages[0]
    event = message.record or {}
    shaped = shape(plan, message.key, event, STAMP)
    assert isinstance(shaped, Shaped)
    create = shaped.target.class_.operations["create"]
    facts = Facts(shaped.target.binding.config, shaped.record, message.key)
    asked = create.request("http://x", facts, headers={}, timeout_s=5.0)
    answer = HttpResponse(201, {}, {"id": 7})
    source = next(iter(plan.sources.values()))
    payload = orjson.loads(known[0].body)
    taken = Source(payload["alerts"][0], payload, {}, STAMP)
    told, made = Source(event, None, {}, STAMP), Source(shaped.incident, None, {}, STAMP)
    stepwise = [_by_engine(m) for m in (source.mapping, plan.transform, shaped.target.mapping)]
    return [
        ("intake: parse, split, map, key", _least(lambda n: intake(plan, known[n], now=NOW))),
        ("of that the Mapping", _least(lambda _: source.mapping.apply(taken))),
        ("the same, step by step with the engine", _least(lambda _: stepwise[0](taken))),
        ("event to incident to ticket", _least(lambda _: shape(plan, message.key, event, STAMP))),
        (
            "the same, step by step with the engine",
            _least(lambda _: (stepwise[1](told), stepwise[2](made))),
        ),
        (
            "request made, answer judged",
            _least(
                lambda _: (
                    create.request("http://x", facts, headers={}, timeout_s=5.0),
                    create.succeeded(facts, asked, answer),
                    create.found(facts, asked, answer),
                )
            ),
        ),
    ]


async def _clients(url: str) -> list[tuple[str, float]]:
    body = {"Content": "a" * 600}
    request = HttpRequest("POST", f"{url}/things", {"Idempotency-Key": "k" * 40}, body, 30.0)
    outbound = PooledOutbound(AddressPolicy(allow_loopback=True), concurrency=32)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=32), cookie_jar=aiohttp.DummyCookieJar()
    )

    async def ours() -> None:
        await outbound.send(request, {"Authorization": "token x"})

    async def theirs() -> None:
        async with session.post(
            request.url, data=orjson.dumps(body), headers={**request.headers, "Authorization": "x"}
        ) as answer:
            orjson.loads(await answer.read())

    best = {"HTTP out": float("inf"), "HTTP out with aiohttp": float("inf")}
    for _ in range(ROUNDS):
        for name, one in zip(best, (ours, theirs), strict=True):
            numbers = iter(range(EVENTS))

            async def sender(numbers=numbers, one=one) -> None:  # type: ignore[no-untyped-def]
                for _ in numbers:
                    await one()

            started = time.process_time()
            await asyncio.gather(*(sender() for _ in range(32)))
            best[name] = min(best[name], (time.process_time() - started) / EVENTS * 1e6)
    await session.close()
    await outbound.close()
    return list(best.items())


def _store(plan: CompiledPlan) -> list[tuple[str, float]]:
    best: Counter[str] | None = None
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            spent = _life(plan, Path(folder) / "store.sqlite")
        if best is None or spent.total() < best.total():
            best = spent
    assert best is not None
    return [(f"store: {name}", seconds / EVENTS * 1e6) for name, seconds in best.items()]


def _life(plan: CompiledPlan, file: Path) -> Counter[str]:
    """All events through a new store; CPU seconds by what was done."""
    spent: Counter[str] = Counter()
    db, tally = open_file(file, now=1.0, allow_volatile=True), Tally()
    tally.load(db)

    def commit(name: str, work: Callable[[], Any]) -> Any:
        times = [time.process_time()]
        db.execute("BEGIN IMMEDIATE")
        found = work()
        times.append(time.process_time())
        tally.before_commit(db)
        db.execute("COMMIT")
        tally.after(committed=True)
        times.append(time.process_time())
        spent[name] += times[1] - times[0]
        spent["counters, commit, fsync (6 times)"] += times[2] - times[1]
        return found

    known = _delivered(plan)
    for start in range(0, EVENTS, BATCH):
        some = known[start : start + BATCH]
        commit("delivery in", lambda some=some: _insert(db, tally, some))  # type: ignore[misc]
        read = commit("delivery read", lambda: deliveries.pending(db, BATCH))
        results = [intake(plan, one, now=NOW) for one in read]
        commit(
            "message in",
            lambda results=results: [  # type: ignore[misc]
                deliveries.split(db, tally, one, now=2.0, due_at=9.0) for one in results
            ],
        )
        leased = commit(
            "lease",
            lambda: lanes.due(db, tally, (), (), now=3.0, limit=BATCH, review_at=9.0),
        )
        ids = commit("intent", lambda leased=leased: _intend(db, tally, leased))  # type: ignore[misc]
        done = [_done(plan, one, attempt) for one, attempt in zip(leased, ids, strict=True)]
        commit(
            "outcome, link, episode",
            lambda done=done: [lanes.settle(db, tally, one, now=4.0, due_at=9.0) for one in done],  # type: ignore[misc]
        )
    db.close()
    return spent


def _insert(db: apsw.Connection, tally: Tally, some: list[Delivery]) -> None:
    for one in some:
        deliveries.insert(db, tally, one.source, None, one.headers, one.body, 1.0)


def _intend(db: apsw.Connection, tally: Tally, leased: list[Leased]) -> list[int]:
    return [
        lanes.insert_attempt(
            db, tally, one.message.id, "create", "helpdesk", "k" * 40, "h" * 64, 3.0
        )
        for one in leased
    ]


def _done(plan: CompiledPlan, leased: Leased, attempt: int) -> Any:
    shaped = shape(plan, leased.message.key, leased.message.record or {}, STAMP)
    assert isinstance(shaped, Shaped)
    link = settling.link_to(leased.message, shaped, Found(native_id=str(leased.message.id)))
    episode = settling.episode_after(leased, "open", 4.0)
    return settling.done(leased, "created", link=link, episode=episode, attempt_id=attempt)
