"""Where a Flow is, and what it takes to bring it where its spec says; `core.placing` decides.

The reconciler asks before it applies. What is needed stands in the cluster and in the reports, so that another
leader goes on where this one ended.
"""

import base64
from datetime import datetime, timedelta

from intops_api import names
from intops_api.flow import FlowSpec, Store
from intops_core.planning import PlanError, decode_plan
from intops_core.resources import Ref
from intops_operator.applying import give_up, remove
from intops_operator.cache import Cache
from intops_operator.core.children.worker import POSTGRES, Worker, child_name
from intops_operator.core.observed import POOL, ChildFact
from intops_operator.core.placing import DATABASE, OWN, Stay, Step, next_step, pool_of
from intops_operator.edges.cluster import Cluster, Conflict
from intops_operator.edges.reports import ReportBook
from intops_operator.journal import Journal
from intops_operator.pooling import Pools

journal = Journal("move")

AT_WORK = {"Pending", "Running"}
"""Phases in which a pod may still capture."""


class Moving:
    """Flows on their way."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        book: ReportBook,
        pools: Pools,
        *,
        no_report_after_s: float,
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._book = book
        self._pools = pools
        self._fresh = timedelta(seconds=no_report_after_s)
        self._last: dict[Ref, str] = {}
        """Uid of the only pod that was left of a Flow with PostgreSQL when it was told to end."""

    def step(self, flow: Ref, spec: FlowSpec, now: datetime) -> Step:
        """What to do about a Flow's place now."""
        wanted = _wanted(spec)
        actual = self._actual(flow, wanted)
        stay = Stay(wanted, actual)
        if actual is None or actual == wanted:
            return next_step(stay)
        pool = pool_of(actual)
        crew = Ref(POOL, flow.namespace, pool) if pool else flow
        closed, stopping, left = (
            self._end_in_pool(crew, flow) if pool else self._end_of_own(flow, actual)
        )
        pods = [pod for pod in self._cache.pods(crew) if pod.is_live]
        heard = self._book.heard(flow, pods)
        plans = [one.plan for one in heard if one.plan is not None and now - one.at <= self._fresh]
        return next_step(
            Stay(
                wanted,
                actual,
                suspended=spec.suspend,
                closed=closed,
                stopping=stopping,
                # One that does not answer may hold anything.
                reports=tuple(plans) if len(plans) == len(pods) else (),
                left=left,
                full=bool(pool_of(wanted)) and self._pools.is_full(flow, wanted),
                workers=sum(pod.phase in AT_WORK for pod in self._cache.pods(crew)),
            )
        )

    async def close(self, worker: Worker, step: Step) -> None:
        """Have the worker at the old place stop a Flow."""
        flow = Ref("Flow", worker.namespace, worker.flow)
        slot = self._slot(flow, step.pool)
        if step.pool and slot is not None:
            await self._pools.close(worker, slot)
            return
        deployment = self._child("Deployment", flow)
        if step.pool or deployment is None:
            return
        self._last.pop(flow, None)
        at_work = [pod.uid for pod in self._cache.pods(flow) if pod.phase in AT_WORK]
        if step.place == DATABASE and len(at_work) == 1:
            self._last[flow] = at_work[0]
        await remove(deployment, self._cache, self._cluster)

    async def leave(self, flow: Ref, step: Step) -> None:
        """Nothing is left at the old place: take away what is not pruned with the other children."""
        to = "own workers, PostgreSQL" if step.place == DATABASE else step.pool or "own worker"
        journal.info("moved", namespace=flow.namespace, flow=flow.name, to=to)
        self._last.pop(flow, None)
        claim = self._child("PersistentVolumeClaim", flow)
        # What an earlier Flow of this name left there is nobody's to give up: only what its worker called empty.
        last = self._cache.last_pod(flow)
        vouched = last is not None and last.embedded and last.left == 0
        if (
            step.place != OWN
            and claim is not None
            and (vouched or (last is None and claim.unbound))
        ):
            gone = await give_up(
                claim, self._cache, self._cluster, is_wanted=lambda: self._has_changed(flow)
            )
            if not gone:
                raise Conflict(409, "Conflict", "The Flow changed while its volume was given up.")

    async def _has_changed(self, flow: Ref) -> bool:
        """Whether its spec may ask for another place by now, by the API server itself."""
        live = await self._cluster.get("Flow", flow.namespace, flow.name)
        seen = (self._cache.uid(flow), self._cache.generation(flow))
        meta = (live or {}).get("metadata") or {}
        return (meta.get("uid", ""), int(meta.get("generation") or 0)) != seen

    def forget(self, flow: Ref) -> None:
        """The Flow is gone."""
        self._last.pop(flow, None)

    async def kept_store(self, flow: Ref, place: str) -> Store | None:
        """The store that a Flow has at the place where it is, although its spec names another kind.

        Returns:
            None if that cannot be read: only its plan says where its database is.

        Raises:
            ClusterError: The API server cannot be reached.
        """
        child = self._cache.plan_child(flow)
        body = await self._cluster.get(child.kind, child.namespace, child.name) if child else None
        data = ((body or {}).get("binaryData") or {}).get(names.PLAN_KEY) or ""
        try:
            store = decode_plan(base64.b64decode(data)).store
        except (PlanError, ValueError):
            store = Store()
        if (store.postgres is not None) == (place == DATABASE):
            return store
        if place == DATABASE:
            return None
        claim = self._child("PersistentVolumeClaim", flow) if place == OWN else None
        return Store(embedded=claim.claim if claim is not None else None)

    def _child(self, kind: str, flow: Ref) -> ChildFact | None:
        found = self._cache.child(kind, flow.namespace, child_name(flow.name))
        if found is None or found.flow != flow.name or self._cache.leaves(found):
            return None
        return found

    def _slot(self, flow: Ref, pool: str) -> ChildFact | None:
        slots = (slot for slot in self._cache.slots(flow) if not self._cache.leaves(slot))
        return next((slot for slot in slots if slot.pool == pool), None)

    def _actual(self, flow: Ref, wanted: str) -> str | None:
        """Where a Flow is. In two places at once, as after an end between two steps, it is still at the other."""
        slots = self._cache.slots(flow)
        places = {slot.pool for slot in slots if not self._cache.leaves(slot)}
        # A volume that an earlier Flow of this name left may hold its messages.
        left = self._child("PersistentVolumeClaim", flow) is not None and not places
        plan = self._child("ConfigMap", flow)
        if plan is not None:
            places.add(self._own_place(flow, plan, wanted))
        elif left and pool_of(wanted):
            places.add(OWN)
        places = places or self._left_in_pools(flow)
        others = sorted(places - {wanted})
        return others[0] if others else wanted if places else None

    def _own_place(self, flow: Ref, plan: ChildFact, wanted: str) -> str:
        """Where the workers of a Flow's own keep its messages."""
        if plan.store:
            return DATABASE if plan.store == POSTGRES else OWN
        deployment = self._child("Deployment", flow)
        if deployment is None or deployment.deployed is None:
            return OWN if pool_of(wanted) else wanted
        return OWN if deployment.deployed.embedded else DATABASE

    def _left_in_pools(self, flow: Ref) -> set[str]:
        """Pools in whose volume an earlier Flow of this name has left messages, as far as they said so."""
        found = set()
        for crew in self._cache.pools():
            if crew.namespace != flow.namespace:
                continue
            for answer in map(self._book.answer, self._cache.pods(crew)):
                left = answer.left if answer is not None else None
                if left is not None and left.get(f"{flow.namespace}/{flow.name}"):
                    found.add(crew.name)
        return found

    def _end_of_own(self, flow: Ref, actual: str) -> tuple[bool, bool, int | None]:
        """Whether its own worker was told to end, may still be at work, and what it left."""
        if self._child("Deployment", flow) is not None:
            return False, False, None
        stopping = any(pod.phase in AT_WORK for pod in self._cache.pods(flow))
        last, claim = self._cache.last_pod(flow), self._child("PersistentVolumeClaim", flow)
        if actual == DATABASE:
            spoke_last = last is not None and last.uid == self._last.get(flow)
            return True, stopping, last.left if last is not None and spoke_last else None
        if last is not None:
            return True, stopping, last.left if last.embedded else None
        return True, stopping, 0 if claim is not None and claim.unbound else None

    def _end_in_pool(self, crew: Ref, flow: Ref) -> tuple[bool, bool, int | None]:
        slot = self._slot(flow, crew.name)
        if slot is None or slot.plan_hash is not None:
            return False, False, None
        return (True, *self._pools.left(crew, flow))


def _wanted(spec: FlowSpec) -> str:
    """The place that a spec names; a pool has volumes only."""
    if spec.runtime.pool is not None:
        return spec.runtime.pool
    return OWN if spec.runtime.store.postgres is None else DATABASE
