"""A suspended Flow goes to another kind of store, on a real API server, and leaves nothing behind."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from intops_api.plan import FlowPlan
from intops_api.report import LastWords
from intops_core.planning import decode_plan
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.operators import (
    ReportServer,
    apply,
    await_condition,
    condition,
    documents,
    end,
    node,
    operator,
    run_pod,
)

pytestmark = pytest.mark.cluster

NODE = "node-of-stores"
NAME = "intops-mover"
EMBEDDED = {"embedded": {"size": "2Gi"}}
POSTGRES = {"postgres": {"secretName": "database"}}


def flow(space: str, store: dict[str, Any], *, suspend: bool = True) -> dict[str, Any]:
    """The example's Flow with another store."""
    (found,) = documents("flow.yaml")
    found["metadata"] = {"name": "mover", "namespace": space}
    found["spec"] |= {"runtime": {"store": store}, "suspend": suspend}
    return found


def plan(plane: ControlPlane, space: str) -> FlowPlan:
    """What its worker is told."""
    body = plane.kubectl.get("configmap", NAME, "-n", space)
    return decode_plan(base64.b64decode(body["binaryData"]["plan.json.gz"]))


def has(plane: ControlPlane, space: str, kind: str) -> bool:
    """Whether there is a child of this kind that stays."""
    listed = plane.kubectl.get(kind, "-n", space)["items"]
    return any(
        one["metadata"]["name"] == NAME and not one["metadata"].get("deletionTimestamp")
        for one in listed
    )


def test_a_kind_of_store_changes_only_when_it_is_drained(
    plane: ControlPlane, workers: ReportServer, itsm: str, tmp_path: Path
) -> None:
    """Held with the number of its messages, resumed where they are, gone when empty; and the same way back."""
    kubectl, label = plane.kubectl, "intops.io/flow=mover"
    with operator(plane, tmp_path, "switch", f"--operations-port={workers.port}") as replica:
        until(replica.leads, "the operator to lead", timeout_s=60, explain=replica.tail)
        apply(plane, itsm, "connectors.yaml", "mappings.yaml")
        kubectl.apply(node(NODE), flow(itsm, EMBEDDED))
        pod = run_pod(plane, itsm, label, NODE)
        active = plan(plane, itsm).hash
        workers.say(itsm, "mover", active=active, suspended=True, store={"received": 2, "held": 2})
        await_condition(plane, itsm, "Ready", "False", "Suspended", of="flow/mover")

        kubectl.apply(flow(itsm, POSTGRES))
        found = await_condition(plane, itsm, "Programmed", "False", "MoveHeld", of="flow/mover")
        assert "2 messages in its store would stay" in condition(found, "Programmed")["message"]
        assert plan(plane, itsm).hash == active
        assert has(plane, itsm, "persistentvolumeclaim")

        # It is resumed although its spec names PostgreSQL already, and delivers from its volume.
        kubectl.apply(flow(itsm, POSTGRES, suspend=False))
        until(
            lambda: not plan(plane, itsm).suspend,
            "the word to resume",
            timeout_s=60,
            explain=replica.tail,
        )
        assert plan(plane, itsm).store.postgres is None
        kubectl.apply(flow(itsm, POSTGRES))
        until(
            lambda: plan(plane, itsm).suspend,
            "the word to pause",
            timeout_s=60,
            explain=replica.tail,
        )
        workers.say(itsm, "mover", active=active, suspended=True, store={"received": 2, "done": 2})
        until(
            lambda: not has(plane, itsm, "deployment"),
            "its worker to end",
            timeout_s=60,
            explain=replica.tail,
        )
        assert has(plane, itsm, "persistentvolumeclaim")
        _gone(plane, itsm, pod, 0)
        until(
            lambda: has(plane, itsm, "deployment"),
            "other workers",
            timeout_s=60,
            explain=replica.tail,
        )
        assert plan(plane, itsm).store.postgres is not None
        assert not has(plane, itsm, "persistentvolumeclaim")

        pod = run_pod(plane, itsm, label, NODE)
        active = plan(plane, itsm).hash
        held = {"scope": "shared", "received": 1, "held": 1}
        workers.say(itsm, "mover", active=active, suspended=True, store=held)
        await_condition(plane, itsm, "Programmed", "True", "Programmed", of="flow/mover")
        kubectl.apply(flow(itsm, EMBEDDED))
        found = await_condition(plane, itsm, "Programmed", "False", "MoveHeld", of="flow/mover")
        assert "1 message in its store would stay" in condition(found, "Programmed")["message"]
        assert plan(plane, itsm).hash == active
        drained = {"scope": "shared", "received": 1, "done": 1}
        workers.say(itsm, "mover", active=active, suspended=True, store=drained)
        until(
            lambda: not has(plane, itsm, "deployment"),
            "its worker to end",
            timeout_s=60,
            explain=replica.tail,
        )
        _gone(plane, itsm, pod, 0)
        until(
            lambda: has(plane, itsm, "persistentvolumeclaim"),
            "a volume",
            timeout_s=60,
            explain=replica.tail,
        )
        assert plan(plane, itsm).store.embedded is not None


def _gone(plane: ControlPlane, space: str, pod: str, left: int) -> None:
    """Its pod ends with these last words."""
    plane.kubectl.wait(
        lambda found: bool(found["metadata"].get("deletionTimestamp")),
        f"pod/{pod}", "-n", space, what="its pod to be on its way out",
    )  # fmt: skip
    end(plane, space, pod, LastWords(left={f"{space}/mover": left}))
    plane.kubectl.run("delete", f"pod/{pod}", "-n", space, "--force", "--grace-period=0")
