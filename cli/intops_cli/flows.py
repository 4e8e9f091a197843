"""Flows of a local worker, judged as the operator judges them, in the shape of the cluster's objects.

Used by `run` for its live table and by `get`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from intops_api.conditions import Condition
from intops_api.flow import FlowSpec
from intops_api.kinds import FLOW
from intops_api.names import API_VERSION
from intops_api.plan import FlowPlan
from intops_api.report import FlowReport, PlanReport
from intops_cli.columns import object_table
from intops_cli.output import Table
from intops_operator.core.facts import FlowFacts, Heard
from intops_operator.core.flowstatus import flow_status
from intops_operator.core.judging import judge_flow
from intops_operator.core.observed import PodFact

# A local worker is asked directly, so its report is never old.
_NO_REPORT_AFTER_S = 60.0


@dataclass(slots=True)
class FlowView:
    """One Flow: its spec, its plan, and the conditions last seen, so that they keep their times."""

    spec: FlowSpec
    plan: FlowPlan
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    conditions: Mapping[str, Condition] = field(default_factory=dict)

    def facts(self, report: FlowReport) -> FlowFacts:
        """What the judge looks at: the worker of this machine stands for the one pod."""
        flow = self.plan.flow
        now = datetime.now(UTC)
        pod = PodFact(
            flow.namespace, report.worker, report.worker, flow.name, "127.0.0.1", "Running",
            report.started_at, leaving=False, ready=True, plan_hash=self.plan.hash, trouble=None,
        )  # fmt: skip
        return FlowFacts(
            namespace=flow.namespace,
            name=flow.name,
            generation=flow.generation,
            now=now,
            no_report_after_s=_NO_REPORT_AFTER_S,
            spec=self.spec,
            plan=self.plan,
            running_hash=self.plan.hash,
            pods=(pod,),
            heard=(Heard(report.worker, now, _about(report, flow.namespace, flow.name)),),
            previous=self.conditions,
        )

    def as_object(self, report: FlowReport) -> dict[str, Any]:
        """The Flow as `kubectl get -o json` would show it."""
        flow = self.plan.flow
        facts = self.facts(report)
        judged = judge_flow(facts)
        self.conditions = {condition.type: condition for condition in judged.conditions}
        created = self.started_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "apiVersion": API_VERSION,
            "kind": "Flow",
            "metadata": {
                "name": flow.name, "namespace": flow.namespace, "creationTimestamp": created,
            },
            "spec": self.spec.to_wire(),
            "status": flow_status(facts, judged, {}),
        }  # fmt: skip


def flow_table(views: Iterable[FlowView], report: FlowReport, *, ages: bool = True) -> Table:
    """The table of `kubectl get flows`."""
    return object_table(FLOW, [view.as_object(report) for view in views], ages=ages)


def _about(report: FlowReport, namespace: str, name: str) -> PlanReport | None:
    for plan in report.plans:
        if (plan.flow.namespace, plan.flow.name) == (namespace, name):
            return plan
    return None
