"""Walking a record to a state, one step after the other, in a system whose states each offer their own ways on.

Called by the lane in the place of a single write. Each step is an attempt of its own; a walk that was interrupted
goes on from where the record stands.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from intops_api.connector_class import Steps
from intops_runtime.attempts import Attempts
from intops_runtime.core import settling
from intops_runtime.core.classifying import Failure
from intops_runtime.core.exchanges import Facts, RequestError
from intops_runtime.core.messages import Leased, Settlement
from intops_runtime.core.requests import CompiledOperation
from intops_runtime.core.stepping import Step, goal_of, next_step, no_way
from intops_runtime.target import Target


@dataclass(frozen=True, slots=True)
class Walk:
    """The way of one message's record through `operation`, which has `steps`."""

    leased: Leased
    target: Target
    attempts: Attempts
    operation: CompiledOperation
    failed: Callable[[int | None, Failure], Settlement]

    async def to_goal(self, facts: Facts) -> Settlement | None:
        """Take steps until the record stands where `facts.record` says; None once it does.

        A record that stands there already is not touched. One that no longer carries our key is not touched either.
        """
        steps = self.operation.steps
        goal = goal_of(steps, facts.record) if steps is not None else None
        if steps is None or goal is None:
            return None
        been: set[str] = set()
        for taken in range(steps.max + 1):
            state = await self._state(steps, facts)
            if isinstance(state, Settlement):
                return state
            if state == goal:
                return None
            been.add(state or "")
            ways = await self._ways(steps, facts)
            if isinstance(ways, Settlement):
                return ways
            step = next_step(ways, goal, self.operation.passable(facts), been)
            if step is None or taken == steps.max:
                words = no_way(str(facts.link.get("displayId")), state, goal, ways)
                return settling.review(self.leased.message, "conflict", words, path=steps.field)
            refused = await self._take(step, facts)
            if refused is not None:
                return refused
        return None

    async def _state(self, steps: Steps, facts: Facts) -> str | Settlement | None:
        reader = self.target.operation(steps.state_from)
        if reader is None:
            return self._lacks(steps.state_from)
        answer = await self.target.call(reader, facts)
        if isinstance(answer, Failure):
            return self.failed(None, answer)
        if reader.spec.result.key is not None and answer.found.key != self.leased.message.key:
            words = f"Record {facts.link.get('displayId')} no longer carries our key; it is not touched."
            return settling.review(self.leased.message, "conflict", words)
        return self.operation.state_of(facts, answer.request, answer.response)

    async def _ways(self, steps: Steps, facts: Facts) -> list[Step] | Settlement:
        reader = self.target.operation(steps.choices_from)
        if reader is None:
            return self._lacks(steps.choices_from)
        answer = await self.target.call(reader, facts)
        if isinstance(answer, Failure):
            return self.failed(None, answer)
        try:
            return self.operation.ways_on(reader, facts, answer.request, answer.response)
        except RequestError as error:
            words = f"{error.path}: {error.message}"
            return self.failed(None, Failure("schemaDrift", words, "steps:choices"))

    async def _take(self, step: Step, facts: Facts) -> Settlement | None:
        """One step; None once it is taken."""
        attempt_id = await self.attempts.intend(self.leased, self.target, self.operation.name)
        answer = await self.attempts.write(
            attempt_id, self.leased.message, self.target, self.operation,
            replace(facts, step=step), {},
        )  # fmt: skip
        if isinstance(answer, Failure):
            return self.failed(attempt_id, answer)
        await self.attempts.close(attempt_id, "ok", {"step": step.to})
        return None

    def _lacks(self, name: str) -> Settlement:
        return settling.review(self.leased.message, "schemaDrift", f"the class has no {name}")
