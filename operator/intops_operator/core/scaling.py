"""Decide how many workers a Flow with a shared store has: up quickly, down slowly, never by guess.

`sizing` folds `decide` over the reports of one Flow. Age alone says little, for a message that waits for
its next attempt grows old as well; so a decision needs an old message, a backlog that is worth a worker, and a
throughput that was measured with the present number of workers.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from intops_api.common import duration_s
from intops_api.flow import Replicas

TARGET_AGE_S: Final = 30.0
"""`spec.runtime.replicas.targetAge` where it is absent."""
WORTH: Final = 10
"""Messages for each worker below which another one is not worth its start."""
MEASURE_S: Final = 20.0
"""Shortest time over which a throughput is measured."""
WINDOW_S: Final = 30.0
"""Longest time over which a throughput is measured."""
SPARE: Final = 0.8
"""Part of what the remaining workers can do up to which one may go."""
APART_S: Final = 2.0
"""Time between two samples that are kept."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the Flow allows, and how the operator was told to pace."""

    fewest: int
    most: int
    target_age_s: float = TARGET_AGE_S
    down_after_s: float = 300.0
    """Quiet time before a worker goes."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the workers say about their one store; only from reports that are all there and fresh."""

    at: datetime
    backlog: int
    """Messages in flight and deliveries that are not yet split."""
    oldest_s: float
    """Age of the oldest of them."""
    arrived: int
    """Messages since the store was made."""
    ended: int
    """Those of them that are not in the backlog any more."""
    blocked: bool = False
    """Whether a target holds messages back, so that another worker would wait as well."""
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """Two of the load's counters at one moment."""

    at: datetime
    arrived: int
    ended: int


@dataclass(frozen=True, slots=True)
class Size:
    """How many workers there should be, and what was learnt on the way.

    The first three survive a change of leader, on the Deployment. A new leader measures anew and begins its
    quiet time anew, so it never jumps.
    """

    replicas: int
    at: datetime | None = None
    """When the backlog changed it last."""
    capacity: float | None = None
    """Messages a second that one worker ended when all were busy."""
    calm_since: datetime | None = None
    samples: tuple[Sample, ...] = ()
    why: str = ""
    """Why it has this size, in a sentence; empty while nothing changed it."""


def bounds_of(replicas: Replicas, *, down_after_s: float) -> Bounds:
    """The bounds that a Flow's spec gives."""
    age_s = duration_s(replicas.target_age) if replicas.target_age else TARGET_AGE_S
    return Bounds(replicas.min, max(replicas.min, replicas.max), age_s, down_after_s)


def decide(size: Size, bounds: Bounds, load: Load | None, now: datetime) -> Size:
    """The size from now on. Same arguments, same answer.

    Args:
        size: As it was decided last.
        bounds: What is allowed.
        load: None where a report is missing or stale, or a worker is starting: then nothing changes.
        now: Moment of the decision.
    """
    within = min(max(size.replicas, bounds.fewest), bounds.most)
    if within != size.replicas:
        why = f"spec.runtime.replicas allows {bounds.fewest} to {bounds.most}"
        return _changed(size, within, size.capacity, now, why)
    if load is None:
        # What was measured with other workers, or before a gap, is no measure.
        return replace(size, calm_since=None, samples=())
    size = replace(size, samples=_sampled(size.samples, load))
    if load.blocked:
        return replace(size, calm_since=None)
    rates = _rates(size.samples)
    if load.oldest_s > bounds.target_age_s and load.backlog >= WORTH * size.replicas:
        size = replace(size, calm_since=None)
        return size if load.suspended else _grown(size, bounds, load, rates, now)
    if size.replicas == bounds.fewest or not _can_spare_one(size, bounds, load, rates):
        return replace(size, calm_since=None)
    calm_since = size.calm_since or now
    if now - calm_since < timedelta(seconds=bounds.down_after_s):
        return replace(size, calm_since=calm_since)
    why = f"the backlog was small for {bounds.down_after_s:.0f} s, and fewer workers can carry it"
    return _changed(size, size.replicas - 1, size.capacity, now, why)


def _changed(size: Size, replicas: int, capacity: float | None, now: datetime, why: str) -> Size:
    return Size(replicas, now, capacity, why=why)


def _grown(
    size: Size, bounds: Bounds, load: Load, rates: tuple[float, float] | None, now: datetime
) -> Size:
    """More workers, where more can help: at most twice as many at once."""
    if size.replicas >= bounds.most or rates is None:
        return size
    arriving, ending = rates
    if ending <= 0:
        # Nothing ends: what is missing is not a worker.
        return size
    capacity = ending / size.replicas
    need = math.ceil((arriving + load.backlog / max(1.0, bounds.target_age_s)) / capacity)
    wanted = min(need, 2 * size.replicas, bounds.most)
    if wanted <= size.replicas:
        return size
    why = (
        f"the oldest of {load.backlog} messages has waited {load.oldest_s:.0f} s, longer than "
        f"targetAge ({bounds.target_age_s:.0f} s)"
    )
    return _changed(size, wanted, capacity, now, why)


def _can_spare_one(
    size: Size, bounds: Bounds, load: Load, rates: tuple[float, float] | None
) -> bool:
    """Whether one worker fewer would do: little waits, and the others can carry what arrives."""
    small = load.backlog < WORTH * (size.replicas - 1)
    if not small and load.oldest_s > bounds.target_age_s / 2:
        return False
    if load.suspended or size.capacity is None:
        return True
    if rates is None:
        return False
    # Without this, a load that needs this very number would be tried with fewer for ever.
    return rates[0] <= SPARE * (size.replicas - 1) * size.capacity


def _sampled(samples: tuple[Sample, ...], load: Load) -> tuple[Sample, ...]:
    """The samples of the window, with this load's; a store that counts backwards is another store."""
    new = Sample(load.at, load.arrived, load.ended)
    if samples:
        last = samples[-1]
        if new.arrived < last.arrived:
            return (new,)
        if new.at - last.at < timedelta(seconds=APART_S):
            return samples
    oldest = load.at - timedelta(seconds=WINDOW_S)
    return (*(sample for sample in samples if sample.at >= oldest), new)


def _rates(samples: tuple[Sample, ...]) -> tuple[float, float] | None:
    """Messages a second that arrive and that end; None before it was measured long enough."""
    if not samples:
        return None
    first, last = samples[0], samples[-1]
    seconds = (last.at - first.at).total_seconds()
    if seconds < MEASURE_S:
        return None
    return (last.arrived - first.arrived) / seconds, (last.ended - first.ended) / seconds
