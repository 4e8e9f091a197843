"""What a Pattern is judged by in itself: engine, stages, roles, rules, defaults. Used by conformance."""

from collections.abc import Iterator, Mapping
from typing import Final, cast

from pydantic import ValidationError

from intops_api.flow import FlowSpec
from intops_api.pattern import EngineName, PatternSpec
from intops_core.defaults import MAX_EXTENDS, WholePattern, laid_over, whole_pattern
from intops_core.ends import find_model, missing_object
from intops_core.facts import transform_of
from intops_core.findings import Breach, Ref, strictest, suggestion
from intops_core.resources import Resource, Resources, validation_findings
from intops_core.rules.expressions import typed_problem
from intops_core.rules.rule import BuiltInRule

# Steps of each engine in their order; an engine that this version lacks is None.
ENGINE_STAGES: Final[dict[EngineName, tuple[str, ...] | None]] = {
    "episodes": (
        "capture",
        "recognise",
        "validate",
        "correlate",
        "suppress",
        "enrich",
        "classify",
        "route",
        "act",
        "confirm",
        "link",
        "synchronise",
        "close",
        "audit",
    ),
    "reconciliation": None,
    "run": None,
    "relay": None,
}
_FACTS: Final = (
    "facts/1",
    {"facts": "map"},
)


def pattern_breaches(
    resource: Resource,
    whole: WholePattern,
    resources: Resources,
    built_in: Mapping[str, BuiltInRule],
) -> Iterator[Breach]:
    """Everything that is wrong in a Pattern, its Mappings aside."""
    spec = cast("PatternSpec", resource.spec)
    above = whole_pattern(whole.above[0], resources).spec if whole.above else None
    own = {rule.id for rule in above.rules if rule.when is not None} if above else set()
    yield from _engine(spec)
    yield from _rules(spec, built_in, own)
    if not whole.endless:  # else nothing is known of what it would inherit
        yield from _models(whole.spec, resource, resources)
        yield from _roles(whole.spec)
        yield from _defaults(whole.spec)
    yield from _inheritance(spec, whole, resources)


def _engine(spec: PatternSpec) -> Iterator[Breach]:
    stages = ENGINE_STAGES[spec.engine]
    if stages is None:
        have = ", ".join(name for name, known in ENGINE_STAGES.items() if known is not None)
        yield Breach(
            "spec.engine",
            f"This version has no engine {spec.engine} yet, so a worker would refuse the plan of a Flow that "
            f"follows this Pattern; it has {have}.",
            at_most="warn",
        )
        return
    last = -1
    for index, stage in enumerate(spec.stages):
        path = f"spec.stages[{index}].name"
        if stage.name not in stages:
            words = f'Engine {spec.engine} has no step "{stage.name}", so it would not run.'
            yield Breach(path, words + suggestion(stage.name, stages))
            continue
        position = stages.index(stage.name)
        if position < last:
            yield Breach(
                path,
                f'Step "{stage.name}" runs before "{stages[last]}", whatever is written. Put the stages in '
                f"the engine's order: {', '.join(stages)}.",
            )
        last = max(last, position)


def _rules(
    spec: PatternSpec, built_in: Mapping[str, BuiltInRule], inherited: set[str]
) -> Iterator[Breach]:
    """Rules by id: built-in ones, those of a Pattern that is extended, and own ones."""
    for index, rule in enumerate(spec.rules):
        path = f"spec.rules[{index}]"
        known = built_in.get(rule.id)
        if rule.when is None:
            if known is None and rule.id not in inherited:
                words = (
                    f'There is no built-in rule "{rule.id}", so nothing would be judged; a rule of your own '
                    "has when and message."
                )
                yield Breach(f"{path}.id", words + suggestion(rule.id, {*built_in, *inherited}))
            elif known is not None and not known.liftable and rule.severity != known.severity:
                yield Breach(f"{path}.severity", _fixed_severity(known), at_most="warn")
            continue
        if known is not None:
            words = (
                f'"{rule.id}" is a built-in rule, which an expression cannot replace. Give the rule an id of '
                "its own, or remove when."
            )
            yield Breach(f"{path}.id", words)
        words = typed_problem(rule.when, _FACTS[0], {"facts": "map"}, expects="boolean")
        if words:
            yield Breach(f"{path}.when", words)


def _fixed_severity(rule: BuiltInRule) -> str:
    if rule.excusable:
        why = f"is about a {rule.kinds[0]}, which belongs to no Pattern"
    else:
        why = "holds for every Flow, because one that breaks it could not run"
    return f"Rule {rule.id} {why}, so it stays {rule.severity}. Write severity: {rule.severity}."


