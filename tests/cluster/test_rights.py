"""Who may do what: the operator's own rights, the roles that people get, and what the API server asks of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from intops_api.schema.policies import rights_policies
from support.chart import NAMESPACE, Manifest, of_kind, render
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.operators import install_kinds, namespace

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("api_server")]

SPACE = "rights-of-people"
KINDS = {
    "connectorclasses", "canonicalmodels", "patterns", "connectors", "mappings", "flows", "flowactions",
}  # fmt: skip


def connector(name: str, **changed: Any) -> Manifest:
    """A Connector of the namespace that names the Secret `desk`."""
    spec = {
        "class": "request-tracker", "endpoint": "https://rt.example.com", "credentials": {"secretName": "desk"},
        "owner": {"team": "desk", "contact": "desk@example.com"}, **changed,
    }  # fmt: skip
    return {
        "apiVersion": "intops.io/v1alpha1", "kind": "Connector",
        "metadata": {"name": name, "namespace": SPACE}, "spec": spec,
    }  # fmt: skip


def flow_with(runtime: dict[str, Any]) -> Manifest:
    """A Flow of the namespace that runs so."""
    return {
        "apiVersion": "intops.io/v1alpha1", "kind": "Flow",
        "metadata": {"name": "messages", "namespace": SPACE},
        "spec": {
            "pattern": "event-to-incident", "owner": {"team": "desk", "contact": "desk@example.com"},
            "businessProcess": "incidents", "reviewBy": "2027-04-30",
            "roles": {"source": [{"name": "a", "connector": "a"}], "target": [{"name": "b", "connector": "b"}]},
            "routes": [{"name": "all"}], "runtime": runtime,
        },
    }  # fmt: skip


def role_of(name: str, *rules: dict[str, Any]) -> list[Manifest]:
    """A Role and its binding to the user of that name."""
    api = "rbac.authorization.k8s.io"
    meta = {"name": name, "namespace": SPACE}
    return [
        {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": meta, "rules": list(rules)},
        {
            "apiVersion": f"{api}/v1", "kind": "RoleBinding", "metadata": meta,
            "roleRef": {"apiGroup": api, "kind": "Role", "name": name},
            "subjects": [{"apiGroup": api, "kind": "User", "name": name}],
        },
    ]  # fmt: skip


def bound(user: str, role: str) -> Manifest:
    """The binding of a user to a ClusterRole in the namespace."""
    (_, binding) = role_of(user)
    return {**binding, "roleRef": {**binding["roleRef"], "kind": "ClusterRole", "name": role}}


WRITES = {
    "apiGroups": ["intops.io"], "resources": ["connectors", "flows"],
    "verbs": ["get", "create", "update", "patch"],
}  # fmt: skip
USES = {
    "apiGroups": ["intops.io"], "resources": ["connectorclasses"],
    "resourceNames": ["request-tracker"], "verbs": ["use"],
}  # fmt: skip
READS_DESK = {
    "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["desk"], "verbs": ["get"],
}  # fmt: skip


@pytest.fixture(scope="module")
def plane(api_server: ControlPlane) -> Iterator[ControlPlane]:
    """Our kinds, the chart's roles, both policies, and people with all sorts of rights."""
    install_kinds(api_server)
    kubectl = api_server.kubectl
    kubectl.apply(namespace(SPACE))
    roles = [r for r in of_kind(render(), "ClusterRole") if "aggregat" in json.dumps(r)]
    kubectl.apply(
        *roles, *rights_policies(),
        *role_of("writer", WRITES, USES), *role_of("owner-of-desk", WRITES, USES, READS_DESK),
        *role_of("without-class", WRITES, READS_DESK),
        bound("editor", "edit"), bound("viewer", "view"), bound("admin", "admin"),
    )  # fmt: skip
    until(
        lambda: asked(api_server, "writer", connector("early")).returncode != 0,
        "the policies to be enforced",
    )
    until(
        lambda: can(api_server, "editor", "create", "connectors.intops.io"),
        "the roles to be aggregated",
    )
    yield api_server
    names = sorted({policy["metadata"]["name"] for policy in rights_policies()})
    for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        kubectl.run("delete", kind, *names)
    kubectl.run("delete", "namespace", SPACE, "--wait=false")


