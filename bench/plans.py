"""Many plans in one process: what each costs at rest, and what an event costs then."""

from __future__ import annotations

import time

from bench.measuring import EVENTS, cpu_s, load, plan_for, rss_mib, running, taken, target
from support.peers.process import wait_until

COUNTS = (1, 10, 100)
REST_S = 5.0


def run() -> None:
    """Print one row for each number of plans; events go to all of them in turn."""
    print("| plans | start s | idle MiB | idle CPU ms/s | delivered/s | CPU µs/event |")
    print("|---:|---:|---:|---:|---:|---:|")
    for count in COUNTS:
        with target() as url:
            plans = [plan_for(url, flow=f"flow-{number}") for number in range(count)]
            started = time.perf_counter()
            with running(*plans) as worker:
                ready_s, idle_mib = time.perf_counter() - started, rss_mib(worker.pid)
                cpu, rested_at = cpu_s(worker.pid), time.perf_counter()
                wait_until(
                    lambda at=rested_at: time.perf_counter() - at > REST_S,  # type: ignore[misc]
                    what="it has rested",
                )
                rest = (cpu_s(worker.pid) - cpu) / (time.perf_counter() - rested_at) * 1e3
                cpu, before, at = cpu_s(worker.pid), taken(url), time.perf_counter()
                load(",".join(worker.capture_url(plan) for plan in plans), EVENTS)
                wait_until(
                    lambda wanted=before + EVENTS: taken(url) >= wanted,  # type: ignore[misc]
                    what="all is delivered",
                    timeout_s=300,
                )
                seconds, used = time.perf_counter() - at, cpu_s(worker.pid) - cpu
            print(
                f"| {count} | {ready_s:.1f} | {idle_mib:.0f} | {rest:.1f} | {EVENTS / seconds:,.0f} | "
                f"{used / EVENTS * 1e6:.0f} |",
                flush=True,
            )
