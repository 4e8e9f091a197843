"""What was seen of an installation in a cluster: the input of `diagnosis`, which decides.

Filled by `cluster_installation`; a part that could not be read is `Unread`, with the sentence that says why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from intops_api import names

Manifest = Mapping[str, Any]

OPERATOR_NAME: Final = "intops-operator"
OPERATOR_SELECTOR: Final = f"{names.LABEL_NAME}={OPERATOR_NAME}"
WORKER_SELECTOR: Final = (
    f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY},{names.LABEL_COMPONENT}=worker"
)


@dataclass(frozen=True, slots=True, order=True)
class Crew:
    """Whose a worker is: that of one Flow, or that of a pool, which Flows of a namespace share."""

    namespace: str
    name: str
    is_pool: bool = False

    def __str__(self) -> str:
        return f"{'pool ' if self.is_pool else ''}{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that these rights, or this cluster, do not show."""

    why: str


Listed = Sequence[Manifest] | Unread


@dataclass(frozen=True, slots=True)
class Right:
    """One thing that the person who asks may do, or may not, in the namespace that is meant."""

    verb: str
    resource: str
    allowed: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """Who runs the control plane.

    Attributes:
        namespace: The namespace that the person means.
        everywhere: Whether all namespaces were read, or that one only.
        operators: Deployments of the operator.
        pods: Their pods.
        leases: Leases by which they elect a leader, by namespace and name.
    """

    namespace: str
    everywhere: bool
    operators: Listed
    pods: Listed
    leases: Mapping[tuple[str, str], Manifest | Unread]


@dataclass(frozen=True, slots=True)
class Installation:
    """One cluster at one moment, as far as it could be seen.

    Attributes:
        operation: Who runs the control plane.
        namespace: Where rights were asked about and admission was tried.
        everywhere: Whether Flows and workers of all namespaces were read, or of that one only.
        served: Plurals of our kinds that the API server serves in our version.
        kinds: CustomResourceDefinitions of our group.
        webhooks: Webhook configurations that judge our group.
        certificates: PEM certificate that each operator pod shows, by its name.
        proof: What the API server said to a wrong object on trial; None where it took it.
        catalogue: Objects of the class-like kinds.
        flows, workers, worker_pods, claims: Flows, and what was made for them.
        rights: What the person who asks may do.
        metrics: Metrics that each operator pod shows, by its name.
    """

    operation: Operation
    namespace: str
    everywhere: bool
    served: frozenset[str] | Unread
    kinds: Listed
    webhooks: Listed
    certificates: Mapping[str, str | Unread]
    proof: str | Unread | None
    catalogue: Listed
    flows: Listed
    workers: Listed
    worker_pods: Listed
    claims: Listed
    rights: tuple[Right, ...] = ()
    metrics: Mapping[str, str | Unread] = field(default_factory=dict)


def readable(listed: Listed) -> Sequence[Manifest]:
    """What could be read; nothing where nothing could."""
    return () if isinstance(listed, Unread) else listed


def place(found: Manifest) -> tuple[str, str]:
    """Namespace and name."""
    meta = found["metadata"]
    return str(meta.get("namespace") or ""), str(meta["name"])


def crew_of(child: Manifest) -> Crew | None:
    """Whose worker a Deployment, a pod or a volume belongs to; None where its labels do not say."""
    meta = child["metadata"]
    labels, namespace = meta.get("labels") or {}, str(meta.get("namespace") or "")
    if names.LABEL_FLOW in labels:
        return Crew(namespace, str(labels[names.LABEL_FLOW]))
    if names.LABEL_POOL in labels:
        return Crew(namespace, str(labels[names.LABEL_POOL]), is_pool=True)
    return None


def crew_for(flow: Manifest) -> Crew:
    """Whose worker a Flow is to have: its own, or that of the pool that it names."""
    namespace, name = place(flow)
    pool = ((flow.get("spec") or {}).get("runtime") or {}).get("pool")
    return Crew(namespace, str(pool), is_pool=True) if pool else Crew(namespace, name)


def argument(operator: Manifest, name: str) -> str | None:
    """What a flag of the operator's container says, such as `--worker-image`; None where it is not given."""
    for container in operator["spec"]["template"]["spec"]["containers"]:
        for text in container.get("args") or ():
            key, _, value = str(text).partition("=")
            if key == name:
                return value
    return None


def lease_place(operator: Manifest) -> tuple[str, str]:
    """Namespace and name of the Lease by which the replicas of an operator elect a leader."""
    return place(operator)[0], argument(operator, "--lease-name") or OPERATOR_NAME
