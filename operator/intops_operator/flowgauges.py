"""Show the conditions of Flows as metrics: how many are Ready, and what is wrong with which.

The reconciler tells every verdict; only the leader has some, so only the leader shows any.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from intops_api.conditions import Condition, ConditionType
from intops_core.resources import Ref
from intops_operator import metrics

Shown = tuple[str, str, str]
"""Type, status and reason of a condition."""


@dataclass(slots=True)
class FlowGauges:
    """What is shown of each Flow now. A new term begins with a new one, after `clear`."""

    _shown: dict[Ref, frozenset[Shown]] = field(default_factory=dict)

    def show(self, flow: Ref, conditions: Iterable[Condition]) -> None:
        """Show what was judged of a Flow, in place of what was shown of it before."""
        wanted = frozenset((c.type, c.status, c.reason) for c in conditions if _tells(c))
        before = self._shown.get(flow, frozenset())
        self._take_away(flow, before - wanted)
        for kind, status, reason in wanted - before:
            place = (flow.namespace, flow.name, kind, status, reason)
            metrics.FLOW_CONDITION.labels(*place).set(1)
            if kind == ConditionType.READY:
                metrics.FLOWS.labels(status, reason).inc()
        self._shown[flow] = wanted

    def forget(self, flow: Ref) -> None:
        """The Flow is gone."""
        self._take_away(flow, self._shown.pop(flow, frozenset()))

    def _take_away(self, flow: Ref, shown: Iterable[Shown]) -> None:
        for kind, status, reason in shown:
            metrics.FLOW_CONDITION.remove(flow.namespace, flow.name, kind, status, reason)
            if kind == ConditionType.READY:
                metrics.FLOWS.labels(status, reason).dec()


def clear() -> None:
    """Show nothing: this replica does not lead, or does not know yet."""
    metrics.FLOWS.clear()
    metrics.FLOW_CONDITION.clear()


def _tells(condition: Condition) -> bool:
    # A Flow that is well has one series: a thousand Flows must not cost ten thousand.
    return condition.type == ConditionType.READY or condition.status == "False"
