"""Bring a new worker image to all Flows in waves, and stop where one is worse off with it.

The leader runs the loop; the reconciler asks for each worker what its pods are to be made of, and says how each Flow
does. A worker is called by the Flow whose own it is, or by its pool. Everything that a new leader must know is noted
on the Deployments.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from intops_api.names import LABEL_FLOW, LABEL_POOL
from intops_core.resources import Ref
from intops_operator import metrics
from intops_operator.cache import Cache
from intops_operator.core.deployed import Deployed
from intops_operator.core.observed import POOL
from intops_operator.core.rolling import (
    Failure,
    Pace,
    Release,
    Roll,
    Rolling,
    Verdict,
    by_worker,
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
    """Whether it is not Ready because a person has suspended it, or has it moved."""
    review: int = 0
    delivered: int = 0
    """Messages delivered in the last hour."""
    rolls: bool = True
    """Whether its worker's Deployment can be applied at all."""


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
        self._failures: dict[Ref, Failure] = {}

    def roll(self, worker: Ref, inputs: str, found: Deployed | None) -> tuple[Roll, bool]:
        """What a worker's pods are made of, and whether they are left as they are until its turn.

        Args:
            worker: Whose: a Flow's own, or a pool's.
            inputs: Hash of what the Flow itself, or the Flows of a pool, say about the pods.
            found: The Deployment as it is; None if there is none.
        """
        if found is None:
            return Roll(self._release, inputs), False
        roll = _roll_of(found)
        turn = self._turns.get(worker)
        if turn is not None and roll.release != self._release:
            # Its time runs from now: what decided may lie minutes back.
            return replace(turn, inputs=inputs, at=self._now()), False
        if roll.release == self._release:
            proved = roll.proved or worker in self._proofs
            return replace(roll, inputs=inputs, proved=proved), False
        # What its people change about their pods, and what somebody edited, does not wait for a turn.
        held = found.image == roll.release.image and roll.inputs in {"", inputs}
        return replace(roll, inputs=inputs), held

    def note(self, flow: Ref, standing: Standing) -> None:
        """Note how a Flow does."""
        self._standing[flow] = standing

    def trouble(self, flow: Ref) -> str:
        """What is to be said in the status of a Flow over which the roll-out halted; mostly empty."""
        failure = self._failures.get(flow)
        return _halted(failure, self._release.image) if failure else ""

    def forget(self, ref: Ref) -> None:
        """The Flow or the pool is gone."""
        self._standing.pop(ref, None)
        self._turns.pop(ref, None)
        self._proofs.discard(ref)
        self._failures.pop(ref, None)

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
        crews = by_worker(self._rolling())
        flows = [one for crew in crews.values() for one in crew]
        verdict = decide(flows, self._release, self._pace, self._now())
        self._show(verdict)
        for worker in verdict.turns:
            self._turns[worker] = given(crews[worker], self._release, self._now())
            journal.info(
                "worker gets new image",
                **_named(worker), image=self._release.image, waiting=verdict.waiting,
            )  # fmt: skip
            self._queue.add(worker, urgent=False)
        for worker in verdict.proofs:
            self._proofs.add(worker)
            self._queue.add(worker, urgent=False)
        await self._tell(verdict)

    def _rolling(self) -> Iterator[Rolling]:
        """Every Flow that has a worker."""
        for child in self._cache.children("Deployment"):
            if child.deployed is None or child.leaving:
                continue
            if child.flow:
                worker = Ref("Flow", child.namespace, child.flow)
                flows = [worker]
            else:
                worker = Ref(POOL, child.namespace, child.pool)
                slots = self._cache.slots(worker)
                flows = list(dict.fromkeys(Ref("Flow", one.namespace, one.flow) for one in slots))
            yield from self._crew(
                worker, [one for one in flows if one in self._cache], child.deployed
            )

    def _crew(self, worker: Ref, flows: list[Ref], found: Deployed) -> Iterator[Rolling]:
        """The Flows that one worker works for."""
        roll = _roll_of(found)
        standings = [one for flow in flows if (one := self._standing.get(flow)) is not None]
        can_roll = bool(standings) and all(one.rolls for one in standings)
        if roll.release == self._release or not can_roll:
            self._turns.pop(worker, None)
        if roll.proved:
            self._proofs.discard(worker)
        pool = worker if worker.kind == POOL else None
        for flow in flows:
            standing = self._standing.get(flow)
            judged = standing is not None and (can_roll or roll.release == self._release)
            yield Rolling(
                flow=flow,
                roll=roll.of(flow.name) if pool is not None else roll,
                settled=found.settled,
                ready=standing.ready if judged and standing is not None else None,
                paused=standing is not None and standing.paused,
                review=standing.review if standing is not None else 0,
                delivered=standing.delivered if standing is not None else 0,
                taken=worker in self._turns,
                pool=pool,
            )

    def _show(self, verdict: Verdict) -> None:
        numbers = {
            "waiting": verdict.waiting,
            "rolling": verdict.rolling,
            "failed": verdict.failed,
            "done": verdict.done,
        }
        for state, number in numbers.items():
            metrics.ROLLOUT_WORKERS.labels(state).set(number)
        metrics.ROLLOUT_HALTED.set(1 if verdict.failures and verdict.waiting else 0)

    async def _tell(self, verdict: Verdict) -> None:
        """Tell what changed: in the log, in an Event, and by another look in the Flow's status."""
        failed = {failure.flow: failure for failure in verdict.failures}
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
        text = _halted(failure, self._release.image)
        journal.error(
            "roll-out halted",
            **{**_named(failure.worker), **_named(flow)}, image=self._release.image,
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


def _named(worker: Ref) -> dict[str, str]:
    """Whose worker it is, for the log."""
    kind = "pool" if worker.kind == POOL else "flow"
    return {"namespace": worker.namespace, kind: worker.name}


def _halted(failure: Failure, image: str) -> str:
    worker = failure.worker
    pooled = worker.kind == POOL
    whose = f'this Flow of pool "{worker.name}"' if pooled else "this Flow"
    label = LABEL_POOL if pooled else LABEL_FLOW
    return (
        f"The roll-out of worker image {image} halted at {whose}: {failure.why}. "
        "Workers that have not got it keep the image they have. "
        f"See kubectl describe pods -n {worker.namespace} -l {label}={worker.name}. "
        "It goes on by itself when the Flow is well again, or when the operator gets another image "
        "(worker.image of the chart)."
    )
