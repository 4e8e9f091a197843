"""Fixtures of the cluster level: an API server without a node, an operator on it, and a whole cluster.

Server and cluster live for the session and end with it; a session that was killed is cleaned up by the next.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support import provision
from support.cluster import binaries, onenode, product
from support.cluster.api import Api
from support.cluster.controlplane import ControlPlane, home, remove_abandoned
from support.cluster.onenode import OneNode
from support.cluster.polling import until
from support.cluster.scenario import await_admission
from support.cluster.services import is_abandoned
from support.operators import OperatorProcess, ReportServer, install_kinds, namespace, operator


def demand(level: str, request: pytest.FixtureRequest) -> None:
    """Skip, and say why, where the machine cannot have this level; fail where it must."""
    refusal = provision.why_not(level)
    if refusal is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI has to run the tests of level {level}: {refusal}", pytrace=False)
        pytest.skip(refusal)
    if binaries.missing():
        # Minutes of silence would look like a hang.
        capture = request.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            binaries.ensure()


_STARTED: list[ControlPlane | OneNode] = []
"""What lives for the session, once a test has asked for it."""


@pytest.fixture(scope="session")
def api_server(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """A ready Kubernetes API with its controllers, on loopback, empty."""
    demand("api", request)
    remove_abandoned("pytest-")
    plane = ControlPlane(home(f"pytest-{os.getpid()}"))
    try:
        plane.start()
        _STARTED.append(plane)
        yield plane
    finally:
        _STARTED[:] = [one for one in _STARTED if one is not plane]
        plane.remove()


@pytest.fixture(scope="module", autouse=True)
def as_it_was_found() -> Iterator[None]:
    """What the tests of a file have made goes with them: an operator works for every Flow that it finds."""
    yield
    for cluster in _STARTED:
        kubectl = cluster.kubectl
        found = kubectl.get("namespaces")["items"]
        mine = {one["metadata"]["name"] for one in found} - product.SYSTEM_NAMESPACES
        # Without a kubelet a pod that was marked as running never ends.
        for name in sorted(mine) if isinstance(cluster, ControlPlane) else ():
            kubectl.run("delete", "pods", "--all", "-n", name, "--grace-period=0", "--force")
        if mine:
            kubectl.run("delete", "namespaces", *sorted(mine), "--timeout=180s", timeout_s=200)


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest) -> Iterator[OneNode]:
    """A ready one-node cluster with the base image, empty. Its end must leave nothing."""
    demand("node", request)
    for left in onenode.all_named("pytest-"):
        if is_abandoned(left.state):
            left.stop()
    cluster = onenode.named(f"pytest-{os.getpid()}")
    try:
        cluster.start()
        _STARTED.append(cluster)
        yield cluster
    finally:
        _STARTED[:] = [one for one in _STARTED if one is not cluster]
        # Raises when a process, mount, interface, route or file is left: an error of the session.
        cluster.stop()


@pytest.fixture(scope="session")
def product_images(node: OneNode) -> dict[str, str]:
    """Images of this tree, imported into the node: plane (`operator`, `worker`) → reference."""
    return product.load_images(node)


@pytest.fixture(scope="module")
def operators(node: OneNode) -> OneNode:
    """The cluster with the chart of this tree installed, and admission answering."""
    product.install(node)
    await_admission(node.kubectl)
    return node


@pytest.fixture(scope="module")
def plane(api_server: ControlPlane) -> ControlPlane:
    """The API server with our kinds and the operator's namespace."""
    install_kinds(api_server)
    return api_server


@pytest.fixture(scope="module")
def api(plane: ControlPlane) -> Iterator[Api]:
    """Requests of the administrator, without a process each."""
    with Api(plane) as api:
        yield api


@pytest.fixture(scope="module")
def workers() -> Iterator[ReportServer]:
    """Answers for the workers: without a kubelet no pod runs, so their reports come from here."""
    server = ReportServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def replica(
    plane: ControlPlane, workers: ReportServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """One operator for all tests of a module, which says in `plane` what its API server holds."""
    folder = tmp_path_factory.mktemp("operator")
    with operator(plane, folder, "op", f"--operations-port={workers.port}") as process:
        until(process.leads, "the operator to lead", explain=process.tail)
        yield process


@pytest.fixture
def itsm(plane: ControlPlane, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own; it is left to the end of the API server."""
    name = request.node.name.replace("_", "-").removeprefix("test-")[:40].strip("-")
    plane.kubectl.apply(namespace(name))
    return str(name)
