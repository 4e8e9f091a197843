"""A real API server asks before what live Flows use is changed or deleted; `intops diff` says it before."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from intops_api import names
from intops_core.catalog import shipped
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.operators import (
    FLOW,
    OperatorProcess,
    documents,
    install_kinds,
    namespace,
    operator,
)

pytestmark = pytest.mark.cluster

CONFIGURATION = "intops-impact-test"
SPACE = "impact"
CLASS = "impact-alertmanager"
MARK = {"impact-test": "yes"}
"""Other tests share the API server, so only what bears this label is judged here."""


def webhooks(port: int) -> dict[str, Any]:
    """The configuration as the chart renders it, but with an address instead of a Service."""
    class_like = ["connectorclasses", "canonicalmodels", "patterns"]

    def hook(name: str, operations: list[str], resources: list[str], policy: str) -> dict[str, Any]:
        return {
            "name": name,
            "clientConfig": {"url": f"https://127.0.0.1:{port}/validate"},
            "rules": [
                {
                    "apiGroups": ["intops.io"],
                    "apiVersions": ["*"],
                    "operations": operations,
                    "resources": resources,
                }
            ],
            "objectSelector": {"matchLabels": MARK},
            "failurePolicy": policy,
            "sideEffects": "None",
            "timeoutSeconds": 5,
            "admissionReviewVersions": ["v1"],
        }

    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": CONFIGURATION},
        "webhooks": [
            hook("validate.intops.io", ["CREATE", "UPDATE"], ["mappings", *class_like], "Fail"),
            hook("deletions.intops.io", ["DELETE"], class_like, "Ignore"),
        ],
    }


def marked(doc: dict[str, Any]) -> dict[str, Any]:
    """A manifest of these tests: own label, own class, own namespace."""
    text = yaml.safe_dump(doc).replace("class: alertmanager\n", f"class: {CLASS}\n")
    made: dict[str, Any] = yaml.safe_load(text)
    meta = {**made["metadata"], "labels": MARK}
    if made["kind"] == "ConnectorClass":
        meta["name"] = CLASS
    else:
        meta["namespace"] = SPACE
    return {**made, "metadata": meta}


def the_class(*, captures: bool = True, accept: str | None = None) -> dict[str, Any]:
    """A class of the tests' own, like alertmanager; without capture no Flow can have it as a source."""
    (found,) = [r for r in shipped() if r["metadata"]["name"] == "alertmanager"]
    made = marked(found)
    if not captures:
        del made["spec"]["capture"]
    if accept is not None:
        made["metadata"]["annotations"] = {names.ANNOTATION_ACCEPT_IMPACT: accept}
    return made


@pytest.fixture(scope="module")
def judged(
    api_server: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ControlPlane, OperatorProcess]]:
    """An API server that asks an operator, and the example with a class of its own."""
    install_kinds(api_server)
    kubectl = api_server.kubectl
    kubectl.apply(namespace(SPACE))
    flags = (
        "--lease-name=impact",
        "--certificate-secret=impact-test",
        f"--webhook-configuration={CONFIGURATION}",
    )
    folder = tmp_path_factory.mktemp("impact")
    with operator(api_server, folder, "judge", *flags) as replica:
        kubectl.wait(lambda _: True, "pattern/event-to-incident", what="the catalogue")
        kubectl.apply(the_class())
        for file in ("connectors.yaml", "mappings.yaml", "flow.yaml"):
            for doc in documents(file):
                kubectl.apply(marked(doc))
        kubectl.wait(
            lambda found: bool(found.get("status", {}).get("configHash")),
            f"flow/{FLOW}", "-n", SPACE, what="a plan",
        )  # fmt: skip
        kubectl.apply(webhooks(replica.ports["admission"]))
        until(
            lambda: "would lose" in applied(api_server, the_class(captures=False), dry=True).stderr,
            "the API server to ask",
            every_s=0.3,
            explain=lambda: applied(api_server, the_class(captures=False), dry=True).stderr,
        )
        try:
            yield api_server, replica
        finally:
            kubectl.run("delete", "validatingwebhookconfiguration", CONFIGURATION)


def applied(
    plane: ControlPlane, doc: dict[str, Any], *, dry: bool = False
) -> subprocess.CompletedProcess[str]:
    """Apply as the fixture did, so that fields can go."""
    flags = ["--server-side", "--field-manager=harness", *(["--dry-run=server"] if dry else [])]
    return plane.kubectl.try_run("apply", *flags, "-f", "-", given=json.dumps(doc))


def hash_in(text: str) -> str:
    """The hash that a refusal shows."""
    found = re.search(rf'{names.ANNOTATION_ACCEPT_IMPACT}: "([0-9a-f]{{16}})"', text)
    assert found is not None, text
    return found.group(1)


def test_a_mapping_that_breaks_a_live_flow_is_let_in_with_a_warning(
    judged: tuple[ControlPlane, OperatorProcess],
) -> None:
    """The other half of the change may come a moment later."""
    plane, _ = judged
    mapping = marked(documents("mappings.yaml")[0])
    broken = copy.deepcopy(mapping)
    broken["spec"]["from"]["class"] = "nowhere"

    done = applied(plane, broken, dry=True)

    assert done.returncode == 0, done.stderr
    assert f'Warning: Flow "{FLOW}" in {SPACE}' in done.stderr


