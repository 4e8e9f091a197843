"""Several worker processes on one PostgreSQL database, as the replicas of one Flow."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Self

from intops_api.flow import PostgresStore, Store
from intops_api.plan import FlowPlan
from support.peers.postgresql import PostgreSQL
from support.peers.process import wait_until
from support.runtime.worker_process import WorkerProcess

SECRET = "store"


def shared(plan: FlowPlan) -> FlowPlan:
    """The same plan with its messages in PostgreSQL."""
    return plan.model_copy(update={"store": Store(postgres=PostgresStore(secret_name=SECRET))})


class ReplicaSet:
    """Replicas of one plan; each is a process with its own folders and ports."""

    def __init__(
        self, peer: PostgreSQL, plan: FlowPlan, secrets: dict[str, dict[str, str]], *, replicas: int
    ) -> None:
        self._peer = peer
        self._stack = ExitStack()
        self.plan = plan
        self.workers = {
            f"replica-{number}": WorkerProcess(plan, secrets={**secrets, SECRET: peer.secret})
            for number in range(replicas)
        }

    @property
    def urls(self) -> list[str]:
        """Where senders may deliver."""
        return [worker.capture_url(self.plan) for worker in self.workers.values()]

    def start(self, name: str, *test_flags: str) -> None:
        """Start one replica; does not wait."""
        self.workers[name].start(*test_flags, worker_flags=("--name", name))

    def start_all(self, flags: Mapping[str, tuple[str, ...]]) -> None:
        """Start every replica, some with test flags, and wait until lanes are spread among them."""
        for name in self.workers:
            self.start(name, *flags.get(name, ()))
        for worker in self.workers.values():
            worker.wait_ready()
        fair = 0.9 * 256 / len(self.workers)
        self.wait_for(
            lambda lanes: len(lanes) == len(self.workers) and min(lanes.values()) >= fair,
            what="every replica has its share of lanes",
        )

    def lanes(self) -> dict[str, int]:
        """How many lanes each replica holds; a lane whose replica is gone is nobody's, under ""."""
        if self._peer.sql("SELECT to_regclass('intops.lanes') IS NULL") == "t":
            return {}
        rows = self._peer.sql(
            "SELECT coalesce(r.name, ''), count(*) FROM intops.lanes l "
            "LEFT JOIN intops.replicas r ON r.flow = l.flow AND r.owner = l.owner GROUP BY 1"
        )
        return {
            name: int(count) for name, count in (row.split("|") for row in rows.splitlines() if row)
        }

    def wait_for(
        self, probe: Callable[[dict[str, int]], bool], *, what: str, timeout_s: float = 30.0
    ) -> float:
        """Wait until something is true of the lanes; returns how many seconds it took."""
        began = time.monotonic()
        wait_until(lambda: probe(self.lanes()), what=what, timeout_s=timeout_s)
        return time.monotonic() - began

    def wait_taken_over(self, name: str) -> float:
        """Wait until others hold all lanes of a replica; returns how many seconds it took."""
        return self.wait_for(
            lambda lanes: name not in lanes and "" not in lanes and sum(lanes.values()) == 256,
            what=f"the lanes of {name} are taken over",
        )

    def wait_frozen(self, name: str) -> None:
        """Wait until a replica has stopped itself, as a pause of its machine would."""
        wait_until(self.workers[name].note.exists, what=f"{name} freezes")

    def thaw(self, name: str) -> None:
        """Let it go on."""
        os.kill(self.workers[name].pid, signal.SIGCONT)

    def wait_refused(self, name: str) -> int:
        """Wait until late writes of a replica were refused, as its report says; returns how many."""
        worker = self.workers[name]
        return wait_until(lambda: worker.report().store.fenced, what=f"{name} is refused")

    def told(self, name: str) -> set[str]:
        """Events of a replica's log."""
        lines = self.workers[name].log_file.read_text(encoding="utf-8").splitlines()
        return {json.loads(line)["event"] for line in lines if line.startswith("{")}

    def __enter__(self) -> Self:
        for worker in self.workers.values():
            self._stack.enter_context(worker)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
