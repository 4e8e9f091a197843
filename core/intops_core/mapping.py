"""The mapping engine: turns an object of a system into a record of a model, and back, by rules.

Used by the worker for every message, and by admission and the command line for examples. A Mapping
is compiled once; applying it never raises, never guesses and never cuts off: what cannot be mapped
comes back as `Unmapped` with the field and a sentence for the person who decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from intops_api.mapping import MappingBody
from intops_core.expressions import EvaluationError, ExpressionError, Program, compile_expression
from intops_core.mapping_checks import (
    MappingError,
    MappingProblem,
    contradictions,
    variable_names,
)
from intops_core.mapping_forms import RuleForm, rule_form
from intops_core.mapping_rules import Rule, Step, compile_rule
from intops_core.mapping_run import LeftOut, Outcome, RefusedError, Run
from intops_core.typed import Record

__all__ = [
    "CompiledMapping",
    "LeftOut",
    "Mapped",
    "MappingError",
    "MappingProblem",
    "Outcome",
    "Source",
    "Step",
    "Unmapped",
    "compile_mapping",
]


@dataclass(frozen=True, slots=True)
class Source:
    """One message as it comes in.

    Attributes:
        object: The item that is mapped, or the canonical record.
        payload: The whole payload that the item was split from; None for a canonical record.
        headers: Headers of the request.
        now: The moment of mapping, RFC 3339 in UTC.
    """

    object: Any
    payload: Any
    headers: Mapping[str, str]
    now: str


@dataclass(frozen=True, slots=True)
class Mapped:
    """The result.

    Attributes:
        record: Nested JSON object.
        variant: Form that was recognised; None where the Mapping knows no forms.
        source_values: Original of every value that a table translated, by path in the result.
        steps: One for each rule, only when asked for.
        left_out: Fields with `onUnmapped: continue` whose value the table lacks; a person must look.
    """

    record: dict[str, Any]
    variant: str | None
    source_values: dict[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True)
class Unmapped:
    """Why there is no result.

    Attributes:
        outcome: review (a person decides), reject (refused), drift (an unknown form).
        path: Field of the result, or `variants`.
        message: What is wrong and what to do, with the path of the rule.
        record: What was mapped before.
    """

    outcome: Outcome
    path: str
    message: str
    record: dict[str, Any]
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class CompiledMapping:
    """A Mapping ready to run. Thread-safe."""

    name: str
    source_name: str
    at: str
    _variants: tuple[tuple[str, Program], ...] = field(repr=False)
    _rules: tuple[tuple[Rule, RuleForm], ...] = field(repr=False)

    def apply(self, source: Source, *, explain: bool = False) -> Mapped | Unmapped:
        """Map one message. Never raises for JSON input; nothing of the source is shared or changed.

        Args:
            source: The message.
            explain: Whether to tell for each rule what it did.
        """
        run = Run(self._names(source))
        variant = self._recognise(run)
        if variant is None and self._variants:
            known = ", ".join(name for name, _ in self._variants)
            message = (
                f'The payload has none of the forms that Mapping "{self.name}" knows ({known}). '
                f"Look whether the sender was upgraded, and add a form to {self.at}.variants."
            )
            return Unmapped("drift", "variants", message, {})
        record: dict[str, Any] = {}
        source_values: dict[str, Any] = {}
        steps: list[Step] | None = [] if explain else None
        for rule, form in self._rules:
            if rule.variants and variant not in rule.variants:
                continue
            try:
                if steps is None:
                    form(run, record, source_values)
                else:
                    rule.apply(run, record, source_values, steps)
            except RefusedError as refused:
                return Unmapped(
                    refused.outcome, rule.rule.to, refused.message, record, tuple(steps or ())
                )
        return Mapped(record, variant, source_values, tuple(steps or ()), run.left_out)

    def _names(self, source: Source) -> dict[str, Any]:
        if self.source_name == "object":
            return {
                "object": source.object,
                "payload": source.payload,
                "headers": dict(source.headers),
                "now": source.now,
            }
        return {self.source_name: source.object, "now": source.now}

    def _recognise(self, run: Run) -> str | None:
        for name, program in self._variants:
            try:
                if run.evaluate(program) is True:
                    return name
            except EvaluationError:
                continue  # a form whose fields are not there is another form
        return None


def compile_mapping(
    body: MappingBody, *, name: str, target: Record, source_name: str, at: str = "spec"
) -> CompiledMapping:
    """Make a Mapping ready to run.

    Args:
        body: The rules.
        name: Name of the Mapping, for messages.
        target: What the result may hold; unknown paths are taken as they come (`check_mapping`
            refuses them).
        source_name: `object` for an object of a system, else the name of the model.
        at: Path of the body in its manifest, for messages.

    Raises:
        MappingError: an expression does not compile, or a rule contradicts itself.
    """
    problems = list(contradictions(body, at=at))
    names = variable_names(source_name)
    variants: list[tuple[str, Program]] = []
    rules: list[Rule] = []
    for index, variant in enumerate(body.variants):
        try:
            variants.append((variant.name, compile_expression(variant.when, names)))
        except ExpressionError as error:
            problems.append(MappingProblem(f"{at}.variants[{index}].when", str(error)))
    for index, rule in enumerate(body.fields):
        path = f"{at}.fields[{index}]"
        try:
            rules.append(compile_rule(rule, path, target, source_name, names))
        except ExpressionError as error:
            problems.append(MappingProblem(f"{path}.cel", str(error)))
        except ValueError as error:
            problems.append(MappingProblem(path, str(error)))
    if problems:
        raise MappingError(name, tuple(problems))
    forms = tuple((rule, rule_form(rule)) for rule in rules)
    return CompiledMapping(name, source_name, at, tuple(variants), forms)
