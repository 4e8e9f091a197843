"""What the chart makes of its values: monitoring, network policies, pods that a strict namespace takes."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from intops_core.monitoring import ALERT_GROUPS, DASHBOARDS
from intops_core.monitoring.alert import rule_file
from intops_operator.core.children import desired
from support.chart import NAMESPACE, Manifest, of_kind, render
from support.cluster import foreign_kinds
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import HarnessError
from support.operator_facts import example_worker
from support.operators import install_kinds, namespace

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("api_server")]

ON = {"monitoring": {"enabled": True}}
FOREIGN = "monitoring.coreos.com/v1"
"""Kinds of the Prometheus Operator."""


def one(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = of_kind(manifests, kind)
    return found


def dashboards(manifests: list[Manifest]) -> list[Manifest]:
    return [
        m for m in of_kind(manifests, "ConfigMap") if m["metadata"]["name"].endswith("-dashboard")
    ]


def worker_pod() -> Manifest:
    """Template of the pods that the operator makes for a Flow."""
    deployment = next(m for m in desired(example_worker()) if m["kind"] == "Deployment")
    template: Manifest = deployment["spec"]["template"]
    return template


def operator_pod() -> Manifest:
    """Template of the operator's own pods."""
    template: Manifest = one(render(), "Deployment")["spec"]["template"]
    return template


def proof_pod() -> Manifest:
    """The pod of `helm test`."""
    pod = one(render(), "Pod")
    return {"metadata": pod["metadata"], "spec": pod["spec"]}


def port_names(template: Manifest) -> set[str]:
    return {port["name"] for c in template["spec"]["containers"] for port in c["ports"]}


def test_nothing_is_monitored_until_somebody_switches_it_on() -> None:
    """The chart installs where no Prometheus Operator is."""
    rendered = render()

    assert [m["kind"] for m in rendered if m["apiVersion"] == FOREIGN] == []
    assert dashboards(rendered) == []
    assert of_kind(rendered, "NetworkPolicy") == []


