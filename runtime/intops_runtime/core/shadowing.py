"""A Mapping on trial: what it would make of live messages, compared and counted, never stored and never sent.

Pure but for its own counts. A `Trial` belongs to one binding with a shadow, from the load of a plan on. The intake
shows it every message; the report tells its counts, and the console also one example of each field, with
personal values masked.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from intops_api.plan import PlanBinding
from intops_api.report import ShadowField, ShadowReport, ShadowResult
from intops_runtime.core.compiled import CompiledPlan
from intops_runtime.core.crashes import TRIES
from intops_runtime.core.intake import messages_of, split, stamp_of
from intops_runtime.core.made import (
    Made,
    differing,
    made_of_message,
    personal_names,
    shown,
    turned,
)
from intops_runtime.core.masking import (
    personal_in_original,
    personal_in_record,
    without_values,
)
from intops_runtime.core.messages import LEFT_OUT, Delivery, IntakeResult, NewMessage
from intops_runtime.core.reporting import rfc3339

# A person reads no more fields, and a report stays small; what is beyond is counted.
MAX_FIELDS: Final = 20
_LONGEST_WORDS: Final = 300
# Below an open map, such as labels, the sender chooses the names.
_LONGEST_PATH: Final = 200
_FAILURES: Final = ("error", "drift", "unmapped")

Outcome = Literal["same", "differs", "drift", "unmapped", "error", "skipped"]


@dataclass(slots=True)
class Disagreement:
    """One field over which the two Mappings disagree, in so many messages.

    Attributes:
        path: Field, by the names of `Made.values`; of a failure the field that it is about.
        result: How they disagree; `mends` is a message that fails now and would not.
        since: When it was seen first, epoch seconds.
        before, after: Values of the first one seen; masked where personal, None where absent.
        detail: Of a failure, its words without personal values.
        example: Delivery and item of the first one seen.
    """

    path: str
    result: ShadowResult
    since: float
    example: tuple[int, int]
    before: Any = None
    after: Any = None
    detail: str = ""
    messages: int = 0


class Trial:
    """One Mapping on trial.

    Args:
        active: The plan that decides.
        binding: The binding that names the shadow.
        since: When the trial begins, epoch seconds.
    """

    def __init__(self, active: CompiledPlan, binding: PlanBinding, since: float) -> None:
        tried = active.shadows[binding.name]
        self.binding = binding.name
        self.mapping = binding.shadow_name or ""
        self.stopped = tried[:_LONGEST_WORDS] if isinstance(tried, str) else None
        self.counts: Counter[Outcome] = Counter()
        self._since = since
        self._active = active
        self._tried = active if isinstance(tried, str) else tried
        self._is_target = binding.role == "target"
        self._personal = personal_names(active) | personal_names(self._tried)
        self._seen: dict[tuple[str, ShadowResult], Disagreement] = {}
        self._further = 0
        self._parsed: tuple[int, Any] = (0, None)

    @property
    def mark(self) -> int:
        """Names this trial in the black box: the same Mapping in the same plan has the same number."""
        seed = f"{self._active.plan.hash}/{self.binding}"
        return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:7], "big")

    def died(self, deaths: int) -> None:
        """The worker has died so often while it computed for this trial; too often ends it."""
        if deaths >= TRIES:
            self.stopped = (
                f'The worker died {deaths} times while it tried Mapping "{self.mapping}". It is not tried '
                "again under this plan. Mend the Mapping, or remove shadow."
            )

    def concerns(self, delivery: Delivery, result: IntakeResult) -> bool:
        """Whether messages of this delivery are to be compared."""
        if self.stopped is not None or result.malformed is not None:
            return False
        return delivery.source in self._active.sources and (
            self._is_target or delivery.source == self.binding
        )

    def look(
        self, delivery: Delivery, message: NewMessage, now: datetime, *, asked: bool = False
    ) -> None:
        """Compare what the shadow makes of one message with what became of it.

        `asked` is whether a person was asked about a value that was left out of it. May raise whatever a defect
        raises; `crashed` is then to be told.
        """
        if message.plan_hash != self._active.plan.hash:
            return  # it was split under a plan before or after this one
        if message.reason == LEFT_OUT:
            return  # a question beside what is delivered
        try:
            here = made_of_message(self._active, delivery.source, message, now)
        except Exception:
            self.counts["skipped"] += 1  # no fault of the shadow; the lane tells of it
            return
        if self._is_target and here.target != self.binding:
            return
        other, question = (
            (message, None) if self._is_target else self._mapped(delivery, message, now)
        )
        if question is not None and not asked:
            self._asks(question, (delivery.id, message.item), message, delivery.source, now)
            return
        there = made_of_message(self._tried, delivery.source, other, now)
        self._compare((delivery.id, message.item), here, there, message, delivery.source, now)

    def crashed(self, kind: str, delivery: Delivery, message: NewMessage, now: datetime) -> None:
        """Looking at a message came to an error of this kind."""
        self.counts["error"] += 1
        found = Disagreement("", "error", now.timestamp(), (delivery.id, message.item))
        found.detail = f"Mapping it crashed ({kind}); see the worker's log."
        self._note(found)

    def skip(self, messages: int) -> None:
        """So many messages were not looked at, for want of time."""
        self.counts["skipped"] += messages

    def disagreements(self) -> list[Disagreement]:
        """What fails first, then most frequent first."""
        return sorted(
            self._seen.values(),
            key=lambda one: (one.result not in _FAILURES, -one.messages, one.path),
        )

    def report(self) -> ShadowReport:
        """What is told of it, without any value."""
        counts = self.counts
        return ShadowReport(
            binding=self.binding,
            mapping=self.mapping,
            since=rfc3339(self._since),
            same=counts["same"],
            differing=counts["differs"],
            drift=counts["drift"],
            unmapped=counts["unmapped"],
            error=counts["error"],
            skipped=counts["skipped"],
            stopped=self.stopped,
            fields=[
                ShadowField(
                    path=one.path[:_LONGEST_PATH],
                    result=one.result,
                    messages=one.messages,
                    since=rfc3339(one.since),
                )
                for one in self.disagreements()
            ],
            further=self._further,
        )

    def _mapped(
        self, delivery: Delivery, message: NewMessage, now: datetime
    ) -> tuple[NewMessage, NewMessage | None]:
        """What the shadow makes of a message, and the question that it would leave to a person."""
        source = self._tried.sources[delivery.source]
        if self._parsed[0] != delivery.id:
            self._parsed = (delivery.id, split(source, delivery)[0])
        found = messages_of(
            self._tried, source, delivery, message.item, message.original, self._parsed[1],
            stamp_of(now),
        )  # fmt: skip
        return next(found), next(found, None)

    def _asks(
        self,
        question: NewMessage,
        where: tuple[int, int],
        message: NewMessage,
        source: str,
        now: datetime,
    ) -> None:
        """A person would have to decide about a value, which nobody has to now."""
        self.counts["unmapped"] += 1
        found = Disagreement(question.path or "", "unmapped", now.timestamp(), where)
        found.detail = self._said(question.detail or "", message, source)
        self._note(found)

    def _compare(
        self,
        where: tuple[int, int],
        here: Made,
        there: Made,
        message: NewMessage,
        source: str,
        now: datetime,
    ) -> None:
        turn, at = turned(here, there), now.timestamp()
        if turn == "breaks":
            failure: Literal["drift", "unmapped"] = (
                "drift" if there.failure == "schemaDrift" else "unmapped"
            )
            self.counts[failure] += 1
            found = Disagreement(there.path or "", failure, at, where)
            found.detail = self._said(there.detail, message, source)
            self._note(found)
        elif turn == "mends":
            self.counts["differs"] += 1
            self._note(Disagreement(here.path or "", "mends", at, where, detail=here.detail))
        elif here.failure is not None or not (fields := differing(here, there)):
            self.counts["same"] += 1
        else:
            self.counts["differs"] += 1
            for name, before, after in fields:
                values = (shown(name, value, self._personal) for value in (before, after))
                self._note(Disagreement(name, "differs", at, where, *values))

    def _said(self, detail: str, message: NewMessage, source: str) -> str:
        """Words of the shadow without what the Mapping beside it knows to be personal."""
        words = without_values(detail, message.original, personal_in_original(self._active, source))
        words = without_values(words, message.record or {}, personal_in_record(self._active))
        return (words or "")[:_LONGEST_WORDS]

    def _note(self, found: Disagreement) -> None:
        key = (found.path, found.result)
        if key not in self._seen and len(self._seen) >= MAX_FIELDS:
            self._further += 1
            return
        self._seen.setdefault(key, found).messages += 1


def trials(plan: CompiledPlan, since: float) -> list[Trial]:
    """A trial for each binding with a shadow."""
    return [Trial(plan, b, since) for b in plan.plan.bindings if b.name in plan.shadows]


@dataclass(slots=True)
class Allowance:
    """How much time trials may take: a share of all time, some of it at once. Times are monotonic seconds."""

    share: float = 0.1
    at_once_s: float = 0.25
    _left_s: float = 0.25
    _at: float | None = None

    def has_room(self, now: float) -> bool:
        """Whether one more message may be looked at; what the last one took too much is made up for first."""
        if self._at is not None:
            self._left_s += max(0.0, now - self._at) * self.share
        self._left_s = min(self._left_s, self.at_once_s)
        self._at = now
        return self._left_s > 0.0

    def took(self, seconds: float) -> None:
        """One message took so long."""
        self._left_s -= seconds
