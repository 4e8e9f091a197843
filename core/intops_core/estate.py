"""What Flows join: which system exchanges data with which model, and by which Mapping.

Read from specs, also where a Flow could not run yet. `intops complexity` counts it, `intops graph` draws it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, cast

from intops_api.flow import FlowSpec
from intops_api.mapping import MappingBody, MappingSpec
from intops_core.facts import BoundSystem, FlowFacts, UsedMapping, gather_flow
from intops_core.findings import Ref
from intops_core.resources import Resource, Resources

LinkKind = Literal["mapped", "back", "shadow", "unmapped"]
COUNTED: Final[frozenset[LinkKind]] = frozenset({"mapped", "back"})


@dataclass(frozen=True, slots=True, order=True)
class NamedMapping:
    """A Mapping and the object that carries it: a Mapping, a ConnectorClass or a Pattern."""

    carrier: Ref
    name: str


@dataclass(frozen=True, slots=True)
class Link:
    """One system joined with one model in one Flow.

    Attributes:
        system: The Connector; it need not exist.
        class_name: Its ConnectorClass; empty where the Connector does not exist.
        binding: Name of the binding within the Flow.
        role: Part that the system plays.
        kind: `mapped` is the way of the role, `back` that of `reverseMapping`, `shadow` is on trial;
            `unmapped` are roles without a Mapping, such as notifiers, and Mappings that do not exist.
        into: Whether data goes from the system into the model.
        model: The model with its version, such as `event/v1`.
        mapping: What translates; None for `unmapped`.
    """

    system: Ref
    class_name: str
    binding: str
    role: str
    kind: LinkKind
    into: bool
    model: str
    mapping: NamedMapping | None = None


@dataclass(frozen=True, slots=True)
class FlowLinks:
    """What one Flow joins.

    Attributes:
        flow: The Flow.
        owner: Team that is accountable for it.
        pattern: Name of its Pattern.
        models: Models on the way, such as `("event/v1", "incident/v1")`; empty where the Pattern does not exist.
        transform: The Pattern's Mapping between them.
        links: In the order of the Pattern's roles, then of the Flow.
        lost: Fields that name a Connector, class or Mapping that does not exist.
    """

    flow: Ref
    owner: str
    pattern: str
    models: tuple[str, ...]
    transform: NamedMapping | None
    links: tuple[Link, ...]
    lost: tuple[str, ...] = field(default=())


def estate(flows: Iterable[Resource], resources: Resources) -> tuple[FlowLinks, ...]:
    """What these Flows join, by namespace and name."""
    found = (_flow(gather_flow(flow, resources), resources) for flow in flows)
    return tuple(sorted(found, key=lambda one: one.flow))


def systems(flows: Iterable[FlowLinks]) -> list[Ref]:
    """Systems that exchange data by a Mapping, sorted. Those that are only told something do not count."""
    return sorted({link.system for one in flows for link in one.links if link.kind in COUNTED})


def _flow(facts: FlowFacts, resources: Resources) -> FlowLinks:
    spec = cast("FlowSpec", facts.flow.spec)
    pattern = facts.pattern_spec
    links = tuple(
        link for system in facts.systems for link in _links(system, facts, resources) if pattern
    )
    return FlowLinks(
        flow=facts.flow.ref,
        owner=spec.owner.team,
        pattern=spec.pattern,
        models=(pattern.models.in_, pattern.models.out) if pattern else (),
        transform=_named(facts.transform) if facts.transform else None,
        links=links,
        lost=tuple(breach.path for _, breach in facts.breaches if breach.missing is not None),
    )


def _links(system: BoundSystem, facts: FlowFacts, resources: Resources) -> Iterator[Link]:
    pattern = facts.pattern_spec
    if pattern is None:
        return
    direction = system.role.mapping if system.role else "none"
    into = direction in ("in", "enrich")
    model = pattern.models.in_ if into else pattern.models.out

    def link(kind: LinkKind, *, into: bool, used: UsedMapping | None) -> Link:
        return Link(
            system=Ref("Connector", facts.flow.ref.namespace, system.binding.connector),
            class_name=system.connector.class_ if system.connector else "",
            binding=system.binding.name,
            role=system.role_name,
            kind=kind,
            into=into,
            model=(_model_of(used.body, into=into) if used else None) or model,
            mapping=_named(used) if used else None,
        )

    kind: LinkKind = "mapped" if system.mapping else "unmapped"
    yield link(kind, into=into, used=system.mapping)
    back = system.binding.reverse_mapping
    if back is not None and direction != "none":
        resource = resources.get("Mapping", facts.flow.ref.namespace, back)
        if resource is not None:
            used = UsedMapping(back, cast("MappingSpec", resource.spec), resource)
            yield link("back", into=not into, used=used)
    if system.shadow is not None:
        yield link("shadow", into=into, used=system.shadow)


def _model_of(body: MappingBody, *, into: bool) -> str | None:
    end = body.to if into else body.from_
    return f"{end.model}/{end.version}" if end.model else None


def _named(used: UsedMapping) -> NamedMapping:
    return NamedMapping(used.carrier.ref, used.name)
