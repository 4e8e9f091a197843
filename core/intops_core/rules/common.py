"""Rules that every Pattern shares: a Flow is bound completely, by Mappings that fit, with sound routes.

Used by the registry. What Mappings and Connectors are judged by stands in modules of their own.
"""

from collections.abc import Iterator
from typing import Final

from intops_api.connector_class import ObjectSchema
from intops_api.pattern import Role
from intops_core.ends import Model
from intops_core.facts import CAPTURE, BoundSystem, FlowFacts, UsedMapping, misfit
from intops_core.findings import Breach, available, suggestion
from intops_core.rules.connectors import keeps_secrets_and_metadata_out, value_refusal
from intops_core.rules.connectors import stays_within_documented_limits as within_limits
from intops_core.rules.expressions import expression_problem
from intops_core.rules.mappings import (
    compiles_and_fits,
    fills_what_is_required,
    goes_through_a_model,
    has_a_place_for_every_value,
    says_what_it_means,
)
from intops_core.rules.rule import BuiltInRule
from intops_core.rules.shadows import shadow_problem

# Filled by the engine itself, whatever the Mappings say.
ENGINE_FIELDS: Final = {
    "episodes": frozenset({"correlationKey", "enrichment.status", "enrichment.missing"})
}


def pattern_exists(facts: FlowFacts) -> Iterator[Breach]:
    """COM-01: the Pattern may be used by new Flows. That it exists is found when facts are gathered."""
    if facts.pattern_spec is not None and not facts.pattern_spec.served:
        yield Breach(
            "spec.pattern",
            f'Pattern "{facts.spec.pattern}" is no longer served, so no new Flow may follow it; those '
            "that do go on. Choose the Pattern that replaces it.",
        )


def roles_are_bound(facts: FlowFacts) -> Iterator[Breach]:
    """COM-02: only known roles, each as often as the Pattern says."""
    pattern = facts.pattern_spec
    if pattern is None:
        return
    known = {role.name for role in pattern.roles}
    for name in facts.spec.roles:
        if name not in known:
            words = f'Pattern "{facts.spec.pattern}" has no role "{name}", so it would do nothing.'
            yield Breach(f"spec.roles.{name}", words + suggestion(name, known))
    for role in pattern.roles:
        bound = len(facts.spec.roles.get(role.name, []))
        if role.min <= bound <= role.max:
            continue
        repair = (
            f"Add to spec.roles.{role.name} an entry with name and connector."
            if bound < role.min
            else f"Leave {role.max} in spec.roles.{role.name}."
        )
        place = f"spec.roles.{role.name}" if role.name in facts.spec.roles else "spec.roles"
        yield Breach(
            place,
            f'Pattern "{facts.spec.pattern}" needs {_count(role)} "{role.name}"'
            f"{f' ({_lower(role.description)})' if role.description else ''}; this Flow binds {bound}. "
            f"{repair}",
        )


def systems_can_play_their_roles(facts: FlowFacts) -> Iterator[Breach]:
    """COM-03: the class of each Connector offers what its role needs."""
    for system in facts.systems:
        if system.role is None or system.class_ is None or system.connector is None:
            continue
        offered = system.capabilities()
        lacking = _lacking(system, system.role)
        path = f"{system.path}.connector"
        if lacking:
            offers = ", ".join(sorted(offered)) or "nothing"
            yield Breach(
                path,
                f'Connector "{system.binding.connector}" (class {system.connector.class_}) cannot be used '
                f'as "{system.role_name}": it offers {offers}, but the role needs {", ".join(lacking)}. '
                "Bind a Connector of another class, or add this to the class.",
            )
        elif CAPTURE in system.role.operations and system.connector.credentials is None:
            yield Breach(
                path,
                f'Connector "{system.binding.connector}" names no credentials, so no sender could prove '
                "who it is and every message would be refused. Write spec.credentials.secretName in the "
                "Connector.",
            )
        elif system.role.mapping in ("out", "enrich") and system.connector.endpoint is None:
            yield Breach(
                path,
                f'Connector "{system.binding.connector}" has no endpoint, so nothing could be sent to it. '
                "Write spec.endpoint in the Connector.",
            )
        elif missing := _missing_settings(system, system.role):
            yield Breach(
                path,
                f'Connector "{system.binding.connector}" does not say {" and ".join(missing)}, without which '
                f'class {system.connector.class_} cannot be used as "{system.role_name}". Write '
                f"{' and '.join(f'spec.config.{name}' for name in missing)} in the Connector.",
            )


