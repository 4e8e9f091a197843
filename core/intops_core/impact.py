"""What a change of specs does to the Flows that it reaches, before anybody applies it.

Compares two sets of resources, as they stand and as they would stand. `intops impact` tells it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, cast

from intops_api.common import Owner
from intops_api.flow import FlowSpec
from intops_api.kinds import KINDS
from intops_core.conformance import judge
from intops_core.findings import Finding, Ref
from intops_core.graph import ReferenceGraph
from intops_core.planning import Planned, plan_flow
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


def impact(before: Resources, after: Resources) -> Impact:
    """What the difference between two sets of resources does to Flows."""
    graphs = (_graph(before), _graph(after))
    changes = tuple(_changes(before, after, graphs))
    reached = {path[-1] for change in changes for path in change.paths}
    found = [_reached(ref, before, after) for ref in sorted(reached)]
    found.sort(key=lambda one: VERDICTS.index(one.verdict))
    return Impact(changes, tuple(found))


def _graph(resources: Resources) -> ReferenceGraph:
    graph = ReferenceGraph()
    for resource in _every(resources):
        graph.put(resource)
    return graph


def _every(resources: Resources) -> Iterator[Resource]:
    for kind in KINDS:
        yield from resources.all(kind.name)


def _changes(
    before: Resources, after: Resources, graphs: tuple[ReferenceGraph, ReferenceGraph]
) -> Iterator[Change]:
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
        yield Change(
            ref=ref,
            kind=kind,
            findings=tuple(judge(will, after)) if will is not None else (),
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


def _reached(ref: Ref, before: Resources, after: Resources) -> Reached:
    was = before.get(ref.kind, ref.namespace, ref.name)
    will = after.get(ref.kind, ref.namespace, ref.name)
    old = plan_flow(was, before) if was is not None else Planned(None)
    new = plan_flow(will, after) if will is not None else Planned(None)
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
