"""F69: when admission is down, slow, a stranger or talks nonsense, intops objects wait and nothing else does.

The endpoint is one of ours that misbehaves; configuration and policy are the chart's.
"""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.certificates import new_authority
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.operators import FLOW, documents, install_kinds, namespace
from support.webhooks import webhook

pytestmark = pytest.mark.cluster

CONFIGURATION = "intops-outage-test"
SPACE = "outage"
FINALIZER = "example.com/slow"
FAULTS = ("nobody", "stranger", "error", "nonsense", "another answer", "slow")
# The API server gives an endpoint five seconds.
PATIENCE_S = 15.0


class Misbehaving:
    """An endpoint of admission over TLS that does what `fault` says."""

    def __init__(self, fault: str, context: ssl.SSLContext) -> None:
        let_go = self._let_go = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if fault == "slow":
                    let_go.wait(PATIENCE_S)
                body = {
                    "nonsense": b"<html>Bad gateway</html>",
                    "another answer": json.dumps(review(uid="another", allowed=True)).encode(),
                }.get(fault, b"")
                self.send_response(500 if fault in {"error", "slow"} else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing to say."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port."""
        self._let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def review(**response: Any) -> dict[str, Any]:
    """An answer of an endpoint."""
    version = "admission.k8s.io/v1"
    return {"apiVersion": version, "kind": "AdmissionReview", "response": response}


def placed(doc: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """A manifest in the namespace of these tests."""
    return {**doc, "metadata": {**doc["metadata"], "namespace": SPACE, **metadata}}


@pytest.fixture(scope="module")
def plane(api_server: ControlPlane) -> ControlPlane:
    """An API server with one Connector, made before anything went wrong."""
    install_kinds(api_server)
    api_server.kubectl.apply(namespace(SPACE))
    api_server.kubectl.apply(placed(documents("connectors.yaml")[0], finalizers=[FINALIZER]))
    return api_server


@pytest.fixture(params=FAULTS)
def broken(
    plane: ControlPlane, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[ControlPlane]:
    """The API server while its admission is broken in one way."""
    with misbehaving(request.param, tmp_path) as configuration:
        plane.kubectl.apply(configuration)
        try:
            refused = json.dumps(placed(documents("connectors.yaml")[1]))
            until(
                lambda: (
                    plane.kubectl.try_run(
                        "create", "--dry-run=server", "-f", "-", given=refused
                    ).returncode
                ),
                "the API server to ask",
                every_s=0.2,
            )
            yield plane
        finally:
            plane.kubectl.run("delete", "validatingwebhookconfiguration", CONFIGURATION)


@contextmanager
def misbehaving(fault: str, folder: Path) -> Iterator[dict[str, Any]]:
    """The chart's configuration, leading to an endpoint with a fault."""
    known, stranger = new_authority(), new_authority()
    signer = stranger if fault == "stranger" else known
    server = Misbehaving(fault, signer.server_context(folder))
    configuration = webhook(CONFIGURATION, server.port, SPACE)
    for hook in configuration["webhooks"]:
        hook["clientConfig"]["caBundle"] = base64.b64encode(known.pem.encode()).decode()
    if fault == "nobody":
        server.stop()
    try:
        yield configuration
    finally:
        if fault != "nobody":
            server.stop()


def test_only_new_specs_of_intops_wait_while_admission_is_broken(broken: ControlPlane) -> None:
    """F69, S-50: objects of intops are refused with the reason; the rest of the cluster goes on."""
    kubectl = broken.kubectl
    flow = json.dumps(placed(documents("flow.yaml")[0]))
    spec = json.dumps({"spec": {"limits": {"concurrency": 2}}})
    status = json.dumps({"status": {"observedGeneration": 1}})
    connector = ("connector/alertmanager", "-n", SPACE)

    made = kubectl.try_run("create", "-f", "-", given=flow)
    changed = kubectl.try_run("patch", *connector, "--type=merge", "-p", spec)
    kubectl.run("create", "configmap", "other", "-n", SPACE)
    kubectl.run("delete", "configmap", "other", "-n", SPACE)
    kubectl.run("label", *connector, "tier=gold", "--overwrite")
    kubectl.run("patch", *connector, "--subresource=status", "--type=merge", "-p", status)

    for refused in (made, changed):
        assert refused.returncode != 0
        assert 'failed calling webhook "validate.intops.io"' in refused.stderr
    assert kubectl.try_run("get", f"flow/{FLOW}", "-n", SPACE).returncode != 0


def test_without_its_condition_a_label_would_wait_too(plane: ControlPlane, tmp_path: Path) -> None:
    """The control: the chart asks about new specs only, and that is what spares the rest."""
    with misbehaving("nobody", tmp_path) as configuration:
        del configuration["webhooks"][0]["matchConditions"]
        plane.kubectl.apply(configuration)
        label = ("label", "connector/alertmanager", "-n", SPACE, "tier=silver", "--overwrite")
        try:
            said = until(
                lambda: plane.kubectl.try_run(*label, "--dry-run=server").stderr,
                "the API server to ask",
                every_s=0.2,
            )
        finally:
            plane.kubectl.run("delete", "validatingwebhookconfiguration", CONFIGURATION)

    assert 'failed calling webhook "validate.intops.io"' in said


def test_an_object_can_be_deleted_while_admission_is_broken(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """F69, S-50, S-60: cleaning up needs no operator, finalizers included."""
    connector = ("connector/alertmanager", "-n", SPACE)
    nothing = json.dumps({"metadata": {"finalizers": None}})
    with misbehaving("nobody", tmp_path) as configuration:
        plane.kubectl.apply(configuration)
        try:
            plane.kubectl.run("delete", *connector, "--wait=false")
            plane.kubectl.run("patch", *connector, "--type=merge", "-p", nothing)
            assert plane.kubectl.try_run("get", *connector).returncode != 0
        finally:
            plane.kubectl.run("delete", "validatingwebhookconfiguration", CONFIGURATION)
