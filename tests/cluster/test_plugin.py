"""`kubectl intops` against a real API server: an estate at a glance, and what is wrong where something is.

No node runs, so the operator is a process beside the API server. Its Deployment is that of the chart, with pods
that are marked as ready.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from intops_operator.edges.certificates import renewed
from support.chart import of_kind, render
from support.cluster.controlplane import ControlPlane, home
from support.cluster.polling import until
from support.kubectl_plugin import kubectl, kubectl_intops
from support.operators import (
    FLOW,
    NAMESPACE,
    RUNNING,
    TREE,
    OperatorProcess,
    ReportServer,
    await_condition,
    healthy,
    install_kinds,
    namespace,
    operator,
)
from support.webhooks import webhook

pytestmark = pytest.mark.cluster

SPACE = "plugin"
CONFIGURATION = "intops-plugin-test"
IMAGE = "example.com/intops-worker:test"


def flags(lease: str, image: str = IMAGE) -> list[str]:
    """Flags of the operator that others can see in its Deployment."""
    return [
        f"--worker-image={image}", f"--lease-name={lease}",
        f"--webhook-configuration={CONFIGURATION}",
    ]  # fmt: skip


def chart_objects() -> list[dict[str, Any]]:
    """The chart's Deployment and its account, with the flags of the operator that runs beside."""
    rendered = render(replicas=1)
    (deployment,) = of_kind(rendered, "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["args"] = flags("plugin")
    return [of_kind(rendered, "ServiceAccount")[0], deployment]


def mark_ready(plane: ControlPlane) -> None:
    """Give the operator's Deployment ready pods, as a node would."""
    kubectl = plane.kubectl
    selector = "app.kubernetes.io/name=intops-operator"

    def marked() -> bool:
        for pod in kubectl.get("pods", "-n", NAMESPACE, "-l", selector)["items"]:
            if not pod["metadata"].get("deletionTimestamp"):
                body = json.dumps({"status": RUNNING})
                kubectl.try_run(
                    "patch", "pod", pod["metadata"]["name"], "-n", NAMESPACE,
                    "--subresource=status", "--type=merge", "-p", body,
                )  # fmt: skip
        found = kubectl.get("deployment", "intops", "-n", NAMESPACE)
        return bool(found.get("status", {}).get("readyReplicas"))

    until(marked, "the operator's Deployment to be ready", every_s=0.5)


@pytest.fixture(scope="module")
def api_server(api_server: ControlPlane) -> Iterator[ControlPlane]:
    """A server of its own: an estate shows whatever other tests have left."""
    plane = ControlPlane(home(f"pytest-{os.getpid()}-plugin"))
    try:
        plane.start()
        yield plane
    finally:
        plane.remove()


@pytest.fixture(scope="module")
def installed(
    api_server: ControlPlane, workers: ReportServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ControlPlane, OperatorProcess]]:
    """A whole installation: kinds, operator, admission, catalogue, one Flow whose desk is down."""
    install_kinds(api_server)
    kubectl = api_server.kubectl
    kubectl.apply(namespace(SPACE), *chart_objects())
    own = (
        f"--operations-port={workers.port}", "--lease-name=plugin",
        f"--webhook-configuration={CONFIGURATION}", "--certificate-secret=plugin-test",
    )  # fmt: skip
    with operator(api_server, tmp_path_factory.mktemp("plugin"), "op", *own) as replica:
        until(replica.leads, "the operator to lead", explain=replica.tail)
        kubectl.apply(webhook(CONFIGURATION, replica.ports["admission"], SPACE))
        bundled(api_server)
        mark_ready(api_server)
        healthy(
            api_server, workers, SPACE,
            store={"received": 7, "done": 3, "waiting": 4, "oldestAt": "2026-01-01T00:00:00Z"},
            rates={"deliveredPerHour": 3, "failedPerHour": 12},
            connectors=[{
                "name": "helpdesk", "connector": "helpdesk", "role": "target", "state": "open",
                "errorClass": "destinationDown", "detail": "refuses connections",
                "since": "2026-01-01T00:00:00Z",
            }],
        )  # fmt: skip
        await_condition(api_server, SPACE, "TargetReachable", "False", "DestinationDown")
        try:
            yield api_server, replica
        finally:
            # Operators of later tests shall not work for what is left here.
            kubectl.run("delete", "validatingwebhookconfiguration", CONFIGURATION)
            kubectl.run("delete", "deployment", "intops", "-n", NAMESPACE, "--wait=false")
            kubectl.run("delete", "namespace", SPACE, "--wait=false")


