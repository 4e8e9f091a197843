"""Asks sources what is active, and takes in what their webhooks have lost.

One a plan, run by its runner. What is found goes the way of a webhook: stored first, then split; what a webhook
has brought meanwhile is dropped as a copy. With several replicas each asks; the copies do nothing. A listing
that fails changes nothing and keeps no webhook from being taken.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson

from intops_api.report import Finding, PollReport
from intops_core.expressions import EvaluationError, activation
from intops_runtime.core.classifying import Failure
from intops_runtime.core.compiled import CompiledPlan, CompiledPoll, CompiledSource, CompiledSystem
from intops_runtime.core.exchanges import Facts, HttpRequest, RequestError
from intops_runtime.core.gates import Gate
from intops_runtime.core.intake import dedup_of, stamp_of
from intops_runtime.core.listing import (
    HEADERS,
    Listed,
    PollCounts,
    Unusable,
    items_in,
    only,
)
from intops_runtime.core.messages import LEFT_OUT, Accepted
from intops_runtime.edges.clock import utc_now
from intops_runtime.edges.outbound import Outbound
from intops_runtime.edges.store.base import StoreError
from intops_runtime.outcomes import Outcomes
from intops_runtime.target import Answer, Target

log = logging.getLogger("intops.worker")

TICK_S: Final = 1.0
# Many workers that started together must not ask together for ever.
JITTER: Final = 0.1
# A delivery from here is no larger than most senders' own; what is left comes with the next one.
MOST_ITEMS: Final = 200
# How long it is waited for what became of a delivery, to count what was really lost.
SETTLED_WITHIN_S: Final = 30.0

# A copy of what a webhook brought; the question beside a message that is counted itself.
_NOT_LOST: Final = frozenset({"duplicate", LEFT_OUT})

Accept = Callable[[str, str | None, dict[str, str], bytes], Awaitable[Accepted]]
Secrets = Callable[[str | None], dict[str, str] | None]


class _Poll:
    """One source that is asked."""

    def __init__(self, compiled: CompiledPoll, source: CompiledSource, target: Target) -> None:
        self.compiled = compiled
        self.source = source
        self.target = target
        self.listed = Listed()
        self.counts = PollCounts(source.binding.name)
        self.next_at = 0.0
        """Monotonic seconds; 0: at once, for what was lost while nobody listened."""

    def is_due(self, now: float) -> bool:
        """Whether it is time to ask, or to see whether the system is back."""
        gate = self.target.gate
        return gate.wants_probe(now) or (gate.admits(now) and now >= self.next_at)


class Polling:
    """Asks every source of a plan whose class says how."""

    def __init__(
        self,
        compiled: CompiledPlan,
        *,
        accept: Accept,
        outcomes: Outcomes,
        make_outbound: Callable[[CompiledSystem], Outbound],
        secrets: Secrets,
    ) -> None:
        self._accept = accept
        self._outcomes = outcomes
        self._make_outbound = make_outbound
        self._secrets = secrets
        self._suspended = False
        self._polls: dict[str, _Poll] = {}
        self._retired: list[Outbound] = []
        self.switch(compiled)

    @property
    def gates(self) -> dict[str, Gate]:
        """Gates by the name of their source."""
        return {name: poll.target.gate for name, poll in self._polls.items()}

    @property
    def certificates(self) -> dict[str, float | None]:
        """When the certificates of the sources end, by name."""
        return {name: poll.target.certificate_ends for name, poll in self._polls.items()}

    @property
    def reports(self) -> list[PollReport]:
        """What asking has found, source by source."""
        return [poll.counts.report() for poll in self._polls.values()]

    def findings(self, now: float) -> list[Finding]:
        """What a person should know of the gaps."""
        found = []
        for poll in self._polls.values():
            found += poll.counts.findings(poll.target.gate, now)
        return found

    def switch(self, compiled: CompiledPlan) -> None:
        """Go over to a new plan; what is known of a source that stays is kept."""
        self._suspended = compiled.plan.suspend
        kept: dict[str, _Poll] = {}
        for name, poll in compiled.polls.items():
            old = self._polls.pop(name, None)
            outbound = self._make_outbound(poll.system)
            source = compiled.sources[name]
            if old is not None and _same(old.compiled, poll):
                self._retired.append(old.target.replace(poll.system, outbound))
                old.compiled, old.source = poll, source
                kept[name] = old
            else:
                target = Target(poll.system, outbound, self._secrets, on_gate=lambda *_: None)
                kept[name] = _Poll(poll, source, target)
                self._retire(old)
        for gone in self._polls.values():
            self._retire(gone)
        self._polls = kept

    def secret_changed(self, secret_name: str) -> None:
        """A Secret has other values now: what was refused with the old ones is tried at once."""
        for poll in self._polls.values():
            binding = poll.compiled.system.binding
            if binding.secret_name == secret_name:
                poll.target.credential_changed()
            if binding.ca_dir == secret_name:
                system = poll.compiled.system
                self._retired.append(poll.target.replace(system, self._make_outbound(system)))

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            now = time.monotonic()
            due = [poll for poll in self._polls.values() if self._is_due(poll, now)]
            await asyncio.gather(*(self._ask(poll) for poll in due))
            await asyncio.sleep(TICK_S)

    def _is_due(self, poll: _Poll, now: float) -> bool:
        # What a suspended Flow misses is still listed when it goes on.
        return not self._suspended and poll.is_due(now)

    async def close(self) -> None:
        """Give connections back."""
        for poll in self._polls.values():
            await poll.target.close()
        for outbound in self._retired:
            await outbound.close()

    def _retire(self, poll: _Poll | None) -> None:
        if poll is not None:
            system = poll.compiled.system
            self._retired.append(poll.target.replace(system, self._make_outbound(system)))

    async def _ask(self, poll: _Poll) -> None:
        """Ask once, whatever comes of it."""
        every_s = poll.compiled.every_s
        try:
            why = await self._look(poll)
        except StoreError as error:
            why = f"what was found could not be stored: {error}"
        except Exception as error:  # a class that cannot be used must not stop the worker
            log.error("asking a source crashed", exc_info=error)
            why = f"reading the answer crashed ({type(error).__name__}); see the worker's log"
        now = time.monotonic()
        poll.next_at = now + every_s * (1.0 + random.uniform(-JITTER, JITTER))
        if why is None:
            poll.counts.listed()
            return
        poll.target.set_gate(poll.target.gate.probe_failed(now))
        poll.counts.missed(why, time.time())

    async def _look(self, poll: _Poll) -> str | None:
        """Ask, page after page, and take in what is late; why that was not possible, or None."""
        try:
            pages = await self._read(poll)
        except (EvaluationError, Unusable, RequestError) as error:
            return str(error)
        if isinstance(pages, Failure):
            return f"{pages.error_class}: {pages.detail}"
        every = [found for _, ids in pages for found in ids]
        late = set(poll.listed.late(every, time.monotonic(), poll.compiled.patience_s))
        before = 0
        for body, ids in pages:
            places = [place for place in range(len(ids)) if before + place in late]
            for start in range(0, len(places), MOST_ITEMS):
                await self._bring(poll, body, ids, places[start : start + MOST_ITEMS])
            before += len(ids)
        return None

    async def _read(self, poll: _Poll) -> "list[_Page] | Failure":
        """Everything that the source lists, up to as many items as its class allows.

        Raises:
            EvaluationError, Unusable, RequestError: the class or the answer is not as it should be.
        """
        compiled, operation = poll.compiled, poll.compiled.operation
        facts = Facts(compiled.system.binding.config)
        paginate = operation.spec.paginate
        left = paginate.max if paginate is not None else 1
        pages: list[_Page] = []
        page: HttpRequest | None = None
        for _ in range(left):
            answer = await poll.target.call(operation, facts, request=page)
            if isinstance(answer, Failure):
                return answer
            also = await self._further(poll, answer)
            if isinstance(also, Failure):
                return also
            body = _body(compiled, answer, also, facts.config)
            items = items_in(body, compiled.items_path)
            pages.append((body, [dedup_of(poll.source, HEADERS, item, body) for item in items]))
            page = operation.next_page(facts, answer.request, answer.response, len(items))
            left -= len(items)
            if page is None:
                break
            if left <= 0:
                name = poll.source.binding.name
                log.warning("a source lists more than is read", extra={"data": {"source": name}})
                break
        return pages

    async def _further(self, poll: _Poll, page: Answer) -> dict[str, Any] | Failure:
        """What else is asked about a page: operation → its response."""
        told = page.response.body
        facts = Facts(
            poll.compiled.system.binding.config, record=told if isinstance(told, dict) else {}
        )
        also: dict[str, Any] = {}
        for operation in poll.compiled.also:
            answer = await poll.target.call(operation, facts)
            if isinstance(answer, Failure):
                return answer
            also[operation.name] = answer.response.as_value()
        return also

    async def _bring(
        self, poll: _Poll, body: Mapping[str, Any], ids: list[str | None], places: list[int]
    ) -> None:
        """Store some items as a delivery, and count what no webhook had brought."""
        name = poll.source.binding.name
        part = orjson.dumps(only(body, poll.compiled.items_path, places))
        accepted = await self._accept(name, None, dict(HEADERS), part)
        poll.listed.brought |= {found for place in places if (found := ids[place]) is not None}
        became = await self._outcomes.split(name, accepted.id, SETTLED_WITHIN_S)
        lost = sum(row["reason"] not in _NOT_LOST for row in became)
        poll.counts.brought(lost, time.time())
        if lost:
            data = {"source": name, "delivery": accepted.id, "messages": lost}
            log.warning("messages came only by asking", extra={"data": data})


_Page = tuple[Mapping[str, Any], list[str | None]]
"""What a webhook with the items of one page would hold, and the name of each of them."""


def _same(old: CompiledPoll, new: CompiledPoll) -> bool:
    """Whether what was listed before is about the same system."""
    before, after = old.system.binding, new.system.binding
    return before.connector == after.connector and before.endpoint == after.endpoint


def _body(
    poll: CompiledPoll, answer: Answer, also: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, Any]:
    scope = activation(
        {
            "response": answer.response.as_value(),
            "config": config,
            "endpoint": poll.system.binding.endpoint or "",
            "now": stamp_of(utc_now()),
            "also": also,
        }
    )
    body = poll.body.evaluate(scope)
    if not isinstance(body, dict):
        raise Unusable("capture.poll.body gives no map, as the body of a webhook is")
    return body
