"""The simulated Zabbix answers as documented; the class's operations work on it; the script posts what it posts."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from intops_runtime.core.addresses import AddressPolicy
from intops_runtime.core.classifying import Failure
from intops_runtime.core.compiled import compile_plan
from intops_runtime.core.exchanges import Facts
from intops_runtime.edges.outbound import PooledOutbound
from intops_runtime.target import Answer, Target
from support.simulators.zabbix_flow import EXAMPLE, zabbix_to_helpdesk
from support.simulators.zabbix_media import macros, parameters, posted
from support.simulators.zabbix_server import TOKEN, ZabbixSimulator
from support.simulators.zabbix_store import MESSAGE, Problem, Update

pytestmark = pytest.mark.component

Do = Callable[..., Awaitable[Answer | Failure]]


@pytest.fixture
async def zabbix() -> AsyncIterator[ZabbixSimulator]:
    """One installation with nothing in it."""
    async with ZabbixSimulator() as running:
        yield running


@pytest.fixture
async def do(zabbix: ZabbixSimulator) -> AsyncIterator[Do]:
    """Sends an operation of the class as a worker does."""
    compiled = compile_plan(zabbix_to_helpdesk(zabbix.url, "http://127.0.0.1:1"))
    system = compiled.polls["zabbix"].system
    client = PooledOutbound(AddressPolicy(allow_loopback=True), concurrency=2)
    target = Target(system, client, lambda _: {"apiToken": zabbix.token}, on_gate=lambda *_: None)

    async def sent(name: str, problem: Problem, text: str = "") -> Answer | Failure:
        operation = target.operation(name)
        assert operation is not None
        facts = Facts(system.binding.config, link={"nativeId": str(problem.eventid)}, text=text)
        return await target.call(operation, facts)

    yield sent
    await target.close()


def a_problem(zabbix: ZabbixSimulator, **more: Any) -> Problem:
    """A problem of a host that has two names."""
    host = zabbix.store.add_host("db-pay-01.example.com", "db-pay-01")
    given = {"tags": [{"tag": "service", "value": 'pay"ments'}], "opdata": "71 °C", **more}
    return zabbix.store.fire(zabbix.store.add_trigger("Too hot", host, **given), 1795465419)


async def rpc(zabbix: ZabbixSimulator, method: str, params: Any, **headers: str) -> dict[str, Any]:
    """The answer to one call."""
    call = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    given = {"Authorization": f"Bearer {TOKEN}", **headers}
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{zabbix.url}/api_jsonrpc.php", json=call, headers=given)
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    assert told["id"] == 7
    return told


async def test_every_error_comes_with_200(zabbix: ZabbixSimulator) -> None:
    """Wrong token, wrong method, wrong parameter."""
    codes = [
        (await rpc(zabbix, method, params, **headers))["error"]["code"]
        for method, params, headers in (
            ("problem.get", {}, {"Authorization": "Bearer other"}),
            ("problem.got", {}, {}),
            ("problems.get", {}, {}),
            ("problem.get", {"selectHosts": "extend"}, {}),
            ("problem.get", {"severities": [7]}, {}),
            ("apiinfo.version", {}, {}),
        )
    ]

    assert codes == [-32602, -32601, -32601, -32602, -32602, -32602]


async def test_numbers_are_texts_and_an_empty_map_is_a_list(zabbix: ZabbixSimulator) -> None:
    """As PHP writes them."""
    problem = a_problem(zabbix)

    (told,) = (await rpc(zabbix, "problem.get", {}))["result"]
    assert (told["eventid"], told["severity"], told["clock"]) == (
        str(problem.eventid), "3", "1795465419",
    )  # fmt: skip
    asked = {"triggerids": ["1"], "preservekeys": True}
    assert (await rpc(zabbix, "trigger.get", asked))["result"] == []


async def test_a_problem_is_acknowledged_with_a_message(zabbix: ZabbixSimulator, do: Do) -> None:
    """Done once: the second time only the message is added."""
    problem = a_problem(zabbix)

    assert isinstance(await do("acknowledge", problem, "Ticket 4711."), Answer)
    assert isinstance(await do("acknowledge", problem, "Ticket 4711 is taken."), Answer)

    assert problem.acknowledged
    assert [(one.action, one.message) for one in problem.updates] == [
        (6, "Ticket 4711."), (4, "Ticket 4711 is taken."),
    ]  # fmt: skip
    assert len(zabbix.ledger.entries) == 2


async def test_a_message_is_added(zabbix: ZabbixSimulator, do: Do) -> None:
    """Nothing else changes."""
    problem = a_problem(zabbix)

    assert isinstance(await do("comment", problem, "Ticket 4711."), Answer)

    assert not problem.acknowledged
    assert [one.words for one in problem.updates] == ["commented"]


async def test_a_close_takes_effect_later(zabbix: ZabbixSimulator, do: Do) -> None:
    """The API has taken it; the server does it."""
    problem = a_problem(zabbix, manual_close=True)

    assert isinstance(await do("close", problem, "Resolved."), Answer)
    assert problem.r_eventid == 0
    assert zabbix.store.close_what_is_closing(1795465540) == [problem]
    assert problem.r_eventid > problem.eventid


@pytest.mark.parametrize("operation", ["close", "acknowledge"])
async def test_what_may_not_be_done_is_told(
    zabbix: ZabbixSimulator, do: Do, operation: str
) -> None:
    """A trigger that allows no close; an event that the user may not see."""
    problem = a_problem(zabbix)
    if operation == "acknowledge":
        zabbix.api.role.hidden_hosts = {host.hostid for host in problem.trigger.hosts}

    failure = await do(operation, problem, "Resolved.")

    assert isinstance(failure, Failure)
    classes = {"close": "forbidden", "acknowledge": "notFound"}
    assert failure.error_class == classes[operation]
    assert problem.updates == []


async def test_an_answer_that_is_lost_is_no_answer(zabbix: ZabbixSimulator, do: Do) -> None:
    """Done, and nobody was told: the product says that it does not know."""
    problem = a_problem(zabbix)
    zabbix.faults.change({"reset_after_next": 1})

    failure = await do("comment", problem, "Ticket 4711.")

    assert isinstance(failure, Failure)
    assert failure.effect_unknown
    assert len(problem.updates) == 1
    assert [entry.outcome for entry in zabbix.ledger.entries] == ["reset_after"]


# What the engine of Zabbix gives a script: its parameters as JSON, a log, and requests. What is posted is printed.
_AROUND = """
var value = __PARAMETERS__;
var Zabbix = { log: function () {} };
function HttpRequest() { this.headers = []; }
HttpRequest.prototype.addHeader = function (header) { this.headers.push(header); };
HttpRequest.prototype.post = function (url, body) {
    print(JSON.stringify({ url: url, headers: this.headers, body: JSON.parse(body) }));
};
HttpRequest.prototype.getStatus = function () { return __STATUS__; };
try { print(JSON.stringify({ returned: (function () { __SCRIPT__ })() })); }
catch (error) { print(JSON.stringify({ thrown: String(error) })); }
"""


def run_script(folder: Path, given: dict[str, str], status: int = 200) -> list[dict[str, Any]]:
    """What the media type's script does with these parameters: what it posts, and how it ends."""
    program = (
        _AROUND.replace("__PARAMETERS__", json.dumps(json.dumps(given)))
        .replace("__STATUS__", str(status))
        .replace("__SCRIPT__", (EXAMPLE / "media-type.js").read_text(encoding="utf-8"))
    )
    file = folder / "script.js"
    file.write_text(program, encoding="utf-8")
    done = subprocess.run(
        ["duk", str(file)], capture_output=True, text=True, check=True, timeout=30.0
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def told(problem: Problem, kind: str) -> dict[str, str]:
    """Macro → value of one webhook."""
    update = Update(1795465480, MESSAGE, 'I "look" at it.', "Admin") if kind == "update" else None
    if kind == "recovery":
        problem.r_eventid, problem.r_clock = 882, 1795465540
    return macros(problem, kind == "recovery", update, "https://zabbix.example.com")


@pytest.mark.peers
@pytest.mark.parametrize("kind", ["problem", "update", "recovery"])
@pytest.mark.parametrize(
    "unfilled", [set(), {"{EVENT.TIMESTAMP}", "{HOST.NAME}", "{EVENT.TAGSJSON}", "{$ZABBIX.URL}"}]
)
async def test_the_script_posts_what_the_simulator_posts(
    zabbix: ZabbixSimulator, kind: str, unfilled: set[str], tmp_path: Path
) -> None:
    """In Duktape, which is the engine of Zabbix: what other tests send is what the script sends."""
    known = told(a_problem(zabbix), kind)
    given = parameters({name: value for name, value in known.items() if name not in unfilled})
    reach = {"url": "https://intops.example.com/in/itsm/zabbix", "token": "a-token"}

    sent, ended = await asyncio.to_thread(run_script, tmp_path, {**given, **reach})

    assert sent["url"] == reach["url"]
    assert "Authorization: Bearer a-token" in sent["headers"]
    assert sent["body"] == posted(given)
    assert ended == {"returned": "{}"}


@pytest.mark.peers
@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"url": "intops.example.com"}, 200, 'parameter "url"'),
        ({"token": "{$TOKEN}"}, 200, "the token of the Connector"),
        ({"event_id": "{EVENT.ID}"}, 200, "to test, fill in what the macros would give"),
        ({"event_source": "3"}, 200, "only actions of triggers"),
        ({}, 503, "intops answered 503"),
    ],
)
async def test_the_script_throws_where_zabbix_must_try_again_or_say_what_is_wrong(
    zabbix: ZabbixSimulator, changes: dict[str, str], status: int, words: str, tmp_path: Path
) -> None:
    """What it throws stands in Zabbix's list of actions; the token does not."""
    given = parameters(told(a_problem(zabbix), "problem"))
    reach = {"url": "https://intops.example.com/in/itsm/zabbix", "token": "a-secret-token"}

    *_, ended = await asyncio.to_thread(run_script, tmp_path, {**given, **reach, **changes}, status)

    assert words in ended["thrown"]
    assert "a-secret-token" not in ended["thrown"]
