"""Kill the worker hundreds of times: what was acknowledged becomes exactly one ticket."""

from __future__ import annotations

import pytest

from support.runtime.kill_run import POINTS, Scenario, run

pytestmark = pytest.mark.fault

KILLS = {"short": 220, "full": 10_000}
EVENTS = {"short": 2_000, "full": 60_000}


async def test_no_acknowledged_alert_is_lost_or_doubled_however_often_the_worker_dies(
    seed: int, fault_runs: str
) -> None:
    """F01, F02: 0 lost, 0 duplicates, every recovery applied, the balance holds, and every point was hit."""
    events, kills = EVENTS[fault_runs], KILLS[fault_runs]

    verdict = await run(Scenario(events, kills, seed))

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
