"""Decide which replica leads, by a Lease: one at a time, and never past its own deadline.

`__main__` runs it in every replica. The holder renews; a replica that could not renew stops
leading by its own monotonic clock before anybody else may take over. Wall clocks of other machines
are never compared: a replica measures how long the record has not changed.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from intops_operator.edges.cluster import Cluster, ClusterError, Conflict, Manifest, NotFound
from intops_operator.journal import Journal

journal = Journal("lease")


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds: how long a record counts, when the holder gives up, how often both look."""

    duration_s: float = 15.0
    renew_s: float = 10.0
    retry_s: float = 2.0


class Lease:
    """One replica's part in the election."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        name: str,
        identity: str,
        times: LeaseTimes,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._namespace, self._name, self._identity = namespace, name, identity
        self._times = times
        self._clock = clock
        self._renewed_at: float | None = None
        self._seen: tuple[str, str] | None = None
        self._seen_at = 0.0
        self._held: Manifest | None = None
        self.changed = asyncio.Event()

    def leads(self) -> bool:
        """Whether this replica may write now. Asked before every write (the fence)."""
        return (
            self._renewed_at is not None and self._clock() < self._renewed_at + self._times.renew_s
        )

    async def run(self) -> None:
        """Take part until cancelled; `changed` is set at every gain and loss."""
        led = False
        while True:
            try:
                async with asyncio.timeout(self._times.renew_s / 2):
                    await self._step()
            except (ClusterError, TimeoutError) as error:
                journal.warning("lease not reached", error=str(error) or "timed out")
            if self.leads() != led:
                led = not led
                journal.info("leadership gained" if led else "leadership lost", me=self._identity)
                self.changed.set()
            await asyncio.sleep(self._pause_s())

    def _pause_s(self) -> float:
        """Until the next look; a holder also wakes up at its own end, to notice it at once."""
        pause_s = self._times.retry_s * random.uniform(0.9, 1.1)
        if self._renewed_at is not None:
            left_s = self._renewed_at + self._times.renew_s - self._clock()
            if left_s > 0:
                pause_s = min(pause_s, left_s + 0.01)
        return pause_s

    async def _step(self) -> None:
        # The clock is read before the request: the record may be as old as its sending.
        asked_at = self._clock()
        record = await self._cluster.get("Lease", self._namespace, self._name)
        if record is None:
            with contextlib.suppress(Conflict):
                self._won(await self._cluster.create(self._record(None, transitions=0)), asked_at)
            return
        spec = record.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        version = record["metadata"]["resourceVersion"]
        if (holder, version) != self._seen:
            self._seen, self._seen_at = (holder, version), asked_at
        mine = holder == self._identity
        expired = asked_at >= self._seen_at + float(spec.get("leaseDurationSeconds") or 0)
        if not mine and holder and not expired:
            self._renewed_at = None
            return
        transitions = int(spec.get("leaseTransitions") or 0) + (0 if mine else 1)
        with contextlib.suppress(Conflict, NotFound):
            wanted = self._record(record, transitions=transitions)
            self._won(await self._cluster.replace(wanted), asked_at)

    def _won(self, record: Manifest, asked_at: float) -> None:
        self._held = record
        self._renewed_at = asked_at
        self._seen = (self._identity, record["metadata"]["resourceVersion"])
        self._seen_at = asked_at

    def _record(
        self, current: Manifest | None, *, transitions: int, holder: str | None = None
    ) -> Manifest:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = dict((current or {}).get("spec") or {})
        if holder is None and spec.get("holderIdentity") != self._identity:
            spec["acquireTime"] = now
        spec |= {
            "holderIdentity": self._identity if holder is None else holder,
            # A released Lease counts for a second only, as client-go does it.
            "leaseDurationSeconds": 1 if holder == "" else max(1, round(self._times.duration_s)),
            "renewTime": now,
            "leaseTransitions": transitions,
        }
        metadata = (current or {}).get("metadata") or {
            "name": self._name,
            "namespace": self._namespace,
        }
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec,
        }

    async def release(self) -> None:
        """Let another replica lead at once. For an orderly end."""
        if not self.leads() or self._held is None:
            return
        self._renewed_at = None
        transitions = int(self._held["spec"].get("leaseTransitions") or 0)
        try:
            async with asyncio.timeout(self._times.retry_s):
                await self._cluster.replace(
                    self._record(self._held, transitions=transitions, holder="")
                )
            journal.info("leadership released", me=self._identity)
        except (ClusterError, TimeoutError) as error:
            journal.warning("lease not released", error=str(error) or "timed out")
