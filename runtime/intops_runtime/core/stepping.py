"""Steps: which of the ways that a record offers leads to the state that it should reach.

Pure. Called by the walk of a target's record; how ways are read stands in the class (`steps`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from intops_api.connector_class import Steps
from intops_core.records import ABSENT, get_path


@dataclass(frozen=True, slots=True)
class Step:
    """One way on: its id, the state to which it leads, and the whole of what the system says of it."""

    id: str
    to: str
    offered: Any = field(default_factory=dict)

    def names(self) -> dict[str, Any]:
        """The `step` that request expressions see."""
        return {"id": self.id, "to": self.to, "offered": self.offered}


def goal_of(steps: Steps, record: Mapping[str, Any]) -> str | None:
    """The state to be reached; None where the record names none."""
    goal = get_path(record, steps.field)
    return None if goal is ABSENT or goal is None or goal == "" else str(goal)


def next_step(
    ways: Sequence[Step], goal: str, via: Sequence[str], been: Collection[str]
) -> Step | None:
    """The way to take: the one to the goal, else to the first state on the way that was not passed yet.

    >>> ways = [Step("11", "In Progress"), Step("21", "Waiting")]
    >>> next_step(ways, "Done", ["Waiting", "In Progress"], {"Open"}).id
    '21'
    """
    for state in (goal, *via):
        for way in ways:
            if way.to == state and (state == goal or state not in been):
                return way
    return None


def no_way(record: str, state: str | None, goal: str, ways: Sequence[Step]) -> str:
    """What a person is told where nothing on offer leads on."""
    offers = ", ".join(f'"{name}"' for name in sorted({way.to for way in ways})) or "nothing"
    return (
        f'{record} stands at "{state or "an unknown state"}", and no way from there leads to "{goal}"; on offer: '
        f"{offers}. Move it by hand, or name the states on the way where the class says, then retry."
    )
