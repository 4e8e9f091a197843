"""One application of a Mapping: what its rules share, and how a rule ends it or leaves its field to a person.

Used by `mapping` and its rules only.
"""

from dataclasses import dataclass
from typing import Any, Literal

from intops_core.expressions import Activation, Program, activation

Outcome = Literal["review", "reject", "drift"]


class RefusedError(Exception):
    """Ends one application; becomes `Unmapped`."""

    def __init__(self, outcome: Outcome, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.message = message


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A field whose value nobody has placed, while the rest of the record goes on.

    Attributes:
        path: Field of the result; it has the default of its rule, else it is not set.
        message: Which value it is and where to place it.
    """

    path: str
    message: str


@dataclass(slots=True)
class Run:
    """What the rules of one application share; the activation is made when the first needs it."""

    names: dict[str, Any]
    scope: Activation | None = None
    left_out: tuple[LeftOut, ...] = ()

    def evaluate(self, program: Program) -> Any:
        if self.scope is None:
            self.scope = activation(self.names)
        return program.evaluate(self.scope)
