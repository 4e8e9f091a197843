"""One worker against the bare client and the thinnest pipeline, in one run."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time

import httpx

from bench.measuring import (
    CONNECTIONS,
    EVENTS,
    IN_FLIGHT,
    ROUNDS,
    Measured,
    alive,
    environment,
    measure,
    pinned,
    plan_for,
    rss_mib,
    running,
    taken,
    target,
)
from support.peers.process import wait_until
from support.ports import free_port


def measure_worker(target_url: str) -> tuple[Measured, float, float]:
    """The worker: whole path; also idle memory and cold start."""
    plan = plan_for(target_url)
    started = time.perf_counter()
    with running(plan) as worker:
        cold_s = time.perf_counter() - started
        idle_mib = rss_mib(worker.pid)
        measured = measure(worker.pid, worker.capture_url(plan), lambda: taken(target_url), EVENTS)
    return measured, idle_mib, cold_s


def measure_thin(target_url: str) -> Measured:
    """The thinnest pipeline."""
    port = free_port("127.0.0.1")
    with tempfile.TemporaryDirectory() as folder:
        process = pinned(
            0, sys.executable, "-m", "bench.thin", str(port), target_url, f"{folder}/q.sqlite"
        )
        url = f"http://127.0.0.1:{port}/"
        try:
            wait_until(lambda: alive(url), what="the thin pipeline answers")
            return measure(process.pid, url, lambda: int(httpx.get(url).text), EVENTS)
        finally:
            process.kill()
            process.wait()


def measure_bare(target_url: str) -> tuple[float, float]:
    """Requests a second and CPU µs a request of the bare client."""
    done = subprocess.run(
        ["taskset", "-c", "0", sys.executable, "-m", "bench.bare", target_url, str(EVENTS), str(IN_FLIGHT)],
        capture_output=True, check=True, env=environment(),
    )  # fmt: skip
    found = json.loads(done.stdout)
    return found["events"] / found["seconds"], found["cpu_s"] / found["events"] * 1e6


def run() -> None:
    """Print the table of every round and the ratios."""
    print(
        f"{EVENTS} events of 1 kB, {CONNECTIONS} senders, {IN_FLIGHT} in flight, {ROUNDS} rounds\n"
    )
    print("| round | pipeline | delivered/s | CPU µs/event | capture p50 / p99 ms | RSS MiB |")
    print("|---|---|---:|---:|---:|---:|")
    with target() as url:
        for number in range(1, ROUNDS + 1):
            bare_s, bare_us = measure_bare(url)
            print(f"| {number} | bare aiohttp client | {bare_s:,.0f} | {bare_us:.0f} | – | – |")
            thin = measure_thin(url)
            _row(number, "thinnest pipeline", thin)
            worker, idle, cold = measure_worker(url)
            _row(number, "intops worker", worker)
            print(
                f"| {number} | ratios | {worker.delivered_s / thin.delivered_s:.2f} of thin, "
                f"{worker.delivered_s / bare_s:.2f} of bare | {worker.cpu_us / thin.cpu_us:.2f} × thin | "
                f"– | idle {idle:.0f}, start {cold:.2f} s |",
                flush=True,
            )


def _row(number: int, name: str, found: Measured) -> None:
    print(
        f"| {number} | {name} | {found.delivered_s:,.0f} | {found.cpu_us:.0f} | "
        f"{found.p50_ms:.1f} / {found.p99_ms:.1f} | {found.rss_mib:.0f} |",
        flush=True,
    )
