"""A Flow with its roles bound, and everything that its Pattern demands: what `intops new flow` prints."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from intops_api.mapping import MappingBody, MappingSpec
from intops_api.pattern import PatternSpec
from intops_core.drafts.draft import Document, Entry, Fields, Listed, fields, manifest, owner
from intops_core.drafts.marks import MARK
from intops_core.resources import Resource, Resources

# Processes that the shipped Patterns serve.
_PROMISE: Final = {"delivered": "99.9%", "within": "60s", "window": "30d"}
_PROCESSES: Final[Mapping[str, str]] = {"event-to-incident": "incident-management"}


@dataclass(frozen=True, slots=True)
class Bound:
    """One Connector in one role.

    Attributes:
        role: Role of the Pattern.
        connector: Name of the Connector.
        class_: Its class; None where the Connector is not known.
        mapping: Mapping that the person named.
    """

    role: str
    connector: str
    class_: str | None = None
    mapping: str | None = None


@dataclass(frozen=True, slots=True)
class FlowWanted:
    """What a person said about the Flow; the mark where nothing was said."""

    name: str
    pattern: str
    bound: tuple[Bound, ...] = field(default_factory=tuple)
    team: str = MARK
    contact: str = MARK
    escalation: str = MARK
    review_by: str = MARK


def flow(
    wanted: FlowWanted, pattern: PatternSpec, resources: Resources, namespace: str
) -> Document:
    """The manifest."""
    defaults: dict[str, Any] = dict(pattern.defaults or {})
    within = (defaults.get("review") or {}).get("dueWithin", "8h")
    spec = fields(
        Entry("pattern", wanted.pattern),
        owner(wanted.team, wanted.contact, wanted.escalation),
        Entry("businessProcess", _PROCESSES.get(wanted.pattern, MARK), "The business process that it serves."),
        Entry("reviewBy", wanted.review_by, 'When the owner looks again, within 180 days, such as "2027-04-30".'),
        Entry("roles", _roles(wanted, pattern, resources, namespace)),
        Entry(
            "routes",
            Listed(({"name": "default", "set": {"assignmentGroup": MARK}},)),
            "The first whose `when` is true is taken, and the last takes the rest. Which team of the desk gets it?",
        )
        if wanted.pattern == "event-to-incident"
        else None,
        _closure(defaults),
        Entry("slo", defaults.get("slo") or _PROMISE, "What is promised, measured over the window."),
        Entry("review", {"owner": wanted.team, "dueWithin": within}, "Who looks at what intops cannot decide."),
        Entry("runtime", {"store": {"embedded": {"size": "1Gi"}}}, "Where messages wait for their delivery."),
    )  # fmt: skip
    head = (
        (f"Pattern {wanted.pattern}: {pattern.description.partition('. ')[0].rstrip('.')}.",)
        if pattern.description
        else ()
    )
    return manifest("Flow", wanted.name, spec, head=head)


def _closure(defaults: Mapping[str, Any]) -> Entry | None:
    known = defaults.get("closure")
    if not known:
        return None
    says = "A recovery resolves the record; one that comes back soon reopens it."
    return Entry("closure", {"onResolved": "resolve", **known}, says)


def _roles(
    wanted: FlowWanted, pattern: PatternSpec, resources: Resources, namespace: str
) -> Fields:
    entries = []
    for role in pattern.roles:
        bound = [one for one in wanted.bound if one.role == role.name]
        if not bound and role.min == 0:
            continue
        note = role.description
        items: list[Any] = [
            _binding(one, pattern, resources, namespace, role.mapping) for one in bound
        ]
        items += [
            {"name": f"{role.name}-{number + 1}" if number else role.name, "connector": MARK}
            for number in range(len(items), role.min)
        ]
        entries.append(Entry(role.name, Listed(tuple(items)), note))
    optional = [
        f"{role.name} ({role.description.rstrip('.')})" for role in pattern.roles if role.min == 0
    ]
    return Fields(
        tuple(entries), f"May be bound as well: {', '.join(optional)}." if optional else ""
    )


def _binding(
    bound: Bound, pattern: PatternSpec, resources: Resources, namespace: str, way: str | None
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": bound.connector.replace(".", "-")[:63],
        "connector": bound.connector,
    }
    if bound.mapping is not None:
        return {**found, "mapping": bound.mapping}
    models = pattern.models
    model = {"in": models.in_, "out": models.out}.get(way or "") if models is not None else None
    if model is None or bound.class_ is None:
        return found
    own = _mapping(bound.class_, model.partition("/")[0], way == "in", resources, namespace)
    if own is not None:
        return {**found, "mapping": own}
    return (
        found
        if _carries(bound.class_, model.partition("/")[0], way == "in", resources)
        else {**found, "mapping": MARK}
    )


def _mapping(
    class_: str, model: str, inward: bool, resources: Resources, namespace: str
) -> str | None:
    """The Mapping of the namespace between these ends, where there is just one."""
    names = [
        one.ref.name
        for one in resources.all("Mapping", namespace)
        if isinstance(one.spec, MappingSpec) and joins(one.spec, class_, model, inward)
    ]
    return names[0] if len(names) == 1 else None


def _carries(class_: str, model: str, inward: bool, resources: Resources) -> bool:
    known = resources.get("ConnectorClass", "", class_)
    return isinstance(known, Resource) and any(
        joins(body, class_, model, inward) for body in getattr(known.spec, "mappings", {}).values()
    )


def joins(body: MappingBody, class_: str, model: str, inward: bool) -> bool:
    """Whether a Mapping leads from this class to this model, or (not inward) back."""
    one, other = (body.from_, body.to) if inward else (body.to, body.from_)
    return one.class_ == class_ and other.model == model
