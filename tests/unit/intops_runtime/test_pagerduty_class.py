"""The class `pagerduty` against documented shapes: what it sends, and what it makes of each answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from intops_api.connector_class import ConnectorClassSpec
from intops_core.catalog import shipped
from intops_runtime.core.classifying import Failure, of_response
from intops_runtime.core.exchanges import Difference, Facts, Found, HttpRequest, HttpResponse
from intops_runtime.core.proving import credential_headers
from intops_runtime.core.requests import CompiledClass

TWIN = "Open incident with matching dedup key already exists on this service"
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
API = "https://api.pagerduty.com"
KEY = "iop1:oflqlsrjnru3ejgdpflketq5sx3g3in2"
CONFIG = {"service": "PIJ90N7", "from": "intops@example.com", "priorities": {"P1": "PSO75BM"}}
LINK = {"nativeId": "Q1ULGTGB93F6LI", "displayId": "#1234"}
RECORD = {
    "incident_key": KEY,
    "title": "db01 is down",
    "details": "It is.\nWhere: db01",
    "urgency": "high",
    "priority": "P1",
    "status": "triggered",
}
INCIDENT = {
    "id": "Q1ULGTGB93F6LI",
    "type": "incident",
    "summary": "[#1234] db01 is down",
    "html_url": "https://example.pagerduty.com/incidents/Q1ULGTGB93F6LI",
    "incident_number": 1234,
    "title": "db01 is down",
    "created_at": "2026-11-25T12:00:00Z",
    "updated_at": "2026-11-25T12:00:01Z",
    "status": "triggered",
    "incident_key": KEY,
    "urgency": "high",
    "priority": {"id": "PSO75BM", "type": "priority", "summary": "P1"},
    "service": {"id": "PIJ90N7", "type": "service_reference", "summary": "Checkout"},
    "escalation_policy": {"id": "PT20YPA", "type": "escalation_policy_reference"},
}


@pytest.fixture(scope="module")
def pagerduty() -> CompiledClass:
    """The class as it is shipped."""
    (raw,) = [raw for raw in shipped() if raw["metadata"]["name"] == "pagerduty"]
    return CompiledClass("pagerduty", ConnectorClassSpec.model_validate(raw["spec"]))


def sent(pagerduty: CompiledClass, operation: str, facts: Facts) -> HttpRequest:
    """The request of an operation."""
    return pagerduty.operations[operation].request(API, facts, headers={}, timeout_s=None)


def failed(pagerduty: CompiledClass, status: int, body: Any, **headers: str) -> Failure:
    """What an answer to a write is taken for."""
    request = HttpRequest("PUT", f"{API}/incidents/Q1ULGTGB93F6LI", {}, {}, 10.0)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return of_response(pagerduty, request, HttpResponse(status, named, body), now=NOW)


def error(code: int, message: str, *errors: str) -> dict[str, Any]:
    """An answer that refuses, as it is documented."""
    return {"error": {"message": message, "code": code, "errors": list(errors)}}


def test_an_incident_is_made_on_the_service_with_our_key(pagerduty: CompiledClass) -> None:
    """As the reference has it: references by id and type, the text as an incident_body."""
    request = sent(pagerduty, "create", Facts(CONFIG, RECORD, KEY))

    assert (request.method, request.url) == ("POST", f"{API}/incidents")
    assert request.body == {
        "incident": {
            "type": "incident",
            "title": "db01 is down",
            "service": {"id": "PIJ90N7", "type": "service_reference"},
            "incident_key": KEY,
            "urgency": "high",
            "priority": {"id": "PSO75BM", "type": "priority_reference"},
            "body": {"type": "incident_body", "details": "It is.\nWhere: db01"},
        }
    }


def test_each_request_says_who_asks_in_which_version(pagerduty: CompiledClass) -> None:
    """The key in the form of its own scheme, and From with the address of a user."""
    request = sent(pagerduty, "create", Facts(CONFIG, RECORD, KEY))
    proof = credential_headers(pagerduty.spec.auth, {"token": "y_NbAkKc66ryYTWUXYEu"})

    assert request.headers == {
        "Accept": "application/vnd.pagerduty+json;version=2",
        "From": "intops@example.com",
    }
    assert proof == {"Authorization": "Token token=y_NbAkKc66ryYTWUXYEu"}


def test_a_priority_whose_id_is_not_known_is_left_out(pagerduty: CompiledClass) -> None:
    """Names and ids are the account's own; nothing is guessed, and nothing is missed afterwards."""
    facts = Facts({**CONFIG, "priorities": {"P2": "PSO75BN"}}, RECORD, KEY, LINK)
    read = HttpResponse(200, {}, {"incident": {**INCIDENT, "priority": None}})

    assert "priority" not in sent(pagerduty, "create", facts).body["incident"]
    request = sent(pagerduty, "get", facts)
    assert pagerduty.operations["create"].differences(facts, request, read) == []


