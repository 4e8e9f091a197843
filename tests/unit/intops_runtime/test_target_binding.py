"""What a target makes of a new binding while it is held, and of answers that belong to the one before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from intops_runtime.core.compiled import CompiledTarget, compile_plan
from intops_runtime.core.exchanges import Facts, HttpRequest, HttpResponse
from intops_runtime.edges.outbound import TransportError
from intops_runtime.target import Target
from support.runtime.flows import alerts_to_helpdesk

SECRETS = {
    "helpdesk-token": {"token": "t", "allowedOrigins": "https://rt.example.com"},
    "another-token": {"token": "t"},
}


class Guarded:
    """A client whose guard refuses every address, as soon as it is let."""

    certificate_ends: float | None = None

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.asked = asyncio.Event()

    async def send(self, request: HttpRequest, *_: Any) -> HttpResponse:
        """See Outbound."""
        self.asked.set()
        await self.let.wait()
        raise TransportError("blocked", "169.254.169.254 is not called: it is link-local")

    async def close(self) -> None:
        """See Outbound."""


def bound_to(endpoint: str) -> CompiledTarget:
    """The desk of the first example at an endpoint."""
    return compile_plan(alerts_to_helpdesk(endpoint)).targets["helpdesk"]


def secrets(name: str | None) -> Mapping[str, str] | None:
    return SECRETS.get(name or "")


def target_at(endpoint: str, client: Guarded) -> Target:
    return Target(bound_to(endpoint), client, secrets, on_gate=lambda *_: None)


async def ask(target: Target) -> Any:
    """Use the class's cheap read."""
    probe = target.operation("probe")
    assert probe is not None
    return await target.call(probe, Facts(target.compiled.binding.config))


async def test_an_origin_that_the_secret_does_not_list_holds_before_anything_is_sent() -> None:
    """The client is not even asked."""
    client = Guarded()
    target = target_at("https://other.example.com", client)
    failure = await ask(target)

    assert (failure.error_class, failure.by_guard) == ("policyDenied", True)
    assert not client.asked.is_set()
    assert (target.gate.state, target.gate.error_class) == ("held", "policyDenied")


async def test_a_corrected_binding_lets_messages_go_on_and_the_same_one_does_not() -> None:
    """Only what is another Connector now is worth another try."""
    target = target_at("https://other.example.com", Guarded())
    await ask(target)

    target.replace(bound_to("https://other.example.com"), Guarded())
    assert target.gate.state == "held"
    target.replace(bound_to("https://rt.example.com"), Guarded())
    assert target.gate.state == "ok"


async def test_a_new_secret_lets_messages_go_on() -> None:
    """The owner of the Secret may have listed the origin."""
    target = target_at("https://other.example.com", Guarded())
    await ask(target)

    target.credential_changed()
    assert target.gate.state == "ok"


async def test_a_refusal_of_the_address_before_does_not_hold_the_one_after() -> None:
    """A request that was under way when the Connector was corrected knows nothing of the new address."""
    client = Guarded()
    target = target_at("https://rt.example.com", client)
    under_way = asyncio.create_task(ask(target))
    await client.asked.wait()

    target.replace(bound_to("https://rt.example.com:8443"), Guarded())
    client.let.set()
    assert (await under_way).error_class == "policyDenied"
    assert target.gate.state == "ok"


async def test_a_binding_that_names_another_secret_uses_that_one() -> None:
    """A plan may change the Secret of a Connector while the worker runs."""
    target = target_at("https://other.example.com", Guarded())
    await ask(target)
    moved = bound_to("https://other.example.com")
    binding = moved.binding.model_copy(update={"secret_name": "another-token"})
    client = Guarded()
    client.let.set()

    target.replace(replace(moved, binding=binding), client)
    assert "link-local" in (await ask(target)).detail
    assert client.asked.is_set()
