"""Names that users, charts and other tools rely on: group, labels, annotations, ports. Defined once, here.

Every plane imports from this module; renaming anything here is an API change.
"""

from typing import Final

GROUP: Final = "intops.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "intops"

# Labels on children of a Flow. `app.kubernetes.io/instance` is never set: Argo CD tracks by it.
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
MANAGED_BY: Final = "intops"
LABEL_FLOW: Final = f"{GROUP}/flow"
LABEL_POOL: Final = f"{GROUP}/pool"
LABEL_STORE: Final = f"{GROUP}/store"
"""On a volume `embedded`; on a Flow's plan the kind of store that it names, `embedded` or `postgres`."""
LABEL_SHIPPED: Final = f"{GROUP}/shipped"

ANNOTATION_PLAN_HASH: Final = f"{GROUP}/plan-hash"
ANNOTATION_NEEDS: Final = f"{GROUP}/needs"
"""On the plan of a Flow in a pool: what it needs of the pool's worker, as JSON."""
ANNOTATION_TAKEN: Final = f"{GROUP}/taken"
"""On a volume: `true` before its worker may use it, `false` before it is deleted."""
ANNOTATION_FLOW_UID: Final = f"{GROUP}/flow-uid"
ANNOTATION_ACTIONS: Final = f"{GROUP}/actions-hash"
ANNOTATION_SCALE: Final = f"{GROUP}/scale"
"""On a worker's Deployment: how many replicas the backlog asked for last, when, and what one of them can do."""
ANNOTATION_ROLLOUT: Final = f"{GROUP}/rollout"
"""On a worker's Deployment: image that it was given, when, and how its Flow was before."""
ANNOTATION_ACCEPT_IMPACT: Final = f"{GROUP}/accept-impact"
ANNOTATION_CATALOG_VERSION: Final = f"{GROUP}/catalog-version"

FIELD_MANAGER: Final = "intops-controller"
FIELD_MANAGER_CATALOG: Final = "intops-catalog"

# Ports of a worker (design: data plane, capture).
PORT_CAPTURE: Final = 8080
PORT_OPERATIONS: Final = 8081
PORT_CONSOLE: Final = 8082

CAPTURE_PATH: Final = "/in/{namespace}/{flow}/{binding}"
DELIVERY_PATH: Final = CAPTURE_PATH + "/{delivery}"
"""Where a sender that was answered 202 asks later what became of its delivery."""

# Keys of the plan ConfigMap. `plan.json.gz` holds one gzip-compressed FlowPlan.
PLAN_KEY: Final = "plan.json.gz"
ACTIONS_KEY: Final = "actions.json"
"""Decisions of people that wait for the worker's answer, in the same ConfigMap."""
PLAN_MAX_BYTES: Final = (
    900 * 1024
)  # Kubernetes refuses objects above 1 MiB; room for metadata is left.

# A Flow in a pool has one of so many places in the pool's worker; each is a ConfigMap that may be missing.
POOL_PLACES: Final = 100

# A Secret's optional key that binds it to hosts: a comma-separated list of origins.
SECRET_ALLOWED_ORIGINS: Final = "allowedOrigins"
SECRET_PREVIOUS_SUFFIX: Final = ".previous"
SECRET_LEAST_BYTES: Final = 32
"""What senders prove themselves with is told as weak below this length: as much as an HMAC of SHA-256 can use."""
