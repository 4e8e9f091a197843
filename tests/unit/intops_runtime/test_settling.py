"""What is written about a message after each way in which its turn can end."""

from __future__ import annotations

from typing import get_args

import pytest

from intops_api.connector_class import ErrorClassName
from intops_api.flow import ErrorPolicy
from intops_runtime.core import settling
from intops_runtime.core.classifying import Failure
from intops_runtime.core.episodes import Drop
from intops_runtime.core.gates import FAILURES_IN_A_ROW, Gate
from intops_runtime.core.messages import Episode, Leased, Link, Message, Settlement, State

NOW = 1_800_000_000.0
MONO = 500.0
WELL = Gate()
OPEN = WELL.shut(MONO, NOW, "destinationDown", "refused")
LINK = Link("iop1:k", "helpdesk", "helpdesk", "ticket", "1", display_id="#1")


def message(tries: int = 0, age_s: float = 1.0) -> Message:
    return Message(
        id=7, delivery_id=1, item=0, source="prometheus", key="iop1:k", seq=1, state=State.SENDING,
        stage="act", reason="", due_at=0.0, tries=tries, plan_hash="h", record={},
        received_at=NOW - age_s,
    )  # fmt: skip


def leased(*links: Link, episode: Episode | None = None) -> Leased:
    return Leased(message(), {}, None, links, episode)


def failed(
    error_class: ErrorClassName,
    *,
    gate: Gate = WELL,
    unknown: bool = False,
    tries: int = 0,
    age_s: float = 1.0,
    wait_s: float | None = None,
    policies: dict[str, ErrorPolicy] | None = None,
) -> Settlement:
    failure = Failure(error_class, "HTTP 500", "status:500", unknown, wait_s, 500)
    return settling.after_failure(
        message(tries, age_s), failure, binding="helpdesk", gate=gate, attempt_id=3,
        policies=policies or {}, now=NOW, jitter=0.5,
    )  # fmt: skip


ENDS: dict[str, State] = {
    "transientNetwork": State.WAITING, "timeout": State.WAITING, "rateLimited": State.WAITING,
    "conflict": State.WAITING, "authExpired": State.HELD, "authDenied": State.HELD,
    "destinationDown": State.HELD, "forbidden": State.REVIEW, "validation": State.REVIEW,
    "duplicate": State.REVIEW, "notFound": State.REVIEW, "schemaDrift": State.REVIEW,
    "payloadMalformed": State.REVIEW, "poison": State.REVIEW, "policyDenied": State.REVIEW,
    "enrichmentUnavailable": State.REVIEW, "bufferPressure": State.REVIEW, "expired": State.REVIEW,
}  # fmt: skip


@pytest.mark.parametrize("error_class", get_args(ErrorClassName))
def test_every_class_of_failure_leaves_the_message_in_one_known_state(
    error_class: ErrorClassName,
) -> None:
    """No failure loses a message: it waits, is held, or a person sees it, and says why."""
    settled = failed(error_class)

    assert settled.state is ENDS[error_class]
    assert (settled.error_class, settled.detail) == (error_class, "HTTP 500")
    assert (settled.attempt_id, settled.outcome) == (3, "refused")
    assert settled.evidence == {"rule": "status:500", "detail": "HTTP 500", "status": 500}
    assert (settled.due_at > NOW) is (settled.state is State.WAITING)


def test_a_system_that_asks_for_a_pause_gets_it_and_no_try_is_counted() -> None:
    """Being told to wait is no failed delivery."""
    settled = failed("rateLimited", wait_s=30.0)

    assert settled.due_at == pytest.approx(NOW + 33.0)
    assert not settled.count_try
    assert failed("transientNetwork").count_try


def test_while_the_system_is_down_nothing_is_retried_by_the_clock() -> None:
    """The message is held for the gate, and its tries are not used up by an outage."""
    settled = failed("transientNetwork", gate=OPEN)

    assert (settled.state, settled.held_for) == (State.HELD, "helpdesk")
    assert not settled.count_try


@pytest.mark.parametrize(
    ("tries", "age_s", "state"),
    [(0, 1.0, State.WAITING), (50, 86_399.0, State.WAITING), (50, 86_400.0, State.REVIEW)],
)
def test_a_message_that_could_not_be_delivered_for_a_day_is_for_a_person(
    tries: int, age_s: float, state: State
) -> None:
    """Retries end by age, and end with a person."""
    settled = failed("transientNetwork", tries=tries, age_s=age_s)

    assert settled.state is state
    assert settled.reason == ("attemptsExhausted" if state is State.REVIEW else "transientNetwork")


def test_the_flow_may_send_any_class_to_a_person_at_once() -> None:
    """A policy of the Flow is stronger than the default."""
    settled = failed(
        "transientNetwork", policies={"transientNetwork": ErrorPolicy(strategy="review")}
    )

    assert settled.state is State.REVIEW


def test_an_attempt_with_an_unknown_effect_stays_open() -> None:
    """The next turn looks the record up before anything is repeated."""
    settled = failed("timeout", unknown=True)

    assert settled.state is State.WAITING
    assert (settled.attempt_id, settled.outcome) == (3, None)
    assert settled.evidence["rule"] == "status:500"


