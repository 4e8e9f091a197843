"""Bring people's decisions to the workers, and the workers' answers into their status.

The reconciler calls it for Flows and for FlowActions. Level-triggered: what stands in the ConfigMap is
what is not answered; a decision that comes twice is applied once, by its uid.
"""

from collections.abc import Callable
from datetime import datetime

from intops_api import names
from intops_api.actions import ActionReport
from intops_api.plan import FlowPlan
from intops_core.findings import Finding
from intops_core.resources import Ref, Resource
from intops_operator.applying import tell_pods, together
from intops_operator.cache import Cache
from intops_operator.core.actions import (
    State,
    action_spec,
    action_status,
    answered,
    forget_in_s,
    state_of,
    told,
)
from intops_operator.edges.cluster import Cluster
from intops_operator.edges.reports import ReportBook
from intops_operator.journal import Journal
from intops_operator.statuswriter import StatusWriter
from intops_operator.workqueue import WorkQueue

journal = Journal("decide")

LATER_S = 1.0


class Deciding:
    """Decisions under way."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        book: ReportBook,
        writer: StatusWriter,
        queue: WorkQueue[Ref],
        now: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._book = book
        self._writer = writer
        self._queue = queue
        self._now = now
        self._asks: dict[Ref, bool] = {}
        """Whether a Flow asks for a second person, as far as it was planned."""

    async def hand_down(self, flow: Ref, plan: FlowPlan | None) -> bool:
        """Tell the worker of a Flow what was decided; returns whether an answer is awaited.

        Without a plan the last good one runs on, and its worker can still be told: but not before it
        was seen once whether the Flow asks for a second person.
        """
        if plan is None and flow not in self._asks:
            return False
        asks = plan.review.second_approver is True if plan is not None else self._asks[flow]
        if self._asks.get(flow) != asks:
            self._asks[flow] = asks
            self._wake(flow)
        waiting = [
            resource for resource in self._actions(flow) if self._state(resource) == "waiting"
        ]
        wanted = told(flow, waiting)
        child = self._cache.plan_child(flow)
        if child is None:
            return bool(waiting)
        if child.actions_hash != wanted.hash:
            change = {
                "metadata": {"annotations": {names.ANNOTATION_ACTIONS: wanted.hash}},
                "data": {names.ACTIONS_KEY: wanted.text},
            }
            result = await self._cluster.patch("ConfigMap", child.namespace, child.name, change)
            self._cache.take_answer("ConfigMap", result, child)
            journal.info(
                "decisions told", namespace=flow.namespace, flow=flow.name, count=len(waiting)
            )
        await self._tell_pods(flow, wanted.hash)
        self._answers(flow, waiting)
        return bool(waiting)

    async def look(self, ref: Ref, findings: tuple[Finding, ...]) -> None:
        """Bring the status of one FlowAction to what it should be, or take away an old one."""
        resource = self._cache.resource(ref)
        if resource is None:
            self._writer.forget(ref)
            return
        if not self._writer.knows(ref, self._cache.uid(ref)):
            live = await self._cluster.get("FlowAction", ref.namespace, ref.name)
            if live is None:
                return
            self._writer.observe(ref, live["metadata"]["uid"], live.get("status"))
        left_s = forget_in_s(self._status(resource), self._now())
        if left_s is not None and left_s <= 0:
            await self._cluster.delete("FlowAction", ref.namespace, ref.name, uid=resource.meta.uid)
            journal.info("answered decision removed", namespace=ref.namespace, name=ref.name)
            return
        flow = Ref("Flow", ref.namespace, action_spec(resource).flow)
        if left_s is not None:
            self._queue.add_later(ref, left_s + LATER_S)
            self._queue.add(flow, urgent=False)  # its place among those under way is free
        else:
            self._want(resource, findings, self._answer(flow, resource))

    def forget(self, flow: Ref) -> None:
        """A Flow is gone."""
        self._asks.pop(flow, None)

    def _wake(self, flow: Ref) -> None:
        for resource in self._actions(flow):
            self._queue.add(resource.ref, urgent=False)

    def _actions(self, flow: Ref) -> list[Resource]:
        found = (self._cache.resource(ref) for ref in self._cache.users(flow, "FlowAction"))
        return [resource for resource in found if resource is not None]

    def _status(self, resource: Resource) -> dict[str, object]:
        """What is known of its status: written by this leader, else as the feed brought it."""
        written = dict(self._writer.written(resource.ref))
        return written or dict(resource.raw.get("status") or {})

    def _state(self, resource: Resource) -> State:
        flow = Ref("Flow", resource.ref.namespace, action_spec(resource).flow)
        asks = self._asks.get(flow, False)
        return state_of(resource, self._status(resource), second_approver=asks)

    def _answer(self, flow: Ref, resource: Resource) -> ActionReport | None:
        for heard in self._book.heard(flow, self._cache.pods(self._cache.crew(flow))):
            for answer in heard.plan.actions if heard.plan is not None else ():
                if answer.uid == resource.meta.uid:
                    return answer
        return None

    def _answers(self, flow: Ref, waiting: list[Resource]) -> None:
        for resource in waiting:
            answer = self._answer(flow, resource)
            if answer is not None:
                self._want(resource, (), answer)

    def _want(
        self, resource: Resource, findings: tuple[Finding, ...], answer: ActionReport | None
    ) -> None:
        if answered(self._status(resource)):
            return
        status = action_status(
            resource,
            state=self._state(resource),
            answer=answer,
            findings=findings,
            previous=self._writer.previous(resource.ref),
            now=self._now(),
        )
        self._writer.want(resource.ref, status)
        if answered(status):
            self._queue.add_later(resource.ref, LATER_S)

    async def _tell_pods(self, flow: Ref, wanted: str | None) -> None:
        crew = self._cache.crew(flow)
        if crew != flow and wanted is not None:
            wanted = together((s.name, s.actions_hash) for s in self._cache.slots(crew))
        await tell_pods(crew, names.ANNOTATION_ACTIONS, wanted, self._cache, self._cluster)
