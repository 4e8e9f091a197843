"""Ask every worker for its report, and keep the latest of each.

The leader runs the poller; the reconciler reads the book. Workers have no token for the API
server, so they are asked instead of writing themselves.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
from pydantic import BaseModel, Field, ValidationError

from intops_api.report import REPORT_SCHEMA, FlowReport, PlanReport
from intops_core.resources import Ref
from intops_operator import metrics
from intops_operator.core.facts import Heard
from intops_operator.core.observed import PodFact
from intops_operator.journal import Journal

journal = Journal("reports")

LARGEST_REPORT = 1024 * 1024
TICK_S = 0.25
SOON_S = 0.5  # for Flows whose plan is being taken over


class ReportError(Exception):
    """A worker answered with something that is no report of ours; the message says what."""


@dataclass(slots=True)
class ReportBook:
    """The latest report of every worker pod, by Flow."""

    _heard: dict[Ref, dict[str, Heard]] = field(default_factory=dict)
    _tried: set[str] = field(default_factory=set)
    _silent: set[str] = field(default_factory=set)

    def heard(self, flow: Ref) -> tuple[Heard, ...]:
        """The latest report of each pod of a Flow, also of pods that are gone."""
        return tuple(self._heard.get(flow, {}).values())

    def was_tried(self, pod: PodFact) -> bool:
        """Whether the pod was asked at least once, with or without an answer."""
        return pod.uid in self._tried

    def note(self, flow: Ref, pod: PodFact, heard: Heard | None) -> bool:
        """Note an answer, or that there was none; returns whether that is news."""
        first = pod.uid not in self._tried or pod.uid in self._silent
        self._tried.add(pod.uid)
        if heard is None:
            self._silent.add(pod.uid)
            return True
        self._silent.discard(pod.uid)
        before = self._heard.setdefault(flow, {}).get(pod.uid)
        self._heard[flow][pod.uid] = heard
        if first or before is None or before.plan != heard.plan:
            return True
        # Time alone makes a backlog late.
        return heard.plan is not None and heard.plan.store.oldest_at is not None

    def keep_only(self, flow: Ref, uids: Iterable[str]) -> None:
        """Forget pods of a Flow that are gone."""
        book = self._heard.get(flow)
        if book is None:
            return
        kept = set(uids)
        for uid in [uid for uid in book if uid not in kept]:
            del book[uid]
            self._tried.discard(uid)
            self._silent.discard(uid)

    def forget(self, flow: Ref) -> None:
        """Forget a Flow."""
        for uid in self._heard.pop(flow, {}):
            self._tried.discard(uid)
            self._silent.discard(uid)


@dataclass(frozen=True, slots=True)
class Polling:
    """How workers are asked. Times in seconds."""

    interval_s: float = 5.0
    timeout_s: float = 3.0
    concurrency: int = 32
    port: int = 8081


class ReportPoller:
    """Asks; runs on the leader only."""

    def __init__(
        self,
        polling: Polling,
        book: ReportBook,
        pods: Callable[[], list[PodFact]],
        *,
        is_settled: Callable[[Ref], bool],
        on_news: Callable[[Ref], None],
    ) -> None:
        """`is_settled` tells whether a Flow can be asked rarely; `on_news` gets changed Flows."""
        self._polling = polling
        self._book = book
        self._pods = pods
        self._is_settled = is_settled
        self._on_news = on_news
        self._asked_at: dict[str, float] = {}
        self._busy: set[str] = set()

    async def run(self) -> None:
        """Ask until cancelled."""
        connector = aiohttp.TCPConnector(limit=self._polling.concurrency, force_close=True)
        limit = asyncio.Semaphore(self._polling.concurrency)
        async with (
            aiohttp.ClientSession(connector=connector, trust_env=False) as session,
            asyncio.TaskGroup() as group,
        ):
            while True:
                for pod in self._due():
                    self._busy.add(pod.uid)
                    group.create_task(self._ask(session, limit, pod))
                await asyncio.sleep(TICK_S)

    def _due(self) -> list[PodFact]:
        now = time.monotonic()
        pods = [pod for pod in self._pods() if pod.answers]
        alive = {pod.uid for pod in pods}
        for uid in [uid for uid in self._asked_at if uid not in alive]:
            del self._asked_at[uid]
        due = []
        for pod in pods:
            if pod.uid in self._busy:
                continue
            asked_at = self._asked_at.get(pod.uid)
            if asked_at is None or now >= asked_at + self._interval_s(pod):
                # Spread over the interval, or all pods would be asked in one moment for ever.
                jitter_s = random.uniform(-0.1, 0.1) * self._polling.interval_s
                self._asked_at[pod.uid] = now + jitter_s
                due.append(pod)
        return due

    def _interval_s(self, pod: PodFact) -> float:
        if not self._is_settled(flow_of(pod)):
            return min(SOON_S, self._polling.interval_s)
        return self._polling.interval_s

    async def _ask(
        self, session: aiohttp.ClientSession, limit: asyncio.Semaphore, pod: PodFact
    ) -> None:
        flow = flow_of(pod)
        try:
            async with limit:
                report = await fetch_report(session, pod, self._polling)
            heard = Heard(pod.uid, datetime.now(UTC), _about(report, flow))
            metrics.REPORTS.labels("heard").inc()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            heard = None
            metrics.REPORTS.labels("silent").inc()
            journal.debug("no report", pod=pod.name, error=f"{type(error).__name__}: {error}")
        except ReportError as error:
            heard = None
            metrics.REPORTS.labels("unreadable").inc()
            journal.warning("report not understood", pod=pod.name, error=str(error))
        finally:
            self._busy.discard(pod.uid)
        if self._book.note(flow, pod, heard):
            self._on_news(flow)


def flow_of(pod: PodFact) -> Ref:
    """The Flow that a pod works for."""
    return Ref("Flow", pod.namespace, pod.flow)


def _about(report: FlowReport, flow: Ref) -> PlanReport | None:
    """What a report says about one Flow; a pod speaks for its own namespace only."""
    for plan in report.plans:
        if (plan.flow.namespace, plan.flow.name) == (flow.namespace, flow.name):
            return plan
    return None


async def fetch_report(
    session: aiohttp.ClientSession, pod: PodFact, polling: Polling
) -> FlowReport:
    """One report.

    Raises:
        aiohttp.ClientError, TimeoutError, OSError: No answer.
        ReportError: The answer is no report, or one of a newer edition.
    """
    host = f"[{pod.ip}]" if pod.ip and ":" in pod.ip else pod.ip
    timeout = aiohttp.ClientTimeout(total=polling.timeout_s)
    url = f"http://{host}:{polling.port}/report"
    async with session.get(url, timeout=timeout, allow_redirects=False) as answer:
        if answer.status != 200:
            raise ReportError(f"HTTP {answer.status} instead of a report")
        body = await answer.content.read(LARGEST_REPORT + 1)
        while len(body) <= LARGEST_REPORT and not answer.content.at_eof():
            body += await answer.content.read(LARGEST_REPORT + 1 - len(body))
    if len(body) > LARGEST_REPORT:
        raise ReportError(f"a report of more than {LARGEST_REPORT} bytes")
    return parse_report(body)


def parse_report(body: bytes) -> FlowReport:
    """A report from its bytes.

    Raises:
        ReportError: It is none, or one of a newer edition.
    """
    try:
        # First: a newer edition may have another form.
        schema = _Edition.model_validate_json(body).schema_
        if schema > REPORT_SCHEMA:
            raise ReportError(
                f"schema {schema}; this operator reads up to {REPORT_SCHEMA}, upgrade it first"
            )
        return FlowReport.model_validate_json(body)
    except ValidationError as cause:
        first = cause.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ReportError(f"{where}: {first['msg']}") from cause


class _Edition(BaseModel):
    """What every edition of a report has."""

    schema_: int = Field(default=REPORT_SCHEMA, alias="schema")
