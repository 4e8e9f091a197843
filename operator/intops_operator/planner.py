"""Plan and judge away from the event loop, so that admission stays fast meanwhile.

The reconciler and the admission endpoint call it, each with a planner of its own; core does the
thinking.
"""

import asyncio
import time
import weakref
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from intops_api.flow import Store
from intops_api.kinds import FLOW_ACTION
from intops_api.plan import FlowPlan
from intops_core.breaking import Broken, broken_flows
from intops_core.conformance import judge
from intops_core.findings import REFERENCE, Finding, Ref
from intops_core.planning import Judgements, PlanError, encode_plan, plan_flow, with_store
from intops_core.resources import Resource, Resources
from intops_core.rules.dates import REVIEW_RULE
from intops_operator.cache import Cache

MOST_KEPT = 1_000
"""Judgements; what Flows share is judged anew now and then, rather than keeping what one Flow alone uses."""


@dataclass(frozen=True, slots=True)
class Thought:
    """What planning one Flow gave."""

    findings: tuple[Finding, ...]
    plan: FlowPlan | None = None
    data: bytes = b""
    """The encoded plan."""
    refusal: str = ""
    """Why a plan cannot be encoded, in a sentence."""
    limits_reviews: bool = False
    """Whether its Pattern says how far ahead a review may be."""


class Planner:
    """One thread: planning is CPU work, and two threads would share one interpreter anyway."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"intops-{name}")
        self._among: weakref.ref[Resources] | None = None
        self._judgements: Judgements = {}
        """What Flows that were planned among the same resources share; only the thread touches it."""

    def close(self) -> None:
        """Start nothing more; a thought that runs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def retire(self) -> None:
        """Take nothing new, after one thought took too long: those that wait behind it have askers of their own."""
        self._pool.shutdown(wait=False)

    async def plan(self, flow: Resource, resources: Resources) -> Thought:
        """The plan of a Flow and its encoded form."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._plan, flow, resources)

    def _plan(self, flow: Resource, resources: Resources) -> Thought:
        is_full = len(self._judgements) > MOST_KEPT
        if self._among is None or self._among() is not resources or is_full:
            self._among, self._judgements = weakref.ref(resources), {}
        planned = plan_flow(flow, resources, judgements=self._judgements)
        findings = tuple(planned.findings)
        return _encoded(
            Thought(findings, planned.plan, limits_reviews=REVIEW_RULE in planned.pattern_rules)
        )

    async def with_store(self, thought: Thought, store: Store) -> Thought:
        """The same thought about a Flow that keeps its messages in `store`, as it did until now."""
        if thought.plan is None:
            return thought
        plan, loop = thought.plan, asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._pool, lambda: _encoded(replace(thought, plan=with_store(plan, store)))
        )

    async def judge(self, resource: Resource, resources: Resources, *, new: bool) -> list[Finding]:
        """All findings about one resource; `new` if it is being made now."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: judge(resource, resources, new=new))

    async def broken(
        self, ref: Ref, users: Iterable[Ref], before: Resources, after: Resources, *, until: float
    ) -> Broken:
        """Which Flows a change breaks, as far as that can be told `until` a monotonic time in seconds."""

        def goes_on() -> bool:
            return time.monotonic() < until

        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._pool, lambda: broken_flows(ref, users, before, after, goes_on=goes_on)
        )


def _encoded(thought: Thought) -> Thought:
    if thought.plan is None:
        return thought
    try:
        return replace(thought, data=encode_plan(thought.plan), refusal="")
    except PlanError as error:
        return replace(thought, data=b"", refusal=str(error))


def told_apart(finding: Finding, cache: Cache) -> Finding:
    """A reference to something that exists but cannot be read is broken, not missing.

    A decision is let in all the same: the worker runs its last good plan and can be told.
    """
    missing = finding.missing
    if missing is None or not cache.broken(missing):
        return finding
    first = cache.broken(missing)[0]
    message = (
        f'{missing.kind} "{missing.name}" exists but cannot be used: {first.path}: {first.message}'
    )
    still = missing if finding.ref.kind == FLOW_ACTION.name else None
    return replace(finding, missing=still, severity="deny", rule=REFERENCE, message=message)
