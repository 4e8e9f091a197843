"""What a Flow is, with everything that it names looked up: what rules are about.

`gather_flow` is called by conformance and planning. Built-in rules read `FlowFacts`; rules of a
Pattern's own are CEL over `facts`, which `published` makes and whose shape is an interface:

    facts:
      flow:      {name, namespace, labels: {…}, annotations: {…}}
      spec:      the Flow's spec as in a manifest, with the Pattern's defaults below it; absent fields are
                 absent, so write has(facts.spec.reviewBy)
      pattern:   {name, engine, in: event/v1, out: incident/v1}
      roles:     for every role of the Pattern and of the Flow, a list (possibly empty) of
        - name, connector, path              binding, Connector, field of the Flow
          class, endpoint, config, owner     of the Connector; class is "" and the others absent if unknown
          capabilities                       what the class offers: capture and names of operations
          mapping, mappingOf                 name of the Mapping in use ("" if none), Mapping or ConnectorClass
          fills                              canonical or native fields that it always fills
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from pydantic import ValidationError

from intops_api.connector import ConnectorSpec
from intops_api.connector_class import ConnectorClassSpec
from intops_api.flow import Binding, FlowSpec
from intops_api.mapping import MappingBody, MappingSpec
from intops_api.pattern import PatternSpec, Role
from intops_core.defaults import WholePattern, effective_flow, whole_pattern
from intops_core.ends import Model, filled_fields, find_model, missing_object
from intops_core.findings import REFERENCE, Breach, Ref, suggestion
from intops_core.resources import Resource, Resources

Direction = Literal["in", "out", "enrich"]
CAPTURE: Final = "capture"
LOOKUP: Final = "lookup"


@dataclass(frozen=True, slots=True)
class UsedMapping:
    """The Mapping that a binding (or the Pattern) uses, and the object that carries it."""

    name: str
    body: MappingBody
    carrier: Resource


@dataclass(frozen=True, slots=True)
class BoundSystem:
    """One binding of a Flow with what it names. What does not exist is None."""

    role_name: str
    role: Role | None
    path: str
    binding: Binding
    connector: ConnectorSpec | None = None
    class_: Resource | None = None
    mapping: UsedMapping | None = None
    shadow: UsedMapping | None = None
    reverse: UsedMapping | None = None

    @property
    def class_spec(self) -> ConnectorClassSpec | None:
        return cast("ConnectorClassSpec", self.class_.spec) if self.class_ else None

    @property
    def mapping_path(self) -> str:
        """The field of the Flow that decides which Mapping is used."""
        return f"{self.path}.mapping" if self.binding.mapping else self.path

    def capabilities(self) -> frozenset[str]:
        """What the class offers: `capture` and the names of its operations."""
        spec = self.class_spec
        if spec is None:
            return frozenset()
        return frozenset(spec.operations) | ({CAPTURE} if spec.capture is not None else set())


@dataclass(frozen=True, slots=True)
class FlowFacts:
    """A Flow with everything that it names. `breaches` are names that lead nowhere."""

    flow: Resource
    spec: FlowSpec
    pattern: WholePattern | None
    model_in: Model | None
    model_out: Model | None
    systems: tuple[BoundSystem, ...]
    transform: UsedMapping | None
    breaches: tuple[tuple[str, Breach], ...] = field(default=())

    @property
    def pattern_spec(self) -> PatternSpec | None:
        return self.pattern.spec if self.pattern else None

    @property
    def written(self) -> FlowSpec:
        """The Flow as it stands in its manifest, without what its Pattern says below it."""
        return cast("FlowSpec", self.flow.spec)

    def of_role(self, mapping: Direction) -> Iterator[BoundSystem]:
        """Bindings whose role maps in this direction."""
        return (s for s in self.systems if s.role is not None and s.role.mapping == mapping)


def gather_flow(flow: Resource, resources: Resources) -> FlowFacts:
    """A Flow with everything that it names looked up."""
    written = cast("FlowSpec", flow.spec)
    breaches: list[tuple[str, Breach]] = []
    resource = resources.get("Pattern", "", written.pattern)
    if resource is None:
        hint = suggestion(written.pattern, resources.names("Pattern", ""))
        ref = Ref("Pattern", "", written.pattern)
        words = f'Flow "{flow.ref.name}" refers to {ref}, which does not exist.{hint}'
        breaches.append(("COM-01", Breach("spec.pattern", words, missing=ref)))
        systems = _systems(written, None, None, None, flow, resources, breaches)
        return FlowFacts(flow, written, None, None, None, systems, None, tuple(breaches))
    pattern = whole_pattern(resource, resources)
    if pattern.missing is not None:
        why = f"{resource.ref} is not whole without the Pattern that it extends"
        breaches.append(
            (REFERENCE, missing_object(pattern.missing, resources, "spec.pattern", why))
        )
    spec = written
    try:
        spec = effective_flow(written, pattern.spec)
    except ValidationError:
        words = f"The defaults of {resource.ref} do not fit a Flow; its owner must repair them."
        breaches.append((REFERENCE, Breach("spec.pattern", words)))
    models: list[Model | None] = []
    for label in (pattern.spec.models.in_, pattern.spec.models.out):
        name, _, version = label.partition("/")
        model, breach = find_model(name, version, resources, "spec.pattern")
        models.append(model)
        if breach is not None:
            breaches.append((REFERENCE, breach))
    systems = _systems(spec, pattern.spec, models[0], models[1], flow, resources, breaches)
    transform = transform_of(pattern.spec, resource)
    return FlowFacts(flow, spec, pattern, models[0], models[1], systems, transform, tuple(breaches))


def transform_of(pattern: PatternSpec, carrier: Resource) -> UsedMapping | None:
    """The Pattern's Mapping from its `in` model to its `out` model; the first by name."""
    for name, body in sorted(pattern.mappings.items()):
        ends = [f"{end.model}/{end.version}" for end in (body.from_, body.to)]
        if ends == [pattern.models.in_, pattern.models.out]:
            return UsedMapping(name, body, carrier)
    return None


