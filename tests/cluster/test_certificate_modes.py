"""The three ways to a certificate in a whole cluster: real pods, real mounts, the real webhook.

cert-manager itself is in no module that is served: its kinds are the real ones, and the test writes what its
controllers would write, the Secret of the Certificate and the authority in the webhook configuration.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cryptography import x509

from support.certificates import Authority, new_authority
from support.cluster import foreign_kinds, product
from support.cluster.onenode import OneNode
from support.cluster.polling import HarnessError, until
from support.cluster.product import NAMESPACE, RELEASE
from support.cluster.scenario import await_admission
from support.operators import documents

pytestmark = pytest.mark.cluster

HOST = f"{RELEASE}.{NAMESPACE}.svc"
CONFIGURATION = f"{RELEASE}-{NAMESPACE}"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
OWN, ISSUED = "our-own", f"{RELEASE}-admission-cert"
METADATA = "http://0251.0376.0251.0376/latest"
"""An address in octal: the schema lets it through, and the operator must not."""
# Kubelet refreshes a volume within its sync period of one minute and its cache's life.
VOLUME_REFRESH_S = 150.0


def secret(name: str, authority: Authority, *hosts: str, **metadata: Any) -> dict[str, Any]:
    """A Secret of a new pair of the authority."""
    certificate, key = authority.pair(*hosts)
    return {
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": NAMESPACE, **metadata},
        "stringData": {"tls.crt": certificate, "tls.key": key, "ca.crt": authority.pem},
    }  # fmt: skip


def asked(node: OneNode, endpoint: str) -> str:
    """What the API server says to a Connector with this endpoint; empty if it would take it."""
    connector = documents("connectors.yaml")[-1]
    connector["metadata"] = {"name": "asked", "namespace": "default"}
    connector["spec"]["endpoint"] = endpoint
    given = json.dumps(connector)
    done = node.kubectl.try_run("create", "--dry-run=server", "-f", "-", given=given)
    return done.stderr if done.returncode else ""


def refuses_what_is_wrong(node: OneNode) -> bool:
    """Whether the operator itself says no, through the API server."""
    said = asked(node, METADATA)
    return 'admission webhook "validate.intops.io" denied' in said and "metadata" in said


def pods(node: OneNode) -> list[dict[str, Any]]:
    """The operator's pods that are not on their way out."""
    listed = node.kubectl.get(
        "pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=intops-operator"
    )["items"]
    return [pod for pod in listed if not pod["metadata"].get("deletionTimestamp")]


def shown(node: OneNode) -> set[int]:
    """Serial numbers of the certificates that the pods show."""
    addresses = [(pod["status"]["podIP"], 9443) for pod in pods(node)]
    return {
        x509.load_pem_x509_certificate(
            ssl.get_server_certificate(address, timeout=5).encode()
        ).serial_number
        for address in addresses
    }


def serial(manifest: dict[str, Any]) -> int:
    """Serial number of the certificate in a Secret."""
    pem = manifest["stringData"]["tls.crt"].encode()
    return x509.load_pem_x509_certificate(pem).serial_number


def told(node: OneNode) -> str:
    """The logs of all replicas."""
    return node.kubectl.run(
        "logs", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=intops-operator", "--tail=-1"
    )


def writers(found: dict[str, Any]) -> set[str]:
    """Who has ever written an object."""
    return {entry["manager"] for entry in found["metadata"]["managedFields"]}


def may(node: OneNode, verb: str, what: str) -> bool:
    """Whether the operator's account has a right in its own namespace."""
    done = node.kubectl.try_run("auth", "can-i", verb, what, "-n", NAMESPACE, "--as", ACCOUNT)
    return done.stdout.strip() == "yes"


@contextmanager
def judged_all_the_time(node: OneNode) -> Iterator[list[str]]:
    """Ask for something right again and again; the list is of what was not taken, the first entry a count."""
    failures: list[str] = ["0"]
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            said = asked(node, "https://rt.example.com")
            failures[0] = str(int(failures[0]) + 1)
            if said:
                failures.append(said)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield failures
    finally:
        over.set()
        asking.join()


@pytest.fixture(scope="module")
def with_own_secret(node: OneNode, product_images: dict[str, str]) -> tuple[OneNode, Authority]:
    """The chart on a Secret that was there before, its ca.crt read by `helm install`."""
    authority = new_authority()
    node.kubectl.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        secret(OWN, authority, HOST),
    )
    product.upgrade(
        node,
        product_images,
        {"admission.certificateMode": "secret", "admission.certificateSecret": OWN},
    )
    await_admission(node.kubectl)
    return node, authority


def test_a_secret_of_your_own_serves_admission(with_own_secret: tuple[OneNode, Authority]) -> None:
    """A refusal through the real webhook, without a right to any Secret or to the configuration."""
    node, authority = with_own_secret
    config = node.kubectl.get("validatingwebhookconfiguration", CONFIGURATION)
    trusted = {base64.b64decode(hook["clientConfig"]["caBundle"]) for hook in config["webhooks"]}

    assert refuses_what_is_wrong(node)
    assert trusted == {authority.pem.encode()}
    assert [
        (verb, what)
        for verb in ("get", "list", "create", "update", "patch")
        for what in (
            "secrets", f"secret/{OWN}", "validatingwebhookconfigurations",
            f"validatingwebhookconfigurations/{CONFIGURATION}",
        )
        if may(node, verb, what)
    ] == []  # fmt: skip
    assert may(node, "update", f"lease/{RELEASE}"), (
        "the control: it is asked about the right account"
    )


