"""The PostgreSQL store: which servers it refuses, how replicas share it, and what an outage does to it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from intops_runtime.core.messages import IntakeResult, Settlement, State
from intops_runtime.edges.store.base import Fenced, StoreAway, StoreError
from intops_runtime.edges.store.postgres import PostgresStore
from intops_runtime.edges.store.postgres_access import access_from
from intops_runtime.edges.store.postgres_schema import VERSION
from support.peers.postgresql import PostgreSQL
from support.runtime.store_engines import PostgresEngine, message, put, told

pytestmark = pytest.mark.component


@asynccontextmanager
async def replicas(engine: PostgresEngine, count: int) -> AsyncIterator[list[PostgresStore]]:
    """Some replicas of one Flow, with the lanes spread among them."""
    stores = [engine.start(f"replica-{number}") for number in range(count)]
    for _ in range(3):  # let go, take, see
        for store in stores:
            await store.refresh()
    yield stores
    for store in stores:
        await store.close()


async def until_it_works(store: PostgresStore) -> None:
    """Wait until a store is open again."""
    for _ in range(200):
        if store.counts(time.time()).failed is None:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(store.counts(time.time()).failed)


def _split(number: int) -> IntakeResult:
    return IntakeResult(number, (message(f"k{number}"),))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("synchronous_commit = off", r"synchronous_commit is off.*could be lost.*set it to on"),
        ("synchronous_commit = local", r"synchronous_commit is local.*set it to on"),
        ("fsync = off", r"fsync is off.*set fsync = on and reload"),
        ("full_page_writes = off", r"full_page_writes is off.*set full_page_writes = on"),
    ],
)
async def test_a_server_whose_commits_promise_too_little_is_refused(
    peer: PostgreSQL, engine: PostgresEngine, setting: str, words: str
) -> None:
    """F91: also when a reload weakens it later; nothing is acknowledged, and it heals by itself."""
    name = setting.partition(" ")[0]
    store = engine.start()
    await store.refresh()
    assert store.counts(time.time()).failed is None

    peer.sql(f"ALTER SYSTEM SET {setting}")
    peer.sql("SELECT pg_reload_conf()")
    other = engine.start("started later")
    try:
        for refused in (store, other):
            async with asyncio.timeout(10):
                while name not in (refused.counts(time.time()).failed or ""):
                    await refused.refresh()
            with pytest.raises(StoreAway, match=words):
                await refused.accept("source", None, {}, b"{}", time.time())
    finally:
        peer.sql(f"ALTER SYSTEM RESET {name}")
        peer.sql("SELECT pg_reload_conf()")
    await until_it_works(store)
    await until_it_works(other)
    await store.accept("source", None, {}, b"{}", time.time())
    await store.close()
    await other.close()


async def test_a_role_with_weaker_commits_is_refused(
    peer: PostgreSQL, engine: PostgresEngine
) -> None:
    """A setting of the role or the database counts as much as the server's."""
    peer.sql("ALTER ROLE intops SET synchronous_commit = off")
    try:
        store = engine.start()
        await store.refresh()
        assert "synchronous_commit is off" in (store.counts(time.time()).failed or "")
        await store.close()
    finally:
        peer.sql("ALTER ROLE intops RESET synchronous_commit")


async def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(
    peer: PostgreSQL, engine: PostgresEngine
) -> None:
    """F100: an old worker must not write what it does not understand, and goes on when it may."""
    running = engine.start()
    await running.refresh()
    peer.sql(f"UPDATE intops.meta SET value = '{VERSION + 1}' WHERE name = 'schema'")
    try:
        await running.refresh()
        with pytest.raises(StoreError, match=r"a newer intops (has migrated it|wrote this store)"):
            await running.accept("source", None, {}, b"{}", time.time())
        store = engine.start()
        await store.refresh()
        failed = store.counts(time.time()).failed or ""
        assert f"a newer intops wrote this store (schema {VERSION + 1}" in failed
        with pytest.raises(StoreError, match="newer intops"):
            await store.accept("source", None, {}, b"{}", time.time())
    finally:
        peer.sql(f"UPDATE intops.meta SET value = '{VERSION}' WHERE name = 'schema'")
    for one in (running, store):
        await until_it_works(one)
        await one.close()


async def test_many_workers_migrate_an_empty_database_once(engine: PostgresEngine) -> None:
    """F100: whoever waited for the lock finds each step done."""
    with PostgreSQL() as fresh:
        stores = [PostgresEngine(fresh, engine.flow).start(f"r{n}") for n in range(6)]
        await asyncio.gather(*(store.refresh() for store in stores))
        assert [store.counts(time.time()).failed for store in stores] == [None] * 6
        assert len({store.store_id for store in stores}) == 1
        await asyncio.gather(*(store.close() for store in stores))


