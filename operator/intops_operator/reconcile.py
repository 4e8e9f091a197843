"""Bring one object to what it should be, whatever led here: gather, plan, apply, judge, write.

The leader's workers call `Reconciler.look` with keys from the queue. Failures never tear down a
running worker: without a new plan the last good one stays in its ConfigMap. Some 400 lines, because the
steps of one look share what is known of the Flow; what each decides and does stands in modules of its own.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from intops_api.conditions import ConditionType, Reason
from intops_api.flow import FlowSpec
from intops_api.names import ANNOTATION_PLAN_HASH
from intops_api.plan import FlowPlan
from intops_core.resources import Ref, Resource
from intops_operator.applying import Applied, apply_children, is_sized, tell_pods
from intops_operator.cache import Cache
from intops_operator.core.children.worker import (
    Worker,
    WorkerSettings,
    child_name,
    name_problem,
    pool_child_name,
)
from intops_operator.core.facts import FlowFacts, Problem
from intops_operator.core.flowstatus import flow_status
from intops_operator.core.judging import judge_flow
from intops_operator.core.observed import POOL
from intops_operator.core.placing import DATABASE, Step, store_unknown
from intops_operator.deciding import Deciding
from intops_operator.departing import volume_is_settled
from intops_operator.edges.cluster import Cluster, ClusterError, NotLeading
from intops_operator.edges.reports import ReportBook
from intops_operator.flowgauges import FlowGauges
from intops_operator.flowstate import FlowState
from intops_operator.journal import Journal
from intops_operator.moving import Moving
from intops_operator.planner import Planner, Thought, told_apart
from intops_operator.pooling import Pools
from intops_operator.shaping import Shaping
from intops_operator.standings import Standings
from intops_operator.statuswriter import StatusWriter
from intops_operator.workqueue import WorkQueue

journal = Journal("reconcile")

DEPARTING_S = 1.0


@dataclass(frozen=True, slots=True)
class Tools:
    """What a reconciler works with."""

    cluster: Cluster
    cache: Cache
    book: ReportBook
    writer: StatusWriter
    planner: Planner
    queue: WorkQueue[Ref]
    shaping: Shaping


class Reconciler:
    """Level-triggered: only the present matters, never what happened."""

    def __init__(
        self,
        tools: Tools,
        worker: WorkerSettings,
        *,
        no_report_after_s: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tools = tools
        self._worker = worker
        self._no_report_after_s = no_report_after_s
        self._now = now
        self._flows: dict[Ref, FlowState] = {}
        self._gauges = FlowGauges()
        self._stale: set[Ref] = set()
        self._standings = Standings(
            tools.cluster, tools.cache, tools.writer, tools.planner, tools.queue, self._now
        )
        self._deciding = Deciding(
            tools.cluster, tools.cache, tools.book, tools.writer, tools.queue, now
        )
        self._pools = Pools(
            tools.cluster, tools.cache, tools.book, tools.queue, worker, tools.shaping
        )
        self._moving = Moving(
            tools.cluster,
            tools.cache,
            tools.book,
            self._pools,
            no_report_after_s=no_report_after_s,
        )

    def outdate(self, ref: Ref) -> None:
        """The object, or something that it uses, changed: judge it anew at the next look."""
        if ref.kind == "Flow":
            self._stale.add(ref)
        elif ref.kind != POOL:
            self._standings.outdate(ref)

    @contextmanager
    def _stale_again(self, ref: Ref) -> Iterator[None]:
        """What fails here leaves the object as outdated as it was: the next look judges it anew."""
        try:
            yield
        except BaseException:
            self._stale.add(ref)
            raise

    def is_settled(self, flow: Ref) -> bool:
        """Whether nothing is expected to change soon."""
        state = self._flows.get(flow)
        return state is not None and state.settled

    async def begin(self, namespaces: Sequence[str]) -> None:
        """Learn at the start of a term what was written before it."""
        await self._standings.read(namespaces)

    async def look(self, ref: Ref) -> None:
        """Bring one object to what it should be.

        Raises:
            ClusterError, NotLeading: It must be tried again.
        """
        if ref.kind == "Flow":
            try:
                await self._look_at_flow(ref)
            except (ClusterError, NotLeading, asyncio.CancelledError):
                raise  # it is tried again: what others say of their Flows waits for it
            except BaseException:
                self._standings.unheard(ref)
                raise
        elif ref.kind == POOL:
            await self._pools.look(ref)
        elif ref.kind == "FlowAction":
            await self._deciding.look(ref, await self._standings.judged(ref))
        else:
            await self._standings.look(ref)

    # --- Flows ------------------------------------------------------------------------

    async def _look_at_flow(self, ref: Ref) -> None:
        if ref not in self._tools.cache:
            await self._depart(ref)
            return
        if ref in self._flows:
            self._flows[ref].open()
        try:
            await self._bring(ref)
        finally:
            if ref in self._flows:
                self._flows[ref].close()

    async def _bring(self, ref: Ref) -> None:
        """Bring a Flow to what it should be."""
        state, step = self._flows.get(ref), self._step(ref)
        stands = state is not None and self._stands(ref, state, step)
        lacks = state is not None and self._lacks_plan(state, step, stands=stands)
        elsewhere = state is not None and _keeps_elsewhere(state, step)
        anew = state is None or ref in self._stale or lacks or elsewhere
        if state is None or anew:
            state = await self._plan(ref)
            if state is None:
                return
            step = self._step(ref)  # the live read may have brought another spec
            if _keeps_elsewhere(state, step):
                self._stale.add(ref)
                self._tools.queue.add_later(ref, DEPARTING_S)
                return
        problems: list[Problem] = [state.problem] if state.problem else []
        resource = self._tools.cache.resource(ref)
        deleting = bool(resource and (resource.meta.model_extra or {}).get("deletionTimestamp"))
        may_apply = resource is not None and not problems and not deleting
        if state.plan is not None and resource is not None and step is not None and may_apply:
            if step.deed != "wait" and (anew or not stands):
                problems += await self._bring_about(ref, state, resource, step)
            if not problems and step.deed in {"run", "go"} and not step.pool:
                wanted, tools = state.plan.hash, self._tools
                await tell_pods(ref, ANNOTATION_PLAN_HASH, wanted, tools.cache, tools.cluster)
        if not deleting:
            state.awaits = await self._deciding.hand_down(ref, state.plan)
        told = [*problems, *self._pools.problems(self._tools.cache.crew(ref))]
        self._judge(ref, state, resource, told, step)
        if problems and state.problem is None:
            raise ClusterError(409, problems[0].reason.value, problems[0].message)

    def _step(self, ref: Ref) -> Step | None:
        """What to do about the Flow's place; None while its spec cannot be read."""
        resource = self._tools.cache.resource(ref)
        if resource is None:
            return None
        return self._moving.step(ref, _spec(resource), self._now())

    def _lacks_plan(self, state: FlowState, step: Step | None, *, stands: bool) -> bool:
        """Whether children are to be applied, and the plan for it is in its ConfigMap only."""
        applies = step is not None and step.deed in {"run", "go"} and state.problem is None
        return applies and not state.plan_data and not stands

    def _stands(self, ref: Ref, state: FlowState, step: Step | None) -> bool:
        """Whether nothing is to be done about a Flow's children: the common case, and cheap to see."""
        if state.plan is None or step is None or step.deed == "wait":
            return True
        if step.deed == "close" or state.place != step.place:
            return False
        resource = self._tools.cache.resource(ref)
        if resource is not None and not step.pool:
            worker = self._tools.shaping.shaped(self._worker_of(resource, state.plan, b""))
            held = worker.shape.held
            if worker.shape != state.shape or (held and not is_sized(worker, self._tools.cache)):
                return False
        return state.applied.holds(ref, self._tools.cache)

    def _worker_of(self, resource: Resource, plan: FlowPlan, data: bytes) -> Worker:
        return Worker(
            namespace=resource.ref.namespace,
            flow=resource.ref.name,
            uid=resource.meta.uid,
            plan=plan,
            plan_data=data,
            runtime=_spec(resource).runtime,
            settings=self._worker,
        )

    async def _bring_about(
        self, ref: Ref, state: FlowState, resource: Resource, step: Step
    ) -> list[Problem]:
        """Bring the Flow's children to what they should be, where they should be."""
        if state.plan is None:
            raise ValueError("a Flow without a plan has no children to apply")
        tools = self._tools
        worker = self._worker_of(resource, state.plan, state.plan_data)
        if step.deed == "close":
            await self._moving.close(worker, step)
            state.place = None
            tools.queue.add_later(ref, DEPARTING_S)
            return []
        if not state.plan_data:
            raise ValueError("a plan that is not at hand cannot be written into its ConfigMap")
        if step.deed == "go":
            await self._moving.leave(ref, step)
        if state.place != step.place:
            state.place, state.applied = step.place, Applied()
        if step.pool:
            problems = await self._pools.run(worker, step.pool, state.applied)
        else:
            worker = tools.shaping.shaped(worker)
            problems = await apply_children(worker, state.applied, tools.cache, tools.cluster)
        if not problems:
            if not step.pool:
                state.shape = worker.shape
                await tools.shaping.tell(ref)
            state.plan_data = b""  # it is in its ConfigMap now
            if step.deed == "go":
                tools.cache.forget_pods(ref)
        return problems

    async def _plan(self, ref: Ref) -> FlowState | None:
        """Plan a Flow from what is there now; None if it is not there."""
        tools = self._tools
        # A live read: the cache may be older than what led here, and ghosts are never planned.
        live = await tools.cluster.get("Flow", ref.namespace, ref.name)
        if live is None:
            self._stale.add(ref)
            tools.queue.add_later(ref, DEPARTING_S)
            return None
        concerned = tools.cache.take_answer("Flow", live)
        for other in concerned.plans - {ref}:
            self.outdate(other)
        for other in (concerned.plans | concerned.looks) - {ref}:
            tools.queue.add(other, urgent=False)
        self._stale.discard(ref)
        tools.writer.observe(ref, live["metadata"]["uid"], live.get("status"))
        state = self._flows.setdefault(ref, FlowState())
        resource = tools.cache.resource(ref)
        if resource is None:
            state.findings, state.problem = tools.cache.broken(ref), None
            state.replan(None)
            return state
        resources = tools.cache.snapshot(ref.namespace)
        with self._stale_again(ref):
            thought = await tools.planner.plan(resource, resources)
            thought, problem = await self._as_it_is(ref, thought)
        state.findings = tuple(told_apart(f, tools.cache) for f in thought.findings)
        state.limits_reviews = thought.limits_reviews
        state.replan(thought.plan, thought.data)
        state.problem = problem or _plan_problem(ref, thought)
        return state

    async def _as_it_is(self, ref: Ref, thought: Thought) -> tuple[Thought, Problem | None]:
        """The plan with the store that the Flow has, while it may not yet go to the one that its spec names."""
        step, plan = self._step(ref), thought.plan
        if step is None or plan is None or not _differs(plan, step):
            return thought, None
        kept = await self._moving.kept_store(ref, step.place)
        if kept is None:
            return thought, store_unknown()
        return await self._tools.planner.with_store(thought, kept), None

    def _judge(
        self,
        ref: Ref,
        state: FlowState,
        resource: Resource | None,
        problems: list[Problem],
        step: Step | None,
    ) -> None:
        tools = self._tools
        crew = tools.cache.crew(ref)
        pods = tools.cache.pods(crew)
        if any(p.is_live and p.answers and not tools.book.was_tried(p) for p in pods):
            # A new leader knows nothing yet; what was written before is better than a guess.
            return
        config_map = tools.cache.plan_child(ref)
        shared = crew.name if crew.kind == POOL else None
        worker_name = child_name(ref.name) if shared is None else pool_child_name(shared)
        facts = FlowFacts(
            namespace=ref.namespace,
            name=ref.name,
            generation=tools.cache.generation(ref),
            now=self._now(),
            no_report_after_s=self._no_report_after_s,
            spec=_spec(resource) if resource else None,
            findings=state.findings,
            limits_reviews=state.limits_reviews,
            plan=state.plan,
            running_hash=config_map.plan_hash if config_map else None,
            pods=pods,
            heard=tools.book.heard(ref, pods),
            deployment=tools.cache.child("Deployment", ref.namespace, worker_name),
            problems=tuple(problems),
            pool=shared,
            move=step.told if step is not None else None,
            rollout=tools.shaping.trouble(ref),
            previous=tools.writer.previous(ref),
        )
        judged = judge_flow(facts)
        self._gauges.show(ref, judged.conditions)
        deleting = bool(resource and (resource.meta.model_extra or {}).get("deletionTimestamp"))
        can_roll = state.plan is not None and not problems and not deleting
        if shared is not None:
            # A pool is built from what stands on its places, whatever becomes of one of its Flows.
            can_roll = not self._pools.problems(crew)
        tools.shaping.note(ref, judged, can_roll=can_roll)
        programmed = next(c for c in judged.conditions if c.type == ConditionType.PROGRAMMED)
        state.settled = programmed.status == "True" and not state.awaits
        tools.writer.want(ref, flow_status(facts, judged, tools.writer.written(ref)))
        self._standings.hear(ref, facts)

    async def _depart(self, ref: Ref) -> None:
        """A Flow is gone: its children go with it, its volume only when it is surely empty."""
        tools = self._tools
        state = self._flows.pop(ref, None)
        if state is not None:
            self._gauges.forget(ref)
            tools.writer.forget(ref)
        self._standings.forget(ref)
        self._deciding.forget(ref)
        self._moving.forget(ref)
        tools.shaping.forget(ref)
        self._stale.discard(ref)
        if await volume_is_settled(ref, tools.cache, tools.cluster):
            return
        tools.queue.add_later(ref, DEPARTING_S)


def _spec(resource: Resource) -> FlowSpec:
    if not isinstance(resource.spec, FlowSpec):
        raise TypeError(f"{resource.ref} is no Flow")
    return resource.spec


def _differs(plan: FlowPlan, step: Step) -> bool:
    """Whether a plan names another kind of store than there is at the place of a step."""
    return (plan.store.postgres is not None) != (step.place == DATABASE)


def _keeps_elsewhere(state: FlowState, step: Step | None) -> bool:
    """Whether what was planned is not for the place where the Flow is to be."""
    if step is None or state.plan is None or state.problem is not None:
        return False
    return step.deed in {"run", "go"} and _differs(state.plan, step)


def _plan_problem(ref: Ref, thought: Thought) -> Problem | None:
    """Why a plan cannot be handed down although it is valid."""
    bad_name = name_problem(ref.name)
    if bad_name is not None:
        return Problem(Reason.WORKER_UNAVAILABLE, bad_name)
    if thought.refusal:
        return Problem(Reason.PLAN_REJECTED, thought.refusal)
    return None
