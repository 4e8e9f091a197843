"""The worker: a set of plans, one runner each, behind one capture port and one operations port.

Started by `__main__` in a pod and by `intops run` on a desk. It watches its plan files and its Secrets,
and needs no API server to run. One module: plans that come, fail, wait and go share one table of what runs.
"""

import asyncio
import contextlib
import gc
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from intops_api.plan import FlowPlan
from intops_api.report import (
    FlowReport,
    LastWords,
    PlanReport,
    ReportFlow,
    SecretReport,
    StoreReport,
)
from intops_runtime import logs
from intops_runtime.action_inbox import ActionInbox
from intops_runtime.core.compiled import (
    CompiledPlan,
    CompiledSystem,
    PlanRejected,
    compile_plan,
)
from intops_runtime.core.reporting import (
    PlanFacts,
    plan_report,
    rfc3339,
    senders_prove,
    wanted_keys,
)
from intops_runtime.edges.action_files import ActionFiles
from intops_runtime.edges.bare_server import BareRunner
from intops_runtime.edges.black_box import BlackBox
from intops_runtime.edges.capture import CaptureRegistry, capture_app
from intops_runtime.edges.console import console_app
from intops_runtime.edges.credentials import Credentials
from intops_runtime.edges.operations import OperationsSources, operations_app
from intops_runtime.edges.outbound import PooledOutbound
from intops_runtime.edges.plan_files import FlowKey, PlanFiles
from intops_runtime.edges.store.base import StoreBusy, StoreError
from intops_runtime.metrics import WorkerCollector
from intops_runtime.notice_board import NoticeBoard
from intops_runtime.parted import PartedStores
from intops_runtime.runner import PlanRunner
from intops_runtime.settings import Settings
from intops_runtime.sources import open_sources, shut_sources
from intops_runtime.stores import Stores

log = logging.getLogger("intops.worker")

# Plans and Secrets are looked at this often; both are small files.
LOOK_EVERY_S = 1.0
# Kubernetes shows 4096 bytes of them.
LONGEST_LAST_WORDS = 4000


@dataclass(frozen=True, slots=True)
class Refused:
    """A plan that cannot run, and why: the plan itself, or its store."""

    plan: FlowPlan | None
    """None where it cannot even be read."""
    words: str
    of_store: bool
    busy: bool = False
    """Whether another worker has the store."""
    next_refused: str | None = None
    """Of a store: why the plan that came after this one cannot run."""

    def report(self, key: FlowKey) -> PlanReport:
        """What is said about it."""
        return PlanReport(
            flow=ReportFlow(namespace=key[0], name=key[1]),
            error=self.next_refused if self.of_store else self.words,
            store=StoreReport(failed=self.words if self.of_store else None),
        )


