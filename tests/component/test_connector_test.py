"""`intops connector test`: what a Connector meets at its system is told, and nothing is written there.

The command is run as people run it, against the simulators of Jira and ServiceNow, which this process serves, and
against the real Request Tracker and Roundup.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from intops_cli.commands.connector import wire
from intops_cli.connector_sources import from_folder
from intops_core.connector_trials import passed
from intops_runtime.connector_trial import try_connector
from support.peers import RequestTracker, Roundup
from support.ports import free_port
from support.runtime.flows import REPOSITORY
from support.runtime.local_run import intops
from support.simulators.jira_server import USER, JiraSimulator
from support.simulators.launcher import HelpdeskSimulator
from support.simulators.snow_server import Instance, SnowServer

pytestmark = pytest.mark.component

JIRA = REPOSITORY / "examples" / "04-alerts-to-jira"
HELPDESK = REPOSITORY / "examples" / "01-alerts-to-helpdesk"
ROUNDUP = REPOSITORY / "examples" / "02-alerts-to-roundup"
SERVICENOW = REPOSITORY / "examples" / "03-alerts-to-servicenow"

Edit = Callable[[dict[str, Any]], None]


class Folder:
    """A copy of an example whose manifests a test changes."""

    def __init__(self, example: Path, at: Path) -> None:
        self.path = at / "manifests"
        shutil.copytree(example, self.path, ignore=shutil.ignore_patterns("cases", "samples"))

    def change(self, kind: str, name: str, edit: Edit) -> None:
        """Change one manifest in place."""
        for file in self.path.glob("*.yaml"):
            found = [one for one in yaml.safe_load_all(file.read_text("utf-8")) if one]
            for one in found:
                if one["kind"] == kind and one["metadata"]["name"] == name:
                    edit(one)
            file.write_text(yaml.safe_dump_all(found, sort_keys=False), "utf-8")

    def secret(self, name: str, **values: str) -> None:
        """Let a Secret hold these values."""
        self.change("Secret", name, lambda raw: raw.update(stringData=values))


class Told:
    """What the command said."""

    def __init__(self, code: int, text: str, errors: str) -> None:
        self.code, self.text, self.errors = code, text, errors
        self.checks: list[dict[str, str]] = json.loads(text)["checks"] if text[:1] == "{" else []

    def of(self, check: str) -> list[dict[str, str]]:
        """Steps of this name."""
        return [one for one in self.checks if one["check"] == check]

    def levels(self) -> dict[str, str]:
        """The worst level of each step."""
        order = ["ok", "skip", "warn", "fail"]
        found: dict[str, str] = {}
        for one in self.checks:
            before = found.get(one["check"], "ok")
            found[one["check"]] = max(before, one["level"], key=order.index)
        return found

    def failed(self, check: str) -> dict[str, str]:
        """The one failure of a step."""
        (one,) = [one for one in self.of(check) if one["level"] == "fail"]
        return one


async def run(name: str, folder: Path, url: str, form: str = "json") -> Told:
    """Run the command as a process, while this loop serves the simulators."""
    ended = await asyncio.to_thread(
        intops, "connector", "test", name, "-f", str(folder), "-o", form, "--endpoint", url
    )
    return Told(ended.returncode, ended.stdout, ended.stderr)


async def tell(name: str, folder: Path, url: str, *, within_s: float = 30.0) -> Told:
    """What the command does, in this process."""
    source = from_folder(folder, namespace="default", endpoints={name: url})
    tried = source.tried(name)
    assert not isinstance(tried, str)
    checks = await try_connector(tried, source.policy, within_s=within_s)
    told = wire(name, tried.class_name, url, checks)
    return Told(0 if passed(checks) else 1, json.dumps(told), "")


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[web.Application], Any]]:
    """Serves applications until the test ends; gives their addresses."""
    runners: list[web.AppRunner] = []

    async def one(app: web.Application) -> str:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield one
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def jira() -> JiraSimulator:
    """A site of Jira."""
    return JiraSimulator()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """The example for Jira, with the right credentials."""
    found = Folder(JIRA, tmp_path)
    found.secret("jira-user", **USER)
    return found


async def test_a_connector_that_is_well_passes_every_step_and_nothing_is_written(
    serve: Any, jira: JiraSimulator, folder: Folder
) -> None:
    """http is all that is to be looked at."""
    url = await serve(jira.app())
    told = await run("jira", folder.path, url)

    assert told.code == 0, told.text + told.errors
    assert told.levels() == {
        "address": "ok", "tls": "warn", "credentials": "ok", "login": "ok", "rights": "ok",
        "discovery": "ok", "clock": "ok", "limits": "ok",
    }  # fmt: skip
    assert 'knows us as "intops"' in told.of("login")[0]["found"]
    assert len(told.of("discovery")) == 2
    assert {request.split()[0] for request in jira.requests} == {"GET"}
    assert jira.ledger.entries == []
    assert USER["password"] not in told.text + told.errors


async def test_people_read_steps_and_what_to_do(
    serve: Any, jira: JiraSimulator, folder: Folder
) -> None:
    """The table begins each step with its level."""
    url = await serve(jira.app())
    told = await run("jira", folder.path, url, form="table")

    assert told.code == 0
    lines = told.text.splitlines()
    assert lines[0] == f"jira (jira, {url})"
    assert any(line.startswith("warn  tls ") for line in lines)
    assert any(line.strip().startswith("-> ") for line in lines)
    assert lines[-1] == "0 failed, 1 to look at; nothing was written."


@pytest.mark.parametrize("login", ["401", "page", "anonymous"])
async def test_a_wrong_password_names_the_secret_and_is_not_shown(
    serve: Any, jira: JiraSimulator, folder: Folder, login: str
) -> None:
    """However the site says it, also with a page to log in and 200."""
    jira.login = login
    folder.secret("jira-user", username=USER["username"], password="not-the-right-password")
    told = await tell("jira", folder.path, await serve(jira.app()))

    assert told.code == 1
    assert 'Secret "jira-user"' in told.failed("login")["todo"]
    assert told.levels()["rights"] == told.levels()["discovery"] == "skip"
    assert "not-the-right-password" not in told.text + told.errors


async def test_a_missing_key_of_the_secret_is_told_with_what_to_put_there(
    serve: Any, jira: JiraSimulator, folder: Folder
) -> None:
    """Nothing is sent without it."""
    folder.secret("jira-user", username=USER["username"])
    told = await tell("jira", folder.path, await serve(jira.app()))

    assert told.code == 1
    assert "missing: password" in told.failed("credentials")["found"]
    assert "API token" in told.failed("credentials")["todo"]
    assert told.levels()["login"] == "skip"
    assert jira.requests == []


async def test_a_right_that_is_missing_names_the_operations_that_need_it(
    serve: Any, jira: JiraSimulator, folder: Folder
) -> None:
    """The others are told as allowed."""
    jira.denied.add("TRANSITION_ISSUES")
    told = await tell("jira", folder.path, await serve(jira.app()))

    assert told.code == 1
    failed = told.failed("rights")
    assert "transition need it" in failed["found"]
    assert "Give the user Transition issues" in failed["todo"]


async def test_a_value_that_the_system_does_not_know_names_the_mapping_and_what_there_is(
    serve: Any, jira: JiraSimulator, folder: Folder
) -> None:
    """A state that the workflow of the project does not have."""

    def edit(raw: dict[str, Any]) -> None:
        (rule,) = [rule for rule in raw["spec"]["fields"] if rule["to"] == "status"]
        rule["values"]["new"] = "In Progress"
        raw["spec"].pop("examples")

    folder.change("Mapping", "incident-to-jira", edit)
    told = await tell("jira", folder.path, await serve(jira.app()))

    assert told.code == 1
    failed = told.failed("discovery")
    assert 'Mapping "incident-to-jira" sends status "In Progress"' in failed["found"]
    assert "Work in progress" in failed["todo"]


async def test_a_field_that_the_system_demands_and_no_rule_sets_is_told(
    serve: Any, jira: JiraSimulator, folder: Folder
) -> None:
    """By the path that a Mapping would write."""
    jira.demanded.add("components")
    told = await tell("jira", folder.path, await serve(jira.app()))

    assert told.code == 1
    assert "demands components" in told.failed("discovery")["found"]


async def test_a_field_that_is_not_there_is_told(
    serve: Any, jira: JiraSimulator, folder: Folder
) -> None:
    """A custom field that is on no screen."""
    extra = {
        "to": "customFields.customfield_10077", "from": "service",
        "meaning": "The desk counts incidents for each business service.",
    }  # fmt: skip
    folder.change("Mapping", "incident-to-jira", lambda raw: raw["spec"]["fields"].append(extra))
    told = await tell("jira", folder.path, await serve(jira.app()))

    assert told.code == 1
    assert "customFields.customfield_10077" in told.failed("discovery")["found"]
    assert "customfield_10050" in told.failed("discovery")["todo"]


async def test_a_clock_ten_minutes_off_is_told_with_its_direction(
    serve: Any, jira: JiraSimulator, folder: Folder
) -> None:
    """Everything else is well."""
    jira.clock_ahead_s = 600.0
    told = await tell("jira", folder.path, await serve(jira.app()))

    assert told.code == 1
    assert "10 min ahead of" in told.failed("clock")["found"]


async def test_a_system_that_is_silent_ends_the_test_in_its_time(
    serve: Any, jira: JiraSimulator, folder: Folder
) -> None:
    """The time of the whole test is kept."""
    jira.faults.change({"hang_before_next": 99, "scope": "all"})
    told = await tell("jira", folder.path, await serve(jira.app()), within_s=1.0)

    assert told.code == 1
    assert "time" in told.failed("login")["found"]


async def test_names_and_addresses_that_cannot_be_called_are_told_before_anything_is_sent(
    folder: Folder,
) -> None:
    """A name that does not resolve, an address that is refused, a port without a listener."""
    nowhere = await tell("jira", folder.path, "https://desk.invalid")
    refused = await tell("jira", folder.path, "http://169.254.169.254")
    closed = await tell("jira", folder.path, f"http://127.0.0.1:{free_port('127.0.0.1')}")

    assert [one.code for one in (nowhere, refused, closed)] == [1, 1, 1]
    assert "does not resolve" in nowhere.failed("address")["found"]
    assert "is not called" in refused.failed("address")["found"]
    assert "refuses connections" in closed.failed("address")["found"]
    for one in (nowhere, refused, closed):
        assert one.levels()["login"] == "skip"
        assert one.levels()["credentials"] == "ok"


async def test_a_connector_that_is_not_there_is_told_with_those_that_are(folder: Folder) -> None:
    """A misspelt name is no other exit code than a failure."""
    told = await run("jirra", folder.path, "http://127.0.0.1:1")

    assert (told.code, told.text) == (1, "")
    assert 'Did you mean "jira"?' in told.errors


async def test_servicenow_is_compared_by_its_choices_and_its_dictionary(
    serve: Any, tmp_path: Path
) -> None:
    """All is well with the example; a resolution code of another instance is told; so is its page."""
    snow = SnowServer(Instance({"intops": "a-password-for-tests"}))
    found = Folder(SERVICENOW, tmp_path)
    found.secret("servicenow-user", username="intops", password="a-password-for-tests")
    url = await serve(snow.app())
    well = await tell("servicenow", found.path, url)

    def edit(raw: dict[str, Any]) -> None:
        (rule,) = [rule for rule in raw["spec"]["fields"] if rule["to"] == "close_code"]
        rule["values"]["other"] = "Closed by somebody"

    found.change("Mapping", "incident-to-servicenow", edit)
    wrong = await tell("servicenow", found.path, url)
    snow.instance.asleep = 9
    asleep = await tell("servicenow", found.path, url)

    assert (well.code, well.levels()["discovery"]) == (0, "ok"), well.text
    assert wrong.code == 1
    assert 'close_code "Closed by somebody"' in wrong.failed("discovery")["found"]
    assert asleep.code == 1
    assert "a page for people" in asleep.failed("login")["found"]


@pytest.fixture(params=[RequestTracker, HelpdeskSimulator], ids=["real", "simulated"])
def desk(request: pytest.FixtureRequest) -> Iterator[RequestTracker | HelpdeskSimulator]:
    """A desk that speaks as Request Tracker does."""
    peer = request.param()
    with peer:
        yield peer


async def test_the_custom_fields_of_a_queue_are_compared(
    desk: RequestTracker | HelpdeskSimulator, tmp_path: Path
) -> None:
    """All is well with the example; a field that is not applied to the queue is told, and a wrong token."""
    found = Folder(HELPDESK, tmp_path)
    found.secret("helpdesk-token", token=desk.token)
    well = await tell("helpdesk", found.path, desk.url)
    extra = {
        "to": "CustomFields.Floor", "from": "service",
        "meaning": "People are sent to the floor where it hurts.",
    }  # fmt: skip
    found.change("Mapping", "incident-to-helpdesk", lambda raw: raw["spec"]["fields"].append(extra))
    wrong = await tell("helpdesk", found.path, desk.url)
    found.secret("helpdesk-token", token="no-token-of-anybody")
    unknown = await tell("helpdesk", found.path, desk.url)

    assert well.code == 0, well.text
    levels = well.levels()
    assert [levels[name] for name in ("login", "rights", "discovery", "clock")] == ["ok"] * 4
    assert "sends CustomFields.Floor" in wrong.failed("discovery")["found"]
    assert "intops_key" in wrong.failed("discovery")["todo"]
    assert 'Secret "helpdesk-token"' in unknown.failed("login")["todo"]
    assert "no-token-of-anybody" not in unknown.text


async def test_states_of_a_roundup_tracker_are_compared(tmp_path: Path) -> None:
    """A real tracker: all is well with the example, and a state that it lacks is told with those that it has."""
    with Roundup() as peer:
        found = Folder(ROUNDUP, tmp_path)
        found.secret("tracker-user", username=peer.user, password=peer.password)
        found.change(
            "Connector",
            "tracker",
            lambda raw: raw["spec"]["config"].update(web=f"{peer.tracker_url}/"),
        )
        well = await tell("tracker", found.path, peer.tracker_url)

        def edit(raw: dict[str, Any]) -> None:
            (rule,) = [rule for rule in raw["spec"]["fields"] if rule["to"] == "status"]
            rule["values"]["closed"] = "closed"

        found.change("Mapping", "incident-to-tracker", edit)
        wrong = await tell("tracker", found.path, peer.tracker_url)

    assert well.code == 0, well.text
    assert well.levels()["discovery"] == "ok"
    assert 'sends status "closed"' in wrong.failed("discovery")["found"]
    assert "done-cbb" in wrong.failed("discovery")["todo"]
