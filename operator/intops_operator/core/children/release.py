"""What an operator makes workers of, as it is compared when another edition of it leads.

Called by `shaping` once for each term.
"""

import hashlib
import json
from typing import Any

from intops_api.flow import PostgresStore, Runtime, Store
from intops_api.plan import FlowPlan
from intops_operator.core.children.deployment import worker_pod
from intops_operator.core.children.pool import Needs, Pool
from intops_operator.core.children.worker import Shape, Worker, WorkerSettings
from intops_operator.core.rolling import Release


def release_of(settings: WorkerSettings) -> Release:
    """What this operator makes workers of: the image, and a hash of all that every pod has in common."""
    # The image is told by itself.
    shape = Shape(image="any")
    pods = [worker_pod(Pool("any", "any", (Needs(),), settings, shape=shape))]
    for store in (Store(), Store(postgres=PostgresStore(secret_name="any"))):
        parts: dict[str, Any] = {"store": store, "bindings": []}
        plan = FlowPlan.model_construct(**parts)
        worker = Worker("any", "any", "", plan, b"", Runtime(store=store), settings, shape=shape)
        pods.append(worker_pod(worker))
    text = json.dumps(pods, sort_keys=True)
    return Release(settings.image, hashlib.sha256(text.encode()).hexdigest()[:12])
