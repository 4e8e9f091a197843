"""The class `zabbix` against the shapes that its documentation shows: what it sends, what it makes of each answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from intops_api.connector_class import ConnectorClassSpec
from intops_core.catalog import shipped
from intops_core.expressions import activation, compile_expression
from intops_runtime.core.classifying import Failure, of_response
from intops_runtime.core.compiled import ITEM_NAMES, POLL_NAMES
from intops_runtime.core.exchanges import Facts, HttpRequest, HttpResponse, RequestError
from intops_runtime.core.requests import CompiledClass

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
FRONTEND = "https://zabbix.example.com/zabbix"
CONFIG = {"minSeverity": 4}
PROBLEM = {
    "eventid": "1245463", "source": "0", "object": "0", "objectid": "15112", "clock": "1795465419",
    "ns": "310553472", "r_eventid": "0", "r_clock": "0", "r_ns": "0", "cause_eventid": "0",
    "correlationid": "0", "userid": "0", "name": "Zabbix agent is not available",
    "acknowledged": "1", "severity": "3", "opdata": "", "suppressed": "0", "urls": [],
    "tags": [{"tag": "service", "value": "payments"}],
}  # fmt: skip
TRIGGER = {
    "triggerid": "15112", "url": "https://wiki.example.com/agent", "comments": "Look at the agent.",
    "hosts": [{"hostid": "10084", "host": "db-pay-01.example.com", "name": "db-pay-01"}],
}  # fmt: skip


@pytest.fixture(scope="module")
def zabbix() -> CompiledClass:
    """The class as it is shipped."""
    (raw,) = [raw for raw in shipped() if raw["metadata"]["name"] == "zabbix"]
    return CompiledClass("zabbix", ConnectorClassSpec.model_validate(raw["spec"]))


def sent(zabbix: CompiledClass, operation: str, facts: Facts) -> HttpRequest:
    """The request of an operation."""
    return zabbix.operations[operation].request(FRONTEND, facts, headers={}, timeout_s=None)


def answered(body: Any, status: int = 200) -> HttpResponse:
    """An answer of the API."""
    return HttpResponse(status, {}, body)


def failed(zabbix: CompiledClass, code: int, data: str) -> Failure:
    """What an error in a 200 is taken for."""
    request = HttpRequest("POST", f"{FRONTEND}/api_jsonrpc.php", {}, {}, 10.0)
    error = {"code": code, "message": "Invalid params.", "data": data}
    return of_response(zabbix, request, answered({"jsonrpc": "2.0", "error": error}), now=NOW)


def named(zabbix: CompiledClass, problem: dict[str, Any]) -> Any:
    """What tells copies of a problem apart."""
    capture = zabbix.spec.capture
    assert capture is not None
    assert capture.delivery_id is not None
    scope = activation({"object": problem, "payload": {}, "headers": {}})
    return compile_expression(capture.delivery_id, ITEM_NAMES).evaluate(scope)


def polled(zabbix: CompiledClass, problems: list[Any], triggers: Any) -> list[dict[str, Any]]:
    """The problems of the webhook's body that a listing makes."""
    capture = zabbix.spec.capture
    assert capture is not None
    assert capture.poll is not None
    scope = activation(
        {
            "response": answered({"result": problems}).as_value(),
            "also": {"triggers": answered({"result": triggers}).as_value()},
            "config": CONFIG,
            "endpoint": FRONTEND,
            "now": "2026-11-25T12:00:00Z",
        }
    )
    body = compile_expression(capture.poll.body, POLL_NAMES).evaluate(scope)
    found: list[dict[str, Any]] = body["problems"]
    return found


def test_only_problems_that_the_action_tells_are_asked_for(zabbix: CompiledClass) -> None:
    """One address and POST for everything; the API refuses what it does not know, so no parameter is empty."""
    request = sent(zabbix, "listOpen", Facts(CONFIG))

    assert (request.method, request.url) == ("POST", f"{FRONTEND}/api_jsonrpc.php")
    assert request.body["params"]["severities"] == [4, 5]
    assert "groupids" not in request.body["params"]
    config = {**CONFIG, "hostGroups": ["4"]}
    assert sent(zabbix, "listOpen", Facts(config)).body["params"]["groupids"] == ["4"]


def test_the_next_question_begins_behind_the_last_id(zabbix: CompiledClass) -> None:
    """The cursor stands in the body, and everything else of the question stays."""
    listing, facts = zabbix.operations["listOpen"], Facts(CONFIG)
    first = sent(zabbix, "listOpen", facts)
    full = [{**PROBLEM, "eventid": str(number)} for number in range(300, 500)]

    second = listing.next_page(facts, first, answered({"result": full}), 200)

    assert second is not None
    assert second.url == first.url
    assert second.body["params"] == {**first.body["params"], "eventid_from": "500"}
    assert listing.next_page(facts, second, answered({"result": full[:3]}), 3) is None
    with pytest.raises(RequestError, match="this one again"):
        listing.next_page(facts, second, answered({"result": full}), 200)


def test_a_listing_and_a_webhook_name_a_problem_alike(zabbix: CompiledClass) -> None:
    """The hosts come with the trigger; what is acknowledged is the same problem nevertheless."""
    (item,) = polled(zabbix, [PROBLEM], {"15112": TRIGGER})

    assert (item["host"], item["hostName"]) == ("db-pay-01.example.com", "db-pay-01")
    assert (item["url"], item["description"]) == (TRIGGER["url"], TRIGGER["comments"])
    assert item["tags"] == PROBLEM["tags"]
    webhook = {"eventid": "1245463", "value": "1", "update": "0"}
    assert named(zabbix, item) == named(zabbix, webhook) == "1245463/problem"


