"""What admission will say of a change that `impact` has judged as a whole, and whether it is accepted already.

Pure. Admission sees one object at a time: what is sound together may be refused where it comes first. The command
line tells that before, and a pipeline goes on where an annotation accepts what breaks.
"""

from dataclasses import dataclass

from intops_api.kinds import BY_NAME
from intops_api.names import ANNOTATION_ACCEPT_IMPACT
from intops_core.breaking import Broken, broken_flows
from intops_core.findings import COMPATIBILITY, Ref
from intops_core.impact import Change, Impact, graph_of
from intops_core.resources import Resource, Resources


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A class-like object that admission refuses where it is applied before the rest of the change.

    Attributes:
        broken: What it breaks by itself, with the hash that accepts it.
        accepted: Whether the annotation with this hash stands on the object or in its manifest.
    """

    broken: Broken
    accepted: bool

    @property
    def ref(self) -> Ref:
        """The object."""
        return self.broken.ref


def acceptances(before: Resources, after: Resources, found: Impact) -> tuple[Acceptance, ...]:
    """The objects of a change that admission refuses by themselves, by kind and name."""
    graph = graph_of(before)
    told = []
    for change in found.changes:
        if BY_NAME[change.ref.kind].namespaced or change.kind == "added":
            continue
        alone = before.copy()
        alone.remove(change.ref)
        will = _get(after, change.ref)
        if will is not None:
            alone.add(will)
        users = graph.dependants(change.ref)
        broken = broken_flows(change.ref, users, before, alone)
        if broken.flows or broken.refusing:
            accepted = broken.accepted_by(_given(change.ref, before, after))
            told.append(Acceptance(broken, accepted))
    return tuple(told)


def _get(resources: Resources, ref: Ref) -> Resource | None:
    return resources.get(ref.kind, ref.namespace, ref.name)


def _given(ref: Ref, before: Resources, after: Resources) -> set[str]:
    """Hashes that are accepted: on the object as it stands, and in its manifest."""
    objects = (_get(before, ref), _get(after, ref))
    return {
        one.meta.annotations[ANNOTATION_ACCEPT_IMPACT]
        for one in objects
        if one is not None and ANNOTATION_ACCEPT_IMPACT in one.meta.annotations
    }


def is_refused(change: Change, told: tuple[Acceptance, ...]) -> bool:
    """Whether admission refuses an object for what is wrong with it, and nobody has accepted that."""
    accepted = any(each.accepted for each in told if each.ref == change.ref)
    return any(
        one.severity == "deny" and not (accepted and one.rule == COMPATIBILITY)
        for one in change.findings
    )


def stops(found: Impact, told: tuple[Acceptance, ...]) -> bool:
    """Whether a pipeline should stop: something would be refused or break that nobody has accepted."""
    flows = {one.flow for each in told if each.accepted for one in each.broken.flows}
    return any(is_refused(change, told) for change in found.changes) or any(
        one.verdict == "breaks" and one.flow not in flows for one in found.flows
    )
