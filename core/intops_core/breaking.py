"""Which live Flows a change of one object breaks: what admission asks before it lets the object in.

Pure. The same judgement as `impact`, for one object, with a limit on time.
"""

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass

from intops_core.findings import Finding, Ref
from intops_core.impact import Reached, Side, reached, step_findings
from intops_core.resources import Resources, content_hash


@dataclass(frozen=True, slots=True)
class Broken:
    """What one changed object would break.

    Attributes:
        ref: The object.
        flows: Flows that have a plan now and none with the change, by namespace and name.
        steps: Of a CanonicalModel, what the table of compatibility says about editions that live Flows use.
        users: How many Flows use the object.
        unjudged: How many of these there was no time for.
        hash: Stands for the change and the Flows that it breaks, so that who accepts it accepts no more than was
            shown; where there was no time for all, or an edition in use changes, for all that use it.
    """

    ref: Ref
    flows: tuple[Reached, ...]
    steps: tuple[Finding, ...]
    users: int
    unjudged: int
    hash: str
    whole: str = ""
    """The hash that covers every user, whatever there was time to judge."""

    def accepted_by(self, given: Container[str]) -> bool:
        """Whether one of these hashes accepts it: that which is shown, or that of all users, which covers it."""
        return self.hash in given or (bool(self.whole) and self.whole in given)

    @property
    def refusing(self) -> tuple[Finding, ...]:
        """Steps that the table refuses."""
        return tuple(one for one in self.steps if one.severity == "deny")


def broken_flows(
    ref: Ref,
    users: Iterable[Ref],
    before: Resources,
    after: Resources,
    *,
    goes_on: Callable[[], bool] = lambda: True,
) -> Broken:
    """Which Flows a change of one object breaks, as `impact` would say.

    Args:
        ref: The object that differs between `before` and `after`.
        users: Flows that use it, and itself if it is one.
        before: Resources as they stand.
        after: Resources as they would stand.
        goes_on: Asked before each Flow; False where there is no time for another.
    """
    sides = (Side(before), Side(after))
    known = sorted(users)
    look = _Look(sides, known, goes_on)
    judged = iter(look)
    plans = (plan for flow in judged if (plan := sides[0].planned(flow).plan) is not None)
    steps = step_findings(sides[0].get(ref), sides[1].get(ref), plans)
    for _ in judged:  # whose plans the table of compatibility has no use for
        pass
    few = look.left == 0 and not any(one.severity == "deny" for one in steps)
    covered = [one.flow for one in look.found] if few else known
    shown, whole = _hash(ref, sides, covered), _hash(ref, sides, known)
    return Broken(ref, tuple(look.found), steps, len(known), look.left, shown, whole)


class _Look:
    """Judges Flows one at a time: what is found stands when time is over, and thousands of plans would not fit.

    Iterating gives each Flow that was judged.
    """

    def __init__(
        self, sides: tuple[Side, Side], flows: list[Ref], goes_on: Callable[[], bool]
    ) -> None:
        self._sides = sides
        self._flows = flows
        self._goes_on = goes_on
        self.found: list[Reached] = []
        self.left = len(flows)
        """Flows that there was no time for."""

    def __iter__(self) -> Iterator[Ref]:
        for flow in self._flows:
            if not self._goes_on():
                return
            self.left -= 1
            planned = self._sides[1].planned(flow)
            # Sound ones are most, and need no look at how they were.
            if planned.plan is None and self._sides[1].get(flow) is not None:
                one = reached(flow, *self._sides, planned)
                if one.verdict == "breaks":
                    self.found.append(one)
            yield flow


def _hash(ref: Ref, sides: tuple[Side, Side], flows: Iterable[Ref]) -> str:
    objects = [side.get(ref) for side in sides]
    digests = [one.digest if one is not None else None for one in objects]
    return content_hash(
        [ref.kind, ref.namespace, ref.name, digests, [[one.namespace, one.name] for one in flows]]
    )
