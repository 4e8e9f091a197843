"""Settlements: what is written about a message after each way in which its turn can end.

Pure; called by the lane, which does the requests. Times are epoch seconds. More than 400 lines, because all ends of
a turn stand together: whoever adds one sees which states, attempts and links the others leave behind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from intops_api.common import duration_s
from intops_api.flow import ErrorPolicy
from intops_core.records import copy_json
from intops_runtime.core import episodes, retrying
from intops_runtime.core.classifying import Failure
from intops_runtime.core.compiled import CompiledSystem
from intops_runtime.core.enrichment import Enrichment, next_completion
from intops_runtime.core.exchanges import Difference, Found
from intops_runtime.core.gates import Gate
from intops_runtime.core.messages import (
    COMPLETING,
    CONFIRMING,
    MOVING,
    PASSED_ON,
    Attempt,
    Episode,
    Leased,
    Link,
    Message,
    Settlement,
    State,
)
from intops_runtime.core.shaping import Shaped

# Writes with an unknown effect that are looked up before a person is asked.
UNKNOWN_LOOKUPS = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the attempt of this turn ended, if there was one."""

    attempt_id: int | None = None
    outcome: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)


def episode_after(leased: Leased, state: str, now: float) -> Episode:
    """What is remembered of the episode once this message is settled."""
    known = leased.episode
    if known is None:
        return Episode(leased.message.key, state, 1, now)
    changed_at = known.changed_at if known.state == state else now
    return replace(known, state=state, count=known.count + 1, changed_at=changed_at)


def link_to(message: Message, shaped: Shaped, found: Found) -> Link:
    """The record that now stands for this key."""
    target = shaped.target
    return Link(
        key=message.key,
        binding=target.binding.name,
        connector=target.binding.connector,
        object=target.object,
        native_id=found.native_id or "",
        display_id=found.display_id,
        url=found.url,
        version=found.version,
        agreed=agreed_on(shaped),
    )


def agreed_on(shaped: Shaped) -> dict[str, Any]:
    """What both sides hold once this is written, and what enrichers said of it."""
    agreed: dict[str, Any] = {"incident": shaped.incident, "record": shaped.record}
    if shaped.enrichment.known:
        agreed["enriched"] = dict(shaped.enrichment.known)
    return agreed


def done(
    leased: Leased, how: str, *, link: Link | None, episode: Episode, attempt_id: int | None = None
) -> Settlement:
    """Delivered and, where the class asks for it, confirmed."""
    evidence = {"record": link.display_id or link.native_id} if link is not None else {}
    if how == "found":
        evidence["lookup"] = "found"
    return Settlement(
        leased.message.id,
        State.DONE,
        "linked",
        how,
        attempt_id=attempt_id,
        outcome="ok" if attempt_id is not None else None,
        evidence=evidence,
        link=link,
        episode=episode,
    )


def changed(
    leased: Leased,
    shaped: Shaped,
    link: Link,
    found: Found,
    attempt_id: int | None,
    decision: episodes.Change,
    how: str,
    now: float,
) -> Settlement:
    """The linked record is as the incident is; that is what both sides have agreed on now."""
    after = episode_after(leased, decision.episode, now)
    updated = replace(link, version=found.version, agreed=agreed_on(shaped))
    return done(leased, how, link=updated, episode=after, attempt_id=attempt_id)


def completed(
    leased: Leased,
    ended: Settlement,
    enrichment: Enrichment,
    give_up_s: float,
    now: float,
    ask: str | None = None,
) -> Settlement:
    """The same settlement, to be taken up again if somebody who may know more has not answered.

    A message that is being completed stays one until it is done, and was delivered whatever becomes of the rest.
    `ask` is the one of those who are missing that can be asked first.
    """
    message = leased.message
    completing = message.stage == COMPLETING
    if message.stage in PASSED_ON and ended.state in (State.WAITING, State.HELD, State.REVIEW):
        return replace(ended, stage=message.stage)
    if completing and ended.state in (State.DONE, State.DROPPED):
        how = "partial" if enrichment.missing else "completed"
        ended = replace(ended, state=State.DONE, stage="linked", reason=how)
    if ended.state is not State.DONE or not enrichment.missing:
        return ended
    if leased.links and message.stage not in PASSED_ON:
        return ended  # the message that made the record is the one to be taken up
    wait_s = next_completion(now - message.received_at, give_up_s)
    if wait_s is None:
        return ended
    return replace(ended, held_for=ask or enrichment.missing[0], due_at=now + wait_s)


