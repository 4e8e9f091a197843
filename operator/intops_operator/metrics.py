"""Metrics of the operator: every name, once.

Edges and loops count here; the health server shows them at /metrics.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY: Final = CollectorRegistry()

LEADER: Final = Gauge("intops_operator_leader", "1 while this replica leads.", registry=REGISTRY)
SYNCED: Final = Gauge(
    "intops_operator_cache_synced", "1 once the cache holds what exists.", registry=REGISTRY
)
CACHED: Final = Gauge(
    "intops_operator_cached_objects", "Objects in the cache.", ["kind"], registry=REGISTRY
)
FEED_EVENTS: Final = Counter(
    "intops_operator_feed_events_total", "Events of the feed.", ["kind"], registry=REGISTRY
)
FEED_LAST: Final = Gauge(
    "intops_operator_feed_last_event_timestamp_seconds",
    "When the feed last brought an event of the kind.",
    ["kind"],
    registry=REGISTRY,
)
GHOSTS: Final = Counter(
    "intops_operator_ghosts_purged_total",
    "Objects that were gone although the feed never said so.",
    ["kind"],
    registry=REGISTRY,
)
QUEUE_DEPTH: Final = Gauge(
    "intops_operator_queue_depth", "Objects that wait for reconciling.", registry=REGISTRY
)
RECONCILES: Final = Counter(
    "intops_operator_reconciles_total", "Reconciles.", ["kind", "result"], registry=REGISTRY
)
RECONCILE_SECONDS: Final = Histogram(
    "intops_operator_reconcile_duration_seconds",
    "Time of one reconcile.",
    ["kind"],
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10),
    registry=REGISTRY,
)
API_REQUESTS: Final = Counter(
    "intops_operator_api_requests_total",
    "Requests to the API server.",
    ["verb", "code"],
    registry=REGISTRY,
)
STATUS_WRITES: Final = Counter(
    "intops_operator_status_writes_total", "Status writes.", ["kind", "cause"], registry=REGISTRY
)
REPORTS: Final = Counter(
    "intops_operator_reports_total", "Reports asked of workers.", ["result"], registry=REGISTRY
)
FLOWS: Final = Gauge(
    "intops_operator_flows", "Flows by their Ready condition.", ["status", "reason"],
    registry=REGISTRY,
)  # fmt: skip
FLOW_CONDITION: Final = Gauge(
    "intops_operator_flow_condition",
    "1 for the Ready condition of each Flow, and for each other one that is False.",
    ["namespace", "flow", "type", "status", "reason"],
    registry=REGISTRY,
)
REVIEWS: Final = Counter(
    "intops_operator_admission_reviews_total",
    "Objects judged at admission.",
    ["kind", "verdict"],
    registry=REGISTRY,
)
REVIEW_SECONDS: Final = Histogram(
    "intops_operator_admission_duration_seconds",
    "Time to judge one object at admission.",
    ["kind"],
    buckets=(0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 2, 4),
    registry=REGISTRY,
)
SHIPPED_REFUSED: Final = Gauge(
    "intops_operator_shipped_refused",
    "Shipped classes, models and Patterns that the API server has refused and that are tried again.",
    registry=REGISTRY,
)
CERTIFICATE_EXPIRES: Final = Gauge(
    "intops_operator_certificate_expiry_timestamp_seconds",
    "When the admission certificate ends.",
    registry=REGISTRY,
)
FLOW_REPLICAS: Final = Gauge(
    "intops_operator_flow_replicas",
    "Workers of Flows whose number the operator decides: wanted, and ready.",
    ["namespace", "flow", "state"],
    registry=REGISTRY,
)
RESIZES: Final = Counter(
    "intops_operator_resizes_total",
    "Changes of the number of workers by the backlog.",
    ["direction"],
    registry=REGISTRY,
)
ROLLOUT_WORKERS: Final = Gauge(
    "intops_operator_rollout_workers",
    "Workers, a pool's too, by how far they are with the operator's worker image: waiting, rolling, failed, done.",
    ["state"],
    registry=REGISTRY,
)
ROLLOUT_HALTED: Final = Gauge(
    "intops_operator_rollout_halted",
    "1 while no further worker gets the new image, because a Flow is worse off with it.",
    registry=REGISTRY,
)
CERTIFICATE_PROBLEM: Final = Gauge(
    "intops_operator_certificate_problem",
    "1 while something is wrong with the admission certificate, or with the one that should replace it.",
    ["reason"],
    registry=REGISTRY,
)
