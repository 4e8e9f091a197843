"""Enrichers at work: each is asked beside the others, within its time, and never waited for beyond it.

Started by the plan runner and asked by the lane. An answer is used again for a while, also by messages that ask the
same at the same moment; while the system is away an old one stands in.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from intops_api.report import EnrichmentReport
from intops_core.mapping import Mapped, Source
from intops_runtime.core.classifying import Failure
from intops_runtime.core.compiled import CompiledEnricher, CompiledPlan
from intops_runtime.core.enrichment import (
    NOT_ASKED,
    STALE_S,
    Answers,
    Enrichment,
    question_of,
    remembered,
)
from intops_runtime.core.exchanges import Facts, RequestError
from intops_runtime.core.messages import COMPLETING, Leased
from intops_runtime.core.reporting import rfc3339
from intops_runtime.target import Target

GRACE_S = 0.25


class Enricher:
    """One system that may know more. `target` is the way to it, with its gate and its limits."""

    def __init__(self, compiled: CompiledEnricher, target: Target) -> None:
        self.compiled = compiled
        self.target = target
        self.incomplete = 0
        """Messages that were delivered without it and are to be completed."""
        self._answers = Answers()
        self._asking: dict[str, asyncio.Task[dict[str, Any] | Failure]] = {}
        self._counts: Counter[str] = Counter()
        self._silent_since: float | None = None
        self._detail = ""

    def switch(self, compiled: CompiledEnricher) -> None:
        """Use a new plan's binding; what another Mapping has made of answers is not used again."""
        if compiled.binding != self.compiled.binding:
            self._answers = Answers()
        self.compiled = compiled

    async def ask(self, record: dict[str, Any], stamp: str) -> dict[str, Any] | None:
        """What the system adds to a record, empty if it knows nothing; None if it did not answer."""
        binding, lookup = self.compiled.binding, self.compiled.lookup
        facts = Facts(binding.config, record)
        try:
            request = lookup.request(binding.endpoint or "", facts, headers={}, timeout_s=None)
        except RequestError:
            # The record lacks what the system is asked by.
            self._counts["missing"] += 1
            return {}
        question = question_of(request)
        part = self._answers.get(question, time.monotonic(), self.compiled.cache_s)
        if part is not None:
            return self._heard(part)
        answer = await self._answer(question, facts, stamp)
        if not isinstance(answer, Failure):
            self._silent_since = None
            return self._heard(answer)
        if self._silent_since is None:
            self._silent_since = time.time()
        self._detail = answer.detail
        stale = self._answers.get(question, time.monotonic(), STALE_S)
        self._counts["error" if stale is None else "stale"] += 1
        return stale

    def _heard(self, part: dict[str, Any]) -> dict[str, Any]:
        self._counts["hit" if part else "missing"] += 1
        return part

    async def _answer(self, question: str, facts: Facts, stamp: str) -> dict[str, Any] | Failure:
        """Ask, or wait for whoever asks the same already."""
        task = self._asking.get(question)
        if task is None:
            task = asyncio.create_task(self._look_up(question, facts, stamp))
            self._asking[question] = task
            task.add_done_callback(lambda _: self._asking.pop(question, None))
        return await asyncio.shield(task)

    async def _look_up(self, question: str, facts: Facts, stamp: str) -> dict[str, Any] | Failure:
        if not self.target.gate.admits(time.monotonic()):
            return Failure("enrichmentUnavailable", self.target.gate.detail or "not asked", "gate")
        # The request has a deadline of its own, which its gate hears of; ours ends the wait for a slot.
        longest_s = self.compiled.timeout_s + GRACE_S
        try:
            async with asyncio.timeout(longest_s), self.target.turn():
                answer = await self.target.call(self.compiled.lookup, facts)
        except TimeoutError:
            words = f"no answer within {self.compiled.timeout_s:g} s"
            return Failure("enrichmentUnavailable", words, "timeout")
        if isinstance(answer, Failure):
            if answer.error_class == "notFound":
                return self._keep(question, {})
            return answer
        try:
            objects = self.compiled.lookup.objects(facts, answer.request, answer.response)
        except RequestError as error:
            return Failure("schemaDrift", f"{error.path}: {error.message}", "lookup:items")
        if len(objects) != 1:
            # Several that fit are as good as none: context is never guessed.
            return self._keep(question, {})
        source = Source(objects[0], answer.response.body, answer.response.headers, stamp)
        mapped = self.compiled.mapping.apply(source)
        if not isinstance(mapped, Mapped):
            return Failure("schemaDrift", mapped.message, f"mapping:{mapped.path}")
        return self._keep(question, mapped.record)

    def _keep(self, question: str, part: dict[str, Any]) -> dict[str, Any]:
        self._answers.keep(question, part, time.monotonic())
        return part

    def report(self) -> EnrichmentReport:
        """What is said about it."""
        away = self._silent_since is not None
        return EnrichmentReport(
            binding=self.compiled.binding.name,
            hit=self._counts["hit"],
            stale=self._counts["stale"],
            missing=self._counts["missing"],
            error=self._counts["error"],
            incomplete=self.incomplete,
            since=rfc3339(self._silent_since),
            detail=self._detail if away else None,
        )

    async def close(self) -> None:
        """Ask no more."""
        for task in list(self._asking.values()):
            task.cancel()
        await self.target.close()


def first_able(enrichers: Mapping[str, Enricher], missing: Iterable[str]) -> str | None:
    """The first of those who are missing that can be asked at the moment."""
    now = time.monotonic()
    return next(
        (n for n in missing if n in enrichers and enrichers[n].target.gate.admits(now)), None
    )


_SAYS_NOTHING_NEW = frozenset({"resolved", "heartbeat", "suppressed"})


async def heard(
    plan: CompiledPlan, enrichers: Mapping[str, Enricher], leased: Leased, stamp: str
) -> Enrichment:
    """What is known of the record of a message: asked before it is made, remembered afterwards.

    Whoever did not answer then is asked once more only by the message that is to complete it.
    """
    if not plan.enrichers:
        return NOT_ASKED
    message = leased.message
    record = message.record or {}
    if leased.links:
        before = remembered(leased.links[0].agreed, plan.enrichers)
        if message.stage != COMPLETING:
            return before
        now = await enrich(enrichers, record, stamp, before.missing)
        known = {**before.known, **now.known}
        return Enrichment({n: known[n] for n in plan.enrichers if n in known}, now.missing)
    if record.get("state") in _SAYS_NOTHING_NEW or message.stage == COMPLETING:
        return NOT_ASKED
    if leased.open_attempt is not None:
        # What it was sent with is not known any more, so it is completed once it is found or made.
        return Enrichment({}, tuple(plan.enrichers))
    return await enrich(enrichers, record, stamp, plan.enrichers)


async def enrich(
    enrichers: Mapping[str, Enricher], record: dict[str, Any], stamp: str, asked: Iterable[str]
) -> Enrichment:
    """What the enrichers in `asked` know about a record, all asked at once."""
    names = [name for name in asked if name in enrichers]
    parts = await asyncio.gather(*(enrichers[name].ask(record, stamp) for name in names))
    known = {name: part for name, part in zip(names, parts, strict=True) if part is not None}
    return Enrichment(known, tuple(name for name in names if name not in known))
