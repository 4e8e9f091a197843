"""The row about the operator itself on the dashboard of the estate."""

from typing import Final

from intops_core.monitoring.dashboard import Panel, Query, Row

_RATE: Final = "[$__rate_interval]"

OPERATOR: Final = Row(
    "Is the operator well?",
    (
        Panel(
            "Leaders",
            "One for each installation. None: no status is true any more.",
            (Query("sum(intops_operator_leader) or vector(0)"),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Admission certificate ends",
            "Renewed 30 days before by the leader and by cert-manager.",
            (Query("min(intops_operator_certificate_expiry_timestamp_seconds > 0) * 1000"),),
            kind="stat",
            unit="dateTimeFromNow",
            width=4,
        ),
        Panel(
            "Objects that wait for reconciling",
            "Falls to 0 within seconds of a change.",
            (Query("max(intops_operator_queue_depth)"),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Objects judged at admission",
            "Refused: the object is wrong. Failed: the operator could not judge it.",
            (
                Query(
                    f"sum by (verdict) (rate(intops_operator_admission_reviews_total{_RATE}))",
                    "{{verdict}}",
                ),
            ),
            unit="reqps",
            width=12,
        ),
        Panel(
            "Time to judge one object",
            "The API server waits 5 s at most.",
            (
                Query(
                    "histogram_quantile(0.99, sum by (le)"
                    f" (rate(intops_operator_admission_duration_seconds_bucket{_RATE})))",
                    "99 of 100 are faster",
                ),
            ),
            unit="s",
        ),
        Panel(
            "Time of one reconcile",
            "By kind of object; 99 of 100 are faster.",
            (
                Query(
                    "histogram_quantile(0.99, sum by (le, kind)"
                    f" (rate(intops_operator_reconcile_duration_seconds_bucket{_RATE})))",
                    "{{kind}}",
                ),
            ),
            unit="s",
        ),
        Panel(
            "Reconciles",
            "Failed ones are tried again, with growing pauses.",
            (
                Query(
                    f"sum by (result) (rate(intops_operator_reconciles_total{_RATE}))",
                    "{{result}}",
                ),
            ),
            unit="reqps",
        ),
        Panel(
            "Reports asked of workers",
            "Silent: a worker did not answer.",
            (
                Query(
                    f"sum by (result) (rate(intops_operator_reports_total{_RATE}))",
                    "{{result}}",
                ),
            ),
            unit="reqps",
        ),
        Panel(
            "Requests to the API server",
            "By answer.",
            (
                Query(
                    f"sum by (verb, code) (rate(intops_operator_api_requests_total{_RATE}))",
                    "{{verb}} {{code}}",
                ),
            ),
            unit="reqps",
        ),
        Panel(
            "Status writes",
            "By what made them necessary.",
            (
                Query(
                    f"sum by (cause) (rate(intops_operator_status_writes_total{_RATE}))",
                    "{{cause}}",
                ),
            ),
            unit="reqps",
        ),
    ),
)
