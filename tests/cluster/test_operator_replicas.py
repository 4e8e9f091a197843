"""Two replicas: one leads, the other takes over; both see everything and answer admission."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from support.cluster import binaries
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.operators import (
    CHILD,
    FLOW,
    NAMESPACE,
    OperatorProcess,
    apply,
    install_kinds,
    namespace,
    operator,
)

pytestmark = pytest.mark.cluster

LEASE = "lease/replicas"


def holder(plane: ControlPlane) -> str:
    """Who holds the Lease."""
    spec = plane.kubectl.get(LEASE, "-n", NAMESPACE)["spec"]
    return str(spec.get("holderIdentity", ""))


def two_flags(tmp_path: Path) -> tuple[str, ...]:
    """Flags that keep this module's replicas away from those of others."""
    return ("--lease-name=replicas", f"--certificate-secret={tmp_path.name.replace('_', '-')[:40]}")


def leader_of(*replicas: OperatorProcess) -> OperatorProcess:
    """The replica that leads, once exactly one does."""

    def one() -> OperatorProcess | None:
        leading = [replica for replica in replicas if replica.leads()]
        return leading[0] if len(leading) == 1 else None

    return until(one, "one leader", explain=replicas[0].tail)


def has_worker(plane: ControlPlane, space: str) -> None:
    """Wait until somebody reconciled the example."""
    apply(plane, space, "connectors.yaml", "mappings.yaml", "flow.yaml")
    plane.kubectl.wait(lambda _: True, f"deploy/{CHILD}", "-n", space, what="the worker")


def test_the_second_replica_takes_over_when_the_leader_is_killed(
    api_server: ControlPlane, tmp_path: Path
) -> None:
    """A crash of the leader costs one Lease, and nothing that was applied meanwhile."""
    install_kinds(api_server)
    api_server.kubectl.apply(namespace("takeover"))
    flags = two_flags(tmp_path)
    with (
        operator(api_server, tmp_path, "first", *flags) as first,
        operator(api_server, tmp_path, "second", *flags) as second,
    ):
        leader = leader_of(first, second)
        follower = second if leader is first else first

        leader.kill()
        has_worker(api_server, "takeover")

        assert holder(api_server) == follower.name
        assert follower.leads()
        transitions = api_server.kubectl.get(LEASE, "-n", NAMESPACE)["spec"]["leaseTransitions"]
        assert transitions >= 1


def test_an_orderly_end_hands_the_lease_over(api_server: ControlPlane, tmp_path: Path) -> None:
    """SIGTERM ends the process with success and frees the Lease at once."""
    install_kinds(api_server)
    flags = two_flags(tmp_path)
    with operator(api_server, tmp_path, "first", *flags) as first:
        leader_of(first)

        assert first.stop() == 0

        assert holder(api_server) == ""


def test_a_stopped_leader_writes_nothing_after_it_wakes_up(
    api_server: ControlPlane, tmp_path: Path
) -> None:
    """S-65: A frozen process finds its term over by its own clock, and is a good follower after."""
    install_kinds(api_server)
    api_server.kubectl.apply(namespace("frozen"))
    flags = two_flags(tmp_path)
    with (
        operator(api_server, tmp_path, "first", *flags) as first,
        operator(api_server, tmp_path, "second", *flags) as second,
    ):
        leader = leader_of(first, second)
        follower = second if leader is first else first
        os.kill(leader.process.pid, signal.SIGSTOP)
        try:
            until(follower.leads, "the follower to lead", explain=follower.tail)
            has_worker(api_server, "frozen")
        finally:
            os.kill(leader.process.pid, signal.SIGCONT)

        until(
            lambda: any(e["event"] == "leadership lost" for e in leader.events()),
            "the old leader to notice",
            explain=leader.tail,
        )
        assert leader_of(first, second) is follower
        flow = api_server.kubectl.get("flow", FLOW, "-n", "frozen")
        assert flow["status"]["observedGeneration"] == 1
        follower.kill()
        until(leader.leads, "the old leader to lead again", timeout_s=60, explain=leader.tail)


def test_the_rights_of_the_chart_suffice(api_server: ControlPlane, tmp_path: Path) -> None:
    """S-44: As the chart's service account, and as nobody more, the operator makes a whole worker."""
    install_kinds(api_server)
    kubectl = api_server.kubectl
    kubectl.apply(namespace("rights"))
    render = [
        str(binaries.path("helm")), "template", "intops", str(Path(__file__).resolve().parents[2] / "helm/intops"),
        "--namespace", NAMESPACE, "--kube-version", binaries.version(),
        "--show-only", "templates/rbac.yaml",
        "--show-only", "templates/admission.yaml",
    ]  # fmt: skip
    rendered = subprocess.run(render, check=True, capture_output=True, text=True).stdout
    kept = [
        doc
        for doc in yaml.safe_load_all(rendered)
        # Its Service has no endpoint here: with it the API server would refuse everything.
        if doc and doc["kind"] != "ValidatingWebhookConfiguration"
    ]
    kubectl.apply(*kept)
    account = next(doc for doc in kept if doc["kind"] == "ServiceAccount")["metadata"]["name"]
    secret = next(doc for doc in kept if doc["kind"] == "Secret")["metadata"]["name"]
    kubeconfig = api_server.kubeconfig_of(
        f"system:serviceaccount:{NAMESPACE}:{account}",
        groups=("system:serviceaccounts", "system:authenticated"),
    )
    flags = (
        f"--lease-name={account}",
        f"--certificate-secret={secret}",
        f"--webhook-configuration={account}-{NAMESPACE}",
    )
    with operator(api_server, tmp_path, "limited", *flags, kubeconfig=kubeconfig) as limited:
        has_worker(api_server, "rights")
        kubectl.wait(
            lambda flow: flow.get("status", {}).get("configHash") is not None,
            f"flow/{FLOW}", "-n", "rights", what="its status",
        )  # fmt: skip
        refused = [event for event in limited.events() if "forbidden" in json.dumps(event).lower()]
        assert refused == []
