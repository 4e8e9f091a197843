"""What happens to a message whose delivery failed: again at a time, held, or to a person.

The one place where retries are decided; the HTTP client never retries by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from intops_api.common import duration_s
from intops_api.flow import ErrorPolicy
from intops_core.error_classes import BY_NAME
from intops_core.pausing import INLINE_ATTEMPTS, longest_pause_s
from intops_runtime.core.classifying import Failure


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after `delay_s` seconds. `count` says whether this try counts."""

    delay_s: float
    reason: str
    count: bool = True


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait until the system's gate opens again; `gate` says how the gate changes."""

    reason: str
    gate: str


@dataclass(frozen=True, slots=True)
class ToReview:
    """A person must look."""

    reason: str


@dataclass(frozen=True, slots=True)
class ToDrop:
    """The policy says that nobody needs to know; it is counted and told in the trace."""

    reason: str


Step = Retry | Hold | ToReview | ToDrop

_FIRST_WITHIN_S: Final = 0.1


def next_step(
    failure: Failure,
    *,
    tries: int,
    age_s: float,
    policies: Mapping[str, ErrorPolicy],
    jitter: float,
    may_retry_soon: bool = True,
) -> Step:
    """Decide what happens after a failed attempt.

    Args:
        failure: Why it failed.
        tries: Attempts that count, this one included.
        age_s: Seconds since the message was received.
        policies: What is said about each class; where nothing is said the defaults hold.
        jitter: A draw from [0.0, 1.0); the caller draws it, so this stays pure.
        may_retry_soon: Whether the system's retry budget has room; else the message goes to the back.

    Source:
        Full jitter: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).
    """
    name = failure.error_class
    if failure.by_guard:
        return Hold(
            name, "hold"
        )  # whatever the policy says: every message would meet the same refusal
    policy = policies.get(name) or BY_NAME[name].policy
    match policy.strategy or BY_NAME[name].strategy:
        case "retry" if name == "rateLimited":
            return Retry(_pause_s(failure, tries, policy, jitter), name, count=False)
        case "retry" if name == "conflict":
            if tries < (policy.max_attempts or 1):
                return Retry(_spread_s(policy, jitter), name)
            return ToReview(name)
        case "retry":
            return _again(failure, tries, age_s, policy, jitter, may_retry_soon=may_retry_soon)
        case "hold" if name in ("authDenied", "authExpired"):
            return Hold("authDenied", "hold")
        case "hold" if name == "destinationDown":
            return Hold(name, "shut")
        case "drop":
            return ToDrop(name)
        case _:
            return ToReview(name)


def _pause_s(failure: Failure, tries: int, policy: ErrorPolicy, jitter: float) -> float:
    """As long as the system says, else longer with each refusal; up to a fifth more."""
    asked = failure.retry_after_s
    if asked is None:
        asked = min(_seconds(policy.base, 2.0) * 2 ** min(tries, 10), _seconds(policy.cap, 300.0))
    return asked * (1.0 + 0.2 * jitter)


def _spread_s(policy: ErrorPolicy, jitter: float) -> float:
    base = _seconds(policy.base, 0.1)
    return base + max(_seconds(policy.cap, 0.5) - base, 0.0) * jitter


def _again(
    failure: Failure,
    tries: int,
    age_s: float,
    policy: ErrorPolicy,
    jitter: float,
    *,
    may_retry_soon: bool,
) -> Step:
    too_old = policy.max_age is not None and age_s >= duration_s(policy.max_age)
    if too_old or (policy.max_attempts is not None and tries >= policy.max_attempts):
        return ToReview("attemptsExhausted")
    if may_retry_soon and tries == 1:
        return Retry(_FIRST_WITHIN_S * jitter, failure.error_class)  # most are gone at once
    if may_retry_soon and tries <= INLINE_ATTEMPTS:
        soon = min(_seconds(policy.cap, 30.0), _seconds(policy.base, 0.5) * 2**tries)
        return Retry(jitter * soon, failure.error_class)
    # Never at once: a message that is sent to the back must not come first again.
    return Retry(max(jitter, 0.1) * longest_pause_s(tries), failure.error_class)


def _seconds(given: str | None, otherwise: float) -> float:
    return duration_s(given) if given else otherwise