def _systems(
    spec: FlowSpec,
    pattern: PatternSpec | None,
    model_in: Model | None,
    model_out: Model | None,
    flow: Resource,
    resources: Resources,
    breaches: list[tuple[str, Breach]],
) -> tuple[BoundSystem, ...]:
    """Bindings in the order of the Pattern's roles, then of the Flow."""
    roles = {role.name: role for role in pattern.roles} if pattern else {}
    names = [*(n for n in roles if n in spec.roles), *(n for n in spec.roles if n not in roles)]
    found: list[BoundSystem] = []
    for role_name in names:
        for index, binding in enumerate(spec.roles[role_name]):
            system = _look_up(
                BoundSystem(
                    role_name, roles.get(role_name), f"spec.roles.{role_name}[{index}]", binding
                ),
                flow.ref.namespace,
                resources,
                breaches,
            )
            found.append(_with_mapping(system, model_in, model_out, flow, resources, breaches))
    return tuple(found)


def _look_up(
    system: BoundSystem,
    namespace: str,
    resources: Resources,
    breaches: list[tuple[str, Breach]],
) -> BoundSystem:
    path = f"{system.path}.connector"
    resource = resources.get("Connector", namespace, system.binding.connector)
    if resource is None:
        ref = Ref("Connector", namespace, system.binding.connector)
        why = f'"{system.binding.name}" leads to no system'
        breaches.append((REFERENCE, missing_object(ref, resources, path, why)))
        return system
    connector = cast("ConnectorSpec", resource.spec)
    class_ = resources.get("ConnectorClass", "", connector.class_)
    if class_ is None:
        ref = Ref("ConnectorClass", "", connector.class_)
        why = f"nobody knows how to talk to {resource.ref}"
        breaches.append((REFERENCE, missing_object(ref, resources, path, why)))
    return BoundSystem(
        system.role_name, system.role, system.path, system.binding, connector, class_
    )


def _with_mapping(
    system: BoundSystem,
    model_in: Model | None,
    model_out: Model | None,
    flow: Resource,
    resources: Resources,
    breaches: list[tuple[str, Breach]],
) -> BoundSystem:
    found: dict[str, UsedMapping] = {}
    losses = {
        "reverseMapping": (system.binding.reverse_mapping, "cannot be translated"),
        "mapping": (system.binding.mapping, "cannot be translated"),
        "shadow": (system.binding.shadow, "cannot be compared with what it would make of them"),
    }
    for path, (name, loss) in losses.items():
        if name is None:
            continue
        resource = resources.get("Mapping", flow.ref.namespace, name)
        if resource is None:
            ref = Ref("Mapping", flow.ref.namespace, name)
            why = f'messages of "{system.binding.name}" {loss}'
            place = f"{system.path}.{path}"
            breaches.append((REFERENCE, missing_object(ref, resources, place, why)))
        else:
            found[path] = UsedMapping(name, cast("MappingSpec", resource.spec), resource)
    used = found.get("mapping")
    if system.binding.mapping is None and system.role is not None and system.role.mapping != "none":
        model = model_out if system.role.mapping == "out" else model_in
        used = class_mapping(system, system.role.mapping, model.label if model else "")
    return BoundSystem(
        system.role_name,
        system.role,
        system.path,
        system.binding,
        system.connector,
        system.class_,
        used,
        found.get("shadow"),
        found.get("reverseMapping"),
    )


