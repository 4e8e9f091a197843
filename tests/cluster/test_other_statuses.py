"""Connectors, Mappings, models and Patterns say how their Flows fare: a real API server, worker and desk.

The worker is a process beside the API server, which answers for the pod of the first example's Flow.
"""

from __future__ import annotations

import base64
import copy
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from intops_core.planning import decode_plan
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.cluster.scenario import FIRING, first_within, table
from support.operators import (
    CHILD,
    FLOW,
    OperatorProcess,
    apply,
    await_condition,
    condition,
    documents,
    namespace,
    operator,
    running_pod,
)
from support.runtime.worker_process import WorkerProcess
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.cluster

SPACE = "other-statuses"
SOURCE_TOKEN = "a-token-for-tests"
DESK_TOKEN = "1-27-a-token-for-tests"
OURS = "flows,connectors,mappings,patterns,connectorclasses,canonicalmodels"
SAID_WITHIN_S = 30.0
QUIET_S = 12.0


@dataclass(slots=True)
class Scene:
    """The first example at work, and everything around it."""

    plane: ControlPlane
    desk: HelpdeskSimulator
    worker: WorkerProcess
    operator: OperatorProcess
    folder: Path

    def fire(self, fingerprint: str, **changed: Any) -> None:
        """Deliver a webhook with one alert."""
        body = copy.deepcopy({**FIRING, **changed})
        body["alerts"] = [{**body["alerts"][0], "fingerprint": fingerprint}]
        url = f"http://127.0.0.1:{self.worker.capture_port}/in/{SPACE}/{FLOW}/prometheus"
        headers = {"Authorization": f"Bearer {SOURCE_TOKEN}"}
        assert httpx.post(url, json=body, headers=headers, timeout=10).status_code == 200

    def row(self, kind: str, name: str, *more: str) -> dict[str, str]:
        """One line of `kubectl get`, by heading."""
        return table(self.plane.kubectl.run("get", kind, "-n", SPACE, *more))[name]

    def events(self, kind: str, name: str) -> list[tuple[str, str]]:
        """Type and reason of each Event about an object, the first one first."""
        found = self.plane.kubectl.get("events", "-n", SPACE)["items"]
        ours = [
            one
            for one in found
            if (one["involvedObject"]["kind"], one["involvedObject"]["name"]) == (kind, name)
        ]
        ours.sort(key=lambda one: str(one["eventTime"]))
        return [(one["type"], one["reason"]) for one in ours]

    def versions(self) -> dict[str, str]:
        """resourceVersion of every object of ours that is not of another test."""
        found = self.plane.kubectl.get(OURS, "-A")["items"]
        return {
            f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"]
            for one in found
            if one["metadata"].get("namespace") in (None, SPACE)
        }

    def await_quiet(self) -> None:
        """Wait until nothing has been written for three seconds: counters follow an event later."""
        last: list[Any] = [self.versions(), time.monotonic()]

        def quiet() -> bool:
            now = self.versions()
            if now != last[0]:
                last[:] = [now, time.monotonic()]
            return time.monotonic() - last[1] > 3

        until(quiet, "the statuses to come to rest", timeout_s=60, every_s=0.5)


