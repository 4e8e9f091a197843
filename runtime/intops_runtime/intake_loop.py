"""The intake of one plan at work: deliveries in the order of arrival, each split under the newest plan.

Started by the plan runner. What a delivery contains is decided in `core.intake`; a delivery that harms the worker is
set aside here, because all others of its source wait behind it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime

from intops_runtime.core.auditing import plan_entry
from intops_runtime.core.compiled import CompiledPlan
from intops_runtime.core.crashes import deadly_deliveries
from intops_runtime.core.drift import watches
from intops_runtime.core.intake import intake, set_aside
from intops_runtime.core.messages import Delivery, IntakeResult
from intops_runtime.edges.black_box import BlackBox
from intops_runtime.edges.clock import utc_now
from intops_runtime.edges.store.base import PASSING, STORE_RETRY_S, Fenced, Store
from intops_runtime.shadows import Shadows
from intops_runtime.waiting import wait_at_most

log = logging.getLogger("intops.worker")

BATCH = 100
YIELD_EVERY = 8
# Longest time in which a missed wake-up would go unnoticed.
TICK_S = 1.0


class IntakeLoop:
    """Splits what was captured.

    Args:
        compiled: The plan to begin with.
        on_split: Called with what became of some deliveries, once that is stored.
    """

    def __init__(
        self,
        compiled: CompiledPlan,
        store: Store,
        black_box: BlackBox,
        *,
        on_split: Callable[[list[IntakeResult]], None],
    ) -> None:
        self.watches = watches(compiled)
        self.shadows = Shadows(compiled, black_box)
        self._compiled = compiled
        self._store = store
        self._black_box = black_box
        self._on_split = on_split
        self._arrived = asyncio.Event()
        self._deadly = deadly_deliveries(black_box.deaths("delivery"))

    def wake(self) -> None:
        """A delivery has arrived."""
        self._arrived.set()

    def switch(self, compiled: CompiledPlan) -> None:
        """Go over to a new plan between two deliveries."""
        self._compiled = compiled
        # What was odd for the old Mapping may be known to the new one.
        self.watches = watches(compiled)
        self.shadows.switch(compiled)
        self._arrived.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        audited: CompiledPlan | None = None
        while True:
            try:
                if audited is not self._compiled:
                    # Which Mappings decide from now on; before the first message under them.
                    audited = None
                    plan = self._compiled
                    await self._store.decisions.audit(plan_entry(plan.plan), time.time())
                    audited = plan
                await self._split_what_is_there()
            except PASSING:
                await asyncio.sleep(STORE_RETRY_S)
            except Fenced:
                pass  # whoever has the source now splits what is left

    async def _split_what_is_there(self) -> None:
        deliveries = await self._store.next_intake(BATCH)
        if not deliveries:
            self._arrived.clear()
            await wait_at_most(self._arrived, min(TICK_S, self._store.poll_s))
            return
        now = utc_now()
        results = []
        for number, delivery in enumerate(deliveries, start=1):
            results.append(self._split(delivery, now))
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)  # capture and lanes run in between
        await self._store.settle_intake(results, now.timestamp())
        for result in results:
            self._black_box.forget("delivery", result.delivery_id)
        self._on_split(results)
        await self.shadows.compare(deliveries, results, now)

    def _split(self, delivery: Delivery, now: datetime) -> IntakeResult:
        """What a delivery contains, or the delivery as it is for a person."""
        plan = self._compiled
        if delivery.id in self._deadly:
            return set_aside(plan, delivery, self._deadly.pop(delivery.id))
        try:
            with self._black_box.computing("delivery", delivery.id):
                return intake(plan, delivery, now=now, watches=self.watches)
        except Exception as error:
            flow = plan.plan.flow
            data = {"flow": f"{flow.namespace}/{flow.name}", "delivery": delivery.id}
            log.error("splitting a delivery crashed", exc_info=error, extra={"data": data})
            words = (
                f"Handling this delivery crashed ({type(error).__name__}); see the worker's log."
            )
            return set_aside(plan, delivery, words)
