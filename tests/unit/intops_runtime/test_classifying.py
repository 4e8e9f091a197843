"""Every failure falls into exactly one of the eighteen classes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest

from intops_api.connector_class import ConnectorClassSpec, ErrorClassName
from intops_runtime.core.classifying import (
    NOT_SENT,
    Failure,
    TransportKind,
    of_response,
    of_transport,
    pause_s,
    retry_after_s,
)
from intops_runtime.core.exchanges import HttpRequest, HttpResponse
from intops_runtime.core.requests import CompiledClass

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
POST = HttpRequest("POST", "http://desk.example.com/ticket", {}, {"a": 1}, 10.0)
GET = HttpRequest("GET", "http://desk.example.com/ticket/1", {}, None, 10.0)


def desk(errors: list[dict[str, str]] | None = None) -> CompiledClass:
    spec = ConnectorClassSpec.model_validate(
        {"displayName": "Desk", "objects": {"ticket": {}}, "errors": errors or []}
    )
    return CompiledClass("desk", spec)


def answered(
    status: int, body: object = None, request: HttpRequest = POST, **headers: str
) -> Failure:
    response = HttpResponse(status, {k.replace("_", "-"): v for k, v in headers.items()}, body)
    return of_response(desk(), request, response, now=NOW)


@pytest.mark.parametrize("status", range(100, 600))
def test_every_status_is_in_exactly_one_class(status: int) -> None:
    """No answer of any system leaves a message without a class."""
    assert answered(status).error_class in get_args(ErrorClassName)


@pytest.mark.parametrize("kind", get_args(TransportKind))
def test_every_transport_failure_is_in_exactly_one_class(kind: TransportKind) -> None:
    """A request without an answer has a class too, and says whether it may have worked."""
    failure = of_transport(kind, "why")

    assert failure.error_class in get_args(ErrorClassName)
    assert failure.effect_unknown == (kind not in NOT_SENT)


def test_only_a_refused_address_speaks_for_every_message() -> None:
    """A header that cannot be sent is one message's; a class may call an answer policyDenied, which is no guard."""
    said = [{"when": "response.status == 403", "class": "policyDenied"}]
    answer = of_response(desk(said), POST, HttpResponse(403, {}, None), now=NOW)

    assert of_transport("blocked", "why").by_guard
    assert (answer.error_class, answer.by_guard) == ("policyDenied", False)
    assert not any(
        of_transport(k, "why").by_guard for k in get_args(TransportKind) if k != "blocked"
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, "validation"), (401, "authDenied"), (403, "forbidden"), (404, "notFound"),
        (409, "conflict"), (412, "conflict"), (422, "validation"), (429, "rateLimited"),
        (500, "destinationDown"), (502, "transientNetwork"), (503, "transientNetwork"),
        (504, "transientNetwork"), (302, "schemaDrift"),
    ],
)  # fmt: skip
def test_a_status_means_what_http_says(status: int, expected: str) -> None:
    """Without a word from the class, the status decides."""
    assert answered(status).error_class == expected


def test_a_maintenance_page_with_200_is_no_success() -> None:
    """A page for people says that the system is down, whatever its status."""
    assert answered(200, "<!doctype html><HTML>Back soon").error_class == "destinationDown"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_write_that_ended_in_5xx_may_have_worked(status: int) -> None:
    """A proxy's error says nothing about what the system behind it did."""
    assert answered(status).effect_unknown
    assert not answered(status, request=GET).effect_unknown


def test_a_503_with_retry_after_was_refused_at_the_door() -> None:
    """It is a limit, not an outage, and nothing was done."""
    failure = answered(503, retry_after="7")

    assert (failure.error_class, failure.retry_after_s) == ("rateLimited", 7.0)
    assert not failure.effect_unknown


def test_the_words_of_the_class_come_before_the_status() -> None:
    """A class knows its system better than HTTP does, and the evidence says which rule decided."""
    errors = [
        {"when": 'response.body.code == "gone"', "class": "notFound"},
        {
            "when": "response.status == 400",
            "class": "rateLimited",
            "retryAfter": "response.body.wait",
        },
    ]
    response = HttpResponse(400, {}, {"code": "slow", "wait": 12})

    failure = of_response(desk(errors), POST, response, now=NOW)

    assert (failure.error_class, failure.rule, failure.retry_after_s) == (
        "rateLimited", "desk:errors[1]", 12.0,
    )  # fmt: skip


def test_a_matcher_that_fails_on_an_odd_answer_is_passed_over() -> None:
    """An answer without the expected body still gets a class."""
    failure = of_response(
        desk([{"when": "response.body.code == 1", "class": "poison"}]),
        POST,
        HttpResponse(502, {}, None),
        now=NOW,
    )

    assert failure.error_class == "transientNetwork"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0), ("0", 0.0), ("Wed, 25 Nov 2026 12:00:30 GMT", 30.0),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0.0), ("999999999", 3600.0), ("soon", None), ("", None),
        ("-5", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_a_date_or_nothing(text: str, seconds: float | None) -> None:
    """Numbers and dates are obeyed up to an hour; garbage and the past are not."""
    assert retry_after_s({"retry-after": text}, now=NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7", "ratelimit-reset": "99"}, 7.0),
        ({"ratelimit-reset": "12"}, 12.0),
        ({"x-ratelimit-reset": str(int(NOW.timestamp()) + 30)}, 30.0),  # ServiceNow: Unix time
        ({"x-ratelimit-reset": "2026-11-25T12:00:45Z"}, 45.0),  # Jira: a date
        ({"x-ratelimit-reset": str((int(NOW.timestamp()) + 20) * 1000)}, 20.0),
        ({"x-ratelimit-reset": "15"}, 15.0),
        ({"retry-after": "soon", "ratelimit-reset": "nan", "x-ratelimit-reset": "9"}, 9.0),
        ({"retry-after": "99999999999999999999999"}, 3600.0),
        ({"retry-after": "-5"}, None),
        ({"x-ratelimit-reset": "2020-01-01T00:00:00Z"}, 0.0),
        ({"retry-after": "Wed, 25 Nov 2026 12:00:10 GMT"}, 10.0),
        ({"retry-after": "Wed, 99 Foo 2026"}, None),
        ({"retry-after": "٣"}, None),
        ({}, None),
    ],
)
def test_the_end_of_a_limit_is_read_in_every_dialect(
    headers: dict[str, str], seconds: float | None
) -> None:
    """One header has three meanings; garbage means nothing and the absurd is cut."""
    assert pause_s(headers, now=NOW) == seconds


def test_no_header_brings_the_worker_down() -> None:
    """A number of twenty digits where a day should be is garbage like any other."""
    text = "Mon, 99999999999999999999 Jan 2026 00:00:00 GMT"

    assert pause_s({"retry-after": text}, now=datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("wait", "seconds"), [("1e300", 3600.0), ("-7.0", 0.0), ("1e400", 9.0), ('"soon"', 9.0)]
)
def test_a_wait_that_a_class_computes_is_cut_like_one_of_a_header(
    wait: str, seconds: float
) -> None:
    """Nothing that a system says makes a message wait for ever; garbage leaves the header's word."""
    errors = [{"when": "true", "class": "rateLimited", "retryAfter": wait}]
    response = HttpResponse(429, {"retry-after": "9"}, None)

    assert of_response(desk(errors), POST, response, now=NOW).retry_after_s == seconds
