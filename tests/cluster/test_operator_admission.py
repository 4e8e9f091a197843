"""Admission refuses with a sentence, warns about what is not there yet, and fails closed."""

from __future__ import annotations

import base64
import copy
import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from support.broken_flows import EIGHT, sound
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.operators import (
    FLOW,
    NAMESPACE,
    OperatorProcess,
    apply,
    documents,
    install_kinds,
    namespace,
    operator,
)
from support.webhooks import webhook

pytestmark = pytest.mark.cluster

CONFIGURATION = "intops-admission-test"
SPACE = "admission"


@pytest.fixture(scope="module")
def judged(
    api_server: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ControlPlane, OperatorProcess]]:
    """An API server that asks an operator before it stores anything in one namespace."""
    install_kinds(api_server)
    kubectl = api_server.kubectl
    kubectl.apply(namespace(SPACE))
    flags = (
        "--lease-name=admission",
        "--certificate-secret=admission-test",
        f"--webhook-configuration={CONFIGURATION}",
    )
    folder = tmp_path_factory.mktemp("admission")
    with operator(api_server, folder, "judge", *flags) as replica:
        kubectl.wait(lambda _: True, "pattern/event-to-incident", what="the catalogue")
        kubectl.apply(webhook(CONFIGURATION, replica.ports["admission"], SPACE))
        kubectl.wait(
            lambda found: bool(found["webhooks"][0]["clientConfig"].get("caBundle")),
            f"validatingwebhookconfiguration/{CONFIGURATION}", what="the authority",
        )  # fmt: skip
        asked = json.dumps(placed(documents("connectors.yaml")[0]))
        # The API server takes a moment until it knows the configuration.
        until(
            lambda: (
                replica.metric("intops_operator_admission_reviews_total") > 0
                or not kubectl.try_run("apply", "--dry-run=server", "-f", "-", given=asked)
            ),
            "the API server to ask",
            every_s=0.3,
            explain=lambda: (
                kubectl.try_run("apply", "--dry-run=server", "-f", "-", given=asked).stderr
                + replica.tail()
            ),
        )
        try:
            yield api_server, replica
        finally:
            kubectl.run("delete", "validatingwebhookconfiguration", CONFIGURATION)


def placed(doc: dict[str, Any]) -> dict[str, Any]:
    """A manifest in the judged namespace."""
    return {**doc, "metadata": {**doc["metadata"], "namespace": SPACE}}


def the_flow() -> dict[str, Any]:
    """The Flow of the example, free to be spoiled."""
    return copy.deepcopy(placed(documents("flow.yaml")[0]))


def swap_systems(flow: dict[str, Any]) -> None:
    """Take alerts from the desk and open tickets in Alertmanager, which neither can do.

    What one object shows by itself is refused by the schema already; this needs the others.
    """
    flow["spec"]["roles"]["source"] = [{"name": "prometheus", "connector": "helpdesk"}]
    flow["spec"]["roles"]["target"] = [{"name": "helpdesk", "connector": "alertmanager"}]


def test_a_flow_before_what_it_names_is_admitted_with_a_warning(
    judged: tuple[ControlPlane, OperatorProcess],
) -> None:
    """GitOps applies in any order, so what is missing is only warned about."""
    plane, _ = judged
    done = plane.kubectl.try_run("apply", "-f", "-", given=json.dumps(the_flow()))

    assert done.returncode == 0, done.stderr
    assert "Warning:" in done.stderr
    assert '"alertmanager-to-event"' in done.stderr
    plane.kubectl.run("delete", f"flow/{FLOW}", "-n", SPACE)


def test_a_flow_that_breaks_its_pattern_is_refused_with_every_reason(
    judged: tuple[ControlPlane, OperatorProcess],
) -> None:
    """One refusal names all that is wrong, numbered, each with its field."""
    plane, _ = judged
    apply(plane, SPACE, "connectors.yaml", "mappings.yaml")
    flow = the_flow()
    swap_systems(flow)

    done = plane.kubectl.try_run("apply", "-f", "-", given=json.dumps(flow))

    assert done.returncode != 0
    assert f'Flow "{FLOW}" is refused for' in done.stderr
    assert "(1)" in done.stderr
    assert "(2)" in done.stderr
    assert "spec.roles.source" in done.stderr
    assert "spec.roles.target" in done.stderr
    assert plane.kubectl.try_run("get", f"flow/{FLOW}", "-n", SPACE).returncode != 0


@pytest.mark.parametrize("step", EIGHT)
def test_a12_a_broken_flow_is_refused_with_its_own_message(
    judged: tuple[ControlPlane, OperatorProcess], step: str
) -> None:
    """The API server itself says which field is wrong and why, and stores nothing."""
    plane, _ = judged
    kubectl, broken, manifests = plane.kubectl, EIGHT[step], sound()
    broken.how(manifests)
    kubectl.run("delete", "flows,connectors,mappings", "--all", "-n", SPACE)
    (refused,) = [
        placed(m)
        for m in manifests
        if (m["kind"], m["metadata"]["name"]) == (broken.kind, broken.name)
    ]
    rest = [placed(m) if "namespace" in m["metadata"] else m for m in manifests]
    kubectl.apply(*(m for m in rest if m != refused and m["kind"] != "Flow"))
    said = [""]

    def is_refused() -> bool:
        # What the operator has not seen yet, only warns.
        asked = kubectl.try_run("apply", "--dry-run=server", "-f", "-", given=json.dumps(refused))
        said[0] = asked.stderr
        return asked.returncode != 0 and broken.words in asked.stderr

    until(is_refused, f"{step} to be refused", explain=lambda: said[0])
    assert broken.rule in said[0]
    assert broken.path in said[0]


