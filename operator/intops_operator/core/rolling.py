"""Decide whose turn it is to get a new worker image: a canary, then waves, and nobody after a failure.

The leader's `Rollout` asks `decide` with all Flows that have a Deployment. The state is on the
Deployments, so a new leader goes on where another ended.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from intops_core.resources import Ref

WORSE_REVIEW: Final = 5
"""So many more messages in review than before a roll are no chance."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast an image may spread. Times in seconds."""

    canaries: int = 1
    """Flows that prove an image before others get it."""
    wave: int = 10
    """Flows that roll at the same time after that."""
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
class Roll:
    """What a Deployment says about the release that it was given."""

    release: Release
    inputs: str = ""
    """Hash of what the Flow itself says about its pods."""
    at: datetime | None = None
    """When it was given in place of another; None for one that began with it."""
    ready: bool = True
    """Whether the Flow was Ready before."""
    review: int = 0
    """Messages in review before."""
    proved: bool = False
    """Whether the Flow was well with it."""


@dataclass(frozen=True, slots=True)
class Rolling:
    """One Flow at this moment."""

    flow: Ref
    roll: Roll
    settled: bool
    """Whether all its pods are ready and of the present template."""
    ready: bool | None
    """Whether it is Ready; None until this leader has judged it."""
    paused: bool = False
    """Whether it is not Ready because a person has suspended it, which says nothing of the image."""
    review: int = 0
    delivered: int = 0
    """Messages delivered in the last hour."""
    taken: bool = False
    """Whether its turn came already, and its Deployment is about to be applied."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A Flow that is worse off with the image."""

    flow: Ref
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a roll-out stands, and what comes next."""

    turns: list[Ref] = field(default_factory=list)
    """Flows that get the image now."""
    proofs: list[Ref] = field(default_factory=list)
    """Flows that are well with it, which is to be noted."""
    failures: list[Failure] = field(default_factory=list)
    rolling: int = 0
    waiting: int = 0
    done: int = 0


def decide(flows: Iterable[Rolling], release: Release, pace: Pace, now: datetime) -> Verdict:
    """Where the roll-out of `release` stands. Without failures at most a wave rolls at any time."""
    waiting: list[Rolling] = []
    proofs: list[Ref] = []
    failures: list[Failure] = []
    rolling = done = proved = 0
    for one in flows:
        if one.taken:
            rolling += 1
        elif one.roll.release != release:
            waiting.append(one)
        elif one.roll.at is None or one.roll.proved:
            done += 1
            proved += one.roll.proved
        elif trouble := _trouble(one, pace, now):
            failures.append(Failure(one.flow, trouble))
        elif _is_proved(one, pace, now):
            proofs.append(one.flow)
            rolling += 1  # until it is noted
        else:
            rolling += 1
    free = (pace.wave if proved >= pace.canaries else pace.canaries) - rolling
    turns = sorted((one for one in waiting if one.ready is not None), key=_order)[: max(0, free)]
    return Verdict(
        [] if failures else [one.flow for one in turns],
        proofs,
        failures,
        rolling,
        len(waiting),
        done,
    )


def given(one: Rolling, release: Release, now: datetime) -> Roll:
    """What is noted about a Flow that gets the image now."""
    roll = one.roll
    if roll.at is not None and not roll.proved:
        # It was measured already before an image that did it no good.
        return Roll(release, roll.inputs, now, roll.ready, roll.review)
    return Roll(release, roll.inputs, now, bool(one.ready), one.review)


def _order(one: Rolling) -> tuple[bool, bool, bool, int, str, str]:
    """What an earlier image broke goes first: it has nothing to lose. Then those that are well; little traffic
    before much, but some before none, which would prove nothing."""
    broken = one.roll.at is not None and not one.roll.proved and not one.ready
    quiet = one.delivered == 0
    return (not broken, not one.ready, quiet, one.delivered, one.flow.namespace, one.flow.name)


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
