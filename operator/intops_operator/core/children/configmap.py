"""The ConfigMap that carries the plan down to the worker.

Called by `children.desired`.
"""

import base64

from intops_api import names
from intops_operator.core.children.worker import Manifest, Worker, metadata


def plan_config_map(worker: Worker) -> Manifest:
    """The manifest; the annotation shows people which plan it holds."""
    meta = metadata(worker)
    meta["annotations"] = {names.ANNOTATION_PLAN_HASH: worker.plan.hash}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": meta,
        "binaryData": {names.PLAN_KEY: base64.b64encode(worker.plan_data).decode()},
    }
