"""The product in a real cluster, between real systems: a rule fires, a ticket is made, the status is true."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest

from support.cluster import paths, product
from support.cluster.onenode import OneNode
from support.cluster.polling import until
from support.cluster.scenario import (
    FLOW,
    NAMESPACE,
    SOURCE_TOKEN,
    Installed,
    await_admission,
    condition_of,
    first_within,
    secret,
    table,
    unreasoned,
    watched,
)
from support.kubectl_plugin import kubectl_intops
from support.peers.alertmanager import Alertmanager
from support.peers.prometheus import Prometheus
from support.peers.request_tracker import RequestTracker
from support.peers.roundup import Roundup
from support.runtime.flows import EXAMPLE, change, example_manifests

pytestmark = [pytest.mark.cluster, pytest.mark.peers]

# Kubelet refreshes a volume within its sync period of one minute and its cache's life.
VOLUME_REFRESH_S = 150.0
SHOWN_S = 30
"""Longest time until the status says that the desk is gone, or that it is back."""
OUTAGE_S = {"short": 35.0, "full": 120.0}
IDLE_S = 30
TRAFFIC_S = 35


@pytest.fixture(scope="module")
def installed(node: OneNode) -> Iterator[Installed]:
    """The chart from this tree, the example with a real desk, Ready."""
    product.install(node)
    await_admission(node.kubectl)
    node.kubectl.run("create", "namespace", NAMESPACE)
    with RequestTracker(bind=node.machine_address) as desk:
        found = Installed(node, desk)
        manifests = example_manifests()
        change(manifests, "Connector", "helpdesk", lambda spec: spec.update(endpoint=desk.url))
        node.kubectl.apply(
            secret("alertmanager-token", token=SOURCE_TOKEN),
            secret("helpdesk-token", token=desk.token),
            *manifests,
        )
        until(found.is_ready, "the Flow is Ready", timeout_s=120)
        yield found


def test_a_prometheus_rule_becomes_a_ticket_and_its_recovery_resolves_it(
    installed: Installed,
) -> None:
    """Rule → Alertmanager → worker pod → Request Tracker, with the mapped fields, and back."""
    before = len(installed.tickets())
    with (
        Alertmanager(installed.capture_url(), bearer_token=SOURCE_TOKEN) as alertmanager,
        Prometheus(alertmanager.url) as prometheus,
    ):
        labels = {"severity": "critical", "service": "payments", "instance": "pay01:9100"}
        rule: dict[str, Any] = {"alert": "PaymentsDown", "labels": labels,
                                "annotations": {"summary": "payments is down"}}  # fmt: skip
        prometheus.set_rule(True, **rule)
        until(lambda: len(installed.tickets()) == before + 1, "the ticket is there", timeout_s=60)
        ticket = installed.tickets()[-1]
        prometheus.set_rule(False, **rule)
        until(
            lambda: installed.tickets()[-1]["Status"] == "resolved",
            "the ticket is resolved",
            timeout_s=60,
        )

    assert (ticket["Subject"], ticket["Queue"]) == ("payments is down", "Payments")
    fields = ticket["CustomFields"]
    assert (fields["Severity"], fields["Service"], fields["Node"]) == (
        "critical", "payments", "pay01",
    )  # fmt: skip


def test_two_alerts_make_two_tickets_and_a_copy_makes_none(installed: Installed) -> None:
    """One webhook, two outbreaks; sent again, nothing new."""
    before, dropped = len(installed.tickets()), installed.dropped()

    assert installed.post("two-a", "two-b") == 200
    assert installed.post("two-a", "two-b") == 200

    until(lambda: len(installed.tickets()) == before + 2, "both tickets are there", timeout_s=60)
    until(lambda: installed.dropped() == dropped + 2, "the copies are counted")
    assert len(installed.tickets()) == before + 2


@pytest.fixture
def outage_s(fault_runs: str) -> float:
    """How long the desk is away; INTOPS_OUTAGE_SECONDS says otherwise."""
    return float(os.environ.get("INTOPS_OUTAGE_SECONDS", OUTAGE_S[fault_runs]))


def test_an_outage_shows_within_thirty_seconds_and_ends_by_itself(
    installed: Installed, outage_s: float
) -> None:
    """The table says what is the case, since when, what is done and who owns it; then all is well."""
    before, began = len(installed.tickets()), time.monotonic()
    with installed.desk_away():
        assert installed.post(*(f"outage-{number}" for number in range(6))) == 200

        until(
            lambda: installed.condition("Ready").get("reason") == "DestinationDown",
            "the Flow says that the desk is away",
            timeout_s=SHOWN_S,
        )
        moment = r"2\d\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC"
        message = installed.condition("Ready")["message"]
        assert re.fullmatch(
            rf'The system of connector "helpdesk" does not answer \(.+\) since {moment}\. '
            rf"6 messages are waiting, none lost, the oldest since {moment}\. "
            r"The worker keeps messages and asks the system again every 10 s\. "
            r"Nothing in intops: bring the system back; delivery resumes by itself\. "
            r"Owner: service-desk \(service-desk@example\.com\)\.",
            message,
        ), message
        row = installed.row()
        assert list(row)[:6] == ["NAME", "PATTERN", "READY", "REASON", "BACKLOG", "OLDEST"]
        assert (row["READY"], row["REASON"], row["BACKLOG"]) == ("False", "DestinationDown", "6")
        assert row["OLDEST"]
        left_s = outage_s - (time.monotonic() - began)
        assert not first_within(left_s, installed.is_ready, every_s=2)

    until(installed.is_ready, "the Flow is Ready again", timeout_s=SHOWN_S)
    until(lambda: len(installed.tickets()) == before + 6, "everything is delivered", timeout_s=60)
    until(
        lambda: (row := installed.row())["BACKLOG"] == "0" and not row["OLDEST"],
        "the table says that nothing waits",
        timeout_s=SHOWN_S,
    )


def test_a_wrong_token_holds_the_connector_until_the_secret_changes(installed: Installed) -> None:
    """S-35: No hammering, no restart, and the condition says what to do."""
    before = len(installed.tickets())
    pods = installed.lives()
    installed.put_secret("helpdesk-token", token="wrong")
    attempt = iter(range(1000))

    def refused() -> bool:
        installed.post(f"token-{next(attempt)}")
        return installed.condition("CredentialsValid").get("reason") == "AuthDenied"

    until(refused, "the refused credential shows", timeout_s=VOLUME_REFRESH_S)
    condition = installed.condition("CredentialsValid")
    assert 'Put a valid credential into Secret "helpdesk-token"' in condition["message"]
    desk = installed.desk
    assert isinstance(desk, RequestTracker)
    refusals = desk.requests(401)
    for _ in range(10):
        assert installed.post(f"token-{next(attempt)}") == 200
    # Ten messages and as many reasons to try: nobody does, for longer than a retry would wait.
    first_within(10, lambda: False)
    assert desk.requests(401) - refusals <= 1

    installed.put_secret("helpdesk-token", token=desk.token)
    until(installed.is_ready, "the Flow is Ready again", timeout_s=VOLUME_REFRESH_S)
    sent = next(attempt)
    until(lambda: len(installed.tickets()) == before + sent, "nothing is lost", timeout_s=90)

    assert installed.lives() == pods


def test_a_bad_flow_is_refused_with_a_sentence(installed: Installed) -> None:
    """What cannot work is not stored; a rehearsal says the same."""
    manifests = example_manifests()
    flow = next(raw for raw in manifests if raw["kind"] == "Flow")
    flow["metadata"]["name"] = "no-closure"
    flow["spec"]["closure"] = {}
    flow["spec"]["routes"][0]["when"] = 'incident.servise == "payments"'

    for dry in ([], ["--dry-run=server"]):
        done = installed.cluster.kubectl.try_run(
            "apply", "-n", NAMESPACE, "-f", "-", *dry, given=json.dumps(flow)
        )
        assert done.returncode != 0
        assert done.stderr.strip().endswith(
            'Flow "no-closure" is refused for 2 reasons: (1) COM-15: The expression cannot be used: '
            '1:9: "incident" has no field "servise". Did you mean "service"? The route could never '
            "be decided. [spec.routes[0].when] (2) E2I-03: Nothing is said about recovered alerts. "
            "Incidents would stay open for ever. "
            "Set spec.closure.onResolved to resolve, comment or ignore."
        )


def test_a_flow_waits_for_its_mapping_and_its_children_go_with_it(installed: Installed) -> None:
    """Any order of applying works; an edited child is repaired; deleting leaves nothing."""
    kubectl = installed.cluster.kubectl
    manifests = example_manifests()
    flow = next(raw for raw in manifests if raw["kind"] == "Flow")
    mapping = next(r for r in manifests if r["metadata"]["name"] == "incident-to-helpdesk")
    mapping["metadata"]["name"] = "late-mapping"
    flow["metadata"]["name"] = "late"
    flow["spec"]["roles"]["target"][0]["mapping"] = "late-mapping"
    with installed.gone_afterwards("late"):
        kubectl.apply(flow)
        until(
            lambda: _ready_of(installed, "late").get("reason") == "RefNotFound",
            "the missing Mapping is told",
            timeout_s=30,
        )

        kubectl.apply(mapping)
        until(
            lambda: _ready_of(installed, "late")["status"] == "True",
            "the Flow is Ready",
            timeout_s=90,
        )

        _edit_and_await_repair(installed, "intops-late")
        until(
            lambda: _ready_of(installed, "late")["status"] == "True",
            "it is Ready again",
            timeout_s=60,
        )
        before = len(installed.tickets())
        installed.deliver("late", to=installed.capture_url("late"))
        until(lambda: len(installed.tickets()) == before + 1, "its ticket is there", timeout_s=60)


def _edit_and_await_repair(installed: Installed, child: str) -> None:
    """Change children by hand, as somebody in a hurry would, and see them come back."""
    kubectl, space = installed.cluster.kubectl, ("-n", NAMESPACE)

    def children() -> list[Any]:
        deployment = kubectl.get("deployment", child, *space)["spec"]
        service = kubectl.get("service", child, *space)["spec"]
        return [
            deployment["replicas"],
            deployment["template"]["spec"]["containers"][0]["image"],
            [port["port"] for port in service["ports"]],
        ]

    before = children()
    kubectl.run("scale", f"deployment/{child}", *space, "--replicas=0")
    kubectl.run("set", "image", f"deployment/{child}", *space, "worker=example.com/other:1")
    port = json.dumps([{"op": "replace", "path": "/spec/ports/0/port", "value": 9}])
    kubectl.run("patch", f"service/{child}", *space, "--type=json", "-p", port)
    kubectl.run("delete", f"networkpolicy/{child}", *space)
    until(lambda: children() == before, "the edits are repaired", timeout_s=30)
    kubectl.wait(lambda _: True, f"networkpolicy/{child}", *space, what="the NetworkPolicy again")
    kubectl.run("rollout", "status", f"deployment/{child}", *space, "--timeout=90s")


def _ready_of(installed: Installed, name: str) -> dict[str, Any]:
    return condition_of(installed.cluster.kubectl.get("flow", name, "-n", NAMESPACE))


def test_the_same_flow_goes_to_another_desk_by_its_target_alone(installed: Installed) -> None:
    """Roundup, whose manners are the opposite: another Connector, another target Mapping, nothing else."""
    kubectl = installed.cluster.kubectl
    manifests = example_manifests(EXAMPLE.parent / "02-alerts-to-roundup")
    flow = next(raw for raw in manifests if raw["kind"] == "Flow")
    flow["metadata"]["name"] = "to-roundup"
    with (
        Roundup(bind=installed.cluster.machine_address) as tracker,
        installed.gone_afterwards("to-roundup"),
    ):

        def at(spec: dict[str, Any]) -> None:
            spec.update(endpoint=tracker.tracker_url, config={"web": f"{tracker.tracker_url}/"})

        change(manifests, "Connector", "tracker", at)
        kubectl.apply(
            secret("tracker-user", username=tracker.user, password=tracker.password), *manifests
        )
        until(
            lambda: _ready_of(installed, "to-roundup")["status"] == "True",
            "the Flow is Ready",
            timeout_s=90,
        )
        url = installed.capture_url("to-roundup")
        headers = {"Authorization": f"Bearer {SOURCE_TOKEN}"}
        for sample in ("01-firing.json", "02-resolved.json"):
            body = (EXAMPLE / "samples" / sample).read_bytes()
            assert httpx.post(url, content=body, headers=headers, timeout=10).status_code == 200

        until(
            lambda: [i["status"] for i in tracker.issues()] == ["resolved"],
            "the issue is made and resolved",
            timeout_s=60,
        )
        assert tracker.issues()[0]["title"] == "127.0.0.1:19199 down"


@pytest.mark.parametrize("end", ["kill_leader", "remove_operators"])
def test_an_operator_killed_at_any_moment_leaves_what_it_was_told(
    installed: Installed, end: str, seed: int
) -> None:
    """The leader, or both replicas, end while a Flow is being applied; the next ones finish it."""
    kubectl = installed.cluster.kubectl
    flow = next(raw for raw in example_manifests() if raw["kind"] == "Flow")
    name = flow["metadata"]["name"] = end.replace("_", "-")
    ended = installed.leader()
    moment_s = random.Random(f"{seed} {end}").uniform(0.0, 1.5)
    with installed.gone_afterwards(name):
        kubectl.apply(flow)
        first_within(moment_s, lambda: False, every_s=0.01)
        getattr(installed, end)()

        until(
            lambda: installed.leader() not in ("", ended),
            f"another process leads after the end {moment_s:.2f} s into it (seed {seed})",
            timeout_s=60,
        )
        until(
            lambda: _ready_of(installed, name)["status"] == "True",
            "the Flow is Ready",
            timeout_s=60,
        )
        assert installed.is_ready()


def test_nothing_is_written_while_nothing_happens(installed: Installed) -> None:
    """Two operators, a worker and thirty seconds: no object changes but the Lease."""
    installed.await_quiet()
    before = installed.versions()

    assert not first_within(IDLE_S, lambda: installed.written_since(before), every_s=2)
    assert before != installed.versions(), "the Lease is renewed, so this looks in the right place"


def test_an_upgrade_without_changes_touches_nothing_that_runs(installed: Installed) -> None:
    """`helm upgrade` with the same values restarts neither operator nor worker."""
    installed.await_quiet()
    before = installed.versions()

    product.helm(
        installed.cluster, "upgrade", product.RELEASE, str(paths.TREE / "helm" / "intops"),
        "--namespace", product.NAMESPACE, "--reuse-values", "--wait", "--timeout", "60s",
    )  # fmt: skip

    release = f"Secret {product.NAMESPACE}/sh.helm.release."
    written = installed.written_since(before)
    assert not [key for key in written if not key.startswith(release)]
    assert installed.is_ready()


def test_helm_test_says_that_the_operator_refuses_what_is_wrong(installed: Installed) -> None:
    """What a platform engineer runs after an upgrade; it leaves nothing behind."""
    before = installed.cluster.kubectl.get("connectors", "-A")["items"]

    said = product.helm(
        installed.cluster, "test", product.RELEASE, "--namespace", product.NAMESPACE,
        "--timeout", "120s",
    )  # fmt: skip

    assert re.search(r"Phase:\s+Succeeded", said), said
    left = installed.cluster.kubectl.get("pods", "-n", product.NAMESPACE)["items"]
    assert [p for p in left if p["metadata"]["name"].endswith("-test")] == []
    assert len(installed.cluster.kubectl.get("connectors", "-A")["items"]) == len(before)


def test_traffic_writes_the_status_only_for_a_reason(installed: Installed) -> None:
    """S-59: At ten events a second a status is written for a verdict, a crossing of zero, or a minute."""
    installed.await_quiet()
    before, received = installed.versions(), installed.store()["received"]
    total, url, began, sent = 10 * TRAFFIC_S, installed.capture_url(), time.monotonic(), 0

    def send_what_is_due() -> bool:
        nonlocal sent
        while sent < min(total, 10 * (time.monotonic() - began)):
            # One outbreak in ten; the rest repeat it, each in a delivery of its own.
            assert installed.post(f"traffic-{sent // 10}", to=url, receiver=f"r-{sent}") == 200
            sent += 1
        return sent == total

    with watched(installed.cluster.kubectl, "flow", FLOW, "-n", NAMESPACE) as seen:
        until(send_what_is_due, "all to be sent", timeout_s=TRAFFIC_S + 15)
        until(lambda: installed.store()["received"] == received + total, "all to be received")

    assert installed.written_since(before) <= {f"Flow {NAMESPACE}/{FLOW}"}
    assert not [why for one, next_ in pairwise(seen) if (why := unreasoned(one, next_))]
    # The worker is asked every five seconds.
    assert 1 < len(seen) <= TRAFFIC_S / 5 + 3


def test_questions_reach_the_worker_through_the_cluster(installed: Installed) -> None:
    """S-18: `messages` and `replay` by kubelet's port-forward, with the rights of the kubeconfig and no more."""

    def intops(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable, "-m", "intops_cli", *arguments, "-n", NAMESPACE, "-o", "json",
                "--kubeconfig", str(installed.cluster.kubectl.kubeconfig),
            ],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    before = len(installed.tickets())
    assert installed.post("asked-about") == 200
    until(lambda: len(installed.tickets()) == before + 1, "its ticket is there", timeout_s=60)
    until(lambda: installed.store()["sending"] == 0, "its message has ended")

    listed = intops("messages", "--flow", FLOW, "--state", "done", "--limit", "5")
    assert listed.returncode == 0, listed.stderr
    assert {message["flow"] for message in json.loads(listed.stdout)} == {FLOW}

    compared = intops("replay", str(EXAMPLE), "--dry-run", "--flow", FLOW)
    assert compared.returncode == 0, compared.stderr
    (found,) = json.loads(compared.stdout)
    assert found["messages"] == found["same"] > 0


