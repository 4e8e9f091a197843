"""How many messages an hour, and how many in time."""

from __future__ import annotations

from intops_runtime.core.messages import Settlement, State
from intops_runtime.rates import HOUR_S, Rates

NOW = 1_800_000_000.0
DONE = Settlement(1, State.DONE, "linked", "created")
RETRY = Settlement(1, State.WAITING, "act", "timeout", count_try=True, error_class="timeout")
PAUSE = Settlement(1, State.WAITING, "act", "rateLimited", error_class="rateLimited")
DROP = Settlement(1, State.DROPPED, "correlated", "repeat")


def test_deliveries_and_failures_of_the_last_hour_are_counted() -> None:
    """A pause that was asked for and a drop are neither."""
    rates = Rates(None)
    for settlement in (DONE, DONE, RETRY, PAUSE, DROP):
        rates.settled(NOW, settlement, NOW)

    report = rates.report(NOW)

    assert (report.delivered_per_hour, report.failed_per_hour) == (2, 1)


def test_what_is_older_than_an_hour_no_longer_counts() -> None:
    """The rate of a quiet flow goes back to nothing by itself."""
    rates = Rates(None)
    rates.settled(NOW, DONE, NOW)
    rates.settled(NOW, DONE, NOW + 1800)

    assert rates.report(NOW + HOUR_S - 60).delivered_per_hour == 2
    assert rates.report(NOW + HOUR_S + 60).delivered_per_hour == 1
    assert rates.report(NOW + 2 * HOUR_S).delivered_per_hour == 0


def test_in_time_is_from_receipt_to_delivery() -> None:
    """The limit itself is in time; a second more is late."""
    rates = Rates("60s")
    rates.settled(NOW - 60, DONE, NOW)
    rates.settled(NOW - 61, DONE, NOW)

    report = rates.report(NOW)

    assert (report.in_time, report.late) == (1, 1)


def test_without_a_promise_everything_is_in_time() -> None:
    """A promise that is made later judges what comes later."""
    rates = Rates(None)
    rates.settled(NOW - 9999, DONE, NOW)
    rates.within("1s")
    rates.settled(NOW - 9999, DONE, NOW)

    report = rates.report(NOW)

    assert (report.in_time, report.late) == (1, 1)


def test_the_last_delivery_is_remembered_and_failures_do_not_move_it() -> None:
    """`LAST-DELIVERED` is about deliveries."""
    rates = Rates(None)
    assert rates.last_delivered_at is None

    rates.settled(NOW, DONE, NOW)
    rates.settled(NOW, RETRY, NOW + 5)

    assert rates.last_delivered_at == NOW
