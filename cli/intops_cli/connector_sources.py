"""Where the test of a Connector takes manifests and credentials from: a folder, or a cluster.

Used by `intops connector test`. Values of Secrets go to the trial only and are never shown.
"""

import base64
import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from intops_api.connector import ConnectorSpec
from intops_api.connector_class import ConnectorClassSpec
from intops_cli.live_state import read_live
from intops_cli.project import open_project
from intops_cli.worker_client import Refused
from intops_core.connector_trials import Secret
from intops_core.findings import Ref, suggestion
from intops_core.resources import Resource, Resources
from intops_core.sent_values import uses_of
from intops_runtime.connector_trial import Tried
from intops_runtime.core.addresses import AddressPolicy

if TYPE_CHECKING:
    from intops_cli.cluster_access import ClusterAccess


@dataclass(frozen=True, slots=True)
class Values:
    """A Secret that was asked for: its values, or why they could not be read; both None where it is not there."""

    values: Mapping[str, str] | None = None
    unread: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Manifests, Secrets and the guard of one place.

    Attributes:
        resources: Everything that is known there.
        namespace: Where the Connector is.
        secrets: Reads a Secret by its name.
        where: The place, as it stands in a sentence, such as `in the folder`.
        policy: Addresses that may be called from there.
        endpoint: Takes the place of the Connector's own.
        note: What to say beside the answer.
    """

    resources: Resources
    namespace: str
    secrets: Callable[[str], Values]
    where: str
    policy: AddressPolicy
    endpoint: str | None = None
    note: str = ""

    def tried(self, name: str) -> Tried | str:
        """What is to be tried, or a sentence that says what is missing."""
        found = self.resources.get("Connector", self.namespace, name)
        if found is None or not isinstance(found.spec, ConnectorSpec):
            known = self.resources.names("Connector", self.namespace)
            there = f'in namespace "{self.namespace}"'
            return f'There is no Connector "{name}" {there}.{suggestion(name, known)}'
        spec = found.spec
        if self.endpoint is not None:
            spec = spec.model_copy(update={"endpoint": self.endpoint})
        class_ = self.resources.get("ConnectorClass", "", spec.class_)
        if class_ is None or not isinstance(class_.spec, ConnectorClassSpec):
            known = self.resources.names("ConnectorClass", "")
            words = f'There is no ConnectorClass "{spec.class_}", so nobody knows how to ask.'
            return words + suggestion(spec.class_, known)
        return self._tried(found, spec, class_.spec)

    def _tried(self, found: Resource, spec: ConnectorSpec, class_: ConnectorClassSpec) -> Tried:
        name = spec.credentials.secret_name if spec.credentials else ""
        read = self.secrets(name) if name else Values()
        held = None
        if read.values is not None:
            held = frozenset(key for key, value in read.values.items() if value)
        authority = None
        if spec.tls is not None and spec.tls.ca_secret_name is not None:
            # As for a worker: where a Secret is named that is not there nobody is trusted.
            authority = (self.secrets(spec.tls.ca_secret_name).values or {}).get("ca.crt", "")
        return Tried(
            name=found.ref.name,
            spec=spec,
            class_name=spec.class_,
            class_=class_,
            secret=Secret(name, self.where, held, read.unread),
            values=read.values,
            authority=authority,
            uses=uses_of(found, class_, self.resources),
        )


def from_folder(path: Path, *, namespace: str, endpoints: dict[str, str]) -> Source:
    """The manifests of a folder, with the Secrets in it and the guard of `intops run`.

    Raises:
        ManifestError: a file cannot be read.
    """
    project = open_project(path, namespace=namespace, endpoints=endpoints)
    secrets = project.folder.secrets

    def read(name: str) -> Values:
        # `intops run` lays the Secrets of a folder out by name alone.
        return Values(next((v for (_, known), v in secrets.items() if known == name), None))

    names = {r.namespace for r in project.own if r.kind == "Connector"}
    at = namespace if namespace in names or len(names) != 1 else next(iter(names))
    policy = AddressPolicy(allow_loopback=True)
    return Source(project.resources, at, read, f'in the folder "{path}"', policy)


def from_cluster(cluster: "ClusterAccess", name: str, endpoint: str | None) -> Source:
    """What a cluster holds, with the rights of the person who asks; Secrets as far as they may be read.

    Raises:
        WorkerUnavailable: the cluster does not let its objects be read.
    """
    namespace = cluster.namespace
    live = read_live(cluster, [Ref("Connector", namespace, name)])

    def read(secret: str) -> Values:
        try:
            found = cluster.requests.read(f"/api/v1/namespaces/{namespace}/secrets/{secret}")
        except Refused as refused:
            if refused.status == http.client.NOT_FOUND:
                return Values()
            words = f"it cannot be read with your rights ({refused}); it takes `get` on this Secret"
            return Values(unread=words)
        data = found.get("data") or {}
        return Values({key: _decoded(text) for key, text in data.items()})

    note = (
        "Asked from this machine, not from a worker: names, routes, NetworkPolicies and allowed ranges of the "
        "cluster may differ. `kubectl get connectors` shows what the workers see."
    )
    where = f'in namespace "{namespace}"'
    return Source(live.resources, namespace, read, where, AddressPolicy(), endpoint, note)


def _decoded(text: str) -> str:
    """A value as a worker reads it from its file."""
    return base64.b64decode(text).decode("utf-8", "replace").strip("\r\n")