def asked(plane: ControlPlane, user: str, manifest: Manifest) -> subprocess.CompletedProcess[str]:
    """What the API server says when this user creates it; nothing is stored."""
    return plane.kubectl.try_run(
        "create", "--dry-run=server", "--as", user, "-f", "-", given=json.dumps(manifest)
    )


def can(plane: ControlPlane, user: str, verb: str, what: str, space: str = SPACE) -> bool:
    """Whether RBAC lets a user do something."""
    kind, _, below = what.partition("/")
    done = plane.kubectl.try_run(
        "auth", "can-i", verb, kind, f"--subresource={below}", "--as", user, "-n", space
    )
    return done.stdout.strip() == "yes"


@pytest.mark.parametrize(
    ("user", "manifest", "refusal"),
    [
        ("writer", connector("c"), "spec.credentials.secretName is desk"),
        ("writer", connector("c", credentials=None), ""),
        ("writer", connector("c", credentials=None, tls={"caSecretName": "ca"}), "spec.tls.caSecretName is ca"),
        ("writer", flow_with({"store": {"postgres": {"secretName": "db"}}}), "spec.runtime.store.postgres"),
        ("writer", flow_with({"store": {"embedded": {"size": "1Gi"}}}), ""),
        ("owner-of-desk", connector("c"), ""),
        ("owner-of-desk", connector("c", credentials={"secretName": "other"}), "secretName is other"),
        ("owner-of-desk", connector("c", **{"class": "roundup"}), "spec.class is roundup"),
        ("without-class", connector("c"), "spec.class is request-tracker"),
        ("editor", connector("c", **{"class": "roundup"}), ""),
        ("admin", connector("c"), ""),
        ("viewer", connector("c"), 'cannot create resource "connectors"'),
    ],
    ids=lambda value: value if isinstance(value, str) else value["kind"],
)  # fmt: skip
def test_s46_who_names_a_secret_may_read_it_and_who_names_a_class_may_use_it(
    plane: ControlPlane, user: str, manifest: Manifest, refusal: str
) -> None:
    """The API server judges by the rights of whoever asks, and says which right is missing."""
    spec = {key: value for key, value in manifest["spec"].items() if value is not None}
    done = asked(plane, user, {**manifest, "spec": spec})

    assert (done.returncode == 0) is (refusal == ""), done.stderr
    assert refusal in done.stderr
    if refusal.startswith("spec."):
        assert "ask " in done.stderr


def test_s46_a_secret_is_not_sent_elsewhere_by_who_may_not_read_it(plane: ControlPlane) -> None:
    """A changed endpoint is asked about like a new Secret; a label is not."""
    kubectl = plane.kubectl
    kubectl.apply(connector("desk"))
    try:
        patch = ["patch", "connector", "desk", "-n", SPACE, "--as", "writer", "--type=merge", "-p"]
        moved = kubectl.try_run(*patch, '{"spec": {"endpoint": "https://elsewhere.example.com"}}')
        labelled = kubectl.try_run(*patch, '{"metadata": {"labels": {"a": "b"}}}')
    finally:
        kubectl.run("delete", "connector", "desk", "-n", SPACE)

    assert moved.returncode != 0
    assert "writer may not read" in moved.stderr
    assert labelled.returncode == 0, labelled.stderr


@pytest.mark.parametrize(
    ("user", "verb", "what", "may"),
    [
        ("viewer", "list", "flows.intops.io", True), ("viewer", "get", "connectors.intops.io", True),
        ("viewer", "create", "flows.intops.io", False), ("viewer", "create", "flowactions.intops.io", False),
        ("editor", "update", "mappings.intops.io", True), ("editor", "create", "flowactions.intops.io", True),
        ("editor", "update", "flowactions.intops.io", False),
        ("editor", "update", "connectorclasses.intops.io", False),
        ("editor", "patch", "flows.intops.io/status", False),
        ("admin", "update", "flowactions.intops.io", True), ("admin", "create", "patterns.intops.io", False),
        ("writer", "get", "secrets", False), ("nobody", "list", "flows.intops.io", False),
    ],
)  # fmt: skip
def test_the_roles_of_people_reach_as_far_as_they_say(
    plane: ControlPlane, user: str, verb: str, what: str, may: bool
) -> None:
    """S-64: Deciding, approving and reading are three rights; nobody writes a status or a class by them."""
    assert can(plane, user, verb, what) is may


