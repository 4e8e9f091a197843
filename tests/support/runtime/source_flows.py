"""A Flow from any shipped source to the simulated helpdesk, and what one delivery of it becomes.

Used by the tests of sources, which differ in their class alone: the Mapping is the one that the class ships.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from intops_api.plan import FlowPlan
from intops_api.report import PlanReport
from intops_runtime.core.compiled import CompiledPlan
from intops_runtime.core.intake import intake
from intops_runtime.core.limits import kept_headers
from intops_runtime.core.messages import Delivery, NewMessage
from support.peers.process import wait_until
from support.runtime.flows import alerts_to_helpdesk, change
from support.runtime.worker_process import WorkerProcess
from support.simulators.launcher import HelpdeskSimulator

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
SOURCE_TOKEN = "a-token-for-tests"


def plan_from(class_name: str, desk: str, **connector: Any) -> FlowPlan:
    """The first example with its source replaced; `connector` is what its Connector says besides."""

    def edit(manifests: list[dict[str, Any]]) -> None:
        change(
            manifests, "Connector", "alertmanager",
            lambda spec: spec.update({"class": class_name, **connector}),
        )  # fmt: skip
        change(
            manifests, "Flow", "alerts-to-helpdesk",
            lambda spec: spec["roles"]["source"][0].pop("mapping"),
        )  # fmt: skip

    return alerts_to_helpdesk(desk, edit=edit)


def taken(
    plan: CompiledPlan, body: Any, headers: Mapping[str, str] | None = None
) -> tuple[NewMessage, ...]:
    """The messages of one delivery that came with these headers."""
    kept = kept_headers({name.lower(): value for name, value in (headers or {}).items()})
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return intake(plan, Delivery(7, "prometheus", "d", kept, data, 0.0), now=NOW).messages


@dataclass(slots=True)
class SourceLine:
    """A worker whose source is of some class, and a desk behind it."""

    worker: WorkerProcess
    desk: HelpdeskSimulator
    plan: FlowPlan

    @property
    def url(self) -> str:
        """Where the source sends to."""
        return self.worker.capture_url(self.plan)

    def post(self, body: Any, headers: Mapping[str, str] | None = None) -> int:
        """Deliver a body as the source would; returns the status of the answer."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {SOURCE_TOKEN}",
            **(headers or {}),
        }
        return httpx.post(self.url, content=content, headers=sent).status_code

    def until(self, what: str, holds: Any, timeout_s: float = 30.0) -> PlanReport:
        """Wait for a report that says so."""

        def seen() -> PlanReport | None:
            report = self.worker.report()
            return report if holds(report) else None

        found: PlanReport = wait_until(seen, what=what, timeout_s=timeout_s)
        return found

    def tickets(self) -> list[tuple[str, str]]:
        """Subject and status of each ticket, oldest first."""
        return [(ticket["Subject"], ticket["Status"]) for ticket in self.desk.tickets()]


@contextmanager
def line_from(
    plan: FlowPlan, desk: HelpdeskSimulator, *, ca: str | None = None, **credentials: str
) -> Iterator[SourceLine]:
    """Run a worker with this plan.

    Args:
        ca: Certificate of the authority of the Secret `source-ca`, PEM.
        credentials: Keys of the source's Secret beside the token.
    """
    secrets = {
        "alertmanager-token": {"token": SOURCE_TOKEN, **credentials},
        "helpdesk-token": {"token": desk.token},
        **({} if ca is None else {"source-ca": {"ca.crt": ca}}),
    }
    with WorkerProcess(plan, secrets=secrets) as worker:
        worker.start()
        worker.wait_ready()
        yield SourceLine(worker, desk, plan)
