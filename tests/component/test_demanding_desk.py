"""A desk with a constraint of its own, records that move, and tokens that end: what the worker makes of each.

The desk is the register of tests/support: it refuses a second record of a key although its search lags,
merges records, and hands out access tokens (OAuth 2, client credentials).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from support.peers.process import wait_until
from support.runtime.bench import Bench, bench_with
from support.runtime.flows import EXAMPLE
from support.simulators.register import CLIENT, Register, plan_for

pytestmark = pytest.mark.component

FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))
RESOLVED = json.loads((EXAMPLE / "samples" / "02-resolved.json").read_text(encoding="utf-8"))


@dataclass(slots=True)
class RegisterBench(Bench):
    """A bench whose desk is the register."""

    register: Register


@pytest.fixture
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[RegisterBench]:
    """Everything running; the parameter, if any, is the Flow's `spec.errors`."""
    register = Register()
    errors = getattr(request, "param", {})
    async with bench_with(
        register.app(), lambda port: plan_for(port, errors), desk_secret=CLIENT
    ) as running:
        yield RegisterBench(running.worker, running.plan, running.console, register)


def one(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The only message."""
    (message,) = messages
    return message


async def told(bench: RegisterBench) -> dict[str, Any]:
    """The only message, with its attempts."""
    return one(await asyncio.to_thread(bench.messages))


def later(body: dict[str, Any]) -> dict[str, Any]:
    """The same alert, begun after the store was made: nobody else can have a record of it."""
    alert = {**body["alerts"][0], "startsAt": "2090-01-01T00:00:00Z"}
    return {**body, "alerts": [alert]}


async def test_one_token_serves_all_requests(bench: RegisterBench) -> None:
    """S-31: It is fetched before the first request and by one request for all who wait for it."""
    alerts = [{**FIRING["alerts"][0], "fingerprint": f"f{n}"} for n in range(20)]

    await bench.deliver({**FIRING, "alerts": alerts})

    assert len(bench.register.cases) == 20
    assert bench.register.tokens_given == 1
    assert "POST token" in bench.register.requests[0]


async def test_a_token_that_ends_early_is_fetched_anew_and_no_message_notices(
    bench: RegisterBench,
) -> None:
    """authExpired: one renewal, the same request once more."""
    await bench.deliver(FIRING)
    bench.register.live_tokens.clear()

    await bench.deliver(RESOLVED)

    assert one(list(bench.register.cases.values()))["state"] == "resolved"
    assert bench.register.tokens_given == 2
    messages = await asyncio.to_thread(bench.messages)
    assert [m["tries"] for m in messages] == [0, 0]


async def test_a_token_is_renewed_before_it_ends(bench: RegisterBench) -> None:
    """At 80 % of its life, so that no request is refused."""
    bench.register.token_life_s = 2
    await bench.restart()
    given, refused = bench.register.tokens_given, bench.register.refused

    for number in range(1000):
        alert = {**FIRING["alerts"][0], "fingerprint": f"f{number}"}
        await bench.deliver({**FIRING, "alerts": [alert]})
        if bench.register.tokens_given >= given + 3:
            break

    assert bench.register.tokens_given >= given + 3
    assert bench.register.refused == refused


async def test_a_client_that_is_refused_a_token_holds_its_connector(bench: RegisterBench) -> None:
    """S-30, S-31: authDenied: nothing is sent any more, the words name the error, no secret is shown."""
    bench.register.token_answer = (401, {"error": "invalid_client"})
    bench.register.live_tokens.clear()
    await bench.restart()

    await bench.post(FIRING)
    await asyncio.to_thread(
        wait_until, lambda: bench.worker.report().store.held == 1, what="the message is held"
    )
    (connector,) = [c for c in bench.worker.report().connectors if c.role == "target"]
    assert (connector.state, connector.error_class) == ("held", "authDenied")
    assert connector.detail == "token endpoint: HTTP 401 invalid_client"
    asked = len(bench.register.requests)
    assert CLIENT["clientSecret"] not in bench.worker.log_file.read_text(encoding="utf-8")

    bench.register.token_answer = None
    bench.worker.write_secret("helpdesk-token", {**CLIENT, "clientSecret": "another-secret"})
    await asyncio.to_thread(bench.worker.wait_drained)
    assert len(bench.register.cases) == 1
    assert asked < len(bench.register.requests)


async def test_a_record_that_the_desk_calls_a_duplicate_is_adopted(bench: RegisterBench) -> None:
    """duplicate: looked up by our key once its search has caught up, linked, never a second one."""
    await bench.deliver(FIRING)
    key = one(list(bench.register.cases.values()))["key"]
    bench.register.cases.clear()
    bench.register.add({"key": key.replace(key[-4:], "zzzz"), "title": "somebody else's"})

    await bench.deliver(
        later({**FIRING, "alerts": [{**FIRING["alerts"][0], "fingerprint": "dup"}]})
    )
    ours = [c for c in bench.register.cases.values() if c["title"] != "somebody else's"]
    assert len(ours) == 1
    # A store that was lost: another worker knows nothing of the case.
    again = {**FIRING["alerts"][0], "fingerprint": "dup", "startsAt": "2090-01-01T00:00:00Z"}
    bench.register.search_lag = 1
    bench.worker.terminate()
    for file in (bench.worker.root / "data").rglob("store.sqlite*"):
        file.unlink()
    await bench.restart()
    await bench.deliver({**FIRING, "alerts": [again]})

    assert len(bench.register.cases) == 2
    message = await told(bench)
    assert (message["state"], message["reason"], message["tries"]) == ("done", "adopted", 1)


async def test_a_record_that_moved_is_found_again_by_our_key(bench: RegisterBench) -> None:
    """notFound: a merge or a restore gave it another number; the link follows."""
    await bench.deliver(FIRING)
    case = bench.register.cases.pop("C1")
    bench.register.cases["C77"] = {**case, "id": "C77"}

    await bench.deliver(RESOLVED)

    assert bench.register.cases["C77"]["state"] == "resolved"


async def test_a_record_that_is_gone_goes_to_a_person(bench: RegisterBench) -> None:
    """notFound: no twin is made."""
    await bench.deliver(FIRING)
    bench.register.cases.clear()

    await bench.deliver(RESOLVED)

    last = (await asyncio.to_thread(bench.messages))[-1]
    assert (last["state"], last["errorClass"]) == ("review", "notFound")
    assert bench.register.cases == {}


@pytest.mark.parametrize("bench", [{"validation": {"strategy": "drop"}}], indirect=True)
async def test_what_the_flow_drops_is_counted_and_told(bench: RegisterBench) -> None:
    """A policy may say that nobody needs to see a refusal; the trace still has it."""
    bench.register.answers = [(422, {"code": "no"}, {})]

    await bench.deliver(FIRING)

    message = await told(bench)
    assert (message["state"], message["reason"]) == ("dropped", "validation")
    assert bench.worker.report().store.dropped == {"validation": 1}
    assert bench.worker.report().store.imbalance == 0


@pytest.mark.parametrize(
    "bench", [{"expired": {"strategy": "drop", "maxAge": "1s"}}], indirect=True
)
async def test_a_message_that_waited_too_long_expires(bench: RegisterBench) -> None:
    """expired: only where the Flow says so, and only if nothing was sent for it."""
    bench.register.answers = [(429, {}, {"Retry-After": "2"})]
    old = {**FIRING["alerts"][0], "fingerprint": "old"}
    await bench.deliver({**FIRING, "alerts": [old]})

    message = await told(bench)
    assert (message["state"], message["reason"]) == ("dropped", "expired")
    assert bench.register.cases == {}


async def test_a_limit_in_another_dialect_is_kept(bench: RegisterBench) -> None:
    """rateLimited: no Retry-After, but the seconds until the window ends."""
    bench.register.answers = [(429, {}, {"RateLimit-Reset": "1"})]

    await bench.deliver(FIRING)

    message = await told(bench)
    assert message["state"] == "done"
    assert [a["errorClass"] for a in message["attempts"]] == ["rateLimited", None]
    assert message["tries"] == 0
