"""Judges what a real worker reports as the operator would, four times a second, and times what it says.

Used by tests that measure when the status of a Flow tells of trouble and when it takes that back. The
operator asks each worker every few seconds (`--report-interval`); that comes on top of these times.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from intops_api.conditions import Condition, ConditionType
from intops_api.plan import FlowPlan
from intops_api.report import PlanReport
from intops_operator.core.facts import FlowFacts, Heard
from intops_operator.core.flowstatus import flow_status
from intops_operator.core.judging import Judged, judge_flow
from support.operator_facts import POD, example_spec
from support.runtime.worker_process import WorkerProcess

EVERY_S = 0.25
_TIMES = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_AGES = re.compile(r"\b\d+ s old\b")


@dataclass(frozen=True, slots=True)
class Said:
    """What the status said, and how many seconds after what was waited from."""

    after_s: float
    words: str


@dataclass(slots=True)
class StatusWatch:
    """The status of the worker's first Flow, as it would stand in the cluster."""

    worker: WorkerProcess
    plan: FlowPlan
    began_at: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """Something happens now: times count from here."""
        self.began_at = time.monotonic()

    async def look(self) -> tuple[PlanReport, Judged]:
        """The report of this moment and the verdict about it."""
        report = await asyncio.to_thread(self.worker.report)
        return report, judge_flow(self._facts(report))

    def _facts(self, report: PlanReport) -> FlowFacts:
        now = datetime.now(UTC)
        return FlowFacts(
            namespace=self.plan.flow.namespace,
            name=self.plan.flow.name,
            generation=1,
            now=now,
            no_report_after_s=30.0,
            spec=example_spec(),
            plan=self.plan,
            running_hash=self.plan.hash,
            pods=(replace(POD, namespace=self.plan.flow.namespace),),
            heard=(Heard(POD.uid, now, report),),
        )

    async def shares(self) -> Any:
        """How much of the traffic has which form, as the status tells it."""
        report = await asyncio.to_thread(self.worker.report)
        facts = self._facts(report)
        return flow_status(facts, judge_flow(facts), {})["variants"]

    async def condition(self, kind: ConditionType, status: str, timeout_s: float = 60.0) -> Said:
        """Wait until a condition has a status; its message are the words."""

        def told(_: PlanReport, judged: Judged) -> str | None:
            found = _condition(judged, kind)
            return found.message if found.status == status else None

        return await self.until(told, f"{kind}={status}", timeout_s)

    async def counted(self, count: str, value: int, timeout_s: float = 60.0) -> Said:
        """Wait until a count of the store, such as `review`, has a value; Ready's message are the words."""

        def told(report: PlanReport, judged: Judged) -> str | None:
            return judged.ready.message if getattr(report.store, count) == value else None

        return await self.until(told, f"{count} is {value}", timeout_s)

    async def until(
        self, told: Callable[[PlanReport, Judged], str | None], what: str, timeout_s: float = 60.0
    ) -> Said:
        """Wait until `told` finds words.

        Raises:
            AssertionError: It did not in time; the text has the last report.
        """
        give_up_at = time.monotonic() + timeout_s
        while True:
            report, judged = await self.look()
            found = told(report, judged)
            if found is not None:
                return Said(round(time.monotonic() - self.began_at, 1), plain(found))
            if time.monotonic() > give_up_at:
                raise AssertionError(f"after {timeout_s:g} s not yet: {what}; {report!r}")
            await asyncio.sleep(EVERY_S)


def _condition(judged: Judged, kind: ConditionType) -> Condition:
    return next(found for found in judged.conditions if found.type == kind)


def plain(words: str) -> str:
    """Words without what differs from run to run: moments, ages, and the address of a test's desk."""
    return _AGES.sub("N s old", _TIMES.sub("TIME", words)).replace(
        "127.0.0.1", "register.example.com"
    )
