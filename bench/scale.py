"""The operator with a large estate, on a real API server: `make bench-scale`, `FLOWS=10000` for the larger one.

`python -m bench.scale FLOWS [intops|ordinary]`. The control plane shares the machine's cores with what is measured,
so times hold for this machine only; memory, requests and writes do not depend on it. Nothing is asserted.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

from bench.estate import (
    SHARED,
    SPACE,
    Client,
    Workers,
    objects,
    pod,
    workers,
)
from bench.measuring import cpu_s, environment, machine, rss_mib
from support.cluster.controlplane import ControlPlane, home, on_loopback
from support.cluster.polling import until
from support.operators import OperatorProcess, documents, install_kinds, operator
from support.webhooks import webhook

REST_S = float(os.environ.get("INTOPS_BENCH_REST", "60"))
REVIEWS = 600
PATIENCE_S = 3600
CONFIGURATION = "intops-scale"
HURRY = ("--status-rate=400", "--report-interval=2")
"""For the first filling only, which is not measured: four status writes a second would take hours."""


@contextmanager
def as_in_the_image(folder: Path) -> Iterator[None]:
    """Hide the official client from the operator: its image has none, and kopf imports it where it is."""
    hiding = folder / "hiding"
    hiding.mkdir()
    (hiding / "kubernetes.py").write_text('raise ImportError("not in the image")\n')
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = f"{hiding}:{before}"
    try:
        yield
    finally:
        os.environ["PYTHONPATH"] = before


def row(what: str, figure: str) -> None:
    """One line of the table."""
    print(f"| {what} | {figure} |", flush=True)


@contextmanager
def cluster(flows: int) -> Iterator[ControlPlane]:
    """An API server with everything that people would have applied, and no controller but ours."""
    # Each Flow has a Service; the range that the harness has else ends with the 4,096th.
    place = replace(on_loopback(), services="10.96.0.0/16")
    plane = ControlPlane(home(f"scale-{os.getpid()}"), place, controllers=False)
    try:
        plane.start()
        install_kinds(plane)
        began = time.perf_counter()
        asyncio.run(_fill(plane, flows))
        print(f"\n{flows} Flows and what they use applied in {time.perf_counter() - began:.0f} s\n")
        print("| what | measured |\n|---|---|")
        before, began = asked(plane), time.perf_counter()
        time.sleep(REST_S / 3)
        seconds = time.perf_counter() - began
        row(
            "the API server by itself: requests", f"{(asked(plane)[0] - before[0]) / seconds:.1f}/s"
        )
        yield plane
    finally:
        plane.remove()


async def _fill(plane: ControlPlane, flows: int) -> None:
    async with Client(plane) as client:
        made = list(objects(flows))
        await client.apply(made[0])
        await client.all(made[1:], client.apply)


async def _run_pods(plane: ControlPlane, flows: int) -> None:
    async with Client(plane) as client:
        await client.all((pod(number) for number in range(flows)), client.run_pod)


async def _hashes(plane: ControlPlane) -> dict[str, str]:
    async with Client(plane) as client:
        return await client.hashes()


def ready_flows(replica: OperatorProcess) -> float:
    """Flows that the operator has judged to be Ready."""
    lines = replica.fetch("/metrics")[1].splitlines()
    named = [
        line
        for line in lines
        if line.startswith("intops_operator_flows{") and 'status="True"' in line
    ]
    return sum(float(line.rpartition(" ")[2]) for line in named)


def waited(
    what: str, holds: Callable[[], bool], *, replica: OperatorProcess | None = None
) -> float:
    """Seconds until something holds."""
    began = time.perf_counter()
    explain = replica.tail if replica is not None else (lambda: "")
    until(holds, what, timeout_s=PATIENCE_S, every_s=0.25, explain=explain)
    return time.perf_counter() - began


def asked(plane: ControlPlane) -> tuple[float, float]:
    """Requests that the API server has had from anybody, and those of them that write."""
    total = writes = 0.0
    for line in plane.kubectl.run("get", "--raw", "/metrics").splitlines():
        if line.startswith("apiserver_request_total{") and 'group="coordination' not in line:
            count = float(line.rpartition(" ")[2])
            verb = line.partition('verb="')[2].partition('"')[0]
            total += count
            writes += count if verb in ("POST", "PUT", "PATCH", "APPLY", "DELETE") else 0.0
    return total, writes


def rest(plane: ControlPlane, pid: int, name: str) -> None:
    """What happens in a minute in which nobody changes anything."""
    total, writes = asked(plane)
    cpu, began = cpu_s(pid), time.perf_counter()
    time.sleep(REST_S)
    seconds = time.perf_counter() - began
    total_after, writes_after = asked(plane)
    row(
        f"{name}: CPU, requests, writes, memory",
        f"{(cpu_s(pid) - cpu) / seconds * 1000:.0f} ms/s, {(total_after - total) / seconds:.1f}/s, "
        f"{(writes_after - writes) / seconds:.1f}/s, {rss_mib(pid):.0f} MiB",
    )


async def _change_shared(plane: ControlPlane) -> None:
    shared = documents("mappings.yaml")[0]
    assert shared["metadata"]["name"] == SHARED
    shared["metadata"] = {"name": SHARED, "namespace": SPACE}
    shared["spec"]["fields"][0]["meaning"] = (
        "One line that a person who was just woken up can act on."
    )
    async with Client(plane) as client:
        await client.apply(shared)


def replanned(plane: ControlPlane, flows: int, before: dict[str, str]) -> float:
    """Seconds from a change of the shared Mapping until every Flow has another plan."""
    asyncio.run(_change_shared(plane))

    def done() -> bool:
        now = asyncio.run(_hashes(plane))
        return (
            sum(1 for flow, digest in before.items() if now.get(flow) not in ("", digest)) == flows
        )

    return waited("every Flow to have its new plan", done)


async def _reviews(plane: ControlPlane, flows: int, count: int = REVIEWS) -> list[float]:
    """Milliseconds of so many dry runs of Flows, four at a time; each changes something else."""
    made = [one for one in objects(min(flows, count)) if one["kind"] == "Flow"]
    taken: list[float] = []
    waiting = enumerate(islice(cycle(made), count), 1)

    async def one(client: Client) -> None:
        for number, flow in waiting:
            flow["spec"]["review"]["dueWithin"] = f"{number}m"
            began = time.perf_counter()
            await client.apply(flow, dry=True)
            taken.append((time.perf_counter() - began) * 1000)

    async with Client(plane) as client, asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(one(client))
    return sorted(taken)


def _percentiles(taken: list[float]) -> str:
    return f"p50 {taken[len(taken) // 2]:.0f} ms, p99 {taken[int(len(taken) * 0.99)]:.0f} ms"


def admission(plane: ControlPlane, replica: OperatorProcess, flows: int) -> None:
    """Dry runs without and with our webhook."""
    row("dry run of a Flow without the webhook", _percentiles(asyncio.run(_reviews(plane, flows))))
    plane.kubectl.apply(webhook(CONFIGURATION, replica.ports["admission"], SPACE))
    plane.kubectl.wait(
        lambda found: bool(found["webhooks"][0]["clientConfig"].get("caBundle")),
        f"validatingwebhookconfiguration/{CONFIGURATION}", what="the authority",
    )  # fmt: skip
    until(lambda: _is_asked(plane, replica), "the API server to ask", timeout_s=30)
    row("the same with it", _percentiles(asyncio.run(_reviews(plane, flows))))
    plane.kubectl.run("delete", "validatingwebhookconfiguration", CONFIGURATION)


def _is_asked(plane: ControlPlane, replica: OperatorProcess) -> bool:
    asyncio.run(_reviews(plane, 1, count=1))
    return replica.metric("intops_operator_admission_reviews_total") > 0


def fill(plane: ControlPlane, folder: Path, fake: Workers, flows: int) -> None:
    """Let the operator make every worker once, in a hurry, and its pods run."""
    port = f"--operations-port={fake.port}"
    with operator(plane, folder, "filling", port, *HURRY, times=(), ready_s=PATIENCE_S) as replica:
        seconds = waited(
            "all Flows to have a worker",
            lambda: len(asyncio.run(_hashes(plane))) == flows,
            replica=replica,
        )
        row("from nothing until every Flow has its worker", f"{seconds:.0f} s")
        asyncio.run(_run_pods(plane, flows))
        fake.active = asyncio.run(_hashes(plane))
        waited("all Flows to be Ready", lambda: ready_flows(replica) == flows, replica=replica)
        waited("statuses to be written", lambda: not _writes(replica), replica=replica)


def _writes(replica: OperatorProcess) -> bool:
    before = replica.metric("intops_operator_status_writes_total")
    time.sleep(3)
    return replica.metric("intops_operator_status_writes_total") > before


def measure_intops(flows: int) -> None:
    """Every row of the operator."""
    with (
        cluster(flows) as plane,
        tempfile.TemporaryDirectory() as folder,
        workers() as fake,
        as_in_the_image(Path(folder)),
    ):
        _phases(plane, Path(folder), fake, flows)


def _phases(plane: ControlPlane, folder: Path, fake: Workers, flows: int) -> None:
    fill(plane, folder, fake, flows)
    flags = (f"--operations-port={fake.port}", f"--webhook-configuration={CONFIGURATION}")
    began = time.perf_counter()
    with operator(plane, folder, "measured", *flags, times=(), ready_s=PATIENCE_S) as replica:
        pid = replica.process.pid
        row(
            "start with all there: until ready for admission",
            f"{time.perf_counter() - began:.1f} s",
        )
        waited("all Flows to be Ready", lambda: ready_flows(replica) == flows, replica=replica)
        row(
            "until all are judged; CPU, memory",
            f"{time.perf_counter() - began:.1f} s; {cpu_s(pid):.1f} s, {rss_mib(pid):.0f} MiB",
        )
        rest(plane, pid, "at rest")
        fake.traffic = True
        rest(plane, pid, "every worker delivers")
        fake.traffic = False
        admission(plane, replica, flows)
        before = asyncio.run(_hashes(plane))
        row(
            "a Mapping that all use: all have new plans", f"{replanned(plane, flows, before):.1f} s"
        )
        fake.active = asyncio.run(_hashes(plane))
        waited("all Flows to be Ready", lambda: ready_flows(replica) == flows, replica=replica)
        with operator(plane, folder, "second", *flags, times=(), ready_s=PATIENCE_S) as second:
            replica.kill()
            killed = time.perf_counter()
            waited("the second to lead", second.leads, replica=second)
            led = time.perf_counter() - killed
            waited("all Flows to be Ready", lambda: ready_flows(second) == flows, replica=second)
            row(
                "leader killed: another leads; has judged all",
                f"{led:.1f} s; {time.perf_counter() - killed:.1f} s",
            )


def measure_ordinary(flows: int) -> None:
    """The rows that the peer has, too."""
    with cluster(flows) as plane:
        env = {**environment(), "KUBECONFIG": str(plane.kubeconfig)}
        command = [sys.executable, "-m", "bench.ordinary", str(plane.kubeconfig)]
        for name in ("from nothing until every Flow has its worker", "start with all there"):
            began = time.perf_counter()
            process = subprocess.Popen(
                command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                _settled(plane, process.pid, flows)
                took, cpu = time.perf_counter() - began, cpu_s(process.pid)
                row(
                    f"{name}; CPU, memory",
                    f"{took:.0f} s; {cpu:.0f} s, {rss_mib(process.pid):.0f} MiB",
                )
                if name.startswith("start"):
                    rest(plane, process.pid, "at rest")
                    before = asyncio.run(_hashes(plane))
                    row(
                        "a Mapping that all use: all have new plans",
                        f"{replanned(plane, flows, before):.0f} s",
                    )
            finally:
                process.kill()
                process.wait()


def _settled(plane: ControlPlane, pid: int, flows: int) -> None:
    """Until every Flow has its worker and the process does nothing any more."""
    waited("all Flows to have a worker", lambda: len(asyncio.run(_hashes(plane))) == flows)
    used = [cpu_s(pid)]

    def idles() -> bool:
        time.sleep(3)
        used.append(cpu_s(pid))
        return used[-1] - used[-2] < 0.15

    waited("the peer to have done its work", idles)


def main(words: list[str]) -> int:
    """Run one or both sides."""
    flows = int(words[0]) if words else 1000
    sides = words[1:] or ["intops", "ordinary"]
    print(machine())
    for side in sides:
        print(f"\n### {side}, {flows} Flows")
        {"intops": measure_intops, "ordinary": measure_ordinary}[side](flows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
