"""The operator turns Flows into workers and tells the truth about them: on a real API server."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from intops_api.report import LastWords
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.operators import (
    CHILD,
    FLOW,
    OperatorProcess,
    ReportServer,
    apply,
    await_condition,
    bind,
    condition,
    documents,
    end,
    healthy,
    namespace,
    node,
    running_pod,
)

pytestmark = pytest.mark.cluster

CHILDREN = ("serviceaccount", "configmap", "deployment", "service", "networkpolicy")


def test_a_flow_gets_a_worker_with_its_plan(
    plane: ControlPlane, replica: OperatorProcess, itsm: str
) -> None:
    """Applying the example makes every child, and the plan in the ConfigMap is the Flow's."""
    apply(plane, itsm, "connectors.yaml", "mappings.yaml", "flow.yaml")

    await_condition(plane, itsm, "Programmed", "False", "Applying")
    for kind in (*CHILDREN, "persistentvolumeclaim"):
        found = plane.kubectl.get(kind, CHILD, "-n", itsm)
        assert found["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "intops"
    data = plane.kubectl.get("configmap", CHILD, "-n", itsm)["binaryData"]["plan.json.gz"]
    plan = json.loads(gzip.decompress(base64.b64decode(data)))
    assert plan["flow"]["name"] == FLOW
    assert {b["role"] for b in plan["bindings"]} == {"source", "target"}


def test_a_flow_applied_before_its_mapping_is_planned_when_the_mapping_arrives(
    plane: ControlPlane, replica: OperatorProcess, itsm: str
) -> None:
    """GitOps may apply in any order: the Flow names what is missing, then goes on by itself."""
    apply(plane, itsm, "flow.yaml", "connectors.yaml")
    flow = await_condition(plane, itsm, "ResolvedRefs", "False", "RefNotFound")
    assert "alertmanager-to-event" in condition(flow, "ResolvedRefs")["message"]

    apply(plane, itsm, "mappings.yaml")

    await_condition(plane, itsm, "ResolvedRefs", "True", "Resolved")
    plane.kubectl.wait(lambda _: True, f"deploy/{CHILD}", "-n", itsm, what="the worker")


def test_an_edited_child_is_repaired(
    plane: ControlPlane, replica: OperatorProcess, itsm: str
) -> None:
    """S-63: Whoever edits or deletes a child by hand sees it come back as it was."""
    apply(plane, itsm, "connectors.yaml", "mappings.yaml", "flow.yaml")
    plane.kubectl.wait(lambda _: True, f"deploy/{CHILD}", "-n", itsm, what="the worker")

    plane.kubectl.run("scale", f"deploy/{CHILD}", "-n", itsm, "--replicas=3")
    plane.kubectl.run("delete", f"service/{CHILD}", "-n", itsm)

    plane.kubectl.wait(
        lambda found: found["spec"]["replicas"] == 1,
        f"deploy/{CHILD}", "-n", itsm, what="one replica again",
    )  # fmt: skip
    plane.kubectl.wait(lambda _: True, f"service/{CHILD}", "-n", itsm, what="the Service again")


def test_a_port_edited_by_hand_gets_its_number_back(
    plane: ControlPlane, replica: OperatorProcess, itsm: str
) -> None:
    """Also where both intents together are a Service that the API server refuses."""
    apply(plane, itsm, "connectors.yaml", "mappings.yaml", "flow.yaml")
    plane.kubectl.wait(lambda _: True, f"service/{CHILD}", "-n", itsm, what="the Service")
    change = '[{"op": "replace", "path": "/spec/ports/0/port", "value": 9}]'

    plane.kubectl.run("patch", f"service/{CHILD}", "-n", itsm, "--type=json", f"--patch={change}")

    plane.kubectl.wait(
        lambda found: [one["port"] for one in found["spec"]["ports"]] == [8080, 8081],
        f"service/{CHILD}", "-n", itsm, what="the ports as they were",
    )  # fmt: skip


def test_a_foreign_object_of_the_same_name_is_left_alone(
    plane: ControlPlane, replica: OperatorProcess, itsm: str
) -> None:
    """A Service that somebody else made stays as it is, and the Flow says what to do."""
    ports = [{"port": 9, "protocol": "TCP", "targetPort": 9}]
    plane.kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": CHILD, "namespace": itsm},
            "spec": {"ports": ports},
        }
    )
    apply(plane, itsm, "connectors.yaml", "mappings.yaml", "flow.yaml")

    flow = await_condition(plane, itsm, "Programmed", "False", "WorkerUnavailable")

    assert f'Service "{CHILD}"' in condition(flow, "Programmed")["message"]
    assert plane.kubectl.get("service", CHILD, "-n", itsm)["spec"]["ports"] == ports


