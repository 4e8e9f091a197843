"""Bring one object to what it should be, whatever led here: gather, plan, apply, judge, write.

The leader's workers call `Reconciler.look` with keys from the queue. Failures never tear down a
running worker: without a new plan the last good one stays in its ConfigMap.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from intops_api.conditions import ConditionType, Reason
from intops_api.flow import FlowSpec
from intops_api.plan import FlowPlan, PlanBlobs
from intops_core.findings import Finding
from intops_core.resources import Ref, Resource
from intops_operator.applying import Applied, apply_children, tell_pods
from intops_operator.cache import Cache
from intops_operator.core.children.worker import Worker, WorkerSettings, child_name, name_problem
from intops_operator.core.facts import FlowFacts, Problem
from intops_operator.core.flowstatus import flow_status
from intops_operator.core.judging import judge_flow
from intops_operator.deciding import Deciding
from intops_operator.edges.cluster import Cluster, ClusterError
from intops_operator.edges.reports import ReportBook
from intops_operator.flowgauges import FlowGauges
from intops_operator.journal import Journal
from intops_operator.planner import Planner, Thought, told_apart
from intops_operator.standings import Standings
from intops_operator.statuswriter import StatusWriter
from intops_operator.workqueue import WorkQueue

journal = Journal("reconcile")

DEPARTING_S = 1.0


@dataclass(slots=True)
class FlowState:
    """What the leader remembers of one Flow between two looks."""

    findings: tuple[Finding, ...] = ()
    pattern_rules: frozenset[str] = frozenset()
    plan: FlowPlan | None = None
    plan_data: bytes = b""
    problem: Problem | None = None
    applied: Applied = field(default_factory=Applied)
    settled: bool = False
    awaits: bool = False
    """Whether the worker has been told a decision and has not answered yet."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a reconciler works with."""

    cluster: Cluster
    cache: Cache
    book: ReportBook
    writer: StatusWriter
    planner: Planner
    queue: WorkQueue[Ref]


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

    def outdate(self, ref: Ref) -> None:
        """The object, or something that it uses, changed: judge it anew at the next look."""
        if ref.kind == "Flow":
            self._stale.add(ref)
        else:
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
            except BaseException:
                self._standings.unheard(ref)
                raise
        elif ref.kind == "FlowAction":
            await self._deciding.look(ref, await self._standings.judged(ref))
        else:
            await self._standings.look(ref)

    # --- Flows ------------------------------------------------------------------------

    async def _look_at_flow(self, ref: Ref) -> None:
        if ref not in self._tools.cache:
            await self._depart(ref)
            return
        state = self._flows.get(ref)
        applied = state is not None and state.applied.holds(ref, self._tools.cache)
        if (
            state is None
            or ref in self._stale
            or (state.plan and not applied and not state.plan_data)
        ):
            state = await self._plan(ref)
            if state is None:
                return
            applied = False
        problems: list[Problem] = [state.problem] if state.problem else []
        resource = self._tools.cache.resource(ref)
        deleting = bool(resource and (resource.meta.model_extra or {}).get("deletionTimestamp"))
        may_apply = resource is not None and not problems and not deleting
        if state.plan is not None and resource is not None and may_apply and not applied:
            worker = Worker(
                namespace=ref.namespace,
                flow=ref.name,
                uid=resource.meta.uid,
                plan=state.plan,
                plan_data=state.plan_data,
                runtime=_spec(resource).runtime,
                settings=self._worker,
            )
            problems += await apply_children(
                worker, state.applied, self._tools.cache, self._tools.cluster
            )
            if not problems:
                # The plan is in its ConfigMap now; a thousand copies here would serve nobody. Classes are shared.
                state.plan_data = b""
                kept = PlanBlobs(classes=state.plan.blobs.classes)
                state.plan = state.plan.model_copy(update={"blobs": kept})
        if state.plan is not None and may_apply and not problems:
            await tell_pods(ref, state.plan.hash, self._tools.cache, self._tools.cluster)
        if not deleting:
            state.awaits = await self._deciding.hand_down(ref, state.plan, state.applied)
        self._judge(ref, state, resource, problems)
        if problems and state.problem is None:
            raise ClusterError(409, problems[0].reason.value, problems[0].message)

    async def _plan(self, ref: Ref) -> FlowState | None:
        """Plan a Flow from what is there now; None if it is not there."""
        tools = self._tools
        # A live read: the cache may be older than what led here, and ghosts are never planned.
        live = await tools.cluster.get("Flow", ref.namespace, ref.name)
        if live is None:
            self._stale.add(ref)
            tools.queue.add_later(ref, DEPARTING_S)
            return None
        tools.cache.take_answer("Flow", live)
        self._stale.discard(ref)
        tools.writer.observe(ref, live.get("status"))
        state = self._flows.setdefault(ref, FlowState())
        resource = tools.cache.resource(ref)
        if resource is None:
            state.findings, state.plan, state.problem = tools.cache.broken(ref), None, None
            return state
        resources = tools.cache.snapshot(ref.namespace)
        with self._stale_again(ref):
            thought = await tools.planner.plan(resource, resources)
        state.findings = tuple(told_apart(f, tools.cache) for f in thought.findings)
        state.pattern_rules = thought.pattern_rules
        state.plan, state.plan_data = thought.plan, thought.data
        state.problem = _plan_problem(ref, thought)
        return state

    def _judge(
        self, ref: Ref, state: FlowState, resource: Resource | None, problems: list[Problem]
    ) -> None:
        tools = self._tools
        pods = tools.cache.pods(ref)
        tools.book.keep_only(ref, (pod.uid for pod in pods))
        if any(p.is_live and p.answers and not tools.book.was_tried(p) for p in pods):
            # A new leader knows nothing yet; what was written before is better than a guess.
            return
        config_map = tools.cache.child("ConfigMap", ref.namespace, child_name(ref.name))
        facts = FlowFacts(
            namespace=ref.namespace,
            name=ref.name,
            generation=tools.cache.generation(ref),
            now=self._now(),
            no_report_after_s=self._no_report_after_s,
            spec=_spec(resource) if resource else None,
            findings=state.findings,
            pattern_rules=state.pattern_rules,
            plan=state.plan,
            running_hash=config_map.plan_hash if config_map else None,
            pods=pods,
            heard=tools.book.heard(ref),
            deployment=tools.cache.child("Deployment", ref.namespace, child_name(ref.name)),
            problems=tuple(problems),
            previous=tools.writer.previous(ref),
        )
        judged = judge_flow(facts)
        self._gauges.show(ref, judged.conditions)
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
        self._stale.discard(ref)
        claim = tools.cache.child("PersistentVolumeClaim", ref.namespace, child_name(ref.name))
        tools.book.forget(ref)
        if claim is None or claim.leaving:
            tools.cache.forget_pods(ref)
            return
        if any(pod.phase in {"Pending", "Running"} for pod in tools.cache.pods(ref)):
            tools.queue.add_later(ref, DEPARTING_S)
            return
        last = tools.cache.last_pod(ref)
        # A claim without a volume holds nothing; else the worker that ended last has to say so.
        if (last is None and claim.unbound) or (last is not None and last.left == 0):
            if await tools.cluster.get("Flow", ref.namespace, ref.name) is not None:
                return
            await tools.cluster.delete(claim.kind, claim.namespace, claim.name, uid=claim.uid)
            journal.info("empty volume removed", namespace=ref.namespace, flow=ref.name)
            tools.cache.forget_pods(ref)
        else:
            # What was said is kept with the volume: the next look must not take it for empty.
            journal.info(
                "volume kept, it may hold messages",
                namespace=ref.namespace,
                flow=ref.name,
                left=last.left if last else None,
            )


def _spec(resource: Resource) -> FlowSpec:
    if not isinstance(resource.spec, FlowSpec):
        raise TypeError(f"{resource.ref} is no Flow")
    return resource.spec


def _plan_problem(ref: Ref, thought: Thought) -> Problem | None:
    """Why a plan cannot be handed down although it is valid."""
    bad_name = name_problem(ref.name)
    if bad_name is not None:
        return Problem(Reason.WORKER_UNAVAILABLE, bad_name)
    if thought.refusal:
        return Problem(Reason.PLAN_REJECTED, thought.refusal)
    return None
