"""The ConfigMap that carries the plan down to the worker.

Called by `children.desired`. In a pool it is one of the worker's places, whose name does not depend on the
Flow, so that a Flow that comes does not change the pod.
"""

import base64

from intops_api import names
from intops_operator.core.children.pool import needs_of, needs_text
from intops_operator.core.children.worker import (
    EMBEDDED,
    POSTGRES,
    Manifest,
    Worker,
    metadata,
    slot_name,
)


def plan_config_map(worker: Worker, *, closed: bool = False) -> Manifest:
    """The manifest; the annotation shows people which plan it holds.

    Args:
        worker: Of the Flow.
        closed: Leave the plan out, so that the worker stops it: the Flow is about to leave its pool.
    """
    meta = metadata(worker)
    meta["annotations"] = {}
    if worker.slot is not None:
        meta["name"] = slot_name(worker.slot.pool, worker.slot.place)
        meta["annotations"][names.ANNOTATION_NEEDS] = needs_text(needs_of(worker))
    manifest: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}
    if not closed:
        meta["annotations"][names.ANNOTATION_PLAN_HASH] = worker.plan.hash
        meta["labels"][names.LABEL_STORE] = EMBEDDED if worker.is_embedded else POSTGRES
        plan = base64.b64encode(worker.plan_data).decode()
        manifest["binaryData"] = {names.PLAN_KEY: plan}
    return manifest
