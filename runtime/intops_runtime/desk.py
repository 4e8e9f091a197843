"""The desk: brings a decision of a person to the messages that it selects, a few at a time, once.

Called by the console for people on this machine and by the worker for decisions that come with a plan.
"""

import asyncio
import time
from dataclasses import dataclass, replace

from intops_api.plan import FlowPlan
from intops_runtime.core.compiled import CompiledPlan
from intops_runtime.core.decisions import BATCH, Answer, Decision, Refusal, Resolution, ReviewItem
from intops_runtime.core.reporting import rfc3339
from intops_runtime.core.reviewing import resolve
from intops_runtime.edges.store.base import Decisions
from intops_runtime.edges.store.reviews import Wanted
from intops_runtime.runner import PlanRunner


@dataclass(slots=True)
class _Tally:
    """What a decision has come to so far."""

    seen: int = 0
    refused: int = 0
    first: Refusal | None = None


async def decide(runner: PlanRunner, decision: Decision) -> Answer:
    """Apply a decision, unless it has been applied already; then its answer is given again.

    Messages that came to review after the decision was first seen are not meant by it. A decision
    about one message, or an edit, changes nothing unless it suits; a retry of many leaves those in
    review that still cannot be mapped.

    Raises:
        StoreError: the store cannot be written; the decision can be brought again.
    """
    async with runner.deciding:
        store = runner.decisions
        since, known = await store.begin_decision(decision.id, time.time())
        if known is not None:
            return replace(known, repeated=True)
        wrong = _unfit(runner.compiled.plan, decision)
        if wrong is not None:
            return await _end(store, decision, Answer(refused=wrong))
        if decision.verb == "edit":
            refusal = await _first_refusal(runner.compiled, store, decision, since)
            if refusal is not None:
                return await _end(store, decision, _refused(refusal))
        tally = await _apply(runner, decision, since)
        return await _end(store, decision, _answer(decision, tally))


def _unfit(plan: FlowPlan, decision: Decision) -> str | None:
    """Why a decision cannot be applied at all, in a sentence."""
    select = decision.select
    if not (select.messages or select.fingerprint or select.all):
        return "The decision selects no message; name messages, a fingerprint, or all in review."
    if decision.verb == "edit" and not decision.patch:
        return "An edit needs a corrected field; write FIELD=VALUE."
    if decision.verb != "edit" and decision.patch:
        return f"Only an edit has corrected fields, and this is a {decision.verb}."
    if not plan.review.second_approver:
        return None
    if decision.approved_by is None:
        return (
            f'Flow "{plan.flow.name}" asks for a second person (spec.review.secondApprover): let '
            "somebody else approve it, and name them in approvedBy."
        )
    if decision.approved_by == decision.actor:
        return (
            "The one who approves is the one who decided, but a second pair of eyes is asked for."
        )
    return None


async def _first_refusal(
    plan: CompiledPlan, store: Decisions, decision: Decision, since: float
) -> Refusal | None:
    """The first message that an edit does not fit."""
    after = 0
    while True:
        items = await store.review_items(_wanted(decision, since, after))
        for item in items:
            found = resolve(plan, item, decision, stamp=_stamp())
            if isinstance(found, Refusal):
                return found
        if len(items) < BATCH:
            return None
        after = items[-1].id
        await asyncio.sleep(0)  # capture and lanes run in between


async def _apply(runner: PlanRunner, decision: Decision, since: float) -> _Tally:
    tally = _Tally()
    after = 0
    while True:
        items = await runner.decisions.review_items(_wanted(decision, since, after))
        resolutions = []
        for item in items:
            found = _resolved(runner.compiled, item, decision, tally)
            if found is not None:
                resolutions.append(found)
        if resolutions:
            applied = await runner.decisions.decide(decision, resolutions, time.time())
            runner.taken_up(applied)
        if len(items) < BATCH:
            return tally
        after = items[-1].id


def _resolved(
    plan: CompiledPlan, item: ReviewItem, decision: Decision, tally: _Tally
) -> Resolution | None:
    tally.seen += 1
    found = resolve(plan, item, decision, stamp=_stamp())
    if isinstance(found, Resolution):
        return found
    tally.refused += 1
    tally.first = tally.first or found
    return None


def _answer(decision: Decision, tally: _Tally) -> Answer:
    if tally.seen == 0:
        return Answer(refused=_nothing(decision))
    if tally.first is None:
        return Answer()
    if tally.refused == tally.seen:
        return _refused(tally.first)
    left = f"{tally.refused} of {tally.seen} stay in review: {tally.first.message}"
    return Answer(left=left, path=tally.first.path)


def _nothing(decision: Decision) -> str:
    if decision.select.messages:
        numbers = ", ".join(map(str, decision.select.messages[:10]))
        return f"No message in review has the number {numbers}; `intops review list` shows them."
    return "No message in review is selected; `intops review list` shows them."


def _refused(refusal: Refusal) -> Answer:
    return Answer(refused=refusal.message, path=refusal.path, messages=(refusal.message_id,))


def _wanted(decision: Decision, since: float, after: int) -> Wanted:
    select = decision.select
    return Wanted(
        messages=select.messages,
        fingerprint=select.fingerprint,
        after=after,
        since=since,
        limit=BATCH,
    )


async def _end(store: Decisions, decision: Decision, answer: Answer) -> Answer:
    now = time.time()
    return await store.end_decision(decision, replace(answer, at=now), now)


def _stamp() -> str:
    return rfc3339(time.time()) or ""
