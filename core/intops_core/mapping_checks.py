"""What is wrong in a Mapping before any message comes: contradictions, paths, types, tables.

Used by `mapping` when it compiles (contradictions), and by conformance at admission (everything).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from intops_api.common import FieldSchema
from intops_api.mapping import FieldRule, MappingBody, Variant
from intops_core.coercion import CoercionError, coercer, shown, text_of
from intops_core.expression_errors import did_you_mean
from intops_core.expressions import ExpressionError, check_expression, expression_type
from intops_core.typed import Record, VarType

SYSTEM_NAMES: Final = frozenset({"object", "payload", "headers", "now"})


@dataclass(frozen=True, slots=True)
class MappingProblem:
    """One thing that is wrong in a Mapping: where (`spec.fields[3].cel`) and what to write."""

    path: str
    message: str


class MappingError(Exception):
    """A Mapping cannot be compiled; all its problems at once."""

    def __init__(self, name: str, problems: tuple[MappingProblem, ...]) -> None:
        listing = "; ".join(f"{problem.path}: {problem.message}" for problem in problems)
        super().__init__(f'Mapping "{name}": {listing}')
        self.problems = problems


def variable_names(source_name: str) -> frozenset[str]:
    """Names that the expressions of a Mapping may use."""
    return SYSTEM_NAMES if source_name == "object" else frozenset({source_name, "now"})


def contradictions(body: MappingBody, *, at: str = "spec") -> list[MappingProblem]:
    """Rules that cannot be meant as they stand, found without any schema."""
    problems: list[MappingProblem] = []
    known = [variant.name for variant in body.variants]
    for index, name in enumerate(known):
        if name in known[:index]:
            message = f'The name "{name}" is given twice; give each form a name of its own.'
            problems.append(MappingProblem(f"{at}.variants[{index}].name", message))
    earlier: list[FieldRule] = []
    for index, rule in enumerate(body.fields):
        path = f"{at}.fields[{index}]"
        problems += [MappingProblem(path + place, words) for place, words in _of_rule(rule, known)]
        if rule.on_unmapped == "continue" and body.from_.class_ is None:
            message = (
                '"onUnmapped: continue" is for values that a system sends; between models and on the way '
                "to a system nobody could be asked afterwards. Write review, reject or default."
            )
            problems.append(MappingProblem(f"{path}.onUnmapped", message))
        for other in earlier:
            if not _may_meet(rule, other):
                continue
            if other.to == rule.to:
                message = f'"{rule.to}" has two rules; merge them, or limit each to other variants.'
                problems.append(MappingProblem(f"{path}.to", message))
            elif other.to.startswith(f"{rule.to}."):
                message = (
                    f'"{rule.to}" would overwrite "{other.to}"; put this rule before that one.'
                )
                problems.append(MappingProblem(f"{path}.to", message))
        earlier.append(rule)
    return problems


def _of_rule(rule: FieldRule, known: list[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if rule.cel is not None and rule.from_:
        found.append((".cel", 'A rule has "from" or "cel", not both; remove one.'))
    if rule.cel is None and not rule.from_ and rule.default is None:
        found.append(("", 'The rule gives no value; add "from", "cel" or "default".'))
    if rule.on_unmapped is not None and not rule.values:
        found.append((".onUnmapped", '"onUnmapped" needs a table; add "values" or remove it.'))
    if rule.on_unmapped == "default" and rule.default is None:
        found.append((".onUnmapped", '"onUnmapped: default" needs a "default"; add it.'))
    found += [
        (".variants", f'There is no variant "{name}"; known: {", ".join(known) or "none"}.')
        for name in rule.variants
        if name not in known
    ]
    return found


def _may_meet(rule: FieldRule, other: FieldRule) -> bool:
    return not rule.variants or not other.variants or bool(set(rule.variants) & set(other.variants))


# What a field of a type takes from an expression or a field of another, before tolerant reading has
# seen a value: only what can be right. A single value and a list of one stand for each other.
_SCALARS: Final = frozenset({"string", "integer", "number", "boolean", "time"})
_TAKES: Final[dict[str, frozenset[str]]] = {
    "string": _SCALARS,
    "time": frozenset({"string", "integer", "number", "time"}),
    "integer": frozenset({"integer", "number", "string"}),
    "number": frozenset({"integer", "number", "string"}),
    "boolean": frozenset({"boolean", "string"}),
    "list": _SCALARS | {"list", "map"},
    "map": frozenset({"map"}),
}


@dataclass(frozen=True, slots=True)
class _Ends:
    """Both ends of the Mapping that is checked."""

    source: Record
    target: Record
    variables: Mapping[str, Record | VarType]
    source_name: str


def check_mapping(
    body: MappingBody,
    name: str,
    *,
    source: Record,
    target: Record,
    payload: Record | None,
    source_name: str,
    at: str = "spec",
) -> list[MappingProblem]:
    """Everything that is wrong in a Mapping, against the fields of both its ends.

    Args:
        body: The rules.
        name: Name of the Mapping, for messages.
        source: Fields of the object or model that is read.
        target: Fields of the object or model that is written.
        payload: Fields around the object; None where nothing is known of them.
        source_name: `object` for an object of a system, else the name of the model.
        at: Path of the body in its manifest; begins the paths of the problems.
    """
    variables: dict[str, Record | VarType] = {source_name: source, "now": "time"}
    if source_name == "object":
        variables |= {"payload": "any" if payload is None else payload, "headers": "map"}
    ends = _Ends(source, target, variables, source_name)
    problems = contradictions(body, at=at)
    problems += _of_variants(body.variants, ends, at)
    for index, rule in enumerate(body.fields):
        path = f"{at}.fields[{index}]"
        problems += [MappingProblem(path + place, words) for place, words in _fits(rule, ends)]
    ruled = {rule.to for rule in body.fields}
    for required, schema in target.fields.items():
        if (
            schema.required
            and required not in ruled
            and not _made_by_parent(required, ruled, target)
        ):
            message = f'Mapping "{name}" has no rule for "{required}", which is required; add one.'
            problems.append(MappingProblem(f"{at}.fields", message))
    return problems


def _made_by_parent(path: str, ruled: set[str], target: Record) -> bool:
    """Whether a rule writes the map that holds this entry."""
    return any(
        path.startswith(f"{to}.") and to in target.fields and target.fields[to].type == "map"
        for to in ruled
    )


def _of_variants(variants: list[Variant], ends: _Ends, at: str) -> Iterator[MappingProblem]:
    seen: dict[str, str] = {}
    for index, variant in enumerate(variants):
        path = f"{at}.variants[{index}].when"
        try:
            check_expression(variant.when, ends.variables, expects="boolean")
        except ExpressionError as error:
            yield MappingProblem(path, str(error))
        text = "".join(variant.when.split())
        for before, first in seen.items():
            if before in ("true", text):
                message = (
                    f'The form "{variant.name}" is never reached: "{first}" comes before it and is '
                    "true whenever this one is. Put it first, or make its condition narrower."
                )
                yield MappingProblem(path, message)
                break
        seen.setdefault(text, variant.name)


def _fits(rule: FieldRule, ends: _Ends) -> Iterator[tuple[str, str]]:
    """Problems of one rule: the place within it, and a sentence."""
    try:
        target = ends.target.schema(rule.to)
    except ValueError as error:
        yield ".to", str(error)
        return
    if target is None:
        hint = did_you_mean(rule.to, ends.target.fields)
        yield ".to", f'The target has no field "{rule.to}".{hint}'
    for position, path in enumerate(rule.from_):
        place = ".from" if len(rule.from_) == 1 else f".from[{position}]"
        words = _of_path(path, rule, ends, target)
        if words:
            yield place, words
    if rule.cel is not None:
        try:
            found = expression_type(rule.cel, ends.variables)
            words = _mismatch(found, rule, target, "The expression gives")
            if words:
                yield ".cel", words
        except ExpressionError as error:
            yield ".cel", str(error)
    if target is not None:
        yield from _of_values(rule, target)
        if rule.on_unmapped == "continue" and target.required and rule.default is None:
            words = (
                f'"{rule.to}" is required, so the rest cannot go on without it. Write what stands there '
                "until a person has decided (default), or onUnmapped: review."
            )
            yield ".onUnmapped", words


def _of_path(path: str, rule: FieldRule, ends: _Ends, target: FieldSchema | None) -> str:
    try:
        found = ends.source.schema(path)
    except ValueError as error:
        return str(error)
    if found is None:
        hint = did_you_mean(path, ends.source.fields)
        return f'The source ("{ends.source_name}") has no field "{path}".{hint}'
    return _mismatch(found.type, rule, target, f'"{path}" is')


def _mismatch(found: str, rule: FieldRule, target: FieldSchema | None, subject: str) -> str:
    if found == "any":
        return ""
    if rule.values:
        if found in ("map", "list"):
            return f"{subject} a {found}; a table translates single values. Take one value of it."
        return ""
    if target is None or target.type == "any" or found in _TAKES[target.type]:
        return ""
    if found == "list" and target.type in _SCALARS and rule.cel is None:
        return ""  # a list of one may stand for its value; a longer one goes to review
    article = "an" if found[0] in "aeiou" else "a"
    wanted = "an" if target.type[0] in "aeiou" else "a"
    return f'{subject} {article} {found}, and "{rule.to}" holds {wanted} {target.type}.'


def _of_values(rule: FieldRule, target: FieldSchema) -> Iterator[tuple[str, str]]:
    """Values that the rule itself writes down must be values that the field takes."""
    written: list[tuple[str, Any]] = [(f".values[{key}]", v) for key, v in rule.values.items()]
    if rule.default is not None:
        written.append((".default", rule.default))
    coerce = coercer(target)
    for place, value in written:
        if value is None:
            continue
        try:
            result = coerce(value)
        except CoercionError as error:
            yield place, f'"{rule.to}" {error}.'
            continue
        if not target.enum or target.discovered:
            continue
        for one in result if isinstance(result, list) else [result]:
            if text_of(one) not in target.enum:
                hint = did_you_mean(text_of(one), target.enum)
                allowed = ", ".join(target.enum)
                yield place, f'"{rule.to}" cannot be {shown(one)}; allowed: {allowed}.{hint}'