@pytest.fixture(scope="module")
def scene(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The Flow is Ready, with a worker and a desk that are real."""
    folder = tmp_path_factory.mktemp("statuses")
    secrets = {
        "alertmanager-token": {"token": SOURCE_TOKEN},
        "helpdesk-token": {"token": DESK_TOKEN},
    }
    with ExitStack() as stack:
        desk = stack.enter_context(HelpdeskSimulator(token=DESK_TOKEN))
        worker = stack.enter_context(WorkerProcess(secrets=secrets))
        flag = f"--operations-port={worker.operations_port}"
        leader = stack.enter_context(operator(plane, folder, "op", flag))
        plane.kubectl.apply(namespace(SPACE))
        for doc in documents("connectors.yaml"):
            if doc["metadata"]["name"] == "helpdesk":
                doc["spec"]["endpoint"] = desk.url
            plane.kubectl.apply({**doc, "metadata": {**doc["metadata"], "namespace": SPACE}})
        apply(plane, SPACE, "mappings.yaml", "flow.yaml")
        child = plane.kubectl.wait(
            lambda found: bool(found.get("binaryData")), f"configmap/{CHILD}", "-n", SPACE,
            what="the plan",
        )  # fmt: skip
        worker.write_plan(decode_plan(base64.b64decode(child["binaryData"]["plan.json.gz"])))
        worker.start()
        worker.wait_ready()
        running_pod(plane, SPACE, FLOW)
        await_condition(plane, SPACE, "Ready", "True", "Healthy")
        yield Scene(plane, desk, worker, leader, folder)


def test_a_person_sees_which_system_answers_and_who_uses_it(scene: Scene) -> None:
    """`kubectl get connectors` and its wide form, once the worker has reported."""
    await_condition(
        scene.plane, SPACE, "TargetReachable", "True", "Reachable", of="connector/helpdesk"
    )

    row = scene.row("connectors", "helpdesk", "-o", "wide")
    assert (row["CLASS"], row["READY"], row["REASON"]) == ("request-tracker", "True", "InUse")
    assert (row["REACHABLE"], row["FLOWS"], row["CREDENTIALS"]) == ("True", "1", "True")
    assert (row["HOST"], row["LIMITS"]) == ("127.0.0.1", "10/s, 4 at once")


def test_a_person_sees_who_uses_mappings_models_classes_and_patterns(scene: Scene) -> None:
    """Every kind has a line worth reading."""
    await_condition(
        scene.plane, SPACE, "SchemaStable", "True", "Healthy", of="mapping/alertmanager-to-event"
    )

    mapping = scene.row("mappings", "alertmanager-to-event")
    assert (mapping["MAPS"], mapping["STABLE"]) == ("alertmanager/alert → event/v1", "True")
    assert (mapping["READY"], mapping["REASON"], mapping["FLOWS"]) == ("True", "InUse", "1")
    pattern = scene.row("patterns", "event-to-incident")
    assert (pattern["READY"], pattern["REASON"], pattern["VIOLATIONS"]) == ("True", "InUse", "0")
    assert (int(pattern["FLOWS"]) >= 1, pattern["EXCEPTIONS"]) == (True, "0")
    class_ = scene.row("connectorclasses", "alertmanager")
    assert (class_["READY"], class_["REASON"], int(class_["CONNECTORS"]) >= 1) == (
        "True", "InUse", True,
    )  # fmt: skip
    model = scene.row("canonicalmodels", "event", "-o", "wide")
    # Patterns have no namespace: those of a test before this one may still be there.
    assert (model["READY"], model["REASON"], int(model["PATTERNS"]) >= 1) == ("True", "InUse", True)


def test_a_desk_that_is_gone_shows_in_its_connector_and_is_taken_back(
    scene: Scene, record_property: Any
) -> None:
    """Within half a minute, both ways; with the error's class, since when, and nothing of it after."""
    scene.desk.stop()
    scene.fire("gone")
    gone_at = time.monotonic()
    found = await_condition(
        scene.plane, SPACE, "TargetReachable", "False", "DestinationDown", of="connector/helpdesk"
    )
    said_s = time.monotonic() - gone_at
    assert condition(found, "Ready")["reason"] == "DestinationDown"
    assert found["status"]["errorClass"] == "destinationDown"
    assert "127.0.0.1 refuses connections" in condition(found, "TargetReachable")["message"]
    since = found["status"]["since"].replace("T", " ").replace("Z", " UTC")
    assert f"since {since}" in condition(found, "TargetReachable")["message"]
    row = scene.row("connectors", "helpdesk", "-o", "wide")
    assert (row["READY"], row["REACHABLE"]) == ("False", "False")
    assert row["SINCE"].endswith("s")

    scene.desk.start()
    back_at = time.monotonic()
    found = await_condition(
        scene.plane, SPACE, "TargetReachable", "True", "Reachable", of="connector/helpdesk"
    )
    back_s = time.monotonic() - back_at
    assert condition(found, "Ready")["status"] == "True"
    assert {"errorClass", "since"}.isdisjoint(found["status"])
    until(
        lambda: (
            scene.events("Connector", "helpdesk")
            == [("Warning", "DestinationDown"), ("Normal", "InUse")]
        ),
        "both changes to be Events",
        explain=lambda: str(scene.events("Connector", "helpdesk")),
    )
    record_property("said_s", round(said_s, 1))
    record_property("taken_back_s", round(back_s, 1))
    print(f"said after {said_s:.1f} s, taken back after {back_s:.1f} s")
    assert max(said_s, back_s) < SAID_WITHIN_S


def test_a_new_form_of_payloads_shows_in_its_mapping(scene: Scene) -> None:
    """The Mapping that lacks the form says so; it stays ready for what it knows."""
    scene.fire("new-form", version="5")

    found = await_condition(
        scene.plane, SPACE, "SchemaStable", "False", "DriftDetected",
        of="mapping/alertmanager-to-event",
    )  # fmt: skip
    assert "none of the forms that Mapping" in condition(found, "SchemaStable")["message"]
    assert condition(found, "Ready")["status"] == "True"
    other = scene.plane.kubectl.get("mapping", "incident-to-helpdesk", "-n", SPACE)
    assert condition(other, "SchemaStable")["status"] == "True"


def test_a_flow_that_goes_is_used_by_nobody_any_more(scene: Scene) -> None:
    """A second namespace with the same example: its Connectors and Mappings count its one Flow."""
    kubectl, space = scene.plane.kubectl, f"{SPACE}-going"
    kubectl.apply(namespace(space))
    apply(scene.plane, space, "connectors.yaml", "mappings.yaml", "flow.yaml")
    objects = ("connector/helpdesk", "mapping/alertmanager-to-event")

    def flows() -> list[Any]:
        found = [kubectl.get(*of.split("/"), "-n", space) for of in objects]
        return [(one["status"].get("flows"), condition(one, "Ready")["reason"]) for one in found]

    until(lambda: flows() == [(1, "InUse")] * 2, "the Flow to be counted", timeout_s=40,
          explain=lambda: str(flows()))  # fmt: skip

    kubectl.run("delete", f"flow/{FLOW}", "-n", space)

    until(lambda: flows() == [(0, "Unused")] * 2, "the Flow to be counted no more", timeout_s=40,
          explain=lambda: str(flows()))  # fmt: skip


def test_an_object_that_newer_rules_refuse_says_so_and_its_flow_runs_on(scene: Scene) -> None:
    """As after an upgrade: nothing asked admission when it was stored, and what runs goes on."""
    (spec,) = [
        doc["spec"] for doc in documents("connectors.yaml") if doc["metadata"]["name"] == "helpdesk"
    ]

    def limit(concurrency: int) -> None:
        asked = {"spec": {"limits": {"concurrency": concurrency}}}
        scene.plane.kubectl.run(
            "patch", "connector/helpdesk", "-n", SPACE, "--type=merge", "-p", json.dumps(asked)
        )

    limit(99)
    found = await_condition(
        scene.plane, SPACE, "Accepted", "False", "InvalidSpec", of="connector/helpdesk"
    )
    assert "above the limit of class request-tracker" in condition(found, "Accepted")["message"]
    assert condition(found, "Stalled")["status"] == "True"
    flow = await_condition(scene.plane, SPACE, "ResolvedRefs", "False", "RefInvalid")
    assert "keeps running" in condition(flow, "ResolvedRefs")["message"]

    limit(spec["limits"]["concurrency"])
    found = await_condition(
        scene.plane, SPACE, "Accepted", "True", "Accepted", of="connector/helpdesk"
    )
    assert condition(found, "Stalled") == {}
    await_condition(scene.plane, SPACE, "Ready", "True", "Healthy")


def test_at_rest_nothing_is_written_and_a_new_leader_writes_nothing_either(scene: Scene) -> None:
    """It has heard of nobody yet; what stands is better than a guess."""
    scene.await_quiet()
    before = scene.versions()
    written = first_within(QUIET_S, lambda: scene.versions().items() ^ before.items())
    assert written is None

    flag = f"--operations-port={scene.worker.operations_port}"
    with operator(scene.plane, scene.folder, "next", flag) as following:
        scene.operator.kill()
        until(following.leads, "the next to lead", timeout_s=60, explain=following.tail)
        until(
            lambda: (
                'intops_operator_reports_total{result="heard"}' in following.fetch("/metrics")[1]
            ),
            "the next to ask the worker",
            explain=following.tail,
        )
        written = first_within(QUIET_S, lambda: scene.versions().items() ^ before.items())
        assert written is None
