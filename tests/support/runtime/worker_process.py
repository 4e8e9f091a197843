"""Starts a worker process, asks it for its report, kills it, and starts it again on the same store."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

import httpx

from intops_api.actions import ActionReport, PlanActions
from intops_api.names import ACTIONS_KEY, PLAN_KEY
from intops_api.plan import FlowPlan
from intops_api.report import PlanReport
from intops_core.planning import encode_plan
from support.peers.process import wait_until
from support.ports import free_port
from support.runtime.forked import ForkedWorker

TESTS = Path(__file__).resolve().parents[2]


class WorkerProcess:
    """One worker with its own folders; stopped by its pid."""

    def __init__(self, *plans: FlowPlan, secrets: dict[str, dict[str, str]]) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="intops-worker-"))
        self.log_file = self.root / "worker.log"
        self.note = self.root / "note"
        self.last_words = self.root / "last-words"
        self.capture_port = free_port("127.0.0.1")
        self.operations_port = free_port("127.0.0.1")
        self._process: subprocess.Popen[bytes] | ForkedWorker | None = None
        for folder in ("plans", "secrets", "data"):
            (self.root / folder).mkdir()
        for plan in plans:
            self.write_plan(plan)
        for name, values in secrets.items():
            self.write_secret(name, values)

    def write_plan(self, plan: FlowPlan) -> None:
        """Hand a plan to the worker, as a ConfigMap volume would."""
        self.write_packed(plan.flow.name, encode_plan(plan))

    def write_packed(self, flow: str, plan: bytes) -> None:
        """Hand the worker whatever is to be a plan."""
        folder = self.root / "plans" / flow
        folder.mkdir(exist_ok=True)
        fresh = folder / ".fresh"
        fresh.write_bytes(plan)
        fresh.rename(folder / PLAN_KEY)

    def remove_plan(self, plan: FlowPlan) -> None:
        """Take a plan away, as when its Flow is deleted and others go on."""
        (self.root / "plans" / plan.flow.name / PLAN_KEY).unlink()

    def write_secret(self, name: str, values: dict[str, str]) -> None:
        """Lay a Secret out, as a Secret volume would."""
        folder = self.root / "secrets" / name
        folder.mkdir(exist_ok=True)
        for key, value in values.items():
            fresh = folder / f".{key}.fresh"
            fresh.write_text(value, encoding="utf-8")
            fresh.rename(folder / key)

    def write_actions(self, plan: FlowPlan, *actions: dict[str, Any]) -> None:
        """Hand decisions to the worker, as the ConfigMap volume would."""
        document = PlanActions.model_validate(
            {"namespace": plan.flow.namespace, "flow": plan.flow.name, "actions": list(actions)}
        )
        folder = self.root / "plans" / plan.flow.name
        fresh = folder / ".actions"
        fresh.write_text(document.model_dump_json(by_alias=True), encoding="utf-8")
        fresh.rename(folder / ACTIONS_KEY)

    def answers(self) -> dict[str, ActionReport]:
        """What the worker reports about decisions, by uid."""
        return {answer.uid: answer for answer in self.report().actions}

    def start(
        self, *test_flags: str, worker_flags: tuple[str, ...] = (), prefix: tuple[str, ...] = ()
    ) -> None:
        """Start the process; does not wait."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "support.runtime.entry",
                 *self._arguments(test_flags, worker_flags)],
                stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": str(TESTS)},
            )  # fmt: skip

    def start_at_once(self, *test_flags: str) -> None:
        """Start it as a fork of a process that has imported everything; for those who start thousands."""
        self._process = ForkedWorker(self._arguments(test_flags, ()), self.log_file)

    def _arguments(self, test_flags: tuple[str, ...], worker_flags: tuple[str, ...]) -> list[str]:
        self.note.unlink(missing_ok=True)
        return [
            "--note", str(self.note), *test_flags, "--",
            "--plans", str(self.root / "plans"), "--secrets", str(self.root / "secrets"),
            "--data", str(self.root / "data"), "--name", "test",
            "--capture-host", "127.0.0.1", "--capture-port", str(self.capture_port),
            "--operations-host", "127.0.0.1", "--operations-port", str(self.operations_port),
            "--console-port", "0", "--allow-loopback", "--allow-volatile",
            "--last-words", str(self.last_words), *worker_flags,
        ]  # fmt: skip

    @property
    def pid(self) -> int:
        """Process id; `taskset` replaces itself, so a prefix does not change it."""
        assert self._process is not None
        return self._process.pid

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until the worker says that it is ready, or is dead again."""
        wait_until(
            lambda: self.exited() or self._answers("/readyz"),
            what=f"the worker is ready (log: {self.log_file})",
            timeout_s=timeout_s,
        )

    @property
    def exit_code(self) -> int:
        """How the process ended."""
        assert self._process is not None
        assert self._process.returncode is not None, "the worker runs"
        return self._process.returncode

    def exited(self) -> bool:
        """Whether the process has ended."""
        return self._process is not None and self._process.poll() is not None

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self, timeout_s: float = 40.0) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout_s)

    def signal(self, what: signal.Signals) -> None:
        """Any signal; does not wait."""
        assert self._process is not None
        self._process.send_signal(what)

    def wait(self, timeout_s: float) -> bool:
        """Whether the process ends by itself within the time."""
        assert self._process is not None
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def capture_url(self, plan: FlowPlan, binding: str = "prometheus") -> str:
        """Where senders deliver."""
        path = f"/in/{plan.flow.namespace}/{plan.flow.name}/{binding}"
        return f"http://127.0.0.1:{self.capture_port}{path}"

    def report(self) -> PlanReport:
        """What the worker says about its first plan."""
        return self.reports()[0]

    def reports(self) -> list[PlanReport]:
        """What the worker says about each of its plans."""
        answer = httpx.get(f"http://127.0.0.1:{self.operations_port}/report", timeout=10.0)
        plans: list[dict[str, Any]] = answer.raise_for_status().json()["plans"]
        return [PlanReport.model_validate(plan) for plan in plans]

    def plans(self) -> int:
        """How many plans it has."""
        answer = httpx.get(f"http://127.0.0.1:{self.operations_port}/report", timeout=10.0)
        return len(answer.raise_for_status().json()["plans"])

    def peak_memory_kib(self) -> int:
        """The most memory that it has had at once (VmHWM of proc(5))."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])

    def metrics(self) -> str:
        """Everything at /metrics."""
        return httpx.get(f"http://127.0.0.1:{self.operations_port}/metrics", timeout=10.0).text

    def wait_drained(self, timeout_s: float = 60.0) -> PlanReport:
        """Wait until nothing is in flight and nothing waits to be split."""

        def drained() -> PlanReport | None:
            report = self.report()
            return report if report.store.in_flight == 0 and report.store.pending == 0 else None

        return wait_until(drained, what="everything is delivered", timeout_s=timeout_s)

    def _answers(self, path: str) -> bool:
        try:
            url = f"http://127.0.0.1:{self.operations_port}{path}"
            return httpx.get(url, timeout=2.0).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.exited():
            self.kill()
