"""What the worker needs of a store, and how a store fails. Two engines are behind it: SQLite and PostgreSQL.

Every write returns after its commit is on disk. Errors carry a sentence for people that names the file
or server and what to do. Times are epoch seconds.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from intops_api.report import StoreReport
from intops_runtime.core.auditing import Entry, Row
from intops_runtime.core.decisions import (
    Answer,
    Applied,
    Decision,
    Resolution,
    ReviewGroup,
    ReviewItem,
)
from intops_runtime.core.messages import Accepted, Delivery, IntakeResult, Leased, Settlement
from intops_runtime.edges.store.queries import Filter
from intops_runtime.edges.store.reviews import Wanted

UNTOUCHED_S: Final = 120.0
"""A store that nothing was written to for longer may be a backup; a worker that restarts is quicker."""


class StoreError(Exception):
    """The store cannot be used."""


class StoreFull(StoreError):
    """There is no room; nothing was acknowledged. Goes away when there is room again."""


class StoreBusy(StoreError):
    """Another worker has the store open."""


class StoreCorrupt(StoreError):
    """The file is damaged; it is never repaired or deleted by itself."""


class StoreTooNew(StoreError):
    """A newer intops wrote the file."""


class StoreAway(StoreError):
    """A store elsewhere cannot be used at the moment; it is tried again by itself.

    What was being written is not there, or its commit got lost on the way back: writing it again is safe.
    """


PASSING: Final = (StoreFull, StoreAway)
"""What passes by itself: whoever met it goes on after `STORE_RETRY_S` seconds."""
STORE_RETRY_S: Final = 1.0


class Fenced(StoreError):
    """Another replica has taken over what is written to; this late write was refused."""


class Elsewhere(StoreError):
    """Another replica applies this decision at the moment; bring it again, then it is answered."""


class Decisions(Protocol):
    """What waits for people, what they decided, and the audit of one plan."""

    async def review_groups(self, limit: int) -> list[ReviewGroup]:
        """Groups of equal errors in review, the one that is due first before the others."""
        ...

    async def review_items(self, wanted: Wanted) -> list[ReviewItem]:
        """Messages in review, oldest first."""
        ...

    async def begin_decision(self, decision_id: str, now: float) -> tuple[float, Answer | None]:
        """When a decision was first seen, and its answer if it has been applied already.

        Raises:
            Elsewhere: another replica applies it at the moment.
        """
        ...

    async def decide(
        self, decision: Decision, resolutions: Sequence[Resolution], now: float
    ) -> Applied:
        """Apply a part of a decision and record it, in one transaction.

        Raises:
            Elsewhere: another replica has taken it over; nothing was changed.
        """
        ...

    async def end_decision(self, decision: Decision, answer: Answer, now: float) -> Answer:
        """Note the answer of a decision, with all that its parts have done; a refusal is recorded."""
        ...

    def tells(self, channel: str) -> bool:
        """Whether people are told by a channel from here, and not from another replica."""
        ...

    async def notices(self) -> dict[tuple[str, str], float]:
        """When each kind of notice was given about each fingerprint (epoch seconds)."""
        ...

    async def note_notice(self, kind: str, fingerprint: str, entry: Entry, now: float) -> None:
        """Note and record that people were told, in one transaction."""
        ...

    async def audit(self, entry: Entry, now: float) -> None:
        """Add an entry to the audit chain; a plan that was loaded last already is not told again."""
        ...

    async def audit_page(self, after: int, limit: int) -> list[Row]:
        """Entries of the audit chain after a number, in order."""
        ...

    async def erase(self, key: str, entry: Entry, now: float) -> int:
        """Erase what may be personal in entries about a key; `entry` says who asked. How many."""
        ...


class Store(Protocol):
    """Deliveries, messages, attempts and links of one plan."""

    store_id: str
    """Made with the file; part of every idempotency key."""
    known_since: float
    """Since when every record that was made is in here: the store was made then, or found lying untouched, so
    that it may be a backup that others have gone on from (epoch seconds)."""
    decisions: Decisions
    """What people decide, and the audit."""
    poll_s: float
    """How long a change that another replica makes may go unnoticed, in seconds."""
    pause_s: float
    """How long the answer for a stored delivery waits, so that senders slow down as the store fills up."""
    takings: int
    """How often lanes were taken; after each there may be held messages that were not seen before."""

    async def accept(
        self, source: str, delivery_id: str | None, headers: dict[str, str], body: bytes, at: float
    ) -> Accepted:
        """Keep one delivery; a second one of the same source and id is told as a duplicate."""
        ...

    async def next_intake(self, limit: int) -> list[Delivery]:
        """Deliveries that are not yet split, in the order of arrival."""
        ...

    async def settle_intake(self, results: list[IntakeResult], now: float) -> None:
        """Messages in and deliveries settled, in one transaction; copies become `duplicate`."""
        ...

    async def lease(self, now: float, limit: int) -> list[Leased]:
        """Messages that may run: due, and the oldest unfinished of their key. Until `release`."""
        ...

    async def intend(
        self,
        message_id: int,
        step: str,
        binding: str,
        idem_key: str,
        plan_hash: str,
        now: float,
    ) -> int:
        """Store that a request is about to be sent; returns the id of the attempt."""
        ...

    async def close_attempt(
        self, attempt_id: int, outcome: str, evidence: dict[str, Any], now: float
    ) -> None:
        """Say what became of an attempt whose outcome was unknown; what was known of it stays."""
        ...

    async def settle(self, settlement: Settlement, now: float) -> None:
        """Write what became of a leased message, and release it."""
        ...

    def check(self, message_id: int) -> None:
        """See that a leased message is still ours, at the last moment before a request is sent.

        Raises:
            Fenced: the lease may have run out; whoever has it now will see to the message.
        """
        ...

    def release(self, message_id: int) -> None:
        """Let a leased message go without a change."""
        ...

    async def unhold(self, binding: str, now: float, limit: int) -> int:
        """Held messages of a binding wait again, oldest first; returns how many."""
        ...

    async def hasten(self, binding: str, now: float) -> None:
        """What waits out a back-off for a binding is due now."""
        ...

    async def complete(self, binding: str, now: float, limit: int) -> int:
        """Messages that were delivered without what a binding knows wait again, if due; returns how many."""
        ...

    async def incomplete(self) -> dict[str, int]:
        """How many messages were delivered without what a binding knows, by binding."""
        ...

    async def held_bindings(self) -> list[str]:
        """Bindings for which messages are held."""
        ...

    async def next_due(self) -> float | None:
        """When the next message may run that is not leased."""
        ...

    async def messages(self, wanted: Filter, now: float) -> list[dict[str, Any]]:
        """Messages for people, newest first."""
        ...

    async def deliveries(self, since: float, below: int | None, limit: int) -> list[Delivery]:
        """Deliveries since a moment and below a number, newest first, as they came."""
        ...

    async def delivery_state(self, source: str, number: int) -> str | None:
        """Whether a delivery of a source is pending, split or malformed; None if it is not known."""
        ...

    async def message(self, number: int) -> dict[str, Any] | None:
        """One message with everything that happened to it."""
        ...

    async def trace(self, text: str) -> dict[str, Any] | None:
        """Everything about one key, found by any of its names."""
        ...

    async def prune(self, now: float) -> None:
        """Forget what ended long ago, a little at a time."""
        ...

    def counts(self, now: float) -> StoreReport:
        """How many messages are in which state; costs nothing."""
        ...

    async def close(self) -> None:
        """Finish what waits, then close."""
        ...
