"""The class `jira` against the shapes that Atlassian documents: what it sends, and what it makes of each answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from intops_api.connector_class import ConnectorClassSpec
from intops_core.catalog import shipped
from intops_runtime.core.classifying import Failure, of_response
from intops_runtime.core.exchanges import Facts, Found, HttpRequest, HttpResponse
from intops_runtime.core.requests import CompiledClass
from intops_runtime.core.stepping import Step
from support.simulators.jira_rest import Call, JiraRest
from support.simulators.jira_store import JiraStore
from support.simulators.jira_workflow import SEVERITY

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SITE = "https://example.atlassian.net"
KEY = "iop1:oflqlsrjnru3ejgdpflketq5sx3g3in2"
CONFIG = {"project": "OPS", "issueType": "Incident", "paths": {"Resolved": ["Work in progress"]}}
LINK = {"nativeId": "10001", "displayId": "OPS-1"}
ISSUE = {
    "id": "10001",
    "key": "OPS-1",
    "self": f"{SITE}/rest/api/3/issue/10001",
    "fields": {
        "summary": "db01 is down",
        "status": {"id": "1", "name": "Open", "statusCategory": {"key": "new"}},
        "priority": {"name": "High"},
        "updated": "2026-11-25T12:00:00.000+0000",
    },
    "properties": {"intops": {"key": KEY}},
}
RECORD = {"key": KEY, "summary": "db01 is down", "description": "It is.\n\nWhere: db01"}


@pytest.fixture(scope="module")
def jira() -> CompiledClass:
    """The class as it is shipped."""
    (raw,) = [raw for raw in shipped() if raw["metadata"]["name"] == "jira"]
    return CompiledClass("jira", ConnectorClassSpec.model_validate(raw["spec"]))


def sent(jira: CompiledClass, operation: str, facts: Facts) -> HttpRequest:
    """The request of an operation."""
    return jira.operations[operation].request(SITE, facts, headers={}, timeout_s=None)


def failed(jira: CompiledClass, status: int, body: Any, **headers: str) -> Failure:
    """What an answer to a write is taken for."""
    request = HttpRequest("PUT", f"{SITE}/rest/api/3/issue/10001", {}, {}, 10.0)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return of_response(jira, request, HttpResponse(status, named, body), now=NOW)


def test_texts_are_documents_without_empty_nodes(jira: CompiledClass) -> None:
    """ADF: each line a paragraph; an empty text node would be refused."""
    body = sent(jira, "create", Facts(CONFIG, RECORD, KEY)).body

    assert body["fields"]["description"] == {
        "type": "doc",
        "version": 1,
        "content": [
            {"type": "paragraph", "content": [{"type": "text", "text": "It is."}]},
            {"type": "paragraph", "content": [{"type": "text", "text": "Where: db01"}]},
        ],
    }


def test_a_custom_field_stands_beside_the_others_and_replaces_none(jira: CompiledClass) -> None:
    """Fields of the site by their id; the project and the label with our key stay what they are."""
    custom = {"customfield_10050": {"value": "Major"}, "labels": ["mine"]}
    facts = Facts(CONFIG, {**RECORD, "customFields": custom, "assignee": "5b10"}, KEY)

    fields = sent(jira, "create", facts).body["fields"]

    assert fields["customfield_10050"] == {"value": "Major"}
    assert fields["labels"] == [KEY]
    assert fields["project"] == {"key": "OPS"}
    assert fields["assignee"] == {"accountId": "5b10"}


def test_an_edit_sends_only_what_changed_and_adds_labels(jira: CompiledClass) -> None:
    """Labels of people stay; nothing that the record does not have is emptied."""
    facts = Facts(CONFIG, {"priority": "Low", "labels": ["intops"]}, KEY, LINK)

    request = sent(jira, "update", facts)

    assert (request.method, request.url) == ("PUT", f"{SITE}/rest/api/3/issue/10001")
    assert request.body == {
        "fields": {"priority": {"name": "Low"}},
        "update": {"labels": [{"add": "intops"}]},
    }


def test_an_edit_is_taken_and_leaves_what_people_wrote(jira: CompiledClass) -> None:
    """What the class sends, as the simulated site takes it."""
    store = JiraStore()
    rest = JiraRest(store)

    def send(operation: str, facts: Facts) -> int:
        request = sent(jira, operation, facts)
        path = request.url.removeprefix(f"{SITE}/rest/api/3")
        body = orjson.dumps(request.body)
        return rest.answer(Call(request.method, path, {}, body, now=1.0)).status

    assert send("create", Facts(CONFIG, RECORD, KEY)) == 201
    issue = store.issues[10001]
    store.edit(
        issue, {"fields": {"summary": "Ours"}, "update": {"labels": [{"add": "x"}]}}, now=2.0
    )
    changes = {
        "priority": "Low",
        "labels": ["intops"],
        "customFields": {SEVERITY: {"value": "Major"}},
    }

    assert send("update", Facts(CONFIG, changes, KEY, LINK)) == 204

    assert issue.fields["summary"] == "Ours"
    assert issue.fields["labels"] == [KEY, "x", "intops"]
    assert issue.fields["priority"] == {"name": "Low"}
    assert issue.fields[SEVERITY] == {"value": "Major"}


def test_an_edit_is_done_with_204_and_no_body(jira: CompiledClass) -> None:
    """An HTML page with 200 is none."""
    facts = Facts(CONFIG, {"priority": "Low"}, KEY, LINK)
    request = sent(jira, "update", facts)

    assert jira.operations["update"].succeeded(facts, request, HttpResponse(204, {}, None))
    assert not jira.operations["update"].succeeded(facts, request, HttpResponse(200, {}, "<html>"))


@pytest.mark.parametrize(
    ("to", "offered", "fields"),
    [
        ("Resolved", {"fields": {"resolution": {"required": True}}}, {"resolution": {"name": "Done"}}),
        ("Resolved", {"fields": {}}, None),
        ("Resolved", {}, None),
        ("Work in progress", {"fields": {"resolution": {"required": False}}}, None),
    ],
)  # fmt: skip
def test_the_resolution_is_sent_with_the_last_step_where_its_screen_has_it(
    jira: CompiledClass, to: str, offered: dict[str, Any], fields: Any
) -> None:
    """Elsewhere Jira would refuse the whole transition."""
    record = {"status": "Resolved", "resolution": "Done"}
    facts = Facts(CONFIG, record, KEY, LINK, step=Step("31", to, offered))

    body = sent(jira, "transition", facts).body

    assert body["transition"] == {"id": "31"}
    assert body.get("fields") == fields


def test_ways_on_are_read_from_the_list_of_transitions(jira: CompiledClass) -> None:
    """By the state to which each leads, not by the name on the button."""
    answer = HttpResponse(
        200, {}, {"transitions": [{"id": "31", "name": "Resolve", "to": {"name": "Resolved"}}]}
    )
    facts = Facts(CONFIG, {"status": "Resolved"}, KEY, LINK)
    reader = jira.operations["transitions"]
    request = sent(jira, "transitions", facts)

    (way,) = jira.operations["transition"].ways_on(reader, facts, request, answer)

    assert request.url.endswith("/issue/10001/transitions?expand=transitions.fields")
    assert (way.id, way.to) == ("31", "Resolved")
    assert jira.operations["transition"].passable(facts) == ["Work in progress"]
    assert jira.operations["transition"].passable(Facts({}, {"status": "Closed"}, KEY)) == []


def test_a_comment_says_who_may_read_it(jira: CompiledClass) -> None:
    """Internal, unless the Connector says otherwise."""
    for config, internal in ((CONFIG, True), ({**CONFIG, "publicComments": True}, False)):
        body = sent(jira, "comment", Facts(config, {}, KEY, LINK, "It recovered.")).body
        (visibility,) = body["properties"]
        assert visibility == {"key": "sd.public.comment", "value": {"internal": internal}}


def test_our_key_is_searched_as_a_label(jira: CompiledClass) -> None:
    """The search that knows no total and no offset."""
    lookup = jira.operations["lookupByCorrelation"]
    facts = Facts(CONFIG, RECORD, KEY)
    request = sent(jira, "lookupByCorrelation", facts)
    found = {"issues": [{n: ISSUE[n] for n in ("id", "key", "self")}], "isLast": True}

    assert request.url.startswith(f"{SITE}/rest/api/3/search/jql?jql=labels%20%3D%20%22iop1%3A")
    assert lookup.found_items(facts, request, HttpResponse(200, {}, found)) == [
        Found("10001", "OPS-1", f"{SITE}/browse/OPS-1")
    ]
    assert lookup.settle_s == 60.0


def test_the_property_says_whose_an_issue_is(jira: CompiledClass) -> None:
    """A clone has the label and no property."""
    facts = Facts(CONFIG, {}, KEY, LINK)
    request = sent(jira, "get", facts)
    read = jira.operations["get"].found
    clone = {**ISSUE, "properties": {}}

    assert read(facts, request, HttpResponse(200, {}, ISSUE)).key == KEY
    assert read(facts, request, HttpResponse(200, {}, clone)).key is None


def test_the_address_for_people_may_be_another(jira: CompiledClass) -> None:
    """The endpoint of service accounts is no page that anybody opens."""
    facts = Facts({**CONFIG, "site": "https://desk.example.com"}, RECORD, KEY)
    request = sent(jira, "create", facts)
    found = jira.operations["create"].found(facts, request, HttpResponse(201, {}, ISSUE))

    assert found.url == "https://desk.example.com/browse/OPS-1"


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("customfield_10077", "customFields.customfield_10077"), ("summary", "summary"),
        ("issuetype", "config.issueType"), ("project", "config.project"),
    ],
)  # fmt: skip
def test_a_refused_field_is_named_by_its_place(jira: CompiledClass, field: str, path: str) -> None:
    """The map of errors has Jira's names; a person needs ours."""
    words = f"Field '{field}' cannot be set."

    failure = failed(jira, 400, {"errorMessages": [], "errors": {field: words}})

    assert (failure.error_class, failure.path) == ("validation", path)
    assert words in failure.detail


