"""Mappings on trial beside the intake of one plan: shown each message once it is stored, in a tenth of the time.

Called by the intake loop. What a trial compares is decided in `core.shadowing`. A trial that crashes, is slow or
ends the process costs no message: those it looks at are split and stored by then.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import datetime

from intops_runtime.core.compiled import CompiledPlan
from intops_runtime.core.messages import LEFT_OUT, Delivery, IntakeResult
from intops_runtime.core.shadowing import Allowance, Trial, trials
from intops_runtime.edges.black_box import BlackBox

# Capture and lanes run in between; what that takes counts too, since the next deliveries wait as well.
YIELD_EVERY = 4

log = logging.getLogger("intops.worker")


class Shadows:
    """The trials of one plan.

    Args:
        compiled: The plan to begin with.
        black_box: Where deaths are counted; after three a trial is over.
    """

    def __init__(self, compiled: CompiledPlan, black_box: BlackBox) -> None:
        self._black_box = black_box
        self._allowance = Allowance()
        self._compiled = compiled
        self._told: set[tuple[str, str]] = set()
        self._shown = 0
        self.trials: list[Trial] = []
        self._begin()

    def switch(self, compiled: CompiledPlan) -> None:
        """Go over to a new plan; the same one again changes nothing."""
        if compiled.plan.hash != self._compiled.plan.hash:
            self._compiled = compiled
            self._begin()

    async def compare(
        self, deliveries: Sequence[Delivery], results: Sequence[IntakeResult], now: datetime
    ) -> None:
        """Show deliveries, with what became of each, to the trials that they concern."""
        for delivery, result in zip(deliveries, results, strict=True):
            for trial in self.trials:
                if trial.concerns(delivery, result):
                    await self._show(trial, delivery, result, now)

    def _begin(self) -> None:
        self._told.clear()
        self.trials = trials(self._compiled, time.time())
        deaths = self._black_box.deaths("shadow")
        for trial in self.trials:
            trial.died(deaths.get(trial.mark, 0))

    async def _show(
        self, trial: Trial, delivery: Delivery, result: IntakeResult, now: datetime
    ) -> None:
        asked = {message.item for message in result.messages if message.reason == LEFT_OUT}
        for number, message in enumerate(result.messages):
            began = time.monotonic()
            if not self._allowance.has_room(began):
                trial.skip(len(result.messages) - number)
                return
            try:
                with self._black_box.computing("shadow", trial.mark):
                    trial.look(delivery, message, now, asked=message.item in asked)
                self._black_box.forget("shadow", trial.mark)
            except Exception as error:
                trial.crashed(type(error).__name__, delivery, message, now)
                self._tell(trial, error)
            self._shown += 1
            if self._shown % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            self._allowance.took(time.monotonic() - began)

    def _tell(self, trial: Trial, error: Exception) -> None:
        """Once for each kind of error; the rest is counted."""
        kind = (trial.binding, type(error).__name__)
        if kind not in self._told:
            self._told.add(kind)
            flow = self._compiled.plan.flow
            data = {
                "flow": f"{flow.namespace}/{flow.name}", "binding": trial.binding,
                "mapping": trial.mapping,
            }  # fmt: skip
            log.error("a shadow crashed", exc_info=error, extra={"data": data})
