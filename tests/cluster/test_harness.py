"""The test cluster is a real Kubernetes: what later tests take for granted is shown here."""

from __future__ import annotations

import re
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cluster import binaries, images
from support.cluster.controlplane import ControlPlane
from support.cluster.kubectl import Kubectl, Manifest, condition
from support.cluster.onenode import OneNode
from support.cluster.polling import HarnessError, until
from support.cluster.services import Service

pytestmark = pytest.mark.cluster

UID = 65532


def restricted_pod(name: str, namespace: str, claim: str) -> Manifest:
    """A pod that the strictest Pod Security level admits; serves its volume over HTTP."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "dnsPolicy": "Default",
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": UID,
                "fsGroup": UID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "web",
                    "image": images.BASE,
                    "imagePullPolicy": "Never",
                    "command": ["python3", "-u", "-m", "http.server", "8000", "-d", "/data"],
                    "ports": [{"containerPort": 8000}],
                    "readinessProbe": {"httpGet": {"port": 8000}, "periodSeconds": 1},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
            "terminationGracePeriodSeconds": 1,
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }


@pytest.fixture(scope="module")
def web(node: OneNode) -> Iterator[tuple[OneNode, str]]:
    """A restricted pod `web` with a volume and a Service, ready; yields the Service's URL."""
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    node.kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "harness", "labels": restricted},
        }
    )
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    at = {"namespace": "harness"}
    # The pod's service account has to exist before the pod may be created.
    node.kubectl.wait(
        lambda _: True, "serviceaccount", "default", "-n", "harness", what="a service account"
    )
    node.kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", **at},
            "spec": claim,
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", **at},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]},
        },
        restricted_pod("web", "harness", "data"),
    )
    node.kubectl.wait(condition("Ready"), "pod", "web", "-n", "harness", what="the pod")
    service = node.kubectl.get("service", "web", "-n", "harness")
    yield node, f"http://{service['spec']['clusterIP']}"
    node.kubectl.run("delete", "namespace", "harness", "--wait=false")


def fetch(url: str) -> str | None:
    """The body of a page, None while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as refusal:
        refusal.close()
    except urllib.error.URLError:
        pass
    return None


def inside(kubectl: Kubectl, *command: str) -> str:
    """What a command prints inside the pod `web`."""
    return kubectl.run("exec", "-n", "harness", "web", "--", *command)


def test_the_api_server_is_the_pinned_version(api_server: ControlPlane) -> None:
    """The API that tests talk to is a real one, of the version in go.mod."""
    shown = api_server.kubectl.run("version")

    assert f"Server Version: {binaries.version()}" in shown


def test_a_user_without_a_role_is_refused(api_server: ControlPlane) -> None:
    """A kubeconfig for any user can be had, and RBAC holds for it."""
    nobody = Kubectl(api_server.kubeconfig_of("nobody", groups=["nothing"]))

    answer = nobody.try_run("get", "secrets", "-A")

    assert answer.returncode != 0
    assert 'User "nobody" cannot list resource "secrets"' in answer.stderr


def test_what_an_object_owns_is_collected_with_it(api_server: ControlPlane) -> None:
    """The controllers run: deleting an owner deletes its children."""
    kubectl = api_server.kubectl
    kubectl.run("create", "configmap", "owner")
    uid = kubectl.get("configmap", "owner")["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "child", "namespace": "default", "ownerReferences": [owner]},
        }
    )

    kubectl.run("delete", "configmap", "owner")

    until(
        lambda: kubectl.try_run("get", "configmap", "child").returncode != 0,
        "the child to be collected",
        every_s=0.2,
    )


def test_a_start_while_it_runs_changes_nothing(api_server: ControlPlane) -> None:
    """Starting is idempotent: the same processes serve on."""
    before = [service.pid() for service in api_server.services]

    api_server.start()

    assert [service.pid() for service in api_server.services] == before
    assert None not in before


def test_a_program_that_ends_is_named_with_its_last_words(tmp_path: Path) -> None:
    """When a part of the cluster dies, the error says which and shows the end of its log."""
    failing = Service("culprit", ("sh", "-c", "echo no such flag >&2; exit 3"), tmp_path)
    failing.start()

    with pytest.raises(HarnessError, match=r"culprit ended[\s\S]*no such flag"):
        until(failing.must_live, "a program that cannot start", timeout_s=10)


def test_a_restricted_pod_answers_through_its_service(web: tuple[OneNode, str]) -> None:
    """Pods run under the strictest Pod Security level; ClusterIPs answer on this machine."""
    _, url = web

    page = until(lambda: fetch(url), f"{url} to answer")

    assert "Directory listing" in page


def test_a_non_root_pod_writes_its_volume(web: tuple[OneNode, str]) -> None:
    """A claim binds by itself, and fsGroup makes the volume writable for the pod's user."""
    node, url = web

    written = inside(node.kubectl, "sh", "-c", "id -u; echo kept > /data/note; cat /data/note")

    assert written.split() == [str(UID), "kept"]
    assert fetch(f"{url}/note") == "kept\n"


