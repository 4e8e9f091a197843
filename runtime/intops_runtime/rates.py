"""How many messages were delivered and failed in the last hour, and how many in time. Kept in memory.

The runner feeds it with every settlement; the report reads it.
"""

from collections import deque

from intops_api.common import duration_s
from intops_api.report import RateReport
from intops_runtime.core.messages import Settlement, State

HOUR_S = 3600.0
# One bucket a minute: sixty of them are exact enough for a rate and small at any load.
_BUCKET_S = 60.0


class Rates:
    """Counts by the minute, over one hour."""

    def __init__(self, within: str | None) -> None:
        self._within_s: float | None = None
        self.within(within)
        self._delivered: deque[list[float]] = deque()
        self._failed: deque[list[float]] = deque()
        self._in_time = 0
        self._late = 0
        self.last_delivered_at: float | None = None

    def within(self, text: str | None) -> None:
        """Change how soon a delivery must be."""
        self._within_s = duration_s(text) if text else None

    def settled(self, received_at: float, settlement: Settlement, now: float) -> None:
        """Take one settlement into account. Times are epoch seconds."""
        if settlement.state is State.DONE:
            _add(self._delivered, now)
            self.last_delivered_at = now
            if self._within_s is not None and now - received_at > self._within_s:
                self._late += 1
            else:
                self._in_time += 1
        elif settlement.error_class is not None and settlement.count_try:
            _add(self._failed, now)

    def report(self, now: float) -> RateReport:
        """What the report says."""
        return RateReport(
            delivered_per_hour=_sum(self._delivered, now),
            failed_per_hour=_sum(self._failed, now),
            in_time=self._in_time,
            late=self._late,
            within_s=self._within_s,
        )


def _add(buckets: deque[list[float]], now: float) -> None:
    start = now - now % _BUCKET_S
    if buckets and buckets[-1][0] == start:
        buckets[-1][1] += 1
    else:
        buckets.append([start, 1])
    while buckets and buckets[0][0] < now - HOUR_S:
        buckets.popleft()


def _sum(buckets: deque[list[float]], now: float) -> int:
    return int(sum(count for start, count in buckets if start >= now - HOUR_S))
