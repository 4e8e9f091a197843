"""A client of the API server for tests that ask hundreds of times: kubectl is a process a question."""

from __future__ import annotations

import json
import ssl
from typing import Any, Self

import httpx

from support.cluster.controlplane import ControlPlane

Manifest = dict[str, Any]

_PLURALS: dict[str, tuple[str, str]] = {
    "Namespace": ("/api/v1", "namespaces"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "ConfigMap": ("/api/v1", "configmaps"),
    "Service": ("/api/v1", "services"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "Pod": ("/api/v1", "pods"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "ValidatingWebhookConfiguration": (
        "/apis/admissionregistration.k8s.io/v1",
        "validatingwebhookconfigurations",
    ),
    "Flow": ("/apis/intops.io/v1alpha1", "flows"),
    "Connector": ("/apis/intops.io/v1alpha1", "connectors"),
    "CanonicalModel": ("/apis/intops.io/v1alpha1", "canonicalmodels"),
    "ConnectorClass": ("/apis/intops.io/v1alpha1", "connectorclasses"),
    "Pattern": ("/apis/intops.io/v1alpha1", "patterns"),
    "Mapping": ("/apis/intops.io/v1alpha1", "mappings"),
}


class Api:
    """The administrator's requests, without a process each."""

    def __init__(self, plane: ControlPlane) -> None:
        tls = ssl.create_default_context(cafile=str(plane.authority.ca.cert))
        tls.load_cert_chain(plane.admin.cert, plane.admin.key)
        self._client = httpx.Client(base_url=plane.server, verify=tls, timeout=30.0)

    def apply(self, manifest: Manifest, *, manager: str = "a-person") -> Manifest:
        """Server-side apply, as `kubectl apply --server-side` does it."""
        meta = manifest["metadata"]
        return self._ask(
            "PATCH", _path(manifest["kind"], meta.get("namespace"), meta["name"]),
            params={"fieldManager": manager, "force": "true"},
            content=json.dumps(manifest), headers={"Content-Type": "application/apply-patch+yaml"},
        )  # fmt: skip

    def rehearse(self, manifest: Manifest) -> tuple[int, str]:
        """Create an object without storing it; status and text of the answer, whatever it is."""
        path = _path(manifest["kind"], manifest["metadata"].get("namespace"), None)
        answer = self._client.post(path, params={"dryRun": "All"}, json=manifest)
        return answer.status_code, answer.text

    def merge(self, kind: str, space: str, name: str, change: Manifest) -> None:
        """A merge patch of an object that is there."""
        assert self.try_merge(kind, space, name, change), f"{kind} {space}/{name} is not there"

    def try_merge(
        self, kind: str, space: str, name: str, change: Manifest, *, subresource: str = ""
    ) -> bool:
        """A merge patch of an object or of its subresource; whether it was there."""
        path = _path(kind, space, name) + (f"/{subresource}" if subresource else "")
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = self._client.patch(path, content=json.dumps(change), headers=headers)
        if answer.status_code == 404:
            return False
        answer.raise_for_status()
        return True

    def get(self, kind: str, space: str | None, name: str) -> Manifest | None:
        """One object; None if it is not there."""
        answer = self._client.get(_path(kind, space, name))
        if answer.status_code == 404:
            return None
        found: Manifest = answer.raise_for_status().json()
        return found

    def list(self, kind: str, space: str | None, selector: str = "") -> list[Manifest]:
        """All objects of a kind in a namespace, or in the cluster."""
        params = {"labelSelector": selector} if selector else {}
        items: list[Manifest] = self._ask("GET", _path(kind, space, None), params=params)["items"]
        return items

    def delete(self, kind: str, space: str | None, name: str) -> None:
        """Delete an object; one that is gone is no error."""
        answer = self._client.delete(_path(kind, space, name))
        if answer.status_code != 404:
            answer.raise_for_status()

    def _ask(self, verb: str, path: str, **more: Any) -> Manifest:
        answer = self._client.request(verb, path, **more)
        if answer.is_error:
            raise AssertionError(f"{verb} {path}: HTTP {answer.status_code} {answer.text[:500]}")
        found: Manifest = answer.json()
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


def _path(kind: str, space: str | None, name: str | None) -> str:
    root, plural = _PLURALS[kind]
    inside = f"/namespaces/{space}" if space else ""
    return f"{root}{inside}/{plural}" + (f"/{name}" if name else "")
