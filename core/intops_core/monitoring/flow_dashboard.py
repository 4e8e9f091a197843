"""The dashboard of one Flow: what came, what became of it, and what its systems do.

For the team that owns the Flow, and for whoever an alert has sent there.
"""

from typing import Final

from intops_api.report import FILLING_FROM
from intops_core.monitoring.dashboard import Dashboard, Panel, Query, Row, Variable
from intops_core.monitoring.flow_alerts import NEARLY_FULL

_IN: Final = 'namespace="$namespace", flow="$flow"'
_RATE: Final = "[$__rate_interval]"

_NOW: Final = Row(
    "Now",
    (
        Panel(
            "Is it Ready?",
            "The reason of the Ready condition. `kubectl describe flow` has the sentence.",
            (
                Query(
                    "max by (status, reason)"
                    f' (intops_operator_flow_condition{{{_IN}, type="Ready"}})',
                ),
            ),
            kind="table",
            width=6,
            columns=("status", "reason"),
        ),
        Panel(
            "What else is not well?",
            "Conditions that are False.",
            (
                Query(
                    "max by (type, reason)"
                    f' (intops_operator_flow_condition{{{_IN}, type!="Ready"}})',
                ),
            ),
            kind="table",
            width=6,
            columns=("type", "reason"),
        ),
        Panel(
            "Last delivered",
            "When the target took a message last.",
            (Query(f"max(intops_last_delivered_timestamp_seconds{{{_IN}}}) * 1000"),),
            kind="stat",
            unit="dateTimeFromNow",
            width=4,
        ),
        Panel(
            "In flight",
            "Waiting, held or being sent.",
            (Query(f'sum(max by (state) (intops_messages{{{_IN}, state!="review"}}))'),),
            kind="stat",
            width=4,
        ),
        Panel(
            "In review, overdue",
            "They wait for a person; the second number longer than agreed.",
            (
                Query(f'max(intops_messages{{{_IN}, state="review"}})', "in review"),
                Query(f"max(intops_review_overdue_messages{{{_IN}}})", "overdue"),
            ),
            kind="stat",
            width=4,
            warns_at=1,
        ),
    ),
)

_BECAME: Final = Row(
    "What came, and what became of it?",
    (
        Panel(
            "Received and ended",
            "The lines lie on each other where the Flow keeps up.",
            (
                Query(f"max(rate(intops_messages_received_total{{{_IN}}}{_RATE}))", "received"),
                Query(
                    "sum by (state) (max by (state, reason)"
                    f" (rate(intops_messages_settled_total{{{_IN}}}{_RATE})))",
                    "{{state}}",
                ),
            ),
            unit="reqps",
        ),
        Panel(
            "Why were messages dropped?",
            "Repeats and duplicates are normal: they are why there is one ticket.",
            (
                Query(
                    "max by (reason)"
                    f' (rate(intops_messages_settled_total{{{_IN}, state="dropped"}}{_RATE}))',
                    "{{reason}}",
                ),
            ),
            unit="reqps",
        ),
        Panel(
            "Deliveries",
            "Webhooks as they came. Malformed ones could not be read.",
            (
                Query(
                    f"max by (state) (rate(intops_deliveries_total{{{_IN}}}{_RATE}))",
                    "{{state}}",
                ),
            ),
            unit="reqps",
        ),
        Panel(
            "Where do messages wait?",
            "Held ones wait for a system or a credential; those in review for a person.",
            (Query(f"max by (state) (intops_messages{{{_IN}}})", "{{state}}"),),
        ),
        Panel(
            "Is it in time?",
            "Age of the oldest message, against what the Flow promises.",
            (
                Query(
                    f"max(time() - intops_oldest_message_timestamp_seconds{{{_IN}}})",
                    "oldest message",
                ),
                Query(f"max(intops_delivery_target_seconds{{{_IN}}})", "promised"),
            ),
            unit="s",
        ),
        Panel(
            "How full is the store?",
            f"Senders are slowed down from {FILLING_FROM:.0%} on and refused at 100 %. Empty with PostgreSQL.",
            (Query(f"max(intops_store_fill_ratio{{{_IN}}})", "used"),),
            unit="percentunit",
            warns_at=FILLING_FROM,
            alarms_at=NEARLY_FULL,
        ),
    ),
)

