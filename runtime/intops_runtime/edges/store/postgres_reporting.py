"""What a shared store says about itself: its report, and that lanes have changed hands.

Called by `postgres.PostgresStore` with what its signs of life have brought.
"""

import logging
from collections import Counter
from typing import Any

from intops_api.report import StoreReport
from intops_runtime.edges.store.postgres_lanes import Pulse, Tenancy
from intops_runtime.edges.store.tally import report_of

log = logging.getLogger("intops.store")


def shared_report(
    pulse: Pulse | None, now: float, *, skew_s: float, failed: str | None, fenced: int
) -> StoreReport:
    """Counts of all replicas as of the last sign of life; `skew_s` is how far the server's clock is ahead."""
    if pulse is None:
        return StoreReport(scope="shared", failed=failed)
    oldest, due = pulse.oldest, pulse.review_due
    told = report_of(
        Counter(pulse.counts),
        now,
        oldest_at=None if oldest is None else oldest - skew_s,
        review_due_at=None if due is None else due - skew_s,
        failed=failed,
        full=False,
    )
    return told.model_copy(update={"scope": "shared", "fenced": fenced})


def tell_change(before: Tenancy, pulse: Pulse, named: dict[str, Any]) -> bool:
    """Say in the log which lanes came and went; whether any came."""
    held, had = set(pulse.tenancy.lanes), set(before.lanes)
    if pulse.tenancy == before:
        return False
    reborn = before.owner not in ("", pulse.tenancy.owner)
    gained = held if reborn else held - had
    log.info(
        "lanes changed hands",
        extra={
            "data": {
                **named, "held": len(held), "gained": len(gained), "lost": len(had - held),
                "replicas": pulse.replicas, "buried": pulse.buried,
            }
        },
    )  # fmt: skip
    return bool(gained)
