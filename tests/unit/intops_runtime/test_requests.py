"""Operations of a class: values in, a request out; an answer in, its meaning out."""

from __future__ import annotations

from typing import Any

import pytest

from intops_api.connector_class import Operation
from intops_core.expressions import ExpressionError
from intops_runtime.core.exchanges import (
    Difference,
    Facts,
    Found,
    HttpRequest,
    HttpResponse,
    RequestError,
)
from intops_runtime.core.requests import CompiledOperation

ENDPOINT = "https://desk.example.com/api/"


def operation(request: dict[str, Any], **rest: Any) -> CompiledOperation:
    spec = Operation.model_validate({"object": "ticket", "request": request, **rest})
    return CompiledOperation("create", spec, {"Accept": '"application/json"'})


def made(request: dict[str, Any], facts: Facts | None = None, **rest: Any) -> HttpRequest:
    return operation(request, **rest).request(
        ENDPOINT, facts or Facts({}), headers={}, timeout_s=None
    )


def linked(native_id: Any) -> Facts:
    return Facts({}, link={"nativeId": native_id})


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("17", "17"), (17, "17"), ("a/b", "a%2Fb"), ("a b?c#d", "a%20b%3Fc%23d"), ("%2e", "%252e"),
        ("Zoë", "Zo%C3%AB"), (True, "true"),
    ],
)  # fmt: skip
def test_a_parameter_is_one_segment_of_the_path(value: Any, path: str) -> None:
    """S-24: No value, whoever wrote it, reaches another path of the system."""
    request = made({"path": "/ticket/{id}", "params": {"id": "link.nativeId"}}, linked(value))

    assert request.url == f"https://desk.example.com/api/ticket/{path}"


@pytest.mark.parametrize("value", ["", None, ".", ".."])
def test_a_parameter_that_names_no_record_is_refused_with_its_place(value: Any) -> None:
    """A request to the parent of a record is never sent; the class's own expression is named."""
    with pytest.raises(RequestError) as refused:
        made({"path": "/ticket/{id}", "params": {"id": "link.nativeId"}}, linked(value))

    assert refused.value.path == "operations.create.request.params.id"


@pytest.mark.parametrize(
    ("request_spec", "path"),
    [
        ({"path": "/t", "query": {"q": "record.absent"}}, "query.q"),
        ({"path": "/t", "headers": {"X-Team": "record.absent"}}, "headers.X-Team"),
        ({"method": "POST", "path": "/t", "body": "record.absent"}, "body"),
        ({"path": "/{id}", "params": {"id": "record.absent"}}, "params.id"),
    ],
)
def test_an_expression_that_fails_names_itself(request_spec: dict[str, Any], path: str) -> None:
    """Whoever wrote the class reads which expression of which operation failed."""
    with pytest.raises(RequestError) as refused:
        made(request_spec)

    assert refused.value.path == f"operations.create.request.{path}"
    assert "absent" in refused.value.message


def test_an_expression_that_does_not_compile_is_told_when_the_plan_is_loaded() -> None:
    """A broken class is noticed before the first message, not with it."""
    with pytest.raises(ExpressionError):
        operation({"path": "/t", "query": {"q": "record."}})


def test_a_null_query_parameter_and_a_null_header_are_left_out() -> None:
    """Null means "do not say it"; an empty text is said."""
    request = made(
        {
            "path": "/t",
            "query": {"gone": "null", "empty": '""', "word": '"a b&c=d"', "yes": "true"},
            "headers": {"X-Gone": "null", "X-Team": '"ops"'},
        }
    )

    assert request.url == "https://desk.example.com/api/t?empty=&word=a%20b%26c%3Dd&yes=true"
    assert request.headers == {"Accept": "application/json", "X-Team": "ops"}


def test_headers_of_the_class_are_sent_and_extra_ones_kept() -> None:
    """An idempotency key comes beside what the class says."""
    request = operation({"path": "/t"}).request(
        ENDPOINT, Facts({}), headers={"Idempotency-Key": "k1"}, timeout_s=None
    )

    assert request.headers == {"Idempotency-Key": "k1", "Accept": "application/json"}


BODY = '{"Subject": record.Subject, "Owner": null, "CustomFields": {"a": null}, "l": [null, 1]}'


def test_null_leaves_of_a_body_are_left_out() -> None:
    """A field that the record has not is not emptied in the system."""
    request = made({"method": "POST", "path": "/t", "body": BODY}, Facts({}, {"Subject": "s"}))

    assert request.body == {"Subject": "s", "CustomFields": {}, "l": [1]}


def test_null_leaves_are_sent_where_the_class_says_so() -> None:
    """Some systems empty a field by null."""
    spec = {"method": "PATCH", "path": "/t", "body": '{"Owner": null}', "bodyNulls": True}

    assert made(spec).body == {"Owner": None}


