"""Kill the worker hundreds of times: what was acknowledged becomes exactly one ticket."""

from __future__ import annotations

import pytest

from support.runtime.kill_run import POINTS, Scenario, run

pytestmark = pytest.mark.fault

# A full run is 10,000 kills in parts, each with a verdict of its own.
PARTS = {"short": 1, "full": 5}
KILLS = {"short": 220, "full": 2_000}
EVENTS = {"short": 2_000, "full": 12_000}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a part."""
    if "part" in metafunc.fixturenames:
        metafunc.parametrize("part", range(PARTS[metafunc.config.option.fault_runs]))


async def test_no_acknowledged_alert_is_lost_or_doubled_however_often_the_worker_dies(
    seed: int, fault_runs: str, part: int
) -> None:
    """F01, F02: 0 lost, 0 duplicates, every recovery applied, the balance holds, and every point was hit."""
    events, kills = EVENTS[fault_runs], KILLS[fault_runs]

    verdict = await run(Scenario(events, kills, seed + part))

    print(f"{events} events, {verdict.kills} kills: {verdict.hits}")
    assert verdict.acknowledged == events
    assert verdict.clean, verdict
    assert verdict.kills >= kills
    assert [point for point in POINTS if not verdict.hits[point]] == []


@pytest.mark.parametrize("safeguard", ["intent", "lookup"])
async def test_the_same_run_fails_without_its_safeguard(safeguard: str, seed: int) -> None:
    """F01, F02: without stored intents, or without looking before repeating, tickets are doubled."""
    verdict = await run(Scenario(300, 45, seed, flags=("--without", safeguard), hang_share=0.1))

    assert verdict.duplicates, "the run proves nothing if it is clean without the safeguard"