def class_mapping(system: BoundSystem, direction: Direction, model: str) -> UsedMapping | None:
    """The class's own Mapping for a model; the first by name where several fit."""
    spec = system.class_spec
    if spec is None or system.class_ is None:
        return None
    for name, body in sorted(spec.mappings.items()):
        if not misfit(body, direction, system.class_.ref.name, spec, model):
            return UsedMapping(name, body, system.class_)
    return None


def misfit(
    body: MappingBody, direction: Direction, class_name: str, spec: ConnectorClassSpec, model: str
) -> str:
    """Why a Mapping does not lead from a class to a model (`in`, `enrich`) or back (`out`); empty if it does."""
    comes_in = direction != "out"
    system_end, model_end = (body.from_, body.to) if comes_in else (body.to, body.from_)
    if direction == "in":
        wanted = spec.capture.object if spec.capture is not None else None
    else:
        operation = spec.operations.get("create" if direction == "out" else LOOKUP)
        wanted = operation.object if operation is not None else None
    given = (
        f"{model_end.model}/{model_end.version}" if model_end.model else f"class {model_end.class_}"
    )
    system_words = (
        f"class {system_end.class_}" if system_end.class_ else f"model {system_end.model}"
    )
    if given != model or system_end.class_ != class_name:
        both = (system_words, given) if comes_in else (given, system_words)
        need = (f"class {class_name}", model) if comes_in else (model, f"class {class_name}")
        return (
            f"leads from {both[0]} to {both[1]}, but here it must lead from {need[0]} to {need[1]}"
        )
    if wanted is not None and system_end.object != wanted:
        verb = {"in": "sends", "out": "creates", "enrich": "looks up"}[direction]
        return f'is about object "{system_end.object}", but class {class_name} {verb} "{wanted}"'
    if body.partial and direction != "enrich":
        return "is partial, so it fills only some fields of a record that is there already"
    if direction == "enrich" and not body.partial:
        return "makes a whole record, but here it must add to one: write partial: true in it"
    return ""


def published(facts: FlowFacts) -> dict[str, Any]:
    """The `facts` of rules in CEL; see the module's description for the shape."""
    pattern = facts.pattern_spec
    names = {role.name for role in pattern.roles} if pattern else set()
    roles: dict[str, list[dict[str, Any]]] = {
        name: [] for name in sorted(names | set(facts.spec.roles))
    }
    for system in facts.systems:
        roles[system.role_name].append(_published_system(system))
    meta = facts.flow.meta
    return {
        "flow": {
            "name": facts.flow.ref.name,
            "namespace": facts.flow.ref.namespace,
            "labels": dict(meta.labels),
            "annotations": dict(meta.annotations),
        },
        "spec": facts.spec.to_wire(),
        "pattern": {
            "name": facts.spec.pattern,
            "engine": pattern.engine if pattern else "",
            "in": pattern.models.in_ if pattern else "",
            "out": pattern.models.out if pattern else "",
        },
        "roles": roles,
    }


def _published_system(system: BoundSystem) -> dict[str, Any]:
    mapping = system.mapping
    known: dict[str, Any] = {
        "name": system.binding.name,
        "connector": system.binding.connector,
        "path": system.path,
        "class": system.connector.class_ if system.connector else "",
        "capabilities": sorted(system.capabilities()),
        "mapping": mapping.name if mapping else "",
        "mappingOf": mapping.carrier.ref.kind if mapping else "",
        "fills": sorted(filled_fields(mapping.body)) if mapping else [],
    }
    if system.connector is not None:
        known["config"] = dict(system.connector.config)
        known["owner"] = system.connector.owner.to_wire()
        if system.connector.endpoint is not None:
            known["endpoint"] = system.connector.endpoint
    return known