async def test_a_database_that_lay_untouched_may_be_a_backup(
    peer: PostgreSQL, engine: PostgresEngine
) -> None:
    """F101: records may have been made since, so what began before is looked for; not while replicas live."""
    first = await engine.open()
    await put(first, message("a"))
    known_since = first.known_since
    second = await engine.open()
    assert abs(second.known_since - known_since) < 1
    await second.close()
    await first.close()

    mine = f"(SELECT flow FROM intops.flows WHERE name = '{engine.flow}')"
    peer.sql(f"UPDATE intops.flows SET created_at = created_at - 1000 WHERE name = '{engine.flow}'")
    again = await engine.open()
    assert abs(again.known_since - known_since + 1000) < 1  # the delivery is of just now
    await again.close()

    peer.sql(f"UPDATE intops.deliveries SET at = at - 1000 WHERE flow = {mine}")
    restored = await engine.open()
    assert restored.known_since > known_since
    await restored.close()


async def test_flows_in_one_database_do_not_see_each_other(
    peer: PostgreSQL, engine: PostgresEngine
) -> None:
    """Namespace and name of the Flow are part of every key: same keys, same delivery ids."""
    other = PostgresEngine(peer, f"{engine.flow}-other")
    one, two = await engine.open(), await other.open()
    assert one.store_id != two.store_id
    for store in (one, two):
        kept = await store.accept("source", "same", {}, b"{}", time.time())
        assert not kept.duplicate
    await put(one, message("a", "same"))
    await put(two, message("a", "same"))

    (leased,) = await one.lease(time.time(), 9)
    await one.settle(Settlement(leased.message.id, State.DONE, "link", "created"), time.time())
    assert ((await told(one)).done, (await told(one)).waiting) == (1, 0)
    assert ((await told(two)).done, (await told(two)).waiting) == (0, 1)
    assert await two.message(leased.message.id) is None
    await one.close()
    await two.close()


async def test_lanes_are_spread_fairly_and_given_back_at_the_end(
    peer: PostgreSQL, engine: PostgresEngine
) -> None:
    """Three replicas have a third each; when two leave in order, the last has all at once."""
    async with replicas(engine, 3) as (one, two, three):
        shares = sorted(len(store.lanes) for store in (one, two, three))
        assert shares == [84, 86, 86]
        await two.close()
        await three.close()
        await one.refresh()
        assert len(one.lanes) == 256


async def test_a_message_runs_on_one_replica_and_any_replica_captures(
    engine: PostgresEngine,
) -> None:
    """What several capture at once is split by one and run by those that hold the lanes, each once."""
    async with replicas(engine, 3) as stores:
        for number in range(60):
            await stores[number % 3].accept("source", f"d{number}", {}, b"{}", time.time())
        split = []
        for store in stores:
            waiting = await store.next_intake(100)
            split.append(len(waiting))
            results = [_split(delivery.id) for delivery in waiting]
            await store.settle_intake(results, time.time())
        assert sorted(split) == [0, 0, 60]
        running = [leased for store in stores for leased in await store.lease(time.time(), 100)]
        assert sorted(leased.message.key for leased in running) == sorted(
            {f"k{leased.message.delivery_id}" for leased in running}
        )
        assert len(running) == 60
        report = await told(stores[1])
        assert (report.captured, report.split, report.waiting, report.scope) == (
            60, 60, 60, "shared",
        )  # fmt: skip


