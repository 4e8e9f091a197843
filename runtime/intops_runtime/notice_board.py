"""The notice board of one plan: tells its owners, through the Flow's notifiers, what waits for them.

Started by the worker for each plan. A notice is noted after it was given: one that nobody took is given
again, and one whose answer was lost may be given twice.
"""

import asyncio
import contextlib
import logging
import time
from typing import Any, Final

from intops_api.common import duration_s
from intops_runtime.core.auditing import Entry
from intops_runtime.core.classifying import Failure
from intops_runtime.core.compiled import CompiledPlan
from intops_runtime.core.exchanges import Facts
from intops_runtime.core.notices import Notice, wanted
from intops_runtime.core.reporting import rfc3339
from intops_runtime.edges.store.base import StoreError
from intops_runtime.review_views import REVIEW_DUE_WITHIN, group_view
from intops_runtime.runner import PlanRunner
from intops_runtime.systems import MakeOutbound, Secrets
from intops_runtime.target import Target

log = logging.getLogger("intops.worker")

LOOK_EVERY_S: Final = 2.0
AGAIN_AFTER_S: Final = 30.0
MAX_GROUPS: Final = 100
OPERATION: Final = "notify"


class NoticeBoard:
    """Tells people of one plan."""

    def __init__(self, runner: PlanRunner, make_outbound: MakeOutbound, secrets: Secrets) -> None:
        self._runner = runner
        self._make_outbound = make_outbound
        self._secrets = secrets
        self._plan: CompiledPlan | None = None
        self._channels: dict[str, Target] = {}
        self._again_at: dict[str, float] = {}
        self._seen: tuple[int, str | None, int] | None = None
        self._look_at = 0.0
        self._task = asyncio.create_task(self._run())

    def secret_changed(self, secret_name: str) -> None:
        """A Secret has other values now: channels that use it begin anew, and what one refused is told at once."""
        for name, channel in self._channels.items():
            binding = channel.compiled.binding
            if secret_name in (binding.secret_name, binding.ca_dir):
                self._plan = None
                self._again_at.pop(name, None)
                self._look_at = 0.0

    async def close(self) -> None:
        """Tell nobody any more."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._bind(None)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._plan is not self._runner.compiled:
                await self._bind(self._runner.compiled)
            if not self._channels or not self._has_news():
                continue
            try:
                await self._look()
            except StoreError as error:
                log.warning("nobody can be told", extra={"data": {"why": str(error)}})

    def _has_news(self) -> bool:
        """Whether a look may find something: the queue has changed, or a while has passed."""
        counts = self._runner.store.counts(time.time())
        seen = (counts.review, counts.review_oldest_due_at, counts.review_overdue)
        due = seen != self._seen or time.monotonic() >= self._look_at
        if counts.review == 0 or not due:
            return False
        self._seen, self._look_at = seen, time.monotonic() + AGAIN_AFTER_S
        return True

    async def _bind(self, plan: CompiledPlan | None) -> None:
        """Use the channels of a plan; those of the one before are closed."""
        old, self._plan, self._channels = self._channels, plan, {}
        for channel in old.values():
            await channel.close()
        for name, system in plan.notifiers.items() if plan is not None else ():
            self._channels[name] = Target(
                system, self._make_outbound(system), self._secrets, on_gate=_nobody
            )

    async def _look(self) -> None:
        runner = self._runner
        plan = runner.compiled.plan
        ours = [name for name in self._channels if runner.decisions.tells(name)]
        if not ours:
            self._look_at = 0.0  # its replica may end at any time; then we are the ones who tell
            return
        groups = await runner.decisions.review_groups(MAX_GROUPS)
        told = await runner.decisions.notices()
        for name in ours:
            channel = self._channels[name]
            if time.monotonic() < self._again_at.get(name, 0.0):
                continue
            prefix = f"{name}/"
            known = {
                (k.removeprefix(prefix), f): at
                for (k, f), at in told.items()
                if k.startswith(prefix)
            }
            within_s = duration_s(plan.review.due_within or REVIEW_DUE_WITHIN)
            for notice in wanted(plan, groups, known, now=time.time(), due_within_s=within_s):
                if not await self._tell(name, channel, notice):
                    self._again_at[name] = time.monotonic() + AGAIN_AFTER_S
                    break

    async def _tell(self, name: str, channel: Target, notice: Notice) -> bool:
        """Give one notice; returns whether the channel took it."""
        operation = channel.operation(OPERATION)
        if operation is None:
            return False
        record = await notice_record(self._runner, notice, time.time())
        facts = Facts(
            channel.compiled.binding.config, record, notice.group.fingerprint, {}, record["text"]
        )
        async with channel.turn():
            answer = await channel.call(operation, facts)
        if isinstance(answer, Failure):
            data = {"flow": "/".join(self._runner.flow), "notifier": name, "why": answer.detail}
            log.warning("a notice was not taken", extra={"data": data})
            return False
        facts_told = {
            "binding": name,
            "kind": notice.kind,
            "fingerprint": notice.group.fingerprint,
            "messages": notice.group.count,
        }
        entry = Entry("told", facts_told, {"owner": notice.owner, "contact": notice.contact})
        kind = f"{name}/{notice.kind}"
        await self._runner.decisions.note_notice(kind, notice.group.fingerprint, entry, time.time())
        return True


async def notice_record(runner: PlanRunner, notice: Notice, now: float) -> dict[str, Any]:
    """What the class's `notify` operation sees as `record`; `text` is the whole of it as one line."""
    view = await group_view(runner, notice.group, now)
    flow = runner.flow[1]
    count = notice.group.count
    what = "1 message" if count == 1 else f"{count} messages"
    verb = "waits" if count == 1 else "wait"
    until = view["dueAt"] or "soon"
    why = view["detail"] or view["reason"]
    command = f"intops review show {notice.group.first} --flow {flow} -n {runner.flow[0]}"
    if notice.kind == "overdue":
        title = f"Overdue: {what} of Flow {flow} {verb} for a decision since {until}"
    else:
        title = f"{what} of Flow {flow} {verb} for {notice.owner}, due {until}"
    return {
        "kind": notice.kind,
        "title": title,
        "text": f"{title}. {why} Decide: {command}",
        "flow": flow,
        "namespace": runner.flow[0],
        "count": count,
        "errorClass": view["errorClass"] or "",
        "field": view["path"] or "",
        "why": why,
        "owner": notice.owner,
        "contact": notice.contact,
        "dueAt": view["dueAt"] or "",
        "at": rfc3339(now),
        "fingerprint": notice.group.fingerprint,
        "command": command,
    }


def _nobody(_: str, __: bool) -> None:
    """A channel that is closed holds no message."""
