"""Facts about one healthy Flow, for tests that change one of them.

Used by tests/unit/intops_operator and tests/golden/operator.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from intops_api.flow import FlowSpec
from intops_api.plan import FlowPlan
from intops_api.report import PlanReport
from intops_core.planning import encode_plan, plan_flow
from intops_core.resources import Ref
from intops_operator.cache import Cache
from intops_operator.core.children.worker import Worker, WorkerSettings
from intops_operator.core.facts import FlowFacts, Heard
from intops_operator.core.observed import PodFact
from intops_operator.edges.cluster import Cluster
from intops_operator.edges.reports import ReportBook
from intops_operator.pooling import Pools
from intops_operator.settings import parse_settings
from intops_operator.shaping import shaping_of
from intops_operator.workqueue import WorkQueue
from support.conformance import catalogue_and_example, flow_of

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)

POD = PodFact(
    namespace="itsm",
    name="intops-alerts-to-helpdesk-0",
    uid="pod-1",
    flow="alerts-to-helpdesk",
    ip="10.0.0.1",
    phase="Running",
    started_at="2026-11-25T11:00:00Z",
    leaving=False,
    ready=True,
    plan_hash=None,
    trouble=None,
)


def pools_of(cluster: Cluster, cache: Cache, book: ReportBook) -> Pools:
    """The pools of a leader that has just begun."""
    queue, settings = WorkQueue[Ref](), WorkerSettings(image="example.com/intops-worker:1")
    flags = parse_settings(
        ["--namespace=intops-system", "--worker-image=example.com/intops-worker:1"], {}
    )
    shaping = shaping_of(flags, settings, cluster, cache, book, queue)
    return Pools(cluster, cache, book, queue, settings, shaping)


def example_plan() -> FlowPlan:
    """The plan of examples/01."""
    resources = catalogue_and_example()
    planned = plan_flow(flow_of(resources), resources)
    if planned.plan is None:
        raise AssertionError(f"the example has no plan: {planned.findings}")
    return planned.plan


def example_spec() -> FlowSpec:
    """The spec of the Flow of examples/01."""
    return FlowSpec.model_validate(flow_of(catalogue_and_example()).raw["spec"])


def heard(plan: FlowPlan, **report: Any) -> Heard:
    """A report of the pod, of this moment, in manifest spelling."""
    raw = {"flow": {"namespace": "itsm", "name": plan.flow.name}, "active": plan.hash, **report}
    return Heard(POD.uid, NOW, PlanReport.model_validate(raw))


def healthy_facts(**report: Any) -> FlowFacts:
    """A Flow whose one worker runs the wanted plan and reports `report`."""
    plan = example_plan()
    return FlowFacts(
        namespace="itsm",
        name=plan.flow.name,
        generation=1,
        now=NOW,
        no_report_after_s=30.0,
        spec=example_spec(),
        plan=plan,
        running_hash=plan.hash,
        pods=(POD,),
        heard=(heard(plan, **report),),
    )


def example_worker(**changes: Any) -> Worker:
    """What the children of the example are built from; `changes` replace parts of the plan."""
    plan = example_plan().model_copy(update=changes)
    return Worker(
        namespace="itsm",
        flow=plan.flow.name,
        uid="0f0f0f0f-0000-4000-8000-000000000001",
        plan=plan,
        plan_data=encode_plan(plan),
        runtime=example_spec().runtime,
        settings=WorkerSettings(image="example.com/intops-worker:1"),
    )


def with_spec(facts: FlowFacts, **changes: Any) -> FlowFacts:
    """The same facts about a Flow whose spec says something else."""
    if facts.spec is None:
        raise AssertionError("these facts have no spec")
    return replace(facts, spec=facts.spec.model_copy(update=changes))
