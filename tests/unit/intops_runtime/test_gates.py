"""The gate before a system: when it closes, when it asks, how it opens again."""

from __future__ import annotations

from intops_runtime.core.gates import (
    CREDENTIAL_PROBE_EVERY_S,
    FAILURES_IN_A_ROW,
    PROBE_EVERY_S,
    RAMP_S,
    Gate,
)

WALL = 1_800_000_000.0


def failed_times(gate: Gate, times: int, now: float = 0.0) -> Gate:
    for _ in range(times):
        gate = gate.failed(now, WALL, "destinationDown", "refused")
    return gate


def test_five_failures_in_a_row_close_the_gate() -> None:
    """One bad minute of a network does not stop a flow; five failures in a row do."""
    assert failed_times(Gate(), FAILURES_IN_A_ROW - 1).admits(0.0)

    closed = failed_times(Gate(), FAILURES_IN_A_ROW)

    assert not closed.admits(0.0)
    assert closed.state == "open"
    assert closed.since_wall == WALL


def test_half_of_the_last_twenty_calls_close_the_gate() -> None:
    """A system that answers every other call is down for practical purposes."""
    gate = Gate()
    for _ in range(10):
        gate = failed_times(gate.succeeded(0.0), 1)

    assert gate.state == "open"


def test_a_closed_gate_is_asked_every_ten_seconds() -> None:
    """A dead system is probed, not hammered."""
    closed = failed_times(Gate(), FAILURES_IN_A_ROW, now=100.0)

    assert not closed.wants_probe(100.0 + PROBE_EVERY_S - 0.1)
    assert closed.wants_probe(100.0 + PROBE_EVERY_S)
    assert not closed.probe_failed(110.0).wants_probe(119.0)


def test_more_failures_do_not_put_the_probe_off() -> None:
    """Requests that were under way when the gate closed do not delay the recovery."""
    closed = failed_times(Gate(), FAILURES_IN_A_ROW, now=100.0)

    assert failed_times(closed, 20, now=109.0).wants_probe(110.0)


def test_after_a_recovery_the_load_grows_from_a_tenth_to_all() -> None:
    """A system that has just started is not felled again by the backlog."""
    back = failed_times(Gate(), FAILURES_IN_A_ROW).succeeded(200.0)

    assert back.admits(200.0)
    assert round(back.share(200.0), 2) == 0.1
    assert 0.1 < back.share(200.0 + RAMP_S / 2) < 1.0
    assert back.share(200.0 + RAMP_S) == 1.0
    assert back.succeeded(200.0 + RAMP_S).ramp_started_at is None


def test_a_refused_credential_stops_all_traffic_and_is_tried_again_rarely() -> None:
    """A wrong token must not lock the account out."""
    held = Gate().hold(0.0, WALL, "authDenied", "HTTP 401")

    assert not held.admits(1e9)
    assert not held.wants_probe(CREDENTIAL_PROBE_EVERY_S - 1)
    assert held.wants_probe(CREDENTIAL_PROBE_EVERY_S)
    assert held.hold(5.0, WALL + 5, "authDenied", "HTTP 401") == held


def test_what_was_held_goes_on_once_it_is_mended_and_is_asked_at_once() -> None:
    """Messages go on slowly; whether it is mended indeed shows without one."""
    again = Gate().hold(0.0, WALL, "policyDenied", "it is link-local").mended(5.0)

    assert (again.state, again.error_class, again.detail) == ("ok", None, None)
    assert again.admits(5.0)
    assert again.wants_probe(5.0)
    assert again.share(5.0) == 0.1
    assert not again.succeeded(5.1).wants_probe(1e9)
    assert again.hold(5.1, WALL, "policyDenied", "it is link-local").state == "held"


def test_a_limited_gate_opens_by_itself_and_never_counts_as_a_failure() -> None:
    """A system that asks for a pause is healthy."""
    limited = Gate().limit(0.0, WALL, 7.0, "HTTP 429")

    assert not limited.admits(6.9)
    assert limited.admits(7.0)
    assert limited.failures_in_a_row == 0
    assert limited.succeeded(8.0).state == "ok"


def test_a_pause_asked_for_while_the_system_is_down_does_not_open_the_gate() -> None:
    """Being limited is no better than being down."""
    closed = failed_times(Gate(), FAILURES_IN_A_ROW)

    assert closed.limit(0.0, WALL, 1.0, "HTTP 429") == closed


def test_after_a_limit_half_as_much_runs_at_once_and_a_tenth_more_each_minute() -> None:
    """Who comes back at full speed is limited again."""
    limited = Gate().limit(0.0, WALL, 30.0, "HTTP 429").limit(1.0, WALL, 30.0, "HTTP 429")
    well = limited.succeeded(31.0)

    assert well.state == "ok"
    assert well.share(31.0) == 0.5
    assert round(well.share(31.0 + 120.0), 6) == 0.7
    assert well.share(31.0 + 600.0) == 1.0
    assert round(well.limit(40.0, WALL, 1.0, "HTTP 429").share(41.0), 3) == 0.258


def test_a_limit_that_comes_back_pauses_twice_as_long() -> None:
    """A message takes several requests: with room for only one a pause none would come to its end."""
    gate, now, pauses = Gate(), 100.0, []
    for _ in range(8):
        gate = gate.limit(now, WALL, 2.0, "HTTP 429").limit(now, WALL, 2.0, "HTTP 429")
        pauses.append(gate.limited_until - now)
        now = gate.limited_until + 1.0
        gate = gate.succeeded(now)
    assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]

    calm = gate.limit(now + 60.0, WALL, 2.0, "HTTP 429")
    assert calm.limited_until == now + 62.0
    assert Gate().limit(0.0, WALL, 300.0, "HTTP 429").limited_until == 300.0