@pytest.mark.parametrize(
    ("status", "body", "headers", "error_class"),
    [
        (400, {"errorMessages": ["Bad."], "errors": {}}, {}, "validation"),
        (401, "<html>Log in</html>", {}, "authDenied"),
        (200, "<html><title>Log in to continue</title></html>", {}, "authDenied"),
        (302, "", {"location": f"{SITE}/login?next=x"}, "authDenied"),
        (404, {"errorMessages": ["No."]}, {"x_seraph_loginreason": "AUTHENTICATED_FAILED"}, "authDenied"),
        (403, {"errorMessages": ["No."]}, {"x_seraph_loginreason": "AUTHENTICATION_DENIED"}, "authDenied"),
        (404, {"errorMessages": ["No."]}, {"x_seraph_loginreason": "OK"}, "notFound"),
        (403, {"errorMessages": ["No."], "errors": {}}, {}, "forbidden"),
        (404, {"errorMessages": ["No."], "errors": {}}, {}, "notFound"),
        (409, {"errorMessages": ["Later."], "errors": {}}, {}, "conflict"),
        (429, "", {}, "rateLimited"),
        (503, "", {"retry_after": "5"}, "rateLimited"),
        (503, "<html>Maintenance</html>", {}, "transientNetwork"),
    ],
)  # fmt: skip
def test_each_answer_has_its_class(
    jira: CompiledClass, status: int, body: Any, headers: dict[str, str], error_class: str
) -> None:
    """A wrong token may look like anything; a header or a page gives it away."""
    assert failed(jira, status, body, **headers).error_class == error_class


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"x_ratelimit_reset": "2026-11-25T12:00:09Z"}, 9.0),
    ],
)
def test_a_limit_tells_how_long_and_why(
    jira: CompiledClass, headers: dict[str, str], seconds: float
) -> None:
    """Retry-After, else the time at which the window ends; the reason stands in a header."""
    failure = failed(jira, 429, "", ratelimit_reason="jira-per-issue-on-write", **headers)

    assert (failure.error_class, failure.retry_after_s) == ("rateLimited", seconds)
    assert "jira-per-issue-on-write" in failure.detail