def test_the_monitors_find_operator_and_workers() -> None:
    """They select by labels that are there, and read ports that are named so."""
    rendered = render(**ON)
    service, template = one(rendered, "Service"), worker_pod()
    of_operator = one(rendered, "ServiceMonitor")["spec"]
    of_workers = one(rendered, "PodMonitor")["spec"]

    assert of_operator["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = of_operator["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    labels = template["metadata"]["labels"]
    assert of_workers["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = of_workers["podMetricsEndpoints"]
    assert endpoint["port"] in port_names(template)
    assert of_workers["namespaceSelector"] == {"any": True}


def test_the_namespace_of_a_metric_is_that_of_its_flow() -> None:
    """Without it Prometheus would write its own over it, and alerts would name the operator's namespace."""
    rendered = render(**ON)
    endpoints = [
        *one(rendered, "ServiceMonitor")["spec"]["endpoints"],
        *one(rendered, "PodMonitor")["spec"]["podMetricsEndpoints"],
    ]

    assert [endpoint["honorLabels"] for endpoint in endpoints] == [True, True]


def test_workers_are_sought_where_the_operator_works() -> None:
    """A Prometheus without rights on other namespaces is not asked to look there."""
    rendered = render(**ON, watchNamespaces=["itsm", "ops"])

    selector = one(rendered, "PodMonitor")["spec"]["namespaceSelector"]
    assert selector == {"matchNames": ["itsm", "ops"]}


def test_the_rules_reach_the_cluster_as_they_were_tested() -> None:
    """Braces of Prometheus are none of Helm's."""
    assert one(render(**ON), "PrometheusRule")["spec"] == rule_file(ALERT_GROUPS)


def test_a_runbook_leads_where_the_value_says() -> None:
    """People read runbooks in their own wiki."""
    url = "https://wiki.example.com/intops/runbooks"
    rendered = render(monitoring={"enabled": True, "rules": {"runbookUrl": url}})
    rules = [r for g in one(rendered, "PrometheusRule")["spec"]["groups"] for r in g["rules"]]

    assert {r["annotations"]["runbook_url"] for r in rules} == {
        f"{url}#{rule['alert'].lower()}" for rule in rules
    }


def test_the_dashboards_are_found_by_the_sidecar_and_are_whole() -> None:
    """Each is one ConfigMap with the label, and the same model that is in the tree."""
    rendered = dashboards(render(**ON))
    models = [json.loads(text) for m in rendered for text in m["data"].values()]

    assert models == [board.to_grafana() for board in DASHBOARDS]
    assert {m["metadata"]["labels"]["grafana_dashboard"] for m in rendered} == {"1"}


def test_labels_and_annotations_are_put_where_other_operators_look() -> None:
    """A Prometheus that selects by a label reads nothing without it."""
    rendered = render(
        monitoring={
            "enabled": True,
            "labels": {"release": "prometheus"},
            "dashboards": {"labels": {"board": "yes"}, "annotations": {"grafana_folder": "ITSM"}},
        }
    )
    selected = [m for m in rendered if m["apiVersion"] == FOREIGN]

    assert {m["metadata"]["labels"]["release"] for m in selected} == {"prometheus"}
    assert len(selected) == 3
    for board in dashboards(rendered):
        assert board["metadata"]["labels"]["board"] == "yes"
        assert board["metadata"]["annotations"] == {"grafana_folder": "ITSM"}


@pytest.mark.parametrize(
    ("off", "kinds"),
    [
        ({"scrape": False}, {"PrometheusRule"}),
        ({"rules": {"enabled": False}}, {"ServiceMonitor", "PodMonitor"}),
        ({"dashboards": {"enabled": False}}, {"ServiceMonitor", "PodMonitor", "PrometheusRule"}),
    ],
    ids=["monitors", "rules", "dashboards"],
)
def test_each_part_can_be_left_out(off: dict[str, Any], kinds: set[str]) -> None:
    """Who has alerts of their own takes the dashboards only."""
    rendered = render(monitoring={"enabled": True, **off})

    assert {m["kind"] for m in rendered if m["apiVersion"] == FOREIGN} == kinds
    assert bool(dashboards(rendered)) == ("dashboards" not in off)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"monitoring": {"enabled": "yes"}}, "/monitoring/enabled"),
        ({"monitoring": {"rule": {}}}, "/monitoring"),
        ({"monitoring": {"interval": "soon"}}, "/monitoring/interval"),
        ({"monitoring": {"rules": {"runbookUrl": "wiki"}}}, "/monitoring/rules/runbookUrl"),
        ({"networkPolicy": {"apiServerPorts": []}}, "/networkPolicy/apiServerPorts"),
        ({"networkPolicy": {"apiServerPorts": ["https"]}}, "/networkPolicy/apiServerPorts"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_value_is_refused_with_its_place(values: dict[str, Any], place: str) -> None:
    """Before anything is installed."""
    with pytest.raises(HarnessError, match=place):
        render(**values)


def test_the_operator_is_closed_but_for_what_it_needs() -> None:
    """S-49: In: admission, and metrics and probes. Out: names, the API server, reports of workers."""
    policy = one(render(networkPolicy={"enabled": True}), "NetworkPolicy")["spec"]
    template = operator_pod()
    entries = [p["port"] for rule in policy["ingress"] for p in rule["ports"]]
    exits = [sorted({p["port"] for p in rule["ports"]}) for rule in policy["egress"]]

    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert set(entries) == port_names(template) == {"admission", "health"}
    assert exits == [[53], [443, 6443], [8081]]
    (workers,) = policy["egress"][2]["to"]
    labels = worker_pod()["metadata"]["labels"]
    assert workers["podSelector"]["matchLabels"].items() <= labels.items()
    # By port alone: some networks match neither pods nor nodes by address.
    assert all("to" not in rule for rule in policy["egress"][:2])


def test_who_may_scrape_the_operator_can_be_said() -> None:
    """S-18: Admission stays open: the API server has no address that a policy could name."""
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    policy = one(render(networkPolicy={"enabled": True, "metricsFrom": peers}), "NetworkPolicy")[
        "spec"
    ]

    admission, health = policy["ingress"]
    assert "from" not in admission
    assert health["from"] == peers


def test_without_admission_nobody_comes_in_for_it() -> None:
    """A port that nothing listens on is not open."""
    policy = one(
        render(networkPolicy={"enabled": True}, admission={"enabled": False}), "NetworkPolicy"
    )["spec"]

    assert [p["port"] for rule in policy["ingress"] for p in rule["ports"]] == ["health"]


@pytest.fixture(scope="module")
def with_prometheus(api_server: ControlPlane) -> ControlPlane:
    """An API server with our kinds and those of the Prometheus Operator."""
    install_kinds(api_server)
    for file in foreign_kinds.monitoring_kinds():
        api_server.kubectl.run("apply", "--server-side", "-f", str(file))
    api_server.kubectl.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    return api_server


def created(plane: ControlPlane, manifests: list[Manifest]) -> subprocess.CompletedProcess[str]:
    """What the API server says when it is to take all of them, strictly; nothing is stored."""
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    return plane.kubectl.try_run(
        # Applied, not created: other tests may have left some of it.
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict",
        "-f", "-", given=given,
    )  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        {"watchNamespaces": [NAMESPACE]},
        {"monitoring": {**ON["monitoring"], "labels": {"release": "prometheus"}}},
        {"networkPolicy": {"enabled": True, "metricsFrom": [{"podSelector": {}}]}},
    ],
    ids=["watched namespaces", "labels", "network policy"],
)
def test_a_real_api_server_takes_every_manifest(
    values: dict[str, Any], with_prometheus: ControlPlane
) -> None:
    """Every field exists, also those of the Prometheus Operator's kinds."""
    rendered = [
        m
        for m in render(**{**ON, "crds": {"install": False}, **values})
        # The pod of `helm test` needs an account, and a dry run makes none; it is tried below.
        if m["kind"] != "Pod"
    ]

    done = created(with_prometheus, rendered)

    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(rendered) > 10


