"""A FlowPlan made ready to run: every expression compiled once, every Mapping and class resolved.

Called when a plan is loaded; the old plan runs on if this one cannot be compiled.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from intops_api.common import duration_s
from intops_api.flow import ErrorPolicy
from intops_api.plan import FlowPlan, PlanBinding
from intops_core.error_classes import class_overrides, effective_policies
from intops_core.expressions import (
    EvaluationError,
    ExpressionError,
    Program,
    activation,
    compile_expression,
)
from intops_core.facts import LOOKUP
from intops_core.mapping import CompiledMapping, MappingError, compile_mapping
from intops_core.records import getter, items_path
from intops_core.typed import Record
from intops_runtime.core.requests import CompiledClass, CompiledOperation

SPLIT_NAMES = frozenset({"payload", "headers"})
POLL_NAMES = frozenset({"response", "config", "endpoint", "now", "also"})
ITEM_NAMES = SPLIT_NAMES | {"object"}
LOOKUP_TIMEOUT, LOOKUP_CACHE = "2s", "5m"


class PlanRejected(Exception):
    """This plan cannot be run; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class CompiledSource:
    """One source binding: how its deliveries are split, told apart and mapped."""

    binding: PlanBinding
    items_at: Callable[[Any], Any] | None
    """Reads the list of items where the class names a plain path."""
    items: Program | None
    delivery_id: Program | None
    mapping: CompiledMapping
    max_depth: int
    origin: Program | None = None
    """Reads the correlation key that a record carries."""


@dataclass(frozen=True, slots=True)
class CompiledSystem:
    """One binding of which something can be asked."""

    binding: PlanBinding
    class_: CompiledClass
    policies: Mapping[str, ErrorPolicy]
    """What happens after each class of errors: the class's word, then the Pattern's, then the Flow's."""

    @property
    def token_url(self) -> str:
        """Where tokens are fetched, for OAuth 2."""
        auth = self.class_.spec.auth
        how = auth.oauth2 if auth is not None else None
        if how is None:
            return ""
        if how.token_path is not None:
            return (self.binding.endpoint or "").rstrip("/") + how.token_path
        return str(self.binding.config.get(how.token_config or "", ""))

    @property
    def timeout_s(self) -> float | None:
        return duration_s(self.binding.timeout) if self.binding.timeout else None


@dataclass(frozen=True, slots=True)
class CompiledTarget(CompiledSystem):
    """One target binding: what can be asked of it and how an incident becomes its record."""

    mapping: CompiledMapping
    object: str


@dataclass(frozen=True, slots=True)
class CompiledEnricher(CompiledSystem):
    """One system that knows more about what a record is about."""

    mapping: CompiledMapping
    lookup: CompiledOperation

    @property
    def timeout_s(self) -> float:
        """Longest wait, in seconds."""
        return duration_s(self.binding.timeout or LOOKUP_TIMEOUT)

    @property
    def cache_s(self) -> float:
        """How long an answer is used again, in seconds."""
        return duration_s(self.binding.cache or LOOKUP_CACHE)


@dataclass(frozen=True, slots=True)
class CompiledPoll:
    """How one source is asked what is active. Times are seconds."""

    system: CompiledSystem
    operation: CompiledOperation
    body: Program
    items_path: str
    """Where the list of items is in a body, such as `alerts`."""
    every_s: float
    patience_s: float
    also: tuple[CompiledOperation, ...] = ()
    """What is asked after each page, with its body."""


@dataclass(frozen=True, slots=True)
class CompiledRoute:
    """One way through; `when` is None where it always matches."""

    name: str
    when: Program | None
    set: dict[str, Any]
    target: str | None


