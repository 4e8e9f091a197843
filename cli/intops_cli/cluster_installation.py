"""Read what an installation in a cluster looks like, as far as the rights of the person who asks let it.

Used by `doctor`, and by `status` for the operator. Decides nothing: `diagnosis` does.
"""

import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from intops_api import names
from intops_api.kinds import KINDS
from intops_cli.cluster_access import ClusterAccess
from intops_cli.cluster_requests import ClusterRequests, shown_certificate
from intops_cli.installation import (
    OPERATOR_SELECTOR,
    WORKER_SELECTOR,
    Installation,
    Listed,
    Manifest,
    Operation,
    Right,
    Unread,
    lease_place,
    place,
    readable,
)
from intops_cli.worker_client import Refused, WorkerUnavailable
from intops_operator.proof import wrong_connector

FORBIDDEN: Final = 403
HEALTH_PORT: Final = 8080
ADMISSION_PORT: Final = 9443
CONNECT_S: Final = 5.0
ASKED_RIGHTS: Final = (
    ("list", names.GROUP, "flows", ""),
    ("list", names.GROUP, "connectors", ""),
    ("create", names.GROUP, "flows", ""),
    ("create", names.GROUP, "flowactions", ""),
    ("list", "", "pods", ""),
    ("create", "", "pods", "portforward"),
)
"""Verb, group, resource and subresource of what the commands of this tool need."""

_Found = TypeVar("_Found")


def read_installation(cluster: ClusterAccess) -> Installation:
    """Everything that `doctor` looks at.

    Raises:
        WorkerUnavailable: the API server does not answer at all.
    """
    ask = cluster.requests
    ours = f"/apis/{names.API_VERSION}"
    operation = read_operation(cluster)
    pods = readable(operation.pods)
    made = {
        "flows": _wherever(cluster, ours, "flows"),
        "workers": _wherever(cluster, "/apis/apps/v1", "deployments", WORKER_SELECTOR),
        "worker_pods": _wherever(cluster, "/api/v1", "pods", WORKER_SELECTOR),
        "claims": _wherever(cluster, "/api/v1", "persistentvolumeclaims", WORKER_SELECTOR),
    }
    everywhere = all(seen_everywhere for _, seen_everywhere in made.values())
    webhooks = _webhooks(ask)
    return Installation(
        operation=operation,
        namespace=cluster.namespace,
        everywhere=everywhere,
        served=_served(ask, ours),
        kinds=_kinds(ask),
        webhooks=webhooks,
        certificates=_certificates(ask, readable(webhooks), pods),
        proof=_proof(ask, cluster.namespace),
        catalogue=_catalogue(ask, ours),
        rights=tuple(_rights(ask, cluster.namespace)),
        metrics={place(pod)[1]: _metrics(ask, pod) for pod in pods if _runs(pod)},
        **{
            name: found if everywhere else _only(found, cluster.namespace)
            for name, (found, _) in made.items()
        },
    )


def _only(found: Listed, namespace: str) -> Listed:
    """What is compared with each other is of the same places, whatever may be listed everywhere."""
    if isinstance(found, Unread):
        return found
    return [one for one in found if place(one)[0] == namespace]


def read_operation(cluster: ClusterAccess) -> Operation:
    """The operator, wherever it is installed."""
    operators, everywhere = _wherever(cluster, "/apis/apps/v1", "deployments", OPERATOR_SELECTOR)
    return Operation(
        namespace=cluster.namespace,
        everywhere=everywhere,
        operators=operators,
        pods=_wherever(cluster, "/api/v1", "pods", OPERATOR_SELECTOR)[0],
        leases=_leases(cluster, operators),
    )


def _leases(cluster: ClusterAccess, operators: Listed) -> dict[tuple[str, str], Manifest | Unread]:
    """The Lease of each operator."""
    found: dict[tuple[str, str], Manifest | Unread] = {}
    for namespace, name in map(lease_place, readable(operators)):
        path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"
        found[namespace, name] = _seen(lambda path=path: cluster.requests.read(path))  # type: ignore[misc]
    return found


def _seen(read: Callable[[], _Found]) -> _Found | Unread:
    try:
        return read()
    except Refused as refused:
        return Unread(str(refused))


def _wherever(
    cluster: ClusterAccess, group: str, plural: str, selector: str = ""
) -> tuple[Listed, bool]:
    """Objects of every namespace, else of the one that is meant; and whether it was every namespace."""
    query = {"labelSelector": selector} if selector else {}
    try:
        return cluster.requests.items(f"{group}/{plural}", **query), True
    except Refused as refused:
        if refused.status != FORBIDDEN:
            return Unread(str(refused)), True
    path = f"{group}/namespaces/{cluster.namespace}/{plural}"
    return _seen(lambda: cluster.requests.items(path, **query)), False


