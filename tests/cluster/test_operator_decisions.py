"""Decisions of people on a real API server: who may make them, how they reach the worker and come back."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from intops_api.schema.policies import flow_action_policy
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.operators import (
    CHILD,
    FLOW,
    OperatorProcess,
    ReportServer,
    await_condition,
    condition,
    healthy,
    install_kinds,
)

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def plane(api_server: ControlPlane) -> ControlPlane:
    """The API server with our kinds, the policy on decisions, and the operator's namespace."""
    install_kinds(api_server)
    api_server.kubectl.apply(*flow_action_policy())
    return api_server


def review(plane: ControlPlane, space: str, *arguments: str) -> subprocess.Popen[str]:
    """`intops review` with access to the cluster; does not wait."""
    return subprocess.Popen(
        [
            sys.executable, "-m", "intops_cli", "review", *arguments,
            "--kubeconfig", str(plane.kubeconfig), "-n", space,
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and everything that it said."""
    out, err = process.communicate(timeout=90)
    return process.returncode, out + err


def pending(plane: ControlPlane, space: str) -> list[dict[str, Any]]:
    """Decisions that stand beside the plan."""
    found = plane.kubectl.get("configmap", CHILD, "-n", space)
    text = found.get("data", {}).get("actions.json")
    return list(json.loads(text)["actions"]) if text else []


def test_a_decision_goes_down_and_its_answer_comes_back(
    plane: ControlPlane, replica: OperatorProcess, workers: ReportServer, itsm: str
) -> None:
    """The command ends with what the worker did; then nothing is left under way."""
    flow = healthy(plane, workers, itsm)
    await_condition(plane, itsm, "Programmed", "True", "Programmed")
    command = review(
        plane, itsm, "edit", "17", "--flow", FLOW, "--set", "severity=major", "--reason", "it is",
        "--id", "mine",
    )  # fmt: skip
    (down,) = until(lambda: pending(plane, itsm), "the decision beside the plan")
    pod = plane.kubectl.get("pods", "-n", itsm, "-l", f"intops.io/flow={FLOW}")["items"][0]

    assert (down["action"], down["select"]["messages"]) == ("edit", ["17"])
    assert down["patch"] == [{"path": "severity", "value": "major"}]
    made = plane.kubectl.get("flowaction", "mine", "-n", itsm)
    assert (down["uid"], down["actor"]) == (made["metadata"]["uid"], made["spec"]["actor"])
    assert "intops.io/actions-hash" in pod["metadata"]["annotations"]

    workers.say(
        itsm, FLOW, active=flow["status"]["configHash"],
        actions=[{"uid": down["uid"], "applied": 1, "at": datetime.now(UTC).isoformat()}],
    )  # fmt: skip
    assert ended(command) == (0, "1 message corrected and tried again.\n")
    until(lambda: pending(plane, itsm) == [], "nothing under way")
    done = await_condition(plane, itsm, "Ready", "True", "Applied", of="flowaction/mine")
    assert done["status"]["messages"] == 1
    await_condition(plane, itsm, "Programmed", "True", "Programmed")


def test_a_refusal_of_the_worker_is_the_answer(
    plane: ControlPlane, replica: OperatorProcess, workers: ReportServer, itsm: str
) -> None:
    """Exit code 1 and the worker's sentence; the status keeps it."""
    flow = healthy(plane, workers, itsm)
    command = review(plane, itsm, "retry", "99", "--flow", FLOW, "--id", "none")
    (down,) = until(lambda: pending(plane, itsm), "the decision beside the plan")
    workers.say(
        itsm, FLOW, active=flow["status"]["configHash"],
        actions=[{"uid": down["uid"], "refused": "No message in review has the number 99."}],
    )  # fmt: skip

    code, said = ended(command)
    assert (code, said) == (1, "Nothing was changed. No message in review has the number 99.\n")
    stalled = await_condition(plane, itsm, "Stalled", "True", "Refused", of="flowaction/none")
    assert condition(stalled, "Ready")["status"] == "False"


def test_a_second_person_approves_and_nobody_approves_for_another(
    plane: ControlPlane, replica: OperatorProcess, workers: ReportServer, itsm: str
) -> None:
    """S-64: Nothing goes down before; the API server verifies both names."""
    flow = healthy(plane, workers, itsm)
    kubectl = plane.kubectl
    kubectl.run(
        "patch", f"flow/{FLOW}", "-n", itsm, "--type=merge",
        "-p", '{"spec":{"review":{"secondApprover":true}}}',
    )  # fmt: skip
    kubectl.wait(
        lambda found: found["status"].get("configHash") != flow["status"]["configHash"],
        f"flow/{FLOW}", "-n", itsm, what="the new plan",
    )  # fmt: skip
    code, said = ended(
        review(plane, itsm, "discard", "1", "--flow", FLOW, "--reason", "x", "--id", "two")
    )
    assert (code, pending(plane, itsm)) == (0, [])
    assert "kubectl intops review approve two" in said

    actor = kubectl.get("flowaction", "two", "-n", itsm)["spec"]["actor"]
    own = ended(review(plane, itsm, "approve", "two", "--timeout", "1"))
    assert own[0] == 1
    assert "a second pair of eyes is somebody else's" in own[1]
    forged = ["--type=merge", "-p", '{"spec":{"approvedBy":"bob@example.com"}}']
    wrong = kubectl.try_run("patch", "flowaction/two", "-n", itsm, *forged).stderr
    assert "you are " + actor in wrong
    bob = ("--as=bob@example.com", "--as-group=system:masters")
    kubectl.run("patch", "flowaction/two", "-n", itsm, *forged, *bob)

    (down,) = until(lambda: pending(plane, itsm), "the decision beside the plan")
    assert (down["actor"], down["approvedBy"]) == (actor, "bob@example.com")
    other = ["--type=merge", "-p", '{"spec":{"reason":"another"}}']
    assert (
        "cannot be changed once it is made"
        in kubectl.try_run("patch", "flowaction/two", "-n", itsm, *other, *bob).stderr
    )


def test_nobody_approves_what_is_only_now_being_made(plane: ControlPlane, itsm: str) -> None:
    """A name in approvedBy at the creation is a claim of the actor, and refused."""
    action = {
        "apiVersion": "intops.io/v1alpha1", "kind": "FlowAction",
        "metadata": {"name": "claimed", "namespace": itsm},
        "spec": {
            "flow": FLOW, "action": "retry", "select": {"allInReview": True}, "reason": "x",
            "actor": "alice@example.com", "approvedBy": "bob@example.com",
        },
    }  # fmt: skip
    alice = ("--as=alice@example.com", "--as-group=system:masters")
    said = plane.kubectl.try_run("create", "-f", "-", *alice, given=json.dumps(action)).stderr

    assert "nobody can have approved" in said
