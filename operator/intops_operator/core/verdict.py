"""One judged statement, and how it becomes a condition that keeps its time of transition.

Shared by `judging`, `delivering` and `standing`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from intops_api.conditions import Condition, ConditionType, Reason, Status

NEVER: Final = "1970-01-01T00:00:00Z"  # what the kinds' default conditions carry


@dataclass(frozen=True, slots=True)
class Verdict:
    """One statement about an object, and why it holds or not."""

    type: ConditionType
    status: Status
    reason: Reason
    message: str


def in_order(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Ready first, then as `ConditionType` lists them: people read from the top."""
    order = list(ConditionType)
    return sorted(verdicts, key=lambda verdict: order.index(verdict.type))


def stamp(
    verdicts: Iterable[Verdict],
    previous: Mapping[str, Condition],
    generation: int,
    now: datetime,
) -> list[Condition]:
    """Conditions; the time of transition moves only when the status does."""
    return [
        Condition(
            type=verdict.type.value,
            status=verdict.status,
            reason=verdict.reason.value,
            message=verdict.message,
            last_transition_time=_transition(verdict, previous.get(verdict.type.value), now),
            observed_generation=generation,
        )
        for verdict in verdicts
    ]


def _transition(verdict: Verdict, before: Condition | None, now: datetime) -> str:
    is_real = before is not None and before.last_transition_time != NEVER
    if before is not None and is_real and before.status == verdict.status:
        return before.last_transition_time
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
