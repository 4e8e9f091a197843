"""How a store that fills up slows its senders down, long before it must refuse them.

Pure. Source: domain reference 3.1, class 17 (slow from 70 % on, refuse before everything is used).
"""

from typing import Final

from intops_api.report import FILLING_FROM

# Added to the time that storing takes, it stays below what any sender waits (five to ten seconds).
LONGEST_PAUSE_S: Final = 1.0


def pause_s(fill: float) -> float:
    """Seconds that the answer for a stored delivery waits: none below 70 %, a second at a full volume.

    Args:
        fill: Part of the room for messages that is used, from 0 to 1.
    """
    over = max(fill - FILLING_FROM, 0.0) / (1.0 - FILLING_FROM)
    return LONGEST_PAUSE_S * min(over, 1.0)
