"""Paths of the API server: which group, version and plural each kind that the operator touches has.

Used by the cluster client only.
"""

from dataclasses import dataclass

from intops_api import names
from intops_api.kinds import KINDS


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where objects of one kind are."""

    api_version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None, name: str | None = None, subresource: str = "") -> str:
        """`/apis/...` of the collection or of one object. `namespace` None means all."""
        root = "/api/" if "/" not in self.api_version else "/apis/"
        path = root + self.api_version
        if self.namespaced and namespace:
            path += f"/namespaces/{namespace}"
        path += f"/{self.plural}"
        if name is not None:
            path += f"/{name}"
        return path + (f"/{subresource}" if subresource else "")


ENDPOINTS: dict[str, Endpoint] = {
    **{kind.name: Endpoint(names.API_VERSION, kind.plural, kind.namespaced) for kind in KINDS},
    "ServiceAccount": Endpoint("v1", "serviceaccounts"),
    "ConfigMap": Endpoint("v1", "configmaps"),
    "Service": Endpoint("v1", "services"),
    "PersistentVolumeClaim": Endpoint("v1", "persistentvolumeclaims"),
    "Pod": Endpoint("v1", "pods"),
    "Secret": Endpoint("v1", "secrets"),
    "Deployment": Endpoint("apps/v1", "deployments"),
    "NetworkPolicy": Endpoint("networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": Endpoint("policy/v1", "poddisruptionbudgets"),
    "Event": Endpoint("events.k8s.io/v1", "events"),
    "Lease": Endpoint("coordination.k8s.io/v1", "leases"),
    "ValidatingWebhookConfiguration": Endpoint(
        "admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", namespaced=False
    ),
}