_SYSTEMS: Final = Row(
    "What do its systems do?",
    (
        Panel(
            "Systems to which nothing is sent",
            "1 while the system does not answer (open), has refused a credential (held), or asked for a pause "
            "(limited).",
            (
                Query(
                    "max by (binding, connector, state)"
                    f" (intops_connector_gate_closed{{{_IN}}}) > 0",
                    "{{connector}}: {{state}}",
                ),
            ),
        ),
        Panel(
            "Look-ups of enrichers",
            "Stale: an older answer stood in. Error: no answer in time.",
            (
                Query(
                    f"sum by (enricher, result) (rate(intops_enrichment_total{{{_IN}}}{_RATE}))",
                    "{{enricher}}: {{result}}",
                ),
            ),
            unit="reqps",
        ),
        Panel(
            "Delivered and not yet complete",
            "Messages that were delivered without what an enricher knows; they are completed when it answers.",
            (
                Query(
                    f"max by (enricher) (intops_incomplete_messages{{{_IN}}})",
                    "{{enricher}}",
                ),
            ),
        ),
        Panel(
            "Do webhooks get lost?",
            "Messages of the last hour that came only because the source was asked.",
            (
                Query(
                    f"sum by (source) (increase(intops_poll_recovered_total{{{_IN}}}[1h]))",
                    "{{source}}",
                ),
            ),
        ),
        Panel(
            "Does asking the sources work?",
            "Times that a source was asked what is active.",
            (
                Query(
                    f"sum by (source, result) (rate(intops_poll_total{{{_IN}}}{_RATE}))",
                    "{{source}}: {{result}}",
                ),
            ),
            unit="reqps",
        ),
        Panel(
            "Late writes refused",
            "Writes of a replica that came after another had taken over. Nothing is lost by them.",
            (
                Query(
                    f"sum by (pod) (increase(intops_store_late_writes_refused_total{{{_IN}}}[1h]))",
                    "{{pod}}",
                ),
            ),
        ),
    ),
)

_PAYLOADS: Final = Row(
    "Do payloads look the way the Mappings expect?",
    (
        Panel(
            "Forms of payloads",
            "Which variant of the Mapping recognised them. A new line is a new version of the source.",
            (
                Query(
                    "sum by (source, variant)"
                    f" (rate(intops_variant_messages_total{{{_IN}}}{_RATE}))",
                    "{{source}}: {{variant}}",
                ),
            ),
            unit="reqps",
        ),
        Panel(
            "Changes of payloads",
            "Seen in the last hour. Critical ones send messages to review.",
            (
                Query(
                    f"max by (severity) (intops_drift_findings{{{_IN}}})",
                    "{{severity}}",
                ),
            ),
        ),
        Panel(
            "Mappings on trial",
            "What the new Mapping would have made, against the one that decides.",
            (
                Query(
                    f"sum by (binding, result) (rate(intops_shadow_total{{{_IN}}}{_RATE}))",
                    "{{binding}}: {{result}}",
                ),
            ),
            unit="reqps",
        ),
        Panel(
            "Plan refused",
            "1 while the newest plan was refused and an older one runs.",
            (Query(f"max by (pod) (intops_plan_rejected{{{_IN}}})", "{{pod}}"),),
        ),
        Panel(
            "Messages that nobody can account for",
            "Must be 0. Anything else is a defect.",
            (Query(f"max(abs(intops_messages_imbalance{{{_IN}}}))", "unaccounted for"),),
            alarms_at=1,
        ),
    ),
)

FLOW: Final = Dashboard(
    uid="intops-flow",
    title="intops: one Flow",
    says="What came to a Flow, what became of it, and what its systems do.",
    variables=(
        Variable("namespace", "namespace", "intops_operator_flow_condition", many=False),
        Variable(
            "flow", "flow", 'intops_operator_flow_condition{namespace="$namespace"}', many=False
        ),
    ),
    rows=(_NOW, _BECAME, _SYSTEMS, _PAYLOADS),
)
