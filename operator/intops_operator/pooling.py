"""Pools: the workers that several Flows share, and how Flows come, go and move.

The reconciler calls it. A pool is no object: it is there while a Flow has a place in it, and is built from what
stands on these places, so that no Flow has to be planned for another one's sake.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field, replace

from intops_api import names
from intops_core.resources import Ref
from intops_operator.applying import (
    DEPLOYMENT,
    Applied,
    Whose,
    apply_all,
    apply_children,
    give_up,
    remove,
    resize,
    tell_pods,
    together,
)
from intops_operator.cache import Cache
from intops_operator.core.children.configmap import plan_config_map
from intops_operator.core.children.pool import Pool, desired_pool, read_needs
from intops_operator.core.children.worker import (
    Slot,
    Worker,
    WorkerSettings,
    place_of_slot,
    pool_child_name,
)
from intops_operator.core.facts import Problem
from intops_operator.core.observed import POOL, ChildFact
from intops_operator.core.placing import pool_full
from intops_operator.edges.cluster import Cluster, ClusterError
from intops_operator.edges.reports import ReportBook
from intops_operator.journal import Journal
from intops_operator.shaping import Shaping
from intops_operator.workqueue import WorkQueue

journal = Journal("pool")

ENDING = ("Deployment", "NetworkPolicy", "ServiceAccount")
"""What a pool that nobody is in any more loses at once, in this order; its volume only when it is empty."""
DEPARTING_S = 1.0


@dataclass(slots=True)
class PoolState:
    """What the leader remembers of one pool between two looks."""

    applied: Applied = field(default_factory=Applied)
    problems: tuple[Problem, ...] = ()
    small: str = ""
    """Why the volume is smaller than what a Flow asks for."""
    left: dict[str, int] = field(default_factory=dict)
    """Stores without a plan that were told of, with what is left in them."""


class Pools:
    """Every pool of the cluster."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        book: ReportBook,
        queue: WorkQueue[Ref],
        settings: WorkerSettings,
        shaping: Shaping,
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._book = book
        self._queue = queue
        self._settings = settings
        self._shaping = shaping
        self._states: dict[Ref, PoolState] = {}
        self._seating: defaultdict[Ref, asyncio.Lock] = defaultdict(asyncio.Lock)

    def problems(self, crew: Ref) -> tuple[Problem, ...]:
        """What kept the children of a pool from being applied."""
        state = self._states.get(crew)
        return state.problems if state is not None else ()

    async def look(self, ref: Ref) -> None:
        """Bring the children of a pool to what its Flows need.

        Raises:
            ClusterError, NotLeading: It must be tried again.
        """
        slots = self._cache.slots(ref)
        if not slots:
            await self._depart(ref)
            return
        state = self._states.setdefault(ref, PoolState())
        claim = self._cache.child("PersistentVolumeClaim", ref.namespace, pool_child_name(ref.name))
        pool = Pool(
            namespace=ref.namespace,
            pool=ref.name,
            needs=tuple(read_needs(slot.needs) for slot in slots),
            settings=self._settings,
            claim=claim.claim if claim is not None else None,
        )
        if claim is not None and self._is_ending(ref, claim):
            self._queue.add_later(ref, DEPARTING_S)
            return
        shaped = self._shaping.shaped_pool(pool)
        found = await self._apply(shaped, state, grows=claim is not None)
        if tuple(found) != state.problems:
            state.problems = tuple(found)
            for slot in slots:
                self._queue.add(Ref("Flow", slot.namespace, slot.flow), urgent=False)
        wanted = together((slot.name, slot.plan_hash) for slot in slots)
        await tell_pods(ref, names.ANNOTATION_PLAN_HASH, wanted, self._cache, self._cluster)
        self._tell_left(ref, state, {slot.flow for slot in slots})
        if found:
            raise ClusterError(409, found[0].reason.value, found[0].message)

    def _is_ending(self, ref: Ref, claim: ChildFact) -> bool:
        """Whether the volume goes and no worker has begun to use it: the next one is waited for."""
        worker = self._cache.child("Deployment", ref.namespace, claim.name)
        return self._cache.leaves(claim) and (worker is None or self._cache.leaves(worker))

    async def _apply(self, pool: Pool, state: PoolState, *, grows: bool) -> list[Problem]:
        """Apply the pool's children. A volume that cannot grow is told, and is no reason to stop its Flows."""
        found: list[Problem] = []
        for manifest in desired_pool(pool):
            if manifest["kind"] == DEPLOYMENT and pool.shape.held:
                await resize(pool, self._cache, self._cluster)
                continue
            problems = await apply_all(
                [manifest],
                Whose(pool.namespace, pool=pool.pool),
                state.applied,
                self._cache,
                self._cluster,
            )
            if manifest["kind"] != "PersistentVolumeClaim" or not grows:
                found += problems
                continue
            small = problems[0].message if problems else ""
            if small and small != state.small:
                named = {"namespace": pool.namespace, "pool": pool.pool}
                journal.warning("volume does not grow", **named, why=small)
            state.small = small
        return found

    async def run(self, worker: Worker, pool: str, applied: Applied) -> list[Problem]:
        """Give a Flow its place in a pool, and bring its own children to what they should be.

        Returns:
            What could not be applied.

        Raises:
            ClusterError, NotLeading: It must be tried again.
        """
        ref = Ref(POOL, worker.namespace, pool)
        # Two Flows that come at the same time must not take the same place.
        async with self._seating[ref]:
            place = self._place(ref, worker.flow)
            if place is None:
                return [pool_full(pool)]
            seated = replace(worker, slot=Slot(pool, place))
            problems = await apply_children(seated, applied, self._cache, self._cluster)
        self._queue.add(ref)
        return problems

    def is_full(self, flow: Ref, pool: str) -> bool:
        """Whether a Flow that is not in a pool would find no place there."""
        return self._place(Ref(POOL, flow.namespace, pool), flow.name) is None

    async def close(self, worker: Worker, slot: ChildFact) -> None:
        """Take a Flow's plan from its place in a pool; the worker stops it and tells what is left."""
        place = place_of_slot(slot.pool, slot.name)
        if place is None:
            await remove(slot, self._cache, self._cluster)
            return
        closed = plan_config_map(replace(worker, slot=Slot(slot.pool, place)), closed=True)
        answer = await self._cluster.apply(closed)
        self._cache.take_answer("ConfigMap", answer, slot)
        self._queue.add(Ref(POOL, slot.namespace, slot.pool))
        journal.info("flow stopped in pool", **_named(worker.namespace, worker.flow, slot.pool))

    def left(self, crew: Ref, flow: Ref) -> tuple[bool, int | None]:
        """What is left of a Flow in a pool that was told to stop it.

        Returns:
            Whether the pool may still be at work on it, and if not, how many messages its store there holds.
        """
        pods = [pod for pod in self._cache.pods(crew) if pod.phase in {"Pending", "Running"}]
        answer = self._book.answer(pods[0]) if len(pods) == 1 else None
        if answer is None or flow in answer.plans or answer.left is None:
            return True, None
        left = answer.left.get(f"{flow.namespace}/{flow.name}", 0)
        return left is None, left

    def _place(self, pool: Ref, flow: str) -> int | None:
        """The place of a Flow: that which it has, else the first free one; None if there is none."""
        taken: dict[int, str] = {}
        for slot in self._cache.slots(pool):
            place = place_of_slot(pool.name, slot.name)
            if place is not None:
                taken[place] = slot.flow
        own = next((place for place, name in sorted(taken.items()) if name == flow), None)
        if own is not None:
            return own
        return next((place for place in range(names.POOL_PLACES) if place not in taken), None)

    def _tell_left(self, ref: Ref, state: PoolState, members: set[str]) -> None:
        """Say once which stores of Flows that are gone still hold messages."""
        answers = [a for pod in self._cache.pods(ref) if (a := self._book.answer(pod)) is not None]
        if not answers:
            return
        newest = max(answers, key=lambda answer: answer.at)
        left = {}
        for name, count in (newest.left or {}).items():
            namespace, _, flow = name.partition("/")
            if count and flow not in members:
                left[flow] = count
                if state.left.get(flow) != count:
                    named = _named(namespace, flow, ref.name)
                    journal.info("store kept, it holds messages", left=count, **named)
        state.left = left

    async def _is_taken(self, ref: Ref) -> bool:
        """Whether somebody has a place in a pool, by the API server itself: the feed may be behind."""
        chosen = f"{names.LABEL_POOL}={ref.name}"
        async for _ in self._cluster.each(
            "ConfigMap", ref.namespace, selector=chosen, metadata_only=True
        ):
            return True
        return False

    async def _depart(self, ref: Ref) -> None:
        """Nobody is in the pool: its children go, its volume only when it is surely empty."""
        name = pool_child_name(ref.name)
        self._states.pop(ref, None)
        self._shaping.forget(ref)
        for kind in ENDING:
            child = self._cache.child(kind, ref.namespace, name)
            if child is not None and child.pool == ref.name and not self._cache.leaves(child):
                await remove(child, self._cache, self._cluster)
        claim = self._cache.child("PersistentVolumeClaim", ref.namespace, name)
        if claim is None or self._cache.leaves(claim) or claim.pool != ref.name:
            self._cache.forget_pods(ref)
            return
        deployment = self._cache.child("Deployment", ref.namespace, name)
        pods = self._cache.pods(ref)
        if deployment is not None or any(pod.phase in {"Pending", "Running"} for pod in pods):
            self._queue.add_later(ref, DEPARTING_S)
            return
        last = self._cache.last_pod(ref)
        if (last is None and claim.unbound) or (last is not None and last.left == 0):
            gone = await give_up(
                claim, self._cache, self._cluster, is_wanted=lambda: self._is_taken(ref)
            )
            if gone:
                self._cache.forget_pods(ref)
            else:
                self._queue.add_later(ref, DEPARTING_S)
            return
        journal.info(
            "volume kept, it may hold messages",
            namespace=ref.namespace,
            pool=ref.name,
            left=last.left if last else None,
        )


def _named(namespace: str, flow: str, pool: str) -> dict[str, str]:
    return {"namespace": namespace, "flow": flow, "pool": pool}
