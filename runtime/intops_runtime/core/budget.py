"""The retry budget of one system: at most a tenth of its requests may be repeats that come soon.

Retries that exceed it go to the back of the queue, so that a system in trouble is not asked twice as
often because it is in trouble. Pure but for its own counts; one belongs to each target.
Source: Site Reliability Engineering, chapter 21, "Handling Overload" (client-side retry budget of 10 %).
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

WINDOW_S: Final = 120.0
SHARE: Final = 0.1
# Below this many, a share says nothing: a quiet flow may always try again.
ALWAYS: Final = 10
_BUCKET_S: Final = 10.0


@dataclass(slots=True)
class _Bucket:
    began_at: float
    requests: int = 0
    retries: int = 0


@dataclass(slots=True)
class RetryBudget:
    """Counts of the last two minutes, in steps of ten seconds. Times are monotonic seconds."""

    _buckets: deque[_Bucket] = field(default_factory=deque)

    def note(self, now: float, *, retry: bool) -> None:
        """A request is about to be sent."""
        self._forget(now)
        if not self._buckets or now - self._buckets[-1].began_at >= _BUCKET_S:
            self._buckets.append(_Bucket(now))
        self._buckets[-1].requests += 1
        self._buckets[-1].retries += retry

    def has_room(self, now: float) -> bool:
        """Whether one more retry may come soon."""
        self._forget(now)
        requests = sum(bucket.requests for bucket in self._buckets)
        retries = sum(bucket.retries for bucket in self._buckets)
        return retries < max(ALWAYS, SHARE * requests)

    def _forget(self, now: float) -> None:
        while self._buckets and now - self._buckets[0].began_at > WINDOW_S:
            self._buckets.popleft()
