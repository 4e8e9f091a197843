"""Enrichers: what another system knows is in the incident from the start, or is added when it answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from intops_api.conditions import ConditionType
from support.peers.process import wait_until
from support.runtime.stage import FIRING, RESOLVED, Stage, register_behind_proxy, stage_for
from support.simulators.inventory import Inventory, on_db01, plan_with_inventory, serving

pytestmark = pytest.mark.component


@dataclass(slots=True)
class Enriched:
    """A stage with the inventory beside it."""

    stage: Stage
    inventory: Inventory

    def case(self, title: str) -> dict[str, Any]:
        """The only case of a title."""
        (found,) = [c for c in self.stage.register.cases.values() if c["title"] == title]
        return found

    async def becomes(self, what: Callable[[], bool], words: str, timeout_s: float = 60.0) -> None:
        """Wait until something is so."""
        await asyncio.to_thread(wait_until, what, what=words, timeout_s=timeout_s)

    async def completed(self, count: int) -> None:
        """Wait until so many messages have been completed; nothing is lost or double by that."""
        before = len(self.stage.register.cases)

        def done() -> bool:
            told = self.stage.worker.report()
            (asked,) = told.enrichments
            return told.store.done == before + count and asked.incomplete == 0

        await self.becomes(done, f"{count} completed", 120)
        assert len(self.stage.register.cases) == before
        assert self.stage.worker.report().store.imbalance == 0


@asynccontextmanager
async def enriched(errors: dict[str, Any] | None = None, **binding: Any) -> AsyncIterator[Enriched]:
    """A worker that asks the inventory about each alert."""
    async with serving() as inventory, register_behind_proxy() as (register, proxy):
        plan = plan_with_inventory(proxy.url, inventory.url, errors, binding=binding)
        async with stage_for(plan, register, proxy) as stage:
            yield Enriched(stage, inventory)


FIRES, RECOVERS = on_db01(FIRING), on_db01(RESOLVED)


async def test_what_the_inventory_knows_decides_impact_and_team() -> None:
    """The look-up comes before classification and routing, so both see it."""
    async with enriched() as run:
        await run.stage.fire("a", FIRES)
        await run.stage.comes_to("a", "done")
        case = run.case("a")
        assert (case["service"], case["impact"], case["team"]) == (
            "payments",
            "medium",
            "Payments-L2",
        )
        assert case["context"] == "complete"


@pytest.mark.parametrize("items", [[], [{"name": "db01", "tier": 1}, {"name": "db01", "tier": 3}]])
async def test_nothing_is_guessed_where_none_or_several_fit(items: list[dict[str, Any]]) -> None:
    """The inventory answered: there is nothing to wait for."""
    async with enriched() as run:
        run.inventory.items = items
        await run.stage.fire("a", FIRES)
        await run.stage.comes_to("a", "done")
        assert (run.case("a")["context"], run.case("a")["team"]) == ("complete", "Service-Desk")
        (asked,) = run.stage.worker.report().enrichments
        assert (asked.missing, asked.hit, asked.incomplete) == (1, 0, 0)


async def test_an_outage_of_the_inventory_delays_no_incident_and_is_made_up_for() -> None:
    """Made without it, Ready all the while, and completed in place; the team that has it keeps it."""
    async with enriched() as run:
        run.inventory.status = 503
        for name in ("a", "b", "c"):
            await run.stage.fire(name, FIRES)
            await run.stage.comes_to(name, "done")
        assert [run.case(n)["context"] for n in "abc"] == ["partial"] * 3
        said = await run.stage.watch.condition(ConditionType.READY, "True")
        assert 'Without what "ci" knows, which does not answer' in said.words
        run.inventory.status = 200
        await run.completed(3)
        for name in "abc":
            case = run.case(name)
            assert (case["context"], case["service"], case["impact"]) == (
                "complete", "payments", "medium",
            )  # fmt: skip
            assert case["team"] == "Service-Desk"
        said = await run.stage.watch.condition(ConditionType.READY, "True")
        assert '"ci"' not in said.words


async def test_a_slow_inventory_costs_an_incident_its_timeout_at_most() -> None:
    """The binding says how long; the incident is not later than that."""
    async with enriched(timeout="500ms") as run:
        run.inventory.hang_s = 30.0
        began = time.monotonic()
        await run.stage.fire("a", FIRES)
        message = await run.stage.comes_to("a", "done")
        assert time.monotonic() - began < 10.0
        assert run.case("a")["context"] == "partial"
        assert message["tries"] == 0


async def test_what_was_asked_a_moment_ago_is_not_asked_again() -> None:
    """A storm of alerts of one host is one look-up."""
    async with enriched() as run:
        await asyncio.gather(*(run.stage.fire(f"a{number}", FIRES) for number in range(20)))
        await asyncio.to_thread(run.stage.worker.wait_drained)
        assert run.inventory.asked == ["db01"]
        assert {case["service"] for case in run.stage.register.cases.values()} == {"payments"}


async def test_an_old_answer_stands_in_while_the_inventory_is_away() -> None:
    """The cache has run out, the system does not answer: what it said last is better than nothing."""
    async with enriched(cache="1s") as run:
        await run.stage.fire("a", FIRES)
        await run.stage.comes_to("a", "done")
        run.inventory.status = 500
        old_at = time.monotonic() + 1.5
        await run.becomes(lambda: time.monotonic() > old_at, "the answer is old")
        await run.stage.fire("b", FIRES)
        await run.stage.comes_to("b", "done")
        assert (run.case("b")["service"], run.case("b")["context"]) == ("payments", "complete")
        (asked,) = run.stage.worker.report().enrichments
        assert (asked.stale, asked.error) == (1, 0)


async def test_a_recovery_is_not_kept_waiting_and_completion_reopens_nothing() -> None:
    """The outbreak ends before the inventory is back: the case is resolved, then completed, and stays resolved."""
    async with enriched() as run:
        run.inventory.status = 503
        await run.stage.fire("a", FIRES)
        await run.stage.comes_to("a", "done")
        await run.stage.fire("a", RECOVERS)
        await run.becomes(lambda: run.case("a")["state"] == "resolved", "the case is resolved")
        run.inventory.status = 200
        await run.becomes(lambda: run.case("a")["context"] == "complete", "completed", 120)
        assert (run.case("a")["state"], run.case("a")["service"]) == ("resolved", "payments")


async def test_what_is_to_be_completed_is_remembered_over_a_death() -> None:
    """The worker is killed while the inventory is away."""
    async with enriched() as run:
        run.inventory.status = 503
        await run.stage.fire("a", FIRES)
        await run.stage.comes_to("a", "done")
        await run.stage.restart()
        run.inventory.status = 200
        await run.completed(1)
        assert run.case("a")["service"] == "payments"


async def test_a_completion_that_the_desk_does_not_take_waits_like_any_write() -> None:
    """The desk is away when the inventory is back: held, then completed, not made again."""
    async with enriched() as run:
        run.inventory.status = 503
        await run.stage.fire("a", FIRES)
        await run.stage.comes_to("a", "done")
        run.stage.register.answers = [(503, {}, {}), (503, {}, {})]
        run.inventory.status = 200
        await run.completed(1)
        assert (len(run.stage.register.cases), run.case("a")["service"]) == (1, "payments")
        message = await run.stage.told("a")
        assert (message["state"], message["reason"]) == ("done", "completed")


async def test_a_create_that_nobody_answered_is_found_and_then_completed() -> None:
    """What it was sent with is not known, so the inventory, back by then, completes what was found."""
    async with enriched() as run:
        run.inventory.status = 503
        run.stage.register.hang_after_work = 1
        await run.stage.fire("a", FIRES)
        await run.becomes(lambda: bool(run.stage.register.cases), "the case is made")
        run.inventory.status = 200
        await run.completed(1)
        assert len(run.stage.register.cases) == 1
        assert (run.case("a")["context"], run.case("a")["service"]) == ("complete", "payments")
        transitions = [c["reason"] for c in (await run.stage.told("a"))["transitions"]]
        assert "found" in transitions


async def test_a_completion_that_the_desk_refuses_is_completed_when_a_person_retries_it() -> None:
    """In review it is still a completion: the retry adds what is known instead of being dropped as a repeat."""
    async with enriched() as run:
        run.inventory.status = 503
        await run.stage.fire("a", FIRES)
        await run.stage.comes_to("a", "done")
        run.stage.register.answers = [(422, {"message": "no such service"}, {})]
        run.inventory.status = 200
        await run.stage.comes_to("a", "review", timeout_s=90)
        await run.stage.decide("retry")
        await run.becomes(lambda: run.case("a").get("service") == "payments", "completed")
        assert len(run.stage.register.cases) == 1


async def test_a_flow_may_have_a_person_look_instead() -> None:
    """errors.enrichmentUnavailable: review, for who would rather wait than be told half."""
    async with enriched({"enrichmentUnavailable": {"strategy": "review"}}) as run:
        run.inventory.status = 500
        await run.stage.fire("a", FIRES)
        await run.stage.comes_to("a", "review")
        assert '"ci" did not answer in time' in await run.stage.review_words()
        assert run.stage.register.writes == 0
        run.inventory.status = 200
        await run.becomes(lambda: _gate(run) == "ok", "the inventory is asked again")
        await run.stage.decide("retry")
        await run.stage.comes_to("a", "done")
        assert run.case("a")["context"] == "complete"


def _gate(run: Enriched) -> str:
    return next(c.state for c in run.stage.worker.report().connectors if c.name == "ci")