def test_helm_test_passes_on_a_secret_of_your_own(
    with_own_secret: tuple[OneNode, Authority],
) -> None:
    """The same proof as with the leader's certificate."""
    node, _ = with_own_secret

    assert "Succeeded" in product.helm(node, "test", RELEASE, "--namespace", NAMESPACE)


def test_a_secret_is_rotated_and_no_admission_fails(
    with_own_secret: tuple[OneNode, Authority],
) -> None:
    """F70: all replicas show the new certificate within kubelet's time, without a restart."""
    node, authority = with_own_secret
    before = {pod["metadata"]["uid"] for pod in pods(node)}
    successor = secret(OWN, authority, HOST)

    with judged_all_the_time(node) as failures:
        node.kubectl.apply(successor)
        until(
            lambda: shown(node) == {serial(successor)},
            "the new certificate in all replicas",
            timeout_s=VOLUME_REFRESH_S,
            every_s=1,
        )
        assert refuses_what_is_wrong(node)

    asked_for, *failed = failures
    assert int(asked_for) > 0
    assert failed == []
    assert {pod["metadata"]["uid"] for pod in pods(node)} == before


def test_a_certificate_of_a_wrong_name_is_told_and_not_shown(
    with_own_secret: tuple[OneNode, Authority],
) -> None:
    """F70: the log and the metric say which name it needs; what worked goes on, until a right one comes."""
    node, authority = with_own_secret
    right = shown(node)

    with judged_all_the_time(node) as failures:
        node.kubectl.apply(secret(OWN, authority, "intops.example.com"))
        until(
            lambda: f"not for {HOST}, where API servers ask" in told(node),
            "the wrong name to be told",
            timeout_s=VOLUME_REFRESH_S,
            every_s=1,
        )
        assert shown(node) == right
    assert failures[1:] == []

    repaired = secret(OWN, authority, HOST)
    node.kubectl.apply(repaired)
    until(
        lambda: shown(node) == {serial(repaired)},
        "the repaired certificate in all replicas",
        timeout_s=VOLUME_REFRESH_S,
        every_s=1,
    )


def test_cert_manager_takes_over_from_your_own_secret(
    with_own_secret: tuple[OneNode, Authority], product_images: dict[str, str]
) -> None:
    """What its controllers write is used as it is; the operator writes neither Secret nor configuration."""
    node, _ = with_own_secret
    for file in foreign_kinds.certificate_kinds():
        node.kubectl.run("apply", "--server-side", "-f", str(file))
    node.kubectl.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    authority = new_authority("cert-manager")
    issued = secret(
        ISSUED, authority, HOST, f"{HOST}.cluster.local",
        annotations={
            "cert-manager.io/certificate-name": f"{RELEASE}-admission",
            "cert-manager.io/issuer-name": f"{RELEASE}-admission-ca",
        },
    )  # fmt: skip
    node.kubectl.apply(issued, field_manager="cert-manager-certificates-issuing")

    product.upgrade(node, product_images, {"admission.certificateMode": "certManager"})
    injected(node, authority)
    await_admission(node.kubectl)

    assert refuses_what_is_wrong(node)
    assert shown(node) == {serial(issued)}
    kept = node.kubectl.get("secret", ISSUED, "-n", NAMESPACE, "--show-managed-fields")
    config = node.kubectl.get(
        "validatingwebhookconfiguration", CONFIGURATION, "--show-managed-fields"
    )
    assert writers(kept) == {"cert-manager-certificates-issuing"}
    assert writers(config) == {"helm", "cert-manager-cainjector"}
    (certificate,) = [
        one
        for one in node.kubectl.get("certificates.cert-manager.io", "-n", NAMESPACE)["items"]
        if one["spec"]["secretName"] == ISSUED
    ]
    assert (
        config["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
        == f"{NAMESPACE}/{certificate['metadata']['name']}"
    )


def injected(node: OneNode, authority: Authority) -> None:
    """Write the authority into the configuration, as cert-manager's injector does."""
    config = node.kubectl.get("validatingwebhookconfiguration", CONFIGURATION)
    bundle = base64.b64encode(authority.pem.encode()).decode()
    change = [
        {"op": "add", "path": f"/webhooks/{at}/clientConfig/caBundle", "value": bundle}
        for at in range(len(config["webhooks"]))
    ]
    node.kubectl.run(
        "patch", "validatingwebhookconfiguration", CONFIGURATION, "--type=json",
        "--field-manager=cert-manager-cainjector", "-p", json.dumps(change),
    )  # fmt: skip


def test_the_leader_takes_over_again(
    with_own_secret: tuple[OneNode, Authority], product_images: dict[str, str]
) -> None:
    """Back to the first mode: it makes a Secret of its own and puts its authority in."""
    node, _ = with_own_secret

    product.upgrade(node, product_images)
    await_admission(node.kubectl)

    # A replica of the mode before answers for some seconds more, with a certificate that is trusted no longer.
    until(
        lambda: refuses_what_is_wrong(node),
        "the operator to refuse",
        explain=lambda: asked(node, METADATA),
    )
    assert may(node, "update", "secret/intops-admission-tls")


def test_without_a_secret_the_chart_says_what_is_missing(
    with_own_secret: tuple[OneNode, Authority], product_images: dict[str, str]
) -> None:
    """Before anything is changed, and with what to write."""
    node, _ = with_own_secret

    with pytest.raises(HarnessError, match=r"no Secret nowhere with a key ca\.crt can be seen"):
        product.upgrade(
            node,
            product_images,
            {"admission.certificateMode": "secret", "admission.certificateSecret": "nowhere"},
        )
    until(
        lambda: refuses_what_is_wrong(node),
        "the operator to refuse",
        explain=lambda: asked(node, METADATA),
    )
