"""What people decide about messages in review, as values: decisions, what they select, what became of them.

Pure. The console and the action files make decisions, `reviewing` judges them, the store applies them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Verb = Literal["retry", "edit", "discard"]

BATCH = 200
"""Messages that one transaction decides; capture waits for no more than these."""


@dataclass(frozen=True, slots=True)
class Select:
    """Which messages in review are meant: these ids, all of one fingerprint, or all of the Flow."""

    messages: tuple[int, ...] = ()
    fingerprint: str | None = None
    all: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision. `id` makes it count once; `at` is epoch seconds.

    `patch` is path → value of the canonical record; a value None takes the field away.
    """

    id: str
    verb: Verb
    select: Select
    reason: str
    actor: str
    approved_by: str | None = None
    patch: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """One message in review with all that a decision about it needs. Times are epoch seconds.

    `payload` and `headers` are those of its delivery; `record` is None where mapping failed.
    `unknown` names the binding of an attempt whose effect nobody knows; `newer` counts later messages
    of the same key that have been handled.
    """

    id: int
    delivery_id: int
    source: str
    key: str
    stage: str
    reason: str
    error_class: str | None
    detail: str | None
    path: str | None
    fingerprint: str
    plan_hash: str
    received_at: float
    due_at: float | None
    record: dict[str, Any] | None
    original: Any
    payload: bytes
    headers: Mapping[str, str]
    variant: str | None
    unknown: str | None
    newer: int


@dataclass(frozen=True, slots=True)
class ReviewGroup:
    """Messages whose errors are equal; the fields are those of the oldest of them."""

    fingerprint: str
    count: int
    first: int
    error_class: str | None
    reason: str
    path: str | None
    detail: str | None
    source: str
    plan_hash: str
    received_at: float
    due_at: float | None
    newest_at: float
    """When the newest of them came to review."""
    ids: tuple[int, ...]
    """Some of their numbers, oldest first."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a decision does not suit one message; nothing was changed."""

    message_id: int
    message: str
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """What becomes of one message in review.

    Attributes:
        discard: Whether it ends here; else it waits for its turn again.
        record: The canonical record from now on; None leaves everything as it is stored.
        key: Its key, which changes where the message could not be mapped before.
        plan_hash: The plan that the record was mapped with.
        reopen: Whether an attempt of unknown effect must be looked up before anything is repeated.
    """

    message_id: int
    discard: bool
    record: dict[str, Any] | None = None
    key: str | None = None
    plan_hash: str | None = None
    variant: str | None = None
    reopen: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a decision. `refused` says why in a sentence; nothing was changed then.

    `left` says which messages stay in review although the decision was applied to others.
    """

    applied: int = 0
    refused: str | None = None
    left: str | None = None
    path: str | None = None
    messages: tuple[int, ...] = ()
    """Some of the messages that it concerned."""
    at: float = 0.0
    repeated: bool = False
    """Whether it had been applied before and only its answer was given again."""


def so_far(stored: Mapping[str, Any]) -> Answer:
    """An answer as it was stored; nothing is stored before the first part of a decision."""
    return Answer(**{**stored, "messages": tuple(stored.get("messages", ()))})


def whole(earlier: Answer, last: Answer) -> Answer:
    """The answer of a decision whose earlier parts have done something already.

    What has changed messages is not refused: after a restart in the middle, those that it no longer
    suits stay in review, and that none is left to change is as it should be.
    """
    full = replace(
        last, applied=earlier.applied + last.applied, messages=earlier.messages or last.messages
    )
    if not earlier.applied or last.refused is None:
        return full
    return replace(full, refused=None, left=last.refused if last.messages else None)


@dataclass(frozen=True, slots=True)
class Applied:
    """What one transaction did: messages that changed, and attempts that are open again (id → end)."""

    messages: tuple[int, ...]
    reopened: Mapping[int, float] = field(default_factory=dict)
