"""Shaping: an event becomes an incident, takes a route, and becomes the record of its target.

Pure. Called by the lane for every message, and by `intops test` and `intops explain` without a worker.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from intops_core.mapping import Mapped, Source
from intops_runtime.core.compiled import CompiledPlan, CompiledTarget
from intops_runtime.core.enrichment import NOT_ASKED, Enrichment
from intops_runtime.core.messages import Leased, Link


@dataclass(frozen=True, slots=True)
class Shaped:
    """One event as the incident and the native record that it should become.

    `written` is the part of `record` that is to be sent; `started_at` is epoch seconds.
    """

    incident: dict[str, Any]
    record: dict[str, Any]
    written: dict[str, Any]
    target: CompiledTarget
    route: str
    started_at: float | None
    enrichment: Enrichment = NOT_ASKED


@dataclass(frozen=True, slots=True)
class Unshaped:
    """A value needs a person: which field, and why."""

    message: str
    path: str
    target: str = ""
    """Binding that it was to be written to; empty where that was not yet known."""


def shape(
    plan: CompiledPlan,
    key: str,
    event: dict[str, Any],
    stamp: str,
    enrichment: Enrichment = NOT_ASKED,
    stays_at: str | None = None,
) -> Shaped | Unshaped:
    """event → incident → route → native record.

    Args:
        plan: What the Flow says.
        key: Correlation key.
        event: Canonical record as it came in.
        stamp: Now, RFC 3339.
        enrichment: What enrichers know of it.
        stays_at: Target binding where its record is, or may be; it stays there wherever the route leads now.
    """
    result = plan.transform.apply(Source(enrichment.over(event), None, {}, stamp))
    if not isinstance(result, Mapped):
        return Unshaped(result.message, result.path)
    incident = {**result.record, "correlationKey": key}
    if plan.enrichers:
        incident["enrichment"] = enrichment.told()
    route = plan.route(incident)
    if route is None:
        words = "No route matches this message. Let the last route of the Flow match everything."
        return Unshaped(words, "spec.routes")
    incident.update(route.set)
    target = plan.targets.get(stays_at or "") or plan.target_of(route)
    mapped = target.mapping.apply(Source(incident, None, {}, stamp))
    if not isinstance(mapped, Mapped):
        return Unshaped(mapped.message, mapped.path, target.binding.name)
    started = _epoch(event.get("startsAt"))
    return Shaped(incident, mapped.record, mapped.record, target, route.name, started, enrichment)


def home_of(plan: CompiledPlan, leased: Leased) -> str | None:
    """The target binding where the record of a message is, or may be since a create was sent there.

    Else one request could make a second record elsewhere, because the route depends on what is known at the moment.
    """
    attempt = leased.open_attempt
    if attempt is not None and attempt.step == "create" and attempt.binding in plan.targets:
        return attempt.binding
    for link in leased.links:
        bound = plan.targets.get(link.binding)
        if bound is not None and bound.binding.connector == link.connector:
            return link.binding
    connectors = {link.connector for link in leased.links}
    return next((n for n, t in plan.targets.items() if t.binding.connector in connectors), None)


def change(shaped: Shaped, link: Link, fields: dict[str, Any], stamp: str) -> Shaped | Unshaped:
    """The agreed record with `fields` of the incident changed; `written` holds only what differs.

    What people changed on their side since is not touched: only fields that follow from `fields` differ.
    """
    agreed = link.agreed.get("incident") or shaped.incident
    before = link.agreed.get("record") or {}
    incident = {**agreed, **fields}
    mapped = shaped.target.mapping.apply(Source(incident, None, {}, stamp))
    if not isinstance(mapped, Mapped):
        return Unshaped(mapped.message, mapped.path)
    return replace(
        shaped, incident=incident, record=mapped.record, written=difference(before, mapped.record)
    )


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The parts of `after` that `before` has not, nested maps field by field.

    >>> difference({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 2, "d": 4}})
    {'b': {'d': 4}}
    """
    result: dict[str, Any] = {}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            inner = difference(old, value)
            if inner:
                result[name] = inner
        elif value != old:
            result[name] = value
    return result


def _epoch(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
