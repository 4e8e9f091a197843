"""A folder of manifests as resources, findings and plans: what `run`, `validate` and `test` start from.

The rules are those of admission: the same code in `intops_core` judges both.
"""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intops_api.mapping import MappingBody, MappingSpec
from intops_api.plan import FlowPlan
from intops_cli.manifests import Folder, Manifest, read_folder
from intops_core.catalog import shipped
from intops_core.conformance import judge
from intops_core.ends import MappingFacts, mapping_facts
from intops_core.findings import DRAFT, Finding
from intops_core.mapping import MappingError, compile_mapping
from intops_core.mapping_examples import ExampleResult, run_examples
from intops_core.planning import Planned, plan_flow
from intops_core.resources import Ref, Resource, Resources, parse_resource


@dataclass(frozen=True, slots=True)
class Located:
    """One finding with the place where it can be mended."""

    finding: Finding
    file: Path
    line: int

    def sentence(self) -> str:
        """`file:line: severity rule path: message`, as compilers write it."""
        finding = self.finding
        return (
            f"{self.file}:{self.line}: {finding.severity} {finding.rule} {finding.path}: "
            f"{finding.message}"
        )


@dataclass(slots=True)
class Project:
    """Resources of a folder together with the shipped catalogue."""

    folder: Folder
    resources: Resources
    own: dict[Ref, Manifest] = field(default_factory=dict)
    findings: list[Located] = field(default_factory=list)

    @property
    def refused(self) -> bool:
        """Whether admission would refuse something here."""
        return any(located.finding.severity == "deny" for located in self.findings)

    def flows(self) -> list[Resource]:
        """Flows of the folder, by name."""
        own = [
            self.resources.get(r.kind, r.namespace, r.name) for r in self.own if r.kind == "Flow"
        ]
        return sorted((flow for flow in own if flow is not None), key=lambda flow: flow.ref.name)

    def mappings(self) -> dict[str, MappingFacts]:
        """Mappings by name: those of the folder, then those that classes and Patterns carry."""
        found: dict[str, MappingFacts] = {}
        for resource in self.resources.all("Mapping", None):
            if isinstance(resource.spec, MappingSpec):
                found[resource.ref.name] = self._facts(
                    resource, resource.spec, resource.ref.name, "spec"
                )
        for kind in ("ConnectorClass", "Pattern"):
            for resource in self.resources.all(kind, None):
                for name, body in getattr(resource.spec, "mappings", {}).items():
                    at = f"spec.mappings.{name}"
                    found.setdefault(name, self._facts(resource, body, name, at))
        return found

    def _facts(self, carrier: Resource, body: MappingBody, name: str, at: str) -> MappingFacts:
        facts, _ = mapping_facts(
            body, name=name, at=at, digest=carrier.digest, carrier=carrier, resources=self.resources
        )
        return facts

    def examples(self, name: str) -> list[ExampleResult]:
        """How the examples of a Mapping end; none where it cannot be compiled."""
        facts = self.mappings()[name]
        if facts.target is None:
            return []
        try:
            compiled = compile_mapping(
                facts.body, name=name, target=facts.target, source_name=facts.source_name
            )
        except MappingError:
            return []
        return run_examples(compiled, facts.body)

    def plan(self, flow: Resource) -> Planned:
        """What the worker of this Flow would run."""
        return plan_flow(flow, self.resources)

    def plans(self) -> tuple[list[tuple[Resource, FlowPlan]], list[str]]:
        """Every Flow with its plan, by name; and for those that have none the sentences that say why."""
        found, why = [], []
        for flow in self.flows():
            planned = self.plan(flow)
            why += [
                f'Flow "{flow.ref.name}" names {missing.kind} "{missing.name}", which is not in this '
                "folder; add its manifest."
                for missing in planned.missing
            ]
            if planned.plan is not None:
                found.append((flow, planned.plan))
                continue
            why += [
                f"{finding.ref.kind}/{finding.ref.name} {finding.path}: {finding.message}"
                for finding in planned.findings
                if finding.severity == "deny" and finding.ref != flow.ref
            ] or [f'Flow "{flow.ref.name}" has no plan.']
        return found, why


def shipped_resources() -> Resources:
    """The shipped catalogue alone."""
    resources = Resources()
    for raw in shipped():
        parsed = parse_resource(raw)
        if isinstance(parsed, Resource):
            resources.add(parsed)
    return resources


def open_project(path: Path, *, namespace: str, endpoints: dict[str, str] | None = None) -> Project:
    """Read, judge and resolve a folder; `endpoints` replace those of Connectors by name.

    Raises:
        ManifestError: a file cannot be read.
    """
    folder = read_folder(path, namespace=namespace)
    resources = shipped_resources()
    project = Project(folder, resources)
    for manifest in folder.manifests:
        raw = _with_endpoint(manifest.raw, endpoints or {})
        parsed = parse_resource(raw)
        if isinstance(parsed, Resource):
            resources.add(parsed)
            project.own[parsed.ref] = manifest
        else:
            project.findings.extend(_located(manifest, finding) for finding in parsed)
    for manifest, place, words in folder.unfilled:
        ref = Ref("Secret", namespace, str(manifest.raw["metadata"]["name"]))
        project.findings.append(_located(manifest, Finding(DRAFT, "warn", place, words, ref)))
    for ref, manifest in project.own.items():
        resource = resources.get(ref.kind, ref.namespace, ref.name)
        if resource is not None:
            found = judge(resource, resources)
            project.findings.extend(_located(manifest, finding) for finding in found)
    return project


@dataclass(frozen=True, slots=True)
class Overlay:
    """What laying a folder over other resources gave.

    Attributes:
        refs: The objects of the folder.
        refused: Sentences about manifests that have not even the right shape; they were left out.
        secrets: Values of the folder's Secrets, which nothing may show.
    """

    refs: tuple[Ref, ...]
    refused: tuple[str, ...]
    secrets: frozenset[str]


def lay_over(path: Path, resources: Resources, *, namespace: str) -> Overlay:
    """Put the manifests of a folder, or of a file, among resources, in the place of those of the same name.

    Raises:
        ManifestError: a file cannot be read.
    """
    folder = read_folder(path, namespace=namespace)
    refs, refused = [], []
    for manifest in folder.manifests:
        parsed = parse_resource(manifest.raw)
        if isinstance(parsed, Resource):
            resources.add(parsed)
            refs.append(parsed.ref)
        else:
            refused += [_located(manifest, finding).sentence() for finding in parsed]
    values = (value for keys in folder.secrets.values() for value in keys.values())
    return Overlay(tuple(refs), tuple(refused), frozenset(values))


def _located(manifest: Manifest, finding: Finding) -> Located:
    return Located(finding, manifest.file, manifest.line_of(finding.path))


def _with_endpoint(raw: dict[str, Any], endpoints: dict[str, str]) -> dict[str, Any]:
    meta = raw.get("metadata")
    name = str(meta.get("name")) if isinstance(meta, dict) else ""
    if raw.get("kind") != "Connector" or name not in endpoints:
        return raw
    changed = copy.deepcopy(raw)
    changed.setdefault("spec", {})["endpoint"] = endpoints[name]
    return changed