class Worker:
    """Everything one worker process runs."""

    def __init__(self, settings: Settings, *, version: str) -> None:
        self.settings = settings
        self._version = version
        self._started_at = time.time()
        self._runners: dict[FlowKey, PlanRunner] = {}
        self._refused: dict[FlowKey, Refused] = {}
        self._files = PlanFiles(settings.plans)
        self._actions = ActionFiles(settings.plans)
        self._inboxes: dict[FlowKey, ActionInbox] = {}
        self._boards: dict[FlowKey, NoticeBoard] = {}
        self._credentials = Credentials(settings.secrets)
        self._stores = Stores(settings, self._secret)
        # Elsewhere the folder may be shared with workers of other plans, as on a desk.
        self._parted = (
            PartedStores(settings.data, settings.remove_empty_after_s, settings.allow_volatile)
            if settings.remove_empty_after_s is not None
            else None
        )
        # Senders of a Flow that moves between workers must not be told that it does not exist.
        self._registry = CaptureRegistry(others_may_come=self._parted is not None)
        self._sites: list[web.BaseRunner] = []
        self._fatal: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._looked = False
        self._blind = ""
        self.capture_port = 0
        self.operations_port = 0
        self.console_port = 0

    async def start(self) -> None:
        """Listen, then load what is there.

        Raises:
            OSError: a port is taken.
        """
        settings = self.settings
        logs.quiet_about_files(asyncio.get_running_loop())
        metrics = CollectorRegistry()
        metrics.register(WorkerCollector(self.plan_reports))
        operations = operations_app(OperationsSources(self.report, self._not_ready, metrics))
        self.operations_port = await self._listen(
            operations, settings.operations_host, settings.operations_port
        )
        console = console_app(
            self.runners, self.report, decides=settings.console_socket is not None
        )
        if settings.console_socket is not None:
            await self._listen_on(console, settings.console_socket)
        else:
            self.console_port = await self._listen(console, "127.0.0.1", settings.console_port)
        await self._look_if_possible()
        _calm_the_collector()
        self.capture_port = await self._listen(
            capture_app(self._registry), settings.capture_host, settings.capture_port
        )
        log.info(
            "worker started",
            extra={
                "data": {
                    "version": self._version,
                    "capture": self.capture_port,
                    "operations": self.operations_port,
                    "plans": len(self._runners),
                }
            },
        )

    async def run(self, stop: asyncio.Event) -> str | None:
        """Work until told to stop; returns a sentence where the worker had to give up itself."""
        stopped = asyncio.create_task(stop.wait())
        looking = asyncio.create_task(self._look_again_and_again())
        try:
            waited: set[asyncio.Future[Any]] = {stopped, looking, self._fatal}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            looking.cancel()
            await asyncio.gather(stopped, looking, return_exceptions=True)
        if self._fatal.done():
            return self._fatal.result()
        error = looking.exception() if not looking.cancelled() else None
        return f"looking after plans ended: {error!r}" if error is not None else None

    async def close(self) -> None:
        """Stop listening, finish what is being sent, close the stores."""
        for site in self._sites:
            await site.cleanup()
        await asyncio.gather(*(inbox.close() for inbox in self._inboxes.values()))
        await asyncio.gather(*(board.close() for board in self._boards.values()))
        await asyncio.gather(
            *(runner.stop(self.settings.drain_s) for runner in self._runners.values())
        )
        log.info("worker stopped", extra={"data": {"plans": len(self._runners)}})
        if self.settings.last_words is not None:
            self._say_last_words(self.settings.last_words)

    def _say_last_words(self, file: Path) -> None:
        """Tell what is left: whoever deletes the volume must know, and nobody can ask any more."""
        left: dict[str, int | None] = {}
        for plan in self.plan_reports():
            known = plan.store.failed is None
            left[f"{plan.flow.namespace}/{plan.flow.name}"] = (
                plan.store.unfinished if known else None
            )
        parted = self._left_behind()
        left |= parted or {}
        try:
            file.write_bytes(last_words(left, complete=parted is not None).encode())
        except OSError as error:
            log.warning("last words not written", extra={"data": {"why": str(error)}})

    def runners(self) -> dict[FlowKey, PlanRunner]:
        """Runners by namespace and name of their Flow."""
        return self._runners

    def plan_reports(self) -> list[PlanReport]:
        """What is said about every plan."""
        reports = [plan_report(self._facts(runner)) for runner in self._runners.values()]
        return [*reports, *(refused.report(key) for key, refused in self._refused.items())]

    def report(self) -> FlowReport:
        """What the worker says about itself."""
        return FlowReport(
            worker=self.settings.name,
            version=self._version,
            started_at=rfc3339(self._started_at) or "",
            at=rfc3339(time.time()) or "",
            plans=self.plan_reports(),
            left=self._left_behind(),
        )

    def _left_behind(self) -> dict[str, int | None] | None:
        return self._parted.left if self._parted is not None else None

    async def look(self) -> None:
        """Load new and changed plans, stop those that are gone, and use new Secrets."""
        changes = await asyncio.to_thread(self._files.look)
        for folder, words in changes.unreadable.items():
            log.error("a plan cannot be read", extra={"data": {"folder": folder, "why": words}})
        for key, plan in changes.changed.items():
            await self._load(key, plan)
        for key, words in changes.refused.items():
            self._refuse_plan(key, None, words)
        for key in changes.gone:
            await self._unload(key)
        no_plan = any(not refused.of_store for refused in self._refused.values())
        self._registry.is_whole = self._files.are_all_read and not no_plan
        for secret_name in await asyncio.to_thread(self._credentials.changed):
            log.info("a secret changed", extra={"data": {"secret": secret_name}})
            for runner in self._runners.values():
                runner.secret_changed(secret_name)
            for board in self._boards.values():
                board.secret_changed(secret_name)
        await self._open_refused_stores()
        await self._take_actions()
        if self._parted is not None:
            known = self._runners.keys() | self._refused.keys()
            await self._parted.look(known, all_known=self._files.are_all_read)
        self._looked = True

    async def _look_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._look_if_possible()

    async def _look_if_possible(self) -> None:
        """What runs goes on where nothing can be seen, as with too many open files."""
        said = ""
        try:
            await self.look()
        except OSError as error:
            said = str(error)
            if said != self._blind:
                log.warning("plans cannot be looked at", extra={"data": {"why": said}})
        self._blind = said

    async def _take_actions(self) -> None:
        """Hand what people decided to the plans that it is about."""
        found = await asyncio.to_thread(self._actions.look)
        for key, runner in self._runners.items():
            inbox = self._inboxes.get(key)
            if inbox is None and key in found:
                inbox = self._inboxes[key] = ActionInbox(runner)
            if inbox is not None:
                inbox.take(found[key].actions if key in found else [])

    async def _load(self, key: FlowKey, plan: FlowPlan, next_refused: str | None = None) -> None:
        runner = self._runners.get(key)
        try:
            compiled = await asyncio.to_thread(compile_plan, plan)
        except PlanRejected as error:
            log.error(
                "a plan was refused", extra={"data": {"flow": "/".join(key), "why": str(error)}}
            )
            self._refuse_plan(key, plan, str(error))
            return
        if runner is not None:
            runner.error = None
            runner.switch(compiled)
        else:
            try:
                store = await self._stores.open(plan, on_fatal=self._give_up)
            except StoreError as error:
                self._refuse_store(key, compiled, error, next_refused)
                return
            self._refused.pop(key, None)
            runner = PlanRunner(
                compiled,
                store,
                black_box=self._black_box(key),
                make_outbound=self._outbound,
                secrets=self._secret,
                on_fatal=self._give_up,
            )
            runner.error = next_refused
            self._runners[key] = runner
            runner.start()
            self._boards[key] = NoticeBoard(runner, self._outbound, self._secret)
        self._registry.set_flow(*key, open_sources(runner, self._secret, self._previous_used))
        log.info("plan loaded", extra={"data": {"flow": "/".join(key), "hash": plan.hash}})

    def _refuse_plan(self, key: FlowKey, plan: FlowPlan | None, words: str) -> None:
        """What runs, or waits for its store, goes on under the plan before; people are told why."""
        runner, known = self._runners.get(key), self._refused.get(key)
        if runner is not None:
            runner.error = words
        elif known is not None and known.of_store:
            self._refused[key] = replace(known, next_refused=words)
        else:
            self._refused[key] = Refused(plan, words, of_store=False)

    def _refuse_store(
        self, key: FlowKey, compiled: CompiledPlan, error: StoreError, next_refused: str | None
    ) -> None:
        """Senders are told to come again, people are told why; once, not at every try."""
        known, words = self._refused.get(key), str(error)
        if known is None or known.words != words:
            log.error(
                "a store cannot be opened", extra={"data": {"flow": "/".join(key), "why": words}}
            )
        busy = isinstance(error, StoreBusy)
        self._refused[key] = Refused(
            compiled.plan, words, of_store=True, busy=busy, next_refused=next_refused
        )
        sources = shut_sources(compiled, self._secret, self._previous_used, words)
        self._registry.set_flow(*key, sources)

    def _black_box(self, key: FlowKey) -> BlackBox:
        return BlackBox(self.settings.data / ".".join(key), flow="/".join(key))

    async def _open_refused_stores(self) -> None:
        """A store that was busy or broken is tried again: the cause may be gone."""
        for key, refused in list(self._refused.items()):
            if refused.of_store and refused.plan is not None:
                await self._load(key, refused.plan, refused.next_refused)

    async def _unload(self, key: FlowKey) -> None:
        if self._parted is not None:
            self._parted.expect(key)
        self._registry.remove_flow(*key)
        self._refused.pop(key, None)
        for helper in (self._inboxes.pop(key, None), self._boards.pop(key, None)):
            if helper is not None:
                await helper.close()
        runner = self._runners.pop(key, None)
        if runner is not None:
            await runner.stop(self.settings.drain_s)
            log.info("plan stopped", extra={"data": {"flow": "/".join(key)}})

    def _secret(self, secret_name: str | None) -> dict[str, str] | None:
        return self._credentials.read(secret_name) if secret_name else None

    def _previous_used(self, secret_name: str | None, keys: list[str]) -> None:
        if secret_name:
            self._credentials.note_previous(secret_name, keys)

    def _outbound(self, target: CompiledSystem) -> PooledOutbound:
        # Where a Secret is named that is not there yet nobody is trusted until it comes.
        ca_dir = target.binding.ca_dir
        authorities = (self._secret(ca_dir) or {}).get("ca.crt", "") if ca_dir else None
        return PooledOutbound(
            self.settings.addresses,
            concurrency=target.binding.concurrency,
            authorities=authorities,
        )

    def _facts(self, runner: PlanRunner) -> PlanFacts:
        plan = runner.compiled.plan
        inbox = self._inboxes.get(runner.flow)
        secrets: dict[str, SecretReport] = {}
        for binding in plan.bindings:
            if binding.secret_name:
                secrets[binding.name] = self._credentials.report(
                    binding.secret_name, wanted_keys(plan, binding), senders_prove(plan, binding)
                )
        now = time.time()
        return PlanFacts(
            plan,
            runner.store.counts(now),
            runner.gates,
            secrets,
            runner.rates.report(now),
            runner.rates.last_delivered_at,
            runner.error,
            runner.changes(now),
            {source: watch.variants for source, watch in runner.watches.items()},
            inbox.reports if inbox is not None else (),
            [trial.report() for trial in runner.trials],
            [enricher.report() for enricher in runner.enrichers.values()],
            runner.polling.reports,
            runner.certificates,
        )

    def _not_ready(self) -> str | None:
        if not self._looked:
            return "plans are being loaded"
        # Senders should get to the worker that has the stores; without one, 503 says more than silence.
        if self._refused and not self._runners and all(r.busy for r in self._refused.values()):
            return "another worker has the stores open"
        return None

    def _give_up(self, words: str) -> None:
        if not self._fatal.done():
            self._fatal.set_result(words)

    async def _listen_on(self, app: web.Application, socket: Path) -> None:
        """Listen on a Unix socket that only its owner may use."""
        socket.unlink(missing_ok=True)
        runner = BareRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        self._sites.append(runner)
        await web.UnixSite(runner, str(socket)).start()
        socket.chmod(0o600)

    async def _listen(self, app: web.Application | web.Server, host: str, port: int) -> int:
        runner: web.BaseRunner = (
            web.ServerRunner(app)
            if isinstance(app, web.Server)
            else BareRunner(app, access_log=None, handle_signals=False)
        )
        await runner.setup()
        self._sites.append(runner)
        site = web.TCPSite(runner, host, port, backlog=1024)
        await site.start()
        return int(runner.addresses[0][1])


def last_words(left: dict[str, int | None], *, complete: bool) -> str:
    """What is said at the end: all stores where that fits, else those that may not be thrown away.

    Args:
        left: Unfinished messages of each store; None where not known.
        complete: Whether these are all stores of the volume.
    """
    counts = [count for count in left.values() if count is not None]
    total = sum(counts) if complete and len(counts) == len(left) else None
    words = _words(left, total)
    if len(words) <= LONGEST_LAST_WORDS:
        return words
    kept = {flow: count for flow, count in left.items() if count != 0}
    while len(words := _words(kept, total)) > LONGEST_LAST_WORDS:
        kept.popitem()
    return words


def _words(left: dict[str, int | None], total: int | None) -> str:
    unsaid = {"total"} if total is None else None
    return LastWords(left=left, total=total).model_dump_json(exclude=unsaid)


def _calm_the_collector() -> None:
    """What is loaded by now stays, so the collector need not walk through it again and again.

    A message leaves hardly any circles behind; looking for them at every 700 objects is much too often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


async def close_quietly(worker: Worker) -> None:
    """Close a worker whose start failed half-way."""
    with contextlib.suppress(Exception):
        await worker.close()
