"""The simulated Jira shows the manners that its docstring promises, whoever asks."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiohttp import web

from support.simulators.jira_server import USER, JiraSimulator

pytestmark = pytest.mark.component

NEW: dict[str, Any] = {
    "fields": {
        "project": {"key": "OPS"}, "issuetype": {"name": "Incident"}, "summary": "db01 is down",
        "labels": ["k1"],
    },
    "properties": [{"key": "intops", "value": {"key": "k1"}}],
}  # fmt: skip


class Site:
    """The simulator behind a port, and a client that is logged in."""

    def __init__(self, jira: JiraSimulator, url: str) -> None:
        self.jira, self.url = jira, url
        login = (USER["username"], USER["password"])
        self.client = httpx.AsyncClient(base_url=f"{url}/rest/api/3", auth=login)

    async def create(self, **fields: Any) -> httpx.Response:
        """Ask for an issue with some fields changed."""
        return await self.client.post("/issue", json={**NEW, "fields": {**NEW["fields"], **fields}})


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A running site."""
    jira = JiraSimulator()
    jira.lag_s = 0.0
    runner = web.AppRunner(jira.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    running = Site(jira, f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield running
    await running.client.aclose()
    await runner.cleanup()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("status", {"name": "Resolved"}, "not on the appropriate screen"),
        ("customfield_1", "x", "not on the appropriate screen"),
        ("description", "plain text", "Atlassian Document"),
        ("summary", "two\nlines", "newline"),
        ("assignee", {"accountId": "jane"}, "accountId"),
        ("priority", {"name": "P1"}, "invalid"),
        ("labels", ["two words"], "spaces"),
        ("project", {"key": "NONE"}, "valid project"),
    ],
)
async def test_a_bad_field_is_named_in_the_map_of_errors(
    site: Site, field: str, value: Any, words: str
) -> None:
    """400, and nothing is made."""
    answer = await site.create(**{field: value})

    assert answer.status_code == 400
    assert words in answer.json()["errors"][field]
    assert site.jira.issues() == []


async def test_writes_answer_204_and_states_change_only_on_offered_ways(site: Site) -> None:
    """An id that belongs to another state is refused; the resolution is demanded where its screen is."""
    made = (await site.create()).json()
    path = f"/issue/{made['key']}"

    edited = await site.client.put(path, json={"update": {"labels": [{"add": "ours"}]}})
    assert (edited.status_code, edited.content) == (204, b"")
    refused = await site.client.post(f"{path}/transitions", json={"transition": {"id": "31"}})
    assert refused.status_code == 400
    moved = await site.client.post(f"{path}/transitions", json={"transition": {"id": "11"}})
    assert (moved.status_code, moved.content) == (204, b"")
    bare = await site.client.post(f"{path}/transitions", json={"transition": {"id": "31"}})
    assert bare.json()["errors"] == {"resolution": "resolution is required."}
    offered = (await site.client.get(f"{path}/transitions")).json()["transitions"]
    assert [way["id"] for way in offered] == ["21", "31", "42"]


async def test_a_search_lags_turns_pages_and_refuses_what_it_does_not_know(site: Site) -> None:
    """No total; the next page by its token."""
    for _ in range(3):
        await site.create()
    site.jira.lag_s = 60.0
    late = (await site.create()).json()

    jql = {"jql": 'labels = "k1" ORDER BY created ASC', "maxResults": "2"}
    first = (await site.client.get("/search/jql", params=jql)).json()
    more = {**jql, "nextPageToken": first["nextPageToken"]}
    second = (await site.client.get("/search/jql", params=more)).json()
    odd = await site.client.get("/search/jql", params={"jql": "summary ~ db01"})

    assert "total" not in first
    assert [i["key"] for i in first["issues"] + second["issues"]] == ["OPS-1", "OPS-2", "OPS-3"]
    assert second["isLast"] is True
    assert (await site.client.get(f"/issue/{late['id']}")).status_code == 200
    assert odd.status_code == 400
    assert site.jira.ledger.summary()["duplicates"]["k1"] == [10001, 10002, 10003, 10004]


async def test_what_may_not_be_seen_is_not_there(site: Site) -> None:
    """404 for reading and writing, and no search finds it."""
    made = (await site.create()).json()
    site.jira.issues()[0].hidden = True

    read = await site.client.get(f"/issue/{made['id']}")
    written = await site.client.put(f"/issue/{made['id']}", json={"fields": {}})
    found = await site.client.get("/search/jql", params={"jql": 'labels = "k1"'})

    assert (read.status_code, written.status_code) == (404, 404)
    assert found.json()["issues"] == []


async def test_what_can_be_asked_about_the_project_is_answered(site: Site) -> None:
    """Whoever sets up a Connector looks these up."""
    types = (await site.client.get("/issue/createmeta/OPS/issuetypes")).json()["issueTypes"]
    (number,) = [one["id"] for one in types if one["name"] == "Incident"]
    meta = await site.client.get(f"/issue/createmeta/OPS/issuetypes/{number}")

    assert "customfield_10050" in [field["fieldId"] for field in meta.json()["fields"]]
    assert {"name": "Highest"} in (await site.client.get("/priority")).json()
    assert "Open" in [s["name"] for s in (await site.client.get("/status")).json()]
    assert (await site.client.get("/myself")).json()["displayName"] == "intops"


async def test_webhooks_repeat_and_come_out_of_order(site: Site) -> None:
    """Twice with one identifier, the newest first, signed."""
    made = (await site.create()).json()
    await site.client.put(f"/issue/{made['id']}", json={"fields": {"summary": "db01 is up"}})
    got: list[tuple[str, str, bool]] = []

    async def hook(request: web.Request) -> web.Response:
        body = await request.read()
        digest = hmac.new(site.jira.webhook_secret.encode(), body, hashlib.sha256).hexdigest()
        signed = request.headers["X-Hub-Signature"] == f"sha256={digest}"
        name = json.loads(body)["webhookEvent"]
        got.append((request.headers["X-Atlassian-Webhook-Identifier"], name, signed))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hook)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await site.jira.send_webhooks(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    await runner.cleanup()

    assert [name for _, name, _ in got] == ["jira:issue_updated"] * 2 + ["jira:issue_created"] * 2
    assert len({identifier for identifier, _, _ in got}) == 2
    assert all(signed for _, _, signed in got)