@dataclass(frozen=True, slots=True)
class CompiledPlan:
    """One plan, ready to run."""

    plan: FlowPlan
    sources: dict[str, CompiledSource]
    targets: dict[str, CompiledTarget]
    transform: CompiledMapping
    routes: tuple[CompiledRoute, ...]
    in_name: str
    out_name: str
    transitions: dict[str, list[str]]
    policies: Mapping[str, ErrorPolicy]
    """What happens to messages for reasons that are no target's."""
    notifiers: dict[str, CompiledSystem] = field(default_factory=dict)
    """Channels on which people are told."""
    enrichers: dict[str, CompiledEnricher] = field(default_factory=dict)
    """Systems that are asked before a record is made."""
    polls: dict[str, CompiledPoll] = field(default_factory=dict)
    """Sources that are asked for what their webhooks lose."""
    shadows: dict[str, "CompiledPlan | str"] = field(default_factory=dict)
    """Binding with a Mapping on trial → this plan with it in place, or why that cannot be used."""

    def route(self, record: Mapping[str, Any]) -> CompiledRoute | None:
        """The first route that matches; an expression over a missing field does not match."""
        scope = activation({self.out_name: dict(record)})
        for candidate in self.routes:
            if candidate.when is None:
                return candidate
            try:
                if candidate.when.evaluate(scope) is True:
                    return candidate
            except EvaluationError:
                continue
        return None

    def target_of(self, route: CompiledRoute) -> CompiledTarget:
        """Where a route leads: its own target, else the first."""
        return self.targets[route.target] if route.target else next(iter(self.targets.values()))


def compile_plan(plan: FlowPlan) -> CompiledPlan:
    """Compile everything in a plan.

    Raises:
        PlanRejected: an expression, a Mapping or a reference in the plan is wrong.
    """
    if plan.engine.name != "episodes":
        raise PlanRejected(
            f'This worker has no engine "{plan.engine.name}"; it runs episodes. '
            "Use a worker image of the operator's own version."
        )
    try:
        return _compile(plan)
    except ExpressionError as error:
        raise PlanRejected(f"An expression of the plan does not compile: {error}.") from error
    except MappingError as error:
        raise PlanRejected(f"A Mapping of the plan cannot be used: {error}.") from error
    except KeyError as error:
        raise PlanRejected(f"The plan names {error}, which it does not contain.") from error


def _compile(plan: FlowPlan) -> CompiledPlan:
    model_in = plan.blobs.models[plan.model_in.blob].spec
    model_out = plan.blobs.models[plan.model_out.blob].spec
    in_name, out_name = plan.model_in.name, plan.model_out.name
    classes = {
        name: CompiledClass(blob.name, blob.spec) for name, blob in plan.blobs.classes.items()
    }
    sources = {
        b.name: _source(plan, b, Record(model_in.fields)) for b in plan.bindings_of("source")
    }
    targets = {b.name: _target(plan, b, classes, out_name) for b in plan.bindings_of("target")}
    routes = tuple(
        CompiledRoute(
            route.name,
            None
            if route.when is None or route.when.strip() == "true"
            else compile_expression(route.when, frozenset({out_name})),
            dict(route.set),
            route.target,
        )
        for route in plan.routes
    )
    for route in routes:
        if route.target is not None and route.target not in targets:
            raise KeyError(f"target {route.target}")
    transform = compile_mapping(
        plan.blobs.mappings[plan.transform].spec,
        name=plan.transform_name,
        target=Record(model_out.fields),
        source_name=in_name,
    )
    notifiers = {
        b.name: CompiledSystem(b, classes[b.class_], _policies(plan, classes[b.class_]))
        for b in plan.bindings_of("notifier")
        if b.endpoint is not None
    }
    record = Record(model_in.fields).partial()
    enrichers = {b.name: _enricher(plan, b, classes, record) for b in plan.bindings_of("enricher")}
    compiled = CompiledPlan(
        plan, sources, targets, transform, routes, in_name, out_name,
        dict(model_out.transitions), effective_policies(plan.errors), notifiers, enrichers,
        _polls(plan, classes),
    )  # fmt: skip
    shadows = {
        b.name: _on_trial(compiled, b, classes)
        for b in plan.bindings
        if b.shadow is not None and b.role in ("source", "target")
    }
    return replace(compiled, shadows=shadows)


