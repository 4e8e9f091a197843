"""Every object of a local run with its status, judged as the operator judges it.

Used by `get`: flows from the worker's report, the other kinds from the folder and the report.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from intops_api.connector import ConnectorSpec
from intops_api.connector_class import ClassLimits, ConnectorClassSpec
from intops_api.flow import FlowSpec
from intops_api.kinds import Kind
from intops_api.names import API_VERSION
from intops_api.report import FlowReport
from intops_cli.flows import FlowView
from intops_cli.project import Project, open_project
from intops_cli.session import Running
from intops_core.conformance import judge
from intops_core.graph import references
from intops_core.resources import Ref, Resource
from intops_operator.core.about import (
    Seen,
    about_connector,
    about_mappings,
    fold_drift,
    fold_systems,
)
from intops_operator.core.standing import Standing, standing_status
from intops_operator.core.verdict import Verdict


@dataclass(frozen=True, slots=True)
class LocalState:
    """What a folder says and what its worker reports."""

    folder: str
    project: Project
    views: list[FlowView]
    report: FlowReport
    started_at: datetime

    def objects(self, kind: Kind) -> list[dict[str, Any]]:
        """All objects of a kind, as `kubectl get -o json` would show them."""
        if kind.name == "Flow":
            return [view.as_object(self.report) for view in self.views]
        return [self._object(found) for found in self._resources(kind)]

    def _resources(self, kind: Kind) -> Iterator[Resource]:
        for ref in sorted(self.project.own, key=lambda ref: ref.name):
            found = self.project.resources.get(ref.kind, ref.namespace, ref.name)
            if ref.kind == kind.name and found is not None:
                yield found

    def _object(self, found: Resource) -> dict[str, Any]:
        users = self._users(found.ref)
        standing = Standing(
            kind=found.ref.kind,
            name=found.ref.name,
            generation=found.meta.generation,
            now=datetime.now(UTC),
            spec=found.spec,
            findings=tuple(judge(found, self.project.resources)),
            users=users,
            exceptions=self._exceptions(found.ref),
            system=self._system(found.ref, users),
            drift=self._drift(found.ref, users),
            class_limits=self._class_limits(found),
        )
        return {
            "apiVersion": API_VERSION,
            "kind": found.ref.kind,
            "metadata": {
                "name": found.ref.name,
                "namespace": found.ref.namespace,
                "creationTimestamp": self.started_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "spec": found.raw.get("spec", {}),
            "status": standing_status(standing),
        }

    def _users(self, ref: Ref) -> int:
        flows = self.project.flows()
        return sum(1 for flow in flows if ref in references(flow))

    def _exceptions(self, ref: Ref) -> int:
        specs = [flow.spec for flow in self.project.flows() if ref in references(flow)]
        return sum(len(spec.exceptions) for spec in specs if isinstance(spec, FlowSpec))

    def _system(self, ref: Ref, users: int) -> Seen | None:
        if ref.kind != "Connector":
            return None
        seen = [about_connector(view.facts(self.report), ref.name) for view in self.views]
        return fold_systems([one for one in seen if one is not None], users)

    def _drift(self, ref: Ref, users: int) -> Verdict | None:
        if ref.kind != "Mapping":
            return None
        names = {flow.ref.name for flow in self.project.flows() if ref in references(flow)}
        views = (view for view in self.views if view.plan.flow.name in names)
        seen = [about_mappings(view.facts(self.report)) for view in views]
        return fold_drift(ref.name, [one for one in seen if one is not None], users)

    def _class_limits(self, found: Resource) -> ClassLimits | None:
        if not isinstance(found.spec, ConnectorSpec):
            return None
        class_ = self.project.resources.get("ConnectorClass", "", found.spec.class_)
        spec = class_.spec if class_ else None
        return spec.limits if isinstance(spec, ConnectorClassSpec) else None


def local_state(running: Running, report: FlowReport, *, namespace: str) -> LocalState:
    """What is known about the Flows that a local worker runs."""
    project = open_project(Path(running.folder), namespace=namespace, endpoints=running.endpoints)
    started_at = datetime.fromisoformat(report.started_at)
    views = []
    for flow in project.flows():
        planned = project.plan(flow)
        if planned.plan is not None and isinstance(flow.spec, FlowSpec):
            views.append(FlowView(flow.spec, planned.plan, started_at))
    return LocalState(running.folder, project, views, report, started_at)
