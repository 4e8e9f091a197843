"""The peer of bench/scale.py: a kopf operator written the ordinary way.

`python -m bench.ordinary KUBECONFIG`: an index of Mappings and Connectors, create, update and resume handlers that
make the same six children with the official client, their results in the status, and a handler that touches the Flows
of a changed Mapping. It checks nothing, compiles nothing, asks no worker and writes no condition.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from typing import Any

import kopf
import kubernetes
from kubernetes.client.exceptions import ApiException

from intops_api import names
from intops_operator.core.children.worker import labels

GROUP, VERSION = names.GROUP, names.VERSION


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """As the documentation's examples, without an Event for each handler."""
    settings.posting.enabled = False
    settings.peering.standalone = True


@kopf.on.login()
def login(**given: Any) -> Any:
    """With the kubeconfig that was named."""
    return kopf.login_with_kubeconfig(**given)


@kopf.index(GROUP, VERSION, "mappings")
def mappings(namespace: str, name: str, spec: kopf.Spec, **_: Any) -> Any:
    """Every Mapping."""
    return {(namespace, name): dict(spec)}


@kopf.index(GROUP, VERSION, "connectors")
def connectors(namespace: str, name: str, spec: kopf.Spec, **_: Any) -> Any:
    """Every Connector."""
    return {(namespace, name): dict(spec)}


@kopf.index(GROUP, VERSION, "flows")
def users(namespace: str, name: str, spec: kopf.Spec, **_: Any) -> Any:
    """Flows by each Mapping that they use."""
    bound = [binding for bindings in spec["roles"].values() for binding in bindings]
    return {(namespace, one["mapping"]): name for one in bound if "mapping" in one}


@kopf.on.resume(GROUP, VERSION, "flows")
@kopf.on.create(GROUP, VERSION, "flows")
@kopf.on.update(GROUP, VERSION, "flows")
def reconcile(
    namespace: str,
    name: str,
    spec: kopf.Spec,
    mappings: kopf.Index,
    connectors: kopf.Index,
    **_: Any,
) -> dict[str, Any]:
    """Make the children of a Flow, or bring them up to date; its result is put into the status."""
    bound = [binding for bindings in spec["roles"].values() for binding in bindings]
    used = [
        *(
            one
            for binding in bound
            for one in mappings.get((namespace, binding.get("mapping")), ())
        ),
        *(
            one
            for binding in bound
            for one in connectors.get((namespace, binding["connector"]), ())
        ),
    ]
    plan = json.dumps({"flow": dict(spec), "uses": used}, sort_keys=True)
    digest = hashlib.sha256(plan.encode()).hexdigest()[:16]
    for child in children(namespace, name, plan, digest):
        kopf.adopt(child)
        put(namespace, child)
    return {"hash": digest}


@kopf.on.update(GROUP, VERSION, "mappings")
def touch(namespace: str, name: str, users: kopf.Index, meta: kopf.Meta, **_: Any) -> None:
    """Wake the Flows of a changed Mapping by an annotation."""
    client = kubernetes.client.CustomObjectsApi()
    body = {"metadata": {"annotations": {"example.com/woken-by": f"{name}-{meta['generation']}"}}}
    for flow in users.get((namespace, name), ()):
        client.patch_namespaced_custom_object(GROUP, VERSION, namespace, "flows", flow, body)


def put(namespace: str, child: dict[str, Any]) -> None:
    """Create a child, or patch it where it is there."""
    apps, net = kubernetes.client.AppsV1Api(), kubernetes.client.NetworkingV1Api()
    core = kubernetes.client.CoreV1Api()
    by = {"Deployment": apps, "NetworkPolicy": net}.get(child["kind"], core)
    kind = "".join(f"_{c.lower()}" if c.isupper() else c for c in child["kind"])
    try:
        getattr(by, f"create_namespaced{kind}")(namespace, child)
    except ApiException as error:
        if error.status != 409:
            raise
        with contextlib.suppress(ApiException):
            getattr(by, f"patch_namespaced{kind}")(child["metadata"]["name"], namespace, child)


def children(namespace: str, flow: str, plan: str, digest: str) -> list[dict[str, Any]]:
    """The six objects of a worker, without what makes one safe."""
    name, chosen = f"intops-{flow}", {names.LABEL_FLOW: flow}
    pod = {
        "serviceAccountName": name,
        "containers": [{"name": "worker", "image": "example.com/intops-worker:test"}],
        "volumes": [{"name": "plan", "configMap": {"name": name}}],
    }
    specs: list[tuple[str, str, dict[str, Any]]] = [
        ("v1", "ServiceAccount", {}),
        ("v1", "ConfigMap", {"data": {"plan": plan}}),
        ("v1", "PersistentVolumeClaim", {"spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
        ("v1", "Service", {"spec": {"selector": chosen, "ports": [{"port": 80}]}}),
        ("networking.k8s.io/v1", "NetworkPolicy", {"spec": {"podSelector": {"matchLabels": chosen}}}),
        ("apps/v1", "Deployment", {"spec": {
            "selector": {"matchLabels": chosen}, "template": {"metadata": {"labels": chosen}, "spec": pod}}}),
    ]  # fmt: skip
    return [
        {
            "apiVersion": version, "kind": kind,
            "metadata": {
                "name": name, "namespace": namespace, "labels": labels(flow),
                "annotations": {names.ANNOTATION_PLAN_HASH: digest},
            },
            **rest,
        }
        for version, kind, rest in specs
    ]  # fmt: skip


if __name__ == "__main__":
    kubernetes.config.load_kube_config(sys.argv[1])
    kopf.run(clusterwide=True)
