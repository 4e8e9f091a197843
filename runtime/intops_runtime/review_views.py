"""Review items as people see them: who must look until when, why, and both forms with personal data masked.

Called by the console. JSON-ready, times RFC 3339.
"""

from typing import Any

from intops_api.common import duration_s
from intops_runtime.core.compiled import CompiledPlan
from intops_runtime.core.decisions import ReviewGroup, ReviewItem
from intops_runtime.core.masking import (
    masked,
    personal_in_native,
    personal_in_original,
    personal_in_record,
    without_values,
)
from intops_runtime.core.notices import decides
from intops_runtime.core.reporting import rfc3339
from intops_runtime.core.reviewing import suggestion
from intops_runtime.core.shaping import Shaped, shape
from intops_runtime.edges.store.reviews import Wanted
from intops_runtime.runner import PlanRunner

# Domain reference 3.1, class 7; the Pattern's defaults usually say the same.
REVIEW_DUE_WITHIN = "8h"


async def group_view(runner: PlanRunner, group: ReviewGroup, now: float) -> dict[str, Any]:
    """One group of equal errors."""
    plan = runner.compiled
    personal = personal_in_original(plan, group.source)
    original = None
    if personal:
        first = await runner.decisions.review_items(Wanted(messages=(group.first,), limit=1))
        original = first[0].original if first else None
    return {
        "fingerprint": group.fingerprint,
        "flow": runner.flow[1],
        "count": group.count,
        "ids": list(group.ids),
        "errorClass": group.error_class,
        "reason": group.reason,
        "path": group.path,
        "detail": without_values(group.detail, original, personal),
        "source": group.source,
        "owner": owner_of(plan, group.due_at, now),
        "receivedAt": rfc3339(group.received_at),
        "dueAt": rfc3339(group.due_at),
        "overdue": group.due_at is not None and group.due_at < now,
        "suggestion": suggestion(
            plan, source=group.source, error_class=group.error_class, reason=group.reason,
            path=group.path, number=group.first,
        ),
    }  # fmt: skip


def item_view(runner: PlanRunner, item: ReviewItem, now: float) -> dict[str, Any]:
    """One message in review."""
    plan = runner.compiled
    personal = personal_in_original(plan, item.source)
    return {
        "id": item.id,
        "flow": runner.flow[1],
        "fingerprint": item.fingerprint,
        "errorClass": item.error_class,
        "reason": item.reason,
        "path": item.path,
        "detail": without_values(item.detail, item.original, personal),
        "source": item.source,
        "key": item.key,
        "stage": item.stage,
        "owner": owner_of(plan, item.due_at, now),
        "receivedAt": rfc3339(item.received_at),
        "dueAt": rfc3339(item.due_at),
        "overdue": item.due_at is not None and item.due_at < now,
        "newer": item.newer,
        "original": masked(item.original, personal),
        "record": masked(item.record, personal_in_record(plan)),
        "native": _native(plan, item, now),
        "suggestion": suggestion(
            plan, source=item.source, error_class=item.error_class, reason=item.reason,
            path=item.path, number=item.id,
        ),
    }  # fmt: skip


def owner_of(plan: CompiledPlan, due_at: float | None, now: float) -> str:
    """Who decides now: the team that looks, or the next one up where the time has run out."""
    within_s = duration_s(plan.plan.review.due_within or REVIEW_DUE_WITHIN)
    return decides(plan.plan, due_at, now, within_s).owner


def _native(plan: CompiledPlan, item: ReviewItem, now: float) -> dict[str, Any] | None:
    """What would be written to the target now; None where it cannot be mapped."""
    if item.record is None:
        return None
    shaped = shape(plan, item.key, item.record, rfc3339(now) or "")
    if not isinstance(shaped, Shaped):
        return None
    found: dict[str, Any] = masked(
        shaped.record, personal_in_native(plan, shaped.target.binding.name)
    )
    return found
