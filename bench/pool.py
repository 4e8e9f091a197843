"""Quiet Flows in one worker against as many workers of their own: what they cost at rest."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from bench.measuring import cpu_s, plan_for, rss_mib, running, target
from support.peers.process import wait_until

FLOWS = 20
REST_S = 10.0


def run() -> None:
    """Print one row for one worker of all, and one for a worker each."""
    print("| Flows | processes | resident MiB | proportional MiB | CPU at rest ms/s |")
    print("|---:|---:|---:|---:|---:|")
    with target() as url:
        plans = [plan_for(url, flow=f"flow-{number}") for number in range(FLOWS)]
        for groups in ([plans], [[plan] for plan in plans]):
            with ExitStack() as stack:
                pids = [stack.enter_context(running(*group)).pid for group in groups]
                cpu, began = sum(map(cpu_s, pids)), time.perf_counter()
                wait_until(
                    lambda at=began: time.perf_counter() - at > REST_S,  # type: ignore[misc]
                    what="they have rested",
                )
                rest = (sum(map(cpu_s, pids)) - cpu) / (time.perf_counter() - began) * 1e3
                resident, shared = sum(map(rss_mib, pids)), sum(map(pss_mib, pids))
            print(
                f"| {FLOWS} | {len(pids)} | {resident:,.0f} | {shared:,.0f} | {rest:.0f} |",
                flush=True,
            )


def pss_mib(pid: int) -> float:
    """Resident memory of a process, each shared page divided by the processes that share it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    (kib,) = [line.split()[1] for line in lines if line.startswith("Pss:")]
    return int(kib) / 2**10
