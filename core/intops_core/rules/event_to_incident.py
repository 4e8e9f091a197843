"""Rules of the Pattern event-to-incident: a recovery finds its incident, and every alert goes somewhere.

Used by the registry. A Pattern of one's own may list them too.
"""

import re
from collections.abc import Iterator
from typing import Final

from intops_api.common import duration_s
from intops_core.ends import filled_fields
from intops_core.facts import BoundSystem, FlowFacts
from intops_core.findings import Breach, suggestion
from intops_core.routing import Unreachable, always_matches, comparisons, unreachable_routes
from intops_core.rules.rule import BuiltInRule

_LOOKUP: Final = "lookupByCorrelation"
_KEY: Final = "correlationKey"
# 100: the length of correlation keys (design: Keys).
_KEY_LENGTH: Final = 100

_LONGEST_LOOKUP_S: Final = 3.0
_TELLS_OUTBREAKS: Final = frozenset(
    {"deliveryId", "completes", "identityKey", "episodeKey", "state", "startsAt", "endsAt"}
)

_WITHOUT: Final = {
    "identityKey": "nobody could tell that the same condition came back",
    "episodeKey": "a recovery cannot find the incident it belongs to",
    "state": "a recovery could not be told from an alert",
    "severity": "nobody could tell how bad it is",
    "startsAt": "nobody could tell which of two outbreaks is meant",
}


def sources_fill_the_event(facts: FlowFacts) -> Iterator[Breach]:
    """E2I-01: every source Mapping yields what tells outbreaks apart."""
    for system in facts.of_role("in"):
        if system.mapping is None or system.mapping.body.to.class_ is not None:
            continue  # a Mapping that leads elsewhere is refused by COM-04
        filled = filled_fields(system.mapping.body)
        lacking = [name for name in _WITHOUT if name not in filled]
        for name in lacking:
            yield Breach(
                system.mapping_path,
                f'Mapping "{system.mapping.name}" does not fill {name}. '
                f"Without it {_WITHOUT[name]}. Add a rule with to: {name} to the Mapping.",
            )


def targets_can_be_searched(facts: FlowFacts) -> Iterator[Breach]:
    """E2I-02: the correlation key is written where the target finds it again."""
    for system in facts.of_role("out"):
        if system.mapping is None or system.class_spec is None:
            continue
        if _LOOKUP not in system.class_spec.operations:
            yield Breach(
                f"{system.path}.connector",
                f'"{system.binding.name}" cannot be asked for a record by its key, because its class has no '
                f"operation {_LOOKUP}. After a timeout nobody could tell whether the incident was made. "
                "Add the operation to the class.",
            )
        words = _key_problem(system)
        if words:
            yield Breach(system.mapping_path, words)


def _key_problem(system: BoundSystem) -> str:
    if system.mapping is None or system.class_spec is None:
        return ""
    body = system.mapping.body
    schema = system.class_spec.objects.get(body.to.object or "")
    if schema is None:
        return ""
    searchable = {
        path: field.max_length for path, field in schema.fields.items() if field.searchable
    }
    roomy = [p for p, length in searchable.items() if length is None or length >= _KEY_LENGTH]
    advice = (
        f"Use {' or '.join(roomy)}." if roomy else "Mark such a field as searchable in the class."
    )
    name = body.from_.model or ""
    writes = re.compile(rf"\b{re.escape(name)}\s*\.\s*{_KEY}\b")
    rules = [r for r in body.fields if r.from_ == [_KEY] or (r.cel and writes.search(r.cel))]
    good = [rule for rule in rules if rule.to in roomy and rule.to in filled_fields(body)]
    if good:
        return ""
    mapping = f'Mapping "{system.mapping.name}"'
    if not rules:
        return (
            f"{mapping} does not write {_KEY} anywhere, so a recovery could not find its incident and a "
            f"repeated request would make a second one. {advice}"
        )
    place = rules[0].to
    if place not in searchable:
        return (
            f'{_KEY} is mapped to "{place}", which cannot be searched reliably, so a repeated request would '
            f"make a second incident. {advice}"
        )
    if place not in roomy:
        return (
            f'{_KEY} is mapped to "{place}", which takes {searchable[place]} characters, but keys have up to '
            f"{_KEY_LENGTH}. {advice}"
        )
    return (
        f"{mapping} writes {_KEY} in some variants only, so other incidents could not be found again. "
        "Leave variants out of that rule."
    )


