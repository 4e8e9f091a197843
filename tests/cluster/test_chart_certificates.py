"""The chart's three ways to a certificate: what is made, what is refused, and what the operator may then touch."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from support.certificates import new_authority
from support.chart import NAMESPACE, Manifest, of_kind, render
from support.cluster import foreign_kinds
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import HarnessError, until
from support.operators import OperatorProcess, documents, install_kinds, namespace, operator
from support.webhooks import webhook

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("api_server")]

PEM = new_authority().pem
CERT_MANAGER = {"certificateMode": "certManager"}
SECRET = {"certificateMode": "secret", "certificateSecret": "mine", "caBundle": PEM}
COMPANY = {"name": "company", "kind": "ClusterIssuer"}
HOST = f"intops.{NAMESPACE}.svc"
METADATA = "http://0251.0376.0251.0376/latest"
"""An address in octal: the schema lets it through, and the operator must not."""


def made(admission: dict[str, Any]) -> list[Manifest]:
    return render(admission=admission, crds={"install": False})


def the(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = of_kind(manifests, kind)
    return found


def arguments(manifests: list[Manifest]) -> list[str]:
    (container,) = the(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    found: list[str] = container["args"]
    return found


def rights(manifests: list[Manifest]) -> set[tuple[str, str]]:
    """Resource and verb of everything that any role of the operator allows; the pod of `helm test` has its own."""
    every = of_kind(manifests, "Role") + of_kind(manifests, "ClusterRole")
    roles = [one for one in every if "helm.sh/hook" not in one["metadata"].get("annotations", {})]
    return {
        (resource, verb)
        for role in roles
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_at_first_the_leader_makes_it_and_nothing_else_is_needed() -> None:
    """The Secret and the one configuration, by name, are all that it may touch."""
    manifests = made({})
    config = the(manifests, "ValidatingWebhookConfiguration")

    assert the(manifests, "Secret")["metadata"]["name"] == "intops-admission-tls"
    assert all("caBundle" not in hook["clientConfig"] for hook in config["webhooks"])
    assert of_kind(manifests, "Certificate") == []
    assert ("secrets", "update") in rights(manifests)


@pytest.mark.parametrize("admission", [CERT_MANAGER, SECRET], ids=["certManager", "secret"])
def test_whoever_else_makes_it_the_operator_may_touch_neither_secret_nor_configuration(
    admission: dict[str, Any],
) -> None:
    """No right, no Secret of the chart, and files in place of both."""
    manifests = made(admission)
    (volume,) = [
        one
        for one in the(manifests, "Deployment")["spec"]["template"]["spec"]["volumes"]
        if one["name"] == "certificate"
    ]

    assert {"secrets", "validatingwebhookconfigurations"}.isdisjoint(
        resource for resource, _ in rights(manifests)
    )
    assert of_kind(manifests, "Secret") == []
    assert "--certificate-mode=files" in arguments(manifests)
    assert f"--certificate-hosts={HOST}" in arguments(manifests)
    assert not [one for one in arguments(manifests) if "webhook-configuration" in one]
    assert [item["key"] for item in volume["secret"]["items"]] == ["tls.crt", "tls.key"]


def test_cert_manager_is_asked_for_the_name_that_api_servers_use() -> None:
    """And told where to put its authority; it reads the Certificate's Secret, which the pods mount."""
    manifests = made(CERT_MANAGER)
    certificates = {one["metadata"]["name"]: one for one in of_kind(manifests, "Certificate")}
    leaf = certificates["intops-admission"]["spec"]
    config = the(manifests, "ValidatingWebhookConfiguration")
    volumes = the(manifests, "Deployment")["spec"]["template"]["spec"]["volumes"]

    assert HOST in leaf["dnsNames"]
    assert config["metadata"]["annotations"] == {
        "cert-manager.io/inject-ca-from": f"{NAMESPACE}/intops-admission"
    }
    assert {"secretName": leaf["secretName"]}.items() <= volumes[1]["secret"].items()
    assert leaf["issuerRef"]["name"] == "intops-admission-ca"
    assert certificates["intops-admission-ca"]["spec"]["isCA"]


