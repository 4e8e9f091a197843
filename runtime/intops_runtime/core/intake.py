"""Intake: one delivery becomes messages: split → recognise version → map → key.

Pure. A body that cannot be split becomes one message in review, so that a person finds it. An item whose Mapping
leaves a value to a person is two messages: what is delivered, and the question.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson

from intops_core.expressions import EvaluationError, Program, activation
from intops_core.mapping import LeftOut, Mapped, Source
from intops_runtime.core.compiled import CompiledPlan, CompiledSource
from intops_runtime.core.drift import DriftWatch
from intops_runtime.core.keys import correlation_key, key_in
from intops_runtime.core.messages import LEFT_OUT, Delivery, IntakeResult, NewMessage, State

# A dedup id is an index key; longer ones are hashed.
_DEDUP_MAX = 200


@dataclass(frozen=True, slots=True)
class Malformed(Exception):
    """A body that holds no messages; `reason` is a sentence."""

    reason: str


def intake(
    plan: CompiledPlan,
    delivery: Delivery,
    *,
    now: datetime,
    watches: Mapping[str, DriftWatch] | None = None,
) -> IntakeResult:
    """Everything that one delivery contains, each item in the state that intake can decide.

    `watches` see the payloads of their source on the way.
    """
    source = plan.sources.get(delivery.source)
    if source is None:
        return _unbound(plan, delivery)
    try:
        payload, items = split(source, delivery)
    except Malformed as error:
        message = _for_review(
            plan, delivery, 0, None, "payloadMalformed", error.reason, None, reason="malformed"
        )
        return IntakeResult(delivery.id, (message,), malformed=error.reason)
    stamp = stamp_of(now)
    watch = (watches or {}).get(delivery.source)
    return IntakeResult(
        delivery.id,
        tuple(
            message
            for index, item in enumerate(items)
            for message in messages_of(plan, source, delivery, index, item, payload, stamp, watch)
        ),
    )


@lru_cache(maxsize=4)
def stamp_of(now: datetime) -> str:
    """The moment of mapping as expressions see it; deliveries that are split together have the same."""
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def set_aside(plan: CompiledPlan, delivery: Delivery, words: str) -> IntakeResult:
    """A delivery that cannot be handled without harm, as one message for a person."""
    message = _for_review(plan, delivery, 0, None, "poison", words, None, reason="poison")
    return IntakeResult(delivery.id, (message,), malformed=words)


def _unbound(plan: CompiledPlan, delivery: Delivery) -> IntakeResult:
    words = (
        f'The Flow no longer binds a source "{delivery.source}". '
        "Bind it again, or discard the message."
    )
    message = _for_review(plan, delivery, 0, None, "policyDenied", words, None, reason="unbound")
    return IntakeResult(delivery.id, (message,))


def split(source: CompiledSource, delivery: Delivery) -> tuple[Any, list[Any]]:
    """The whole payload of a delivery, and the items in it.

    Raises:
        Malformed: it cannot be read, or has no items where its class expects them.
    """
    if delivery.damaged:
        raise Malformed("The stored body no longer matches its checksum; the volume is damaged.")
    try:
        payload = orjson.loads(delivery.body)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"The body is not JSON: {error}.") from error
    if source.items is None:
        return payload, [payload]
    if source.items_at is not None and isinstance(found := source.items_at(payload), list):
        return payload, found
    scope = activation({"payload": payload, "headers": delivery.headers})
    try:
        items = source.items.evaluate(scope)
    except EvaluationError as error:
        raise Malformed(
            f"The body has no list of messages where the class expects one: {error.message}."
        ) from error
    if not isinstance(items, list):
        raise Malformed("What the class takes for the list of messages is no list.")
    return payload, items


def messages_of(
    plan: CompiledPlan,
    source: CompiledSource,
    delivery: Delivery,
    index: int,
    item: Any,
    payload: Any,
    stamp: str,
    watch: DriftWatch | None = None,
) -> Iterator[NewMessage]:
    """One item of a delivery as a message: mapped and with its key, or set aside for a person.

    A second one is the question that it leaves to a person. `stamp` is now, RFC 3339.
    """
    dedup = dedup_of(source, delivery.headers, item, payload)
    ours = origin_of(source, delivery.headers, item, payload)
    if ours is not None:
        yield NewMessage(
            item=index, key=ours, dedup=dedup, state=State.DROPPED, stage="recognised", reason="echo",
            plan_hash=plan.plan.hash, record=None, original=item,
        )  # fmt: skip
        return
    result = source.mapping.apply(Source(item, payload, delivery.headers, stamp))
    if watch is not None:
        watch.observe(item, payload, result, delivery.at)
    if not isinstance(result, Mapped):
        error_class = "schemaDrift" if result.outcome == "drift" else "validation"
        yield _for_review(
            plan, delivery, index, item, error_class, result.message, dedup, path=result.path,
            reason=result.outcome,
        )  # fmt: skip
        return
    event = result.record
    if dedup is not None:
        event.setdefault("deliveryId", dedup)
    key = correlation_key(
        plan.plan.flow.namespace,
        source.binding.connector,
        plan.in_name,
        str(event.get("episodeKey", "")),
    )
    yield NewMessage(
        item=index,
        key=key,
        dedup=dedup,
        state=State.WAITING,
        stage="mapped",
        reason="",
        plan_hash=plan.plan.hash,
        record=event,
        original=item,
        variant=result.variant,
    )
    if result.left_out:
        yield _question(plan, delivery, index, item, result.left_out, dedup)


def _question(
    plan: CompiledPlan,
    delivery: Delivery,
    index: int,
    item: Any,
    left_out: tuple[LeftOut, ...],
    dedup: str | None,
) -> NewMessage:
    """What a person must decide about a message whose rest is delivered."""
    words = " ".join([*(left.message for left in left_out), "The rest is delivered meanwhile."])
    own = None if dedup is None else _short(f"{dedup}#{LEFT_OUT}")
    return _for_review(
        plan,
        delivery,
        index,
        item,
        "validation",
        words,
        own,
        path=left_out[0].path,
        reason=LEFT_OUT,
    )


def origin_of(
    source: CompiledSource, headers: Mapping[str, str], item: Any, payload: Any
) -> str | None:
    """The correlation key that a record of ours carries: telling of it again would go round in circles."""
    return key_in(_said_of(source.origin, headers, item, payload))


def dedup_of(
    source: CompiledSource, headers: Mapping[str, str], item: Any, payload: Any
) -> str | None:
    """What two copies of one message have in common; None where nothing tells."""
    value = _said_of(source.delivery_id, headers, item, payload)
    text = "" if value is None else str(value)  # null names no copy: two of them are two messages
    return _short(text) if text else None


def _said_of(
    program: Program | None, headers: Mapping[str, str], item: Any, payload: Any
) -> object:
    """What an expression of the class says of an item; None where it says nothing or fails."""
    if program is None:
        return None
    try:
        return program.evaluate(
            activation({"object": item, "payload": payload, "headers": dict(headers)})
        )
    except EvaluationError:
        return None  # mapping tells what is missing, with its path


def _short(text: str) -> str:
    """A dedup id that an index takes."""
    if len(text) <= _DEDUP_MAX:
        return text
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _for_review(
    plan: CompiledPlan,
    delivery: Delivery,
    index: int,
    item: Any,
    error_class: str,
    detail: str,
    dedup: str | None,
    *,
    reason: str,
    path: str | None = None,
) -> NewMessage:
    # A key of its own: what could not be read blocks nothing else.
    seed = json.dumps([delivery.source, delivery.id, index])
    key = "review:" + hashlib.sha256(seed.encode()).hexdigest()[:32]
    return NewMessage(
        item=index,
        key=key,
        dedup=dedup,
        state=State.REVIEW,
        stage="intake",
        reason=reason,
        plan_hash=plan.plan.hash,
        record=None,
        original=item,
        error_class=error_class,
        detail=detail,
        path=path,
    )