def unbound(leased: Leased, attempt: Attempt) -> Settlement:
    """A create whose outcome is unknown went to a target that the Flow no longer binds: never made elsewhere."""
    words = (
        f'A record may have been made through "{attempt.binding}", which the Flow no longer binds, and nobody '
        "knows. Look there first; bind it again and retry this message, or discard it."
    )
    return review(leased.message, "policyDenied", words)


def as_it_reads(link: Link, differences: Sequence[Difference]) -> Link:
    """The link with what the record says in the place of what it was thought to say."""
    record = copy_json(link.agreed.get("record") or {})
    for difference in differences:
        *path, last = difference.field.split(".")
        node = record
        for part in path:
            node = node.setdefault(part, {})
        node[last] = difference.reads
    return replace(link, agreed={**link.agreed, "record": record})


def unread(leased: Leased, ended: Settlement, link: Link, now: float) -> Settlement:
    """The record is there and could not be read back yet: it is linked, and read again."""
    known = leased.episode or episode_after(leased, episodes.OPEN, now)
    stage = MOVING if leased.message.stage == MOVING else CONFIRMING
    return replace(ended, stage=stage, link=link, episode=known)


def to_be_moved(leased: Leased, link: Link, attempt_id: int | None, now: float) -> Settlement:
    """The record is made, and its state is one that only steps reach: it is linked, and taken there next."""
    outcome = Outcome() if attempt_id is None else Outcome(attempt_id, "ok")
    return Settlement(
        leased.message.id, State.WAITING, MOVING, "toBeMoved", due_at=now, link=link,
        attempt_id=outcome.attempt_id, outcome=outcome.outcome,
        episode=leased.episode or episode_after(leased, episodes.OPEN, now),
    )  # fmt: skip


def unenriched(leased: Leased, enrichment: Enrichment) -> Settlement:
    """The Flow's policy has a person look where somebody does not answer."""
    names = ", ".join(f'"{name}"' for name in enrichment.missing)
    words = (
        f"{names} did not answer in time, and the policy of enrichmentUnavailable is review. Retry it when they "
        "answer again; nothing was sent."
    )
    return review(leased.message, "enrichmentUnavailable", words)


def dropped(leased: Leased, decision: episodes.Drop, now: float) -> Settlement:
    """Nothing was to be done, for a counted reason."""
    episode = episode_after(leased, decision.episode, now) if decision.episode else None
    return Settlement(
        leased.message.id, State.DROPPED, "correlated", decision.reason, episode=episode
    )


def review(
    message: Message,
    error_class: str,
    detail: str,
    *,
    path: str | None = None,
    ended: Outcome = Outcome(),
) -> Settlement:
    """A person must look."""
    return Settlement(
        message.id,
        State.REVIEW,
        "act",
        error_class,
        error_class=error_class,
        detail=detail,
        path=path,
        attempt_id=ended.attempt_id,
        outcome=ended.outcome,
        evidence=ended.evidence,
    )


def before_gate(
    message: Message, binding: str, gate: Gate, *, now: float, mono: float
) -> Settlement:
    """The way is closed: wait until it opens. `mono` is the monotonic clock that gates use."""
    if gate.state == "limited":
        wait_s = max(gate.limited_until - mono, 0.05)
        return Settlement(
            message.id,
            State.WAITING,
            "act",
            "rateLimited",
            due_at=now + wait_s,
            error_class="rateLimited",
            detail=gate.detail,
        )
    return Settlement(
        message.id,
        State.HELD,
        "act",
        gate.error_class or "destinationDown",
        error_class=gate.error_class,
        detail=gate.detail,
        held_for=binding,
    )


def not_kept(
    leased: Leased,
    link: Link,
    target: CompiledSystem,
    differences: Sequence[Difference],
    *,
    attempt_id: int | None,
    now: float,
) -> Settlement:
    """The system said yes and did something else: a person must look; the record stays linked."""
    names = ", ".join(f"{d.field} (wrote {d.wrote!r}, reads {d.reads!r})" for d in differences)
    words = (
        f"{target.class_.spec.display_name} took record {link.display_id or link.native_id} but did "
        f"not keep {names}. See whether the field exists there and takes this value."
    )
    return Settlement(
        leased.message.id,
        State.REVIEW,
        "confirm",
        "notKept",
        error_class="validation",
        detail=words,
        path=differences[0].field,
        count_try=True,
        attempt_id=attempt_id,
        outcome="mismatch",
        evidence={"differs": [d.field for d in differences]},
        link=link,
        episode=episode_after(leased, episodes.OPEN, now),
    )


