"""What the worker keeps about a message: deliveries, messages, attempts, links, and how they are settled.

Pure values. The store edge persists them, the pipeline decides them.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

LEFT_OUT: Final = "leftOut"
"""Reason of a message that is only a question: the rest of its item is a message of its own."""
COMPLETES: Final = "completes"
"""Field of an event that answers such a question; the record that is there gets what it lacks."""


class State(StrEnum):
    """A message is always in exactly one of these."""

    WAITING = "waiting"
    HELD = "held"
    SENDING = "sending"
    REVIEW = "review"
    DONE = "done"
    DROPPED = "dropped"
    DISCARDED = "discarded"


IN_FLIGHT: frozenset[State] = frozenset({State.WAITING, State.HELD, State.SENDING})


class DeliveryState(StrEnum):
    """A captured delivery is in exactly one of these: captured = split + pending + malformed."""

    PENDING = "pending"
    SPLIT = "split"
    MALFORMED = "malformed"


COMPLETING: Final = "completing"
"""Stage of a message that was delivered already and is to be completed; also the reason of that transition."""
CONFIRMING: Final = "confirming"
"""Stage of a message whose record is made and linked, and could not be read back yet."""
MOVING: Final = "moving"
"""Stage of a message whose record is made and linked, and is to be taken step by step to its state."""
PASSED_ON: Final = frozenset({COMPLETING, CONFIRMING, MOVING})
"""Stages that a message keeps until it is done, through waiting, holding, review and crashes."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request body as it came, not yet split. `at` is epoch seconds."""

    id: int
    source: str
    delivery_id: str
    headers: dict[str, str]
    body: bytes
    at: float
    damaged: bool = False
    """Whether the stored body no longer matches its checksum; it is never delivered."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Answer of the store to capture, given after the commit."""

    id: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class NewMessage:
    """One item of a delivery after intake, in the state that intake decided.

    `dedup` names the copy: a second message of the same source and dedup within the horizon is
    stored as dropped with reason `duplicate`, whatever `state` says. `item` counts from 0.
    `original` is the item as it came, `record` the canonical record (None where mapping failed).
    """

    item: int
    key: str
    dedup: str | None
    state: State
    stage: str
    reason: str
    plan_hash: str
    record: dict[str, Any] | None
    original: Any
    variant: str | None = None
    error_class: str | None = None
    detail: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class IntakeResult:
    """What became of one delivery. `malformed` says why a body could not be split at all.

    A malformed delivery still yields one message in review, so that a person finds it.
    """

    delivery_id: int
    messages: tuple[NewMessage, ...]
    malformed: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message in a lane. Times are epoch seconds; `tries` counts finished attempts."""

    id: int
    delivery_id: int
    item: int
    source: str
    key: str
    seq: int
    state: State
    stage: str
    reason: str
    due_at: float
    tries: int
    plan_hash: str
    record: dict[str, Any] | None
    received_at: float
    error_class: str | None = None
    detail: str | None = None
    path: str | None = None
    variant: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that was meant to be sent. Without `outcome_at` nobody knows what it did."""

    id: int
    message_id: int
    step: str
    binding: str
    idem_key: str
    plan_hash: str
    intent_at: float
    outcome_at: float | None = None
    outcome: str | None = None
    error_class: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """Which record of a system stands for a key. `agreed` is what both sides held last."""

    key: str
    binding: str
    connector: str
    object: str
    native_id: str
    display_id: str | None = None
    url: str | None = None
    version: str | None = None
    agreed: dict[str, Any] = field(default_factory=dict)

    def names(self) -> dict[str, str]:
        """The `link` that request expressions see."""
        return {
            "nativeId": self.native_id,
            "displayId": self.display_id or "",
            "version": self.version or "",
            "url": self.url or "",
        }


@dataclass(frozen=True, slots=True)
class Episode:
    """What the engine remembers of one key: its state and when that changed (epoch seconds)."""

    key: str
    state: str
    count: int
    changed_at: float
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Leased:
    """One message that may run now, with all that is known of its key.

    `open_attempt` is the newest attempt without an outcome, if any: its effect is unknown.
    """

    message: Message
    original: Any
    open_attempt: Attempt | None
    links: tuple[Link, ...]
    episode: Episode | None
    since: float = 0.0
    """From when on no other process can have worked on this key (epoch seconds); 0: ever since the start."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a leased message. Written in one transaction; releases the lane.

    `outcome` (ok, refused, unknown, mismatch) closes the attempt `attempt_id`; without one the attempt stays
    open and is looked up first. Class and evidence are kept with it either way; what it had already stays.
    `count_try` says whether the message's `tries` goes up.
    """

    message_id: int
    state: State
    stage: str
    reason: str
    due_at: float = 0.0
    count_try: bool = False
    error_class: str | None = None
    detail: str | None = None
    path: str | None = None
    attempt_id: int | None = None
    outcome: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    link: Link | None = None
    episode: Episode | None = None
    held_for: str | None = None
    """Binding whose gate the message waits for (held), or whose recovery ends its back-off (waiting)."""
