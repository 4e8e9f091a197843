"""What a change of specs does to the Flows that it reaches, before anybody applies it.

Compares two sets of resources, as they stand and as they would stand. `intops impact` and `diff` tell it,
admission asks `breaking` of one object.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, cast

from intops_api.canonical_model import CanonicalModelSpec
from intops_api.common import Owner
from intops_api.flow import FlowSpec
from intops_api.kinds import KINDS
from intops_api.plan import FlowPlan
from intops_core.compatibility import compare_models, compatibility_findings, may_matter
from intops_core.conformance import judge
from intops_core.findings import Finding, Ref
from intops_core.graph import ReferenceGraph
from intops_core.model_uses import uses_of
from intops_core.planning import Judgements, Planned, plan_flow
from intops_core.resources import Resource, Resources

ChangeKind = Literal["added", "changed", "removed"]
Verdict = Literal["breaks", "stays broken", "mends", "starts", "ends", "changes", "unchanged"]
# What a reader must see first stands first.
VERDICTS: Final[tuple[Verdict, ...]] = (
    "breaks", "stays broken", "ends", "mends", "starts", "changes", "unchanged",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """One object whose spec differs.

    Attributes:
        ref: The object.
        kind: Whether it comes, differs or goes.
        findings: What is wrong with it as it would stand; `deny` means that admission refuses it.
        paths: For each Flow that it reaches one of the shortest ways, from the object to the Flow.
    """

    ref: Ref
    kind: ChangeKind
    findings: tuple[Finding, ...]
    paths: tuple[tuple[Ref, ...], ...]

    @property
    def refused(self) -> bool:
        """Whether admission would refuse the object itself."""
        return any(finding.severity == "deny" for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Reached:
    """What happens to one Flow.

    Attributes:
        flow: The Flow.
        owner: Who is accountable for it.
        business_process: Process that it serves, where it says so.
        verdict: `breaks` has a plan now and none with the change, `mends` the other way round; `starts` and
            `ends` are Flows that come and go; `changes` has another plan; `unchanged` the same one.
        before: Hash of the plan that it has; None without one.
        after: Hash of the plan that it would have.
        findings: What is wrong with the change and was not wrong before, the refusing ones first.
    """

    flow: Ref
    owner: Owner
    business_process: str | None
    verdict: Verdict
    before: str | None
    after: str | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Impact:
    """Everything that a change does: `changes` by kind and name, `flows` with the worst first."""

    changes: tuple[Change, ...]
    flows: tuple[Reached, ...]

    @property
    def breaks(self) -> bool:
        """Whether a Flow that has a plan would lose it."""
        return any(one.verdict == "breaks" for one in self.flows)

    @property
    def refused(self) -> bool:
        """Whether a changed object would be refused."""
        return any(change.refused for change in self.changes)


class Side:
    """One of the two states: what stands, or what would stand. What its Flows share is judged once."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._judgements: Judgements = {}

    def get(self, ref: Ref) -> Resource | None:
        """The object, if it exists here."""
        return self._resources.get(ref.kind, ref.namespace, ref.name)

    def planned(self, ref: Ref) -> Planned:
        """The plan of a Flow; none of one that does not exist here."""
        flow = self.get(ref)
        if flow is None:
            return Planned(None)
        return plan_flow(flow, self._resources, judgements=self._judgements)


def impact(before: Resources, after: Resources) -> Impact:
    """What the difference between two sets of resources does to Flows."""
    sides = (Side(before), Side(after))
    changes = tuple(_changes(before, after, sides))
    flows = {path[-1] for change in changes for path in change.paths}
    found = [reached(ref, *sides) for ref in sorted(flows)]
    found.sort(key=lambda one: VERDICTS.index(one.verdict))
    return Impact(changes, tuple(found))


def graph_of(resources: Resources) -> ReferenceGraph:
    """Who uses what among these resources."""
    graph = ReferenceGraph()
    for resource in _every(resources):
        graph.put(resource)
    return graph


