"""The class icinga2 held against what a real Icinga 2.13 answered, and the shipped script against its memory."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from intops_core.expressions import activation
from intops_runtime.core.compiled import CompiledPlan, compile_plan
from intops_runtime.core.intake import dedup_of
from intops_runtime.core.messages import State
from support.runtime.flows import REPOSITORY
from support.runtime.source_flows import plan_from, taken

SCRIPT = REPOSITORY / "docs" / "systems" / "icinga2" / "notify-intops.py"
HOST: dict[str, Any] = {
    "name": "db01", "display_name": "Database 1", "address": "192.0.2.7", "notes_url": "",
    "last_state_up": 1796070964.28457, "last_state_change": 1796070968.5, "vars": None,
    "last_check_result": {"output": "no answer"},
}  # fmt: skip
SERVICE: dict[str, Any] = {
    "name": "load", "display_name": "Load", "state": 2, "notes_url": "https://wiki.example.com/load",
    "last_state_ok": 1796070964.99, "last_state_change": 1796070968,
    "vars": {"intops_business_service": "payments", "intops_environment": "prod"},
    "last_check_result": {"output": "CRITICAL load 9"},
}  # fmt: skip


@pytest.fixture(scope="module")
def plan() -> CompiledPlan:
    """A Flow whose source is an Icinga that is asked too."""
    return compile_plan(
        plan_from(
            "icinga2", "https://desk.example.com", endpoint="https://icinga.example.com:5665",
            config={"command": "intops"},
        )
    )  # fmt: skip


def told(**rest: Any) -> dict[str, Any]:
    """What the script sends of the service."""
    notification = {
        "type": "PROBLEM", "host": "db01", "hostName": "Database 1", "service": "load",
        "serviceName": "Load", "state": "CRITICAL", "output": "CRITICAL load 9",
        "outbreak": "1796070964", "changedAt": "1796070968", **rest,
    }  # fmt: skip
    return {"version": "1", "instance": "", "notifications": [notification]}


def listed(plan: CompiledPlan, *joins: dict[str, Any]) -> dict[str, Any]:
    """The body that is made of Icinga's list of Notification objects."""
    results = [{"attrs": {}, "joins": join, "meta": {}, "name": "n"} for join in joins]
    response = {"status": 200, "headers": {}, "body": {"results": results}}
    scope = activation(
        {"response": response, "config": {"command": "intops"}, "endpoint": "", "now": ""}
    )
    body = plan.polls["prometheus"].body.evaluate(scope)
    assert isinstance(body, dict)
    return body


def test_what_the_list_shows_is_a_copy_of_what_the_script_sends(plan: CompiledPlan) -> None:
    """Both name the outbreak by whole seconds, so a notification that came is not brought again."""
    by_script = taken(plan, told())[0]
    by_asking, host = taken(plan, listed(plan, {"host": HOST, "service": SERVICE}, {"host": HOST}))

    assert by_asking.state is State.WAITING, by_asking.detail
    assert (by_asking.dedup, by_asking.key) == (by_script.dedup, by_script.key)
    assert (by_asking.record or {})["service"] == "payments"
    assert (by_asking.record or {})["environment"] == "production"
    assert (host.record or {})["title"] == "Database 1 is DOWN"
    assert host.dedup == "db01!/1796070964/PROBLEM/DOWN"


def test_a_repeat_is_a_copy_and_a_worse_state_is_not(plan: CompiledPlan) -> None:
    """Icinga repeats a problem every half hour, and tells of a warning that has become critical."""
    first, repeat, worse = (
        taken(plan, told(**rest))[0] for rest in ({"state": "WARNING"}, {"state": "WARNING"}, {})
    )

    assert first.dedup == repeat.dedup != worse.dedup
    assert first.key == worse.key


@pytest.mark.parametrize(
    ("kind", "state", "means"),
    [
        ("DOWNTIMESTART", "OK", "suppressed"),
        ("DOWNTIMEEND", "CRITICAL", "firing"),
        ("DOWNTIMEREMOVED", "OK", "resolved"),
        ("FLAPPINGSTART", "WARNING", "suppressed"),
        ("FLAPPINGEND", "OK", "resolved"),
        ("ACKNOWLEDGEMENT", "UNKNOWN", "acknowledged"),
        ("CUSTOM", "OK", "heartbeat"),
    ],
)
def test_each_kind_of_notification_has_a_meaning(
    plan: CompiledPlan, kind: str, state: str, means: str
) -> None:
    """A recovery within a downtime is never told, so the state at its end is what counts."""
    (message,) = taken(plan, told(type=kind, state=state))

    assert (message.record or {})["state"] == means


def test_a_service_without_an_outbreak_has_no_double(plan: CompiledPlan) -> None:
    """A host and its service with the same outbreak are two conditions."""
    source = plan.sources["prometheus"]
    body = told()
    (service,) = body["notifications"]
    host = {n: v for n, v in service.items() if n != "service"}

    assert dedup_of(source, {}, service, body) != dedup_of(source, {}, host, body)


def script() -> Any:
    """The shipped script as a module."""
    spec = importlib.util.spec_from_file_location("notify_intops", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_remembers_the_outbreak_until_the_next_one(tmp_path: Path) -> None:
    """The recovery is itself a good check: only the memory knows what has ended."""
    outbreak = script().outbreak
    memory = tmp_path / "memory"

    assert outbreak("db01", "load", "OK", "900", memory) == ""
    assert outbreak("db01", "load", "WARNING", "1000", memory) == "1000"
    assert outbreak("db01", "load", "CRITICAL", "1000", memory) == "1000"
    assert outbreak("db01", "", "DOWN", "500", memory) == "500"
    assert outbreak("db01", "load", "OK", "1100", memory) == "1000"
    assert outbreak("db01", "", "UP", "1100", memory) == "500"
    assert outbreak("db01", "load", "CRITICAL", "1100", memory) == "1100"


def test_the_script_leaves_out_what_icinga_does_not_know(tmp_path: Path) -> None:
    """An empty text is no answer."""
    given = {
        "INTOPS_TYPE": "PROBLEM", "INTOPS_HOST": "db01", "INTOPS_STATE": "DOWN",
        "INTOPS_LAST_GOOD": "0", "INTOPS_AUTHOR": "", "INTOPS_MEMORY": str(tmp_path),
    }  # fmt: skip

    assert script().notification(given) == {
        "type": "PROBLEM", "host": "db01", "state": "DOWN", "outbreak": "0",
    }  # fmt: skip
