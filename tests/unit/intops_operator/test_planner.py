"""What the planner hands to the reconciler beside the plan."""

import asyncio

from intops_core.resources import Resource, Resources
from intops_operator.planner import Planner, Thought
from support.conformance import Raw, flow_of, world


def thought(flow: Resource, resources: Resources) -> Thought:
    planner = Planner("test")
    try:
        return asyncio.run(planner.plan(flow, resources))
    finally:
        planner.close()


def test_the_rules_of_a_flows_pattern_are_known_with_and_without_a_plan() -> None:
    """Whether the next review may be so far ahead is judged for a refused Flow, too."""

    def undecided(spec: Raw) -> None:
        spec["closure"].pop("onResolved")

    sound, refused = world()[0], world(("Flow", "alerts-to-helpdesk", undecided))[0]

    with_plan, without = thought(flow_of(sound), sound), thought(flow_of(refused), refused)

    assert with_plan.plan is not None
    assert with_plan.data
    assert without.plan is None
    assert with_plan.limits_reviews
    assert without.limits_reviews


async def test_who_waits_behind_a_thought_that_takes_too_long_is_answered_all_the_same() -> None:
    """A cancelled one would get no answer at all, and the API server would refuse the object without a word."""
    planner = Planner("test")
    sound, _ = world()
    flow = flow_of(sound)
    first = asyncio.create_task(planner.plan(flow, sound))
    second = asyncio.create_task(planner.plan(flow, sound))
    await asyncio.sleep(0)  # both are handed to the thread

    planner.retire()

    assert (await first).plan is not None
    assert (await second).plan is not None


async def test_what_flows_share_is_judged_anew_when_it_changed() -> None:
    """Judgements are kept from one Flow to the next among the same resources, and among no others."""

    def misspelt(spec: Raw) -> None:
        spec["fields"][0]["to"] = "no_such_field"

    sound, spoilt = world()[0], world(("Mapping", "incident-to-helpdesk", misspelt))[0]
    planner = Planner("test")
    try:
        first = await planner.plan(flow_of(sound), sound)
        again = await planner.plan(flow_of(sound), sound)
        after = await planner.plan(flow_of(spoilt), spoilt)
        back = await planner.plan(flow_of(sound), sound)
    finally:
        planner.close()

    assert [one.plan is not None for one in (first, again, after, back)] == [
        True,
        True,
        False,
        True,
    ]
    assert first.findings == again.findings == back.findings
    assert {finding.ref.name for finding in after.findings} >= {"incident-to-helpdesk"}
