"""How long failed deliveries pause: the one schedule that the worker keeps and that rules reckon with."""

from typing import Final

# Domain reference, section 3.1, class 1: three attempts soon, then ever more slowly until maxAge.
INLINE_ATTEMPTS: Final = 3
"""Attempts that follow each other within seconds."""
_BASE_S: Final = 30.0
_CAP_S: Final = 900.0
# A pause is a draw between a tenth of the longest and all of it, half on average. Of a quarter even few in a row
# are seldom less together.
_RECKONED: Final = 0.25


def longest_pause_s(tries: int) -> float:
    """Seconds between the attempt with this number and the next, at most; of attempts that wait in the queue.

    >>> [longest_pause_s(tries) for tries in (4, 5, 6, 20)]
    [30.0, 60.0, 120.0, 900.0]
    """
    later = max(tries - INLINE_ATTEMPTS - 1, 0)
    return min(_CAP_S, _BASE_S * 2.0 ** min(later, 10))


def attempts_last_s(attempts: int) -> float:
    """Seconds that pass, reckoned with care, from the first of so many attempts to the last.

    >>> attempts_last_s(3), attempts_last_s(5), attempts_last_s(100)
    (0.0, 7.5, 20707.5)
    """
    queued = range(INLINE_ATTEMPTS + 1, attempts)
    return _RECKONED * sum(longest_pause_s(tries) for tries in queued)
