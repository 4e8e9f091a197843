"""What enrichers add to a record, for how long an answer holds, and when an incomplete message is tried again."""

from __future__ import annotations

from intops_runtime.core.enrichment import (
    FIRST_COMPLETION_S,
    LONGEST_COMPLETION_S,
    MOST_ANSWERS,
    Answers,
    Enrichment,
    next_completion,
    question_of,
    remembered,
)
from intops_runtime.core.exchanges import HttpRequest
from intops_runtime.core.messages import Leased, Message, Settlement, State
from intops_runtime.core.settling import completed

GIVE_UP_S = 6 * 3600.0


def test_what_is_known_lies_over_the_record_and_the_later_enricher_wins() -> None:
    """Field by field; what nobody speaks of stays, and the record that came in is not changed."""
    record = {"service": "web", "resource": {"node": "db01"}, "title": "down"}
    heard = Enrichment(
        {"ci": {"service": "payments", "resource": {"component": "disk"}}, "hr": {"service": "pay"}}
    )

    assert heard.over(record) == {
        "service": "pay",
        "resource": {"node": "db01", "component": "disk"},
        "title": "down",
    }
    assert record == {"service": "web", "resource": {"node": "db01"}, "title": "down"}


def test_a_record_says_who_has_not_answered() -> None:
    """Complete where all were heard, even those that know nothing."""
    assert Enrichment({"ci": {}}).told() == {"status": "complete", "missing": []}
    assert Enrichment({}, ("ci",)).told() == {"status": "partial", "missing": ["ci"]}


def test_a_linked_record_remembers_what_it_was_made_with() -> None:
    """An enricher that was bound since is missing; one that is bound no longer is left out."""
    agreed = {"enriched": {"ci": {"service": "payments"}, "gone": {"service": "x"}}}

    heard = remembered(agreed, ["ci", "new"])

    assert (heard.known, heard.missing) == ({"ci": {"service": "payments"}}, ("new",))


def test_answers_hold_for_a_time_and_the_least_used_go_first() -> None:
    """Bounded, however many hosts there are."""
    answers = Answers()
    answers.keep("a", {"service": "x"}, 0.0)
    assert answers.get("a", 5.0, 10.0) == {"service": "x"}
    assert answers.get("a", 11.0, 10.0) is None
    assert answers.get("a", 11.0, 86_400.0) == {"service": "x"}
    for number in range(MOST_ANSWERS):
        answers.get("a", 1.0, 10.0)
        answers.keep(f"n{number}", {}, 1.0)
    assert answers.get("a", 1.0, 10.0) is not None
    assert answers.get("n0", 1.0, 10.0) is None


def test_look_ups_are_the_same_where_their_requests_are() -> None:
    """Headers aside."""
    first = HttpRequest("GET", "https://cmdb.example.com/items?name=a", {}, None, 2.0)
    other = HttpRequest("GET", "https://cmdb.example.com/items?name=b", {}, None, 2.0)
    assert question_of(first) == question_of(HttpRequest("GET", first.url, {"X": "y"}, None, 1.0))
    assert question_of(first) != question_of(other)


def test_an_incomplete_message_is_tried_ever_more_seldom_until_it_is_left_as_it_is() -> None:
    """From ten seconds to a quarter of an hour, for six hours."""
    waits = [next_completion(age, GIVE_UP_S) for age in (0.0, 60.0, 3600.0, GIVE_UP_S)]
    assert waits == [FIRST_COMPLETION_S, 30.0, LONGEST_COMPLETION_S, None]


def leased(stage: str = "mapped", received_at: float = 0.0) -> Leased:
    message = Message(
        id=7, delivery_id=1, item=0, source="prometheus", key="k", seq=7, state=State.WAITING,
        stage=stage, reason="", due_at=0.0, tries=0, plan_hash="h", record={}, received_at=received_at,
    )  # fmt: skip
    return Leased(message, None, None, (), None)


DONE = Settlement(7, State.DONE, "linked", "created")
MISSING = Enrichment({}, ("ci",))


def test_a_message_that_is_delivered_without_an_enricher_is_marked_for_it() -> None:
    """Done, and to be taken up for `ci`."""
    ended = completed(leased(), DONE, MISSING, GIVE_UP_S, 2.0)
    assert (ended.state, ended.reason, ended.held_for) == (State.DONE, "created", "ci")
    assert ended.due_at == 2.0 + FIRST_COMPLETION_S
    assert completed(leased(), DONE, Enrichment({"ci": {}}), GIVE_UP_S, 2.0) == DONE


def test_what_is_being_completed_stays_delivered_whatever_becomes_of_the_rest() -> None:
    """It waits as itself, is never dropped, and ends as completed or, after hours, as partial."""
    waiting = Settlement(7, State.WAITING, "act", "timeout")
    kept = completed(leased("completing"), waiting, MISSING, GIVE_UP_S, 2.0)
    assert (kept.state, kept.stage) == (State.WAITING, "completing")

    review = Settlement(7, State.REVIEW, "act", "validation")
    assert completed(leased("confirming"), review, MISSING, GIVE_UP_S, 2.0).stage == "confirming"

    dropped = Settlement(7, State.DROPPED, "correlated", "agreed")
    ended = completed(leased("completing"), dropped, Enrichment({"ci": {}}), GIVE_UP_S, 2.0)
    assert (ended.state, ended.reason, ended.held_for) == (State.DONE, "completed", None)

    given_up = completed(leased("completing"), DONE, MISSING, GIVE_UP_S, GIVE_UP_S + 1.0)
    assert (given_up.state, given_up.reason, given_up.held_for) == (State.DONE, "partial", None)


def test_only_the_message_that_made_the_record_is_taken_up() -> None:
    """A later one of the same episode changes nothing about who is missing."""
    review = Settlement(7, State.REVIEW, "act", "validation")
    assert completed(leased(), review, MISSING, GIVE_UP_S, 2.0) == review
