"""What every Mapping is judged by: its ends, paths, expressions, tables and meanings.

Used by the registry; a Mapping is judged the same way whether it stands alone or is carried by a
ConnectorClass or a Pattern.
"""

import re
from collections.abc import Iterator
from typing import Final

from intops_api.common import FieldSchema
from intops_api.mapping import FieldRule
from intops_core.ends import MappingFacts, filled_fields
from intops_core.findings import Breach
from intops_core.mapping import CompiledMapping, MappingError, compile_mapping
from intops_core.mapping_checks import MappingProblem, check_mapping, contradictions
from intops_core.mapping_examples import run_examples
from intops_core.memo import Memo
from intops_core.typed import Record

# 20: "Copies the field over." says nothing and has 22; shorter texts never say more.
SHORTEST_MEANING: Final = 20
# Words that add nothing to the names of the two fields.
_EMPTY_WORDS: Final = frozenset(
    """
    a an and are as be by copied copies copy field fields filled fills for from gets goes in into is it
    its map mapped mapping maps of on or our set sets source stays taken takes target that the their this
    to transform transforms translate translated translates value values with
    """.split()  # noqa: SIM905 - words are easier to read than a list of texts
)


# Mappings of a few thousand Flows, with those of the shipped classes.
_JUDGED: Final = Memo[tuple[MappingProblem, ...]](4096)
_RUN: Final = Memo[tuple[Breach, ...]](4096)


def goes_through_a_model(facts: MappingFacts) -> Iterator[Breach]:
    """COM-04: one end at least is a canonical model."""
    if not facts.goes_between_systems:
        return
    from_, to = facts.body.from_.class_, facts.body.to.class_
    yield Breach(
        f"{facts.at}.to",
        f'Mapping "{facts.name}" goes directly from {from_} to {to}. Flows must pass through a canonical '
        f"model so that either system can be replaced. Split it into {from_} → model and model → {to}.",
    )


def fills_what_is_required(facts: MappingFacts) -> Iterator[Breach]:
    """COM-05: every required field of the result has a rule, whatever the variant."""
    if facts.target is None:
        return
    required = _required(facts.target)
    ruled = {rule.to for rule in facts.body.fields}
    always = filled_fields(facts.body)
    for path in required:
        if _is_made(path, always, facts.target):
            continue
        reach, repair = (
            ("has a rule for it in some variants only", "Leave variants out of a rule for it")
            if _is_made(path, ruled, facts.target)
            else ("has no rule for it", "Add a rule with from, cel or default")
        )
        schema = facts.target.fields[path]
        sense = f" ({schema.meaning.rstrip('.')})" if schema.meaning else ""
        yield Breach(
            f"{facts.at}.fields",
            f'{_target_label(facts)} requires "{path}"{sense}, but Mapping "{facts.name}" {reach}. Every '
            f"message would wait for a person. {repair}.",
        )


def has_a_place_for_every_value(facts: MappingFacts) -> Iterator[Breach]:
    """COM-06: tables cover what may come in, or say what happens else, and hold what fits."""
    for index, rule in enumerate(facts.body.fields):
        place = f"{facts.at}.fields[{index}]"
        if facts.source is not None:
            yield from _uncovered(rule, place, facts.source, facts.target, facts.name)
    for problem in _problems(facts):
        if _is_about_values(problem):
            yield Breach(problem.path, problem.message)


def says_what_it_means(facts: MappingFacts) -> Iterator[Breach]:
    """COM-13: each rule says in business terms why the value is right."""
    for index, rule in enumerate(facts.body.fields):
        meaning = rule.meaning.strip()
        short = len(meaning) < SHORTEST_MEANING
        if not short and not _says_nothing(rule):
            continue
        fault = (
            f"in {len(meaning)} characters, which is too short to say why"
            if short
            else "with the names of its fields only"
        )
        yield Breach(
            f"{facts.at}.fields[{index}].meaning",
            f'The rule for "{rule.to}" explains itself {fault}. Whoever changes it later must know what it '
            "is for. Say what it means for the business in 20 characters or more, such as "
            '"A page wakes somebody up, so it is what the desk calls critical."',
        )


def compiles_and_fits(facts: MappingFacts) -> Iterator[Breach]:
    """COM-15: expressions compile, paths exist, types agree."""
    for problem in _problems(facts):
        if not _is_about_values(problem) and not _is_about_required(problem, facts):
            yield Breach(problem.path, problem.message)


def keeps_its_examples(facts: MappingFacts) -> tuple[Breach, ...]:
    """The examples of a Mapping that is otherwise sound: what differs, each with its place."""
    return _RUN.get(facts.key, lambda: _example_breaches(facts))


def _problems(facts: MappingFacts) -> tuple[MappingProblem, ...]:
    return _JUDGED.get(facts.key, lambda: _checked(facts))


