"""What all benchmarks share: pinned processes, their CPU and memory, load, and the plan that is measured."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from intops_api.plan import FlowPlan
from support.peers.process import wait_until
from support.ports import free_port
from support.runtime.flows import change, example_manifests, make_plan
from support.runtime.worker_process import WorkerProcess

EVENTS = int(os.environ.get("INTOPS_BENCH_EVENTS", "8000"))
ROUNDS = int(os.environ.get("INTOPS_BENCH_ROUNDS", "3"))
CONNECTIONS = 64
IN_FLIGHT = 64
TOKEN = "a-token-for-benchmarks"


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one pipeline."""

    delivered_s: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    rss_mib: float


def pinned(core: int, *command: str) -> subprocess.Popen[bytes]:
    """Start a program on one core."""
    return subprocess.Popen(["taskset", "-c", str(core), *command], env=environment())


def environment() -> dict[str, str]:
    """Our own packages, and those of the tests."""
    root = Path(__file__).resolve().parents[1]
    return {**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}"}


def load(url: str, events: int, rate: float = 0.0, first: int = 0) -> dict[str, float]:
    """Send events numbered from `first` on, from the second core; several addresses take turns."""
    command = ["taskset", "-c", "1", sys.executable, "-m", "bench.load"]
    done = subprocess.run(
        [*command, url, TOKEN, str(events), str(CONNECTIONS), str(rate), str(first)],
        capture_output=True, check=True, env=environment(),
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def measure(pid: int, url: str, delivered: Callable[[], int], events: int) -> Measured:
    """Send events and wait until all are delivered."""
    before, done_before = cpu_s(pid), delivered()
    sent = load(url, events)
    wait_until(lambda: delivered() - done_before >= events, what="all is delivered", timeout_s=300)
    # From the first event on: the program that sends needs half a second to start.
    seconds = time.perf_counter() - sent["started"]
    return Measured(
        events / seconds,
        (cpu_s(pid) - before) / events * 1e6,
        sent["p50_ms"],
        sent["p99_ms"],
        rss_mib(pid),
    )


def plan_for(endpoint: str, *, flow: str = "", suspend: bool = False) -> FlowPlan:
    """The first example against a target that recognises repeated requests by a header."""
    manifests = example_manifests()
    for raw in manifests:
        if raw["kind"] == "Flow":
            raw["metadata"]["name"] = flow or raw["metadata"]["name"]
            raw["spec"]["suspend"] = suspend

    def at(spec: dict[str, Any]) -> None:
        spec.update(
            endpoint=endpoint, limits={"concurrency": IN_FLIGHT, "requestsPerSecond": 10000}
        )
        spec["class"] = "bench-desk"

    change(manifests, "Connector", "helpdesk", at)
    change(
        manifests, "Mapping", "incident-to-helpdesk",
        lambda spec: spec["to"].update({"class": "bench-desk"}),
    )  # fmt: skip
    return make_plan([*manifests, bench_class()])


@contextmanager
def target() -> Iterator[str]:
    """The cheapest HTTP target, on the second core; gives its address."""
    port = free_port("127.0.0.1")
    process = pinned(1, sys.executable, "-m", "bench.target", str(port))
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: alive(url), what="the target answers")
        yield url
    finally:
        process.kill()
        process.wait()


@contextmanager
def running(*plans: FlowPlan) -> Iterator[WorkerProcess]:
    """A worker on the first core."""
    secrets = {"alertmanager-token": {"token": TOKEN}, "helpdesk-token": {"token": "x"}}
    with WorkerProcess(*plans, secrets=secrets) as worker:
        worker.start(prefix=("taskset", "-c", "0"))
        worker.wait_ready(120.0)
        yield worker


def taken(target_url: str) -> int:
    """How many requests the target has answered; asking it costs the worker nothing."""
    return int(httpx.get(target_url, timeout=5.0).text)


def alive(url: str) -> bool:
    """Whether something answers there."""
    try:
        return httpx.get(url, timeout=1.0).status_code == 200
    except httpx.HTTPError:
        return False


def machine() -> str:
    """The machine, for the first line of a result."""
    return (
        f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}"
    )


def bench_class() -> dict[str, Any]:
    """Request Tracker's objects with the manners of a class A target."""
    from intops_core.catalog import shipped  # noqa: PLC0415

    desk = json.loads(
        json.dumps(next(raw for raw in shipped() if raw["metadata"]["name"] == "request-tracker"))
    )
    desk["metadata"]["name"] = "bench-desk"
    spec = desk["spec"]
    spec["mappings"] = {}
    spec["limits"] = {"requestsPerSecond": 10000, "concurrency": IN_FLIGHT}
    create = spec["operations"]["create"]
    create.pop("readBack")
    create["idempotency"] = {"style": "header", "header": "Idempotency-Key"}
    create["result"] = {"nativeId": "string(response.body.id)"}
    return dict(desk)