def mappings_lead_through_the_models(facts: FlowFacts) -> Iterator[Breach]:
    """COM-04: each binding is mapped to or from the Pattern's models."""
    for system in facts.systems:
        yield from shadow_problem(system)
        role, spec, class_ = system.role, system.class_spec, system.class_
        model = _model_of(facts, role)
        if (
            role is None
            or role.mapping == "none"
            or model is None
            or spec is None
            or class_ is None
        ):
            continue
        name = class_.ref.name
        ends = (
            (f"class {name}", model.label)
            if role.mapping != "out"
            else (model.label, f"class {name}")
        )
        if system.mapping is None:
            # A system that cannot play its role is refused by COM-03; a Mapping would not help it.
            if system.binding.mapping is None and not _lacking(system, role):
                yield Breach(
                    system.path,
                    f'"{system.binding.name}" names no mapping, and class {name} has none of its own from '
                    f"{ends[0]} to {ends[1]}. Its messages could not be translated. Write mapping: the name "
                    "of such a Mapping.",
                )
            continue
        trouble = misfit(system.mapping.body, role.mapping, name, spec, model.label)
        if trouble:
            yield Breach(
                f"{system.path}.mapping",
                f'Mapping "{system.mapping.name}" cannot be used for "{system.binding.name}": it {trouble}. '
                "Name a Mapping between these ends, or leave it out to use the class's own.",
            )


def required_fields_are_fed(facts: FlowFacts) -> Iterator[Breach]:
    """COM-05: what a target requires comes from somewhere in this Flow."""
    if facts.transform is None or facts.pattern_spec is None:
        return
    made = {rule.to for rule in facts.transform.body.fields}
    made |= ENGINE_FIELDS.get(facts.pattern_spec.engine, frozenset())
    for route in facts.spec.routes:
        made |= set(route.set)
    for system in facts.of_role("out"):
        if system.mapping is not None and system.class_spec is not None:
            object_ = system.mapping.body.to.object or ""
            schema = system.class_spec.objects.get(object_)
            if schema is not None:
                yield from _unfed(
                    system, system.mapping, schema, made, facts.pattern_spec.models.out
                )


def _unfed(
    system: BoundSystem, mapping: UsedMapping, schema: ObjectSchema, made: set[str], model: str
) -> Iterator[Breach]:
    for rule in mapping.body.fields:
        field = schema.fields.get(rule.to)
        if field is None or not field.required or not rule.from_ or rule.default is not None:
            continue
        if "unknown" in rule.values or any(_is_made(path, made) for path in rule.from_):
            continue
        yield Breach(
            system.mapping_path,
            f'Target "{system.binding.name}" requires "{rule.to}", which Mapping "{mapping.name}" '
            f"takes from {' or '.join(rule.from_)} of {model}, but nothing in this Flow fills that. Every "
            "message would wait for a person. Set it in spec.routes, or give the rule a default.",
        )


def _is_made(path: str, made: set[str]) -> bool:
    return any(path == m or path.startswith(f"{m}.") or m.startswith(f"{path}.") for m in made)


def route_expressions_fit(facts: FlowFacts) -> Iterator[Breach]:
    """COM-15: conditions of routes compile against the out model, and routes set fields that it has."""
    model = facts.model_out
    for index, route in enumerate(facts.spec.routes):
        path = f"spec.routes[{index}]"
        if route.when is not None:
            words = expression_problem(route.when, model)
            if words:
                yield Breach(f"{path}.when", f"{words} The route could never be decided.")
        if model is None:
            continue
        for name, value in route.set.items():
            yield from _set_problem(name, value, f"{path}.set", model)


