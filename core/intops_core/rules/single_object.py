"""The rules that the API server itself checks, for those who judge without one.

They stand with the kinds (`intops_api.rules`) and are part of the CRDs; conformance runs them so that
the command line refuses what a cluster refuses.
"""

from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from typing import Final

from pydantic import BaseModel

from intops_api.flow import FlowSpec, RuleException
from intops_api.kinds import BY_NAME
from intops_api.mapping import Variant
from intops_api.rules import LIST_KEYS, judgeable
from intops_core.drafts.marks import marks
from intops_core.expressions import (
    EvaluationError,
    ExpressionError,
    Program,
    activation,
    compile_expression,
)
from intops_core.findings import Breach
from intops_core.resources import Resource, canonical_json

# What a member of etcd takes at once, unless it is told otherwise.
_LARGEST: Final = 1536 * 1024
_SELF: Final = frozenset({"self"})
_DAYS: Final[dict[type[BaseModel], tuple[str, ...]]] = {
    FlowSpec: ("review_by",),
    RuleException: ("until",),
    Variant: ("sunset",),
}


def mark_breaches(resource: Resource) -> Iterator[Breach]:
    """Fields that a draft left to a person, and that nobody has filled yet."""
    for path, words in marks(resource.raw.get("spec", {}), "spec"):
        yield Breach(path, words)


def single_object_breaches(resource: Resource) -> Iterator[Breach]:
    """Rules of the CRD that this object breaks, whatever else exists."""
    root = {
        "metadata": {"name": resource.ref.name, "namespace": resource.ref.namespace},
        "spec": resource.raw.get("spec", {}),
    }
    judged = [
        (rule.field.removeprefix("."), rule, root) for rule in BY_NAME[resource.ref.kind].rules
    ]
    for path, rule, own in [*judged, *judgeable(resource.spec, "spec")]:
        if not rule.compares_with_before and not _holds(_program(rule.rule), own):
            yield Breach(path, rule.message)
    yield from _shapes(resource.spec, "spec")
    size = len(canonical_json(resource.raw.get("spec", {})).encode("utf-8", "surrogatepass"))
    if size > _LARGEST:
        words = (
            f"The object has {size} bytes, and a cluster keeps at most {_LARGEST} of one; shorten its "
            "longest texts or examples, or divide it."
        )
        yield Breach("spec", words)


def _shapes(value: object, path: str) -> Iterator[Breach]:
    """What the API server checks by the schema alone: keys of lists, and days of the calendar."""
    if isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            below, place = getattr(value, name), f"{path}.{info.alias or name}"
            if name in _DAYS.get(type(value), ()) and isinstance(below, str) and not _is_day(below):
                yield Breach(place, f'"{below}" is no day of the calendar; write one that exists.')
            yield from _shapes(below, place)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _shapes(item, f"{path}.{key}")
    elif isinstance(value, list):
        seen: set[str] = set()
        for index, item in enumerate(value):
            key = LIST_KEYS.get(type(item), "")
            identity = str(getattr(item, key)) if key else ""
            if key and identity in seen:
                words = (
                    f'The {key} "{identity}" is given twice, so nobody could tell which is meant; '
                )
                yield Breach(f"{path}[{index}].{key}", f"{words}give each a {key} of its own.")
            seen.add(identity)
            yield from _shapes(item, f"{path}[{index}]")


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=256)
def _program(rule: str) -> Program | None:
    try:
        return compile_expression(rule, _SELF)
    except ExpressionError:
        return None  # a function that only the API server has; it is checked there


def _holds(program: Program | None, own: object) -> bool:
    if program is None:
        return True
    try:
        return program.evaluate(activation({"self": own})) is not False
    except EvaluationError:
        return True  # the shape is refused elsewhere, with a better sentence
