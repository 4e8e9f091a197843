"""One alert with its runbook, and the same as a rule of Prometheus.

A rule without a runbook cannot be written down here, nor a runbook without a rule.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

RUNBOOKS: Final = "docs/runbooks.md"
"""Where the runbooks are; the chart puts another address in front of the section where it is given one."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that somebody can act on.

    Attributes:
        name: Name of the rule, which is also the title of its runbook.
        severity: `critical` means that people are without what was promised them, or will be within the hour.
        expression: PromQL. It fires for each series that is left.
        holds_for: How long it must be so before it fires, such as `5m`.
        summary: One line; a template of Prometheus.
        description: What is the case, in a sentence or two; a template of Prometheus.
        means: What is the case, for somebody who reads the runbook.
        noticed: What users of the systems notice.
        look: Commands that show more.
        act: What to do, in order.
    """

    name: str
    severity: Literal["critical", "warning"]
    expression: str
    holds_for: str
    summary: str
    description: str
    means: str
    noticed: str
    look: tuple[str, ...]
    act: tuple[str, ...]

    @property
    def anchor(self) -> str:
        """Section of the runbook, as browsers find it."""
        return self.name.lower()

    def rule(self) -> dict[str, Any]:
        """The alert as an entry of `rules` in a rule file."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.holds_for,
            "labels": {"severity": self.severity},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{RUNBOOKS}#{self.anchor}",
            },
        }


@dataclass(frozen=True, slots=True)
class AlertGroup:
    """Alerts about one thing; Prometheus evaluates them together.

    Attributes:
        name: Name of the group.
        title: What they are about, as a heading.
        alerts: The alerts, symptoms before causes.
    """

    name: str
    title: str
    alerts: tuple[Alert, ...]


def rule_file(groups: Iterable[AlertGroup]) -> dict[str, Any]:
    """Alerts as a rule file of Prometheus, which is also the spec of a PrometheusRule."""
    return {
        "groups": [
            {"name": group.name, "rules": [alert.rule() for alert in group.alerts]}
            for group in groups
        ]
    }
