"""Write statuses: the most important first, at a bounded rate, and only what changed; after them their Events.

The reconciler hands over what a status should be; the leader runs the loop.
"""

import asyncio
import time
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from intops_api import names
from intops_api.conditions import Condition
from intops_core.resources import Ref
from intops_operator import metrics
from intops_operator.core.happenings import happening
from intops_operator.core.writing import TURNS, Bucket, Cause, Keep, Turn, Wait, Write, decide, turn
from intops_operator.edges.cluster import Cluster, ClusterError, Manifest, NotFound
from intops_operator.journal import Journal

journal = Journal("status")

StatusDict = Mapping[str, Any]
RETRY_S = 5.0
MOST_EVENTS = 500  # that wait; when all change at once, nobody reads them one by one, and statuses say the same


class StatusWriter:
    """The one place from which statuses are written."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        rate: float,
        burst: int,
        counters_interval_s: float,
        instance: str = "",
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`instance` is the name of this replica, which its Events bear."""
        self._cluster = cluster
        self._instance = instance
        self._now = now
        self._events: dict[Ref, Manifest] = {}
        self._clock = clock
        self._bucket = Bucket(rate, burst, clock())
        self._interval_s = counters_interval_s
        self._written: dict[Ref, bytes] = {}
        """Packed: there may be ten thousand, and each is read once in a while."""
        self._uids: dict[Ref, str] = {}
        self._written_at: dict[Ref, float] = {}
        self._in_doubt: set[Ref] = set()
        self._wanted: dict[Ref, StatusDict] = {}
        self._lanes: dict[Turn, dict[Ref, None]] = {one: {} for one in TURNS}
        self._timers: dict[Ref, asyncio.TimerHandle] = {}
        self._filled = asyncio.Event()

    def knows(self, ref: Ref, uid: str) -> bool:
        """Whether it is known what the status of this very object is now."""
        return ref in self._written and self._uids.get(ref) == uid

    def observe(self, ref: Ref, uid: str, status: StatusDict | None) -> None:
        """Note what the API server has, before the first write of this leader to this object.

        An object that was deleted and made again begins without a status, whatever was written to the one before.
        """
        if self._uids.get(ref) != uid:
            self.forget(ref)
            self._uids[ref] = uid
        self._written.setdefault(ref, _packed(status or {}))

    def written(self, ref: Ref) -> StatusDict:
        """The status as it was written or observed last."""
        return _unpacked(self._written.get(ref, b""))

    def previous(self, ref: Ref) -> dict[str, Condition]:
        """Its conditions by type; ones that cannot be read are as good as none."""
        found = {}
        for raw in self.written(ref).get("conditions") or ():
            try:
                found[raw["type"]] = Condition.model_validate(raw)
            except (ValueError, KeyError, TypeError):
                continue
        return found

    def forget(self, ref: Ref) -> None:
        """The object is gone."""
        self._drop(ref)
        self._events.pop(ref, None)
        self._written.pop(ref, None)
        self._uids.pop(ref, None)
        self._written_at.pop(ref, None)
        self._in_doubt.discard(ref)

    def want(self, ref: Ref, status: StatusDict) -> None:
        """Say what the status should be; replaces what was wanted before."""
        self._drop(ref)
        at = self._written_at.get(ref)
        verdict = decide(
            # While a write is under way, or where none was answered, nobody knows what there is: what was
            # written before is not kept, or what is wanted again now would be taken for there.
            None if ref in self._in_doubt else self.written(ref),
            status,
            since_write_s=None if at is None else self._clock() - at,
            counters_interval_s=self._interval_s,
        )
        match verdict:
            case Keep():
                return
            case Write(cause):
                self._wanted[ref] = status
                self._lanes[turn(ref.kind, cause)][ref] = None
                self._filled.set()
            case Wait(seconds):
                self._wanted[ref] = status
                self._again(ref, seconds)

    def _again(self, ref: Ref, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._timers[ref] = loop.call_later(delay_s, self._due, ref)

    def _due(self, ref: Ref) -> None:
        self._timers.pop(ref, None)
        status = self._wanted.get(ref)
        if status is not None:
            self.want(ref, status)

    def _drop(self, ref: Ref) -> None:
        self._wanted.pop(ref, None)
        timer = self._timers.pop(ref, None)
        if timer is not None:
            timer.cancel()
        for lane in self._lanes.values():
            lane.pop(ref, None)

    def close(self) -> None:
        """Plan no more writes."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            first = next((one for one in TURNS if self._lanes[one]), None)
            if first is None and not self._events:
                self._filled.clear()
                await self._filled.wait()
                continue
            wait_s = self._bucket.take(self._clock())
            if wait_s > 0:
                await asyncio.sleep(wait_s)
                continue
            if first is not None:
                await self._write(next(iter(self._lanes[first])), first[0])
            else:
                await self._tell(self._events.pop(next(iter(self._events))))

    async def _write(self, ref: Ref, cause: Cause) -> None:
        status = self._wanted[ref]
        self._drop(ref)
        metadata = {"name": ref.name, **({"namespace": ref.namespace} if ref.namespace else {})}
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": ref.kind,
            "metadata": metadata,
            "status": status,
        }
        self._in_doubt.add(ref)
        try:
            answer = await self._cluster.apply_status(manifest)
        except NotFound:
            self.forget(ref)
            return
        except ClusterError as error:
            journal.warning(
                "status not written", kind=ref.kind, namespace=ref.namespace, name=ref.name,
                error=error.message,
            )  # fmt: skip
            if ref not in self._wanted:
                self._wanted[ref] = status
                self._again(ref, RETRY_S)
            return
        self._in_doubt.discard(ref)
        self._note_event(ref, str(answer["metadata"].get("uid", "")), status)
        self._written[ref] = _packed(status)
        self._written_at[ref] = self._clock()
        metrics.STATUS_WRITES.labels(ref.kind, cause.value).inc()
        newer = self._wanted.get(ref)
        if newer is not None:
            self.want(ref, newer)

    def _note_event(self, ref: Ref, uid: str, status: StatusDict) -> None:
        event = happening(ref, uid, self.written(ref), status, self._now(), self._instance)
        # Of several changes of one object the last is told: it is the one that still holds.
        if event is not None and (ref in self._events or len(self._events) < MOST_EVENTS):
            self._events[ref] = event

    async def _tell(self, event: Manifest) -> None:
        """Write one Event; the status says the same, so one that is refused is not tried again."""
        try:
            await self._cluster.create(event)
        except ClusterError as error:
            regarding = event["regarding"]
            journal.warning(
                "event not written", kind=regarding["kind"], namespace=event["metadata"]["namespace"],
                name=regarding["name"], error=error.message,
            )  # fmt: skip


def _packed(status: StatusDict) -> bytes:
    return zlib.compress(orjson.dumps(status), 1)


def _unpacked(data: bytes) -> StatusDict:
    found: StatusDict = orjson.loads(zlib.decompress(data)) if data else {}
    return found