def recoveries_are_decided(facts: FlowFacts) -> Iterator[Breach]:
    """E2I-03: it is said what a recovery does."""
    if facts.spec.closure.on_resolved is None:
        yield Breach(
            "spec.closure.onResolved",
            "Nothing is said about recovered alerts. Incidents would stay open for ever. Set "
            "spec.closure.onResolved to resolve, comment or ignore.",
        )


def enrichers_never_stop_an_incident(facts: FlowFacts) -> Iterator[Breach]:
    """E2I-09: what knows more is asked in short, never waited for, and changes no outbreak."""
    for system in facts.of_role("enrich"):
        binding = system.binding
        if binding.timeout is not None and duration_s(binding.timeout) > _LONGEST_LOOKUP_S:
            yield Breach(
                f"{system.path}.timeout",
                f'Enricher "{binding.name}" may take {binding.timeout}, and every incident would be that late '
                f"while it is slow. Write {_LONGEST_LOOKUP_S:.0f}s or less; the incident is completed later.",
            )
        if binding.on_failure not in (None, "continue"):
            yield Breach(
                f"{system.path}.onFailure",
                f'Enricher "{binding.name}" has onFailure: {binding.on_failure}. Its outage would stop all '
                "incidents. Use continue; the incident is created and completed later.",
            )
        if system.mapping is None or not system.mapping.body.partial:
            continue
        for index, rule in enumerate(system.mapping.body.fields):
            if rule.to in _TELLS_OUTBREAKS:
                yield Breach(
                    system.mapping_path,
                    f'Mapping "{system.mapping.name}" of enricher "{binding.name}" fills {rule.to} '
                    f"(spec.fields[{index}]), which tells one outbreak from another: a recovery could no longer "
                    "find its incident. Only the source may fill it; remove the rule.",
                )


def every_route_can_be_taken(facts: FlowFacts) -> Iterator[Breach]:
    """E2I-08: there is a default, and each route is reachable as far as `routing` can tell."""
    routes = facts.spec.routes
    if not routes or not always_matches(routes[-1]):
        yield Breach(
            "spec.routes",
            "No default route: an alert that matches no rule would have no assignment group. Add a last "
            "route without when.",
        )
    for found in unreachable_routes(routes):
        yield Breach(f"spec.routes[{found.index}]", _unreachable(found, facts))
    if facts.model_out is None:
        return
    for index, route in enumerate(routes):
        for one in comparisons(route.when or ""):
            root, _, path = one.field.partition(".")
            field = facts.model_out.version.fields.get(path)
            if root != facts.model_out.name or field is None or not field.enum or field.discovered:
                continue
            if one.equal and one.value not in field.enum:
                yield Breach(
                    f"spec.routes[{index}].when",
                    f'Route "{route.name}" asks for {one.field} == "{one.value}", which is never true: the '
                    f"field has no such value.{suggestion(one.value, field.enum)}",
                )


def _unreachable(found: Unreachable, facts: FlowFacts) -> str:
    routes = facts.spec.routes
    name = routes[found.index].name
    if found.taken_by is None:
        return f'Route "{name}" can never match: {found.contradiction}. Correct its condition.'
    taker = routes[found.taken_by]
    reason = "takes everything" if always_matches(taker) else f"already takes {taker.when}"
    return (
        f'Route "{name}" can never match: route "{taker.name}" comes before it and {reason}. Put it first, '
        "or make the earlier condition narrower."
    )


EVENT_TO_INCIDENT_RULES: Final[tuple[BuiltInRule, ...]] = (
    BuiltInRule(
        "E2I-01",
        "Every source Mapping fills identityKey, episodeKey, state, severity and startsAt.",
        flow=sources_fill_the_event,
    ),
    BuiltInRule(
        "E2I-02",
        "Every target Mapping writes correlationKey into a field that can be searched and holds it.",
        flow=targets_can_be_searched,
    ),
    BuiltInRule(
        "E2I-03",
        "A Flow says what a recovery does.",
        flow=recoveries_are_decided,
    ),
    BuiltInRule(
        "E2I-09",
        "An enricher answers within 3 s, is never waited for, and leaves alone what tells outbreaks apart.",
        flow=enrichers_never_stop_an_incident,
    ),
    BuiltInRule(
        "E2I-08",
        "The routes of a Flow end in a default, and each can be taken.",
        flow=every_route_can_be_taken,
    ),
)