def test_a_pod_reaches_the_api_server_and_this_machine(web: tuple[OneNode, str]) -> None:
    """From a pod, the Service `kubernetes` and a server of the test on the machine answer."""
    node, _ = web
    with socket.create_server((node.machine_address, 0)) as peer:
        port = peer.getsockname()[1]
        code = (
            "import os, socket;"
            "socket.create_connection((os.environ['KUBERNETES_SERVICE_HOST'], 443), 5).close();"
            f"socket.create_connection(('{node.machine_address}', {port}), 5).close();"
            "print('both')"
        )

        assert inside(node.kubectl, "python3", "-c", code) == "both\n"


def test_the_log_of_a_pod_can_be_read(web: tuple[OneNode, str]) -> None:
    """`kubectl logs` shows what a pod wrote."""
    node, url = web
    fetch(f"{url}/asked-for")

    def shown() -> bool:
        return "/asked-for" in node.kubectl.run("logs", "-n", "harness", "web")

    until(shown, "the request in the pod's log", every_s=0.2)


def test_a_port_of_a_pod_can_be_forwarded(web: tuple[OneNode, str]) -> None:
    """`kubectl port-forward` reaches a pod from loopback."""
    node, _ = web
    argv = node.kubectl.argv("port-forward", "-n", "harness", "pod/web", ":8000")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout is not None
            said = forward.stdout.readline()
            found = re.search(r"127\.0\.0\.1:(\d+)", said)
            assert found is not None, said
            page = until(lambda: fetch(f"http://127.0.0.1:{found[1]}"), "the forwarded port")
        finally:
            forward.terminate()

    assert "Directory listing" in page


def test_a_running_cluster_is_seen_as_left_over(node: OneNode) -> None:
    """The check at the end of the session is able to fail: it sees every kind of remnant."""
    seen = "\n".join(node.leftovers())

    for kind in ("process", "network namespace", "interface", "route", "directory"):
        assert re.search(rf"^{kind} ", seen, re.MULTILINE), f"no {kind} in:\n{seen}"


@pytest.mark.parametrize(
    ("plane", "present", "absent"),
    [
        ("operator", "kopf", "httpx"),
        ("worker", "apsw", "kopf"),
    ],
    ids=["the operator has its event feed", "the worker holds nothing of Kubernetes"],
)
def test_an_image_holds_what_its_plane_needs_and_no_more(
    node: OneNode, product_images: dict[str, str], plane: str, present: str, absent: str
) -> None:
    """S-72: Images run as a non-root user on a read-only root, without the other plane's packages."""
    find = "from importlib.util import find_spec as find;"
    code = f"{find} print(bool(find('{present}')), bool(find('{absent}')), bool(find('pip')))"
    image = {
        "image": product_images[plane],
        "imagePullPolicy": "Never",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    name = f"look-{plane}"
    node.kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "dnsPolicy": "Default",
                "restartPolicy": "Never",
                "securityContext": {
                    "runAsNonRoot": True,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "look",
                        "command": ["sh", "-c", f'id -u; python -c "{code}"'],
                        **image,
                    },
                    {"name": "help", "args": ["--help"], **image},
                ],
            },
        }
    )

    ended = node.kubectl.wait(
        lambda found: found["status"].get("phase") in ("Succeeded", "Failed"),
        "pod",
        name,
        what="the pod to end",
    )

    looked = node.kubectl.run("logs", name, "-c", "look").split()
    helped = node.kubectl.run("logs", name, "-c", "help")
    node.kubectl.run("delete", "pod", name)
    assert looked == [str(UID), "True", "False", "False"]
    assert f"usage: intops-{plane}" in helped
    assert ended["status"]["phase"] == "Succeeded"
