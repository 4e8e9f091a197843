"""Runs the examples of a Mapping and says in one sentence what differs.

Used at admission, by `intops test` and after every upgrade.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from intops_api.mapping import MappingBody, MappingExample
from intops_core.coercion import shown
from intops_core.mapping import CompiledMapping, Mapped, Source
from intops_core.records import ABSENT

# Examples say what happens at this moment, so that their outcome never depends on the day.
EXAMPLE_NOW: Final = "2026-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class ExampleResult:
    """How one example ended.

    Attributes:
        name: Name of the example.
        ok: Whether it holds.
        message: What differs; empty where it holds.
        path: Place in the manifest, such as `spec.examples[1].output.severity`.
    """

    name: str
    ok: bool
    message: str
    path: str


def run_examples(
    compiled: CompiledMapping,
    body: MappingBody,
    *,
    clock: Callable[[], float] | None = None,
    budget_s: float = 1.0,
    limit: int = 50,
    now: str = EXAMPLE_NOW,
) -> list[ExampleResult]:
    """Run the examples of a Mapping, one result each.

    Args:
        compiled: The Mapping, compiled.
        body: The same Mapping, with its examples.
        clock: Seconds from any fixed point; without it there is no time limit.
        budget_s: Seconds for all examples together.
        limit: Most examples that are run.
        now: Value of `now` in expressions.
    """
    start = clock() if clock is not None else 0.0
    results: list[ExampleResult] = []
    for index, example in enumerate(body.examples):
        path = f"{compiled.at}.examples[{index}]"
        if index >= limit:
            words = f"Not run: at most {limit} examples are run. Remove some."
        elif clock is not None and clock() - start > budget_s:
            words = f"Not run: all examples together may take {budget_s:g} s. Remove some."
        else:
            results.append(_run(compiled, example, path, now))
            continue
        results.append(ExampleResult(example.name, False, words, path))
    return results


def first_difference(expected: Any, actual: Any, path: str = "") -> tuple[str, str] | None:
    """The first place where `actual` lacks something that `expected` has, and a sentence.

    Fields that `expected` does not name are not compared; null means that the field is not set.
    Lists are compared element by element and must be equally long.
    """
    if expected is None:
        return (
            None if actual is None or actual is ABSENT else (path, f"is {_say(actual)}, not absent")
        )
    if actual is ABSENT:
        return path, f"is absent, not {_say(expected)}"
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return path, f"is {_say(actual)}, not an object"
        for name, value in expected.items():
            below = f"{path}.{name}" if path else name
            found = first_difference(value, actual.get(name, ABSENT), below)
            if found:
                return found
        return None
    if isinstance(expected, list):
        if not isinstance(actual, list) or len(actual) != len(expected):
            return path, f"is {_say(actual)}, not {_say(expected)}"
        for position, (one, other) in enumerate(zip(expected, actual, strict=True)):
            found = first_difference(one, other, f"{path}[{position}]")
            if found:
                return found
        return None
    same = expected == actual and isinstance(expected, bool) == isinstance(actual, bool)
    return None if same else (path, f"is {_say(actual)}, not {_say(expected)}")


def _say(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else f"the number {value}"
    return shown(value)


def _run(compiled: CompiledMapping, example: MappingExample, path: str, now: str) -> ExampleResult:
    payload = example.input if example.payload is None else example.payload
    result = compiled.apply(Source(example.input, payload, example.headers, now))
    if not isinstance(result, Mapped):
        if example.outcome == result.outcome:
            return ExampleResult(example.name, True, "", path)
        words = f"Ends in {result.outcome}, not {example.outcome}: {result.message}"
        return ExampleResult(example.name, False, words, f"{path}.outcome")
    if example.outcome != "mapped":
        words = f"Is mapped, and the example says {example.outcome}."
        return ExampleResult(example.name, False, words, f"{path}.outcome")
    if example.variant is not None and example.variant != result.variant:
        words = f'Is recognised as "{result.variant or "no variant"}", not "{example.variant}".'
        return ExampleResult(example.name, False, words, f"{path}.variant")
    found = first_difference(example.output, result.record) if example.output is not None else None
    if found is None:
        return ExampleResult(example.name, True, "", path)
    place, words = found
    named = f'"{place}" {words}.' if place else f"The result {words}."
    return ExampleResult(example.name, False, named, f"{path}.output{'.' * bool(place)}{place}")