def test_what_was_not_kept_is_seen(pagerduty: CompiledClass) -> None:
    """A service may have a rule of its own for urgency, an account other priorities."""
    facts = Facts(CONFIG, RECORD, KEY, LINK)
    other = {"urgency": "low", "priority": {"id": "PSO75BN", "summary": "P2"}}
    read = HttpResponse(200, {}, {"incident": {**INCIDENT, **other}})

    found = pagerduty.operations["create"].differences(facts, sent(pagerduty, "get", facts), read)

    assert found == [Difference("urgency", "high", "low"), Difference("priority", "P1", "P2")]


def test_somebody_who_was_quicker_is_no_difference(pagerduty: CompiledClass) -> None:
    """Acknowledged between create and read; resolved between acknowledge and read."""
    facts = Facts(CONFIG, RECORD, KEY, LINK)
    taken = HttpResponse(200, {}, {"incident": {**INCIDENT, "status": "acknowledged"}})
    over = HttpResponse(200, {}, {"incident": {**INCIDENT, "status": "resolved"}})
    request = sent(pagerduty, "get", facts)
    acknowledge = Facts(CONFIG, {"status": "acknowledged"}, KEY, LINK)
    resolve = Facts(CONFIG, {"status": "resolved"}, KEY, LINK)
    transition = pagerduty.operations["transition"]

    assert pagerduty.operations["create"].differences(facts, request, taken) == []
    assert transition.differences(acknowledge, request, over) == []
    assert transition.differences(resolve, request, taken) == [
        Difference("status", "resolved", "acknowledged")
    ]
    assert transition.is_needless(resolve, request, over)
    assert not transition.is_needless(resolve, request, taken)


def test_a_change_sends_only_what_changed(pagerduty: CompiledClass) -> None:
    """One incident by its own address, so that no other can be meant."""
    facts = Facts(CONFIG, {"status": "resolved", "resolution": "It recovered."}, KEY, LINK)

    request = sent(pagerduty, "transition", facts)

    assert (request.method, request.url) == ("PUT", f"{API}/incidents/Q1ULGTGB93F6LI")
    assert request.body == {
        "incident": {"type": "incident", "status": "resolved", "resolution": "It recovered."}
    }


def test_our_key_is_searched_on_our_service_at_any_time(pagerduty: CompiledClass) -> None:
    """Lists hold one month unless all is asked for; the newest comes first, because an open one is the newest."""
    lookup = pagerduty.operations["lookupByCorrelation"]
    facts = Facts(CONFIG, RECORD, KEY)
    request = sent(pagerduty, "lookupByCorrelation", facts)
    page = {"incidents": [INCIDENT], "limit": 100, "offset": 0, "more": False, "total": None}

    assert request.url == (
        f"{API}/incidents?incident_key=iop1%3Aoflqlsrjnru3ejgdpflketq5sx3g3in2"
        "&service_ids%5B%5D=PIJ90N7&date_range=all&sort_by=created_at%3Adesc&limit=100"
    )
    assert lookup.found_items(facts, request, HttpResponse(200, {}, page)) == [
        Found("Q1ULGTGB93F6LI", "#1234", INCIDENT["html_url"])
    ]
    assert lookup.next_page(facts, request, HttpResponse(200, {}, page), 1) is None
    more = lookup.next_page(facts, request, HttpResponse(200, {}, {**page, "more": True}), 1)
    assert more is not None
    assert more.url.endswith("&offset=100")