def _on_trial(
    compiled: CompiledPlan, binding: PlanBinding, classes: dict[str, CompiledClass]
) -> CompiledPlan | str:
    """The plan with the shadow of one binding in place. A bad shadow must not stop the plan itself."""
    plan = compiled.plan
    try:
        if binding.role == "source":
            tried = binding.model_copy(update={"in_": binding.shadow})
            record = Record(plan.blobs.models[plan.model_in.blob].spec.fields)
            sources = {**compiled.sources, binding.name: _source(plan, tried, record)}
            return replace(compiled, sources=sources)
        tried = binding.model_copy(update={"out": binding.shadow})
        target = _target(plan, tried, classes, compiled.out_name)
        return replace(compiled, targets={**compiled.targets, binding.name: target})
    except (ExpressionError, MappingError, PlanRejected, KeyError) as error:
        return f'Mapping "{binding.shadow_name}" cannot be tried: {error}.'


def _source(plan: FlowPlan, binding: PlanBinding, target: Record) -> CompiledSource:
    capture = plan.blobs.classes[binding.class_].spec.capture
    if capture is None or binding.in_ is None:
        raise PlanRejected(
            f'Class "{binding.class_name}" of source "{binding.name}" cannot capture.'
        )
    plain = items_path(capture.items)
    return CompiledSource(
        binding,
        getter(plain) if plain else None,
        compile_expression(capture.items, SPLIT_NAMES) if capture.items else None,
        compile_expression(capture.delivery_id, ITEM_NAMES) if capture.delivery_id else None,
        compile_mapping(
            plan.blobs.mappings[binding.in_].spec,
            name=plan.blobs.mappings[binding.in_].name,
            target=target,
            source_name="object",
        ),
        capture.max_depth,
        compile_expression(capture.origin, ITEM_NAMES) if capture.origin else None,
    )


def _polls(plan: FlowPlan, classes: dict[str, CompiledClass]) -> dict[str, CompiledPoll]:
    found = {}
    for binding in plan.bindings_of("source"):
        class_ = classes[binding.class_]
        capture = class_.spec.capture
        if capture is None or capture.poll is None or binding.endpoint is None:
            continue
        if any(name not in binding.config for name in capture.poll.needs):
            continue
        plain = items_path(capture.items)
        if plain is None or capture.delivery_id is None:
            raise PlanRejected(
                f'Class "{binding.class_name}" of source "{binding.name}" cannot poll, because it does not '
                "say where the items are and what tells them apart."
            )
        poll = capture.poll
        found[binding.name] = CompiledPoll(
            CompiledSystem(binding, class_, _policies(plan, class_)),
            class_.operations[poll.operation],
            compile_expression(poll.body, POLL_NAMES),
            plain,
            duration_s(poll.every),
            duration_s(poll.patience),
            tuple(class_.operations[name] for name in poll.also or []),
        )
    return found


def _target(
    plan: FlowPlan, binding: PlanBinding, classes: dict[str, CompiledClass], out_name: str
) -> CompiledTarget:
    if binding.out is None or binding.endpoint is None:
        raise PlanRejected(f'Target "{binding.name}" has no endpoint or no Mapping.')
    blob = plan.blobs.mappings[binding.out]
    name = blob.spec.to.object or ""
    schema = plan.blobs.classes[binding.class_].spec.objects[name]
    return CompiledTarget(
        binding,
        classes[binding.class_],
        _policies(plan, classes[binding.class_]),
        compile_mapping(
            blob.spec,
            name=blob.name,
            target=Record(schema.fields, open=schema.open),
            source_name=out_name,
        ),
        name,
    )


def _enricher(
    plan: FlowPlan, binding: PlanBinding, classes: dict[str, CompiledClass], target: Record
) -> CompiledEnricher:
    class_ = classes[binding.class_]
    lookup = class_.operations.get(LOOKUP)
    if binding.in_ is None or binding.endpoint is None or lookup is None:
        raise PlanRejected(
            f'Enricher "{binding.name}" has no endpoint, no Mapping or no operation {LOOKUP}.'
        )
    blob = plan.blobs.mappings[binding.in_]
    mapping = compile_mapping(blob.spec, name=blob.name, target=target, source_name="object")
    return CompiledEnricher(binding, class_, _policies(plan, class_), mapping, lookup)


def _policies(plan: FlowPlan, class_: CompiledClass) -> dict[str, ErrorPolicy]:
    return effective_policies(class_overrides(class_.spec.error_policies), plan.errors)
