"""The two store engines behind one face, for tests that must hold for both."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from intops_api.report import StoreReport
from intops_runtime.core.auditing import Row, Verifier
from intops_runtime.core.messages import IntakeResult, NewMessage, State
from intops_runtime.edges.store.base import Store
from intops_runtime.edges.store.postgres import PostgresStore
from intops_runtime.edges.store.postgres_access import access_from
from intops_runtime.edges.store.postgres_chain import page, seal_all
from intops_runtime.edges.store.postgres_server import Server
from intops_runtime.edges.store.sqlite import open_store
from support.peers.postgresql import PostgreSQL

NAMESPACE = "itsm"
REVIEW_DUE_S = 3600.0


class CountedStore(Store, Protocol):
    """A store that can be counted from its rows."""

    async def recount(self) -> dict[str, int]:
        """Messages and deliveries by state."""
        ...


class Engine(Protocol):
    """Opens the same store again and again."""

    async def open(self) -> CountedStore:
        """The store of this test, ready."""
        ...


class SqliteEngine:
    """The embedded store."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "store.sqlite"

    async def open(self) -> CountedStore:
        """See Engine."""
        return await open_store(
            self._path,
            now=time.time(),
            review_due_s=REVIEW_DUE_S,
            on_fatal=lambda words: None,
            allow_volatile=True,
        )


class PostgresEngine:
    """The shared store, as one Flow in a server's database."""

    def __init__(self, peer: PostgreSQL, flow: str) -> None:
        self._peer = peer
        self.flow = flow

    def server(self) -> Server:
        """Connections of their own, as those of another process."""
        return Server(lambda: access_from("store", self._peer.secret))

    def start(self, name: str = "replica") -> PostgresStore:
        """One replica's store; does not wait until it is open."""
        server = self.server()
        return PostgresStore(
            server,
            namespace=NAMESPACE,
            flow=self.flow,
            name=name,
            review_due_s=REVIEW_DUE_S,
            on_close=server.close,
        )

    async def open(self) -> CountedStore:
        """See Engine."""
        store = self.start()
        await store.refresh()
        return store


async def chain_of(peer: PostgreSQL, flow: str) -> list[Row]:
    """The whole audit of a Flow, read beside its replicas, with what waited to be hung on it."""
    server = Server(lambda: access_from("store", peer.secret))
    try:
        number = await server.ask(
            lambda db: db.fetchval("SELECT flow FROM intops.flows WHERE name = $1", flow)
        )
        await seal_all(server, number, wait=True)
        rows: list[Row] = []
        while True:
            read = partial(page, flow=number, after=rows[-1].seq if rows else 0, limit=500)
            more = await server.ask(read)
            if not more:
                return rows
            rows += more
    finally:
        await server.close()


def problems(rows: list[Row], *heads: tuple[int, str]) -> list[str]:
    """What verification says of a chain, given heads that were exported earlier."""
    verifier = Verifier()
    verifier.await_heads(*heads)
    for row in rows:
        verifier.feed(row)
    return verifier.finish(*heads)


async def told(store: Store) -> StoreReport:
    """What a store says about itself at this moment."""
    if isinstance(store, PostgresStore):
        await store.refresh()
    return store.counts(time.time())


def message(key: str, dedup: str | None = None, state: State = State.WAITING) -> NewMessage:
    """One message as intake makes it."""
    return NewMessage(0, key, dedup, state, "mapped", "", "hash", {"title": key}, {"a": 1})


async def put(store: Store, *messages: NewMessage) -> None:
    """One delivery with these messages, split."""
    accepted = await store.accept("source", None, {}, b"{}", time.time())
    await store.next_intake(100)
    await store.settle_intake([IntakeResult(accepted.id, messages)], time.time())


async def whole(store: Store, number: int) -> dict[str, Any]:
    """A message with everything that happened to it."""
    found = await store.message(number)
    assert found is not None
    return found
