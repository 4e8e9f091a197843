"""Decide whose turn it is to get a new worker image: a canary, then waves, and nobody after a failure.

The leader's `Rollout` asks `decide` with all Flows that have a worker. What gets the image is a worker: that of one
Flow, or that of a pool with all Flows in it. The state is on the Deployments, so a new leader goes on where another
ended.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from intops_core.resources import Ref

WORSE_REVIEW: Final = 5
"""So many more messages in review than before a roll are no chance."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast an image may spread. Times in seconds."""

    canaries: int = 1
    """Workers that prove an image before others get it."""
    wave: int = 10
    """Workers that roll at the same time after that."""
    pause_s: float = 60.0
    """How long a Flow must be well with the image before it counts."""
    deadline_s: float = 180.0
    """How long a Flow may take until it is as well as before."""


@dataclass(frozen=True, slots=True)
class Release:
    """What the operator makes workers of."""

    image: str
    template: str = ""
    """Hash of all else that an operator of another edition may put into every pod."""


@dataclass(frozen=True, slots=True)
class Before:
    """How one Flow of a pool was before its worker was given a release."""

    flow: str
    ready: bool
    review: int = 0


@dataclass(frozen=True, slots=True)
class Roll:
    """What a Deployment says about the release that it was given."""

    release: Release
    inputs: str = ""
    """Hash of what the Flow itself, or the Flows of a pool, say about the pods."""
    at: datetime | None = None
    """When it was given in place of another; None for one that began with it."""
    ready: bool = True
    """Whether the Flow was Ready before."""
    review: int = 0
    """Messages in review before."""
    proved: bool = False
    """Whether the Flow, or every Flow of a pool, was well with it."""
    flows: tuple[Before, ...] = ()
    """Of a pool's worker: how each of its Flows was before."""

    def of(self, flow: str) -> "Roll":
        """What it says about one Flow of a pool. One that came since then had nothing that could be worse now."""
        before = next((one for one in self.flows if one.flow == flow), Before(flow, ready=False))
        return replace(self, ready=before.ready, review=before.review, flows=())


@dataclass(frozen=True, slots=True)
class Rolling:
    """One Flow at this moment."""

    flow: Ref
    roll: Roll
    """What its worker's Deployment says about it; see `Roll.of` for one in a pool."""
    settled: bool
    """Whether all pods of its worker are ready and of the present template."""
    ready: bool | None
    """Whether it is Ready; None until this leader has judged it."""
    paused: bool = False
    """Whether it is not Ready because a person has suspended it, which says nothing of the image."""
    review: int = 0
    delivered: int = 0
    """Messages delivered in the last hour."""
    taken: bool = False
    """Whether the turn of its worker came already, and the Deployment is about to be applied."""
    pool: Ref | None = None
    """The pool whose worker it shares; None where it has its own."""

    @property
    def worker(self) -> Ref:
        """Whose worker works for it: its own, called like itself, or the pool's."""
        return self.pool or self.flow