def test_ready_follows_the_report_of_the_worker(
    plane: ControlPlane, replica: OperatorProcess, workers: ReportServer, itsm: str
) -> None:
    """Ready is true once the worker runs the plan, false when a target refuses its credential."""
    healthy(plane, workers, itsm, store={"received": 3, "done": 3})
    flow = await_condition(plane, itsm, "Ready", "True", "Healthy")
    assert flow["status"]["done"] == 3
    assert flow["status"]["captureUrl"].endswith(f"/in/{itsm}/{FLOW}/prometheus")
    pods = plane.kubectl.get("pods", "-n", itsm)["items"]
    told = pods[0]["metadata"]["annotations"]["intops.io/plan-hash"]
    assert told == flow["status"]["configHash"]

    denied = {
        "name": "helpdesk", "connector": "helpdesk", "role": "target", "state": "held",
        "errorClass": "authDenied", "detail": "HTTP 401", "since": "2026-11-25T10:02:11Z",
        "doing": "asks again every 10 s",
        "secret": {"secret": "helpdesk-token", "present": True},
    }  # fmt: skip
    workers.say(
        itsm, FLOW, active=flow["status"]["configHash"], connectors=[denied],
        store={"received": 151, "done": 3, "held": 148, "oldestAt": "2026-11-25T10:02:11Z"},
    )  # fmt: skip

    flow = await_condition(plane, itsm, "Ready", "False", "AuthDenied")
    message = condition(flow, "CredentialsValid")["message"]
    for words in ("HTTP 401", "since 2026-11-25 10:02:11 UTC", "148 messages are waiting",
                  "asks again every 10 s", '"helpdesk-token"', "service-desk@example.com"):  # fmt: skip
        assert words in message
    await_condition(plane, itsm, "Ready", "False", "AuthDenied", of="connector/helpdesk")


def test_a_changed_mapping_reaches_the_worker_without_a_restart(
    plane: ControlPlane, replica: OperatorProcess, workers: ReportServer, itsm: str
) -> None:
    """A new plan goes into the ConfigMap and onto the pods; the Deployment is not touched."""
    before = healthy(plane, workers, itsm)
    await_condition(plane, itsm, "Ready", "True", "Healthy")
    deployment = plane.kubectl.get("deploy", CHILD, "-n", itsm)

    changed = next(d for d in documents("mappings.yaml") if "incident" in d["metadata"]["name"])
    changed["metadata"]["namespace"] = itsm
    changed["spec"]["fields"][0]["meaning"] = "Said in other words."
    plane.kubectl.apply(changed)

    flow = await_condition(plane, itsm, "Programmed", "False", "Applying")
    assert flow["status"]["configHash"] != before["status"]["configHash"]
    assert condition(flow, "Reconciling")["status"] == "True"
    workers.say(itsm, FLOW, active=flow["status"]["configHash"])
    flow = await_condition(plane, itsm, "Ready", "True", "Healthy")
    assert condition(flow, "Reconciling") == {}
    after = plane.kubectl.get("deploy", CHILD, "-n", itsm)
    assert after["metadata"]["generation"] == deployment["metadata"]["generation"]


