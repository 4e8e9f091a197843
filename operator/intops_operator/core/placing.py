"""Where a Flow runs, and how it gets from one worker to another without losing or doubling a message.

Called by the reconciler. A Flow's own worker and a pool's keep its messages in different volumes, PostgreSQL is
a third place, and nothing is copied: a Flow goes only while it is suspended and its store is empty, which the old
worker says twice, while it runs and once more after it has stopped to capture.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from intops_api.conditions import Reason
from intops_api.names import POOL_PLACES
from intops_api.report import PlanReport
from intops_operator.core.facts import Problem

OWN: Final = ""
"""The place of a Flow with a worker of its own that keeps messages in a volume."""
DATABASE: Final = "/postgres"
"""The place of a Flow with workers of its own that keep messages in PostgreSQL; any other is the name of a pool."""

Deed = Literal["run", "close", "wait", "go"]


@dataclass(frozen=True, slots=True)
class Stay:
    """What is known of where a Flow is and where it should be."""

    wanted: str
    """Place that its spec names."""
    actual: str | None
    """Place where it is; None where it is nowhere yet."""
    suspended: bool = False
    """Whether its spec says so."""
    closed: bool = False
    """Whether the old worker was told to stop it."""
    stopping: bool = False
    """Whether the old worker may still be at work on it, although it was told to stop."""
    reports: tuple[PlanReport, ...] = ()
    """What the old worker says about it."""
    left: int | None = None
    """Unfinished messages in its old store after the end; None where nobody said."""
    full: bool = False
    """Whether there is no place where it should be."""
    workers: int = 1
    """Pods at the old place, also those that come to their end."""


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now.

    `run`: bring its children to what they should be at `place`. `close`: have the worker at `place` stop it.
    `wait`: leave everything as it is. `go`: nothing is left at the old place; like `run`, at the new one.
    """

    deed: Deed
    place: str
    told: Problem | None = None
    """Why it is not yet where it should be."""

    @property
    def pool(self) -> str:
        """The pool that the place is; empty where the Flow has workers of its own."""
        return pool_of(self.place)


def next_step(stay: Stay) -> Step:
    """Decide; the same facts, the same step."""
    if stay.actual is None or stay.actual == stay.wanted:
        return Step("run", stay.wanted)
    if stay.closed:
        if stay.stopping:
            return Step("wait", stay.actual, _moving(stay, "its old worker comes to its end"))
        if stay.left == 0:
            return Step("go", stay.wanted)
        # Captured at the last moment, or nobody can say: it runs on where the messages are.
        return Step("run", stay.actual, _moving(stay, "its old worker is asked what is left"))
    if stay.full:
        # Where it is it works; taken away from there it would have no worker at all.
        return Step("run", stay.actual, pool_full(stay.wanted))
    if not stay.suspended:
        return Step(
            "run", stay.actual, _held(stay, "it is not suspended; set spec.suspend to true")
        )
    if not stay.reports or not all(report.suspended for report in stay.reports):
        return Step("run", stay.actual, _moving(stay, "its worker is asked what is left"))
    left = _left(stay.reports)
    if any(report.store.failed for report in stay.reports):
        return Step("run", stay.actual, _held(stay, "its store cannot be read; repair it"))
    if left:
        number = "1 message" if left == 1 else f"{left} messages"
        why = (
            f"{number} in its store would stay behind; set spec.suspend to false until BACKLOG and REVIEW "
            "are 0, then to true again"
        )
        if stay.wanted == DATABASE:
            why += ", or take them along with intops store move (docs/durability.md)"
        return Step("run", stay.actual, _held(stay, why))
    if stay.actual == DATABASE and stay.workers != 1:
        # Of several that end, nobody could say which of them spoke last.
        return Step("run", stay.actual, _moving(stay, "its workers become one"))
    return Step("close", stay.actual, _moving(stay, "its old worker stops it"))


def pool_full(pool: str) -> Problem:
    """There is no place left in a pool."""
    return Problem(
        Reason.POOL_FULL,
        f'Pool "{pool}" has {POOL_PLACES} Flows already, and one worker takes no more; write another '
        "name into spec.runtime.pool, or leave it out for a worker of its own.",
    )


def store_unknown() -> Problem:
    """Nobody can say which database the Flow has until now."""
    return Problem(
        Reason.MOVE_HELD,
        "It keeps its messages in PostgreSQL and goes to a volume, but its plan can no longer be read, which alone "
        "names its Secret; write the former spec.runtime.store again, and go on from there.",
    )


def pool_of(place: str) -> str:
    """The pool that a place is; empty where it is none."""
    return "" if place == DATABASE else place


def describe(place: str) -> str:
    """A place in words."""
    return f'pool "{place}"' if pool_of(place) else "a worker of its own"


def _where(stay: Stay) -> str:
    actual = stay.actual or OWN
    if pool_of(actual) == pool_of(stay.wanted):
        kinds = {OWN: "a volume of its worker", DATABASE: "PostgreSQL"}
        return f"It keeps its messages in {kinds[actual]} and goes to {kinds[stay.wanted]}"
    return f"It runs in {describe(actual)} and goes to {describe(stay.wanted)}"


def _left(reports: Iterable[PlanReport]) -> int:
    """Unfinished messages; what several workers say about one store counts once."""
    stores = [report.store for report in reports]
    own = sum(store.unfinished for store in stores if store.scope == "worker")
    return own + max((store.unfinished for store in stores if store.scope == "shared"), default=0)


def _held(stay: Stay, why: str) -> Problem:
    return Problem(
        Reason.MOVE_HELD,
        f"{_where(stay)} only while it is suspended and its store is empty, so that no message is lost: {why}.",
    )


def _moving(stay: Stay, doing: str) -> Problem:
    return Problem(Reason.MOVING, f"{_where(stay)}: {doing}.")
