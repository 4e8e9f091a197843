"""What a Flow and a Pattern say together with what stands behind them.

A Pattern's defaults lie below the Flow; a Pattern that `extends` another has that one's parts too,
and may tighten but never loosen them. Used by facts, conformance and planning.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from intops_api.flow import FlowSpec
from intops_api.pattern import PatternSpec, Role, Rule, Stage
from intops_core.findings import Ref, strictest
from intops_core.resources import Resource, Resources, content_hash

# 8: nobody can hold a longer chain in mind, and a chain that never ends must end.
MAX_EXTENDS: Final = 8


@dataclass(frozen=True, slots=True)
class WholePattern:
    """A Pattern with everything that it inherits.

    Attributes:
        spec: The merged spec.
        digest: Equal for Patterns that mean the same.
        missing: The Pattern in `extends` that does not exist.
        endless: Whether the chain of `extends` comes back to itself or is too long.
        above: Patterns that it extends, the nearest first.
    """

    spec: PatternSpec
    digest: str
    missing: Ref | None = None
    endless: bool = False
    above: tuple[Resource, ...] = ()


def whole_pattern(pattern: Resource, resources: Resources) -> WholePattern:
    """A Pattern merged with those that it extends."""
    chain = [pattern]
    seen = {pattern.ref.name}
    missing: Ref | None = None
    endless = False
    name = cast("PatternSpec", pattern.spec).extends
    while name is not None:
        if name in seen or len(chain) > MAX_EXTENDS:
            endless = True
            break
        parent = resources.get("Pattern", "", name)
        if parent is None:
            missing = Ref("Pattern", "", name)
            break
        chain.append(parent)
        seen.add(name)
        name = cast("PatternSpec", parent.spec).extends
    spec = cast("PatternSpec", chain[-1].spec)
    for child in reversed(chain[:-1]):
        spec = _tightened(spec, cast("PatternSpec", child.spec))
    digest = pattern.digest if len(chain) == 1 else content_hash([one.digest for one in chain])
    return WholePattern(spec, digest, missing, endless, tuple(chain[1:]))


def _tightened(parent: PatternSpec, child: PatternSpec) -> PatternSpec:
    roles: dict[str, Role] = {role.name: role for role in parent.roles}
    roles.update({role.name: role for role in child.roles})
    rules: dict[str, Rule] = {rule.id: rule for rule in parent.rules}
    for rule in child.rules:
        above = rules.get(rule.id)
        if above is None:
            rules[rule.id] = rule
        else:  # what the parent judges stays; only how severe it is can grow
            severity = strictest(above.severity, rule.severity)
            rules[rule.id] = above.model_copy(update={"severity": severity})
    return child.model_copy(
        update={
            "roles": list(roles.values()),
            "stages": _steps(parent.stages, child.stages),
            "rules": list(rules.values()),
            "defaults": laid_over(child.defaults, parent.defaults),
            "mappings": {**parent.mappings, **child.mappings},
        }
    )


def _steps(parent: list[Stage], child: list[Stage]) -> list[Stage]:
    """Steps of both, those of the child where it puts them; what one calls mandatory is so."""
    found = list(parent)
    place = 0
    for stage in child:
        known = next((i for i, one in enumerate(found) if one.name == stage.name), None)
        if known is None:
            found.insert(place, stage)
            place += 1
        else:
            mandatory = stage.mandatory or found[known].mandatory
            found[known] = stage.model_copy(update={"mandatory": mandatory})
            place = known + 1
    return found


def laid_over(above: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """Two JSON objects as one; maps are merged, anything else of `above` wins.

    >>> laid_over({"slo": {"within": "10s"}}, {"slo": {"within": "60s", "window": "30d"}})
    {'slo': {'within': '10s', 'window': '30d'}}
    """
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        both = isinstance(value, Mapping) and isinstance(under, Mapping)
        merged[name] = laid_over(value, under) if both and under is not None else value
    return merged


def effective_flow(flow: FlowSpec, pattern: PatternSpec | None) -> FlowSpec:
    """A Flow with the Pattern's defaults below it.

    Raises:
        pydantic.ValidationError: the defaults do not fit a Flow; the Pattern is to blame.
    """
    if pattern is None or not pattern.defaults:
        return flow
    # exclude_unset: what the Flow does not say must not hide what the Pattern says.
    own = flow.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
    return FlowSpec.model_validate(laid_over(own, pattern.defaults), by_alias=True, by_name=False)


def engine_settings(flow: FlowSpec, engine: str) -> dict[str, Any]:
    """Settings of the Pattern's engine; an engine without a field of its own has none."""
    settings: dict[str, Any] | None = getattr(flow, engine, None)
    return dict(settings or {})
