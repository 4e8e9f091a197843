"""A message that brings its lane down again and again."""

from __future__ import annotations

from intops_runtime.core.crashes import TRIES, Crashes
from intops_runtime.core.messages import State


def states(crashes: Crashes, times: int) -> list[State]:
    return [crashes.crashed(7, "KeyError", 100.0).state for _ in range(times)]


def test_the_third_crash_in_a_row_sets_a_message_aside() -> None:
    """Before that it is tried again, a little later each time."""
    crashes = Crashes()
    assert states(crashes, TRIES - 1) == [State.WAITING] * (TRIES - 1)

    aside = crashes.crashed(7, "KeyError", 100.0)
    assert (aside.state, aside.error_class) == (State.REVIEW, "poison")
    assert "crashed 3 times (KeyError)" in (aside.detail or "")
    assert crashes.crashed(8, "KeyError", 100.0).state is State.WAITING


def test_a_turn_that_ends_well_is_a_new_beginning() -> None:
    """Crashes that lie days apart are no poison, and nothing is remembered for ever."""
    crashes = Crashes()
    states(crashes, TRIES - 1)
    crashes.ended(7)

    assert states(crashes, 1) == [State.WAITING]


def test_what_the_process_died_of_too_often_is_not_tried_again() -> None:
    """Deaths are known from the start; a turn that ends well forgets them."""
    crashes = Crashes({7: TRIES, 8: TRIES - 1})

    aside = crashes.deadly(7)
    assert aside is not None
    assert (aside.state, aside.error_class) == (State.REVIEW, "poison")
    assert f"died {TRIES} times" in (aside.detail or "")
    assert crashes.deadly(8) is None
    crashes.ended(7)
    assert crashes.deadly(7) is None


def test_a_flow_may_say_that_poison_is_dropped() -> None:
    """Its policy holds for crashes and for deaths."""
    crashes = Crashes({7: TRIES}, drops=True)

    aside = crashes.deadly(7)
    assert aside is not None
    assert aside.state is State.DROPPED
    assert [crashes.crashed(9, "KeyError", 0.0).state for _ in range(TRIES)][-1] is State.DROPPED
