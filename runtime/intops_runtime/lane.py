"""The lane: what happens to one leased message: correlate → decide → act → confirm → link → settle.

Called by the plan runner with messages of different keys at once, and with one message of a key at a time.
An intent is stored before each write and its outcome after; an attempt without an outcome is looked up
before anything is repeated. One module, because every step of a turn shares that one rule about attempts.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from intops_api.common import duration_s
from intops_runtime.attempts import Attempts
from intops_runtime.core import episodes, settling
from intops_runtime.core.classifying import Failure
from intops_runtime.core.compiled import CompiledPlan, CompiledSystem
from intops_runtime.core.enrichment import Enrichment
from intops_runtime.core.exchanges import Difference, Facts, Found, RequestError
from intops_runtime.core.failpoints import reach
from intops_runtime.core.masking import personal_in_record, personal_values
from intops_runtime.core.messages import (
    COMPLETING,
    CONFIRMING,
    MOVING,
    PASSED_ON,
    Attempt,
    Leased,
    Link,
    Message,
    Settlement,
    State,
)
from intops_runtime.core.refusals import RefusalWatch
from intops_runtime.core.requests import CompiledOperation
from intops_runtime.core.shaping import Shaped, Unshaped, change, home_of, shape
from intops_runtime.edges.store.base import Store
from intops_runtime.enriching import Enricher, first_able, heard
from intops_runtime.reading import RecordReader
from intops_runtime.target import Target
from intops_runtime.walking import Walk

# How long a clock of a source may differ from ours; an episode younger than the store by more than
# this cannot have a record that somebody else made.
CLOCK_MARGIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Lane:
    """What a lane works with."""

    plan: CompiledPlan
    store: Store
    targets: dict[str, Target]
    attempts: Attempts
    refusals: Mapping[str, RefusalWatch]
    """What is seen of refused writes, by target."""
    enrichers: Mapping[str, Enricher]
    """Systems that may know more, by binding."""
    draw: Callable[[], float] = random.random

    async def run(self, leased: Leased) -> Settlement:
        """Bring one message one step on."""
        message = leased.message
        stamp = _stamp()
        if leased.open_attempt is None:
            expired = settling.expired(message, self.plan.policies, time.time())
            if expired is not None:
                return expired
        if episodes.is_heartbeat(message.record or {}):
            return settling.dropped(leased, episodes.Drop("heartbeat", None), time.time())
        reach("K12")
        enrichment = await heard(self.plan, self.enrichers, leased, stamp)
        if enrichment.missing:
            policy = self.plan.policies["enrichmentUnavailable"]
            fresh = not leased.links and leased.open_attempt is None
            if policy.strategy == "review" and fresh:
                return settling.unenriched(leased, enrichment)
        give_up_s = duration_s(self.plan.policies["enrichmentUnavailable"].max_age or "0s")
        ended = await self._deliver(leased, enrichment, stamp)
        ask = first_able(self.enrichers, enrichment.missing)
        return settling.completed(leased, ended, enrichment, give_up_s, time.time(), ask)

    async def _deliver(self, leased: Leased, enrichment: Enrichment, stamp: str) -> Settlement:
        """Shape what is known and do what it asks for."""
        message = leased.message
        home = home_of(self.plan, leased)
        shaped = shape(self.plan, message.key, message.record or {}, stamp, enrichment, home)
        reach("K13")
        if isinstance(shaped, Unshaped):
            return settling.review(message, "validation", shaped.message, path=shaped.path)
        target = self.targets[shaped.target.binding.name]
        connector = target.compiled.binding.connector
        attempt = leased.open_attempt
        if attempt is not None and attempt.step == "create" and attempt.binding != target.name:
            return settling.unbound(leased, attempt)
        foreign = settling.foreign(leased, connector)
        if foreign is not None:
            return foreign
        links = [known for known in leased.links if known.connector == connector]
        own = (known for known in links if known.binding == target.name)
        link = next(own, links[0] if links else None)
        unread = link if message.stage in (CONFIRMING, MOVING) else None
        decision = (
            episodes.Create()
            if unread is not None
            else episodes.decide(
                message.record or {},
                shaped.incident,
                episode=leased.episode,
                link=link,
                closure=self.plan.plan.closure,
                transitions=self.plan.transitions,
                completing=message.stage == COMPLETING,
            )
        )
        if isinstance(decision, episodes.Drop):
            return settling.dropped(leased, decision, time.time())
        if not target.gate.admits(time.monotonic()):
            return _held(message, target)
        async with target.turn():
            if not target.gate.admits(time.monotonic()):
                return _held(message, target)
            target.budget.note(time.monotonic(), retry=message.tries > 0)
            match decision:
                case episodes.Create(episode=state) if unread is not None:
                    attempt = leased.open_attempt
                    found = Found(unread.native_id, unread.display_id, unread.url, unread.version)
                    return await self._confirm(
                        leased, shaped, target, target.operation("create"), found,
                        attempt.id if attempt else None, state, how="created",
                    )  # fmt: skip
                case episodes.Create(episode=state):
                    return await self._create(leased, shaped, target, state)
                case episodes.Change():
                    ended = await self._change(leased, shaped, target, link, decision)
                case episodes.Comment():
                    ended = await self._comment(leased, target, link, decision)
            return await self._re_resolved(leased, target, link, ended)

    async def _create(
        self, leased: Leased, shaped: Shaped, target: Target, episode: str
    ) -> Settlement:
        message = leased.message
        create = target.operation("create")
        if create is None:
            return settling.review(message, "schemaDrift", "the class has no operation create")
        facts = Facts(target.compiled.binding.config, shaped.record, message.key)
        safe_to_repeat = create.spec.idempotency.style != "none"
        open_attempt = leased.open_attempt
        if not safe_to_repeat and (open_attempt is not None or self._may_exist(shaped)):
            found = await self._look_up(leased, shaped, target, facts, episode)
            if found is not None:
                return found
        headers = {}
        if create.spec.idempotency.style == "header" and create.spec.idempotency.header:
            headers[create.spec.idempotency.header] = self.attempts.idempotency_key(
                message, "create"
            )
        attempt_id = await self.attempts.intend(leased, target, "create")
        answer = await self.attempts.write(attempt_id, message, target, create, facts, headers)
        if isinstance(answer, Failure):
            if answer.error_class == "duplicate":
                return await self._adopt(
                    leased, shaped, target, facts, episode, (attempt_id, answer)
                )
            return self._failed(message, target, attempt_id, answer)
        if answer.found.native_id is None:
            unknown = Failure(
                "schemaDrift", "the answer names no record", "result.nativeId", effect_unknown=True
            )
            return self._failed(message, target, attempt_id, unknown)
        return await self._confirm(
            leased, shaped, target, create, answer.found, attempt_id, episode, how="created"
        )

    def _may_exist(self, shaped: Shaped) -> bool:
        """Whether somebody other than this store may have made a record of this episode.

        An episode that began since the store knows everything cannot have one; an older one may come from
        a store that was lost, from the time after a backup, from `intops run`, or from another cluster.
        """
        started = shaped.started_at
        return started is None or started < self.store.known_since + CLOCK_MARGIN_S

    async def _look_up(
        self, leased: Leased, shaped: Shaped, target: Target, facts: Facts, episode: str
    ) -> Settlement | None:
        """Find out what an earlier attempt did. None: nothing, so that it may be made now."""
        message, attempt = leased.message, leased.open_attempt
        lookup = target.operation("lookupByCorrelation")
        if lookup is None:
            return await self._without_lookup(message, target, attempt)
        ours = await self._reader(message, target).ours(lookup, facts)
        if isinstance(ours, Settlement):
            return ours
        if ours is not None:
            return await self._confirm(
                leased, shaped, target, target.operation("create"), ours,
                attempt.id if attempt else None, episode, how="found",
            )  # fmt: skip
        if attempt is None:
            return None
        wait_s = lookup.settle_s - self.attempts.ended_for_s(leased, attempt)
        if wait_s > 0:
            due = time.time() + min(wait_s, max(0.2, lookup.settle_s / 5))
            return Settlement(message.id, State.WAITING, "act", "lookingUp", due_at=due)
        await self.attempts.close(attempt.id, "absent", {"lookup": "nothing found"})
        return None

    async def _adopt(
        self,
        leased: Leased,
        shaped: Shaped,
        target: Target,
        facts: Facts,
        episode: str,
        refused: tuple[int, Failure],
    ) -> Settlement:
        """The system says that the record exists: if it carries our key, it is ours."""
        message, (attempt_id, failure) = leased.message, refused
        adopts = target.compiled.policies["duplicate"].strategy == "continue"
        lookup = target.operation("lookupByCorrelation") if adopts else None
        if lookup is None:
            return self._failed(message, target, attempt_id, failure)
        ours = await self._reader(message, target).ours(lookup, facts)
        if isinstance(ours, Found):
            return await self._confirm(
                leased, shaped, target, target.operation("create"), ours, attempt_id, episode,
                how="adopted",
            )  # fmt: skip
        if ours is not None:
            await self.attempts.close(attempt_id, "refused", failure.evidence())
            return ours
        if message.tries < settling.UNKNOWN_LOOKUPS:
            # Its search may lag behind its constraint.
            return settling.again(
                message, failure, attempt_id, time.time() + max(1.0, lookup.settle_s)
            )
        return self._failed(message, target, attempt_id, failure)

    async def _re_resolved(
        self, leased: Leased, target: Target, link: Link | None, ended: Settlement
    ) -> Settlement:
        """A linked record is gone: another one may carry our key, after a merge or a restore."""
        lookup = target.operation("lookupByCorrelation")
        if ended.error_class != "notFound" or link is None or lookup is None:
            return ended
        message = leased.message
        facts = Facts(target.compiled.binding.config, {}, message.key)
        ours = await self._reader(message, target).ours(lookup, facts)
        if not isinstance(ours, Found) or ours.native_id in (None, link.native_id):
            return ended
        moved = replace(
            link, native_id=ours.native_id or "", display_id=ours.display_id,
            url=ours.url, version=ours.version,
        )  # fmt: skip
        return settling.moved(ended, moved, time.time())

    async def _without_lookup(
        self, message: Message, target: Target, attempt: Attempt | None
    ) -> Settlement | None:
        """The system can neither recognise nor find a repeated request: the Flow has chosen."""
        if attempt is None:
            return None
        if target.compiled.binding.delivery == "atMostOnce":
            words = (
                "The system may or may not have taken it, and cannot be asked. Look there first."
            )
            ended = settling.Outcome(attempt.id, "unknown")
            return settling.review(message, "timeout", words, ended=ended)
        await self.attempts.close(attempt.id, "repeated", {"delivery": "atLeastOnce"})
        return None

    def _reader(self, message: Message, target: Target) -> RecordReader:
        return RecordReader(
            target, message, lambda failure: self._failed(message, target, None, failure)
        )

    async def _confirm(
        self,
        leased: Leased,
        shaped: Shaped,
        target: Target,
        operation: CompiledOperation | None,
        found: Found,
        attempt_id: int | None,
        episode: str,
        *,
        how: str,
    ) -> Settlement:
        """Read back where the class says that 2xx is not success; then link and be done."""
        message = leased.message
        link = settling.link_to(message, shaped, found)
        if operation is not None and operation.spec.read_back is not None:
            facts = Facts(target.compiled.binding.config, shaped.written, message.key, link.names())
            move = target.operation("transition")
            if message.stage == MOVING and move is not None:
                stopped = await self._walk(leased, target, move).to_goal(facts)
                if stopped is not None:
                    return settling.unread(leased, stopped, link, time.time())
            read = await target.read_back(operation, facts)
            if isinstance(read, Failure):
                # The write itself is done: what is left to do is to read it, and nothing is made again.
                return settling.unread(
                    leased, self._failed(message, target, None, read), link, time.time()
                )
            seen, differences = read
            link = replace(link, version=seen.version or link.version)
            if how == "found" and shaped.enrichment.missing:
                # It may have been sent with more than is known now; what it says is what both hold.
                link, differences = settling.as_it_reads(link, differences), []
            if how == "created" and message.stage not in PASSED_ON and _walks(move, differences):
                return settling.to_be_moved(leased, link, attempt_id, time.time())
            if differences:
                return settling.not_kept(
                    leased,
                    link,
                    target.compiled,
                    differences,
                    attempt_id=attempt_id,
                    now=time.time(),
                )
        after = settling.episode_after(leased, episode, time.time())
        return settling.done(leased, how, link=link, episode=after, attempt_id=attempt_id)

    async def _change(
        self,
        leased: Leased,
        shaped: Shaped,
        target: Target,
        link: Link | None,
        decision: episodes.Change,
    ) -> Settlement:
        message = leased.message
        operation = target.operation(decision.operation)
        if link is None or operation is None:
            return settling.review(message, "schemaDrift", f"the class has no {decision.operation}")
        changed = change(shaped, link, decision.fields, _stamp())
        if isinstance(changed, Unshaped):
            return settling.review(message, "validation", changed.message, path=changed.path)
        if not changed.written:
            after = settling.episode_after(leased, decision.episode, time.time())
            known = (
                replace(link, agreed=settling.agreed_on(changed))
                if changed.enrichment.known
                else None
            )
            return settling.done(leased, "agreed", link=known, episode=after)
        facts = Facts(target.compiled.binding.config, changed.written, message.key, link.names())
        attempt = leased.open_attempt
        if attempt is not None and attempt.step == "comment":
            await self.attempts.close(attempt.id, "repeated", {})  # a remark cannot be looked up
            attempt = None
        if attempt is not None and operation.spec.read_back is not None:
            # Unknown whether the write arrived: what reads back as written needs no second write.
            read = await target.read_back(operation, facts)
            if isinstance(read, Failure):
                return self._failed(message, target, None, read)
            if not read[1]:
                ended = settling.changed(
                    leased, changed, link, read[0], attempt.id, decision, "found", time.time()
                )
                return await self._told(leased, target, operation, link, facts, ended)
            await self.attempts.close(attempt.id, "absent", {"readBack": "not written"})
        needless = await self._reader(message, target).is_needless(operation, facts)
        if isinstance(needless, Settlement):
            return needless
        if needless:
            after = settling.episode_after(leased, decision.episode, time.time())
            return settling.done(leased, "agreed", link=None, episode=after)
        if operation.is_all_told(facts):
            same = Found(version=link.version)
            ended = settling.changed(
                leased, changed, link, same, None, decision, "commented", time.time()
            )
            return await self._told(leased, target, operation, link, facts, ended)
        headers = await self._reader(message, target).edition(operation, facts)
        if isinstance(headers, Settlement):
            return headers
        attempt_id: int | None = None
        found = Found(version=link.version)
        if operation.steps is not None:
            stopped = await self._walk(leased, target, operation).to_goal(facts)
            if stopped is not None:
                return stopped
        else:
            attempt_id = await self.attempts.intend(leased, target, decision.operation)
            answer = await self.attempts.write(
                attempt_id, message, target, operation, facts, headers
            )
            if isinstance(answer, Failure):
                return self._failed(message, target, attempt_id, answer)
            found = answer.found
        if operation.spec.read_back is not None:
            read = await target.read_back(operation, facts)
            if isinstance(read, Failure):
                return self._failed(message, target, None, read)
            if read[1]:
                return settling.not_kept(
                    leased, link, target.compiled, read[1], attempt_id=attempt_id, now=time.time()
                )
            found = read[0]
        ended = settling.changed(
            leased, changed, link, found, attempt_id, decision, "changed", time.time()
        )
        return await self._told(leased, target, operation, link, facts, ended)

    async def _told(
        self,
        leased: Leased,
        target: Target,
        operation: CompiledOperation,
        link: Link,
        facts: Facts,
        ended: Settlement,
    ) -> Settlement:
        """Tell what the write could not change; how it ended once that is done, or where there is nothing to tell.

        Last, because a remark that was told cannot be looked up: whatever fails before is tried again without one.
        """
        message = leased.message
        try:
            text = operation.remark(facts)
        except RequestError as error:
            words = f"{error.path}: {error.message}"
            failure = Failure("validation", words, "remark")
            return self._failed(message, target, ended.attempt_id, failure)
        comment = target.operation("comment")
        if text is None or comment is None:
            return ended
        if ended.attempt_id is not None:
            await self.attempts.close(ended.attempt_id, "ok", {})
        said = comment_facts(self.plan, target.compiled, message, link, text)
        attempt_id = await self.attempts.intend(leased, target, "comment")
        answer = await self.attempts.write(attempt_id, message, target, comment, said, {})
        if isinstance(answer, Failure):
            return self._failed(message, target, attempt_id, answer)
        return replace(ended, attempt_id=attempt_id, outcome="ok")

    async def _comment(
        self,
        leased: Leased,
        target: Target,
        link: Link | None,
        decision: episodes.Comment,
    ) -> Settlement:
        message = leased.message
        operation = target.operation("comment")
        if link is None or operation is None:
            return settling.review(message, "schemaDrift", "the class has no operation comment")
        if leased.open_attempt is not None:
            # A comment cannot be looked up; said twice is better than not said.
            await self.attempts.close(leased.open_attempt.id, "repeated", {})
        facts = comment_facts(self.plan, target.compiled, message, link, decision.text)
        headers = await self._reader(message, target).edition(operation, facts)
        if isinstance(headers, Settlement):
            return headers
        attempt_id = await self.attempts.intend(leased, target, "comment")
        answer = await self.attempts.write(attempt_id, message, target, operation, facts, headers)
        if isinstance(answer, Failure):
            return self._failed(message, target, attempt_id, answer)
        after = settling.episode_after(leased, decision.episode, time.time())
        return settling.done(leased, "commented", link=None, episode=after, attempt_id=attempt_id)

    def _walk(self, leased: Leased, target: Target, operation: CompiledOperation) -> Walk:
        def failed(attempt_id: int | None, failure: Failure) -> Settlement:
            return self._failed(leased.message, target, attempt_id, failure)

        return Walk(leased, target, self.attempts, operation, failed)

    def _failed(
        self, message: Message, target: Target, attempt_id: int | None, failure: Failure
    ) -> Settlement:
        if attempt_id is not None and target.name in self.refusals:
            self.refusals[target.name].note(failure, message.record or {}, time.time())
        if message.stage == COMPLETING:
            # It was delivered in time; only how often it is tried counts.
            message = replace(message, received_at=time.time())
        return settling.after_failure(
            message,
            failure,
            binding=target.name,
            gate=target.gate,
            attempt_id=attempt_id,
            policies=target.compiled.policies,
            now=time.time(),
            jitter=self.draw(),
            may_retry_soon=target.budget.has_room(time.monotonic()),
        )


def comment_facts(
    plan: CompiledPlan, target: CompiledSystem, message: Message, link: Link, text: str
) -> Facts:
    """What a comment is made from, and what of the message the system must not be quoted with."""
    told = personal_values(message.record or {}, personal_in_record(plan))
    return Facts(target.binding.config, {}, message.key, link.names(), text, tuple(told))


def _walks(move: CompiledOperation | None, differences: Sequence[Difference]) -> bool:
    """Whether what a new record does not show yet is reached by steps."""
    steps = move.steps if move is not None else None
    return steps is not None and any(d.field == steps.field for d in differences)


def _held(message: Message, target: Target) -> Settlement:
    return settling.before_gate(
        message, target.name, target.gate, now=time.time(), mono=time.monotonic()
    )


def _stamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
