"""Which Patterns list a rule, and how severe it is there. Used by `intops explain rule` and the reference."""

from dataclasses import dataclass

from intops_api.pattern import PatternSpec, Rule
from intops_core.defaults import whole_pattern
from intops_core.resources import Resources


@dataclass(frozen=True, slots=True)
class Listed:
    """A rule as one Pattern lists it, by itself or because it extends another that does."""

    pattern: str
    rule: Rule


def listed_rules(resources: Resources) -> dict[str, list[Listed]]:
    """Rule id → the Patterns that list it, by name."""
    found: dict[str, list[Listed]] = {}
    for resource in sorted(resources.all("Pattern", None), key=lambda one: one.ref.name):
        if isinstance(resource.spec, PatternSpec):
            for rule in whole_pattern(resource, resources).spec.rules:
                found.setdefault(rule.id, []).append(Listed(resource.ref.name, rule))
    return found
