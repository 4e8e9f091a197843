"""A new worker image spreads by waves, halts where a Flow is worse off with it, and goes on once that is mended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as given_values
from hypothesis import strategies as st

from intops_core.resources import Ref
from intops_operator.core.rolling import (
    WORSE_REVIEW,
    Before,
    Pace,
    Release,
    Roll,
    Rolling,
    Verdict,
    decide,
    given,
)

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
OLD, NEW, NEWER = Release("worker:1", "a"), Release("worker:2", "a"), Release("worker:3", "a")
PACE = Pace(canaries=1, wave=3, pause_s=60.0, deadline_s=180.0)


def flow(name: str, **changes: object) -> Rolling:
    """A Flow that is well with the old image."""
    one = Rolling(Ref("Flow", "itsm", name), Roll(OLD), settled=True, ready=True, delivered=5)
    return replace(one, **changes)  # type: ignore[arg-type]


def rolled(name: str, age_s: float, **changes: object) -> Rolling:
    """A Flow that got the new image so many seconds ago."""
    roll = Roll(NEW, at=NOW - timedelta(seconds=age_s))
    return flow(name, **{"roll": roll, **changes})


def proved(name: str) -> Rolling:
    """A Flow that is well with the new image, as noted."""
    return flow(name, roll=Roll(NEW, at=NOW - timedelta(hours=1), proved=True))


def names(refs: list[Ref]) -> list[str]:
    """Their names."""
    return [ref.name for ref in refs]


def verdict(*flows: Rolling, release: Release = NEW) -> Verdict:
    """Where the roll-out stands."""
    return decide(flows, release, PACE, NOW)


def test_one_flow_with_little_traffic_goes_first_and_all_others_wait() -> None:
    """Some traffic: a Flow without any would prove nothing."""
    found = verdict(flow("busy", delivered=900), flow("little"), flow("none", delivered=0))

    assert names(found.turns) == ["little"]
    assert found.waiting == 3


def test_nobody_follows_before_the_canary_has_proved_the_image() -> None:
    """Not while it starts, and not in the first minute."""
    others = [flow("a"), flow("b")]

    assert verdict(rolled("c", 30), *others).turns == []
    assert names(verdict(rolled("c", 60), *others).proofs) == ["c"]
    assert verdict(rolled("c", 60, settled=False), *others).proofs == []


def test_a_wave_follows_and_never_more_than_a_wave_rolls() -> None:
    """Two that roll leave room for one."""
    others = [flow(f"w{number}") for number in range(9)]

    assert len(verdict(proved("c"), *others).turns) == 3
    assert len(verdict(proved("c"), rolled("x", 5), rolled("y", 5), *others).turns) == 1
    assert verdict(proved("c"), *[rolled(n, 5) for n in "xyz"], *others).turns == []


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        pytest.param(
            rolled("c", 180, settled=False, ready=False),
            "its pods are not ready 180 s after they were given the image",
            id="its pods do not start",
        ),
        pytest.param(
            rolled("c", 180, ready=False),
            "it was Ready before and is not 180 s after it was given the image",
            id="it is not Ready any more",
        ),
        pytest.param(
            rolled("c", 10, review=WORSE_REVIEW),
            "5 more messages wait in review than before",
            id="it sends to review what went through before",
        ),
    ],
)
def test_a_flow_that_is_worse_off_halts_all_others(broken: Rolling, why: str) -> None:
    """And it is said why."""
    found = verdict(broken, proved("p"), flow("a"), flow("b"))

    assert [(one.flow.name, one.why) for one in found.failures] == [("c", why)]
    assert (found.turns, found.waiting) == ([], 2)


def test_a_flow_that_a_person_pauses_says_nothing_of_the_image() -> None:
    """It is not Ready, and that halts nobody; its pods are what is looked at."""
    paused = rolled("c", 7200, ready=False, paused=True)

    assert not verdict(paused, flow("a")).failures
    assert names(verdict(paused, flow("a")).proofs) == ["c"]
    assert verdict(replace(paused, settled=False), flow("a")).failures


def test_it_goes_on_when_the_broken_flow_is_well_again() -> None:
    """Nobody has to tell the operator."""
    late = rolled("c", 7200)

    assert verdict(replace(late, ready=False), flow("a")).failures
    found = verdict(late, flow("a"))
    assert (names(found.proofs), found.failures) == (["c"], [])
    assert names(verdict(proved("c"), flow("a")).turns) == ["a"]


def test_a_further_image_goes_first_to_what_the_last_one_broke() -> None:
    """It has nothing to lose, and what it was like before is what counts."""
    broken = rolled("z", 7200, settled=False, ready=False)
    found = verdict(broken, flow("a"), proved("b"), release=NEWER)

    assert names(found.turns) == ["z"]
    assert given([broken], NEWER, NOW).ready is True
    assert given([proved("b")], NEWER, NOW) == Roll(NEWER, at=NOW)


def test_back_to_the_old_image_concerns_only_those_that_left_it() -> None:
    """A roll-out that halted is taken back by one value of the chart."""
    found = verdict(rolled("c", 500, ready=False), flow("a"), flow("b"), release=OLD)

    assert (names(found.turns), found.waiting, found.done) == (["c"], 1, 2)


def test_a_flow_that_was_not_well_before_proves_and_halts_nothing_by_being_so() -> None:
    """It rolls after all that are well, and counts once its pods are there or its time is over."""
    roll = Roll(NEW, at=NOW - timedelta(seconds=100), ready=False)
    ill = flow("ill", roll=roll, ready=False)

    assert names(verdict(flow("ill", ready=False), flow("well")).turns) == ["well"]
    assert names(verdict(ill).proofs) == ["ill"]
    assert verdict(replace(ill, settled=False)).proofs == []
    late = replace(ill, settled=False, roll=replace(roll, at=NOW - timedelta(seconds=180)))
    assert (names(verdict(late).proofs), verdict(late).failures) == (["ill"], [])


def test_a_new_leader_moves_nothing_before_it_has_judged_it() -> None:
    """What it does not know is neither well nor broken."""
    found = verdict(rolled("c", 999, ready=None), flow("a", ready=None))

    assert (found.turns, found.failures, found.proofs, found.rolling) == ([], [], [], 1)


def test_one_whose_turn_has_come_takes_room_until_its_deployment_shows_it() -> None:
    """Two looks in a row do not give two turns."""
    assert verdict(flow("a", taken=True), flow("b")).turns == []


QUIET = Ref("Pool", "itsm", "quiet")


def pool(*flows: Rolling) -> list[Rolling]:
    """Flows that share the worker of one pool."""
    return [replace(one, pool=QUIET) for one in flows]


def test_a_pool_takes_one_turn_after_single_flows_and_before_those_that_prove_nothing() -> None:
    """A canary is one Flow where there is one that delivers."""
    members = pool(flow("a", delivered=1), flow("b", delivered=0))

    found = verdict(*members, flow("single", delivered=900), flow("silent", delivered=0))
    assert (names(found.turns), found.waiting) == (["single"], 3)
    found = verdict(*members, flow("silent", delivered=0))
    assert (found.turns, found.waiting) == ([QUIET], 2)
    found = verdict(proved("c"), *members, *[flow(f"w{n}") for n in range(9)])
    assert len(found.turns) == 3, "a pool is one member of a wave, however many Flows it has"


def test_what_each_flow_of_a_pool_was_before_is_noted_for_itself() -> None:
    """Or one that was ill already would hide what becomes of all others."""
    members = pool(flow("well", review=2), flow("ill", ready=False, review=7))
    roll = given(members, NEW, NOW)

    assert roll == Roll(
        NEW, at=NOW, flows=(Before("well", True, 2), Before("ill", ready=False, review=7))
    )
    assert roll.of("well") == Roll(NEW, at=NOW, review=2)
    assert roll.of("ill") == Roll(NEW, at=NOW, ready=False, review=7)


@pytest.mark.parametrize(
    ("members", "failed", "proofs"),
    [
        pytest.param([rolled("a", 60), rolled("b", 60)], [], [QUIET], id="all are well"),
        pytest.param([rolled("a", 60), rolled("b", 60, ready=False)], [], [], id="one is not yet"),
        pytest.param(
            [rolled("a", 60), rolled("b", 60, ready=False, paused=True)], [], [QUIET],
            id="one is suspended",
        ),
        pytest.param(
            [rolled("a", 180), rolled("b", 180, ready=False)], ["b"], [], id="one is worse",
        ),
        pytest.param(
            [rolled("a", 10), rolled("b", 10, review=WORSE_REVIEW)], ["b"], [],
            id="one sends to review what went through before",
        ),
        pytest.param(
            [rolled("a", 180, settled=False), rolled("b", 180, settled=False, ready=False)],
            ["a", "b"], [], id="its worker does not start",
        ),
        pytest.param(
            [rolled("a", 60), rolled("ill", 60, roll=Roll(NEW, at=NOW - timedelta(seconds=60), ready=False),
                                     ready=False)],
            [], [QUIET], id="one was ill before",
        ),
        pytest.param(
            [rolled("a", 180, ready=False), rolled("ill", 180, ready=False, roll=Roll(
                NEW, at=NOW - timedelta(seconds=180), ready=False))],
            ["a"], [], id="one was ill before and another is now",
        ),
        pytest.param(
            [rolled("a", 999), rolled("b", 999, ready=None)], [], [],
            id="a new leader has not judged one of them",
        ),
    ],
)  # fmt: skip
def test_a_pool_is_as_well_as_the_worst_of_its_flows(
    members: list[Rolling], failed: list[str], proofs: list[Ref]
) -> None:
    """Proved when all are, halted by any, and each that is worse is named."""
    found = verdict(*pool(*members), proved("p"), flow("waits"))

    assert [one.flow.name for one in found.failures] == failed
    assert {one.worker for one in found.failures} == ({QUIET} if failed else set())
    assert found.proofs == proofs
    assert names(found.turns) == ([] if failed else ["waits"])
    assert (found.failed, found.rolling) == ((1, 0) if failed else (0, 1))


def test_a_flow_that_came_into_a_pool_later_has_nothing_to_lose() -> None:
    """It begins with the image, as one with a worker of its own does: it keeps nobody from going on."""
    at = NOW - timedelta(seconds=200)
    roll = Roll(NEW, at=at, flows=(Before("old", True),))
    late = flow("late", roll=roll.of("late"), ready=False)
    old = flow("old", roll=roll.of("old"))

    found = verdict(*pool(late, old), flow("a"))
    assert (found.failures, found.proofs) == ([], [QUIET])


def test_a_pool_that_an_image_broke_gets_the_next_one_first_and_is_measured_by_what_it_was() -> (
    None
):
    """Also if a Flow of it has been ill since."""
    roll = Roll(NEW, at=NOW - timedelta(hours=1), flows=(Before("a", True, 1), Before("b", True)))
    members = pool(*[flow(n, roll=roll.of(n), ready=False, review=9) for n in "ab"])

    assert verdict(*members, flow("c"), release=NEWER).turns == [QUIET]
    assert given(members, NEWER, NOW).flows == roll.flows


@given_values(
    number=st.integers(1, 25),
    wave=st.integers(1, 6),
    canaries=st.integers(1, 3),
    bad=st.sets(st.integers(0, 24)),
    mended_after=st.integers(1, 60),
)
def test_whatever_breaks_a_wave_is_never_exceeded_and_the_end_is_reached_once_it_is_mended(
    number: int, wave: int, canaries: int, bad: set[int], mended_after: int
) -> None:
    """Flows that break, at any place, halt it; mended, every Flow gets the image."""
    pace = Pace(canaries, wave, pause_s=20.0, deadline_s=60.0)
    flows = {f"f{n}": flow(f"f{n}", delivered=n) for n in range(number)}
    broken = {f"f{n}" for n in bad}
    for step in range(mended_after + 40 + 6 * number):
        now = NOW + timedelta(seconds=step * 10)
        if step == mended_after:
            broken = set()
        found = decide(flows.values(), NEW, pace, now)
        rolls = [one.roll for one in flows.values() if one.roll.at and not one.roll.proved]
        is_proved = sum(one.roll.proved for one in flows.values()) >= canaries
        assert len(found.turns) + len(rolls) <= (max(wave, canaries) if is_proved else canaries)
        assert not (found.turns and found.failures)
        for ref in found.turns:
            one = flows[ref.name]
            flows[ref.name] = replace(one, roll=given([one], NEW, now))
        for ref in found.proofs:
            one = flows[ref.name]
            flows[ref.name] = replace(one, roll=replace(one.roll, proved=True))
        for name, one in flows.items():
            well = one.roll.release == OLD or name not in broken
            flows[name] = replace(one, settled=well, ready=well)

    assert all(one.roll == replace(one.roll, release=NEW, proved=True) for one in flows.values())
