"""What the leader remembers of one Flow between two looks: as little as possible, there may be ten thousand."""

from dataclasses import dataclass, field

from intops_api.plan import FlowPlan
from intops_core.findings import Finding
from intops_operator.applying import Applied
from intops_operator.core.children.worker import Shape
from intops_operator.core.facts import Problem
from intops_operator.core.kept_plan import KeptPlan


@dataclass(slots=True)
class FlowState:
    """What the leader remembers of one Flow between two looks."""

    findings: tuple[Finding, ...] = ()
    limits_reviews: bool = False
    """Whether its Pattern says how far ahead a review may be."""
    plan: FlowPlan | None = None
    """As it is now; within a look only, once its worker has it."""
    plan_data: bytes = b""
    """The same as it goes into the ConfigMap; empty once it is there."""
    kept: KeptPlan | None = None
    """The plan between two looks."""
    problem: Problem | None = None
    applied: Applied = field(default_factory=Applied)
    place: str | None = None
    """Where that was applied: a pool, or empty for a worker of its own."""
    shape: Shape = field(default_factory=Shape)
    """As it was applied last."""
    settled: bool = False
    awaits: bool = False
    """Whether the worker has been told a decision and has not answered yet."""

    def replan(self, plan: FlowPlan | None, data: bytes = b"") -> None:
        """There is another plan, or none."""
        self.plan, self.plan_data, self.kept = plan, data, None

    def open(self) -> None:
        """A look begins."""
        if self.kept is not None:
            self.plan = self.kept.plan()

    def close(self) -> None:
        """A look is over. A plan that stands in its ConfigMap is kept small: a thousand copies would serve nobody."""
        if self.plan is not None and not self.plan_data:
            self.kept = self.kept or KeptPlan.of(self.plan)
            self.plan = None
