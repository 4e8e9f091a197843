"""The dashboard of the estate: do messages arrive, where not, and is intops itself well?

For whoever runs the platform; `flow_dashboard` shows one Flow from near.
"""

from typing import Final

from intops_api.report import FILLING_FROM
from intops_core.monitoring.dashboard import Dashboard, Panel, Query, Row, Variable
from intops_core.monitoring.flow_alerts import NEARLY_FULL
from intops_core.monitoring.operator_panels import OPERATOR

_IN: Final = 'namespace=~"$namespace"'
_RATE: Final = "[$__rate_interval]"
_BY_FLOW: Final = "{{namespace}}/{{flow}}"

_ARRIVING: Final = Row(
    "Do messages arrive?",
    (
        Panel(
            "Flows that are Ready",
            "Flows whose messages arrive as promised.",
            (
                Query(
                    "count(max by (namespace, flow) (intops_operator_flow_condition"
                    f'{{{_IN}, type="Ready", status="True"}})) or vector(0)'
                ),
            ),
            kind="stat",
            width=4,
        ),
        Panel(
            "Flows that are not",
            "Ready is False or Unknown. The table says which and why.",
            (
                Query(
                    "count(max by (namespace, flow) (intops_operator_flow_condition"
                    f'{{{_IN}, type="Ready", status!="True"}})) or vector(0)'
                ),
            ),
            kind="stat",
            width=4,
            alarms_at=1,
        ),
        Panel(
            "Messages in flight",
            "Waiting, held or being sent, in all Flows. Some are normal; many that do not get fewer are not.",
            (
                Query(
                    "sum(max by (namespace, flow, state) (intops_messages"
                    f'{{{_IN}, state!="review"}})) or vector(0)'
                ),
            ),
            kind="stat",
            width=4,
        ),
        Panel(
            "Age of the oldest message",
            "How long the message has waited that has waited longest. Empty where nothing waits.",
            (Query(f"max(time() - intops_oldest_message_timestamp_seconds{{{_IN}}})"),),
            kind="stat",
            unit="s",
            width=4,
        ),
        Panel(
            "Messages in review",
            "They wait for a person. `intops review list` shows them.",
            (
                Query(
                    "sum(max by (namespace, flow) (intops_messages"
                    f'{{{_IN}, state="review"}})) or vector(0)'
                ),
            ),
            kind="stat",
            width=4,
            warns_at=1,
        ),
        Panel(
            "Reviews overdue",
            "They wait for a person longer than was agreed.",
            (
                Query(
                    "sum(max by (namespace, flow)"
                    f" (intops_review_overdue_messages{{{_IN}}})) or vector(0)"
                ),
            ),
            kind="stat",
            width=4,
            alarms_at=1,
        ),
        Panel(
            "Which Flows are not well, and why?",
            "Every condition that is False. The message in the Flow's status says what to do.",
            (
                Query(
                    "max by (namespace, flow, type, reason)"
                    f' (intops_operator_flow_condition{{{_IN}, status!="True"}})'
                ),
            ),
            kind="table",
            width=12,
            columns=("namespace", "flow", "type", "reason"),
        ),
        Panel(
            "Systems to which nothing is sent",
            "The system does not answer (open), refused a credential (held), or asked for a pause (limited).",
            (
                Query(
                    "max by (namespace, flow, connector, state)"
                    f" (intops_connector_gate_closed{{{_IN}}}) > 0"
                ),
            ),
            kind="table",
            width=12,
            columns=("namespace", "flow", "connector", "state"),
        ),
    ),
)

_TRAFFIC: Final = Row(
    "How much, and where does it pile up?",
    (
        Panel(
            "Messages received",
            "By Flow and second. A line that falls to nothing may be a source that has gone silent.",
            (
                Query(
                    "max by (namespace, flow)"
                    f" (rate(intops_messages_received_total{{{_IN}}}{_RATE}))",
                    _BY_FLOW,
                ),
            ),
            unit="reqps",
        ),
        Panel(
            "Messages delivered",
            "By Flow and second.",
            (
                Query(
                    "max by (namespace, flow)"
                    f' (rate(intops_messages_settled_total{{{_IN}, state="done"}}{_RATE}))',
                    _BY_FLOW,
                ),
            ),
            unit="reqps",
        ),
        Panel(
            "Backlog",
            "Messages in flight by Flow.",
            (
                Query(
                    "sum by (namespace, flow) (max by (namespace, flow, state)"
                    f' (intops_messages{{{_IN}, state!="review"}}))',
                    _BY_FLOW,
                ),
            ),
        ),
        Panel(
            "Age of the oldest message by Flow",
            "A line that climbs by one second a second: nothing is delivered.",
            (
                Query(
                    "max by (namespace, flow)"
                    f" (time() - intops_oldest_message_timestamp_seconds{{{_IN}}})",
                    _BY_FLOW,
                ),
            ),
            unit="s",
        ),
        Panel(
            "How full are the stores?",
            f"Senders are slowed down from {FILLING_FROM:.0%} on and refused at 100 %.",
            (
                Query(
                    f"max by (namespace, flow) (intops_store_fill_ratio{{{_IN}}})",
                    _BY_FLOW,
                ),
            ),
            unit="percentunit",
            warns_at=FILLING_FROM,
            alarms_at=NEARLY_FULL,
        ),
        Panel(
            "Messages that nobody can account for",
            "Must be empty or 0. Anything else is a defect.",
            (
                Query(
                    f"max by (namespace, flow) (abs(intops_messages_imbalance{{{_IN}}})) > 0",
                    _BY_FLOW,
                ),
            ),
            alarms_at=1,
        ),
    ),
)

ESTATE: Final = Dashboard(
    uid="intops-estate",
    title="intops: the estate",
    says="Do messages arrive, in which Flows not, and is the operator well?",
    variables=(Variable("namespace", "namespace", "intops_messages"),),
    rows=(_ARRIVING, _TRAFFIC, OPERATOR),
)