@dataclass(frozen=True, slots=True)
class Failure:
    """A Flow that is worse off with the image."""

    flow: Ref
    why: str
    worker: Ref


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a roll-out stands, and what comes next. Flows and pools are named, workers are counted."""

    turns: list[Ref] = field(default_factory=list)
    """Whose workers get the image now."""
    proofs: list[Ref] = field(default_factory=list)
    """Whose workers do well with it, which is to be noted."""
    failures: list[Failure] = field(default_factory=list)
    rolling: int = 0
    waiting: int = 0
    done: int = 0

    @property
    def failed(self) -> int:
        """Workers with which a Flow is worse off."""
        return len({failure.worker for failure in self.failures})


def decide(flows: Iterable[Rolling], release: Release, pace: Pace, now: datetime) -> Verdict:
    """Where the roll-out of `release` stands. Without failures at most a wave rolls at any time."""
    waiting: list[list[Rolling]] = []
    proofs: list[Ref] = []
    failures: list[Failure] = []
    rolling = done = proved = 0
    for worker, crew in by_worker(flows).items():
        one = crew[0]  # what is asked of it here is the same for all Flows of a worker
        if one.taken:
            rolling += 1
        elif one.roll.release != release:
            waiting.append(crew)
        elif one.roll.at is None or one.roll.proved:
            done += 1
            proved += one.roll.proved
        elif worse := [(each, why) for each in crew if (why := _trouble(each, pace, now))]:
            failures += [Failure(each.flow, why, worker) for each, why in worse]
        elif all(_is_proved(each, pace, now) for each in crew):
            proofs.append(worker)
            rolling += 1  # until it is noted
        else:
            rolling += 1
    free = (pace.wave if proved >= pace.canaries else pace.canaries) - rolling
    judged = [crew for crew in waiting if all(one.ready is not None for one in crew)]
    turns = sorted(judged, key=_order)[: max(0, free)]
    return Verdict(
        [] if failures else [crew[0].worker for crew in turns],
        proofs,
        failures,
        rolling,
        len(waiting),
        done,
    )


def by_worker(flows: Iterable[Rolling]) -> dict[Ref, list[Rolling]]:
    """Flows by whose worker works for them."""
    found: dict[Ref, list[Rolling]] = {}
    for one in flows:
        found.setdefault(one.worker, []).append(one)
    return found


def given(crew: Iterable[Rolling], release: Release, now: datetime) -> Roll:
    """What is noted about a worker that gets the image now.

    Args:
        crew: The Flows that it works for, at least one.
        release: What it gets.
        now: The time of day.
    """
    measured = [(one, _measured(one, release, now)) for one in crew]
    one, roll = measured[0]
    if one.pool is None:
        return roll
    flows = tuple(Before(each.flow.name, r.ready, r.review) for each, r in measured)
    return Roll(release, roll.inputs, now, flows=flows)


def _measured(one: Rolling, release: Release, now: datetime) -> Roll:
    roll = one.roll
    if roll.at is not None and not roll.proved:
        # It was measured already before an image that did it no good.
        return Roll(release, roll.inputs, now, roll.ready, roll.review)
    return Roll(release, roll.inputs, now, bool(one.ready), one.review)


def _order(crew: list[Rolling]) -> tuple[bool, bool, bool, bool, int, str, str]:
    """What an earlier image broke goes first: it has nothing to lose. Then those that are well; little traffic
    before much, but some before none, which would prove nothing; one Flow before a pool of them."""
    broken = any(one.roll.at is not None and not one.roll.proved and not one.ready for one in crew)
    well = all(one.ready for one in crew)
    delivered = sum(one.delivered for one in crew)
    worker, pooled = crew[0].worker, crew[0].pool is not None
    return (
        not broken, not well, delivered == 0, pooled, delivered, worker.namespace, worker.name,
    )  # fmt: skip


def _trouble(one: Rolling, pace: Pace, now: datetime) -> str:
    """Why a Flow is worse off than before, in half a sentence; empty if it is not, or not yet."""
    if not one.roll.ready or one.ready is None:
        return ""
    more = one.review - one.roll.review
    if more >= WORSE_REVIEW:
        return f"{more} more messages wait in review than before"
    if _age(one, now) < timedelta(seconds=pace.deadline_s):
        return ""
    if not one.settled:
        return f"its pods are not ready {pace.deadline_s:.0f} s after they were given the image"
    if not one.ready and not one.paused:
        return (
            f"it was Ready before and is not {pace.deadline_s:.0f} s after it was given the image"
        )
    return ""


def _is_proved(one: Rolling, pace: Pace, now: datetime) -> bool:
    age = _age(one, now)
    if not one.roll.ready:
        # Nobody can tell whether it does better: it was not well before.
        return age >= timedelta(seconds=pace.pause_s if one.settled else pace.deadline_s)
    return one.settled and bool(one.ready or one.paused) and age >= timedelta(seconds=pace.pause_s)


def _age(one: Rolling, now: datetime) -> timedelta:
    return now - one.roll.at if one.roll.at is not None else timedelta()