def test_what_is_read_is_ours_by_its_key(pagerduty: CompiledClass) -> None:
    """The number that people quote, and the edition."""
    facts = Facts(CONFIG, {}, KEY, LINK)
    read = HttpResponse(200, {}, {"incident": INCIDENT})

    assert pagerduty.operations["get"].found(facts, sent(pagerduty, "get", facts), read) == Found(
        "Q1ULGTGB93F6LI", "#1234", INCIDENT["html_url"], "2026-11-25T12:00:01Z", KEY
    )


@pytest.mark.parametrize(
    ("status", "body", "error_class"),
    [
        (400, error(2001, "Invalid Input Provided", "Title cannot be blank."), "validation"),
        (400, error(2002, "Arguments Caused Error", TWIN), "duplicate"),
        (400, error(2001, "Invalid Input Provided", "Requester User Not Found"), "authDenied"),
        (400, error(1008, "Requester User Not Found"), "authDenied"),
        (400, error(1001, "Incident Already Resolved"), "conflict"),
        (400, error(1002, "Incident Already Acknowledged"), "conflict"),
        (400, error(1020, "Invalid Priority"), "validation"),
        (400, {"error": {"message": "Bad", "code": 2001}}, "validation"),
        (400, "Bad Request", "validation"),
        (401, error(2006, "Authentication failed"), "authDenied"),
        (401, "", "authDenied"),
        (402, error(2014, "Missing Account Ability"), "forbidden"),
        (403, error(2010, "Access Denied"), "forbidden"),
        (404, error(2100, "Not Found"), "notFound"),
        (409, error(1005, "Data Updated Since Last Request"), "conflict"),
        (408, "", "timeout"),
        (429, error(2020, "Rate Limit Exceeded"), "rateLimited"),
        (429, "", "rateLimited"),
        (500, error(2000, "An internal error has occurred."), "destinationDown"),
        (502, "<html>Bad gateway</html>", "transientNetwork"),
        (200, "<html>Log in</html>", "destinationDown"),
    ],
)  # fmt: skip
def test_each_answer_has_its_class(
    pagerduty: CompiledClass, status: int, body: Any, error_class: str
) -> None:
    """By the code and the sentences of the error; by the status where there are none."""
    assert failed(pagerduty, status, body).error_class == error_class


def test_a_refusal_is_told_in_all_its_sentences(pagerduty: CompiledClass) -> None:
    """The message alone says nothing; the list says what is wrong."""
    words = error(2001, "Invalid Input Provided", "Title cannot be blank.", "Service Not Found")

    assert failed(pagerduty, 400, words).detail == (
        "HTTP 400: Invalid Input Provided: Title cannot be blank.; Service Not Found"
    )


def test_a_limit_tells_its_end_in_seconds(pagerduty: CompiledClass) -> None:
    """ratelimit-reset, beside the figures that are told with every answer."""
    limit = {"ratelimit_limit": "960", "ratelimit_remaining": "0", "ratelimit_reset": "20"}

    failure = failed(pagerduty, 429, error(2020, "Rate Limit Exceeded"), **limit)

    assert (failure.error_class, failure.retry_after_s) == ("rateLimited", 20.0)


def test_what_cannot_be_changed_is_told(pagerduty: CompiledClass) -> None:
    """The text of an incident is written once; nothing else that changes is told twice."""
    update = pagerduty.operations["update"]
    text = Facts(CONFIG, {"details": "Severity: critical"}, KEY, LINK)
    both = Facts(CONFIG, {"details": "Severity: critical", "urgency": "high"}, KEY, LINK)
    other = Facts(CONFIG, {"urgency": "high"}, KEY, LINK)

    assert update.remark(text) == update.remark(both) == "More is known now:\nSeverity: critical"
    assert (update.is_all_told(text), update.is_all_told(both)) == (True, False)
    assert (update.remark(other), update.is_all_told(other)) == (None, False)
    assert "body" not in sent(pagerduty, "update", both).body["incident"]
