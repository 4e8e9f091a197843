"""A clock that is set: noticed in both directions, and no reason to take messages for old."""

from __future__ import annotations

import pytest

from intops_runtime.core.clock_steps import ClockSteps

YEAR = 365 * 86400.0


def test_a_clock_that_runs_is_not_taken_for_one_that_is_set() -> None:
    """Time passes, and a slewing clock differs a little."""
    steps = ClockSteps(1000.0, 5.0)
    assert [steps.look(1000.0 + s * 1.01, 5.0 + s) for s in (1, 60, 100)] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("jump", [10 * YEAR, -7200.0, 300.0, -300.0])
def test_a_step_is_noticed_once_with_its_size(jump: float) -> None:
    """At the look after it."""
    steps = ClockSteps(1000.0, 5.0)
    assert steps.look(1001.0 + jump, 6.0) == pytest.approx(jump)
    assert steps.look(1002.0 + jump, 7.0) == 0.0


def test_a_message_from_before_a_step_forward_is_as_old_as_it_is() -> None:
    """One from after it too."""
    steps = ClockSteps(1000.0, 5.0)
    steps.look(1010.0 + YEAR, 15.0)
    assert steps.received_at(1004.0) == pytest.approx(1004.0 + YEAR)
    assert steps.received_at(1011.0 + YEAR) == 1011.0 + YEAR


def test_a_step_that_is_taken_back_leaves_nothing_behind() -> None:
    """Wholly, in part, and by more than it was."""
    steps = ClockSteps(1000.0, 5.0)
    steps.look(1001.0 + YEAR, 6.0)
    steps.look(1002.0 + YEAR - 100.0, 7.0)
    assert steps.received_at(1000.0) == pytest.approx(1000.0 + YEAR - 100.0)
    steps.look(1003.0 - 7200.0, 8.0)
    assert steps.received_at(1000.0) == 1000.0