def test_a_field_that_does_not_exist_is_not_taken(with_prometheus: ControlPlane) -> None:
    """The control: the API server looks at the fields of foreign kinds, too."""
    monitor = one(render(**ON), "PodMonitor")
    monitor["spec"]["everything"] = True

    assert 'unknown field "everything"' in created(with_prometheus, [monitor]).stderr


def strict(plane: ControlPlane) -> str:
    """A namespace in which Pod Security is `restricted`, and warns too."""
    name = "restricted"
    made = namespace(name)
    made["metadata"]["labels"] = {
        f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")
    }
    account = {
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": name},
    }  # fmt: skip
    plane.kubectl.apply(made, account)
    return name


def pod_of(template: Manifest, space: str) -> str:
    """A pod of the template, as the API server is asked to take it."""
    spec = {**template["spec"], "serviceAccountName": "default"}
    meta = {"name": "tried", "namespace": space, "labels": template["metadata"]["labels"]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


@pytest.mark.parametrize(
    "template", [operator_pod, worker_pod, proof_pod], ids=["operator", "worker", "helm test"]
)
def test_a_restricted_namespace_takes_the_pods(template: Any, api_server: ControlPlane) -> None:
    """S-48: Neither refused nor warned about."""
    space = strict(api_server)

    done = api_server.kubectl.try_run(
        "create", "--dry-run=server", "-f", "-", given=pod_of(template(), space)
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_a_restricted_namespace_refuses_a_pod_with_more_rights(api_server: ControlPlane) -> None:
    """S-48: The control: one right too many, and the same pod is refused."""
    space, template = strict(api_server), worker_pod()
    template["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True

    done = api_server.kubectl.try_run(
        "create", "--dry-run=server", "-f", "-", given=pod_of(template, space)
    )

    assert done.returncode == 1
    assert "violates PodSecurity" in done.stderr


def test_helm_test_asks_where_the_operator_is_asked() -> None:
    """Elsewhere the API server would take anything, and the test would fail for no reason."""
    rendered = render(watchNamespaces=["itsm", "ops"])
    (container,) = one(rendered, "Pod")["spec"]["containers"]
    role = next(m for m in of_kind(rendered, "Role") if m["metadata"]["name"] == "intops-test")

    assert container["command"][-1] == "--namespace=itsm"
    assert role["metadata"]["namespace"] == "itsm"
    # The last two are what the policies on rights ask of whoever creates a Connector.
    assert role["rules"] == [
        {"apiGroups": ["intops.io"], "resources": ["connectors"], "verbs": ["create"]},
        {"apiGroups": ["intops.io"], "resources": ["connectorclasses"], "verbs": ["use"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["intops-proof"], "verbs": ["get"]},
    ]  # fmt: skip


def test_ranges_of_workers_are_values() -> None:
    """S-20: What may be called and what must not be is said once, in the chart."""
    ranges = {"allowRanges": ["100.64.0.0/10", "10.0.0.0/8"], "denyRanges": ["10.9.0.0/16"]}
    (container,) = one(render(worker=ranges), "Deployment")["spec"]["template"]["spec"][
        "containers"
    ]

    assert "--worker-allow-ranges=100.64.0.0/10,10.0.0.0/8" in container["args"]
    assert "--worker-deny-ranges=10.9.0.0/16" in container["args"]
    with pytest.raises(HarnessError, match="/worker/denyRanges"):
        render(worker={"denyRanges": ["everything"]})


def test_without_admission_there_is_nothing_to_prove() -> None:
    """`helm test` has no pod that could only fail."""
    assert of_kind(render(admission={"enabled": False}), "Pod") == []


def test_the_pod_of_helm_test_gets_no_traffic() -> None:
    """Neither the operator's Service nor its policies and budgets select it."""
    labels = one(render(), "Pod")["metadata"]["labels"].items()
    service = one(render(), "Service")["spec"]["selector"]

    assert not service.items() <= labels


def test_the_chart_installs_into_its_own_namespace_only_where_it_must() -> None:
    """What belongs to a namespace goes into that of the release, monitors and dashboards too."""
    rendered = render(**ON, networkPolicy={"enabled": True})
    placed = {m["metadata"]["namespace"] for m in rendered if "namespace" in m["metadata"]}

    assert placed == {NAMESPACE}