def _every(resources: Resources) -> Iterator[Resource]:
    for kind in KINDS:
        yield from resources.all(kind.name)


def _changes(before: Resources, after: Resources, sides: tuple[Side, Side]) -> Iterator[Change]:
    graphs = (graph_of(before), graph_of(after))
    old = {resource.ref: resource for resource in _every(before)}
    new = {resource.ref: resource for resource in _every(after)}
    for ref in sorted(old.keys() | new.keys()):
        was, will = old.get(ref), new.get(ref)
        if was is not None and will is not None and was.digest == will.digest:
            continue
        kind: ChangeKind = "removed" if will is None else "added" if was is None else "changed"
        ways: dict[Ref, tuple[Ref, ...]] = {}
        for graph in graphs:
            for way in _ways(graph, ref):
                ways.setdefault(way[-1], way)
        findings = judge(will, after) if will is not None else []
        plans = (plan for flow in ways if (plan := _live_plan(flow, *sides)) is not None)
        yield Change(
            ref=ref,
            kind=kind,
            findings=(*findings, *step_findings(was, will, plans)),
            paths=tuple(ways[flow] for flow in sorted(ways)),
        )


def _ways(graph: ReferenceGraph, ref: Ref) -> Iterator[tuple[Ref, ...]]:
    """One of the shortest ways from an object to each Flow that uses it; a Flow reaches itself."""
    todo: list[tuple[Ref, ...]] = [(ref,)]
    seen = {ref}
    for way in todo:
        if way[-1].kind == "Flow":
            yield way
            continue
        for user in sorted(graph.users(way[-1]) - seen):
            seen.add(user)
            todo.append((*way, user))


def _live_plan(flow: Ref, before: Side, after: Side) -> FlowPlan | None:
    """The plan of a Flow that lives on: as it would be with the whole change, else as it is."""
    now = before.planned(flow).plan
    if now is None or after.get(flow) is None:
        return None
    return after.planned(flow).plan or now


def step_findings(
    was: Resource | None, will: Resource | None, plans: Iterable[FlowPlan]
) -> tuple[Finding, ...]:
    """What the table of compatibility says of a changed model; nothing of any other object.

    Args:
        was: The object as it stands.
        will: The object as it would stand.
        plans: Those of the Flows that may use it; not asked for where no use could matter.
    """
    if was is None or will is None:
        return ()
    old, new = was.spec, will.spec
    if not isinstance(old, CanonicalModelSpec) or not isinstance(new, CanonicalModelSpec):
        return ()
    if not may_matter(old, new):
        return ()
    deltas = compare_models(old, new, uses_of(was.ref.name, plans))
    return compatibility_findings(was.ref, deltas, old, new)


def reached(ref: Ref, before: Side, after: Side, planned: Planned | None = None) -> Reached:
    """What happens to one Flow; `planned` is what planning it on the second side gave, where that is known."""
    was, will = before.get(ref), after.get(ref)
    old, new = before.planned(ref), planned or after.planned(ref)
    spec = cast("FlowSpec", cast("Resource", will or was).spec)
    known = set(old.findings)
    fresh = [finding for finding in new.findings if finding not in known]
    return Reached(
        flow=ref,
        owner=spec.owner,
        business_process=spec.business_process,
        verdict=_verdict(was, will, old, new),
        before=old.plan.hash if old.plan is not None else None,
        after=new.plan.hash if new.plan is not None else None,
        findings=tuple(_worst_first(fresh)),
    )


def _verdict(was: Resource | None, will: Resource | None, old: Planned, new: Planned) -> Verdict:
    if will is None:
        return "ends"
    if new.plan is None:
        return "breaks" if old.plan is not None else "stays broken"
    if was is None:
        return "starts"
    if old.plan is None:
        return "mends"
    return "unchanged" if old.plan.hash == new.plan.hash else "changes"


def _worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """What refuses first, then what is missing, then the rest."""
    return sorted(findings, key=lambda one: (one.severity != "deny", one.missing is None))
