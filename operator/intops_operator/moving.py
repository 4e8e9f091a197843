"""Where a Flow is, and what it takes to bring it where its spec says; `core.placing` decides.

The reconciler asks before it applies. What is needed stands in the cluster and in the reports, so that another
leader goes on where this one ended.
"""

from datetime import datetime, timedelta

from intops_api.flow import FlowSpec
from intops_core.resources import Ref
from intops_operator.applying import remove
from intops_operator.cache import Cache
from intops_operator.core.children.worker import Worker, child_name
from intops_operator.core.observed import POOL, ChildFact
from intops_operator.core.placing import OWN, Stay, Step, next_step
from intops_operator.edges.cluster import Cluster
from intops_operator.edges.reports import ReportBook
from intops_operator.journal import Journal
from intops_operator.pooling import Pools

journal = Journal("move")


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

    def step(self, flow: Ref, spec: FlowSpec, now: datetime) -> Step:
        """What to do about a Flow's place now."""
        wanted = spec.runtime.pool or OWN
        actual = self._actual(flow, wanted)
        stay = Stay(wanted, actual)
        if actual is None or actual == wanted:
            return next_step(stay)
        crew = Ref(POOL, flow.namespace, actual) if actual else flow
        closed, stopping, left = self._end_in_pool(crew, flow) if actual else self._end_of_own(flow)
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
                full=bool(wanted) and self._pools.is_full(flow, wanted),
            )
        )

    async def close(self, worker: Worker, step: Step) -> None:
        """Have the worker at the old place stop a Flow."""
        flow = Ref("Flow", worker.namespace, worker.flow)
        slot = self._slot(flow, step.place)
        if step.place and slot is not None:
            await self._pools.close(worker, slot)
            return
        deployment = self._child("Deployment", flow)
        if not step.place and deployment is not None:
            await remove(deployment, self._cache, self._cluster)

    async def leave(self, flow: Ref, step: Step) -> None:
        """Nothing is left at the old place: take away what is not pruned with the other children."""
        journal.info(
            "moved", namespace=flow.namespace, flow=flow.name, to=step.place or "own worker"
        )
        claim = self._child("PersistentVolumeClaim", flow)
        if step.place and claim is not None:
            await remove(claim, self._cache, self._cluster)

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
        if self._child("ConfigMap", flow) is not None or (left and wanted != OWN):
            places.add(OWN)
        places = places or self._left_in_pools(flow)
        others = sorted(places - {wanted})
        return others[0] if others else wanted if places else None

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

    def _end_of_own(self, flow: Ref) -> tuple[bool, bool, int | None]:
        """Whether its own worker was told to end, may still be at work, and what it left."""
        if self._child("Deployment", flow) is not None:
            return False, False, None
        stopping = any(p.phase in {"Pending", "Running"} for p in self._cache.pods(flow))
        last, claim = self._cache.last_pod(flow), self._child("PersistentVolumeClaim", flow)
        if last is not None:
            return True, stopping, last.left
        return True, stopping, 0 if claim is not None and claim.unbound else None

    def _end_in_pool(self, crew: Ref, flow: Ref) -> tuple[bool, bool, int | None]:
        slot = self._slot(flow, crew.name)
        if slot is None or slot.plan_hash is not None:
            return False, False, None
        return (True, *self._pools.left(crew, flow))
