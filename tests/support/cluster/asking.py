"""The API as one user, one request at a time: kubectl would start a process for each.

Used by tests that put many manifests before a real API server and read its answers as values.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from intops_api import names
from intops_api.kinds import BY_NAME, Kind
from support.cluster.controlplane import ControlPlane

Manifest = dict[str, Any]

_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server answered."""

    status: int
    body: Manifest
    warnings: tuple[str, ...]
    """What kubectl would show after `Warning:`."""

    @property
    def message(self) -> str:
        """What was said about a refusal; empty for what was accepted."""
        return str(self.body.get("message", ""))


@dataclass(frozen=True, slots=True)
class Api:
    """The API server of a control plane, in one namespace, in the name of one user."""

    plane: ControlPlane
    namespace: str
    user: str
    context: ssl.SSLContext = field(repr=False)

    def ask(
        self, method: str, path: str, body: Manifest | None = None, *, patch: bool = False
    ) -> Answer:
        """One request; `path` with its query."""
        where = urlsplit(self.plane.server)
        connection = http.client.HTTPSConnection(where.netloc, context=self.context, timeout=30)
        kind = "application/merge-patch+json" if patch else "application/json"
        headers = {
            "Content-Type": kind,
            "Impersonate-User": self.user,
            "Impersonate-Group": "system:masters",
        }
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            told = answer.msg.get_all("Warning") or []
            warnings = [re.sub(r"\\(.)", r"\1", w) for one in told for w in _WARNING.findall(one)]
            return Answer(answer.status, json.loads(answer.read()), tuple(warnings))
        finally:
            connection.close()

    def create(self, manifest: Manifest, *, keep: bool = False) -> Answer:
        """Create an object as kubectl would, by default as a dry run."""
        query = "?fieldValidation=Strict" + ("" if keep else "&dryRun=All")
        return self.ask("POST", self.collection(BY_NAME[manifest["kind"]]) + query, _sent(manifest))

    def change(self, manifest: Manifest, spec: Manifest) -> Answer:
        """Merge a change into the spec of an object."""
        path = f"{self.collection(BY_NAME[manifest['kind']])}/{manifest['metadata']['name']}"
        return self.ask("PATCH", path, {"spec": spec}, patch=True)

    def collection(self, kind: Kind) -> str:
        """The path of all objects of a kind."""
        scope = f"namespaces/{self.namespace}/" if kind.namespaced else ""
        return f"/apis/{names.API_VERSION}/{scope}{kind.plural}"


def _sent(value: Any) -> Any:
    """YAML as kubectl sends it: a number without a fraction has no point."""
    if isinstance(value, dict):
        return {key: _sent(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_sent(below) for below in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def api_of(plane: ControlPlane, namespace: str, user: str) -> Api:
    """A user of an API server, with all rights and the administrator's certificate."""
    context = ssl.create_default_context(cafile=str(plane.authority.ca.cert))
    context.load_cert_chain(plane.admin.cert, plane.admin.key)
    return Api(plane, namespace, user, context)