@pytest.mark.parametrize("triggers", [[], {"15113": TRIGGER}])
def test_a_problem_whose_trigger_is_not_told_is_left_out(
    zabbix: CompiledClass, triggers: Any
) -> None:
    """Its trigger is disabled, or explained by another; an empty map comes as an empty list."""
    assert polled(zabbix, [PROBLEM], triggers) == []


def test_a_trigger_without_hosts_makes_no_listing_unreadable(zabbix: CompiledClass) -> None:
    """The host is not known then, and the problem is told nevertheless."""
    (item,) = polled(zabbix, [PROBLEM], {"15112": {**TRIGGER, "hosts": []}})

    assert (item["host"], item["hostName"]) == ("", "")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "1/problem"),
        ({"eventid": 1, "value": 1}, "1/problem"),
        ({"value": "0", "r_eventid": "2"}, "1/recovery"),
        ({"eventid": "{EVENT.ID}"}, ""),
        ({"eventid": "*UNKNOWN*"}, ""),
    ],
)
def test_copies_have_one_name(zabbix: CompiledClass, changes: dict[str, Any], name: str) -> None:
    """Steps of an escalation are copies; what has no id has no name, so that two are not taken for one."""
    assert named(zabbix, {"eventid": "1", "value": "1", **changes}) == name


def test_two_updates_within_a_second_are_two(zabbix: CompiledClass) -> None:
    """Their time is told in seconds; what was done and said tells them apart."""
    update = {"eventid": "1", "value": "1", "update": "1", "updatedAt": "1795465480"}

    first = named(zabbix, {**update, "updateAction": "commented", "updateMessage": "One."})
    second = named(zabbix, {**update, "updateAction": "commented", "updateMessage": "Two."})

    assert first.startswith("1/update/1795465480/")
    assert first != second


@pytest.mark.parametrize(
    ("code", "data", "error_class"),
    [
        (-32602, "Session terminated, re-login, please.", "authExpired"),
        (-32602, "API token expired.", "authExpired"),
        (-32602, "Not authorized.", "authDenied"),
        (-32602, "Not authorised.", "authDenied"),
        (-32500, 'No permissions to call "trigger.get".', "forbidden"),
        (-32500, "No permissions to referred object or it does not exist!", "notFound"),
        (-32500, "Cannot close problem: trigger does not allow manual closing.", "forbidden"),
        (-32602, 'Invalid parameter "/": unexpected parameter "symptom".', "validation"),
        (-32601, 'Incorrect API "problems".', "schemaDrift"),
        (-32600, 'Invalid parameter "/jsonrpc": value must be "2.0".', "validation"),
        (-32500, "Error connecting to database.", "destinationDown"),
    ],
)
def test_an_error_in_a_200_is_known_by_its_words(
    zabbix: CompiledClass, code: int, data: str, error_class: str
) -> None:
    """The status says nothing, the code little; nothing was done, so nothing needs to be looked up."""
    failure = failed(zabbix, code, data)

    assert failure.error_class == error_class
    assert data[:20] in failure.detail
    assert not failure.effect_unknown


def test_a_page_instead_of_data_is_no_answer(zabbix: CompiledClass) -> None:
    """A wrong address of the frontend answers 200, too."""
    request = sent(zabbix, "listOpen", Facts(CONFIG))
    page = answered("<!DOCTYPE html><html><head><title>Zabbix</title></head></html>")

    assert not zabbix.operations["listOpen"].succeeded(Facts(CONFIG), request, page)
    failure = of_response(zabbix, request, page, now=NOW)
    assert failure.error_class == "destinationDown"
    assert "not that of the frontend" in failure.detail


@pytest.mark.parametrize(
    ("operation", "text", "action"),
    [
        ("acknowledge", "", 2),
        ("acknowledge", "Ticket 4711.", 6),
        ("comment", "Ticket 4711.", 4),
        ("close", "", 1),
        ("close", "Resolved in ticket 4711.", 5),
    ],
)
def test_what_is_done_to_a_problem_is_one_number(
    zabbix: CompiledClass, operation: str, text: str, action: int
) -> None:
    """A message without the bit for it would be dropped, and the bit without a message is refused."""
    facts = Facts(CONFIG, link={"nativeId": "1245463"}, text=text)

    params = sent(zabbix, operation, facts).body["params"]

    assert (params["eventids"], params["action"]) == (["1245463"], action)
    assert ("message" in params) is bool(text)


@pytest.mark.parametrize("told", ["1245463", 1245463])
def test_an_answer_counts_only_where_it_names_the_event(zabbix: CompiledClass, told: Any) -> None:
    """Ids come as texts or as numbers."""
    facts = Facts(CONFIG, link={"nativeId": "1245463"}, text="")
    request, operation = sent(zabbix, "acknowledge", facts), zabbix.operations["acknowledge"]

    assert operation.succeeded(facts, request, answered({"result": {"eventids": [told]}}))
    assert not operation.succeeded(facts, request, answered({"result": {"eventids": []}}))


def test_an_acknowledgement_that_did_not_stay_is_seen(zabbix: CompiledClass) -> None:
    """It is read back: an event that was acknowledged is passed over without a word, and so is much else."""
    facts = Facts(CONFIG, {"acknowledged": "1"}, link={"nativeId": "1245463"})
    request = sent(zabbix, "get", facts)
    operation = zabbix.operations["acknowledge"]

    kept = answered({"result": [PROBLEM]})
    lost = answered({"result": [{**PROBLEM, "acknowledged": "0"}]})

    assert operation.differences(facts, request, kept) == []
    (difference,) = operation.differences(facts, request, lost)
    assert difference.field == "acknowledged"
