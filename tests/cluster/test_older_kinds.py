"""An operator whose kinds are of a version before: its status has fields that the API server does not know."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from support.cluster.controlplane import ControlPlane
from support.operators import (
    FLOW,
    TREE,
    OperatorProcess,
    ReportServer,
    await_condition,
    healthy,
    install_kinds,
)

pytestmark = pytest.mark.cluster

NEW = ("received", "shadows")
"""Fields of a Flow's status that the older kinds of this module lack."""


@pytest.fixture(scope="module")
def plane(api_server: ControlPlane) -> Iterator[ControlPlane]:
    """The API server with a kind Flow that lacks some fields, until the end of the module."""
    install_kinds(api_server)
    crd = yaml.safe_load((TREE / "crds" / "intops.io_flows.yaml").read_text(encoding="utf-8"))
    for version in crd["spec"]["versions"]:
        status = version["schema"]["openAPIV3Schema"]["properties"]["status"]
        for name in NEW:
            del status["properties"][name]
    api_server.kubectl.apply(crd, field_manager="kubectl")
    yield api_server
    install_kinds(api_server)


def test_f79_a_status_is_written_although_the_kinds_lack_a_field_of_it(
    plane: ControlPlane, replica: OperatorProcess, workers: ReportServer, itsm: str
) -> None:
    """F79: otherwise every status would stay as it was, whatever happens to messages."""
    healthy(plane, workers, itsm, store={"received": 3, "done": 3})

    flow = await_condition(plane, itsm, "Ready", "True", "Healthy")

    assert "received" not in flow["status"], "the control: this kind lacks it"
    assert flow["status"]["done"] == 3
    told = [e for e in replica.events() if e["event"] == "kinds are older than this operator"]
    assert [(e["kind"], e["field"]) for e in told] == [("Flow", ".status.received")]

    workers.say(itsm, FLOW, active=flow["status"]["configHash"], store={"failed": "It is gone."})
    await_condition(plane, itsm, "Programmed", "False", "StoreFailed")
