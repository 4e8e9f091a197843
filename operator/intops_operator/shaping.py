"""The shape of each Deployment: how many pods, made of what. Both decisions in one place for the reconciler.

`Leading` makes one for each term; `sizing` and `rollout` do the work.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from intops_api.conditions import Reason
from intops_core.resources import Ref
from intops_operator.cache import Cache
from intops_operator.core.children.pool import Pool
from intops_operator.core.children.release import release_of
from intops_operator.core.children.worker import Shape, Worker, WorkerSettings, child_name
from intops_operator.core.deployed import roll_note, size_note
from intops_operator.core.judging import Judged
from intops_operator.core.observed import POOL
from intops_operator.core.rolling import Pace
from intops_operator.edges.cluster import Cluster
from intops_operator.edges.reports import ReportBook
from intops_operator.rollout import Rollout, Standing
from intops_operator.settings import Settings
from intops_operator.sizing import Sizing
from intops_operator.workqueue import WorkQueue

PAUSED: Final = frozenset({Reason.SUSPENDED, Reason.MOVING, Reason.MOVE_HELD})
"""Why a Flow is not Ready because a person wants it so."""


class Shaping:
    """What the leader decides about Deployments beside their plans."""

    def __init__(
        self, cache: Cache, queue: WorkQueue[Ref], sizing: Sizing, rollout: Rollout
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._sizing = sizing
        self._rollout = rollout

    def shaped(self, worker: Worker) -> Worker:
        """The same worker with the size and the image that it should have now."""
        flow = Ref("Flow", worker.namespace, worker.flow)
        child = self._cache.child("Deployment", worker.namespace, child_name(worker.flow))
        found = child.deployed if child is not None and child.flow == worker.flow else None
        roll, held = self._rollout.roll(flow, worker.inputs, found)
        size = self._sizing.size(flow, worker.runtime, found)
        again_s = self._sizing.look_again_s(flow, worker.runtime)
        if again_s is not None:
            self._queue.add_later(flow, again_s)
        notes = {**roll_note(roll), **(size_note(size) if size is not None else {})}
        shape = Shape(
            replicas=size.replicas if size is not None else None,
            image=roll.release.image,
            notes=tuple(sorted(notes.items())),
            held=held,
        )
        return replace(worker, shape=shape)

    def shaped_pool(self, pool: Pool) -> Pool:
        """The same pool with the image that it should have now; it has one worker always."""
        child = self._cache.child("Deployment", pool.namespace, pool.name)
        mine = child is not None and not child.flow and child.pool == pool.pool
        found = child.deployed if child is not None and mine else None
        roll, held = self._rollout.roll(Ref(POOL, pool.namespace, pool.pool), pool.inputs, found)
        notes = tuple(sorted(roll_note(roll).items()))
        return replace(pool, shape=Shape(image=roll.release.image, notes=notes, held=held))

    async def tell(self, flow: Ref) -> None:
        """Tell people what was applied.

        Raises:
            NotLeading: Another replica leads now.
        """
        await self._sizing.tell(flow)

    def note(self, flow: Ref, judged: Judged, *, can_roll: bool) -> None:
        """Note how a Flow does."""
        counts = judged.counts
        standing = Standing(
            ready=judged.ready.status == "True",
            paused=judged.ready.reason in PAUSED,
            review=counts.review if counts is not None else 0,
            delivered=counts.delivered_per_hour if counts is not None else 0,
            rolls=can_roll,
        )
        self._rollout.note(flow, standing)

    def trouble(self, flow: Ref) -> str:
        """What a halted roll-out has to say in the status of a Flow."""
        return self._rollout.trouble(flow)

    def forget(self, ref: Ref) -> None:
        """The Flow or the pool is gone."""
        self._sizing.forget(ref)
        self._rollout.forget(ref)

    async def run(self) -> None:
        """Roll until cancelled.

        Raises:
            NotLeading: Another replica leads now.
        """
        await self._rollout.run()


def shaping_of(
    settings: Settings,
    worker: WorkerSettings,
    cluster: Cluster,
    cache: Cache,
    book: ReportBook,
    queue: WorkQueue[Ref],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Shaping:
    """As the operator's settings say."""
    sizing = Sizing(
        cluster,
        cache,
        book,
        down_after_s=settings.scale_down_after_s,
        no_report_after_s=settings.no_report_after_s,
        now=now,
    )
    pace = Pace(
        settings.rollout_canaries,
        settings.rollout_wave,
        settings.rollout_pause_s,
        settings.rollout_deadline_s,
    )
    return Shaping(
        cache, queue, sizing, Rollout(cluster, cache, queue, release_of(worker), pace, now)
    )