def bundled(plane: ControlPlane) -> str:
    """Wait for the authority that the leader writes into its configuration; returns it."""
    found = plane.kubectl.wait(
        lambda one: all(hook["clientConfig"].get("caBundle") for hook in one["webhooks"]),
        f"validatingwebhookconfiguration/{CONFIGURATION}", what="the authority",
    )  # fmt: skip
    return str(found["webhooks"][0]["clientConfig"]["caBundle"])


def ask(
    plane: ControlPlane, *arguments: str, kubeconfig: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`kubectl intops` as the administrator, or as who has a kubeconfig."""
    return kubectl_intops(*arguments, kubeconfig=kubeconfig or plane.kubeconfig)


def findings(plane: ControlPlane, *flags: str, kubeconfig: Path | None = None) -> dict[str, Any]:
    """What doctor found, by level and check; the exit code under `code`."""
    done = ask(plane, "doctor", "-n", SPACE, "-o", "json", *flags, kubeconfig=kubeconfig)
    assert done.stdout, done.stderr
    found: dict[str, Any] = {"code": done.returncode}
    for one in json.loads(done.stdout):
        found.setdefault(f"{one['level']} {one['check']}", []).append(one)
    return found


def broken(found: dict[str, Any]) -> list[str]:
    """Checks that found something broken."""
    return sorted(key.removeprefix("broken ") for key in found if key.startswith("broken "))


def test_kubectl_finds_the_plugin_and_it_calls_itself_so(api_server: ControlPlane) -> None:
    """Whoever follows its help types what works."""
    said = ask(api_server, "status", "--help")
    assert said.returncode == 0
    assert said.stdout.startswith("usage: kubectl intops status ")
    assert "  kubectl intops status -A --context production" in said.stdout


def test_kubectl_itself_completes_the_plugin(
    installed: tuple[ControlPlane, OperatorProcess],
) -> None:
    """Commands, and names of Flows in the cluster that was named, as kubectl's own completion asks for them."""
    plane, _ = installed
    place = ("-n", SPACE, "--flow", "al")
    commands = kubectl("__complete", "intops", "st", kubeconfig=plane.kubeconfig)
    flows = kubectl("__complete", "intops", "messages", *place, kubeconfig=plane.kubeconfig)

    assert commands.stdout.splitlines() == ["status", "store", ":4"]
    assert flows.stdout.splitlines() == [FLOW, ":4"]


def test_status_tells_flows_needs_systems_and_operator_on_one_screen(
    installed: tuple[ControlPlane, OperatorProcess],
) -> None:
    """80 columns, one screen, the condition's own sentence, exit code 1: something needs a person."""
    plane, _ = installed
    said = ask(plane, "status", "-n", SPACE)
    lines = said.stdout.splitlines()

    assert (said.returncode, said.stderr) == (1, "")
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 24
    assert lines[0] == "1 Flow: 0 well, 1 not well, 1 system down; 1 thing for a person."
    assert "Operator: 1 of 1 replicas of intops-system/intops are ready. op leads" in said.stdout
    text = " ".join(said.stdout.split())
    assert f"{FLOW} DestinationDown 4 " in text
    assert 'The system of connector "helpdesk" does not answer (refuses connections)' in text
    assert "helpdesk (rt.example.com): DestinationDown, for" in text
    assert "\x1b" not in said.stdout


def test_all_namespaces_and_the_namespace_of_the_context_are_those_of_kubectl(
    installed: tuple[ControlPlane, OperatorProcess], tmp_path: Path
) -> None:
    """-A shows where each Flow is; without -n the context decides, as for kubectl."""
    plane, _ = installed
    everywhere = ask(plane, "get", "flows", "-A")
    heading, row = everywhere.stdout.splitlines()
    assert heading.split()[:2] == ["NAMESPACE", "NAME"]
    assert row.split()[:2] == [SPACE, FLOW]

    kubeconfig = tmp_path / "config"
    config = json.loads(plane.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = SPACE
    kubeconfig.write_text(json.dumps(config))
    mine = ask(plane, "get", "flows", "-o", "json", kubeconfig=kubeconfig)
    default = ask(plane, "get", "flows", "-o", "json")
    assert [f["metadata"]["name"] for f in json.loads(mine.stdout)["items"]] == [FLOW]
    assert json.loads(default.stdout)["items"] == []
    assert ask(plane, "get", "patterns").stdout.startswith("NAME ")


def test_top_sorts_flows_and_shows_what_pods_take_where_metrics_exist(
    installed: tuple[ControlPlane, OperatorProcess],
) -> None:
    """Without the metrics API it says so beside the answer; with it there are two more columns."""
    plane, _ = installed
    without = ask(plane, "top", "-n", SPACE)
    assert without.returncode == 0
    assert without.stdout.split()[:7] == [
        "FLOW", "DELIVERED/H", "FAILED/H", "BACKLOG", "OLDEST", "REVIEW", "LAST",
    ]  # fmt: skip
    assert without.stdout.splitlines()[1].split()[:4] == [FLOW, "3", "12", "4"]
    assert "Processor and memory are not known" in without.stderr

    plane.kubectl.apply(metrics_kind())
    plane.kubectl.run("wait", "--for=condition=Established", "crd/pods.metrics.k8s.io")
    until(
        lambda: plane.kubectl.try_run("apply", "-f", "-", given=json.dumps(measured())).returncode == 0,
        "the metrics to be stored", every_s=0.3,
    )  # fmt: skip
    try:
        taken = until(lambda: ask(plane, "top", "-n", SPACE).stdout, "an answer")
        assert taken.splitlines()[0].split()[-2:] == ["CPU", "MEMORY"]
        assert taken.splitlines()[1].split()[-2:] == ["120m", "58Mi"]
    finally:
        plane.kubectl.run("delete", "crd", "pods.metrics.k8s.io")


def metrics_kind() -> dict[str, Any]:
    """The paths of the metrics API, kept by the API server itself: what metrics-server answers at."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "pods.metrics.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": "metrics.k8s.io", "scope": "Namespaced",
            "names": {"kind": "PodMetrics", "plural": "pods"},
            "versions": [
                {"name": "v1beta1", "served": True, "storage": True,
                 "schema": {"openAPIV3Schema": schema}},
            ],
        },
    }  # fmt: skip


def measured() -> dict[str, Any]:
    """What metrics-server says of one worker."""
    return {
        "apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics",
        "metadata": {
            "name": "one", "namespace": SPACE,
            "labels": {
                "app.kubernetes.io/managed-by": "intops", "app.kubernetes.io/component": "worker",
                "intops.io/flow": FLOW,
            },
        },
        "containers": [{"name": "worker", "usage": {"cpu": "119999999n", "memory": "59392Ki"}}],
    }  # fmt: skip


def test_doctor_finds_nothing_broken_in_a_whole_installation(
    installed: tuple[ControlPlane, OperatorProcess],
) -> None:
    """Each check says that it is well; what a machine without a node cannot show is told as unseen."""
    plane, _ = installed
    found = findings(plane)

    assert broken(found) == [], found
    assert found["code"] == 0
    well = {key.removeprefix("ok ") for key in found if key.startswith("ok ")}
    assert well >= {
        "kinds", "operator", "leader", "certificate", "trial", "catalogue", "workers", "volumes",
        "rights", "python", "plugin",
    }  # fmt: skip


def test_doctor_sees_a_ca_bundle_of_somebody_else(
    installed: tuple[ControlPlane, OperatorProcess],
) -> None:
    """A configuration that another installation left: told by its certificate and by what became of a trial.

    The operator repairs the bundle of its own configuration every 10 s, so nothing would stay broken there.
    """
    plane, replica = installed
    stranger = renewed(None, ["127.0.0.1"], datetime.now(UTC)).ca
    left = webhook("intops-left", replica.ports["admission"], SPACE)
    for hook in left["webhooks"]:
        hook["clientConfig"]["caBundle"] = base64.b64encode(stranger.encode()).decode()
    plane.kubectl.apply(left)
    try:
        found = until(
            lambda: (one := findings(plane)) and "broken trial" in one and one,
            "the API server to use the bundle",
        )
        assert found["code"] == 1
        (certificate,) = found["broken certificate"]
        assert "was not issued by the CA bundle of intops-left" in certificate["what"]
        assert "refuses every new spec" in certificate["why"]
        assert "kubectl delete validatingwebhookconfiguration intops-left" in certificate["do"]
        (trial,) = found["broken trial"]
        assert "x509" in trial["what"]
    finally:
        plane.kubectl.run("delete", "validatingwebhookconfiguration", "intops-left")


def test_doctor_sees_an_operator_that_is_scaled_to_0(
    installed: tuple[ControlPlane, OperatorProcess],
) -> None:
    """It says what still works, and the command that brings it back, which is right."""
    plane, _ = installed
    plane.kubectl.run("scale", "deployment/intops", "-n", NAMESPACE, "--replicas=0")
    try:
        found = findings(plane)
        assert found["code"] == 1
        (one,) = found["broken operator"]
        assert "Deployment intops-system/intops is scaled to 0." in one["what"]
        assert "Workers that run go on delivering" in one["why"]
        command = one["do"].strip("`.").removesuffix("`")
        assert ask(plane, "status", "-n", SPACE).returncode == 1
        assert "is scaled to 0" in ask(plane, "status", "-n", SPACE).stdout
        plane.kubectl.run(*command.removeprefix("kubectl ").split())
    finally:
        plane.kubectl.run("scale", "deployment/intops", "-n", NAMESPACE, "--replicas=1")
        mark_ready(plane)


def test_doctor_sees_a_lease_that_nobody_renews_and_a_catalogue_with_holes(
    installed: tuple[ControlPlane, OperatorProcess],
) -> None:
    """Written as a dead leader leaves it, under a name of its own, so that the living one is not disturbed."""
    plane, _ = installed
    set_flags(plane, flags("abandoned"))
    plane.kubectl.apply(
        {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "abandoned", "namespace": NAMESPACE},
            "spec": {
                "holderIdentity": "gone", "leaseDurationSeconds": 15,
                "renewTime": "2026-01-01T00:00:00.000000Z",
            },
        }
    )  # fmt: skip
    plane.kubectl.run("delete", "connectorclass", "roundup")
    try:
        found = findings(plane)
        (leader,) = found["broken leader"]
        assert "Nobody leads: Lease intops-system/abandoned is not held." in leader["what"]
        (hole,) = found["broken catalogue"]
        assert "ConnectorClass/roundup" in hole["what"]
    finally:
        set_flags(plane, flags("plugin"))
        plane.kubectl.run(
            "apply", "-f", str(TREE / "core/intops_core/catalog/connectorclasses/roundup.yaml")
        )


def set_flags(plane: ControlPlane, args: list[str]) -> None:
    """Let the Deployment say other flags."""
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": args}]
    plane.kubectl.run(
        "patch", "deployment/intops", "-n", NAMESPACE, "--type=json", "-p", json.dumps(patch)
    )


def test_doctor_sees_volumes_that_are_left_and_workers_of_another_image(
    installed: tuple[ControlPlane, OperatorProcess],
) -> None:
    """A claim whose Flow is gone still holds messages; an older image says where the rollout stands."""
    plane, _ = installed
    plane.kubectl.apply(
        {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": "intops-gone-data", "namespace": "default",
                "labels": {
                    "app.kubernetes.io/managed-by": "intops", "app.kubernetes.io/component": "worker",
                    "intops.io/flow": "gone",
                },
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
            },
        }
    )  # fmt: skip
    set_flags(plane, flags("plugin", "example.com/intops-worker:newer"))
    try:
        found = findings(plane)
    finally:
        set_flags(plane, flags("plugin"))
        plane.kubectl.run("delete", "pvc", "intops-gone-data", "-n", "default", "--wait=false")

    (image,) = found["warning version"]
    assert image["what"] == (
        f"1 of 1 workers have another image than example.com/intops-worker:newer: {SPACE}/{FLOW}."
    )
    (left,) = found["warning volumes"]
    assert "default/intops-gone-data is left over from Flow gone" in left["what"]
    assert "Apply a Flow named gone again" in left["do"]


def test_doctor_and_status_say_what_a_person_without_rights_cannot_see(
    installed: tuple[ControlPlane, OperatorProcess],
) -> None:
    """Neither a traceback nor a wrong alarm: what these rights do not show is unseen."""
    plane, _ = installed
    nobody = plane.kubeconfig_of("nobody")
    found = findings(plane, kubeconfig=nobody)
    assert (broken(found), found["code"]) == ([], 0)
    assert {"unseen operator", "unseen admission", "unseen catalogue"} <= set(found)
    assert next(one["what"] for one in found["warning rights"]) == (
        f'You may not list flows in namespace "{SPACE}".'
    )
    refused = ask(plane, "status", "-n", SPACE, kubeconfig=nobody)
    assert refused.returncode == 3
    assert "`list` on flows in this namespace" in refused.stderr
    assert "Traceback" not in refused.stderr

    grant(plane, "reader")
    reader = ask(plane, "status", "-n", SPACE, kubeconfig=plane.kubeconfig_of("reader"))
    assert reader.returncode == 1
    assert "its health is not visible with these rights" in reader.stdout


def grant(plane: ControlPlane, user: str) -> None:
    """Let a person read the Flows of one namespace and nothing else."""
    plane.kubectl.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": user, "namespace": SPACE},
            "rules": [
                {"apiGroups": ["intops.io"], "resources": ["flows", "connectors"], "verbs": ["list"]}
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": user, "namespace": SPACE},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
            "subjects": [
                {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
            ],
        },
    )  # fmt: skip


def test_doctor_sees_a_kind_that_is_missing_and_one_of_another_version(
    installed: tuple[ControlPlane, OperatorProcess],
) -> None:
    """A kind that somebody deleted; a text that an older version had.

    The last of this file: an operator whose kinds go ends, and Kubernetes starts it again until they are back.
    """
    plane, _ = installed
    plane.kubectl.run("delete", "crd", "flowactions.intops.io")
    try:
        found = findings(plane)
        assert found["code"] == 1
        (one,) = found["broken kinds"]
        assert one["what"] == "The API server does not serve flowactions of intops.io/v1alpha1."
        file = TREE / "crds" / "intops.io_flowactions.yaml"
        older = file.read_text().replace("Why, in words that an auditor understands.", "Why.")
        plane.kubectl.run("apply", "--server-side", "-f", "-", given=older)
        other = until(
            lambda: (one := findings(plane)) and "broken kinds" not in one and one,
            "the kind to be served",
        )
        (one,) = other["warning kinds"]
        assert "The schemas of flowactions are not those of this version" in one["what"]
    finally:
        install_kinds(plane)
