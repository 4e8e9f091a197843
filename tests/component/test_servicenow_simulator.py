"""The simulated ServiceNow instance as its own process: what it shows, what it drops, and how it is driven."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from support.runtime.flows import REPOSITORY
from support.simulators.snow_schema import GROUPS

pytestmark = pytest.mark.component

PASSWORD = "a-password-for-tests"
INCIDENT = "/api/now/table/incident"


@contextmanager
def instance(*arguments: str) -> Iterator[httpx.Client]:
    """A running instance, and a client of its user."""
    environment = {
        **os.environ,
        "SERVICENOW_PASSWORD": PASSWORD,
        "PYTHONPATH": str(REPOSITORY / "tests"),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "support.simulators.servicenow", *arguments],
        stdout=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            with httpx.Client(base_url=url, auth=("intops", PASSWORD), timeout=30.0) as client:
                yield client
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def snow() -> Iterator[httpx.Client]:
    """One instance with all vices for the tests that do not disturb each other."""
    with instance() as client:
        yield client


def made(client: httpx.Client, **fields: str) -> dict[str, Any]:
    """A new incident, as the instance shows it."""
    answer = client.post(INCIDENT, json={"short_description": "db01 is down", **fields})
    assert answer.status_code == 201
    result: dict[str, Any] = answer.json()["result"]
    return result


def test_every_value_is_a_text_and_a_reference_has_a_link(snow: httpx.Client) -> None:
    """By value, by label, or both, as the parameter asks."""
    row = made(snow, impact="1", urgency="2", assignment_group=GROUPS["Network"])
    assert (row["priority"], row["state"], row["sys_mod_count"]) == ("2", "1", "0")
    assert row["assignment_group"]["value"] == GROUPS["Network"]
    assert row["assignment_group"]["link"].endswith(f"/sys_user_group/{GROUPS['Network']}")

    both = snow.get(f"{INCIDENT}/{row['sys_id']}", params={"sysparm_display_value": "all"}).json()
    assert both["result"]["state"] == {"display_value": "New", "value": "1"}
    assert both["result"]["assignment_group"]["display_value"] == "Network"


def test_what_it_does_not_know_is_dropped_and_what_is_long_is_cut(snow: httpx.Client) -> None:
    """201 all the same, and the same key as often as one likes."""
    sent = {
        "u_none": "x",
        "correlation_id": "k" * 101,
        "priority": "1",
        "assignment_group": "Network",
    }
    made(snow, **sent)
    row = made(snow, **sent)

    assert "u_none" not in row
    assert (row["correlation_id"], row["priority"], row["assignment_group"]) == ("k" * 100, "5", "")


def test_a_typo_in_a_query_finds_everything(snow: httpx.Client) -> None:
    """A good term finds what it names."""
    made(snow, correlation_id="one")
    made(snow, correlation_id="two")

    def found(query: str) -> list[str]:
        rows = snow.get(INCIDENT, params={"sysparm_query": query}).json()["result"]
        return [row["correlation_id"] for row in rows]

    assert found("correlation_id=one") == ["one"]
    assert found("correlation_id=one^ORcorrelation_id=two^ORDERBYDESCcorrelation_id") == [
        "two",
        "one",
    ]
    assert {"one", "two"} <= set(found("corelation_id=one"))


def test_resolving_demands_a_code_and_notes(snow: httpx.Client) -> None:
    """403 with the words of a data policy, and nothing is changed."""
    row = made(snow)
    refused = snow.patch(f"{INCIDENT}/{row['sys_id']}", json={"state": "6"})

    assert refused.status_code == 403
    assert refused.json()["status"] == "failure"
    assert "mandatory: close_code, close_notes" in refused.json()["error"]["detail"]
    assert snow.get(f"{INCIDENT}/{row['sys_id']}").json()["result"]["state"] == "1"


def test_a_stranger_and_a_missing_record_are_told_apart(snow: httpx.Client) -> None:
    """401 and 404 in the documented shape."""
    assert snow.get(INCIDENT, auth=("intops", "wrong")).json() == {
        "error": {"message": "User Not Authenticated", "detail": "Required to provide Auth information"},
        "status": "failure",
    }  # fmt: skip
    gone = snow.get(f"{INCIDENT}/{'0' * 32}")
    assert (gone.status_code, gone.json()["error"]["message"]) == (404, "No Record found")


def test_choices_and_fields_can_be_looked_up(snow: httpx.Client) -> None:
    """Resolution codes are in sys_choice, references in sys_dictionary."""
    asked = {"sysparm_query": "name=incident^element=close_code", "sysparm_fields": "value"}
    codes = snow.get("/api/now/table/sys_choice", params=asked).json()["result"]
    assert {"value": "Solution provided"} in codes
    asked = {"sysparm_query": "name=incident^element=cmdb_ci"}
    (field,) = snow.get("/api/now/table/sys_dictionary", params=asked).json()["result"]
    assert (field["internal_type"], field["reference"]) == ("reference", "cmdb_ci")


def test_it_is_driven_on_its_own_port() -> None:
    """Sleep, limits and edits by a person; a wrong setting is refused with its name."""
    with instance("--vices", "none") as client:
        assert client.post(INCIDENT, json={"u_none": "x"}).status_code == 400
        row = made(client)
        assert client.get(INCIDENT, params={"sysparm_query": "typo=1"}).json() == {"result": []}

        edited = client.post("/_sim/edit", json={"sys_id": row["sys_id"], "state": "2"}).json()
        assert (edited["state"], edited["sys_updated_by"]) == ("2", "agent")

        assert (
            "asleeep"
            in client.post("/_sim/instance", json={"asleeep": 1}).json()["error"]["message"]
        )
        client.post("/_sim/instance", json={"asleep": 1, "limit": 1})
        assert client.get(INCIDENT).headers["content-type"].startswith("text/html")
        assert client.get(INCIDENT).headers["x-ratelimit-limit"] == "1"
        refused = client.get(INCIDENT)
        assert (refused.status_code, refused.json()["error"]["message"]) == (
            429,
            "Rate limit exceeded",
        )
        assert int(refused.headers["retry-after"]) > 3500