def diff(kubeconfig: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """What `intops diff` says of a cluster."""
    command = [sys.executable, "-m", "intops_cli", "diff", *map(str, words)]
    command += ["--kubeconfig", str(kubeconfig)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def written(folder: Path, *docs: dict[str, Any]) -> Path:
    """A folder with these manifests."""
    folder.mkdir()
    (folder / "all.yaml").write_text(yaml.safe_dump_all(docs))
    return folder


def test_diff_says_before_what_admission_says_later(
    judged: tuple[ControlPlane, OperatorProcess], tmp_path: Path
) -> None:
    """The same Flow, the same field, the same hash; nothing is applied."""
    plane, _ = judged
    broken = the_class(captures=False)

    done = diff(plane.kubeconfig, written(tmp_path / "broken", broken), "-o", "json")
    same = diff(plane.kubeconfig, written(tmp_path / "same", the_class()))

    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    (changed,) = told["objects"]
    assert changed["object"] == {"kind": "ConnectorClass", "name": CLASS}
    assert [field["path"] for field in changed["fields"]] == ["spec.capture"]
    (flow,) = told["impact"]["flows"]
    assert (flow["flow"]["namespace"], flow["verdict"]) == (SPACE, "breaks")
    (acceptance,) = told["impact"]["acceptances"]
    assert acceptance["hash"] == hash_in(applied(plane, broken, dry=True).stderr)
    assert (same.returncode, same.stdout) == (
        0, "Nothing differs: every manifest says what stands already.\n",
    )  # fmt: skip


def test_diff_counts_what_the_folder_lacks_as_removed_only_where_it_is_asked_to(
    judged: tuple[ControlPlane, OperatorProcess], tmp_path: Path
) -> None:
    """A folder is often one part of a namespace."""
    plane, _ = judged
    files = ("connectors.yaml", "mappings.yaml")
    folder = written(tmp_path / "part", *(marked(doc) for file in files for doc in documents(file)))

    kept = diff(plane.kubeconfig, folder)
    pruned = diff(plane.kubeconfig, folder, "--prune", "-o", "json")

    assert (kept.returncode, pruned.returncode) == (0, 0), kept.stderr + pruned.stderr
    assert "Nothing differs" in kept.stdout
    (gone,) = json.loads(pruned.stdout)["objects"]
    assert (gone["what"], gone["object"]["kind"], gone["object"]["name"]) == (
        "removed",
        "Flow",
        FLOW,
    )


def test_diff_with_rights_in_one_namespace_says_whose_flows_it_could_not_judge(
    judged: tuple[ControlPlane, OperatorProcess], tmp_path: Path
) -> None:
    """And without any rights it says which one is missing."""
    plane, _ = judged
    flow = marked(documents("flow.yaml")[0])
    folder = written(tmp_path / "both", the_class(captures=False), flow)

    nobody = diff(plane.kubeconfig_of("nobody"), folder)
    plane.kubectl.apply(*rights("somebody"))
    limited = diff(plane.kubeconfig_of("somebody"), folder)

    assert nobody.returncode == 3
    assert "It takes the kinds of intops, and the right `list` on" in nobody.stderr
    assert limited.returncode == 1, limited.stderr
    assert "The flows of all namespaces cannot be read with these rights" in limited.stderr
    assert f"{FLOW}   breaks" in limited.stdout


def rights(user: str) -> list[dict[str, Any]]:
    """Class-like kinds everywhere, everything else of ours in one namespace, to read."""
    group = "rbac.authorization.k8s.io"
    found = []
    for kind, resources in (
        ("ClusterRole", ["connectorclasses", "canonicalmodels", "patterns"]),
        ("Role", ["connectors", "mappings", "flows"]),
    ):
        place = {} if kind == "ClusterRole" else {"namespace": SPACE}
        rule = {"apiGroups": ["intops.io"], "resources": resources, "verbs": ["list"]}
        meta = {"name": f"impact-{user}", **place}
        found += [
            {"apiVersion": f"{group}/v1", "kind": kind, "metadata": meta, "rules": [rule]},
            {
                "apiVersion": f"{group}/v1",
                "kind": f"{kind}Binding",
                "metadata": meta,
                "roleRef": {"apiGroup": group, "kind": kind, "name": meta["name"]},
                "subjects": [{"kind": "User", "apiGroup": group, "name": user}],
            },
        ]
    return found


def test_a_class_that_live_flows_use_changes_and_goes_only_when_that_is_accepted(
    judged: tuple[ControlPlane, OperatorProcess],
) -> None:
    """The refusal says what to write; a dry run is told the same and leaves nothing."""
    plane, replica = judged
    kubectl = plane.kubectl

    kept = kubectl.try_run("delete", f"connectorclass/{CLASS}")
    refused = applied(plane, the_class(captures=False))
    assert (kept.returncode, refused.returncode) == (1, 1)
    assert f'ConnectorClass "{CLASS}" is kept: without it 1 Flow would lose' in kept.stderr
    assert f'"{FLOW}" in {SPACE} (service-desk, service-desk@example.com' in refused.stderr
    assert "spec.roles.source[0].connector" in refused.stderr
    assert "capture" in kubectl.get(f"connectorclass/{CLASS}")["spec"]

    accepted = the_class(captures=False, accept=hash_in(refused.stderr))
    for dry in (True, False):
        done = applied(plane, accepted, dry=dry)
        assert done.returncode == 0, done.stderr
        assert "Warning: Accepted: 1 Flow" in done.stderr
    assert "capture" not in kubectl.get(f"connectorclass/{CLASS}")["spec"]
    # A Flow without a plan has none to lose: the class may go as soon as the operator has heard.
    until(
        lambda: (
            kubectl.try_run("delete", f"connectorclass/{CLASS}", "--dry-run=server").returncode == 0
        ),
        "the operator to know the change",
        explain=replica.tail,
    )
