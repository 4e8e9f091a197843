"""What happens after a failed attempt, class by class."""

from __future__ import annotations

from typing import Literal, get_args

import pytest

from intops_api.connector_class import ErrorClassName
from intops_api.flow import ErrorPolicy
from intops_core.error_classes import ERROR_CLASSES
from intops_runtime.core.classifying import ADDRESS_REFUSED, ORIGIN_REFUSED, Failure
from intops_runtime.core.retrying import Hold, Retry, Step, ToDrop, ToReview, next_step


def step(
    error_class: ErrorClassName,
    *,
    tries: int = 1,
    age_s: float = 0.0,
    retry_after_s: float | None = None,
    policy: ErrorPolicy | None = None,
    may_retry_soon: bool = True,
) -> Step:
    return next_step(
        Failure(error_class, "why", "rule", retry_after_s=retry_after_s),
        tries=tries,
        age_s=age_s,
        policies={error_class: policy} if policy else {},
        jitter=0.5,
        may_retry_soon=may_retry_soon,
    )


def test_a_network_failure_is_tried_again_at_once_and_then_ever_more_slowly() -> None:
    """Most broken connections work the next moment; the others must not be hammered."""
    delays = [step("transientNetwork", tries=n) for n in range(1, 9)]

    assert all(isinstance(found, Retry) for found in delays)
    seconds = [found.delay_s for found in delays if isinstance(found, Retry)]
    assert seconds[0] <= 0.1
    assert seconds == sorted(seconds)
    assert seconds[-1] <= 900.0


def test_retrying_ends_after_a_day_and_a_person_is_asked() -> None:
    """Nothing is retried for ever."""
    assert step("timeout", tries=40, age_s=86_400.0) == ToReview("attemptsExhausted")


def test_retry_after_is_obeyed_and_does_not_count_as_a_try() -> None:
    """A limit is no failure of the message."""
    found = step("rateLimited", retry_after_s=30.0)

    assert isinstance(found, Retry)
    assert 30.0 <= found.delay_s <= 36.0
    assert not found.count


@pytest.mark.parametrize(
    ("error_class", "gate"),
    [("authDenied", "hold"), ("authExpired", "hold"), ("destinationDown", "shut")],
)
def test_what_concerns_the_system_holds_the_message(error_class: ErrorClassName, gate: str) -> None:
    """A refused credential or a dead system is no reason to ask a person about each message."""
    found = step(error_class)

    assert isinstance(found, Hold)
    assert found.gate == gate


@pytest.mark.parametrize("policy", [None, "review", "drop"])
@pytest.mark.parametrize("rule", [ADDRESS_REFUSED, ORIGIN_REFUSED])
def test_what_the_guard_refuses_holds_the_message_whatever_the_policy_says(
    rule: str, policy: Literal["review", "drop"] | None
) -> None:
    """A wrong address is one mistake of the Connector, not one of each message; and none may be dropped for it."""
    policies = {"policyDenied": ErrorPolicy(strategy=policy)} if policy else {}
    found = next_step(
        Failure("policyDenied", "why", rule), tries=1, age_s=0.0, policies=policies, jitter=0.5
    )

    assert found == Hold("policyDenied", "hold")


def test_what_concerns_one_message_is_for_a_person() -> None:
    """A binding that is gone, a header that cannot be sent, a refusal that a class calls policyDenied."""
    for rule in ("transport:unsendable", "desk:errors[0]", "status:403"):
        failure = Failure("policyDenied", "why", rule)
        found = next_step(failure, tries=1, age_s=0.0, policies={}, jitter=0.5)
        assert found == ToReview("policyDenied")


def test_a_conflict_is_tried_three_times() -> None:
    """Somebody else wrote at the same moment; three times in a row is a quarrel."""
    assert isinstance(step("conflict", tries=2), Retry)
    assert step("conflict", tries=3) == ToReview("conflict")


def test_a_refused_record_is_never_retried() -> None:
    """What the system called invalid stays invalid."""
    assert step("validation") == ToReview("validation")


def test_a_flow_may_send_a_class_to_a_person() -> None:
    """spec.errors overrides the default of a class."""
    assert step("timeout", policy=ErrorPolicy(strategy="review")) == ToReview("timeout")


def test_a_flow_may_drop_what_nobody_needs_to_see() -> None:
    """It is counted under its class."""
    assert step("validation", policy=ErrorPolicy(strategy="drop")) == ToDrop("validation")


def test_numbers_of_a_policy_are_used() -> None:
    """Delays and attempts, class by class."""
    slow = step("rateLimited", tries=3, policy=ErrorPolicy(strategy="retry", base="10s", cap="15s"))
    soon = step(
        "conflict", policy=ErrorPolicy(strategy="retry", base="2s", cap="4s", max_attempts=2)
    )

    assert isinstance(slow, Retry)
    assert 15.0 <= slow.delay_s <= 18.0
    assert soon == Retry(3.0, "conflict")
    assert step(
        "timeout", tries=2, policy=ErrorPolicy(strategy="retry", max_attempts=2)
    ) == ToReview("attemptsExhausted")


def test_a_retry_beyond_the_budget_goes_to_the_back() -> None:
    """A system in trouble is not asked twice as often because it is in trouble."""
    first = step("transientNetwork", may_retry_soon=False)

    assert isinstance(first, Retry)
    assert first.delay_s >= 3.0


@pytest.mark.parametrize("error_class", get_args(ErrorClassName))
def test_every_class_has_an_answer(error_class: ErrorClassName) -> None:
    """None of the eighteen classes leaves a message without a next step."""
    assert isinstance(step(error_class), Retry | Hold | ToReview)


@pytest.mark.parametrize(
    ("error_class", "strategy"),
    [(entry.name, strategy) for entry in ERROR_CLASSES for strategy in entry.allowed],
)
def test_every_strategy_that_is_allowed_does_what_it_says(
    error_class: ErrorClassName, strategy: str
) -> None:
    """What conformance accepts, the worker does."""
    expected = {
        "retry": Retry,
        "hold": Hold,
        "review": ToReview,
        "drop": ToDrop,
        "continue": ToReview,
    }
    if error_class in ("bufferPressure", "enrichmentUnavailable", "expired"):
        return  # not the end of a request
    given = ErrorPolicy.model_validate({"strategy": strategy, "maxAttempts": 3, "maxAge": "1h"})

    assert isinstance(step(error_class, policy=given), expected[strategy])