def _served(ask: ClusterRequests, path: str) -> frozenset[str] | Unread:
    """Everybody who is logged in may read what is served; an unknown group is nothing served."""
    try:
        return frozenset(str(one["name"]) for one in ask.read(path)["resources"])
    except Refused as refused:
        return Unread(str(refused)) if refused.status == FORBIDDEN else frozenset()


def _kinds(ask: ClusterRequests) -> Listed:
    found = _seen(lambda: ask.items("/apis/apiextensions.k8s.io/v1/customresourcedefinitions"))
    if isinstance(found, Unread):
        return found
    return [crd for crd in found if crd["spec"]["group"] == names.GROUP]


def _catalogue(ask: ClusterRequests, path: str) -> Listed:
    found: list[dict[str, Any]] = []
    for kind in KINDS:
        if not kind.namespaced:
            listed = _seen(lambda plural=kind.plural: ask.items(f"{path}/{plural}"))  # type: ignore[misc]
            if isinstance(listed, Unread):
                return listed
            found += [{**one, "kind": kind.name} for one in listed]
    return found


def _webhooks(ask: ClusterRequests) -> Listed:
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    found = _seen(lambda: ask.items(path))
    if isinstance(found, Unread):
        return found
    return [one for one in found if any(map(_judges_us, one.get("webhooks") or ()))]


def _judges_us(webhook: Mapping[str, Any]) -> bool:
    return any(names.GROUP in (rule.get("apiGroups") or ()) for rule in webhook.get("rules") or ())


def _certificates(
    ask: ClusterRequests, webhooks: Iterable[Manifest], pods: Iterable[Manifest]
) -> dict[str, str | Unread]:
    """What is shown to the API server: by each pod, or at the address that a configuration names."""
    found: dict[str, str | Unread] = {}
    for configuration in webhooks:
        for webhook in configuration["webhooks"]:
            url = webhook["clientConfig"].get("url")
            if url and url not in found:
                found[url] = _certificate_at(url)
    for namespace, name in (place(pod) for pod in pods if _runs(pod)):
        try:
            found[name] = ask.certificate(namespace, name, ADMISSION_PORT)
        except WorkerUnavailable as error:
            found[name] = Unread(str(error))
    return found


def _certificate_at(url: str) -> str | Unread:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname, parts.port or 443), CONNECT_S) as connected:
            return shown_certificate(connected)
    except OSError as error:
        return Unread(f"{parts.netloc} does not answer from here: {error}.")


def _runs(pod: Manifest) -> bool:
    return (pod.get("status") or {}).get("phase") == "Running"


def _proof(ask: ClusterRequests, namespace: str) -> str | Unread | None:
    """What the API server says to a Connector that only our admission refuses; nothing is stored."""
    path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/connectors"
    try:
        ask.create(path, wrong_connector(namespace), dryRun="All")
    except Refused as refused:
        lacks_right = refused.status == FORBIDDEN and "cannot create resource" in str(refused)
        return Unread(str(refused)) if lacks_right else str(refused)
    return None


def _rights(ask: ClusterRequests, namespace: str) -> Iterable[Right]:
    for verb, group, resource, subresource in ASKED_RIGHTS:
        attributes = {
            "namespace": namespace, "verb": verb, "group": group, "resource": resource,
            "subresource": subresource,
        }  # fmt: skip
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = ask.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        name = f"{resource}/{subresource}" if subresource else resource
        yield Right(verb, name, bool(answer["status"]["allowed"]))


def _metrics(ask: ClusterRequests, pod: Manifest) -> str | Unread:
    namespace, name = place(pod)
    try:
        status, text = ask.answer(namespace, name, HEALTH_PORT, "/metrics")
    except WorkerUnavailable as error:
        return Unread(str(error))
    return text if status == 200 else Unread(f'Pod "{name}" answered /metrics with HTTP {status}.')


def read_usage(cluster: ClusterAccess) -> tuple[list[dict[str, Any]], list[str]]:
    """PodMetrics of the workers, and why there are none."""
    group = "/apis/metrics.k8s.io/v1beta1"
    path = "pods" if cluster.everywhere else f"namespaces/{cluster.namespace}/pods"
    try:
        return cluster.requests.items(f"{group}/{path}", labelSelector=WORKER_SELECTOR), []
    except Refused as refused:
        return [], [f"Processor and memory are not known: {refused}"]