async def test_a_replica_that_was_declared_dead_can_write_nothing(
    peer: PostgreSQL, engine: PostgresEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """F94: its late intent, settlement and request are refused and told; the new owner's stand."""
    caplog.set_level(logging.WARNING, "intops.store")
    async with replicas(engine, 1) as (late,):
        await put(late, message("a"))
        (held,) = await late.lease(time.time(), 9)
        number = held.message.id
        attempt = await late.intend(number, "create", "desk", "i", "h", time.time())

        peer.sql("UPDATE intops.replicas SET expires_at = now() - interval '1 second'")
        heir = engine.start("heir")
        await heir.refresh()
        (taken,) = await heir.lease(time.time(), 9)
        assert taken.open_attempt is not None
        assert taken.open_attempt.id == attempt
        assert taken.since > taken.open_attempt.intent_at

        with pytest.raises(Fenced):
            await late.intend(number, "create", "desk", "i", "h", time.time())
        with pytest.raises(Fenced):
            await late.settle(Settlement(number, State.DONE, "link", "created"), time.time())
        await late.refresh()
        with pytest.raises(Fenced):
            late.check(number)
        await heir.settle(Settlement(number, State.REVIEW, "act", "because"), time.time())
        assert (await told(heir)).review == 1
        assert late.counts(time.time()).fenced == 3
        assert "a late write was refused" in caplog.messages
        await heir.close()


async def test_leases_and_due_times_go_by_the_servers_clock(
    engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F96: a replica an hour ahead neither loses its lease nor makes others wait an hour."""
    real = time.time
    async with replicas(engine, 1) as (store,):
        monkeypatch.setattr(time, "time", lambda: real() + 3600)
        await store.refresh()
        await put(store, message("a"))
        (leased,) = await store.lease(time.time(), 9)
        soon = Settlement(
            leased.message.id, State.WAITING, "act", "again", due_at=time.time() + 0.2
        )
        await store.settle(soon, time.time())
        await store.refresh()
        assert len(store.lanes) == 256
        monkeypatch.setattr(time, "time", real)
        await store.refresh()
        due = await store.next_due()
        assert due is not None
        assert abs(due - real()) < 5.0


async def test_an_outage_is_told_and_ends_by_itself(engine: PostgresEngine) -> None:
    """F90: refused with a sentence while the server is away; what was leased is settled afterwards."""
    with PostgreSQL() as server:
        store = PostgresEngine(server, engine.flow).start()
        await store.refresh()
        await put(store, message("a"), message("b"))
        (leased, _) = await store.lease(time.time(), 9)
        server.crash()

        with pytest.raises(StoreAway):
            await store.accept("source", None, {}, b"{}", time.time())
        await store.refresh()
        failed = store.counts(time.time()).failed or ""
        assert "nobody listens there; it is asked again" in failed
        assert server.password not in failed

        server.start()
        await until_it_works(store)
        await store.settle(
            Settlement(leased.message.id, State.DONE, "link", "created"), time.time()
        )
        report = await told(store)
        assert (report.done, report.waiting, report.imbalance) == (1, 1, 0)
        await store.close()


async def test_a_settlement_whose_answer_was_lost_counts_once(
    engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F92: the commit arrived, its answer did not; writing it again changes nothing."""
    async with replicas(engine, 1) as (store,):
        await put(store, message("a"))
        (leased,) = await store.lease(time.time(), 9)
        settled = Settlement(
            leased.message.id, State.WAITING, "act", "again", due_at=time.time(), count_try=True
        )
        monkeypatch.setattr(store, "release", lambda number: None)
        await store.settle(settled, time.time())
        await store.settle(settled, time.time())
        monkeypatch.undo()
        store.release(leased.message.id)

        (again,) = await store.lease(time.time(), 9)
        assert again.message.tries == 1
        found = await store.message(leased.message.id)
        assert found is not None
        assert [t["reason"] for t in found["transitions"]] == ["", "again"]


async def test_locks_of_somebody_else_delay_and_end(
    peer: PostgreSQL, engine: PostgresEngine
) -> None:
    """F97: a session that holds a table makes writes fail in seconds, with a sentence; nothing hangs."""
    async with replicas(engine, 1) as (store,):
        other = await asyncpg.connect(**access_from("store", peer.secret).arguments)
        await other.execute("BEGIN; LOCK TABLE intops.deliveries IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        with pytest.raises(StoreAway, match="holds locks"):
            await store.accept("source", None, {}, b"{}", time.time())
        assert time.monotonic() - began < 10
        await other.close()
        await store.accept("source", None, {}, b"{}", time.time())


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (None, 'Secret "store" is missing or empty'),
        ({"host": "h", "user": "u"}, "has no key database, password"),
        ({"host": "h", "user": "u", "password": "p", "database": "d", "port": "x"}, "not a number"),
        ({"dsn": "postgresql://u:p@h/d", "sslmode": "maybe"}, "write one of disable, prefer"),
        ({"dsn": "postgresql://u:p@h/d", "sslrootcert": "x"}, "no certificate"),
    ],
)
def test_a_secret_that_does_not_say_how_to_connect_is_told(
    secret: dict[str, str] | None, words: str
) -> None:
    """S-32: The sentence names the key to write and shows no value."""
    with pytest.raises(StoreAway, match=words):
        access_from("store", secret)


def test_the_place_of_a_store_is_shown_without_user_and_password() -> None:
    """S-32: Whichever way the Secret is written; the names that CloudNativePG writes are known."""
    by_address = access_from(
        "store", {"uri": "postgresql://user:word@db.example.com:5433/name?x=y"}
    )
    by_parts = access_from(
        "store",
        {"host": "db.example.com", "dbname": "name", "username": "user", "password": "word"},
    )
    assert by_address.place == "PostgreSQL db.example.com:5433/name"
    assert by_parts.place == "PostgreSQL db.example.com:5432/name"
    assert by_parts.arguments["user"] == "user"
