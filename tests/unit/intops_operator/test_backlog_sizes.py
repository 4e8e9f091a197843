"""How many workers a backlog gets: quickly more, slowly fewer, and no number without a report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intops_api.flow import Replicas
from intops_operator.core.scaling import (
    MEASURE_S,
    WORTH,
    Bounds,
    Load,
    Sample,
    Size,
    bounds_of,
    decide,
)

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
BOUNDS = Bounds(1, 8)
STEP_S = 5


def at(seconds: float) -> datetime:
    """So many seconds later."""
    return NOW + timedelta(seconds=seconds)


def measured(replicas: int = 1, *, arriving: float = 20.0, ending: float = 10.0) -> Size:
    """A size after a whole measurement, up to now."""
    sample = Sample(at(-MEASURE_S), 1000 - int(arriving * MEASURE_S), 500 - int(ending * MEASURE_S))
    return Size(replicas, samples=(sample,))


def load(backlog: int, oldest_s: float, **changes: bool) -> Load:
    """What the workers say now."""
    return Load(NOW, backlog, oldest_s, arrived=1000, ended=500, **changes)


LATE = load(600, 45.0)


def test_a_late_backlog_gets_as_many_workers_as_drain_it_in_time_but_at_most_twice_as_many() -> (
    None
):
    """20/s arrive, one worker ends 10/s, 600 wait: four would do, and two come at once."""
    size = decide(measured(), BOUNDS, LATE, NOW)

    assert (size.replicas, size.capacity, size.at) == (2, 10.0, NOW)
    assert "the oldest of 600 messages has waited 45 s, longer than targetAge (30 s)" in size.why


@pytest.mark.parametrize(
    ("size", "said", "bounds"),
    [
        pytest.param(measured(), None, BOUNDS, id="a report is missing"),
        pytest.param(Size(1), LATE, BOUNDS, id="nothing was measured yet, as by a new leader"),
        pytest.param(
            measured(), replace(LATE, blocked=True), BOUNDS, id="the target holds them back"
        ),
        pytest.param(measured(), replace(LATE, suspended=True), BOUNDS, id="suspended"),
        pytest.param(measured(ending=0.0), LATE, BOUNDS, id="nothing ends, whoever works"),
        pytest.param(measured(), load(WORTH - 1, 3600), BOUNDS, id="a few wait for a retry"),
        pytest.param(measured(), load(600, 29.0), BOUNDS, id="not late"),
        pytest.param(measured(8), LATE, BOUNDS, id="no more are allowed"),
        pytest.param(
            measured(4, arriving=1.0, ending=90.0), load(600, 45.0), BOUNDS, id="it drains in time"
        ),
    ],
)
def test_no_worker_is_added_where_another_one_would_not_help(
    size: Size, said: Load | None, bounds: Bounds
) -> None:
    """Or where nobody knows."""
    assert decide(size, bounds, said, NOW).replicas == size.replicas


def quiet_until(size: Size, seconds: float, *, arriving: float = 0.0, missing: int = -1) -> Size:
    """The size after so many quiet seconds; without a report at step `missing`."""
    for step in range(int(seconds / STEP_S) + 1):
        now = at(step * STEP_S)
        said = Load(now, 0, 0.0, *[int(1000 + arriving * step * STEP_S)] * 2)
        size = decide(size, BOUNDS, None if step == missing else said, now)
    return size


def test_a_worker_goes_after_a_quiet_time_and_the_next_after_another() -> None:
    """Slowly: what grew too far costs little, what shrank too far costs the backlog."""
    size = Size(3, at(-1000), 10.0)

    assert quiet_until(size, 295).replicas == 3
    assert quiet_until(size, 330).replicas == 2
    assert quiet_until(size, 600).replicas == 2
    assert quiet_until(size, 700).replicas == 1
    assert quiet_until(size, 3600).replicas == 1


def test_a_missing_report_begins_the_quiet_time_anew() -> None:
    """Nobody shrinks while a replica does not say how it is."""
    assert quiet_until(Size(3, at(-1000), 10.0), 330, missing=55).replicas == 3


def test_what_needs_this_number_is_not_tried_with_fewer() -> None:
    """17/s need the second of two workers that end 10/s each, however little waits."""
    size = Size(2, at(-1000), 10.0)

    assert quiet_until(size, 3600, arriving=17.0).replicas == 2
    assert quiet_until(size, 600, arriving=7.0).replicas == 1


@pytest.mark.parametrize(("size", "within"), [(1, 2), (2, 2), (3, 3), (9, 4)])
def test_what_the_flow_allows_holds_at_once_and_without_any_report(size: int, within: int) -> None:
    """The spec was changed: nobody waits for a backlog."""
    decided = decide(Size(size, at(-9), 5.0), Bounds(2, 4), None, NOW)

    assert decided.replicas == within
    assert decided.capacity == 5.0


def test_a_store_that_counts_backwards_is_another_store() -> None:
    """What was measured with the old one is forgotten."""
    before = Size(2, samples=(Sample(at(-25), 5000, 5000),))

    assert decide(before, BOUNDS, LATE, NOW).samples == (Sample(NOW, 1000, 500),)


def test_the_bounds_are_those_of_the_spec() -> None:
    """Thirty seconds where nothing is said."""
    asked = Replicas(min=2, max=6, target_age="2m")

    assert bounds_of(asked, down_after_s=60) == Bounds(2, 6, 120.0, 60)
    assert bounds_of(Replicas(min=1, max=3), down_after_s=300) == Bounds(1, 3)


@dataclass
class World:
    """Workers that end what they can of what arrives, and say so every five seconds."""

    arriving: float
    capacity: float
    backlog: float = 0.0
    arrived: float = 0.0
    ended: float = 0.0
    starting: int = 0

    def after(self, replicas: int, wobble: float = 1.0) -> None:
        """Five seconds later."""
        came = self.arriving * STEP_S * wobble
        able = self.capacity * STEP_S * (replicas if not self.starting else max(1, replicas - 1))
        self.arrived += came
        done = min(self.backlog + came, able)
        self.ended += done
        self.backlog += came - done
        self.starting = max(0, self.starting - 1)

    def load(self, now: datetime) -> Load | None:
        """The report; none while a worker starts."""
        if self.starting:
            return None
        oldest_s = self.backlog / self.arriving
        return Load(now, int(self.backlog), oldest_s, int(self.arrived), int(self.ended))


def sizes(world: World, bounds: Bounds, wobbles: list[float], hours: float) -> list[int]:
    """The size at each step of so many hours."""
    size, found = Size(bounds.fewest), []
    for step in range(int(hours * 3600 / STEP_S)):
        now = at(step * STEP_S)
        world.after(size.replicas, wobbles[step % len(wobbles)])
        following = decide(size, bounds, world.load(now), now)
        if following.replicas != size.replicas:
            world.starting = 2
        size = following
        found.append(size.replicas)
    return found


RATES = st.floats(min_value=0.5, max_value=200.0)


@given(
    arriving=RATES,
    capacity=RATES,
    backlog=st.integers(0, 20_000),
    fewest=st.integers(1, 3),
    more=st.integers(0, 8),
    target_s=st.sampled_from([10.0, 30.0, 120.0]),
    wobbles=st.lists(st.floats(0.95, 1.05), min_size=1, max_size=24),
)
def test_a_constant_load_is_never_answered_with_a_flapping_size(
    arriving: float, capacity: float, backlog: int, fewest: int, more: int, target_s: float,
    wobbles: list[float],
) -> None:  # fmt: skip
    """Up, perhaps down again, then rest: whatever arrives, waits at first, and may be done by one."""
    bounds = Bounds(fewest, fewest + more, target_s)
    world = World(arriving, capacity, backlog=float(backlog), arrived=float(backlog))

    found = sizes(world, bounds, wobbles, hours=2)

    assert all(bounds.fewest <= one <= bounds.most for one in found)
    steps = [b - a for a, b in pairwise(found) if a != b]
    first_down = next((i for i, step in enumerate(steps) if step < 0), len(steps))
    assert all(step < 0 for step in steps[first_down:]), steps
    enough = (bounds.most * capacity - 1.2 * arriving) * 5000 > backlog
    assert not enough or world.backlog <= max(WORTH * bounds.most, arriving * target_s * 1.5)


@given(
    said=st.lists(
        st.one_of(
            st.none(),
            st.tuples(
                st.integers(0, 10**6), st.floats(0, 10**6), st.integers(0, 10**6), st.booleans()
            ),
        ),
        max_size=60,
    ),
    start=st.integers(1, 64),
)
def test_no_report_whatever_it_says_leads_beyond_the_bounds(
    said: list[tuple[int, float, int, bool] | None], start: int
) -> None:
    """Also those that contradict each other."""
    size, bounds = Size(start), Bounds(2, 5, 1.0, 5.0)
    for step, one in enumerate(said):
        now = at(step * STEP_S)
        heard = None if one is None else Load(now, one[0], one[1], one[2], one[2] // 2, one[3])
        size = decide(size, bounds, heard, now)

        assert 2 <= size.replicas <= 5
