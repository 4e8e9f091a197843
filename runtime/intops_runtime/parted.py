"""Stores in the worker's volume that have no plan any more: their Flow is gone, or runs elsewhere.

The worker tells how much is left in each, so that nobody throws away messages, and takes away an empty one
where it was told to. A store that still holds something is never touched.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from intops_runtime.edges.plan_files import FlowKey
from intops_runtime.edges.store.base import StoreError
from intops_runtime.edges.store.sqlite import open_store

log = logging.getLogger("intops.worker")

STORE_FILE = "store.sqlite"
# A store that cannot be counted is not tried again at every look.
AGAIN_S = 30.0


@dataclass(slots=True)
class _Left:
    """What is known of one store, and since when (monotonic seconds)."""

    count: int | None
    looked_at: float
    since: float


class PartedStores:
    """The stores of a data folder that no plan uses."""

    def __init__(self, data: Path, remove_after_s: float, allow_volatile: bool) -> None:
        """`remove_after_s`: seconds for which an empty store is kept."""
        self._data = data
        self._remove_after_s = remove_after_s
        self._allow_volatile = allow_volatile
        self._left: dict[FlowKey, _Left] | None = None
        self._parting: set[FlowKey] = set()

    @property
    def left(self) -> dict[str, int | None] | None:
        """Unfinished messages by `NAMESPACE/NAME`; None before the first look."""
        if self._left is None:
            return None
        known: dict[FlowKey, int | None] = dict.fromkeys(self._parting)
        known |= {key: left.count for key, left in self._left.items()}
        return {"/".join(key): count for key, count in sorted(known.items())}

    def expect(self, key: FlowKey) -> None:
        """A plan is about to go: until its store is closed and counted, what is left in it is not known."""
        self._parting.add(key)

    async def look(self, running: Container[FlowKey], *, all_known: bool) -> None:
        """Count what is new here, and take away what has been empty for long enough.

        Nothing is taken away unless `all_known`: a plan that cannot be read now may be that of any store.
        """
        known, now = self._left or {}, time.monotonic()
        found: dict[FlowKey, _Left] = {}
        for key in await asyncio.to_thread(self._folders):
            if key in running:
                continue
            left = known.get(key)
            if left is None or (left.count is None and now - left.looked_at > AGAIN_S):
                count = await self._count(key)
                left = _Left(count, now, left.since if left else now)
                log.info(
                    "a store without a plan",
                    extra={"data": {"flow": "/".join(key), "left": count}},
                )
            if all_known and self._may_go(left, now):
                await self._remove(key)
            else:
                found[key] = left
        self._left = found
        self._parting.clear()

    def _folders(self) -> list[FlowKey]:
        """Flows that have a store file here."""
        try:
            folders = sorted(self._data.iterdir())
        except FileNotFoundError:
            return []
        names = [folder.name for folder in folders if (folder / STORE_FILE).is_file()]
        return [(namespace, flow) for namespace, _, flow in (n.partition(".") for n in names)]

    def _path(self, key: FlowKey) -> Path:
        return self._data / ".".join(key) / STORE_FILE

    async def _count(self, key: FlowKey) -> int | None:
        """Unfinished messages of a store; None where it cannot be read."""
        try:
            store = await open_store(
                self._path(key),
                now=time.time(),
                review_due_s=0.0,
                on_fatal=log.warning,
                allow_volatile=self._allow_volatile,
            )
        except StoreError as error:
            log.warning(
                "a store without a plan cannot be read",
                extra={"data": {"flow": "/".join(key), "why": str(error)}},
            )
            return None
        try:
            report = store.counts(time.time())
        finally:
            await store.close()
        return report.unfinished if report.failed is None else None

    def _may_go(self, left: _Left, now: float) -> bool:
        return left.count == 0 and now - left.since >= self._remove_after_s

    async def _remove(self, key: FlowKey) -> None:
        try:
            await asyncio.to_thread(shutil.rmtree, self._path(key).parent)
        except OSError as error:
            log.warning(
                "an empty store cannot be removed",
                extra={"data": {"flow": "/".join(key), "why": str(error)}},
            )
            return
        log.info("empty store removed", extra={"data": {"flow": "/".join(key)}})
