"""What only the leader does: reconcile, ask workers, write statuses, apply the catalogue.

`__main__` keeps `Leading.run` going in every replica; it works while the Lease is held and stops
with it.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

from intops_core.resources import Ref
from intops_operator import flowgauges, metrics, rollout
from intops_operator.cache import Cache, Concerned
from intops_operator.core.children.worker import WorkerSettings
from intops_operator.edges.catalogue import apply_catalogue
from intops_operator.edges.cluster import Cluster, ClusterError, NotLeading
from intops_operator.edges.lease import Lease
from intops_operator.edges.reports import Polling, ReportBook, ReportPoller
from intops_operator.journal import Journal
from intops_operator.planner import Planner
from intops_operator.reconcile import Reconciler, Tools
from intops_operator.settings import Settings
from intops_operator.shaping import shaping_of
from intops_operator.statuswriter import StatusWriter
from intops_operator.workqueue import WorkQueue

journal = Journal("leading")


class Leading:
    """One replica's work as the leader, term after term."""

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        lease: Lease,
        cache: Cache,
        shipped: list[dict[str, Any]],
    ) -> None:
        self._settings = settings
        self._cluster = cluster.fenced(lease.leads)
        self._lease = lease
        self._cache = cache
        self._shipped = shipped if settings.catalog_manage else []
        self._queue: WorkQueue[Ref] | None = None
        self._reconciler: Reconciler | None = None

    def tell(self, concerned: Concerned) -> None:
        """What an event of the feed concerns; nothing while another replica leads."""
        if self._queue is None or self._reconciler is None:
            return
        for ref in concerned.plans:
            self._reconciler.outdate(ref)
            # People wait for what they edited; what merely uses it comes after.
            self._queue.add(ref, urgent=len(concerned.plans) <= FAN_OUT)
        for ref in concerned.looks:
            self._queue.add(ref, urgent=False)
        metrics.QUEUE_DEPTH.set(len(self._queue))

    async def run(self, complete: asyncio.Event) -> None:
        """Lead whenever the Lease is held; the cache must be complete first."""
        await complete.wait()
        term: asyncio.Task[None] | None = None
        try:
            while True:
                self._lease.changed.clear()
                metrics.LEADER.set(1 if self._lease.leads() else 0)
                if self._lease.leads() and term is None:
                    term = asyncio.create_task(self._term())
                elif not self._lease.leads() and term is not None:
                    await _stop(term)
                    term = None
                await self._await_change(term)
                if term is not None and term.done():
                    _must_be_lost_lease(term)
                    term = None
        finally:
            if term is not None:
                await _stop(term)

    async def _await_change(self, term: asyncio.Task[None] | None) -> None:
        change = asyncio.create_task(self._lease.changed.wait())
        await asyncio.wait(
            {change, *([term] if term else [])},
            timeout=LOOK_S,
            return_when=asyncio.FIRST_COMPLETED,
        )
        change.cancel()

    async def _term(self) -> None:
        """One term of leadership; everything it remembers is its own."""
        settings = self._settings
        queue: WorkQueue[Ref] = WorkQueue()
        book, planner = ReportBook(), Planner("plan")
        writer = StatusWriter(
            self._cluster,
            rate=settings.status_rate,
            burst=settings.status_burst,
            counters_interval_s=settings.counters_interval_s,
            instance=settings.identity,
        )
        worker = WorkerSettings(
            settings.worker_image,
            settings.worker_pull_policy,
            settings.worker_pull_secrets,
            settings.worker_priority_class,
            settings.worker_allow_ranges,
            settings.worker_deny_ranges,
        )
        shaping = shaping_of(settings, worker, self._cluster, self._cache, book, queue)
        reconciler = Reconciler(
            Tools(self._cluster, self._cache, book, writer, planner, queue, shaping),
            worker,
            no_report_after_s=settings.no_report_after_s,
        )
        poller = ReportPoller(
            Polling(
                settings.report_interval_s,
                settings.report_timeout_s,
                settings.report_concurrency,
                settings.operations_port,
            ),
            book,
            self._cache.all_pods,
            served_by=self._cache.served_by,
            is_settled=reconciler.is_settled,
            on_news=lambda flow: queue.add(flow, urgent=False),
        )
        self._queue, self._reconciler = queue, reconciler
        for ref in (*self._cache.refs(), *self._cache.pools()):
            queue.add(ref, urgent=False)
        for claim in self._cache.children("PersistentVolumeClaim"):
            # Its Flow may have gone while nobody led.
            queue.add(Ref("Flow", claim.namespace, claim.flow), urgent=False)
        flowgauges.clear()
        rollout.clear()
        try:
            await reconciler.begin(settings.watch_namespaces)
            async with asyncio.TaskGroup() as group:
                group.create_task(writer.run())
                group.create_task(poller.run())
                group.create_task(shaping.run())
                group.create_task(self._resync(queue, reconciler))
                group.create_task(apply_catalogue(self._cluster, self._shipped))
                for _ in range(settings.reconcile_workers):
                    group.create_task(_work(queue, reconciler))
        finally:
            self._queue = self._reconciler = None
            queue.clear()
            writer.close()
            planner.close()
            flowgauges.clear()
            rollout.clear()

    async def _resync(self, queue: WorkQueue[Ref], reconciler: Reconciler) -> None:
        """Look at everything again now and then, spread over the interval."""
        interval_s = self._settings.resync_interval_s
        while True:
            await asyncio.sleep(interval_s)
            for ref in (*self._cache.refs(), *self._cache.pools()):
                reconciler.outdate(ref)
                queue.add_later(ref, random.uniform(0, interval_s / 2))


LOOK_S = 1.0  # a Lease may be lost and won again between two looks, without a change to hear of
FAN_OUT = 8  # one Connector or Mapping seldom has more users; a model has hundreds


async def _work(queue: WorkQueue[Ref], reconciler: Reconciler) -> None:
    """One worker: takes keys until cancelled. A failure concerns one key only."""
    while True:
        ref = await queue.take()
        failed = True
        try:
            with metrics.RECONCILE_SECONDS.labels(ref.kind).time():
                await reconciler.look(ref)
            failed = False
        except NotLeading:
            pass
        except ClusterError as error:
            journal.warning("tried again later", **_named(ref), error=error.message)
        except Exception as error:  # one object that trips a defect must not stop all others
            journal.failure("reconcile failed", error, **_named(ref))
        finally:
            metrics.RECONCILES.labels(ref.kind, "failed" if failed else "done").inc()
            queue.done(ref, failed=failed)
            metrics.QUEUE_DEPTH.set(len(queue))


def _must_be_lost_lease(term: asyncio.Task[None]) -> None:
    """A term may end by itself only because a write met the fence; all else is a defect.

    Raises:
        BaseExceptionGroup: What else ended it; the process ends with it and starts afresh.
    """
    error = term.exception()
    if isinstance(error, BaseExceptionGroup):
        error = error.split(NotLeading)[1]
    if error is not None:
        raise error


def _named(ref: Ref) -> Mapping[str, str]:
    return {"kind": ref.kind, "namespace": ref.namespace, "name": ref.name}


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