def _set_problem(name: str, value: object, path: str, model: Model) -> Iterator[Breach]:
    schema = model.version.fields.get(name)
    if schema is None:
        words = f'Model {model.label} has no field "{name}", so setting it would do nothing.'
        yield Breach(f"{path}.{name}", words + suggestion(name, _first_level(model)))
        return
    if "." in name:
        words = f'"{name}" lies within another field, which a route does not set in this version.'
        yield Breach(f"{path}.{name}", words + available(_first_level(model)))
        return
    words = value_refusal(value, schema) if value is not None else "cannot be set to nothing."
    if words:
        yield Breach(f"{path}.{name}", f'"{name}" {words}')


def _first_level(model: Model) -> list[str]:
    return [name for name in model.version.fields if "." not in name]


def _lacking(system: BoundSystem, role: Role) -> list[str]:
    """Operations of a role that the class of a bound Connector does not offer."""
    offered = system.capabilities()
    return [name for name in role.operations if name not in offered]


def _missing_settings(system: BoundSystem, role: Role) -> list[str]:
    """Settings that operations of a role need and the bound Connector does not give, in order."""
    if system.class_spec is None or system.connector is None:
        return []
    given, schema = system.connector.config, system.class_spec.config_schema
    asked = (system.class_spec.operations.get(name) for name in role.operations)
    needed = {name: None for one in asked if one is not None for name in one.needs or ()}
    return [
        name
        for name in needed
        if given.get(name) is None and (name not in schema or schema[name].default is None)
    ]


def _model_of(facts: FlowFacts, role: Role | None) -> Model | None:
    if role is None or role.mapping == "none":
        return None
    return facts.model_out if role.mapping == "out" else facts.model_in


def _count(role: Role) -> str:
    if role.min == role.max:
        return f"exactly {'one' if role.min == 1 else role.min}"
    if role.min == 0:
        return f"at most {role.max}"
    return f"{'at least one' if role.min == 1 else f'at least {role.min}'} and at most {role.max}"


def _lower(text: str) -> str:
    text = text.rstrip(".")
    return text[:1].lower() + text[1:]


COMMON_RULES: Final[tuple[BuiltInRule, ...]] = (
    BuiltInRule(
        "COM-01",
        "The Pattern of a Flow exists and is served.",
        excusable=False,
        flow=pattern_exists,
    ),
    BuiltInRule(
        "COM-02",
        "Every role of the Pattern is bound as often as it says, and no other role.",
        excusable=False,
        flow=roles_are_bound,
    ),
    BuiltInRule(
        "COM-03",
        "The ConnectorClass of each bound Connector offers what its role needs.",
        excusable=False,
        flow=systems_can_play_their_roles,
    ),
    BuiltInRule(
        "COM-04",
        "Every source is mapped to the Pattern's model and every target from it; never system to system.",
        excusable=False,
        flow=mappings_lead_through_the_models,
        mapping=goes_through_a_model,
    ),
    BuiltInRule(
        "COM-05",
        "Every field that is required is filled.",
        flow=required_fields_are_fed,
        mapping=fills_what_is_required,
    ),
    BuiltInRule(
        "COM-06",
        "Tables have a place for every value, unknown and other among them, and values that fit.",
        mapping=has_a_place_for_every_value,
    ),
    BuiltInRule(
        "COM-10",
        "Credentials are in Secrets only, and no endpoint is a metadata or link-local address.",
        excusable=False,
        connector=keeps_secrets_and_metadata_out,
    ),
    BuiltInRule(
        "COM-13",
        "Each rule of a Mapping says what it means for the business.",
        mapping=says_what_it_means,
    ),
    BuiltInRule(
        "COM-14",
        "A Connector is not worked harder than its system is documented to bear.",
        connector=within_limits,
    ),
    BuiltInRule(
        "COM-15",
        "Expressions compile, what they name exists, and types agree.",
        excusable=False,
        flow=route_expressions_fit,
        mapping=compiles_and_fits,
        also=("CanonicalModel",),
    ),
)
