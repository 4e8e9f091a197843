"""The PodDisruptionBudget: a node that is emptied takes one worker of a Flow at a time.

Called by `children.desired` from two replicas on; with one, a budget could only keep nodes from being emptied.
"""

from intops_operator.core.children.worker import Manifest, Worker, metadata, selector


def disruption_budget(worker: Worker) -> Manifest:
    """The manifest. A worker that is not ready may always go: it does nothing that could be disrupted."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(worker),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector(worker.flow)},
        },
    }
