"""The PostgreSQL store on two synchronous servers: no acknowledgement that one server's loss could undo."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from intops_runtime.core.messages import Settlement, State
from intops_runtime.edges.store.base import StoreAway
from intops_runtime.edges.store.postgres import PostgresStore
from intops_runtime.edges.store.postgres_access import access_from
from intops_runtime.edges.store.postgres_server import Server
from support.peers.postgresql import PostgreSQL, PostgresStandby
from support.peers.process import wait_until
from support.runtime.store_engines import message, put, told

pytestmark = pytest.mark.component


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary that commits only what its standby has too."""

    primary: PostgreSQL
    standby: PostgresStandby

    def follow(self) -> None:
        """Wait until the standby confirms commits."""
        wait_until(
            lambda: self.primary.sql("SELECT sync_state FROM pg_stat_replication") == "sync",
            what="the standby confirms commits",
        )

    def store(self) -> PostgresStore:
        """A replica's store that knows both addresses."""
        one, two = self.primary, self.standby
        dsn = f"postgresql://{one.user}:{one.password}@{one.bind}:{one.port},{two.bind}:{two.port}/{one.user}"
        server = Server(lambda: access_from("store", {"dsn": dsn, "sslmode": "disable"}))
        return PostgresStore(
            server, namespace="itsm", flow="alerts", name="replica", review_due_s=3600,
            on_close=server.close,
        )  # fmt: skip


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two servers on this machine."""
    with PostgreSQL() as primary, PostgresStandby(primary) as standby:
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.sql("SELECT pg_reload_conf()")
        both = Pair(primary, standby)
        both.follow()
        yield both


async def accepted(store: PostgresStore, name: str) -> None:
    """One delivery, said again until it is acknowledged, as a sender does."""
    for _ in range(100):
        with contextlib.suppress(StoreAway):
            await store.accept("source", name, {}, b"{}", time.time())
            return
        await asyncio.sleep(0.2)
    raise AssertionError(store.counts(time.time()).failed)


async def test_a_fail_over_to_the_synchronous_standby_loses_nothing(pair: Pair) -> None:
    """F93: what was acknowledged is there, work goes on, lanes' generations rise, the old one is refused."""
    store = pair.store()
    await store.refresh()
    await put(store, message("a"))
    (leased,) = await store.lease(time.time(), 1)
    for number in range(40):
        await store.accept("source", f"d{number}", {}, b"{}", time.time())
    before = int(pair.primary.sql("SELECT max(generation) FROM intops.lanes"))

    pair.primary.crash()
    await asyncio.to_thread(pair.standby.promote)
    await accepted(store, "after")

    kept = pair.standby.sql("SELECT count(*) FROM intops.deliveries WHERE delivery_id LIKE 'd%'")
    assert kept == "40"
    await store.refresh()
    await store.settle(Settlement(leased.message.id, State.DONE, "link", "created"), time.time())
    assert (await told(store)).done == 1
    await store.close()
    other = pair.store()
    await other.refresh()
    assert int(pair.standby.sql("SELECT min(generation) FROM intops.lanes")) > before
    # The old one comes back by itself: nobody follows it, so it cannot confirm anything.
    await asyncio.to_thread(pair.primary.start)
    await accepted(other, "afterwards")
    assert (
        pair.standby.sql("SELECT 1 FROM intops.deliveries WHERE delivery_id = 'afterwards'") == "1"
    )
    await other.close()


async def test_what_no_standby_has_confirmed_is_not_acknowledged(pair: Pair) -> None:
    """The server would commit on its own when a time-out or a person ends its wait; that is no proof."""
    store = pair.store()
    await store.refresh()
    pair.standby.stop()

    waiting = asyncio.create_task(store.accept("source", "d", {}, b"{}", time.time()))
    await asyncio.to_thread(
        wait_until,
        lambda: pair.primary.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"),
        what="a commit waits for the standby",
    )
    pair.primary.sql(
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    )
    with pytest.raises(StoreAway):
        await waiting

    await asyncio.to_thread(pair.standby.start)
    pair.follow()
    await accepted(store, "d")
    assert pair.primary.sql("SELECT count(*) FROM intops.deliveries") == "1"
    await store.close()
