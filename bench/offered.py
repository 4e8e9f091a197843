"""How long capture takes while events come at a fixed rate and are delivered at the same time."""

from __future__ import annotations

from bench.measuring import load, plan_for, running, target

RATES = (50, 200, 1000)
SECONDS = 10


def run() -> None:
    """Print one row a rate; latency counts from the moment at which an event was to be sent."""
    print("| offered/s | capture p50 ms | capture p99 ms |")
    print("|---:|---:|---:|")
    with target() as url:
        plan = plan_for(url)
        with running(plan) as worker:
            first = 0
            for rate in RATES:
                sent = load(worker.capture_url(plan), rate * SECONDS, float(rate), first)
                first += rate * SECONDS
                worker.wait_drained(120.0)
                print(f"| {rate} | {sent['p50_ms']:.1f} | {sent['p99_ms']:.1f} |", flush=True)