@pytest.mark.parametrize(("given", "waits"), [(None, 5.0), (2.0, 2.0), (60.0, 5.0)])
def test_the_shorter_timeout_holds(given: float | None, waits: float) -> None:
    """Neither the class nor the binding can stretch the other's limit."""
    request = operation({"path": "/t"}, timeout="5s").request(
        ENDPOINT, Facts({}), headers={}, timeout_s=given
    )

    assert request.timeout_s == waits


def answer(body: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(status, {"etag": '"7"'}, body)


def test_a_success_is_what_the_class_calls_one() -> None:
    """201 with a refusal inside is no success, and neither is an answer without the expected form."""
    asked = operation({"path": "/t"}, success="response.status == 201 && response.body.ok")
    request = made({"path": "/t"})

    assert asked.succeeded(Facts({}), request, answer({"ok": True}, 201))
    assert not asked.succeeded(Facts({}), request, answer({"ok": False}, 201))
    assert not asked.succeeded(Facts({}), request, answer("<html>", 201))


def test_what_an_answer_does_not_say_is_unknown() -> None:
    """Ids come as numbers or texts; an absent or empty one is none."""
    asked = operation(
        {"path": "/t"},
        result={
            "nativeId": "response.body.id",
            "displayId": "response.body.number",
            "url": "response.body.link",
            "version": 'response.headers["etag"]',
        },
    )

    found = asked.found(Facts({}), made({"path": "/t"}), answer({"id": 17, "link": ""}))

    assert found == Found(native_id="17", version='"7"')


def test_a_search_finds_every_item() -> None:
    """Each item of the list is one record."""
    asked = operation(
        {"path": "/t"},
        result={"items": "response.body.items", "nativeId": "item.id", "key": "item.key"},
    )
    body = {"items": [{"id": 1, "key": "k"}, {"id": 2}]}

    found = asked.found_items(Facts({}), made({"path": "/t"}), answer(body))

    assert found == [Found(native_id="1", key="k"), Found(native_id="2")]


def test_a_search_whose_answer_has_no_list_found_nothing_that_can_be_trusted() -> None:
    """An odd answer is not taken for "there is no record", which would make a second one."""
    asked = operation({"path": "/t"}, result={"items": "response.body.items"})

    with pytest.raises(RequestError) as refused:
        asked.found_items(Facts({}), made({"path": "/t"}), answer({"message": "busy"}))

    assert refused.value.path == "operations.create.result.items"


def differs(record: dict[str, Any], reads: dict[str, Any]) -> list[Difference]:
    asked = operation(
        {"path": "/t"},
        readBack={
            "compare": {
                "Priority": "response.body.Priority",
                "CustomFields.Node": "response.body.node",
            }
        },
    )
    return asked.differences(Facts({}, record), made({"path": "/t"}), answer(reads))


@pytest.mark.parametrize(
    ("wrote", "reads"), [(50, "50"), ("50", 50), (50.0, 50), (True, "true"), ("", None)]
)
def test_a_number_and_its_text_are_the_same_word(wrote: Any, reads: Any) -> None:
    """Systems return numbers as texts; that is no loss."""
    assert differs({"Priority": wrote}, {"Priority": reads}) == []


def test_a_field_that_the_system_did_not_keep_is_named_with_both_values() -> None:
    """A 2xx that lost a field is seen; a field that was not sent is not compared."""
    record = {"CustomFields": {"Node": "db01"}}

    assert differs(record, {"node": "db02", "Priority": 9}) == [
        Difference("CustomFields.Node", "db01", "db02")
    ]
    assert differs(record, {}) == [Difference("CustomFields.Node", "db01", None)]


@pytest.mark.parametrize(
    ("read", "needless"), [({"state": "6"}, True), ({"state": "2"}, False), ("no record", False)]
)
def test_a_class_may_see_that_nothing_is_left_to_write(read: Any, needless: bool) -> None:
    """By a read before the write; an answer that cannot be understood leaves nothing out."""
    asked = operation({"path": "/t"}, unless={"when": 'response.body.state == "6"'})

    assert asked.is_needless(Facts({}), made({"path": "/t"}), answer(read)) is needless
    assert not operation({"path": "/t"}).is_needless(Facts({}), made({"path": "/t"}), answer(read))


def test_a_class_may_compare_whatever_was_sent() -> None:
    """A field that no list names is asked for by its path; one that the list names keeps its own comparison."""
    asked = operation(
        {"path": "/t"},
        readBack={
            "compare": {"notes": "record.notes"},
            "others": "response.body[field].value",
        },
    )
    record = {"notes": "cannot be read", "u_site": "north", "u_kept": True, "u_empty": None}
    reads = answer({"u_kept": {"value": "true"}})

    assert asked.differences(Facts({}, record), made({"path": "/t"}), reads) == [
        Difference("u_site", "north", None)
    ]
