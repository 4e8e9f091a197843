"""The inbox of one plan: decisions that came with it, each applied once, and their answers.

The worker fills it from the action files; the report gives the answers back.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast, get_args

from intops_api.actions import ActionReport, PlanAction
from intops_runtime.core.decisions import Answer, Decision, Select, Verb
from intops_runtime.core.reporting import rfc3339
from intops_runtime.desk import decide
from intops_runtime.edges.store.base import Elsewhere, StoreError
from intops_runtime.runner import PlanRunner

log = logging.getLogger("intops.worker")


@dataclass(slots=True)
class ActionInbox:
    """Decisions about one plan that stand beside it now."""

    runner: PlanRunner
    _answers: dict[str, Answer] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    def take(self, actions: list[PlanAction]) -> None:
        """What stands there now: new ones are applied, answers to those that are gone are forgotten."""
        present = {action.uid for action in actions}
        self._answers = {uid: a for uid, a in self._answers.items() if uid in present}
        new = [action for action in actions if action.uid not in self._answers]
        if new and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._apply(new))

    @property
    def reports(self) -> list[ActionReport]:
        """Answers to what stands there now."""
        return [
            ActionReport(
                uid=uid,
                applied=answer.applied,
                refused=answer.refused,
                left=answer.left,
                at=rfc3339(answer.at),
            )
            for uid, answer in self._answers.items()
        ]

    async def close(self) -> None:
        """End; what was not finished comes again with the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _apply(self, actions: list[PlanAction]) -> None:
        for action in actions:
            try:
                self._answers[action.uid] = public(action, await self._answer(action))
            except Elsewhere:
                return  # its answer is there at a later look; those after it wait for their turn
            except StoreError as error:
                # It still stands there at the next look.
                why = {"why": str(error)}
                log.warning("a decision cannot be applied yet", extra={"data": why})
                return
            self._tell(action, self._answers[action.uid])

    async def _answer(self, action: PlanAction) -> Answer:
        if action.action not in get_args(Verb):
            words = (
                f'This version of the worker cannot do "{action.action}" with messages in review.'
            )
            return Answer(refused=words)
        numbers = action.select.messages
        if not all(number.isascii() and number.isdigit() for number in numbers):
            return Answer(refused="select.messages holds numbers of messages, such as 17.")
        decision = Decision(
            id=action.uid,
            verb=cast(Verb, action.action),
            select=Select(
                tuple(int(number) for number in numbers),
                action.select.fingerprint,
                action.select.all_in_review,
            ),
            reason=action.reason,
            actor=action.actor,
            approved_by=action.approved_by,
            patch=_patch(action),
        )
        return await decide(self.runner, decision)

    def _tell(self, action: PlanAction, answer: Answer) -> None:
        data = {
            "flow": "/".join(self.runner.flow),
            "action": action.action,
            "uid": action.uid,
            "messages": answer.applied,
            "refused": answer.refused,
        }
        log.info("a decision was answered", extra={"data": data})


def public(action: PlanAction, answer: Answer) -> Answer:
    """The answer without words of a message: a status is read by more people than messages are.

    A sentence about a field that the actor corrected speaks of the actor's own value, and stays.
    """
    if answer.path is None or answer.path in {field.path for field in action.patch}:
        return answer
    number = answer.messages[0] if answer.messages else None
    where = f"`intops review show {number}`" if number is not None else "`intops review list`"
    words = f"Field {answer.path} cannot be mapped; {where} tells why."
    if answer.refused is not None:
        return replace(answer, refused=words)
    return replace(answer, left=f"Some messages stay in review. {words}")


def _patch(action: PlanAction) -> Mapping[str, object]:
    return {field.path: field.value for field in action.patch}
