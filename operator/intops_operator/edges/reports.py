"""Ask every worker for its report, and keep the latest of each.

The leader runs the poller; the reconciler reads the book. Workers have no token for the API
server, so they are asked instead of writing themselves.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Mapping
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


@dataclass(frozen=True, slots=True)
class Answer:
    """What one worker answered last."""

    at: datetime
    plans: Mapping[Ref, PlanReport]
    left: Mapping[str, int | None] | None
    """Unfinished messages in stores without a plan, by `NAMESPACE/NAME`; None if it does not say."""


@dataclass(slots=True)
class ReportBook:
    """The latest report of every worker pod."""

    _answers: dict[str, Answer] = field(default_factory=dict)
    _tried: set[str] = field(default_factory=set)
    _silent: set[str] = field(default_factory=set)

    def heard(self, flow: Ref, pods: Iterable[PodFact]) -> tuple[Heard, ...]:
        """What these pods said last about a Flow; nothing of a pod that never answered."""
        answers = [(pod.uid, self._answers.get(pod.uid)) for pod in pods]
        return tuple(Heard(uid, a.at, a.plans.get(flow)) for uid, a in answers if a is not None)

    def answer(self, pod: PodFact) -> Answer | None:
        """What a pod answered last."""
        return self._answers.get(pod.uid)

    def was_tried(self, pod: PodFact) -> bool:
        """Whether the pod was asked at least once, with or without an answer."""
        return pod.uid in self._tried

    def note(self, flows: Iterable[Ref], pod: PodFact, answer: Answer | None) -> set[Ref]:
        """Note an answer about Flows, or that there was none; returns for what that is news."""
        first = pod.uid not in self._tried or pod.uid in self._silent
        self._tried.add(pod.uid)
        if answer is None:
            self._silent.add(pod.uid)
            return {pod.crew, *flows}
        self._silent.discard(pod.uid)
        before, self._answers[pod.uid] = self._answers.get(pod.uid), answer
        if first or before is None or before.left != answer.left:
            return {pod.crew, *flows}
        return {flow for flow in flows if _is_news(before.plans.get(flow), answer.plans.get(flow))}

    def keep_only(self, alive: Iterable[str]) -> None:
        """Forget all pods but these, by uid."""
        for uid in self._tried - set(alive):
            self._tried.discard(uid)
            self._silent.discard(uid)
            self._answers.pop(uid, None)


def _is_news(before: PlanReport | None, now: PlanReport | None) -> bool:
    # Time alone makes a backlog late.
    return before != now or (now is not None and now.store.oldest_at is not None)


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
        served_by: Callable[[PodFact], list[Ref]],
        is_settled: Callable[[Ref], bool],
        on_news: Callable[[Ref], None],
    ) -> None:
        """`served_by` tells the Flows of a pod, `is_settled` whether one can be asked rarely.

        `on_news` gets Flows and pools of which something new is known.
        """
        self._polling = polling
        self._book = book
        self._pods = pods
        self._served_by = served_by
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
        self._book.keep_only(alive)
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
        if not all(self._is_settled(flow) for flow in self._served_by(pod)):
            return min(SOON_S, self._polling.interval_s)
        return self._polling.interval_s

    async def _ask(
        self, session: aiohttp.ClientSession, limit: asyncio.Semaphore, pod: PodFact
    ) -> None:
        answer = None
        try:
            async with limit:
                report = await fetch_report(session, pod, self._polling)
            answer = _answer(report, pod.namespace)
            metrics.REPORTS.labels("heard").inc()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            metrics.REPORTS.labels("silent").inc()
            journal.debug("no report", pod=pod.name, error=f"{type(error).__name__}: {error}")
        except ReportError as error:
            metrics.REPORTS.labels("unreadable").inc()
            journal.warning("report not understood", pod=pod.name, error=str(error))
        finally:
            self._busy.discard(pod.uid)
        for ref in self._book.note(self._served_by(pod), pod, answer):
            self._on_news(ref)


def _answer(report: FlowReport, namespace: str) -> Answer:
    """What a report says; a pod speaks for its own namespace only."""
    plans = {
        Ref("Flow", namespace, plan.flow.name): plan
        for plan in reversed(report.plans)
        if plan.flow.namespace == namespace
    }
    return Answer(datetime.now(UTC), plans, report.left)


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
