"""A Secret that its owner has bound to other hosts: nothing is sent, messages wait, and mending it is enough."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from intops_api.conditions import ConditionType
from support.runtime.stage import Stage, register_behind_proxy, stage_for
from support.simulators.register import CLIENT, plan_for

pytestmark = pytest.mark.component

ELSEWHERE = "https://desk.example.com"


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A worker that delivers to the register."""
    async with register_behind_proxy() as (register, proxy):
        plan = plan_for(proxy.url, {})
        async with stage_for(plan, register, proxy) as running:
            yield running


async def bound_elsewhere(stage: Stage) -> None:
    """The owner of the Secret says that it is for another host only; the status tells it."""
    stage.worker.terminate()
    stage.worker.write_secret("helpdesk-token", {**CLIENT, "allowedOrigins": ELSEWHERE})
    await stage.start()
    await stage.fire("a")
    said = await stage.watch.condition(ConditionType.CREDENTIALS_VALID, "False")
    report, judged = await stage.watch.look()
    assert judged.ready.reason == "OriginNotAllowed"
    assert 'allowedOrigins of Secret "helpdesk-token" does not list' in said.words
    assert 'goes on when Connector "helpdesk" or Secret "helpdesk-token" is mended' in said.words
    (target,) = [one for one in report.connectors if one.role == "target"]
    assert (target.connector, target.state, target.error_class) == (
        "helpdesk", "held", "policyDenied",
    )  # fmt: skip


async def test_a_secret_for_another_origin_holds_the_connector_until_the_secret_lists_it(
    stage: Stage,
) -> None:
    """S-29: Not one request is made with it, no message goes to a person, and no restart is needed."""
    await bound_elsewhere(stage)
    pid = stage.worker.pid
    await stage.comes_to("a", "held")
    asked = len(stage.register.requests)
    await stage.others_wait("held")
    assert (len(stage.register.requests), stage.register.writes) == (asked, 0)

    both = f"{ELSEWHERE}, {stage.proxy.url}"
    stage.worker.write_secret("helpdesk-token", {**CLIENT, "allowedOrigins": both})
    await stage.watch.condition(ConditionType.CREDENTIALS_VALID, "True")
    await stage.comes_to("a", "done")
    await stage.comes_to("other", "done")
    assert stage.worker.pid == pid


async def test_a_connector_that_names_another_secret_goes_on_with_that_one(stage: Stage) -> None:
    """The plan changes, the worker runs on; the Secret that is bound elsewhere stays as it is."""
    await bound_elsewhere(stage)
    await stage.comes_to("a", "held")

    stage.worker.write_secret("another-token", CLIENT)
    bindings = [
        one.model_copy(update={"secret_name": "another-token", "secret_dir": "another-token"})
        if one.role == "target"
        else one
        for one in stage.plan.bindings
    ]
    stage.switch(stage.plan.model_copy(update={"bindings": bindings, "hash": "1" * 16}))
    await stage.watch.condition(ConditionType.CREDENTIALS_VALID, "True")
    await stage.comes_to("a", "done")


async def test_a_plan_that_leaves_the_connector_as_it_was_leaves_it_held(stage: Stage) -> None:
    """S-29: Its status says so without a gap, and nothing is sent."""
    await bound_elsewhere(stage)
    asked = len(stage.register.requests)
    (since,) = await held_since(stage)

    stage.switch(stage.plan.model_copy(update={"hash": "2" * 16}))
    await stage.watch.until(
        lambda report, _: "" if report.active == "2" * 16 else None, "the plan is taken"
    )
    assert await held_since(stage) == [since]
    await stage.others_wait("held")
    assert await held_since(stage) == [since]
    assert len(stage.register.requests) == asked


async def held_since(stage: Stage) -> list[str | None]:
    """Since when each system is held."""
    report, _ = await stage.watch.look()
    return [one.since for one in report.connectors if one.state == "held"]
