"""Whether an event costs more where many are stored: a suspended Flow fills up, then drains."""

from __future__ import annotations

import os
import time

from bench.measuring import cpu_s, load, plan_for, running, taken, target
from support.peers.process import wait_until

STORED = int(os.environ.get("INTOPS_BENCH_BACKLOG", "20000"))
PARTS = 5


def run() -> None:
    """Print what an event costs on its way in and, in each part of the drain, on its way out."""
    print(f"{STORED} stored messages\n")
    print("| part | events | events/s | CPU µs/event |")
    print("|---|---:|---:|---:|")
    part = STORED // PARTS
    with target() as url:
        plan = plan_for(url, suspend=True)
        with running(plan) as worker:
            for number in range(PARTS):
                cpu, started = cpu_s(worker.pid), time.perf_counter()
                load(worker.capture_url(plan), part, 0.0, number * part)
                wait_until(
                    lambda stored=(number + 1) * part: worker.report().store.waiting >= stored,  # type: ignore[misc]
                    what="all is stored",
                    timeout_s=300,
                )
                _row(f"in, after {number * part:,}", part, started, cpu_s(worker.pid) - cpu)
            before = taken(url)
            worker.write_plan(plan_for(url))
            wait_until(lambda: taken(url) > before, what="the Flow goes on")
            for number in range(PARTS):
                cpu, started, done = cpu_s(worker.pid), time.perf_counter(), taken(url)
                until = min(before + (number + 1) * part, before + PARTS * part)
                wait_until(
                    lambda until=until: taken(url) >= until,  # type: ignore[misc]
                    what="a part is delivered",
                    timeout_s=300,
                )
                left = STORED - number * part
                _row(f"out, of {left:,}", taken(url) - done, started, cpu_s(worker.pid) - cpu)


def _row(name: str, events: int, started: float, cpu: float) -> None:
    seconds = time.perf_counter() - started
    print(
        f"| {name} | {events:,} | {events / seconds:,.0f} | {cpu / max(events, 1) * 1e6:.0f} |",
        flush=True,
    )