def test_a_flow_whose_worker_is_to_be_replaced_is_not_ready_until_the_new_one_is(
    plane: ControlPlane, replica: OperatorProcess, workers: ReportServer, itsm: str
) -> None:
    """A change of its pods alone has the same plan, which the old pod still reports."""
    before = healthy(plane, workers, itsm)
    flow = await_condition(plane, itsm, "Ready", "True", "Healthy")
    (changed,) = documents("flow.yaml")
    changed["metadata"]["namespace"] = itsm
    changed["spec"].setdefault("runtime", {})["resources"] = {"requests": {"cpu": "70m"}}
    plane.kubectl.apply(changed)

    wanted = flow["metadata"]["generation"] + 1
    found = plane.kubectl.wait(
        lambda one: one["status"].get("observedGeneration") == wanted,
        f"flow/{FLOW}", "-n", itsm, what="a status of the change",
    )  # fmt: skip
    assert condition(found, "Ready")["reason"] == "Applying"
    assert found["status"]["configHash"] == before["status"]["configHash"]
    running_pod(plane, itsm, FLOW)
    found = await_condition(plane, itsm, "Ready", "True", "Healthy")
    assert found["status"]["observedGeneration"] == wanted


def test_a_broken_flow_keeps_its_worker(
    plane: ControlPlane, replica: OperatorProcess, workers: ReportServer, itsm: str
) -> None:
    """Deleting a Mapping that a live Flow needs flips a condition and tears down nothing."""
    before = healthy(plane, workers, itsm)
    await_condition(plane, itsm, "Ready", "True", "Healthy")
    plan = plane.kubectl.get("configmap", CHILD, "-n", itsm)["binaryData"]

    plane.kubectl.run("delete", "mapping/incident-to-helpdesk", "-n", itsm)

    flow = await_condition(plane, itsm, "Ready", "False", "RefNotFound")
    assert before["status"]["configHash"] in condition(flow, "ResolvedRefs")["message"]
    assert plane.kubectl.get("configmap", CHILD, "-n", itsm)["binaryData"] == plan
    assert plane.kubectl.get("deploy", CHILD, "-n", itsm)["spec"]["replicas"] == 1


def test_nothing_is_written_while_nothing_happens(
    plane: ControlPlane, replica: OperatorProcess, workers: ReportServer, itsm: str
) -> None:
    """Workers are asked again and again, and no object changes its resourceVersion."""
    healthy(plane, workers, itsm, store={"received": 1, "done": 1})
    await_condition(plane, itsm, "Ready", "True", "Healthy")
    kinds = "flows,connectors,mappings,patterns,connectorclasses,canonicalmodels,pods," + ",".join(
        CHILDREN
    )

    def versions() -> dict[str, str]:
        return {
            item["metadata"]["uid"]: item["metadata"]["resourceVersion"]
            for item in plane.kubectl.get(kinds, "-n", itsm)["items"]
        }

    def at_rest() -> bool:
        before, asked = versions(), workers.asked
        writes = replica.metric("intops_operator_status_writes_total")
        until(lambda: workers.asked >= asked + 60, "60 more reports", timeout_s=60)
        after = replica.metric("intops_operator_status_writes_total")
        return (versions(), after) == (before, writes)

    # Counts of what other tests have used before come a moment late.
    until(at_rest, "60 reports without a write", timeout_s=120)


def test_a_silent_worker_makes_the_flow_not_ready(
    plane: ControlPlane, replica: OperatorProcess, workers: ReportServer, itsm: str
) -> None:
    """When nobody knows whether messages arrive, Ready says so instead of staying true."""
    healthy(plane, workers, itsm)
    await_condition(plane, itsm, "Ready", "True", "Healthy")
    workers.silent = True
    try:
        flow = await_condition(plane, itsm, "Ready", "False", "NoReport")
    finally:
        workers.silent = False
    assert condition(flow, "CredentialsValid")["reason"] == "NoReport"
    await_condition(plane, itsm, "Ready", "True", "Healthy")


