"""The class servicenow held against answers in the documented shapes of the Table API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from intops_core.catalog import shipped
from intops_core.resources import Resource, parse_resource
from intops_runtime.core.classifying import Failure, of_response
from intops_runtime.core.exchanges import Facts, HttpRequest, HttpResponse
from intops_runtime.core.requests import CompiledClass

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
KEY = "iop1:oflqlsrjnru3ejgdpflketq5sx3g3in2"
SYS_ID = "a9e30c7dc61122760116894de7bcc7bd"
ENDPOINT = "https://servicenow.example.com"


def servicenow() -> CompiledClass:
    """The shipped class, compiled."""
    (raw,) = [one for one in shipped() if one["metadata"]["name"] == "servicenow"]
    parsed = parse_resource(raw)
    assert isinstance(parsed, Resource)
    return CompiledClass("servicenow", parsed.spec)  # type: ignore[arg-type]


CLASS = servicenow()
TEXT = "Record doesn't exist or ACL restricts the record retrieval"


def failure(message: str, detail: str | None) -> dict[str, Any]:
    """An error as the Table API tells it."""
    return {"error": {"message": message, "detail": detail}, "status": "failure"}


def facts(**record: Any) -> Facts:
    """What a request about our incident is made from."""
    return Facts({}, record, KEY, {"nativeId": SYS_ID, "displayId": "INC0010002"})


def asked(operation: str, **record: Any) -> HttpRequest:
    """The request of an operation."""
    made = CLASS.operations[operation]
    return made.request(ENDPOINT, facts(**record), headers={}, timeout_s=None)


def judged(operation: str, status: int, body: Any, **headers: str) -> Failure | None:
    """What an answer to an operation means; None if it did the work."""
    request = asked(operation, short_description="db01 is down")
    response = HttpResponse(status, {n.replace("_", "-"): v for n, v in headers.items()}, body)
    if CLASS.operations[operation].succeeded(facts(), request, response):
        return None
    return of_response(CLASS, request, response, now=NOW)


@pytest.mark.parametrize(
    ("operation", "status", "body", "error_class", "words"),
    [
        ("create", 401, failure("User Not Authenticated", "Required to provide Auth information"),
         "authDenied", "User Not Authenticated"),
        ("create", 403, failure("Operation Failed", "ACL Exception Insert Failed due to security constraints"),
         "forbidden", "ACL Exception Insert Failed"),
        ("create", 403, failure("Insufficient rights", None), "forbidden", "Insufficient rights"),
        ("transition", 403, failure("Operation Failed",
         "Data Policy Exception: The following fields are mandatory: close_code"), "validation", "close_code"),
        ("transition", 403, failure("Data Policy Exception", None), "validation", "Data Policy Exception"),
        ("update", 403, failure("Operation Failed", "Operation was aborted by Business Rule 'x'"),
         "validation", "aborted by Business Rule"),
        ("get", 404, failure("No Record found", TEXT), "notFound", "No Record found"),
        ("create", 400, failure("Invalid table incidnt", None), "validation", "Invalid table"),
        ("create", 400, failure("Exception while reading request", "not valid JSON"), "validation", "not valid JSON"),
        ("create", 200, "<html>Your instance is hibernating</html>", "destinationDown", "a page for people"),
        ("lookupByCorrelation", 200, "<html></html>", "destinationDown", "a page for people"),
        ("create", 503, "<html></html>", "transientNetwork", "HTTP 503"),
        ("lookupByCorrelation", 200, {"result": [{"sys_id": SYS_ID, "number": "INC0000001", "correlation_id": ""}]},
         "schemaDrift", "left the query out"),
        ("lookupByCorrelation", 200, {"result": [], "error": {"message": "Transaction cancelled", "detail": None}},
         "transientNetwork", "Transaction cancelled"),
        ("lookupByCorrelation", 400, failure("Invalid table incident", None), "validation", "Invalid table"),
    ],
)  # fmt: skip
def test_documented_refusals_have_their_class(
    operation: str, status: int, body: Any, error_class: str, words: str
) -> None:
    """By shape, not by status alone: 403 and 200 mean several things there."""
    found = judged(operation, status, body)

    assert found is not None
    assert (found.error_class, words in found.detail) == (error_class, True), found


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "2580"}, 2580.0),
        ({"x_ratelimit_reset": str(int(NOW.timestamp()) + 60)}, 60.0),
        ({"retry_after": "7", "x_ratelimit_limit": "100", "x_ratelimit_rule": "by user"}, 7.0),
    ],
)
def test_a_limit_says_how_long(headers: dict[str, str], seconds: float) -> None:
    """Retry-After is seconds, X-RateLimit-Reset is Unix time."""
    words = "Rate limit of 100 requests per hour for Table API exceeded"
    found = judged("create", 429, failure("Rate limit exceeded", words), **headers)

    assert found is not None
    assert (found.error_class, found.retry_after_s) == ("rateLimited", seconds)
    assert words in found.detail


def test_a_created_record_is_linked_by_sys_id_and_quoted_by_number() -> None:
    """201 with the record; its page is on the instance."""
    body = {"result": {"sys_id": SYS_ID, "number": "INC0010002", "sys_mod_count": "0"}}
    request, response = asked("create", state="1"), HttpResponse(201, {}, body)
    create = CLASS.operations["create"]

    assert create.succeeded(facts(), request, response)
    found = create.found(facts(), request, response)
    assert (found.native_id, found.display_id, found.version) == (SYS_ID, "INC0010002", "0")
    assert found.url == f"{ENDPOINT}/nav_to.do?uri=incident.do%3Fsys_id%3D{SYS_ID}"


def test_an_empty_search_is_nothing_found() -> None:
    """200 and an empty list: version 2 and the default of the API."""
    assert judged("lookupByCorrelation", 200, {"result": []}) is None


def test_an_answer_about_another_record_is_no_success() -> None:
    """Whatever a proxy makes of an address."""
    body = {"result": {"sys_id": {"value": "0" * 32, "display_value": "0" * 32}}}

    assert judged("get", 200, body) is not None


def shown(**values: str) -> dict[str, Any]:
    """A record as `sysparm_display_value=all` shows it."""
    return {
        "result": {
            name: {"value": v, "display_value": f"as people see {v}"} for name, v in values.items()
        }
    }


def test_what_was_written_is_compared_by_value_not_by_label() -> None:
    """State 2 is shown as In Progress; both are there, the value counts."""
    sent = facts(
        state="2", assignment_group="0" * 32, description="a\nb", work_notes="seen by nobody"
    )
    response = HttpResponse(
        200, {}, shown(state="2", assignment_group="0" * 32, description="a\r\nb")
    )

    assert CLASS.operations["update"].differences(sent, asked("get"), response) == []


@pytest.mark.parametrize(
    ("wrote", "reads"),
    [
        ({"priority": "1"}, {"priority": "5"}),
        ({"u_site": "north"}, {}),
        ({"u_site": "north"}, {"u_site": ""}),
        ({"assignment_group": "Network"}, {"assignment_group": ""}),
        ({"correlation_id": "k" * 101}, {"correlation_id": "k" * 100}),
    ],
)
def test_what_was_not_kept_is_seen(wrote: dict[str, str], reads: dict[str, str]) -> None:
    """Computed, unknown, hidden, unresolved and cut values."""
    response = HttpResponse(200, {}, shown(**reads))

    (found,) = CLASS.operations["create"].differences(facts(**wrote), asked("get"), response)

    assert found.field == next(iter(wrote))
