"""How a store that fills up slows its senders down."""

from __future__ import annotations

import pytest

from intops_runtime.core.pressure import LONGEST_PAUSE_S, pause_s
from intops_runtime.edges.capture import ACK_WITHIN_S

LEAST_PATIENCE_S = 5.0
"""Of senders that people run: domain reference, finding 4."""


@pytest.mark.parametrize(
    ("fill", "seconds"),
    [(0.0, 0.0), (0.69, 0.0), (0.7, 0.0), (0.85, 0.5), (1.0, LONGEST_PAUSE_S), (1.2, LONGEST_PAUSE_S)],
)  # fmt: skip
def test_the_fuller_a_store_the_longer_its_senders_wait(fill: float, seconds: float) -> None:
    """Nothing below 70 %, and never more than a second."""
    assert pause_s(fill) == pytest.approx(seconds)


def test_no_sender_gives_up_because_it_is_slowed_down() -> None:
    """Storing and waiting together take less than the least patience of a sender."""
    assert ACK_WITHIN_S + LONGEST_PAUSE_S < LEAST_PATIENCE_S
