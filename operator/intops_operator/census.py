"""Compare the cache with what exists: to know when it is complete, and to purge ghosts.

`__main__` runs it in every replica. The feed never says that its first list is over, and after a
broken watch it never says what was deleted meanwhile.
"""

import asyncio
from collections.abc import Sequence

from intops_operator import metrics
from intops_operator.cache import Cache, Place, ghost
from intops_operator.edges.apiserver import ENDPOINTS
from intops_operator.edges.cluster import Cluster, ClusterError
from intops_operator.handlers.feed import SELECTOR, WATCHED, WATCHED_CHILDREN, Sink
from intops_operator.journal import Journal

journal = Journal("census")

LOOK_S = 0.2


class Census:
    """Counts what exists."""

    def __init__(
        self, cluster: Cluster, cache: Cache, sink: Sink, namespaces: Sequence[str]
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._sink = sink
        self._namespaces = namespaces
        self.complete = asyncio.Event()

    async def run(self, interval_s: float) -> None:
        """Wait until the cache is complete, then purge ghosts now and then."""
        await self._await_feed()
        metrics.SYNCED.set(1)
        self.complete.set()
        journal.info("cache complete", objects=len(self._cache.refs()))
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self._purge()
            except ClusterError as error:
                journal.warning("purge not finished", error=error.message)

    async def _await_feed(self) -> None:
        """Until everything that existed at the start was fed, or is gone again."""
        awaited: dict[str, set[Place]] | None = None
        while True:
            try:
                if awaited is None:
                    awaited = {kind: set(await self._listed(kind)) for kind in WATCHED}
                for kind in [kind for kind in awaited if awaited[kind]]:
                    awaited[kind] -= set(self._cache.known(kind))
                    if awaited[kind]:
                        awaited[kind] &= set(await self._listed(kind))
                if not any(awaited.values()):
                    return
            except ClusterError as error:
                journal.warning("objects not listed", error=error.message)
            await asyncio.sleep(LOOK_S)

    async def _listed(self, kind: str) -> dict[Place, str]:
        """Uid of each object that the feed should bring, by place."""
        selector = SELECTOR if kind in WATCHED_CHILDREN else ""
        namespaces: Sequence[str | None] = [None]
        if self._namespaces and ENDPOINTS[kind].namespaced:
            namespaces = list(self._namespaces)
        found = {}
        for namespace in namespaces:
            async for item in self._cluster.each(
                kind, namespace, selector=selector, metadata_only=True
            ):
                meta = item["metadata"]
                found[meta.get("namespace", ""), meta["name"]] = meta["uid"]
        return found

    async def _purge(self) -> None:
        for kind in WATCHED:
            # Known before listed: what was made in between is never taken for a ghost.
            known = dict(self._cache.known(kind))
            listed = await self._listed(kind)
            for place, uid in known.items():
                if listed.get(place) == uid or self._cache.known(kind).get(place) != uid:
                    continue
                live = await self._cluster.get(kind, place[0] or None, place[1])
                if live is not None and live["metadata"]["uid"] == uid:
                    continue
                metrics.GHOSTS.labels(kind).inc()
                journal.info("ghost purged", kind=kind, namespace=place[0], name=place[1])
                self._sink(kind, ghost(kind, place, uid), True)
                if live is not None:
                    self._sink(kind, live, False)
