"""Two replicas: one leads, the other takes over; both see everything and answer admission."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import ssl
from pathlib import Path
from typing import Any

import pytest

from intops_operator.core.children import CHILD_KINDS
from support.chart import render
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.operators import (
    CHILD,
    FLOW,
    NAMESPACE,
    OperatorProcess,
    apply,
    documents,
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


ROLES = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


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


def test_a_new_leader_applies_nothing_that_is_as_it_should_be(
    api_server: ControlPlane, tmp_path: Path
) -> None:
    """A thousand Flows would cost the API server seven thousand writes at every change of leader."""
    install_kinds(api_server)
    space = "unchanged"
    api_server.kubectl.apply(namespace(space))
    apply(api_server, space, "connectors.yaml", "mappings.yaml")
    (flow,) = documents("flow.yaml")
    runtimes: dict[str, dict[str, Any]] = {
        "alone": {},
        "pooled": {"pool": "quiet"},
        "scaled": {"replicas": {"min": 2, "max": 3}, "store": {"postgres": {"secretName": "db"}}},
    }
    for name, runtime in runtimes.items():
        meta = {"name": name, "namespace": space}
        spec = {**flow["spec"], "runtime": runtime}
        api_server.kubectl.apply({**flow, "metadata": meta, "spec": spec})
    flags = two_flags(tmp_path)

    def judged(replica: OperatorProcess) -> bool:
        told = 'reason="Applying"', f'namespace="{space}"', 'type="Programmed"'
        lines = replica.fetch("/metrics")[1].splitlines()
        waiting = [line for line in lines if all(part in line for part in told)]
        idle = replica.metric("intops_operator_queue_depth") == 0
        return len(waiting) == len(runtimes) and idle

    with operator(api_server, tmp_path, "before", *flags) as before:
        until(lambda: judged(before), "all to be judged", timeout_s=60, explain=before.tail)
        assert {kind for kind, _ in children_applied(before, space)} == set(CHILD_KINDS)

        with operator(api_server, tmp_path, "after", *flags) as after:
            before.kill()
            until(after.leads, "another leader", timeout_s=60, explain=after.tail)
            until(lambda: judged(after), "all to be judged", timeout_s=60, explain=after.tail)
            assert children_applied(after, space) == []

            edit = {"spec": {"selector": {"intops.io/flow": "other"}}}
            api_server.kubectl.run(
                "patch", "service/intops-alone", "-n", space, "-p", json.dumps(edit)
            )

            def repaired() -> bool:
                return children_applied(after, space) == [("Service", "intops-alone")]

            until(repaired, "the Service to be repaired", timeout_s=30, explain=after.tail)


def children_applied(replica: OperatorProcess, space: str) -> list[tuple[str, str]]:
    """Kind and name of every child in a namespace that a replica says it has applied."""
    lines = [json.loads(line) for line in replica.log.read_text().splitlines() if line[:1] == "{"]
    return [
        (line["kind"], line["name"])
        for line in lines
        if line.get("event") == "child applied" and line["namespace"] == space
    ]


def test_an_orderly_end_hands_the_lease_over(api_server: ControlPlane, tmp_path: Path) -> None:
    """SIGTERM ends the process with success and frees the Lease at once."""
    install_kinds(api_server)
    flags = two_flags(tmp_path)
    with operator(api_server, tmp_path, "first", *flags) as first:
        leader_of(first)

        assert first.stop() == 0

        assert holder(api_server) == ""


def test_a_replica_that_ends_answers_admission_until_nobody_is_led_to_it(
    api_server: ControlPlane, tmp_path: Path
) -> None:
    """F78: kept connections are taken leave of with an answer, and the Lease is free at once."""
    install_kinds(api_server)
    flags = two_flags(tmp_path)
    with operator(api_server, tmp_path, "ending", *flags, "--drain=4") as ending:
        leader_of(ending)
        connection = trusted(api_server, flags[1].partition("=")[2], ending.ports["admission"])
        with contextlib.closing(connection):
            assert judged(connection) == (True, None)
            ending.process.terminate()
            until(lambda: ending.fetch("/readyz")[0] == 503, "it to say that it is about to end")

            assert judged(connection) == (True, "close")
            until(lambda: holder(api_server) == "", "the Lease to be free")
            # On a new connection, which http.client opens by itself: kube-proxy may not know yet.
            assert judged(connection) == (True, "close")
            assert ending.process.poll() is None

        assert ending.stop() == 0


def trusted(plane: ControlPlane, secret: str, port: int) -> http.client.HTTPSConnection:
    """A connection to the admission endpoint, as the API server makes one."""
    found = plane.kubectl.get("secret", secret, "-n", NAMESPACE)
    authority = base64.b64decode(found["data"]["ca.crt"]).decode()
    context = ssl.create_default_context(cadata=authority)
    return http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)


def judged(connection: http.client.HTTPSConnection) -> tuple[bool, str | None]:
    """Whether a good Connector is allowed, and what is said about the connection."""
    connector = {
        "apiVersion": "intops.io/v1alpha1", "kind": "Connector",
        "metadata": {"name": "asked", "namespace": "default"},
        "spec": {
            "class": "alertmanager", "owner": {"team": "sre", "contact": "sre@example.com"},
            "credentials": {"secretName": "asked"},
        },
    }  # fmt: skip
    review = {
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "1", "operation": "CREATE", "namespace": "default", "object": connector,
            "kind": {"group": "intops.io", "version": "v1alpha1", "kind": "Connector"},
        },
    }  # fmt: skip
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/validate", json.dumps(review), headers)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    return said["response"]["allowed"], answer.getheader("Connection")


def test_a_stopped_leader_writes_nothing_after_it_wakes_up(
    api_server: ControlPlane, tmp_path: Path
) -> None:
    """F68, S-65: A frozen process finds its term over by its own clock, and is a good follower after."""
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


@pytest.mark.parametrize(
    "watched", [(), ("rights-watched", NAMESPACE)], ids=["everywhere", "there only"]
)
def test_the_rights_of_the_chart_suffice(
    watched: tuple[str, ...], api_server: ControlPlane, tmp_path: Path
) -> None:
    """S-44: As the chart's service account, and as nobody more, the operator makes a whole worker."""
    space = watched[0] if watched else "rights"
    install_kinds(api_server)
    kubectl = api_server.kubectl
    kubectl.apply(namespace(space))
    rendered = render(watchNamespaces=list(watched), crds={"install": False})
    kept = [doc for doc in rendered if doc["kind"] in {"ServiceAccount", "Secret", *ROLES}]
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
        f"--watch-namespaces={','.join(watched)}",
    )
    with operator(api_server, tmp_path, "limited", *flags, kubeconfig=kubeconfig) as limited:
        has_worker(api_server, space)
        kubectl.wait(
            lambda flow: flow.get("status", {}).get("configHash") is not None,
            f"flow/{FLOW}", "-n", space, what="its status",
        )  # fmt: skip
        too_much = json.dumps({"spec": {"limits": {"concurrency": 99}}})
        kubectl.run("patch", "connector/helpdesk", "-n", "rights", "--type=merge", "-p", too_much)
        until(
            lambda: [one["reason"] for one in kubectl.get("events", "-n", "rights")["items"]
                     if one["involvedObject"]["kind"] == "Connector"] == ["InvalidSpec"],
            "the Event of a Connector that is refused", explain=limited.tail,
        )  # fmt: skip
        refused = [event for event in limited.events() if "forbidden" in json.dumps(event).lower()]
        assert refused == []
    may = kubectl.try_run(
        "auth", "can-i", "patch", "deployments", "-n", "default",
        "--as", f"system:serviceaccount:{NAMESPACE}:{account}",
    )  # fmt: skip
    assert may.stdout.strip() == ("no" if watched else "yes")
    kubectl.run(
        "delete", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": kept})
    )
