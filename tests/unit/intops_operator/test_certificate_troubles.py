"""What is said about a certificate that the operator was given, and whether it is shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from intops_operator.core.certificate import (
    Facts,
    Problem,
    Trouble,
    may_replace,
    troubles,
    unreadable,
)

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOST = "intops.intops-system.svc"
SOUND = Facts(names=(HOST,), begins=NOW - 10 * DAY, ends=NOW + 80 * DAY, key_fits=True)
WRONG = replace(SOUND, names=("intops.example.com",))
ENDED = replace(SOUND, ends=NOW - DAY)


def problems(facts: Facts, *hosts: str) -> list[Problem]:
    return [one.problem for one in troubles(facts, hosts or (HOST,), NOW)]


def test_a_sound_certificate_is_nothing_to_talk_about() -> None:
    """No trouble, so no metric is 1."""
    assert problems(SOUND) == []


def test_a_wrong_name_is_told_with_the_right_one() -> None:
    """Who issued it reads what to write."""
    (trouble,) = troubles(WRONG, (HOST,), NOW)

    assert trouble == Trouble(
        Problem.WRONG_NAME,
        "The certificate is for intops.example.com and not for intops.intops-system.svc, where API servers ask; "
        "issue it with intops.intops-system.svc among its subjectAltNames.",
    )


def test_a_certificate_without_names_says_so() -> None:
    """A common name alone is no name for an API server."""
    (trouble,) = troubles(replace(SOUND, names=()), (HOST,), NOW)

    assert "names no host and not for" in trouble.sentence


@pytest.mark.parametrize(
    ("names", "host", "covered"),
    [
        pytest.param(["INTOPS.intops-system.SVC"], HOST, True, id="in capitals"),
        pytest.param(["*.intops-system.svc"], HOST, True, id="any of the namespace"),
        pytest.param(["*.svc"], HOST, False, id="a star for two labels"),
        pytest.param(["*"], "intops", False, id="a star alone"),
        pytest.param(["127.0.0.1"], "127.0.0.1", True, id="an address"),
        pytest.param(["*.0.0.1"], "127.0.0.1", False, id="a star in an address"),
    ],
)
def test_names_are_compared_as_tls_does(names: list[str], host: str, covered: bool) -> None:
    """No false alarm for a wildcard, and no silence for one that does not help."""
    found = problems(replace(SOUND, names=tuple(names)), host)

    assert found == ([] if covered else [Problem.WRONG_NAME])


def test_an_ended_certificate_is_told_with_what_it_means() -> None:
    """And with the time, for the logs of others."""
    (trouble,) = troubles(ENDED, (HOST,), NOW)

    assert trouble.problem is Problem.EXPIRED
    assert trouble.sentence.startswith(
        "The certificate ended at 2026-11-24 12:00:00 UTC, and no manifest of intops can be applied"
    )


def test_one_of_the_future_is_told() -> None:
    """A clock that is wrong looks the same."""
    assert problems(replace(SOUND, begins=NOW + DAY)) == [Problem.NOT_YET_VALID]


def test_a_key_of_another_certificate_is_told() -> None:
    """Two files that were written one after the other."""
    assert problems(replace(SOUND, key_fits=False)) == [Problem.KEY_MISMATCH]


@pytest.mark.parametrize(
    ("life", "left", "soon"),
    [
        pytest.param(90 * DAY, 15 * DAY, False, id="a quarter's, two weeks and a day"),
        pytest.param(90 * DAY, 13 * DAY, True, id="a quarter's, less than two weeks"),
        pytest.param(DAY, DAY / 2, False, id="a day's, half of it"),
        pytest.param(DAY, DAY / 7, True, id="a day's, three hours"),
    ],
)
def test_the_end_is_near_by_the_life_of_the_certificate(
    life: timedelta, left: timedelta, soon: bool
) -> None:
    """Who issues for a day is not told every day."""
    ends = NOW + left
    facts = replace(SOUND, begins=ends - life, ends=ends)

    assert problems(facts) == ([Problem.ENDS_SOON] if soon else [])


def test_who_must_act_depends_on_who_makes_it() -> None:
    """Nobody puts a certificate into the leader's own Secret."""
    (ours,) = troubles(ENDED, (HOST,), NOW, made_here=True)
    (theirs,) = troubles(ENDED, (HOST,), NOW)

    assert "the leader renews it" in ours.sentence
    assert "into the Secret" in theirs.sentence


@pytest.mark.parametrize(
    ("candidate", "served", "shown"),
    [
        pytest.param(SOUND, None, True, id="the first"),
        pytest.param(WRONG, None, True, id="a wrong first one, so that the API server tells"),
        pytest.param(SOUND, SOUND, True, id="a sound successor"),
        pytest.param(WRONG, SOUND, False, id="a wrong successor"),
        pytest.param(ENDED, SOUND, False, id="an ended successor"),
        pytest.param(ENDED, WRONG, True, id="nothing to lose"),
        pytest.param(replace(SOUND, key_fits=False), None, False, id="a key that does not fit"),
        pytest.param(
            replace(SOUND, ends=NOW + DAY),
            SOUND,
            True,
            id="one that ends soon, which its owner may want",
        ),
    ],
)
def test_what_works_is_not_given_up_for_what_does_not(
    candidate: Facts, served: Facts | None, shown: bool
) -> None:
    """A mistake in a rotation costs an alert, not a standstill."""
    of_served = None if served is None else troubles(served, (HOST,), NOW)

    assert may_replace(troubles(candidate, (HOST,), NOW), of_served) is shown


def test_what_cannot_be_read_replaces_nothing() -> None:
    """Not even where there is nothing."""
    trouble = unreadable("tls.crt is empty in /etc/intops/admission")

    assert not may_replace([trouble], None)
    assert trouble.sentence.endswith("the Secret needs tls.crt and tls.key, both as PEM texts.")
