"""What a change of specs does to the Flows that it reaches, before anybody applies it.

Compares two sets of resources, as they stand and as they would stand. `intops impact` and `diff` tell it,
admission asks it of one object.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, cast

from intops_api.common import Owner
from intops_api.flow import FlowSpec
from intops_api.kinds import KINDS
from intops_core.conformance import judge
from intops_core.findings import Finding, Ref
from intops_core.graph import ReferenceGraph
from intops_core.planning import Judgements, Planned, plan_flow
from intops_core.resources import Resource, Resources, content_hash

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


@dataclass(frozen=True, slots=True)
class Broken:
    """The Flows that one changed object would take the plan from.

    Attributes:
        ref: The object.
        flows: Flows that have a plan now and none with the change, by namespace and name.
        unjudged: How many Flows use it that there was no time for.
        hash: Stands for the change and these Flows, so that who accepts it accepts no more than was shown;
            where there was no time for all, for all that use it.
    """

    ref: Ref
    flows: tuple[Reached, ...]
    unjudged: int
    hash: str


def broken_flows(
    ref: Ref,
    users: Iterable[Ref],
    before: Resources,
    after: Resources,
    *,
    goes_on: Callable[[], bool] = lambda: True,
) -> Broken:
    """Which Flows a change of one object breaks, as `impact` would say.

    Args:
        ref: The object that differs between `before` and `after`.
        users: Flows that use it, and itself if it is one.
        before: Resources as they stand.
        after: Resources as they would stand.
        goes_on: Asked before each Flow; False where there is no time for another.
    """
    sides = (_Side(before), _Side(after))
    known = sorted(users)
    found: list[Reached] = []
    judged = 0
    for flow in known:
        if not goes_on():
            break
        judged += 1
        # Sound ones are most, and need no look at how they were.
        if sides[1].has(flow) and sides[1].planned(flow).plan is None:
            reached = _reached(flow, *sides)
            if reached.verdict == "breaks":
                found.append(reached)
    covered = [one.flow for one in found] if judged == len(known) else known
    return Broken(ref, tuple(found), len(known) - judged, _change_hash(ref, before, after, covered))


class _Side:
    """One of the two states; what Flows share is judged once, and each Flow is planned once."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._judgements: Judgements = {}
        self._planned: dict[Ref, Planned] = {}

    def get(self, ref: Ref) -> Resource | None:
        return self._resources.get(ref.kind, ref.namespace, ref.name)

    def has(self, ref: Ref) -> bool:
        return self.get(ref) is not None

    def planned(self, ref: Ref) -> Planned:
        """The plan of a Flow; none of one that does not exist."""
        if ref not in self._planned:
            flow = self.get(ref)
            self._planned[ref] = (
                plan_flow(flow, self._resources, judgements=self._judgements)
                if flow is not None
                else Planned(None)
            )
        return self._planned[ref]


def _change_hash(ref: Ref, before: Resources, after: Resources, flows: Iterable[Ref]) -> str:
    sides = [side.get(ref.kind, ref.namespace, ref.name) for side in (before, after)]
    digests = [side.digest if side is not None else None for side in sides]
    return content_hash(
        [ref.kind, ref.namespace, ref.name, digests, [[one.namespace, one.name] for one in flows]]
    )


def impact(before: Resources, after: Resources) -> Impact:
    """What the difference between two sets of resources does to Flows."""
    graphs = (_graph(before), _graph(after))
    changes = tuple(_changes(before, after, graphs))
    reached = {path[-1] for change in changes for path in change.paths}
    sides = (_Side(before), _Side(after))
    found = [_reached(ref, *sides) for ref in sorted(reached)]
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


def _reached(ref: Ref, before: _Side, after: _Side) -> Reached:
    was, will = before.get(ref), after.get(ref)
    old, new = before.planned(ref), after.planned(ref)
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
