"""Messages as people see them: what the models and the class call personal is masked in every form.

Called by the console before it answers questions about messages, traces and explanations.
"""

import json
from typing import Any

from intops_runtime.core.compiled import CompiledPlan
from intops_runtime.core.hiding import MASK
from intops_runtime.core.masking import (
    masked,
    masked_anywhere,
    personal_in_incident,
    personal_in_native,
    personal_in_original,
    personal_in_record,
    without_values,
)


def message_row(plan: CompiledPlan, row: dict[str, Any]) -> dict[str, Any]:
    """One message of a list."""
    if row.get("title") is not None and "title" in personal_in_record(plan):
        return {**row, "title": MASK}
    return row


def words_view(plan: CompiledPlan, found: dict[str, Any]) -> str | None:
    """The sentence about a whole message as a list shows it: nothing else of the message is copied or masked."""
    words = without_values(
        found["detail"], found["original"], personal_in_original(plan, found["source"])
    )
    return without_values(words, found["record_values"], personal_in_record(plan))


def message_view(plan: CompiledPlan, found: dict[str, Any]) -> dict[str, Any]:
    """One message with everything that happened to it."""
    in_record = personal_in_record(plan)
    in_original = personal_in_original(plan, found["source"])
    if not in_record and not in_original:
        return found
    original = found["original"]

    def said(text: str | None) -> str | None:
        words = without_values(text, original, in_original)
        return without_values(words, found["record_values"], in_record)

    attempts = [
        {
            **attempt,
            "detail": said(attempt["detail"]),
            "evidence": {
                name: said(value) if isinstance(value, str) else value
                for name, value in attempt["evidence"].items()
            },
        }
        for attempt in found["attempts"]
    ]
    return {
        **message_row(plan, found),
        "detail": said(found["detail"]),
        "record_values": masked(found["record_values"], in_record),
        "original": masked(original, in_original),
        "payload": _payload(found["payload"], original, in_original),
        "attempts": attempts,
    }


def link_view(plan: CompiledPlan, link: dict[str, Any]) -> dict[str, Any]:
    """Which record stands for a key, with what was agreed."""
    agreed = dict(link["agreed"])
    if "incident" in agreed:
        agreed["incident"] = masked(agreed["incident"], personal_in_incident(plan))
    if "record" in agreed:
        agreed["record"] = masked(agreed["record"], personal_in_native(plan, link["binding"]))
    if "enriched" in agreed:
        personal = personal_in_record(plan)
        agreed["enriched"] = {
            name: masked(part, personal) for name, part in agreed["enriched"].items()
        }
    return {**link, "agreed": agreed}


def explanation_view(plan: CompiledPlan, found: dict[str, Any]) -> dict[str, Any]:
    """How a message came to be what it is; the rules stay, personal values do not."""
    personal = {*personal_in_record(plan), *personal_in_incident(plan)}
    for name in plan.targets:
        personal.update(personal_in_native(plan, name))
    steps = [
        {
            **step,
            "before": _hidden(step["before"], step["to"], personal),
            "after": _hidden(step["after"], step["to"], personal),
        }
        for step in found["steps"]
    ]
    return {**found, "steps": steps}


def _hidden(value: Any, path: str, personal: set[str]) -> Any:
    """The value of one field, or of an object that is taken whole, without what is personal in it."""
    if path in personal:
        return None if value is None else MASK
    inside = [one[len(path) + 1 :] for one in personal if one.startswith(f"{path}.")]
    return masked(value, inside) if inside else value


def _payload(text: str | None, original: Any, personal: tuple[str, ...]) -> str | None:
    if text is None or not personal:
        return text
    try:
        body = json.loads(text)
    except ValueError:
        return without_values(text, original, personal)
    return json.dumps(masked_anywhere(body, personal), ensure_ascii=False)