def test_the_plugin_finds_a_real_cluster_well(installed: Installed) -> None:
    """Through port-forward: the certificate that each replica serves, and its metrics; a status of all Flows."""
    kubeconfig = installed.cluster.kubeconfig
    said = kubectl_intops("doctor", "-n", NAMESPACE, "-o", "json", kubeconfig=kubeconfig)
    found = json.loads(said.stdout)

    assert [one for one in found if one["level"] in ("broken", "unseen")] == []
    assert said.returncode == 0
    whats = {one["check"]: one["what"] for one in found if one["level"] == "ok"}
    assert whats.keys() >= {
        "kinds",
        "operator",
        "leader",
        "trial",
        "catalogue",
        "workers",
        "rights",
    }
    assert (
        "shows a certificate that the CA bundle of intops-intops-system trusts"
        in whats["certificate"]
    )
    assert whats["metrics"].endswith("shows its metrics.")
    status = kubectl_intops("status", "-A", kubeconfig=kubeconfig)
    assert (status.returncode in (0, 1), status.stderr) == (True, "")
    assert f"{NAMESPACE}/{FLOW}" in status.stdout


def test_explain_and_tables_read_like_a_page(installed: Installed) -> None:
    """A person who has never seen intops learns from kubectl what a field is for."""
    kubectl = installed.cluster.kubectl
    explained = kubectl.run("explain", "flow.spec.routes")
    assert "last must always match" in " ".join(explained.split())
    assert "CEL over the canonical record" in " ".join(explained.split())

    def shown(kind: str, name: str) -> dict[str, str]:
        return table(kubectl.run("get", kind, "-n", NAMESPACE))[name]

    assert list(installed.row()) == [
        "NAME", "PATTERN", "READY", "REASON", "BACKLOG", "OLDEST", "REVIEW", "SLO",
        "LAST-DELIVERED", "AGE",
    ]  # fmt: skip
    mapping = shown("mappings", "incident-to-helpdesk")
    assert list(mapping) == [
        "NAME", "MAPS", "READY", "REASON", "EXAMPLES", "STABLE", "FLOWS", "AGE",
    ]  # fmt: skip
    assert mapping["MAPS"] == "incident/v1 → request-tracker/ticket"
    assert (mapping["READY"], mapping["EXAMPLES"], mapping["FLOWS"]) == ("True", "2/2", "1")
    connector = shown("connectors", "helpdesk")
    assert list(connector) == ["NAME", "CLASS", "READY", "REASON", "REACHABLE", "FLOWS", "AGE"]
    assert (connector["CLASS"], connector["READY"]) == ("request-tracker", "True")
