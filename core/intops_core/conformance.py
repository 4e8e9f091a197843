"""Judge one resource by everything that is known: all findings at once, whatever its kind.

Called by admission, by the reconciler through planning, and by the command line: one implementation.
Dates never count here, and what does not exist yet only warns.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from intops_api.canonical_model import CanonicalModelSpec
from intops_api.connector import ConnectorSpec
from intops_api.connector_class import ConnectorClassSpec
from intops_api.flow import FlowSpec
from intops_api.flow_action import FlowActionSpec
from intops_api.mapping import MappingBody, MappingSpec
from intops_api.pattern import EngineName, PatternSpec, Rule
from intops_core.defaults import whole_pattern
from intops_core.ends import mapping_facts, missing_object
from intops_core.expressions import (
    EvaluationError,
    ExpressionError,
    activation,
    compile_expression,
)
from intops_core.facts import FlowFacts, gather_flow, published
from intops_core.findings import (
    DRAFT,
    EXAMPLE,
    REFERENCE,
    SCHEMA,
    Breach,
    Finding,
    Ref,
    Severity,
    mildest,
)
from intops_core.memo import Memo
from intops_core.resources import Resource, Resources
from intops_core.rules import BY_ID, RULES
from intops_core.rules.answers import answers_in_time
from intops_core.rules.classes import class_breaches
from intops_core.rules.connectors import ConnectorFacts, settings_fit_the_class
from intops_core.rules.decisions import correction_breaches, early_approval
from intops_core.rules.exceptions import exception_breaches
from intops_core.rules.mappings import keeps_its_examples
from intops_core.rules.models import model_breaches
from intops_core.rules.patterns import ENGINE_STAGES, pattern_breaches
from intops_core.rules.policies import policy_breaches
from intops_core.rules.single_object import mark_breaches, single_object_breaches

Broken = tuple[str, Breach]
"""Id of a rule and a place where it is broken."""

_BUILT_IN = {rule.id: rule for rule in RULES}


def judge(resource: Resource, resources: Resources, *, new: bool = True) -> list[Finding]:
    """Everything that is wrong with a resource.

    Args:
        resource: The resource; it need not be among `resources`.
        resources: Everything else that is known.
        new: Whether it is being made now. What is no longer served is refused only then, and so is a
            decision that is approved already.
    """
    if isinstance(resource.spec, FlowSpec):
        return judge_flow(gather_flow(resource, resources), new=new)
    alone = _alone(resource)
    return _findings([*alone, *_not_said(alone, _by_kind(resource, resources, new))], resource.ref)


def judge_flow(facts: FlowFacts, *, new: bool = True) -> list[Finding]:
    """Everything that is wrong with a Flow whose facts are gathered.

    Rules that a Pattern lists have the severity that it says; those without which a worker could not
    run hold in any case. `spec.exceptions` turns a violation into a record.
    """
    alone = _alone(facts.flow)
    broken = [*facts.breaches, *_flow_itself(facts)]
    pattern = facts.pattern_spec
    listed = _severities(pattern) if pattern else {}
    for rule in RULES:
        if rule.flow is not None and (rule.id in listed or not rule.excusable):
            broken += [(rule.id, breach) for breach in rule.flow(facts)]
    if pattern is not None:
        broken += _own_rules(facts, pattern)
    excused = {exception.rule for exception in facts.written.exceptions}
    ref = facts.flow.ref
    findings: list[Finding] = []
    for finding in _findings([*alone, *_not_said(alone, broken)], ref, listed):
        known = BY_ID.get(finding.rule)
        may_be_excused = known is None or known.excusable
        severity = finding.severity
        if finding.rule in excused and may_be_excused:
            severity = "audit"
        elif finding.rule == "COM-01" and not new and finding.missing is None:
            severity = "warn"
        findings.append(_with_severity(finding, severity))
    return findings


def _severities(pattern: PatternSpec) -> dict[str, Severity]:
    """Severity of each rule that a Pattern lists; rules without which nothing could run keep their own."""
    found: dict[str, Severity] = {}
    for rule in pattern.rules:
        known = _BUILT_IN.get(rule.id)
        fixed = known is not None and not known.excusable
        found[rule.id] = known.severity if known is not None and fixed else rule.severity
    return found


def _with_severity(finding: Finding, severity: Severity) -> Finding:
    if finding.severity == severity:
        return finding
    return Finding(
        finding.rule, severity, finding.path, finding.message, finding.ref, finding.missing
    )


def _findings(
    broken: Iterable[Broken], ref: Ref, listed: dict[str, Severity] | None = None
) -> list[Finding]:
    """Breaches as findings, each once."""
    found: dict[tuple[str, str, str], Finding] = {}
    for rule_id, breach in broken:
        known = BY_ID.get(rule_id)
        severity = (listed or {}).get(rule_id, known.severity if known else "deny")
        severity = mildest(severity, "warn" if breach.missing else breach.at_most)
        finding = Finding(rule_id, severity, breach.path, breach.message, ref, breach.missing)
        found.setdefault((rule_id, breach.path, breach.message), finding)
    return list(found.values())


def _not_said(alone: Iterable[Broken], broken: Iterable[Broken]) -> Iterator[Broken]:
    """What is broken outside the places that the object itself breaks already.

    An API server refuses those by the schema and asks nobody else, so a second sentence about the same
    place would be one that it never says.
    """
    told = [breach.path for _, breach in alone]
    unfinished = any(rule_id == DRAFT for rule_id, _ in alone)
    for rule_id, breach in broken:
        if unfinished and rule_id == EXAMPLE:
            continue  # an example of a draft can hold only once the draft is filled in
        if not any(_within(breach.path, place) for place in told):
            yield rule_id, breach


def _within(path: str, place: str) -> bool:
    return path == place or path.startswith((f"{place}.", f"{place}["))


# Resources of a large namespace.
_ALONE: Final = Memo[tuple[Broken, ...]](4096)


def _alone(resource: Resource) -> tuple[Broken, ...]:
    return _ALONE.get(resource.digest, lambda: _itself(resource))


def _itself(resource: Resource) -> tuple[Broken, ...]:
    unfilled = [(DRAFT, breach) for breach in mark_breaches(resource)]
    shape = ((SCHEMA, breach) for breach in single_object_breaches(resource))
    return (*unfilled, *_not_said(unfilled, shape))


def _by_kind(resource: Resource, resources: Resources, new: bool) -> Iterator[Broken]:
    match resource.spec:
        case MappingSpec() as mapping:
            yield from _mapping(mapping, resource.ref.name, "spec", resource, resources)
        case ConnectorSpec() as connector:
            yield from _connector(resource.ref, connector, resources)
        case ConnectorClassSpec() as class_:
            yield from _class(resource, class_, resources)
        case CanonicalModelSpec() as model:
            yield from ((SCHEMA, breach) for breach in model_breaches(model))
        case PatternSpec() as pattern:
            yield from _pattern(resource, pattern, resources)
        case FlowActionSpec() as action:
            if new:
                yield from ((SCHEMA, breach) for breach in early_approval(action))
            flow = resources.get("Flow", resource.ref.namespace, action.flow)
            if flow is not None:
                yield from ((SCHEMA, b) for b in correction_breaches(action, flow, resources))
            else:
                ref = Ref("Flow", resource.ref.namespace, action.flow)
                why = "there is no message to decide about"
                yield REFERENCE, missing_object(ref, resources, "spec.flow", why)


def _mapping(
    body: MappingBody, name: str, at: str, carrier: Resource, resources: Resources
) -> Iterator[Broken]:
    facts, breaches = mapping_facts(
        body, name=name, at=at, digest=carrier.digest, carrier=carrier, resources=resources
    )
    yield from ((REFERENCE, breach) for breach in breaches)
    for rule in RULES:
        if rule.mapping is not None:
            yield from ((rule.id, breach) for breach in rule.mapping(facts))
    yield from ((EXAMPLE, breach) for breach in keeps_its_examples(facts))


def _connector(ref: Ref, spec: ConnectorSpec, resources: Resources) -> Iterator[Broken]:
    class_ = resources.get("ConnectorClass", "", spec.class_)
    if class_ is None:
        missing = Ref("ConnectorClass", "", spec.class_)
        why = "nobody knows how to talk to this system"
        yield REFERENCE, missing_object(missing, resources, "spec.class", why)
    known = class_.spec if class_ is not None else None
    facts = ConnectorFacts(ref, spec, known if isinstance(known, ConnectorClassSpec) else None)
    yield from ((SCHEMA, breach) for breach in settings_fit_the_class(facts))
    for rule in RULES:
        if rule.connector is not None:
            yield from ((rule.id, breach) for breach in rule.connector(facts))


def _class(resource: Resource, spec: ConnectorClassSpec, resources: Resources) -> Iterator[Broken]:
    yield from (("COM-15", breach) for breach in class_breaches(resource, spec))
    for name, body in spec.mappings.items():
        at = f"spec.mappings.{name}"
        if resource.ref.name not in (body.from_.class_, body.to.class_):
            words = (
                f'Mapping "{name}" does not concern this class, so no binding would ever use it. Write class: '
                f"{resource.ref.name} at one end, or make it a Mapping of its own."
            )
            yield SCHEMA, Breach(at, words)
        yield from _mapping(body, name, at, resource, resources)


def _pattern(resource: Resource, spec: PatternSpec, resources: Resources) -> Iterator[Broken]:
    whole = whole_pattern(resource, resources)
    for breach in pattern_breaches(resource, whole, resources, _BUILT_IN):
        yield (REFERENCE if breach.missing else SCHEMA), breach
    for name, body in spec.mappings.items():
        yield from _mapping(body, name, f"spec.mappings.{name}", resource, resources)


def _flow_itself(facts: FlowFacts) -> Iterator[Broken]:
    """What concerns the Flow and the engine, without being a rule of a Pattern."""
    yield from ((SCHEMA, breach) for breach in policy_breaches(facts.spec.errors, "spec.errors"))
    yield from ((SCHEMA, breach) for breach in answers_in_time(facts))
    pattern = facts.pattern_spec
    if pattern is not None:
        engines: tuple[EngineName, ...] = ("episodes", "reconciliation", "run")
        for engine in engines:
            if engine != pattern.engine and getattr(facts.spec, engine) is not None:
                words = (
                    f'Pattern "{facts.spec.pattern}" runs on engine {pattern.engine}, so settings of '
                    f"{engine} would do nothing. Remove them, or write {pattern.engine}."
                )
                yield SCHEMA, Breach(f"spec.{engine}", words)
        if ENGINE_STAGES[pattern.engine] is None:
            words = (
                f'Pattern "{facts.spec.pattern}" runs on engine {pattern.engine}, which this version does '
                "not have yet, so no message would move. Choose a Pattern on engine episodes."
            )
            yield REFERENCE, Breach("spec.pattern", words)
    yield from ((SCHEMA, breach) for breach in exception_breaches(facts, _BUILT_IN))


def _own_rules(facts: FlowFacts, pattern: PatternSpec) -> Iterator[Broken]:
    """Rules of the Pattern's own, in CEL over `facts`."""
    own = [rule for rule in pattern.rules if rule.when is not None]
    if not own:
        return
    scope = activation({"facts": published(facts)})
    for rule in own:
        yield from _own_rule(rule, scope, facts)


def _own_rule(rule: Rule, scope: object, facts: FlowFacts) -> Iterator[Broken]:
    path = rule.path or "spec"
    try:
        broken = compile_expression(rule.when or "", frozenset({"facts"})).evaluate(scope)  # type: ignore[arg-type]
    except ExpressionError as error:
        words = f'Rule {rule.id} of Pattern "{facts.spec.pattern}" is no expression: {error}'
        yield rule.id, Breach("spec.pattern", words, at_most="warn")
    except EvaluationError as error:
        words = (
            f'Rule {rule.id} of Pattern "{facts.spec.pattern}" could not be judged for this Flow: '
            f"{error.message} The owner of the Pattern should mend the rule."
        )
        yield rule.id, Breach("spec.pattern", words, at_most="warn")
    else:
        if broken is True:
            yield rule.id, Breach(path, rule.message or f"Rule {rule.id} is broken.")
