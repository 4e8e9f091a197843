"""Kill the worker hundreds of times: what was acknowledged becomes exactly one ticket."""

from __future__ import annotations

import os
import random

import pytest

from support.runtime.kill_run import POINTS, Scenario, run

pytestmark = pytest.mark.fault

# `make fault` raises these; `INTOPS_FAULT_SEED` repeats a run.
KILLS = int(os.environ.get("INTOPS_FAULT_KILLS", "220"))
EVENTS = int(os.environ.get("INTOPS_FAULT_EVENTS", "2000"))
SEED = int(os.environ.get("INTOPS_FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)


async def test_no_acknowledged_alert_is_lost_or_doubled_however_often_the_worker_dies() -> None:
    """F01, F02: 0 lost, 0 duplicates, every recovery applied, the balance holds, and every point was hit."""
    print(f"repeat with: INTOPS_FAULT_SEED={SEED} make fault")

    verdict = await run(Scenario(EVENTS, KILLS, SEED))

    print(verdict.hits)
    assert verdict.acknowledged == EVENTS
    assert verdict.clean, verdict
    assert verdict.kills >= KILLS
    assert [point for point in POINTS if not verdict.hits[point]] == []


@pytest.mark.parametrize("safeguard", ["intent", "lookup"])
async def test_the_same_run_fails_without_its_safeguard(safeguard: str) -> None:
    """F01, F02: without stored intents, or without looking before repeating, tickets are doubled."""
    print(f"seed {SEED}")

    verdict = await run(Scenario(300, 45, SEED, flags=("--without", safeguard), hang_share=0.1))

    assert verdict.duplicates, "the run proves nothing if it is clean without the safeguard"
