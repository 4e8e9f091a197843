"""How many retries may come soon."""

from __future__ import annotations

from intops_runtime.core.budget import ALWAYS, WINDOW_S, RetryBudget


def asked(budget: RetryBudget, times: int, *, retry: bool, now: float = 0.0) -> None:
    for _ in range(times):
        budget.note(now, retry=retry)


def test_a_quiet_flow_may_always_try_again() -> None:
    """A share of few requests says nothing."""
    budget = RetryBudget()
    asked(budget, ALWAYS - 1, retry=True)
    assert budget.has_room(0.0)
    asked(budget, 1, retry=True)
    assert not budget.has_room(0.0)


def test_a_tenth_of_the_requests_may_be_retries() -> None:
    """Of the last two minutes."""
    budget = RetryBudget()
    asked(budget, 900, retry=False)
    asked(budget, 99, retry=True)
    assert budget.has_room(0.0)
    asked(budget, 2, retry=True)
    assert not budget.has_room(0.0)
    assert budget.has_room(WINDOW_S + 1.0)