def foreign(leased: Leased, connector: str) -> Settlement | None:
    """An episode whose record stands in a system that is no longer bound never gets a twin."""
    others = [known for known in leased.links if known.connector != connector]
    if not others or len(others) < len(leased.links):
        return None
    words = (
        f"The record of this episode is {others[0].display_id or others[0].native_id} of Connector "
        f'"{others[0].connector}", which this message is no longer routed to. '
        "Finish it there, then discard the message."
    )
    return review(leased.message, "policyDenied", words)


def after_failure(
    message: Message,
    failure: Failure,
    *,
    binding: str,
    gate: Gate,
    attempt_id: int | None,
    policies: Mapping[str, ErrorPolicy],
    now: float,
    jitter: float,
    may_retry_soon: bool = True,
) -> Settlement:
    """What becomes of a message after a failure.

    An unknown effect leaves its attempt open, with what is known of it, so that it is looked up first.
    """
    unknown = failure.effect_unknown and attempt_id is not None
    step = retrying.next_step(
        failure,
        tries=message.tries + 1,
        age_s=now - message.received_at,
        policies=policies,
        jitter=jitter,
        may_retry_soon=may_retry_soon,
    )
    settlement = Settlement(
        message.id,
        State.HELD,
        "act",
        step.reason,
        error_class=failure.error_class,
        detail=failure.detail,
        path=failure.path,
        held_for=binding,
        attempt_id=attempt_id,
        outcome=None if unknown else "refused",
        evidence=failure.evidence(),
    )
    match step:
        case retrying.Retry() if gate.state in ("ok", "limited"):
            return replace(
                settlement,
                state=State.WAITING,
                due_at=now + step.delay_s,
                count_try=step.count,
            )
        case retrying.Retry() | retrying.Hold():
            return settlement
        case retrying.ToReview() | retrying.ToDrop() if unknown and message.tries < UNKNOWN_LOOKUPS:
            # Look up before that: the write may have worked.
            return replace(
                settlement,
                state=State.WAITING,
                due_at=now + 1.0,
                count_try=True,
                reason=failure.error_class,
            )
        case retrying.ToReview() | retrying.ToDrop():
            return replace(
                settlement,
                state=State.DROPPED if isinstance(step, retrying.ToDrop) else State.REVIEW,
                count_try=True,
                held_for=None,
                outcome="unknown" if unknown else "refused",
            )


def again(message: Message, failure: Failure, attempt_id: int, due_at: float) -> Settlement:
    """The attempt was refused for a reason that may go away by itself."""
    return Settlement(
        message.id,
        State.WAITING,
        "act",
        failure.error_class,
        due_at=due_at,
        count_try=True,
        error_class=failure.error_class,
        detail=failure.detail,
        attempt_id=attempt_id,
        outcome="refused",
        evidence=failure.evidence(),
    )


def moved(ended: Settlement, link: Link, now: float) -> Settlement:
    """The record is another one now: linked to it, the message is tried again at once."""
    return replace(
        ended,
        state=State.WAITING,
        reason="reResolved",
        due_at=now,
        count_try=True,
        held_for=None,
        link=link,
    )


def expired(message: Message, policies: Mapping[str, ErrorPolicy], now: float) -> Settlement | None:
    """What the policy `expired` does to a message for which nothing was sent yet; None if it goes on."""
    policy = policies.get("expired")
    if message.stage == COMPLETING:  # it was sent in time
        return None
    if policy is None or policy.max_age is None or policy.strategy == "continue":
        return None
    age_s = now - message.received_at
    if age_s < duration_s(policy.max_age):
        return None
    words = f"The message was {int(age_s)} s old before anything could be sent; {policy.max_age} is allowed."
    state = State.DROPPED if policy.strategy == "drop" else State.REVIEW
    return Settlement(message.id, state, "act", "expired", error_class="expired", detail=words)