def _checked(facts: MappingFacts) -> tuple[MappingProblem, ...]:
    if facts.source is None or facts.target is None:
        return tuple(contradictions(facts.body, at=facts.at))
    problems = check_mapping(
        facts.body,
        facts.name,
        source=facts.source,
        target=facts.target,
        payload=facts.payload,
        source_name=facts.source_name,
        at=facts.at,
    )
    if not problems:
        try:
            _compiled(facts, facts.target)
        except MappingError as error:
            problems = list(error.problems)
    return tuple(problems)


def _example_breaches(facts: MappingFacts) -> tuple[Breach, ...]:
    if facts.source is None or facts.target is None or not facts.body.examples:
        return ()
    if any(not _is_about_required(problem, facts) for problem in _problems(facts)):
        return ()  # they would only repeat in other words what is wrong in the rules
    compiled = _compiled(facts, facts.target)
    return tuple(
        Breach(
            result.path,
            f'Example "{result.name}" does not hold: {result.message} Mend the rule or the example.',
        )
        for result in run_examples(compiled, facts.body)
        if not result.ok
    )


def _compiled(facts: MappingFacts, target: Record) -> CompiledMapping:
    return compile_mapping(
        facts.body, name=facts.name, target=target, source_name=facts.source_name, at=facts.at
    )


def _is_about_values(problem: MappingProblem) -> bool:
    return ".values[" in problem.path or problem.path.endswith(".default")


def _is_about_required(problem: MappingProblem, facts: MappingFacts) -> bool:
    return problem.path == f"{facts.at}.fields"


def _required(record: Record) -> list[str]:
    return [path for path, schema in record.fields.items() if schema.required]


def _is_made(path: str, ruled: set[str] | frozenset[str], target: Record) -> bool:
    """Whether a rule writes the field itself, a map that holds it, or something within it."""
    if path in ruled or any(to.startswith(f"{path}.") for to in ruled):
        return True
    return any(
        path.startswith(f"{to}.") and to in target.fields and target.fields[to].type == "map"
        for to in ruled
    )


def _target_label(facts: MappingFacts) -> str:
    end = facts.body.to
    if end.model is not None:
        return f"Model {end.model}/{end.version}"
    return f'Class "{end.class_}" (object "{end.object}")'


def _uncovered(
    rule: FieldRule, place: str, source: Record, target: Record | None, name: str
) -> Iterator[Breach]:
    if rule.values:
        if rule.on_unmapped is None:
            yield from _open_table(rule, place, source, name)
        return
    schema = _schema(target, rule.to) if target is not None else None
    if schema is None or not schema.enum or schema.discovered or rule.cel is not None:
        return
    for path in rule.from_:
        given = _schema(source, path)
        lacking = [v for v in (given.enum if given else []) if v not in schema.enum]
        if lacking:
            yield Breach(
                f"{place}.values",
                f'"{path}" may be {_listing(lacking)}, which "{rule.to}" cannot be. Such messages would '
                "wait for a person one by one. Add a table (values) that says what each becomes.",
            )


def _open_table(rule: FieldRule, place: str, source: Record, name: str) -> Iterator[Breach]:
    schemas = [_schema(source, path) for path in rule.from_]
    closed = [s for s in schemas if s is not None and s.enum and not s.discovered]
    if schemas and len(closed) == len(schemas):
        values = list(dict.fromkeys(value for schema in closed for value in schema.enum))
        lacking = [value for value in values if value not in rule.values]
        if not lacking:
            return
        what = f"no entry for {_listing(lacking)}, which may come in"
        repair = f'Add "{lacking[0]}: …"'
    elif "unknown" not in rule.values:
        what = 'no entry for "unknown", and does not say what happens to a value that it lacks'
        repair = 'Add "unknown: …"'
    else:
        what = "no word about values that it lacks, although any may come in"
        repair = "Write what is to happen"
    yield Breach(
        f"{place}.values",
        f'The table of "{rule.to}" in Mapping "{name}" has {what}. Such messages would stop without '
        f"anybody having decided so. {repair}, or set onUnmapped: review, reject or default.",
    )


def _schema(record: Record, path: str) -> FieldSchema | None:
    try:
        return record.schema(path)
    except ValueError:
        return None


def _listing(values: list[str]) -> str:
    return ", ".join(f'"{value}"' for value in values[:6]) + (" and others" * (len(values) > 6))


def _says_nothing(rule: FieldRule) -> bool:
    names = " ".join([rule.to, *rule.from_])
    parts = {part.lower() for part in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", names)}
    words = {
        word.lower()
        for word in re.findall(r"[^\W_]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", rule.meaning))
    }
    return not (words - _EMPTY_WORDS - parts - {part + "s" for part in parts})
