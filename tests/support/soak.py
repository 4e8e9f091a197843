"""`make fault HOURS=8`: breaks things at random for so long, each round another combination.

A round is one kill run: so many alerts, so many deaths of the worker, a search that lags, answers that never
come. Ends at the first round that is not clean, with the command that repeats it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import sys
import time
from pathlib import Path

from support.runtime.kill_run import Scenario, Verdict, run


def scenario_of(seed: int) -> Scenario:
    """The combination that a seed stands for."""
    draw = random.Random(seed)
    events = draw.randrange(200, 3001)
    return Scenario(
        events=events,
        kills=draw.randrange(10, max(11, events // 8)),
        seed=seed,
        search_lag_s=draw.choice((0.0, 0.2, 0.5, 1.5)),
        hang_share=draw.choice((0.0, 0.02, 0.1)),
    )


def main(arguments: list[str]) -> int:
    """Run rounds until the time is over; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make fault HOURS=8", description=__doc__)
    parser.add_argument("--hours", type=float, default=0.0, help="how long; 0 is one round")
    parser.add_argument("--seed", type=int, default=None, help="repeat one round")
    parser.add_argument("--report", type=Path, default=Path("build/soak-report.md"))
    given = parser.parse_args(arguments)
    end = time.monotonic() + given.hours * 3600
    given.report.parent.mkdir(parents=True, exist_ok=True)
    with given.report.open("w", encoding="utf-8") as report:
        print("# Soak\n", file=report)
        while True:
            seed = secrets.randbelow(2**31) if given.seed is None else given.seed
            scenario, began = scenario_of(seed), time.monotonic()
            verdict = asyncio.run(run(scenario))
            line = told(scenario, verdict, time.monotonic() - began)
            for place in (sys.stdout, report):
                print(f"- {line}", file=place, flush=True)
            if not verdict.clean:
                print(f"- {verdict}", file=report)
                print(f"repeat with: python -m support.soak --seed {seed}", file=sys.stderr)
                return 1
            if given.seed is not None or time.monotonic() >= end:
                return 0


def told(scenario: Scenario, verdict: Verdict, seconds: float) -> str:
    """One line about one round."""
    return (
        f"seed {scenario.seed}: {verdict.acknowledged} acknowledged of {scenario.events}, {verdict.kills} kills, "
        f"{len(verdict.lost)} lost, {len(verdict.duplicates)} doubled, {len(verdict.not_resolved)} left open, "
        f"{verdict.review} set aside, {seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
