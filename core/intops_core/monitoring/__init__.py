"""What a platform team plugs into Prometheus and Grafana: alerts with their runbooks, and dashboards.

Values only. `intops_cli.monitoring` checks every metric and label that they name against the definitions
of both planes, and writes the files of the chart and docs/runbooks.md from them.
"""

from intops_core.monitoring.alert import Alert, AlertGroup
from intops_core.monitoring.cause_alerts import CAUSE_ALERTS
from intops_core.monitoring.dashboard import Dashboard
from intops_core.monitoring.estate_dashboard import ESTATE
from intops_core.monitoring.flow_alerts import FLOW_ALERTS
from intops_core.monitoring.flow_dashboard import FLOW
from intops_core.monitoring.operator_alerts import OPERATOR_ALERTS

ALERT_GROUPS = (FLOW_ALERTS, CAUSE_ALERTS, OPERATOR_ALERTS)
"""Every alert, symptoms before causes."""

DASHBOARDS = (ESTATE, FLOW)

__all__ = ["ALERT_GROUPS", "DASHBOARDS", "Alert", "AlertGroup", "Dashboard"]