def test_an_issuer_of_the_company_replaces_the_charts_own() -> None:
    """Then the chart makes no authority."""
    manifests = made({**CERT_MANAGER, "certManager": {"issuer": COMPANY}})

    assert of_kind(manifests, "Issuer") == []
    assert the(manifests, "Certificate")["spec"]["issuerRef"] == {
        **COMPANY,
        "group": "cert-manager.io",
    }


def test_the_authority_of_your_own_secret_is_in_every_webhook() -> None:
    """As the API server wants it: base64 of the PEM text."""
    hooks = the(made(SECRET), "ValidatingWebhookConfiguration")["webhooks"]

    assert {base64.b64decode(hook["clientConfig"]["caBundle"]).decode() for hook in hooks} == {PEM}


@pytest.mark.parametrize(
    ("admission", "sentence"),
    [
        pytest.param(
            {"certificateMode": "secret"}, "admission.certificateSecret is empty", id="no secret"
        ),
        pytest.param(
            {**SECRET, "caBundle": ""},
            "admission.caBundle is empty, and no Secret mine with a key ca.crt",
            id="no authority",
        ),
        pytest.param(
            {**SECRET, "caBundle": base64.b64encode(PEM.encode()).decode()},
            "admission.caBundle is no PEM text",
            id="an authority in base64",
        ),
        pytest.param(
            {**SECRET, "certificateSecret": "intops-admission-tls"},
            "Helm would take yours away",
            id="the name of the chart's own",
        ),
        pytest.param(
            {"caBundle": PEM},
            "admission.caBundle is set, and in admission.certificateMode operator",
            id="an authority for the leader",
        ),
        pytest.param(
            {**CERT_MANAGER, "caBundle": PEM},
            "admission.caBundle is set, and in admission.certificateMode certManager",
            id="an authority for cert-manager",
        ),
        pytest.param(
            {"certManager": {"issuer": COMPANY}},
            "admission.certManager.issuer is set",
            id="an issuer for nobody",
        ),
        pytest.param(
            {"certificateMode": "files"}, "/admission/certificateMode", id="an unknown mode"
        ),
        pytest.param(
            {**CERT_MANAGER, "certManager": {"issuer": {"kind": "ClusterIssuer"}}},
            "admission.certManager.issuer.kind is ClusterIssuer of cert-manager.io and its name is empty",
            id="an issuer without a name",
        ),
        pytest.param(
            {**CERT_MANAGER, "certManager": {"duration": "90 days"}},
            "/admission/certManager/duration",
            id="a time in words",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_installed(
    admission: dict[str, Any], sentence: str
) -> None:
    """With a sentence that names the value and says what to write."""
    with pytest.raises(HarnessError) as refused:
        made(admission)

    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    "admission",
    [CERT_MANAGER, {**CERT_MANAGER, "certManager": {"issuer": COMPANY}}, SECRET],
    ids=["certManager", "an issuer of the company", "secret"],
)
def test_a_real_api_server_takes_every_manifest(
    admission: dict[str, Any], api_server: ControlPlane
) -> None:
    """Every field exists, also those of cert-manager's own kinds, as its authors publish them."""
    install_kinds(api_server)
    for file in foreign_kinds.certificate_kinds():
        api_server.kubectl.run("apply", "--server-side", "-f", str(file))
    api_server.kubectl.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    # The pod of `helm test` needs an account, and a dry run makes none.
    given = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [m for m in made(admission) if m["kind"] != "Pod"],
    }

    done = api_server.kubectl.try_run(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict",
        "-f", "-", given=json.dumps(given),
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def asked(plane: ControlPlane, endpoint: str) -> str:
    """What the API server says to a Connector with this endpoint; empty if it would take it."""
    connector = documents("connectors.yaml")[-1]
    connector["metadata"] = {"name": "asked", "namespace": "files"}
    connector["spec"]["endpoint"] = endpoint
    done = plane.kubectl.try_run(
        "create", "--dry-run=server", "-f", "-", given=json.dumps(connector)
    )
    return done.stderr if done.returncode else ""


def put(folder: Path, pair: tuple[str, str]) -> None:
    """Write a pair into files, at once for both."""
    for name, text in zip(("tls.crt", "tls.key"), pair, strict=True):
        partial = folder / f".{name}"
        partial.write_text(text)
        partial.replace(folder / name)


def test_with_the_rights_of_the_chart_files_alone_serve_admission(
    api_server: ControlPlane, tmp_path: Path
) -> None:
    """F70: as the chart's account, with no right to any Secret: refusals, a rotation, a wrong name that is told."""
    install_kinds(api_server)
    kubectl = api_server.kubectl
    kubectl.apply(namespace("files"))
    kept = [one for one in made(SECRET) if one["kind"] in ROLES]
    kubectl.apply(*kept)
    kubeconfig = api_server.kubeconfig_of(
        f"system:serviceaccount:{NAMESPACE}:intops",
        groups=("system:serviceaccounts", "system:authenticated"),
    )
    authority = new_authority()
    put(tmp_path, authority.pair("127.0.0.1"))
    flags = (
        "--lease-name=intops", "--certificate-mode=files", f"--certificate-dir={tmp_path}",
    )  # fmt: skip
    with operator(api_server, tmp_path, "filed", *flags, kubeconfig=kubeconfig) as filed:
        until(filed.leads, "it to lead", explain=filed.tail)
        config = webhook("intops-files", filed.ports["admission"], "files")
        bundle = base64.b64encode(authority.pem.encode()).decode()
        for hook in config["webhooks"]:
            hook["clientConfig"]["caBundle"] = bundle
        kubectl.apply(config)
        try:
            until(
                lambda: "metadata" in asked(api_server, METADATA),
                "the API server to ask",
                every_s=0.3,
                explain=lambda: asked(api_server, METADATA) + filed.tail(),
            )
            rotated(api_server, filed, tmp_path, authority.pair("127.0.0.1", with_rsa=True))
            put(tmp_path, authority.pair("intops.example.com"))
            until(
                lambda: problem(filed, "WrongName"), "the wrong name to be told", explain=filed.tail
            )
            assert "metadata" in asked(api_server, METADATA)
            said = [event["message"] for event in filed.events() if event["event"] == "certificate"]
            assert "not for 127.0.0.1, where API servers ask" in said[-1]
            put(tmp_path, authority.pair("127.0.0.1"))
            until(lambda: not problem(filed, "WrongName"), "it to be over", explain=filed.tail)
        finally:
            kubectl.run("delete", "validatingwebhookconfiguration", "intops-files")
        assert [e for e in filed.events() if "forbidden" in json.dumps(e).lower()] == []


ROLES = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


def problem(replica: OperatorProcess, reason: str) -> bool:
    """Whether its metrics say that the certificate has this problem."""
    line = f'intops_operator_certificate_problem{{reason="{reason}"}} 1.0'
    return line in replica.fetch("/metrics")[1]


def rotated(
    plane: ControlPlane, replica: OperatorProcess, folder: Path, pair: tuple[str, str]
) -> None:
    """Exchange the pair while objects are judged all the time; none of them may fail."""
    loaded = sum(e["event"] == "certificate loaded" for e in replica.events())
    put(folder, pair)

    def another() -> bool:
        assert asked(plane, "https://rt.example.com") == ""
        return sum(e["event"] == "certificate loaded" for e in replica.events()) > loaded

    until(another, "the new pair to be loaded", timeout_s=60, explain=replica.tail)
    assert asked(plane, "https://rt.example.com") == ""
    assert "metadata" in asked(plane, METADATA)


def test_a_replica_of_the_first_mode_is_ready_beside_a_leader_of_another(
    api_server: ControlPlane, tmp_path: Path
) -> None:
    """Else the way back to the leader's certificate would end at its first replica, which the leader waits for."""
    install_kinds(api_server)
    put(tmp_path, new_authority().pair("127.0.0.1"))
    files = ("--lease-name=ways", "--certificate-mode=files", f"--certificate-dir={tmp_path}")
    made_here = ("--lease-name=ways", "--certificate-secret=ways", "--webhook-configuration=ways")
    with operator(api_server, tmp_path, "older", *files) as older:
        until(older.leads, "it to lead", explain=older.tail)
        with operator(api_server, tmp_path, "newer", *made_here) as newer:
            assert (older.leads(), newer.leads()) == (True, False)
            assert "tls.key" in api_server.kubectl.get("secret/ways", "-n", NAMESPACE)["data"]
