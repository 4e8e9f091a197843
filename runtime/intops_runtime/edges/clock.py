"""The wall clock, as a moment in UTC. Where seconds are enough, `time.time()` is the same clock."""

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Now, by the clock that `time.time()` reads: whoever sets one of them sets both."""
    return datetime.fromtimestamp(time.time(), UTC)