def _models(spec: PatternSpec, resource: Resource, resources: Resources) -> Iterator[Breach]:
    for end, label in (("in", spec.models.in_), ("out", spec.models.out)):
        name, _, version = label.partition("/")
        _, breach = find_model(name, version, resources, f"spec.models.{end}")
        if breach is not None:
            yield breach
    for name, body in spec.mappings.items():
        if body.from_.model is None or body.to.model is None:
            yield Breach(
                f"spec.mappings.{name}",
                f'Mapping "{name}" of a Pattern leads from model to model, because a Pattern knows no '
                "systems. Write model and version at both ends.",
            )
    if spec.models.in_ != spec.models.out and transform_of(spec, resource) is None:
        yield Breach(
            "spec.mappings",
            f"No Mapping leads from {spec.models.in_} to {spec.models.out}, so what comes in could not "
            "become what goes out. Add one.",
        )


def _roles(spec: PatternSpec) -> Iterator[Breach]:
    for role, mapping in (("source", "in"), ("target", "out")):
        if spec.engine != "episodes":
            return
        found = next((one for one in spec.roles if one.name == role), None)
        if found is None or found.mapping != mapping:
            yield Breach(
                "spec.roles",
                f'Engine episodes needs a role "{role}" with mapping: {mapping}, without which no message '
                "would get through. Add it.",
            )


def _defaults(spec: PatternSpec) -> Iterator[Breach]:
    least = {
        "pattern": "x",
        "owner": {"team": "x", "contact": "x"},
        "roles": {"x": [{"name": "x", "connector": "x"}]},
    }
    if spec.defaults.get("exceptions"):
        yield Breach(
            "spec.defaults.exceptions",
            "An exception is about one Flow, and here it would lift a rule for all of them, where the Pattern "
            "itself should say so. Remove it, and write the severity that the rule is to have.",
        )
    try:
        FlowSpec.model_validate(laid_over(spec.defaults, least), by_alias=True, by_name=False)
    except ValidationError as error:
        for finding in validation_findings(error, FlowSpec, "spec.defaults", Ref("", "", "")):
            yield Breach(finding.path, finding.message)


def _inheritance(spec: PatternSpec, whole: WholePattern, resources: Resources) -> Iterator[Breach]:
    if spec.extends is None:
        return
    if whole.missing is not None:
        why = "this Pattern is not whole"
        yield missing_object(whole.missing, resources, "spec.extends", why)
    if whole.endless:
        yield Breach(
            "spec.extends",
            f"The Patterns that extend each other come back to one of them, or are more than {MAX_EXTENDS}, "
            "so nobody could tell what holds. Shorten the chain.",
        )
        return
    if not whole.above:
        return
    above = whole_pattern(whole.above[0], resources).spec
    if above.engine != spec.engine:
        words = (
            f'Pattern "{spec.extends}" runs on engine {above.engine}, and a Pattern that extends it does '
            f"too, because it has the same steps. Write engine: {above.engine}."
        )
        yield Breach("spec.engine", words)
    yield from _loosened_roles(spec, above)
    yield from _loosened_rules(spec, above)


def _loosened_roles(spec: PatternSpec, above: PatternSpec) -> Iterator[Breach]:
    roles = {role.name: role for role in above.roles}
    for index, role in enumerate(spec.roles):
        other = roles.get(role.name)
        if other is None:
            continue
        lacking = [name for name in other.operations if name not in role.operations]
        if role.min < other.min or role.max > other.max or lacking:
            yield Breach(
                f"spec.roles[{index}]",
                f'Role "{role.name}" asks for less than in Pattern "{spec.extends}", but a Pattern may only '
                f"tighten what it extends. Keep min {other.min} or more, max {other.max} or less, and "
                f"operations {', '.join(other.operations) or 'none'}.",
            )
        if role.mapping != other.mapping:
            yield Breach(
                f"spec.roles[{index}].mapping",
                f'Role "{role.name}" has mapping: {other.mapping} in Pattern "{spec.extends}", and its Flows would '
                f"map nothing, or the wrong way. Write mapping: {other.mapping}.",
            )


def _loosened_rules(spec: PatternSpec, above: PatternSpec) -> Iterator[Breach]:
    held = {rule.id: rule for rule in above.rules}
    for index, rule in enumerate(spec.rules):
        other = held.get(rule.id)
        if other is None:
            continue
        if strictest(other.severity, rule.severity) != rule.severity:
            yield Breach(
                f"spec.rules[{index}].severity",
                f'Rule {rule.id} is {other.severity} in Pattern "{spec.extends}", and a Pattern may only tighten '
                f"what it extends. Write severity: {other.severity}, or leave the rule out.",
            )
        if rule.when is not None and other.when is not None and rule.when != other.when:
            yield Breach(
                f"spec.rules[{index}].when",
                f'Rule {rule.id} is defined by Pattern "{spec.extends}", and another expression could let in what '
                "that one refuses. Leave when and message out to make it more severe only, or give your rule an id "
                "of its own.",
            )
