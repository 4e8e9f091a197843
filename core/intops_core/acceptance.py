"""What admission will say of a change that `impact` has judged as a whole: in which order it takes the objects.

Pure. Admission sees one object at a time: what is sound together may be refused where it comes first. The command
line tells that before, and a pipeline goes on where an annotation accepts what breaks.
"""

from collections.abc import Container
from dataclasses import dataclass

from intops_api.kinds import BY_NAME
from intops_api.names import ANNOTATION_ACCEPT_IMPACT
from intops_core.breaking import Broken, broken_flows
from intops_core.conformance import judge
from intops_core.findings import COMPATIBILITY, Ref
from intops_core.graph import ReferenceGraph
from intops_core.impact import Change, Impact, graph_of
from intops_core.resources import Resource, Resources


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A class-like object that admission refuses wherever in the order it comes.

    Attributes:
        broken: What it breaks when all that can be applied before it is applied, with the hash that accepts it.
        accepted: Whether the annotation with this hash stands on the object or in its manifest.
    """

    broken: Broken
    accepted: bool

    @property
    def ref(self) -> Ref:
        """The object."""
        return self.broken.ref


@dataclass(frozen=True, slots=True)
class Order:
    """How a cluster takes a change, object by object.

    Attributes:
        acceptances: What it takes with an annotation only, in the order of application.
        refs: Every object that it takes, in an order in which it takes them.
        waiting: Objects that it refuses before others of the change are there, in the same order.
        stuck: Objects that are sound together and refused one by one in every order that was tried.
    """

    acceptances: tuple[Acceptance, ...]
    refs: tuple[Ref, ...]
    waiting: tuple[Ref, ...]
    stuck: tuple[Ref, ...]


def order_of(before: Resources, after: Resources, found: Impact) -> Order:
    """An order in which admission takes a change with as few acceptances as can be.

    What is free goes first, then what somebody has accepted, then what somebody must accept: each of these may free
    others.
    """
    left = _Left(before, after, found)
    waiting = {ref for ref in left.pending if not left.is_free(ref)}
    refs: list[Ref] = []
    told: list[Acceptance] = []
    while left.pending:
        free = left.free()
        refs += free
        if free:
            continue
        acceptance = left.acceptance()
        if acceptance is None:
            break
        told.append(acceptance)
        refs.append(acceptance.ref)
    needed = {each.ref for each in told}
    return Order(
        acceptances=tuple(told),
        refs=tuple(refs),
        waiting=tuple(ref for ref in refs if ref in waiting and ref not in needed),
        stuck=tuple(sorted(set(left.pending) - left.wrong)),
    )


class _Left:
    """What has not been applied yet, and the cluster as it is by then."""

    def __init__(self, before: Resources, after: Resources, found: Impact) -> None:
        self._before = before
        self._after = after
        self._state = before.copy()
        self._graph: ReferenceGraph = graph_of(before)
        self.pending: dict[Ref, Change] = {change.ref: change for change in found.changes}
        self.wrong = {
            change.ref
            for change in found.changes
            if any(one.severity == "deny" and one.rule != COMPATIBILITY for one in change.findings)
        }
        """Objects that are refused whatever else is there."""

    def is_free(self, ref: Ref) -> bool:
        """Whether an object is taken as the cluster is now."""
        candidate = self._with(ref)
        return self._sound(ref, candidate) and self._breaks(ref, candidate) is None

    def free(self) -> list[Ref]:
        """Apply what is taken as the cluster is now, one after the other; returns it."""
        done = []
        for ref in list(self.pending):
            if self.is_free(ref):
                self._apply(ref, self._with(ref))
                done.append(ref)
        return done

    def acceptance(self) -> Acceptance | None:
        """Apply one object that only breaks others: one that is accepted, else the first. None if there is none."""
        found: list[tuple[Acceptance, Resources]] = []
        for ref in self.pending:
            candidate = self._with(ref)
            broken = self._breaks(ref, candidate) if self._sound(ref, candidate) else None
            if broken is not None:
                accepted = broken.accepted_by(_given(ref, self._before, self._after))
                found.append((Acceptance(broken, accepted), candidate))
        if not found:
            return None
        chosen, candidate = next((one for one in found if one[0].accepted), found[0])
        self._apply(chosen.ref, candidate)
        return chosen

    def _with(self, ref: Ref) -> Resources:
        candidate = self._state.copy()
        candidate.remove(ref)
        will = _get(self._after, ref)
        if will is not None:
            candidate.add(will)
        return candidate

    def _sound(self, ref: Ref, candidate: Resources) -> bool:
        will = _get(candidate, ref)
        return will is None or not any(one.severity == "deny" for one in judge(will, candidate))

    def _breaks(self, ref: Ref, candidate: Resources) -> Broken | None:
        """None where admission has nothing against it: within a namespace it only warns."""
        if BY_NAME[ref.kind].namespaced or self.pending[ref].kind == "added":
            return None
        broken = broken_flows(ref, self._graph.dependants(ref), self._state, candidate)
        return broken if broken.flows or broken.refusing else None

    def _apply(self, ref: Ref, candidate: Resources) -> None:
        self._state = candidate
        will = _get(candidate, ref)
        if will is None:
            self._graph.remove(ref)
        else:
            self._graph.put(will)
        del self.pending[ref]


def _get(resources: Resources, ref: Ref) -> Resource | None:
    return resources.get(ref.kind, ref.namespace, ref.name)


def _given(ref: Ref, before: Resources, after: Resources) -> Container[str]:
    """Hashes that are accepted: on the object as it stands, and in its manifest."""
    objects = (_get(before, ref), _get(after, ref))
    return {
        one.meta.annotations[ANNOTATION_ACCEPT_IMPACT]
        for one in objects
        if one is not None and ANNOTATION_ACCEPT_IMPACT in one.meta.annotations
    }


def is_refused(change: Change, order: Order) -> bool:
    """Whether admission refuses an object for what is wrong with it, and nobody has accepted that."""
    accepted = any(each.accepted for each in order.acceptances if each.ref == change.ref)
    return change.ref in order.stuck or any(
        one.severity == "deny" and not (accepted and one.rule == COMPATIBILITY)
        for one in change.findings
    )


def stops(found: Impact, order: Order) -> bool:
    """Whether a pipeline should stop: something would be refused or break that nobody has accepted."""
    flows = {one.flow for each in order.acceptances if each.accepted for one in each.broken.flows}
    return (
        any(is_refused(change, order) for change in found.changes)
        or not all(each.accepted for each in order.acceptances)
        or any(one.verdict == "breaks" and one.flow not in flows for one in found.flows)
    )
