"""Objects that admission has never seen, and secrets around an operator that must not know them.

The operator runs here without its webhook, as where it was down when the objects were stored.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.operators import (
    FLOW,
    OperatorProcess,
    ReportServer,
    apply,
    await_condition,
    condition,
    documents,
    healthy,
)

pytestmark = pytest.mark.cluster

INVALID = Path(__file__).parents[2] / "examples" / "invalid"
REFUSED = sorted(
    file
    for kind in ("flow", "connector", "mapping")
    for file in INVALID.glob(f"{kind}-*.yaml")
    if file.read_text(encoding="utf-8").startswith("# refused: admission")
)
CANARY = "canary-9f3b71c2d5e84a60"
SHOWN = "canary-shown-4c1e"


def placed(file: Path, space: str) -> dict[str, Any]:
    """The object of a file, under the name of the file."""
    raw: dict[str, Any] = next(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    raw["metadata"] = {**raw["metadata"], "name": file.stem[:40].rstrip("-"), "namespace": space}
    return raw


def test_s51_what_admission_would_have_refused_is_told_in_its_status_and_runs_nothing(
    plane: ControlPlane, replica: OperatorProcess, itsm: str
) -> None:
    """Each wrong example, stored as it is: a condition says so, no worker comes of it, and no error of ours."""
    kubectl = plane.kubectl
    apply(plane, itsm, "connectors.yaml", "mappings.yaml")
    wrong = [placed(file, itsm) for file in REFUSED]
    kubectl.apply(*wrong)

    def told() -> list[str]:
        """Objects whose status does not say yet what is wrong with them."""
        silent = []
        for kind in ("flows", "connectors", "mappings"):
            for found in kubectl.get(kind, "-n", itsm)["items"]:
                name = found["metadata"]["name"]
                if name not in {w["metadata"]["name"] for w in wrong}:
                    continue
                if all(
                    condition(found, type_).get("status") != "False"
                    for type_ in ("Accepted", "ResolvedRefs")
                ):
                    silent.append(f"{kind}/{name}")
        return silent

    assert len(wrong) > 25
    until(
        lambda: told() == [], "each of them to be told", timeout_s=60, explain=lambda: str(told())
    )
    assert kubectl.get("deployments", "-n", itsm)["items"] == []
    assert replica.process.poll() is None
    assert [
        e for e in replica.events() if e["level"] == "error" and not e["part"].startswith("kopf")
    ] == []


def test_s32_s33_what_stands_in_secrets_is_nowhere_else(
    plane: ControlPlane, replica: OperatorProcess, workers: ReportServer, itsm: str
) -> None:
    """Objects, Events, metrics and log are searched after a life with success, refusals and a lost Secret."""
    kubectl = plane.kubectl
    for doc in documents("secrets.yaml"):
        data = dict.fromkeys(doc["stringData"], CANARY)
        kubectl.apply(
            {**doc, "metadata": {**doc["metadata"], "namespace": itsm}, "stringData": data}
        )
    flow = healthy(plane, workers, itsm)
    active = flow["status"]["configHash"]
    await_condition(plane, itsm, "Ready", "True", "Healthy")
    for state, secret in (
        ({"state": "held", "errorClass": "authDenied", "detail": f"HTTP 401 {SHOWN}"}, {"present": True}),
        ({"state": "ok"}, {"present": False, "missingKeys": ["token"]}),
    ):  # fmt: skip
        named = {"name": "helpdesk", "connector": "helpdesk", "role": "target"}
        workers.say(
            itsm, FLOW, active=active,
            connectors=[{**named, **state, "secret": {"secret": "helpdesk-token", **secret}}],
        )  # fmt: skip
        reason = "AuthDenied" if state["state"] == "held" else "SecretMissing"
        found = await_condition(plane, itsm, "CredentialsValid", "False", reason)
        if reason == "AuthDenied":
            told = json.dumps(found)

    kinds = (
        "flows,connectors,mappings,flowactions,configmaps,deployments,services,pods,events,"
        "serviceaccounts,networkpolicies,persistentvolumeclaims,replicasets"
    )
    places = {
        "objects": kubectl.run("get", kinds, "-n", itsm, "-o", "yaml"),
        "classes": kubectl.run("get", "connectorclasses,patterns,canonicalmodels", "-o", "yaml"),
        "metrics": replica.fetch("/metrics")[1],
        "log": replica.log.read_text(encoding="utf-8"),
    }
    encoded = base64.b64encode(CANARY.encode()).decode()
    found_in = [name for name, text in places.items() if CANARY in text or encoded in text]
    assert found_in == []
    assert encoded in kubectl.run("get", "secrets", "-n", itsm, "-o", "yaml")  # the control
    assert SHOWN in told