def rules_of(rendered: list[Manifest], kind: str) -> list[dict[str, Any]]:
    """The rules that accounts of the chart get, that of `helm test` included."""
    roles = [r for r in of_kind(rendered, kind) if "aggregat" not in json.dumps(r)]
    return [rule for role in roles for rule in role["rules"]]


def test_s33_s44_the_operator_has_no_right_to_secrets_and_none_to_everything() -> None:
    """Its one Secret and its one webhook configuration are named; what leads to more rights is missing."""
    rendered = render()
    everywhere, at_home = rules_of(rendered, "ClusterRole"), rules_of(rendered, "Role")

    for rule in (*everywhere, *at_home):
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert not {"escalate", "bind", "impersonate", "deletecollection"} & set(rule["verbs"])
        assert not [
            name for name in rule["resources"] if "/" in name and not name.endswith("/status")
        ]
    granted = {name for rule in everywhere for name in rule["resources"]}
    assert not granted & {"secrets", "nodes", "roles", "clusterroles", "customresourcedefinitions"}
    named = [r["resourceNames"] for r in at_home if "secrets" in r["resources"]]
    # The second is that of `helm test`, which names a Secret that there is not.
    assert sorted(named) == [["intops-admission-tls"], ["intops-proof"]]
    (hooks,) = [r for r in everywhere if "validatingwebhookconfigurations" in r["resources"]]
    assert hooks["resourceNames"] == [f"intops-{NAMESPACE}"]
    assert sorted(hooks["verbs"]) == ["get", "patch"]


def test_s33_without_admission_the_operator_reads_no_secret_at_all() -> None:
    """There is no certificate to keep then."""
    rendered = render(admission={"enabled": False})

    rules = [*rules_of(rendered, "ClusterRole"), *rules_of(rendered, "Role")]
    assert [rule for rule in rules if "secrets" in rule["resources"]] == []


def test_no_role_of_people_reaches_beyond_our_kinds() -> None:
    """S-44: What is added to view, edit and admin is about intops and nothing else."""
    roles = [r for r in of_kind(render(), "ClusterRole") if "aggregat" in json.dumps(r)]

    assert len(roles) == 3
    for rule in (rule for role in roles for rule in role["rules"]):
        assert rule["apiGroups"] == ["intops.io"]
        assert set(rule["resources"]) <= KINDS
        assert "*" not in rule["verbs"]


def test_helm_test_may_do_what_the_policies_ask(plane: ControlPlane) -> None:
    """S-46: Its right Connector is taken, so that the operator is the only one who refuses."""
    rendered = render()
    parts = [
        m for kind in ("ServiceAccount", "Role", "RoleBinding") for m in of_kind(rendered, kind)
    ]
    mine = [m for m in parts if m["metadata"]["name"] == "intops-test"]
    for part in mine:
        part["metadata"]["namespace"] = SPACE
    plane.kubectl.apply(*mine)
    user = f"system:serviceaccount:{NAMESPACE}:intops-test"

    assert "may not" in asked(plane, user, connector("c")).stderr
    right = connector("c", credentials={"secretName": "intops-proof"})
    assert asked(plane, user, right).stderr == ""


def test_who_wants_no_questions_about_rights_leaves_the_policies_out() -> None:
    """Where Secrets are somebody else's business altogether, such as under some GitOps tools."""
    names = {m["metadata"]["name"] for m in of_kind(render(), "ValidatingAdmissionPolicy")}
    without = render(admission={"userRights": False})

    assert {p["metadata"]["name"] for p in rights_policies()} <= names
    assert {m["metadata"]["name"] for m in of_kind(without, "ValidatingAdmissionPolicy")} == {
        "flowactions.intops.io"
    }
