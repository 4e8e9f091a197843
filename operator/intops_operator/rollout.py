"""Bring a new worker image to all Flows in waves, and stop where one is worse off with it.

The leader runs the loop; the reconciler asks for each Flow what its pods are to be made of, and says how each
does. Everything that a new leader must know is noted on the Deployments.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from intops_core.resources import Ref
from intops_operator import metrics
from intops_operator.cache import Cache
from intops_operator.core.deployed import Deployed
from intops_operator.core.rolling import (
    Failure,
    Pace,
    Release,
    Roll,
    Rolling,
    Verdict,
    decide,
    given,
)
from intops_operator.edges.cluster import Cluster, NotLeading
from intops_operator.edges.events import tell_event
from intops_operator.journal import Journal
from intops_operator.workqueue import WorkQueue

journal = Journal("rollout")

LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How one Flow does, as the reconciler judged it last."""

    ready: bool
    paused: bool = False
    """Whether it is not Ready because a person has suspended it."""
    review: int = 0
    delivered: int = 0
    """Messages delivered in the last hour."""
    rolls: bool = True
    """Whether its Deployment can be applied at all."""


class Rollout:
    """One roll-out after another, each of the image that this operator was started with."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        queue: WorkQueue[Ref],
        release: Release,
        pace: Pace,
        now: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._queue = queue
        self._release = release
        self._pace = pace
        self._now = now
        self._standing: dict[Ref, Standing] = {}
        self._turns: dict[Ref, Roll] = {}
        self._proofs: set[Ref] = set()
        self._failures: dict[Ref, str] = {}

    def roll(self, flow: Ref, inputs: str, found: Deployed | None) -> tuple[Roll, bool]:
        """What a Flow's pods are made of, and whether they are left as they are until its turn.

        Args:
            flow: Which one.
            inputs: Hash of what the Flow itself says about its pods.
            found: Its Deployment as it is; None if there is none.
        """
        if found is None:
            return Roll(self._release, inputs), False
        roll = _roll_of(found)
        turn = self._turns.get(flow)
        if turn is not None and roll.release != self._release:
            # Its time runs from now: what decided may lie minutes back.
            return replace(turn, inputs=inputs, at=self._now()), False
        if roll.release == self._release:
            proved = roll.proved or flow in self._proofs
            return replace(roll, inputs=inputs, proved=proved), False
        # What its people change about their pods, and what somebody edited, does not wait for a turn.
        held = found.image == roll.release.image and roll.inputs in {"", inputs}
        return replace(roll, inputs=inputs), held

    def note(self, flow: Ref, standing: Standing) -> None:
        """Note how a Flow does."""
        self._standing[flow] = standing

    def trouble(self, flow: Ref) -> str:
        """What is to be said in the status of a Flow over which the roll-out halted; mostly empty."""
        why = self._failures.get(flow)
        return _halted(flow, why, self._release.image) if why else ""

    def forget(self, flow: Ref) -> None:
        """The Flow is gone."""
        self._standing.pop(flow, None)
        self._turns.pop(flow, None)
        self._proofs.discard(flow)
        self._failures.pop(flow, None)

    async def run(self) -> None:
        """Look at all Flows now and then until cancelled.

        Raises:
            NotLeading: Another replica leads now.
        """
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.step()
            except NotLeading:
                raise
            except Exception as error:  # a defect here must not stop everything else
                journal.failure("roll-out failed", error)

    async def step(self) -> None:
        """One look."""
        flows = {one.flow: one for one in self._rolling()}
        verdict = decide(flows.values(), self._release, self._pace, self._now())
        self._show(verdict)
        for flow in verdict.turns:
            self._turns[flow] = given(flows[flow], self._release, self._now())
            journal.info(
                "worker gets new image",
                namespace=flow.namespace, flow=flow.name, image=self._release.image,
                waiting=verdict.waiting,
            )  # fmt: skip
            self._queue.add(flow, urgent=False)
        for flow in verdict.proofs:
            self._proofs.add(flow)
            self._queue.add(flow, urgent=False)
        await self._tell(verdict)

    def _rolling(self) -> Iterator[Rolling]:
        """Every Flow that has a Deployment of its own."""
        for child in self._cache.children("Deployment"):
            flow = Ref("Flow", child.namespace, child.flow)
            if child.deployed is None or child.leaving or flow not in self._cache:
                continue
            roll = _roll_of(child.deployed)
            standing = self._standing.get(flow)
            can_roll = standing is not None and standing.rolls
            if roll.release == self._release or not can_roll:
                self._turns.pop(flow, None)
            if roll.proved:
                self._proofs.discard(flow)
            judged = standing is not None and (can_roll or roll.release == self._release)
            yield Rolling(
                flow=flow,
                roll=roll,
                settled=child.deployed.settled,
                ready=standing.ready if judged and standing is not None else None,
                paused=standing is not None and standing.paused,
                review=standing.review if standing is not None else 0,
                delivered=standing.delivered if standing is not None else 0,
                taken=flow in self._turns,
            )

    def _show(self, verdict: Verdict) -> None:
        numbers = {
            "waiting": verdict.waiting,
            "rolling": verdict.rolling,
            "failed": len(verdict.failures),
            "done": verdict.done,
        }
        for state, number in numbers.items():
            metrics.ROLLOUT_WORKERS.labels(state).set(number)
        metrics.ROLLOUT_HALTED.set(1 if verdict.failures and verdict.waiting else 0)

    async def _tell(self, verdict: Verdict) -> None:
        """Tell what changed: in the log, in an Event, and by another look in the Flow's status."""
        failed = {failure.flow: failure.why for failure in verdict.failures}
        gone = self._failures.keys() - failed.keys()
        new = [failure for failure in verdict.failures if failure.flow not in self._failures]
        self._failures = failed
        for flow in gone:
            journal.info("worker is well with new image", namespace=flow.namespace, flow=flow.name)
        if gone and not failed:
            journal.info("roll-out goes on", image=self._release.image, waiting=verdict.waiting)
        for flow in gone:
            self._queue.add(flow, urgent=False)
        for failure in new:
            await self._tell_halted(failure, verdict.waiting)

    async def _tell_halted(self, failure: Failure, waiting: int) -> None:
        flow = failure.flow
        text = _halted(flow, failure.why, self._release.image)
        journal.error(
            "roll-out halted",
            namespace=flow.namespace, flow=flow.name, image=self._release.image,
            why=failure.why, waiting=waiting, action=text,
        )  # fmt: skip
        self._queue.add(flow, urgent=False)
        await tell_event(
            self._cluster, flow, self._cache.uid(flow), "RolloutHalted", text,
            warning=True, now=self._now(),
        )  # fmt: skip


def clear() -> None:
    """Show nothing: this replica does not lead."""
    metrics.ROLLOUT_WORKERS.clear()
    metrics.ROLLOUT_HALTED.set(0)
    metrics.FLOW_REPLICAS.clear()


def _roll_of(found: Deployed) -> Roll:
    """What a Deployment was given last; one of an older operator has its image and nothing else."""
    return found.roll or Roll(Release(found.image))


def _halted(flow: Ref, why: str, image: str) -> str:
    return (
        f"The roll-out of worker image {image} halted at this Flow: {why}. "
        "Workers that have not got it keep the image they have. "
        f"See kubectl describe pods -n {flow.namespace} -l intops.io/flow={flow.name}. "
        "It goes on by itself when the Flow is well again, or when the operator gets another image "
        "(worker.image of the chart)."
    )
