"""What another plan would make of the deliveries in a store, as people see it. Nothing is sent or written.

Called by the console for `intops replay --dry-run`. JSON-ready.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from intops_runtime.core.compiled import CompiledPlan
from intops_runtime.core.made import made_of, personal_names
from intops_runtime.core.replaying import Comparison
from intops_runtime.core.reporting import rfc3339
from intops_runtime.edges.store.queries import Filter
from intops_runtime.runner import PlanRunner

MAX_DELIVERIES = 10_000
PAGE = 50
# Mapping twice takes about a millisecond; capture and lanes run in between.
YIELD_EVERY = 4


async def replay_view(
    runner: PlanRunner, candidate: CompiledPlan, *, since_s: float, limit: int
) -> dict[str, Any]:
    """The newest deliveries of the last `since_s` seconds, at most `limit`, through both plans."""
    running, now = runner.compiled, time.time()
    found = Comparison(personal_names(running) | personal_names(candidate))
    oldest: float | None = None
    below: int | None = None
    while found.deliveries < limit:
        page = await runner.store.deliveries(
            now - since_s, below, min(PAGE, limit - found.deliveries)
        )
        if not page:
            break
        for number, delivery in enumerate(page, start=1):
            at = datetime.fromtimestamp(delivery.at, UTC)
            found.add(delivery.id, made_of(running, delivery, at), made_of(candidate, delivery, at))
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        oldest, below = page[-1].at, page[-1].id
    return {
        "flow": runner.flow[1],
        "running": running.plan.hash,
        "candidate": candidate.plan.hash,
        "deliveries": found.deliveries,
        "oldestAt": rfc3339(oldest),
        "messages": found.messages,
        "same": found.same,
        "breaks": found.turned("breaks"),
        "mends": found.turned("mends"),
        "appears": found.turned("appears"),
        "vanishes": found.turned("vanishes"),
        "failures": [
            {
                "turn": fate.turn, "class": fate.failure, "detail": fate.detail, "path": fate.path,
                "messages": fate.messages, "example": await message_number(runner, fate.example),
            }
            for fate in found.fates()
        ],
        "changes": [
            {
                "field": change.field, "now": change.before, "candidate": change.after,
                "messages": change.messages, "example": await message_number(runner, change.example),
            }
            for change in found.changes()
        ],
        "furtherMessages": found.further,
    }  # fmt: skip


async def message_number(runner: PlanRunner, example: tuple[int, int]) -> int | None:
    """Number of the message that an item of a delivery has become; None where there is none."""
    delivery, item = example
    rows = await runner.store.messages(Filter(delivery=delivery, limit=1000), time.time())
    # The first of an item: a question that it left to a person comes after it.
    return min((int(row["id"]) for row in rows if row["item"] == item), default=None)
