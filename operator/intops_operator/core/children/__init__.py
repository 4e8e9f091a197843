"""The children of one Flow: one builder a file, `desired` for all.

Called by the reconciler with a planned Flow; pure, so the same plan gives the same manifests.
"""

from intops_operator.core.children.configmap import plan_config_map
from intops_operator.core.children.deployment import worker_deployment
from intops_operator.core.children.networkpolicy import network_policy
from intops_operator.core.children.persistentvolumeclaim import store_claim
from intops_operator.core.children.poddisruptionbudget import disruption_budget
from intops_operator.core.children.service import worker_service
from intops_operator.core.children.serviceaccount import service_account
from intops_operator.core.children.worker import Manifest, Worker

CHILD_KINDS = (
    "ServiceAccount",
    "ConfigMap",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "Service",
    "PodDisruptionBudget",
    "Deployment",
)
"""Kinds of children, in the order in which they are applied: what a pod needs comes first."""


def desired(worker: Worker) -> list[Manifest]:
    """Every child that should exist, in the order in which they are applied."""
    if worker.slot is not None:
        # The rest is the pool's, see `pool.desired_pool`.
        return [plan_config_map(worker), worker_service(worker)]
    return [
        service_account(worker),
        plan_config_map(worker),
        *([store_claim(worker)] if worker.is_embedded else []),
        network_policy(worker),
        worker_service(worker),
        *([disruption_budget(worker)] if worker.replicas > 1 else []),
        worker_deployment(worker),
    ]