@pytest.mark.parametrize(
    ("tries", "state", "outcome"),
    [
        (0, State.WAITING, None),
        (settling.UNKNOWN_LOOKUPS - 1, State.WAITING, None),
        (settling.UNKNOWN_LOOKUPS, State.REVIEW, "unknown"),
    ],
)
def test_a_refusal_that_may_have_worked_is_looked_up_before_a_person_is_asked(
    tries: int, state: State, outcome: str | None
) -> None:
    """An odd answer to a write is judged by what the system has, three times at most."""
    settled = failed("schemaDrift", unknown=True, tries=tries)

    assert (settled.state, settled.outcome) == (state, outcome)
    assert settled.count_try
    assert settled.attempt_id == 3


def test_a_closed_gate_holds_a_message_for_its_binding() -> None:
    """It goes on when that system is back, and says until then what is wrong."""
    settled = settling.before_gate(message(), "helpdesk", OPEN, now=NOW, mono=MONO)

    assert (settled.state, settled.reason, settled.held_for) == (
        State.HELD, "destinationDown", "helpdesk",
    )  # fmt: skip
    assert settled.attempt_id is None


def test_a_limited_gate_lets_a_message_wait_as_long_as_the_pause() -> None:
    """The wait is told in the clock of the store although gates use another."""
    gate = Gate().limit(MONO, NOW, 12.0, "HTTP 429")

    settled = settling.before_gate(message(), "helpdesk", gate, now=NOW, mono=MONO + 2.0)

    assert (settled.state, settled.reason) == (State.WAITING, "rateLimited")
    assert settled.due_at == NOW + 10.0


def test_what_is_delivered_is_linked_and_remembered() -> None:
    """Done closes the attempt, keeps the link, and says which record it was."""
    episode = settling.episode_after(leased(), "open", NOW)

    settled = settling.done(leased(), "created", link=LINK, episode=episode, attempt_id=3)

    assert (settled.state, settled.reason, settled.outcome) == (State.DONE, "created", "ok")
    assert settled.evidence == {"record": "#1"}
    assert (settled.link, settled.episode) == (LINK, Episode("iop1:k", "open", 1, NOW))


def test_an_episode_counts_its_messages_and_remembers_when_it_changed() -> None:
    """A repeat does not move the time of the change; a recovery does."""
    known = Episode("iop1:k", "open", 4, NOW - 60, {"a": 1})

    repeat = settling.episode_after(leased(episode=known), "open", NOW)
    recovery = settling.episode_after(leased(episode=known), "resolved", NOW)

    assert repeat == Episode("iop1:k", "open", 5, NOW - 60, {"a": 1})
    assert recovery == Episode("iop1:k", "resolved", 5, NOW, {"a": 1})


def test_a_drop_says_its_reason_and_changes_the_episode_only_if_asked() -> None:
    """Dropped messages are counted by reason."""
    silent = settling.dropped(leased(), Drop("noRecord", None), NOW)
    telling = settling.dropped(leased(), Drop("resolvedBeforeFiring", "orphanResolved"), NOW)

    assert (silent.state, silent.reason, silent.episode) == (State.DROPPED, "noRecord", None)
    assert telling.episode == Episode("iop1:k", "orphanResolved", 1, NOW)


def test_an_episode_whose_record_stands_elsewhere_gets_no_twin() -> None:
    """A Flow that was bound to another desk does not open a second ticket for an open episode."""
    settled = settling.foreign(leased(LINK), "new-desk")

    assert settled is not None
    assert (settled.state, settled.error_class) == (State.REVIEW, "policyDenied")
    assert "#1" in (settled.detail or "")
    assert '"helpdesk"' in (settled.detail or "")
    assert settling.foreign(leased(LINK), "helpdesk") is None
    assert settling.foreign(leased(), "new-desk") is None


def test_five_refused_connections_hold_what_follows() -> None:
    """The gate and the settlement agree about when a system counts as down."""
    gate = Gate()
    states = []
    for _ in range(FAILURES_IN_A_ROW):
        gate = gate.failed(MONO, NOW, "transientNetwork", "refused")
        states.append(failed("transientNetwork", gate=gate).state)

    assert states == [State.WAITING] * (FAILURES_IN_A_ROW - 1) + [State.HELD]


def test_what_a_policy_drops_is_dropped_and_its_attempt_is_closed() -> None:
    """The trace still says what the system answered."""
    ended = failed("validation", policies={"validation": ErrorPolicy(strategy="drop")})

    assert (ended.state, ended.reason, ended.outcome) == (State.DROPPED, "validation", "refused")
    assert ended.attempt_id == 3


@pytest.mark.parametrize(
    ("policy", "age_s", "state"),
    [
        ({"strategy": "drop", "maxAge": "1h"}, 3601.0, State.DROPPED),
        ({"strategy": "review", "maxAge": "1h"}, 3601.0, State.REVIEW),
        ({"strategy": "drop", "maxAge": "1h"}, 3599.0, None),
        ({"strategy": "continue", "maxAge": "1h"}, 3601.0, None),
        ({"strategy": "drop"}, 1e9, None),
    ],
)
def test_a_message_expires_only_where_a_policy_says_so(
    policy: dict[str, str], age_s: float, state: State | None
) -> None:
    """By default even an old message is delivered."""
    given = {"expired": ErrorPolicy.model_validate(policy)}
    ended = settling.expired(message(age_s=age_s), given, NOW)

    assert (ended.state if ended else None) == state
