"""The simulated PagerDuty shows the manners that its docstring promises, whoever asks."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiohttp import web

from support.simulators.pagerduty_server import KEY, PagerDutySimulator

pytestmark = pytest.mark.component

NEW: dict[str, Any] = {
    "type": "incident", "title": "db01 is down", "incident_key": "k1",
    "service": {"id": "PIJ90N7", "type": "service_reference"},
}  # fmt: skip


class Account:
    """The simulator behind a port, and a client with a good key."""

    def __init__(self, duty: PagerDutySimulator, url: str) -> None:
        self.duty, self.url = duty, url
        headers = {"Authorization": f"Token token={KEY}", "From": "intops@example.com"}
        self.client = httpx.AsyncClient(base_url=url, headers=headers)

    async def create(self, **fields: Any) -> httpx.Response:
        """Ask for an incident with some fields changed."""
        return await self.client.post("/incidents", json={"incident": {**NEW, **fields}})


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    """A running account."""
    duty = PagerDutySimulator()
    duty.lag_s = 0.0
    runner = web.AppRunner(duty.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    running = Account(duty, f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield running
    await running.client.aclose()
    await runner.cleanup()


async def test_a_key_is_unique_among_open_incidents_of_a_service(account: Account) -> None:
    """400 with code 2002 for a twin; another service, or a resolved first one, takes it."""
    made = (await account.create()).json()["incident"]
    twin = await account.create()
    elsewhere = await account.create(service={"id": "PF9KMXH", "type": "service_reference"})
    path = f"/incidents/{made['id']}"
    await account.client.put(path, json={"incident": {"type": "incident", "status": "resolved"}})
    again = await account.create()

    assert (twin.status_code, twin.json()["error"]["code"]) == (400, 2002)
    assert "matching dedup key already exists" in twin.json()["error"]["errors"][0]
    assert (elsewhere.status_code, again.status_code) == (201, 201)
    assert len({one.id for one in account.duty.incidents()}) == 3


async def test_a_resolved_incident_takes_no_change(account: Account) -> None:
    """200 and the incident as it was; with `strict` 400 and code 1001."""
    made = (await account.create()).json()["incident"]
    path = f"/incidents/{made['id']}"
    await account.client.put(path, json={"incident": {"status": "resolved"}})
    asked = {"incident": {"status": "acknowledged", "title": "Again"}}

    quiet = await account.client.put(path, json=asked)
    account.duty.store.strict = True
    strict = await account.client.put(path, json=asked)

    assert quiet.status_code == 200
    assert (quiet.json()["incident"]["status"], quiet.json()["incident"]["title"]) == (
        "resolved", "db01 is down",
    )  # fmt: skip
    assert (strict.status_code, strict.json()["error"]["code"]) == (400, 1001)


async def test_a_write_says_who_asks(account: Account) -> None:
    """A wrong key is 401, a key that only reads 403, nobody and a stranger 400."""
    async with httpx.AsyncClient(base_url=account.url) as client:
        nobody = {"Authorization": f"Token token={KEY}"}
        wrong = await client.get("/incidents", headers={"Authorization": "Token token=x"})
        unsaid = await client.post("/incidents", json={"incident": NEW}, headers=nobody)
        stranger = {**nobody, "From": "nobody@example.com"}
        unknown = await client.post("/incidents", json={"incident": NEW}, headers=stranger)
    account.duty.read_only = True
    forbidden = await account.create()

    answers = [wrong, unsaid, unknown, forbidden]
    assert [one.status_code for one in answers] == [401, 400, 400, 403]
    assert "Requester User Not Found" in unknown.json()["error"]["errors"]
    assert account.duty.incidents() == []


async def test_lists_turn_pages_and_hold_one_month(account: Account) -> None:
    """`more` says whether there is another page; what is older is only shown where all is asked for."""
    for number in range(3):
        account.duty.store.add("PIJ90N7", "k1", f"old {number}", now=1.0)
    asked = {"incident_key": "k1", "limit": "2", "date_range": "all", "sort_by": "created_at:desc"}

    first = (await account.client.get("/incidents", params=asked)).json()
    second = (await account.client.get("/incidents", params={**asked, "offset": "2"})).json()
    month = (await account.client.get("/incidents", params={"incident_key": "k1"})).json()

    assert [i["title"] for i in first["incidents"]] == ["old 2", "old 1"]
    assert (first["more"], second["more"], len(second["incidents"])) == (True, False, 1)
    assert month["incidents"] == []


async def test_the_limit_is_told_with_every_answer(account: Account) -> None:
    """And once it is reached, with 429 and code 2020; then the next window begins."""
    account.duty.left = 1

    good = await account.client.get("/priorities")
    over = await account.client.get("/priorities")
    later = await account.client.get("/priorities")

    assert good.headers["ratelimit-remaining"] == "0"
    assert (over.status_code, over.json()["error"]["code"]) == (429, 2020)
    assert over.headers["ratelimit-reset"] == "1"
    assert later.status_code == 200


async def test_events_are_accepted_whatever_comes_of_them(account: Account) -> None:
    """202 for the end of what is not open; a second trigger makes nothing; a wrong one is 400 with sentences."""
    event: dict[str, Any] = {
        "routing_key": "a-routing-key-of-32-characters00", "event_action": "trigger",
        "dedup_key": "k1", "payload": {"summary": "s", "source": "db01", "severity": "critical"},
    }  # fmt: skip
    client = account.client

    lost = await client.post("/v2/enqueue", json={**event, "event_action": "resolve"})
    for _ in range(2):
        made = await client.post("/v2/enqueue", json=event)
    wrong = await client.post("/v2/enqueue", json={**event, "routing_key": "x", "payload": {}})

    assert (lost.status_code, made.status_code, made.json()["dedup_key"]) == (202, 202, "k1")
    assert len(account.duty.incidents()) == 1
    assert (wrong.status_code, wrong.json()["status"]) == (400, "invalid event")
    assert len(wrong.json()["errors"]) == 4


async def test_webhooks_repeat_come_out_of_order_and_are_signed_with_each_secret(
    account: Account,
) -> None:
    """Twice with one id, the newest first."""
    made = (await account.create()).json()["incident"]
    await account.client.put(f"/incidents/{made['id']}", json={"incident": {"status": "resolved"}})
    account.duty.secrets = ["one", "two"]
    got: list[tuple[str, str, bool]] = []

    async def hook(request: web.Request) -> web.Response:
        body = await request.read()
        digests = [
            "v1=" + hmac.new(s.encode(), body, hashlib.sha256).hexdigest() for s in ("one", "two")
        ]
        signed = request.headers["X-PagerDuty-Signature"] == ",".join(digests)
        event = json.loads(body)["event"]
        got.append((request.headers["X-Webhook-Id"], event["event_type"], signed))
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/", hook)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await account.duty.send_webhooks(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    await runner.cleanup()

    assert [name for _, name, _ in got] == ["incident.resolved"] * 2 + ["incident.triggered"] * 2
    assert len({id_ for id_, _, _ in got}) == 2
    assert all(signed for _, _, signed in got)
