"""What clusters do to an operator: servers restart, namespaces go, quotas refuse, people edit children."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.cluster.api import Api
from support.cluster.api_story import CHILDREN, Story, differences
from support.cluster.controlplane import ControlPlane, home, on_loopback
from support.cluster.polling import until
from support.operators import (
    CHILD,
    OperatorProcess,
    ReportServer,
    apply,
    await_condition,
    condition,
    install_kinds,
    namespace,
    operator,
)

pytestmark = pytest.mark.cluster

EDITS = {"short": 40, "full": 1_000}


def life(api: Api, workers: ReportServer, space: str, replica: OperatorProcess) -> Story:
    """A life of one Flow."""
    return Story(api, workers, space, replica.log.read_text)


def gone(api: Api, space: str) -> Callable[[], bool]:
    """Whether a namespace is no more."""
    return lambda: api.get("Namespace", None, space) is None


def test_f60_an_api_server_and_its_store_that_restart_cost_nothing_but_time(
    workers: ReportServer, tmp_path: Path
) -> None:
    """F60, F61: what was there stays as it was, and what is applied afterwards is done by the same process."""
    plane = ControlPlane(home(f"pytest-{tmp_path.name}"))
    try:
        plane.start()
        install_kinds(plane)
        flags = (f"--operations-port={workers.port}",)
        with operator(plane, tmp_path, "op", *flags) as replica, Api(plane) as api:
            before = life(api, workers, "before", replica)
            before.create()
            picture = before.picture()

            plane.stop()
            until(lambda: not replica.leads(), "the leader to know that it leads no more")
            assert replica.process.poll() is None, replica.tail()
            plane.start()

            until(replica.leads, "the operator to lead again", timeout_s=60, explain=replica.tail)
            until(lambda: before.picture() == picture, "the same as before", timeout_s=60)
            after = life(api, workers, "after", replica)
            after.create()
            assert replica.process.poll() is None
    finally:
        plane.remove()


def test_f76_a_namespace_goes_with_its_flows_whether_an_operator_is_there_or_not(
    plane: ControlPlane, api: Api, workers: ReportServer, tmp_path: Path
) -> None:
    """F76, S-60: no finalizer of ours holds it."""
    flags = (f"--operations-port={workers.port}",)
    with operator(plane, tmp_path, "op", *flags) as replica:
        life(api, workers, "with-operator", replica).create()
        life(api, workers, "without-operator", replica).create()
        api.delete("Namespace", None, "with-operator")
        until(gone(api, "with-operator"), "the namespace to go", timeout_s=90)
        assert replica.process.poll() is None
    api.delete("Namespace", None, "without-operator")
    until(gone(api, "without-operator"), "the namespace to go", timeout_s=90)


def test_f80_a_namespace_without_room_for_a_worker_is_told_and_used_when_there_is_room(
    plane: ControlPlane, api: Api, workers: ReportServer, replica: OperatorProcess, itsm: str
) -> None:
    """F80: the condition names the quota; nothing is tried in a hurry; a raised quota is enough."""
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "strict", "namespace": itsm}, "spec": {"hard": {"pods": "0"}},
    }  # fmt: skip
    plane.kubectl.apply(quota)
    story = life(api, workers, itsm, replica)
    story.apply()

    flow = await_condition(plane, itsm, "Ready", "False", "QuotaExceeded")
    assert "quota" in condition(flow, "Programmed")["message"]
    writes = replica.metric("intops_operator_status_writes_total")
    asked = workers.asked
    plane.kubectl.apply({**quota, "spec": {"hard": {"pods": "5"}}})
    # The Deployment's own controller waits longer after each refusal; a person would restart it as well.
    plane.kubectl.run("rollout", "restart", f"deploy/{CHILD}", "-n", itsm)
    story.await_ready()
    assert replica.metric("intops_operator_status_writes_total") - writes < 40, asked


def test_f80_a_cluster_without_an_address_for_a_service_is_told_and_used_when_there_is_one(
    tmp_path: Path,
) -> None:
    """F80: the API server calls it an error of its own; it lasts until somebody gives an address back."""
    place = dataclasses.replace(on_loopback(), services="10.96.0.0/29")
    plane = ControlPlane(home(f"pytest-{tmp_path.name}"), place, controllers=False)
    try:
        plane.start()
        install_kinds(plane)
        plane.kubectl.apply(namespace("itsm"))
        create = ("create", "service", "clusterip", "--tcp=80", "-n", "itsm")
        taken = 0
        while plane.kubectl.try_run(*create, f"taken-{taken}").returncode == 0:
            taken += 1
            assert taken < 8, "the range has no end"
        with operator(plane, tmp_path, "addresses") as replica:
            apply(plane, "itsm", "connectors.yaml", "mappings.yaml", "flow.yaml")
            flow = await_condition(plane, "itsm", "Programmed", "False", "QuotaExceeded")
            assert f'Service "{CHILD}" was refused' in condition(flow, "Programmed")["message"]
            plane.kubectl.wait(lambda _: True, f"deploy/{CHILD}", "-n", "itsm", what="the rest")

            plane.kubectl.run("delete", "service", "taken-0", "-n", "itsm")

            plane.kubectl.wait(lambda _: True, f"service/{CHILD}", "-n", "itsm", what="the Service")
            await_condition(plane, "itsm", "Programmed", "False", "Applying")
            assert replica.process.poll() is None
    finally:
        plane.remove()


def test_f81_whatever_people_do_to_children_is_undone_and_what_is_theirs_stays(
    plane: ControlPlane, api: Api, workers: ReportServer, replica: OperatorProcess,
    itsm: str, seed: int, fault_runs: str,
) -> None:  # fmt: skip
    """F81, S-63: random edits and deletions of children; labels and annotations of others are left alone."""
    story = life(api, workers, itsm, replica)
    story.create()
    picture = story.settled()
    theirs = {"metadata": {"annotations": {"example.com/note": "ours"}}}
    api.merge("ConfigMap", itsm, CHILD, theirs)
    api.merge("Service", itsm, CHILD, theirs)
    draw = random.Random(seed)
    for number in range(EDITS[fault_runs]):
        _edit(api, itsm, draw)
        if number % 20 == 19:
            until(
                lambda: story.healed() == picture, f"edits up to {number} to be undone",
                timeout_s=60, every_s=0.3, explain=lambda: differences(picture, story.healed()),
            )  # fmt: skip
    found = api.get("ConfigMap", itsm, CHILD)
    assert found is not None
    assert found["metadata"]["annotations"]["example.com/note"] == "ours"


def _edit(api: Api, space: str, draw: random.Random) -> None:
    """One thing that somebody in a hurry might do."""
    kind = draw.choice(CHILDREN[:-1])
    if kind != "ConfigMap" and draw.random() < 0.3:
        api.delete(kind, space, CHILD)
        return
    # Whose it is, is known by its labels or by its owner: who takes both away has made it theirs.
    whose: list[dict[str, Any]] = [
        {"labels": {"app.kubernetes.io/managed-by": "somebody"}},
        {"labels": {"intops.io/flow": None}},
    ]
    if kind == "Service":
        whose = [{"ownerReferences": None}, {"labels": {"app.kubernetes.io/name": "mine"}}]
    changes: list[dict[str, Any]] = [{"metadata": meta} for meta in whose]
    if kind == "Deployment":
        changes += [
            {"spec": {"replicas": draw.randint(0, 3)}},
            {"spec": {"progressDeadlineSeconds": 900}},
        ]
    if kind == "Service":
        changes += [{"spec": {"selector": {"app": "other"}}}]
    if kind == "ConfigMap":
        changes += [{"binaryData": None}]
    if kind == "NetworkPolicy":
        changes += [{"spec": {"ingress": None}}, {"spec": {"policyTypes": ["Ingress"]}}]
    api.try_merge(kind, space, CHILD, draw.choice(changes))
