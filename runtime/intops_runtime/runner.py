"""One plan at work: its store, its intake, its lanes, its targets. A bulkhead: nothing is shared with other plans.

The worker makes one of these for each plan and tells it of new plans and new Secrets. One module: the loops of
one plan start, stop and change over together.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from intops_api.report import Finding
from intops_runtime.attempts import Attempts
from intops_runtime.core.compiled import CompiledPlan
from intops_runtime.core.crashes import Crashes
from intops_runtime.core.decisions import Applied
from intops_runtime.core.drift import DriftWatch, told
from intops_runtime.core.failpoints import reach
from intops_runtime.core.gates import Gate
from intops_runtime.core.messages import (
    COMPLETING,
    PASSED_ON,
    Accepted,
    IntakeResult,
    Leased,
    Settlement,
    State,
)
from intops_runtime.core.refusals import refusal_watches
from intops_runtime.core.shadowing import Trial
from intops_runtime.edges.black_box import BlackBox, Watched
from intops_runtime.edges.store.base import (
    PASSING,
    STORE_RETRY_S,
    Decisions,
    Fenced,
    Store,
    StoreError,
)
from intops_runtime.enriching import Enricher
from intops_runtime.intake_loop import TICK_S, IntakeLoop
from intops_runtime.lane import Lane
from intops_runtime.outcomes import Outcomes
from intops_runtime.polling import Polling
from intops_runtime.rates import Rates
from intops_runtime.systems import MakeOutbound, Secrets, Systems
from intops_runtime.target import Target
from intops_runtime.waiting import wait_at_most

log = logging.getLogger("intops.worker")

# Messages that run at once in one plan; each target's own limit is below it.
MAX_RUNNING = 64
# With so many running, the next ones are leased together after a moment.
BUSY = 16
GATHER_S = 0.005
UNHOLD_BATCH = 200
IDLE_BEFORE_PRUNING_S = 10.0
COMPLETE_EVERY_S = 2.0
# Few at a time: new messages go first.
COMPLETE_BATCH = 20


class PlanRunner:
    """Runs one plan until it is stopped."""

    def __init__(
        self,
        compiled: CompiledPlan,
        store: Store,
        *,
        black_box: BlackBox,
        make_outbound: MakeOutbound,
        secrets: Secrets,
        on_fatal: Callable[[str], None],
    ) -> None:
        self.compiled = compiled
        self.store = store
        self.rates = Rates(compiled.plan.slo.within)
        self.error: str | None = None
        self.opened_at = time.monotonic()
        self._black_box = black_box
        self._on_fatal = on_fatal
        self._due = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._stopping = False
        self._crashes = Crashes(black_box.deaths("message"), _drops_poison(compiled))
        self._ended_unknown: dict[int, float] = {}
        self.deciding = asyncio.Lock()
        """One decision at a time: two of one id must not run side by side."""
        self._held: set[str] = set()
        self._takings = -1
        self._reopened: set[str] = set()
        self._systems = Systems(compiled, make_outbound, secrets, self._gate_changed)
        self._refusals = refusal_watches(compiled)
        self.outcomes = Outcomes(store)
        self._intake = IntakeLoop(compiled, store, black_box, on_split=self._came)
        self.polling = Polling(
            compiled, accept=self.accept, outcomes=self.outcomes, make_outbound=make_outbound,
            secrets=secrets,
        )  # fmt: skip

    @property
    def decisions(self) -> Decisions:
        """What people decide, and the audit."""
        return self.store.decisions

    @property
    def flow(self) -> tuple[str, str]:
        """Namespace and name of the Flow."""
        return self.compiled.plan.flow.namespace, self.compiled.plan.flow.name

    @property
    def watches(self) -> dict[str, DriftWatch]:
        """What has been seen of the payloads of each source."""
        return self._intake.watches

    def changes(self, now: float) -> list[Finding]:
        """Changes of what the sources send and of what the targets take, and what their webhooks lose."""
        changes = told([*self.watches.values(), *self._refusals.values()], now)
        return [*changes, *self.polling.findings(now)]

    @property
    def gates(self) -> dict[str, Gate]:
        """Gates of everything that is called, by the name of its binding."""
        return {**self.polling.gates, **{name: t.gate for name, t in self._systems.all().items()}}

    @property
    def certificates(self) -> dict[str, float | None]:
        """When certificates end that systems have shown (epoch seconds), by the name of the binding."""
        others = {name: t.certificate_ends for name, t in self._systems.all().items()}
        return {**self.polling.certificates, **others}

    @property
    def trials(self) -> list[Trial]:
        """Mappings on trial, with what they would have made of the messages."""
        return self._intake.shadows.trials

    @property
    def targets(self) -> dict[str, Target]:
        """Targets by the name of their binding."""
        return self._systems.targets

    @property
    def enrichers(self) -> dict[str, Enricher]:
        """Systems that may know more, by the name of their binding."""
        return self._systems.enrichers

    def start(self) -> None:
        """Begin to work."""
        for name, loop in (
            ("intake", self._intake.run),
            ("lanes", self._lane_loop),
            ("probes", self._probe_loop),
            ("completion", self._completion_loop),
            ("pruning", self._prune_loop),
            ("polls", self.polling.run),
        ):
            task = asyncio.create_task(loop(), name=f"{'/'.join(self.flow)}:{name}")
            task.add_done_callback(self._loop_ended)
            self._loops.append(task)

    async def accept(
        self, source: str, delivery_id: str | None, headers: dict[str, str], body: bytes
    ) -> Accepted:
        """Store one delivery durably; returns after the commit."""
        accepted = await self.store.accept(source, delivery_id, headers, body, time.time())
        self._intake.wake()
        return accepted

    def switch(self, compiled: CompiledPlan) -> None:
        """Go over to a new plan between two deliveries; running attempts finish as they began."""
        self.compiled = compiled
        self._crashes.drops = _drops_poison(compiled)
        self.rates.within(compiled.plan.slo.within)
        self._systems.switch(compiled)
        self._refusals = refusal_watches(compiled)
        self._intake.switch(compiled)
        self.polling.switch(compiled)
        self._due.set()

    def taken_up(self, applied: Applied) -> None:
        """A person has decided: messages wait again, and given-up attempts are to be looked up."""
        now, steady = time.time(), time.monotonic()
        for attempt_id, at in applied.reopened.items():
            self._ended_unknown[attempt_id] = steady - max(now - at, 0.0)
        self._due.set()

    def secret_changed(self, secret_name: str) -> None:
        """A Secret has other values now: what was held for it is tried at once."""
        self.polling.secret_changed(secret_name)
        self._systems.secret_changed(secret_name)

    async def stop(self, drain_s: float) -> None:
        """Finish what is being sent, at most `drain_s` seconds; the rest stays in the store."""
        reach("K28")
        self._stopping = True
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        if self._running:
            await asyncio.wait(self._running, timeout=drain_s)
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._systems.close()
        await self.polling.close()
        await self.store.close()
        self._black_box.close()

    def _gate_changed(self, binding: str, reopened: bool) -> None:
        if reopened:
            self._reopened.add(binding)
        self._due.set()

    def _loop_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._stopping:
            return
        error = task.exception()
        words = f"{task.get_name()} ended: {error}" if error else f"{task.get_name()} ended"
        log.error("a loop of the worker ended", extra={"data": {"loop": task.get_name()}})
        self._on_fatal(words)

    def _came(self, results: list[IntakeResult]) -> None:
        for result in results:
            self.outcomes.moved(result.delivery_id)
        self._due.set()

    async def _lane_loop(self) -> None:
        while True:
            self._due.clear()
            try:
                full = await self._start_what_is_due()
                await self._wait_for_work(more=full)
            except PASSING:
                await asyncio.sleep(STORE_RETRY_S)

    async def _start_what_is_due(self) -> bool:
        """Begin with as many messages as may run; whether there may be more."""
        takings = self.store.takings
        if takings != self._takings:
            self._held.update(await self.store.held_bindings())
            self._takings = takings
        await self._release_held()
        free = MAX_RUNNING - len(self._running)
        leased: list[Leased] = []
        if free > 0 and not self.compiled.plan.suspend:
            leased = await self.store.lease(time.time(), free)
        for item in leased:
            task = asyncio.create_task(self._run(item))
            self._running.add(task)
            task.add_done_callback(self._ran)
        return bool(leased) and len(leased) == free

    async def _wait_for_work(self, *, more: bool) -> None:
        """Wait until messages may be due. Under load a few are taken at once, not one by one."""
        if more and len(self._running) < MAX_RUNNING:
            return
        within_s = min(TICK_S, self.store.poll_s)
        if not self._running:
            within_s = min(within_s, await self._until_due())
        await wait_at_most(self._due, within_s)
        if len(self._running) > BUSY:
            await asyncio.sleep(GATHER_S)

    def _ran(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._due.set()

    async def _until_due(self) -> float:
        due = await self.store.next_due()
        return TICK_S if due is None else min(max(due - time.time(), 0.005), TICK_S)

    async def _release_held(self) -> None:
        while self._reopened:
            # What waits out a back-off because of the outage need not wait any longer.
            binding = next(iter(self._reopened))
            await self.store.hasten(binding, time.time())
            self._reopened.discard(binding)
        for binding in list(self._held):
            target = self.targets.get(binding)
            if target is not None and not target.gate.admits(time.monotonic()):
                continue
            if await self.store.unhold(binding, time.time(), UNHOLD_BATCH) < UNHOLD_BATCH:
                self._held.discard(binding)

    async def _run(self, leased: Leased) -> None:
        number = leased.message.id
        settlement = self._crashes.deadly(number) or await self._turn(leased)
        if settlement is None:
            return
        await self._settle(leased, settlement)
        if settlement.error_class != "poison" or settlement.state is not State.WAITING:
            self._crashes.ended(number)
        self._black_box.forget("message", number)

    async def _turn(self, leased: Leased) -> Settlement | None:
        """One turn of a message; None where it was given back without one."""
        number = leased.message.id
        attempts = Attempts(
            self.store, self.compiled.plan.hash, self.opened_at, self._ended_unknown
        )
        lane = Lane(
            self.compiled, self.store, self.targets, attempts, self._refusals, self.enrichers
        )
        try:
            return await Watched(self._black_box.computing("message", number), lane.run(leased))
        except asyncio.CancelledError:
            self.store.release(number)
            raise
        except Fenced:
            self.store.release(number)
        except StoreError:
            self.store.release(number)
            await asyncio.sleep(STORE_RETRY_S)
        except Exception as error:  # one bad message must not stop the others
            data = {"flow": "/".join(self.flow), "message": number}
            log.error("handling a message crashed", exc_info=error, extra={"data": data})
            crashed = self._crashes.crashed(number, type(error).__name__, time.time())
            stage = leased.message.stage
            return replace(crashed, stage=stage) if stage in PASSED_ON else crashed
        return None

    async def _settle(self, leased: Leased, settlement: Settlement) -> None:
        while True:
            try:
                await self.store.settle(settlement, time.time())
                break
            except PASSING:
                await asyncio.sleep(STORE_RETRY_S)
            except Fenced:
                # Whoever has the lane now looks up what this attempt has done.
                self.store.release(leased.message.id)
                return
        self.outcomes.moved(leased.message.delivery_id)
        if settlement.state is State.HELD and settlement.held_for is not None:
            self._held.add(settlement.held_for)
            self._due.set()
        reach("K22")
        if leased.message.stage != COMPLETING:  # it was counted when it was delivered
            self.rates.settled(leased.message.received_at, settlement, time.time())
        if settlement.attempt_id is not None and settlement.outcome is not None:
            self._ended_unknown.pop(settlement.attempt_id, None)
        if settlement.state is not State.DONE or log.isEnabledFor(logging.DEBUG):
            _tell(self.flow, leased, settlement)

    async def _probe_loop(self) -> None:
        # Asked once before any message, so that the status tells of a wrong address or token at once.
        for target in list(self._systems.all().values()):
            if target.operation("probe") is not None:
                await target.probe()
        while True:
            await asyncio.sleep(TICK_S)
            for target in list(self._systems.all().values()):
                if target.gate.wants_probe(time.monotonic()):
                    await target.probe()

    async def _completion_loop(self) -> None:
        """What was delivered without an enricher is taken up again when that can be asked."""
        while True:
            await asyncio.sleep(COMPLETE_EVERY_S)
            if not self.enrichers or self.compiled.plan.suspend:
                continue
            with contextlib.suppress(*PASSING):
                counts = await self.store.incomplete()
                for name, enricher in self.enrichers.items():
                    enricher.incomplete = counts.get(name, 0)
                for name in counts:
                    # Who is bound no longer is waited for no longer; the others are asked.
                    known = self.enrichers.get(name)
                    if known is None or known.target.gate.admits(time.monotonic()):
                        await self.store.complete(name, time.time(), COMPLETE_BATCH)
                        self._due.set()

    async def _prune_loop(self) -> None:
        while True:
            await asyncio.sleep(IDLE_BEFORE_PRUNING_S)
            if not self._running:
                with contextlib.suppress(*PASSING):
                    await self.store.prune(time.time())


def _drops_poison(compiled: CompiledPlan) -> bool:
    return compiled.policies["poison"].strategy == "drop"


def _tell(flow: tuple[str, str], leased: Leased, settlement: Settlement) -> None:
    """One line for each outcome that is not plain delivery. Never a payload, and no words that may quote one."""
    log.info(
        "message settled",
        extra={
            "data": {
                "flow": "/".join(flow),
                "message": leased.message.id,
                "state": settlement.state.value,
                "reason": settlement.reason,
                "class": settlement.error_class,
                "path": settlement.path,
            }
        },
    )
