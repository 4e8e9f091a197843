"""How one message came to be what it is: each field, where from, by which rule, and what it means.

Called by the console; maps the stored original again with the plan that runs now.
"""

from datetime import UTC, datetime
from typing import Any

from intops_core.mapping import CompiledMapping, Mapped, Source
from intops_runtime.core.compiled import CompiledPlan


def explain_message(plan: CompiledPlan, message: dict[str, Any], now: float) -> dict[str, Any]:
    """Steps from the payload to the target's record, and how the message ended.

    Args:
        plan: The plan that runs now.
        message: A message as the store's queries give it.
        now: Epoch seconds.
    """
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    steps: list[dict[str, Any]] = []
    outcome = f"Message {message['id']} is {message['state']}"
    outcome += f" ({message['reason']})." if message["reason"] else "."
    if message["detail"]:
        outcome += f" {message['detail']}"
    source = plan.sources.get(message["source"])
    if source is not None and message["original"] is not None:
        payload = _payload(message)
        event = _add(
            steps,
            source.mapping,
            Source(message["original"], payload, message["headers"] or {}, stamp),
        )
        incident = _add(steps, plan.transform, Source(event, None, {}, stamp)) if event else None
        if incident is not None:
            incident["correlationKey"] = message["key"]
            route = plan.route(incident)
            if route is not None:
                incident.update(route.set)
                target = plan.target_of(route)
                _add(steps, target.mapping, Source(incident, None, {}, stamp))
    return {"id": message["id"], "outcome": outcome, "steps": steps}


def _payload(message: dict[str, Any]) -> Any:
    import json  # noqa: PLC0415  a question of a person, not the message path

    try:
        return json.loads(message["payload"] or "null")
    except ValueError:
        return None


def _add(
    steps: list[dict[str, Any]], mapping: CompiledMapping, source: Source
) -> dict[str, Any] | None:
    result = mapping.apply(source, explain=True)
    steps.extend(
        {
            "mapping": mapping.name,
            "to": step.to,
            "from": step.source,
            "rule": step.rule,
            "before": step.before,
            "after": step.after,
            "meaning": step.meaning,
            "note": step.note,
        }
        for step in (result.steps if isinstance(result, Mapped) else ())
    )
    if isinstance(result, Mapped):
        return dict(result.record)
    steps.append(
        {
            "mapping": mapping.name, "to": result.path, "from": None, "rule": "", "before": None,
            "after": None, "meaning": result.message, "note": result.outcome,
        }
    )  # fmt: skip
    return None