def test_deleting_a_flow_removes_its_children_and_its_unused_volume(
    plane: ControlPlane, replica: OperatorProcess, itsm: str
) -> None:
    """Nothing is left of a Flow that never held a message."""
    apply(plane, itsm, "connectors.yaml", "mappings.yaml", "flow.yaml")
    plane.kubectl.wait(lambda _: True, f"pvc/{CHILD}", "-n", itsm, what="the volume")
    plane.kubectl.wait(lambda _: True, f"deploy/{CHILD}", "-n", itsm, what="the worker")

    plane.kubectl.run("delete", f"flow/{FLOW}", "-n", itsm)

    def left() -> list[str]:
        kinds = ",".join((*CHILDREN, "persistentvolumeclaim"))
        labelled = plane.kubectl.get(kinds, "-n", itsm, "-l", f"intops.io/flow={FLOW}")
        return [f"{i['kind']}/{i['metadata']['name']}" for i in labelled["items"]]

    until(lambda: not left(), "all children to go", timeout_s=60, every_s=0.3,
          explain=lambda: f"{left()}\n{replica.tail()}")  # fmt: skip


@pytest.mark.parametrize(
    ("left", "stays"),
    [
        pytest.param(0, False, id="an empty volume goes"),
        pytest.param(1, True, id="a used one stays"),
        pytest.param(None, True, id="one whose worker was killed stays"),
    ],
)
def test_a_volume_goes_with_its_flow_only_when_it_is_empty(
    plane: ControlPlane,
    replica: OperatorProcess,
    workers: ReportServer,
    request: pytest.FixtureRequest,
    left: int | None,
    stays: bool,
) -> None:
    """Messages that were acknowledged and not delivered outlive their Flow."""
    kubectl = plane.kubectl
    space = request.node.callspec.id.replace(" ", "-")
    kubectl.apply(namespace(space), node("node1"))
    # What the last report says is older than what was captured last.
    healthy(plane, workers, space, store={"received": 5, "done": 5})
    await_condition(plane, space, "Programmed", "True", "Programmed")
    mark_bound(plane, space)
    pod = kubectl.get("pods", "-n", space)["items"][0]["metadata"]["name"]
    bind(plane, space, pod, "node1")

    kubectl.run("delete", f"flow/{FLOW}", "-n", space)
    kubectl.wait(
        lambda found: bool(found["metadata"].get("deletionTimestamp")),
        f"pod/{pod}", "-n", space, what="the pod to be on its way out",
    )  # fmt: skip
    if left is not None:
        end(plane, space, pod, LastWords(left={f"{space}/{FLOW}": left}))
    kubectl.run("delete", f"pod/{pod}", "-n", space, "--force", "--grace-period=0")

    def removed() -> bool:
        done = kubectl.try_run("get", f"pvc/{CHILD}", "-n", space, "-o", "json")
        gone = done.returncode != 0
        return gone or bool(json.loads(done.stdout)["metadata"].get("deletionTimestamp"))

    if stays:
        until(
            lambda: any(
                e["event"] == "volume kept, it may hold messages" and e["namespace"] == space
                for e in replica.events()
            ),
            "the operator to keep the volume",
            timeout_s=60,
            explain=replica.tail,
        )
        assert not removed()
    else:
        until(removed, "the volume to go", timeout_s=60, explain=replica.tail)


def mark_bound(plane: ControlPlane, space: str) -> None:
    """Say that the volume claim has a volume, as its controller does."""
    plane.kubectl.run(
        "patch", f"pvc/{CHILD}", "-n", space, "--subresource=status", "--type=merge",
        "-p", '{"status":{"phase":"Bound"}}',
    )  # fmt: skip