def test_a_mapping_that_fails_its_own_example_is_refused(
    judged: tuple[ControlPlane, OperatorProcess],
) -> None:
    """A Mapping says what it should do, and is not admitted while it does something else."""
    plane, _ = judged
    mapping = copy.deepcopy(placed(documents("mappings.yaml")[0]))
    mapping["metadata"]["name"] = "spoiled"
    mapping["spec"]["examples"][0]["output"] = {"severity": "info"}

    done = plane.kubectl.try_run("apply", "-f", "-", given=json.dumps(mapping))

    assert done.returncode != 0
    assert 'Mapping "spoiled" is refused' in done.stderr
    assert "spec.examples[0]" in done.stderr


def test_a_dry_run_is_judged_and_leaves_nothing(
    judged: tuple[ControlPlane, OperatorProcess],
) -> None:
    """Argo CD asks with dry runs at every refresh."""
    plane, _ = judged
    flow = the_flow()
    swap_systems(flow)
    given = json.dumps(flow)

    done = plane.kubectl.try_run("apply", "--dry-run=server", "-f", "-", given=given)

    assert done.returncode != 0
    assert "is refused" in done.stderr


def test_a_label_is_set_without_asking(judged: tuple[ControlPlane, OperatorProcess]) -> None:
    """An unchanged spec is not judged again, so a label needs no operator; a changed one is."""
    plane, replica = judged
    apply(plane, SPACE, "connectors.yaml")
    before = replica.metric("intops_operator_admission_reviews_total")
    spec = json.dumps({"spec": {"limits": {"concurrency": 2}}})

    plane.kubectl.run("label", "connector/helpdesk", "-n", SPACE, "tier=gold")
    labelled = replica.metric("intops_operator_admission_reviews_total")
    plane.kubectl.run("patch", "connector/helpdesk", "-n", SPACE, "--type=merge", "-p", spec)
    changed = replica.metric("intops_operator_admission_reviews_total")

    assert labelled == before
    assert changed == before + 1


def ask(plane: ControlPlane, port: int, method: str, path: str, body: str) -> tuple[int, str]:
    """One request as the API server makes it, trusting only our own authority."""
    secret = plane.kubectl.get("secret", "admission-test", "-n", NAMESPACE)
    authority = base64.b64decode(secret["data"]["ca.crt"]).decode()
    context = ssl.create_default_context(cadata=authority)
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        pytest.param("POST", "/nosuch", "{}", 404, id="another path"),
        pytest.param("GET", "/validate", "", 405, id="another method"),
        pytest.param("POST", "/validate", "no json", 400, id="no JSON"),
        pytest.param("POST", "/validate", "{}", 400, id="no review"),
        pytest.param("POST", "/validate", "[]", 400, id="a list"),
    ],
)
def test_what_is_no_review_is_never_allowed(
    judged: tuple[ControlPlane, OperatorProcess], method: str, path: str, body: str, status: int
) -> None:
    """S-52: A typo in a configuration must not switch validation off."""
    plane, replica = judged
    code, text = ask(plane, replica.ports["admission"], method, path, body)

    assert code == status
    assert "allowed" not in text


def test_helm_test_proves_that_something_wrong_is_refused(
    judged: tuple[ControlPlane, OperatorProcess],
) -> None:
    """The pod of the chart runs this program: exit code 0, with the operator's sentence."""
    done = proof(judged[0], SPACE)

    assert (done.returncode, done.stderr) == (0, "")
    assert "COM-10" in done.stdout
    assert "Nothing was stored" in done.stdout
    stored = judged[0].kubectl.get("connectors", "-n", SPACE)["items"]
    assert "intops-proof" not in [one["metadata"]["name"] for one in stored]


def test_helm_test_fails_where_nobody_asks_the_operator(
    judged: tuple[ControlPlane, OperatorProcess],
) -> None:
    """The control: in a namespace outside of the webhook's selector the wrong object is taken."""
    judged[0].kubectl.apply(namespace("unjudged"))
    done = proof(judged[0], "unjudged")

    assert done.returncode == 1
    assert "nobody asks the operator" in done.stderr


def proof(plane: ControlPlane, space: str) -> subprocess.CompletedProcess[str]:
    """What `helm test` runs, with a kubeconfig in place of a pod's account."""
    command = [
        sys.executable, "-m", "intops_operator.proof",
        f"--namespace={space}", f"--kubeconfig={plane.kubeconfig}",
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_without_an_operator_nothing_of_ours_is_stored(
    judged: tuple[ControlPlane, OperatorProcess],
) -> None:
    """The endpoint fails closed for our group, and other objects are not touched by it."""
    plane, replica = judged
    replica.stop()

    refused = plane.kubectl.try_run("apply", "-f", "-", given=json.dumps(the_flow()))
    plane.kubectl.run("create", "configmap", "other", "-n", SPACE)

    assert refused.returncode != 0
    assert "failed calling webhook" in refused.stderr
