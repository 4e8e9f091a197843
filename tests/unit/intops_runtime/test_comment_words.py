"""What a system says when it refuses a comment: people see it, without the personal data that it quotes."""

from __future__ import annotations

from typing import Any

from intops_api.plan import FlowPlan
from intops_runtime.core.classifying import Failure
from intops_runtime.core.compiled import CompiledPlan, compile_plan
from intops_runtime.core.exchanges import HttpRequest, HttpResponse
from intops_runtime.core.hiding import MASK
from intops_runtime.core.messages import Link, Message, State
from intops_runtime.lane import comment_facts
from intops_runtime.target import Target
from support.runtime.flows import alerts_to_helpdesk

ENDED = "2026-03-01T10:00:00Z"


class Refusing:
    """A client of a system that refuses everything and quotes it."""

    certificate_ends: float | None = None

    async def send(self, request: HttpRequest, *_: Any) -> HttpResponse:
        """See Outbound."""
        return HttpResponse(422, {}, {"message": f"unwanted: {request.body}"})

    async def close(self) -> None:
        """See Outbound."""


def plan_with_personal(name: str) -> CompiledPlan:
    """The first example, one field of whose event is somebody's."""
    raw = alerts_to_helpdesk("https://rt.example.com").to_wire()
    for model in raw["blobs"]["models"].values():
        if name in model["spec"]["fields"]:
            model["spec"]["fields"][name]["personal"] = True
    return compile_plan(FlowPlan.model_validate(raw))


async def test_a_refused_comment_is_told_without_the_personal_data_that_its_text_was_made_from() -> (
    None
):
    """A comment has no record of its own: what is personal in it comes from the message."""
    plan = plan_with_personal("endsAt")
    compiled = plan.targets["helpdesk"]
    target = Target(compiled, Refusing(), lambda _: {"token": "t"}, on_gate=lambda *_: None)
    operation = target.operation("comment")
    assert operation is not None
    message = Message(
        1, 1, 0, "alerts", "k", 1, State.SENDING, "mapped", "", 0.0, 0, "hash", {"endsAt": ENDED}, 0.0
    )  # fmt: skip
    link = Link("k", "helpdesk", "helpdesk", "ticket", "7")
    facts = comment_facts(plan, compiled, message, link, f"The alert recovered at {ENDED}.")

    refused = await target.call(operation, facts)

    assert isinstance(refused, Failure)
    assert f"recovered at {MASK}" in refused.detail
    assert ENDED not in refused.detail
