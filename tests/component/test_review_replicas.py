"""Several replicas of one Flow: a decision counts once, the audit is one chain, whoever is killed in between."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest

from intops_runtime.core.auditing import Entry
from intops_runtime.core.decisions import Answer, Decision, Resolution, Select
from intops_runtime.core.messages import IntakeResult, NewMessage, Settlement, State
from intops_runtime.edges.store.base import Elsewhere
from intops_runtime.edges.store.postgres import PostgresStore
from intops_runtime.edges.store.postgres_schema import STEPS, VERSION
from intops_runtime.edges.store.reviews import Wanted
from support.peers.postgresql import PostgreSQL
from support.peers.process import wait_until
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk
from support.runtime.replica_set import ReplicaSet, shared
from support.runtime.store_engines import (
    NAMESPACE,
    PostgresEngine,
    chain_of,
    message,
    problems,
    put,
    told,
)
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.component

SOURCE = "source-token-1"
DESK = "desk-token-1"
FLOW = "alerts-to-helpdesk"


@asynccontextmanager
async def stores(engine: PostgresEngine, count: int) -> AsyncIterator[list[PostgresStore]]:
    """Some replicas of one Flow in this process, with the lanes spread among them."""
    opened = [engine.start(f"replica-{number}") for number in range(count)]
    for _ in range(3):  # let go, take, see
        for store in opened:
            await store.refresh()
    yield opened
    for store in opened:
        await store.close()


async def reviewed(store: PostgresStore, count: int) -> list[int]:
    """So many messages in review that came by any replica; their numbers."""
    new = [
        NewMessage(
            n, f"k{n}", None, State.REVIEW, "mapped", "review", "hash", None, {"a": n},
            error_class="validation", detail="odd", path="f",
        )
        for n in range(count)
    ]  # fmt: skip
    accepted = await store.accept("source", None, {}, b"{}", time.time())
    await store.settle_intake([IntakeResult(accepted.id, tuple(new))], time.time())
    return [item.id for item in await store.decisions.review_items(Wanted(limit=count))]


def splitter(opened: list[PostgresStore]) -> PostgresStore:
    """The replica that splits what the source "source" sends."""
    return next(store for store in opened if store.decisions.tells("source"))


def discard(name: str = "d") -> Decision:
    return Decision(name, "discard", Select(all=True), "because", "jo")


async def test_one_replica_applies_a_decision_and_the_others_get_its_answer(
    engine: PostgresEngine, peer: PostgreSQL
) -> None:
    """Three are told at once: one begins, and until it has ended nobody else changes a message."""
    async with stores(engine, 3) as three:
        source = splitter(three)
        await source.next_intake(9)
        numbers = await reviewed(source, 30)
        began = await asyncio.gather(
            *(store.decisions.begin_decision("d", time.time()) for store in three),
            return_exceptions=True,
        )
        winners = [s for s, b in zip(three, began, strict=True) if not isinstance(b, BaseException)]
        assert len(winners) == 1
        assert Counter(type(b) for b in began)[Elsewhere] == 2
        (ours,) = winners
        other = next(store for store in three if store is not ours)
        every = [Resolution(n, discard=True) for n in numbers]

        applied = await ours.decisions.decide(discard(), every[:20], time.time())
        with pytest.raises(Elsewhere):
            await other.decisions.decide(discard(), every, time.time())
        with pytest.raises(Elsewhere):
            await other.decisions.end_decision(discard(), Answer(), time.time())
        await ours.decisions.decide(discard(), every, time.time())
        answer = await ours.decisions.end_decision(discard(), Answer(), time.time())

        assert applied.messages == tuple(numbers[:20])
        assert answer.applied == 30
        for store in three:
            assert (await store.decisions.begin_decision("d", time.time()))[1] == answer
        rows = await chain_of(peer, engine.flow)
        assert sum('"action":"discard"' in row.body for row in rows) == 30
        assert problems(rows) == []
        report = await told(other)
        assert (report.discarded, report.review, report.imbalance) == (30, 0, 0)


async def test_a_decision_of_a_dead_replica_is_taken_over_and_its_late_rest_refused(
    engine: PostgresEngine, peer: PostgreSQL
) -> None:
    """Whoever is declared dead in the middle changes nothing any more; the heir ends what was begun."""
    async with stores(engine, 1) as (late,):
        await late.next_intake(9)
        numbers = await reviewed(late, 4)
        await late.decisions.begin_decision("d", time.time())
        first = [Resolution(n, discard=True) for n in numbers[:2]]
        await late.decisions.decide(discard(), first, time.time())

        peer.sql("UPDATE intops.replicas SET expires_at = now() - interval '1 second'")
        heir = engine.start("heir")
        await heir.refresh()
        assert (await heir.decisions.begin_decision("d", time.time()))[1] is None
        every = [Resolution(n, discard=True) for n in numbers]
        with pytest.raises(Elsewhere):
            await late.decisions.decide(discard(), every, time.time())
        applied = await heir.decisions.decide(discard(), every, time.time())
        answer = await heir.decisions.end_decision(discard(), Answer(), time.time())

        assert applied.messages == tuple(numbers[2:])
        assert answer.applied == 4
        await heir.close()
    rows = await chain_of(peer, engine.flow)
    assert sum('"action":"discard"' in row.body for row in rows) == 4
    assert problems(rows) == []


async def test_what_one_replica_decides_runs_where_its_lane_is_and_keeps_its_order(
    engine: PostgresEngine,
) -> None:
    """A message comes back before the newer ones of its key, whoever holds their lane."""
    async with stores(engine, 2) as two:
        source = splitter(two)
        for key in ("a", "b", "c", "d"):
            await put(source, message(key, state=State.REVIEW))
        for key in ("a", "b", "c", "d"):
            await put(source, message(key))
        first = [item.id for item in await source.decisions.review_items(Wanted())]
        again = [Resolution(n, discard=False) for n in first]
        retry = Decision("d", "retry", Select(all=True), "because", "jo")
        await two[0].decisions.decide(retry, again, time.time())

        for _ in range(2):
            leased = [(store, one) for store in two for one in await store.lease(time.time(), 9)]
            assert sorted(one.message.key for _, one in leased) == ["a", "b", "c", "d"]
            assert all(one.message.id in first for _, one in leased) == bool(first)
            for store, one in leased:
                ended = Settlement(one.message.id, State.DONE, "link", "created")
                await store.settle(ended, time.time())
            first = []
        assert len({store for store, _ in leased}) == 2


async def test_an_attempt_that_is_looked_up_again_has_ended_long_ago_on_any_replica(
    engine: PostgresEngine,
) -> None:
    """Else the replica that holds the lane would wait for its end for ever."""
    async with stores(engine, 2) as two:
        source = splitter(two)
        await put(source, message("a"))
        found = [(store, one) for store in two for one in await store.lease(time.time(), 1)]
        ((store, leased),) = found
        number = leased.message.id
        attempt = await store.intend(number, "create", "desk", "i", "h", time.time())
        gave_up = Settlement(
            number, State.REVIEW, "act", "timeout", attempt_id=attempt, outcome="unknown"
        )
        await store.settle(gave_up, time.time())
        ended_by = time.time()
        other = next(one for one in two if one is not store)
        retry = Decision("d", "retry", Select(messages=(number,)), "because", "jo")
        resolution = Resolution(number, discard=False, reopen=True)
        applied = await other.decisions.decide(retry, [resolution], time.time())

        (again,) = await store.lease(time.time(), 1)
        assert set(applied.reopened) == {attempt}
        assert again.open_attempt is not None
        assert again.open_attempt.intent_at < again.since < ended_by + 0.5


@pytest.mark.parametrize(
    ("touch", "says"),
    [
        (
            "UPDATE intops.audit SET body = overlay(body placing 'X' from 30) WHERE seq = 2",
            "changed",
        ),
        ("UPDATE intops.audit_values SET data = replace(data, 'jo', 'jx')", "digests"),
        ("DELETE FROM intops.audit WHERE seq = 2", "missing or reordered"),
        ("DELETE FROM intops.audit_values", "no entry says that they were erased"),
        (
            "UPDATE intops.audit SET seq = 99 WHERE seq = 3",
            "does not follow",
        ),
    ],
    ids=["entry", "value", "deleted entry", "deleted value", "reordered"],
)
async def test_a_byte_that_somebody_flips_in_the_audit_is_found(touch: str, says: str) -> None:
    """As in the embedded store, by the same verification."""
    with PostgreSQL() as fresh:
        engine = PostgresEngine(fresh, "flow")
        async with stores(engine, 2) as two:
            for number in range(4):
                entry = Entry("discard", {"message": number}, {"actor": "jo"})
                await two[number % 2].decisions.audit(entry, time.time())
            assert problems(await two[0].decisions.audit_page(0, 9)) == []
            fresh.sql(touch)
            found = problems(await two[1].decisions.audit_page(0, 9))
            assert says in " ".join(found)


async def test_a_byte_that_is_flipped_before_an_entry_is_sealed_is_found_too(
    engine: PostgresEngine, peer: PostgreSQL
) -> None:
    """What waits beside the chain is guarded by its own hash; the chain goes on after it."""
    async with stores(engine, 1) as (store,):
        flow = f"(SELECT flow FROM intops.flows WHERE name = '{engine.flow}')"
        row = f"(flow, body, hash) SELECT {flow}, '{{\"action\":\"x\"}}', repeat('0', 64)"
        peer.sql(f"INSERT INTO intops.audit_pending{row}")
        await store.decisions.audit(Entry("discard", {"message": 1}, {}), time.time())
        rows = await store.decisions.audit_page(0, 9)
        assert problems(rows) == ["Entry 1 stands for one that was changed before it was sealed."]
        assert len(rows) == 2


async def test_values_are_erased_whichever_replica_is_asked_and_the_chain_holds(
    engine: PostgresEngine, peer: PostgreSQL
) -> None:
    """Also those that wait beside the chain at that moment; nothing of them is left in any table."""
    async with stores(engine, 3) as three:
        for number, store in enumerate(three):
            entry = Entry("discard", {"key": "k" if number else "z"}, {"actor": "jo@example.com"})
            await store.decisions.audit(entry, time.time())
        erased = await three[2].decisions.erase("k", Entry("erased", {"key": "k"}), time.time())
        rows = await chain_of(peer, engine.flow)
        assert erased == 2
        assert [row.values is None for row in rows[:3]].count(True) == 2
        assert problems(rows) == []
        left = peer.sql(
            "SELECT (SELECT count(*) FROM intops.audit_values WHERE data LIKE '%jo@example.com%' AND "
            f"flow = (SELECT flow FROM intops.flows WHERE name = '{engine.flow}')) + "
            "(SELECT count(*) FROM intops.audit_pending)"
        )
        assert left == "1"


async def test_the_plan_is_told_once_for_all_replicas(
    engine: PostgresEngine, peer: PostgreSQL
) -> None:
    """Three replicas that load one plan have taken it into use once."""
    async with stores(engine, 3) as three:
        for plan in ("a", "b"):
            entry = Entry("planLoaded", {"plan": plan})
            await asyncio.gather(*(s.decisions.audit(entry, time.time()) for s in three))
    assert len(await chain_of(peer, engine.flow)) == 2


async def test_a_database_of_the_version_before_shows_its_review_queue() -> None:
    """F100: messages that waited before the upgrade are grouped and can be decided."""
    with PostgreSQL() as fresh:
        fresh.sql("CREATE SCHEMA intops")
        fresh.sql("CREATE TABLE intops.meta(name text PRIMARY KEY, value text NOT NULL)")
        for step in STEPS[:3]:
            fresh.sql(step)
        fresh.sql("INSERT INTO intops.meta VALUES('schema', '3')")
        fresh.sql(
            "INSERT INTO intops.flows(namespace, name, store_id, created_at) "
            f"VALUES('{NAMESPACE}', 'flow', 'id', 1)"
        )
        fresh.sql("INSERT INTO intops.lanes(flow, lane) SELECT 1, generate_series(0, 255)")
        fresh.sql("INSERT INTO intops.counters VALUES(1, '', 'review', 2), (1, '', 'received', 2)")
        fresh.sql(
            "INSERT INTO intops.messages(flow, id, delivery_id, item, source, lane, key, state, stage, "
            "reason, due_at, plan_hash, error_class, detail, received_at, review_at) "
            "SELECT 1, n, 1, 0, 's', 1, 'k' || n, 'review', 'act', 'validation', 0, 'h', 'validation', "
            "'record ' || n || ' is odd', 5, 9 FROM generate_series(1, 2) AS n"
        )
        async with stores(PostgresEngine(fresh, "flow"), 1) as (store,):
            (group,) = await store.decisions.review_groups(10)
            resolutions = [Resolution(n, discard=True) for n in group.ids]
            applied = await store.decisions.decide(discard(), resolutions, time.time())
            assert (group.count, applied.messages) == (2, (1, 2))
            assert group.newest_at == pytest.approx(5.0, abs=1.0)
            assert (await told(store)).imbalance == 0
        assert fresh.sql("SELECT value FROM intops.meta WHERE name = 'schema'") == str(VERSION)


@contextmanager
def trio(peer: PostgreSQL, desk: HelpdeskSimulator, *flags: str) -> Iterator[ReplicaSet]:
    """Three worker processes on an empty database, the first with test flags."""
    peer.sql("DROP SCHEMA IF EXISTS intops CASCADE")
    secrets = {
        "alertmanager-token": {"token": SOURCE, "bearer": SOURCE},
        "helpdesk-token": {"token": DESK},
    }
    plan = shared(alerts_to_helpdesk(desk.url))
    with ReplicaSet(peer, plan, secrets, replicas=3) as replicas:
        replicas.start_all({"replica-0": flags})
        yield replicas


@pytest.fixture
def desk() -> Iterator[HelpdeskSimulator]:
    """The simulated helpdesk."""
    desk = HelpdeskSimulator(token=DESK)
    desk.start()
    yield desk
    desk.stop()
    shutil.rmtree(desk.workdir, ignore_errors=True)


def post(replicas: ReplicaSet, count: int) -> None:
    """Deliver so many alerts of an unknown severity, and wait until all are in review."""
    body = json.loads((EXAMPLE / "samples" / "01-firing.json").read_bytes())
    (item,) = body["alerts"]
    body["alerts"] = [
        {
            **item, "fingerprint": f"f{n}", "labels": {**item["labels"], "severity": "odd"},
            "annotations": {"summary": f"alert {n} hurts"},
        }
        for n in range(count)
    ]  # fmt: skip
    answer = httpx.post(
        replicas.urls[1], json=body, headers={"Authorization": f"Bearer {SOURCE}"}, timeout=30.0
    )
    assert answer.status_code == 200, answer.text
    worker = replicas.workers["replica-1"]
    wait_until(lambda: worker.report().store.review == count, what="all in review", timeout_s=60.0)


def decided(uid: str, action: str, **parts: Any) -> dict[str, Any]:
    """One decision about everything in review."""
    return {
        "uid": uid, "action": action, "select": {"allInReview": True}, "reason": "a test",
        "actor": "alice@example.com", **parts,
    }  # fmt: skip


def said(chain: list[Any], action: str) -> Counter[int]:
    """How often the audit tells of an action, by message."""
    found = [json.loads(row.body) for row in chain]
    return Counter(entry["message"] for entry in found if entry["action"] == action)


async def test_a_decision_that_all_replicas_are_told_is_applied_once(
    peer: PostgreSQL, desk: HelpdeskSimulator
) -> None:
    """One correction of forty messages, given to three workers: forty tickets, one answer, one chain."""
    with trio(peer, desk) as replicas:
        post(replicas, 40)
        edit = decided("u1", "edit", patch=[{"path": "severity", "value": "major"}])
        for worker in replicas.workers.values():
            worker.write_actions(replicas.plan, edit)
        answers = [
            wait_until(lambda w=worker: w.answers().get("u1"), what="an answer")  # type: ignore[misc]
            for worker in replicas.workers.values()
        ]
        wait_until(lambda: len(desk.tickets()) == 40, what="forty tickets", timeout_s=60.0)
        assert {(a.applied, a.refused, a.left) for a in answers} == {(40, None, None)}
        assert len({a.at for a in answers}) == 1
        worker = replicas.workers["replica-2"]
        report = wait_until(
            lambda: worker.report().store if worker.report().store.done == 40 else None,
            what="the report tells of it",
        )
        chain = await chain_of(peer, FLOW)

    assert report.imbalance == 0
    assert desk.ledger(entries=False)["duplicates"] == {}
    assert len(desk.tickets()) == 40
    assert list(said(chain, "edit").values()) == [1] * 40
    assert list(said(chain, "delivered").values()) == [1] * 40
    assert [json.loads(row.body)["action"] for row in chain].count("planLoaded") == 1
    assert problems(chain) == []


@pytest.mark.parametrize("point", ["D01", "D02"])
async def test_the_audit_verifies_after_a_replica_was_killed_in_the_middle_of_a_decision(
    peer: PostgreSQL, desk: HelpdeskSimulator, point: str
) -> None:
    """Before or after the commit of a part of it: another replica ends it, each message counts once."""
    count = 450  # more than two parts
    with trio(peer, desk, "--kill-at", point, "--hit", "1") as replicas:
        post(replicas, count)
        first = replicas.workers["replica-0"]
        first.write_actions(replicas.plan, decided("u1", "discard"))
        wait_until(first.exited, what="the replica is killed")
        left = int(peer.sql("SELECT count(*) FROM intops.messages WHERE state = 'review'"))
        others = [replicas.workers[name] for name in ("replica-1", "replica-2")]
        for worker in others:
            worker.write_actions(replicas.plan, decided("u1", "discard"))
        answers = [
            wait_until(
                lambda w=worker: w.answers().get("u1"),  # type: ignore[misc]
                what="the answer of an heir",
                timeout_s=40.0,
            )
            for worker in others
        ]
        replicas.wait_taken_over("replica-0")
        report = wait_until(
            lambda: r if (r := others[0].report().store).discarded == count else None,
            what="the report tells of it",
        )
        chain = await chain_of(peer, FLOW)

    assert left == (count if point == "D01" else count - 200)
    assert [(a.applied, a.refused, a.left) for a in answers] == [(count, None, None)] * 2
    assert (report.review, report.imbalance) == (0, 0)
    assert Counter(said(chain, "discard").values()) == {1: count}
    assert Counter(said(chain, "toReview").values()) == {1: count}
    assert problems(chain) == []
