"""What a plan makes of a message, up to the request that it would send, and where two plans differ over it.

Pure. Nothing is sent and nothing is written. Used by `replaying` for stored deliveries and by `shadowing` for live
ones.
"""

import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from intops_core.records import ABSENT, leaves
from intops_runtime.core.compiled import CompiledPlan
from intops_runtime.core.hiding import MASK
from intops_runtime.core.intake import intake
from intops_runtime.core.masking import (
    personal_in_native,
    personal_in_original,
    personal_in_record,
    without_values,
)
from intops_runtime.core.messages import LEFT_OUT, Delivery, NewMessage
from intops_runtime.core.shaping import Unshaped, shape

Turn = Literal["breaks", "mends", "appears", "vanishes"]

_LONGEST_VALUE: Final = 200


@dataclass(frozen=True, slots=True)
class Made:
    """What a plan makes of one item.

    Attributes:
        values: Field → value: the correlation key, the canonical record, and what the target is written.
        failure: Class of the error that would set it aside; None where it could be sent.
        detail: The words of that error, without personal values.
        path: The field that the error is about.
        target: Binding that it would be written to; empty where it does not come so far.
    """

    values: Mapping[str, Any]
    failure: str | None = None
    detail: str = ""
    path: str | None = None
    target: str = ""


def made_of(plan: CompiledPlan, delivery: Delivery, now: datetime) -> list[Made]:
    """Everything that a plan makes of one delivery."""
    return [
        made_of_message(plan, delivery.source, message, now)
        for message in intake(plan, delivery, now=now).messages
        if message.reason != LEFT_OUT  # a question beside what is delivered
    ]


def made_of_message(plan: CompiledPlan, source: str, message: NewMessage, now: datetime) -> Made:
    """What becomes of one message that a plan has split from a delivery of `source`."""
    if message.record is None:
        said = message.detail or ""
        failed = Made({}, message.error_class or "", said, message.path)
        return _without_personal(plan, source, message, failed)
    values = {"correlationKey": message.key, **_named(plan.in_name, leaves(message.record))}
    shaped = shape(plan, message.key, message.record, now.strftime("%Y-%m-%dT%H:%M:%SZ"))
    if isinstance(shaped, Unshaped):
        failed = Made(values, "validation", shaped.message, shaped.path, shaped.target)
        return _without_personal(plan, source, message, failed)
    target = shaped.target.binding.name
    values |= {"route": shaped.route, **_named(target, leaves(shaped.record))}
    return Made(values, target=target)


def personal_names(plan: CompiledPlan) -> set[str]:
    """Personal fields by the names that `Made.values` gives them."""
    found = {f"{plan.in_name}.{path}" for path in personal_in_record(plan)}
    for binding in plan.targets:
        found |= {f"{binding}.{path}" for path in personal_in_native(plan, binding)}
    return found


def turned(now: Made | None, then: Made | None) -> Turn | None:
    """How the fate of a message changes from one plan to the other; None where it does not."""
    if now is None:
        return "appears"
    if then is None:
        return "vanishes"
    if then.failure is not None and then.failure != now.failure:
        return "breaks"
    return "mends" if now.failure is not None and then.failure is None else None


def differing(now: Made, then: Made) -> list[tuple[str, Any, Any]]:
    """Fields by name with both values, ABSENT where there is none."""
    return [
        (name, now.values.get(name, ABSENT), then.values.get(name, ABSENT))
        for name in sorted(now.values.keys() | then.values.keys())
        if now.values.get(name, ABSENT) != then.values.get(name, ABSENT)
    ]


def shown(name: str, value: Any, personal: Set[str]) -> Any:
    """A value as people may see it: masked where its field is personal, short, None where absent."""
    if value is ABSENT or value is None:
        return None
    # A list of maps is one value, and what is personal may lie within it.
    if any(
        name == one or name.startswith(f"{one}.") or one.startswith(f"{name}.") for one in personal
    ):
        return MASK
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return value if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _without_personal(plan: CompiledPlan, source: str, message: NewMessage, failed: Made) -> Made:
    words = without_values(failed.detail, message.original, personal_in_original(plan, source))
    words = without_values(words, message.record or {}, personal_in_record(plan))
    return Made(failed.values, failed.failure, words or "", failed.path, failed.target)


def _named(prefix: str, found: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {f"{prefix}.{path}": value for path, value in found}
