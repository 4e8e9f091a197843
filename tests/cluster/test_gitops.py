"""What tools that apply manifests from Git meet: nothing drifts, nothing is written twice, and Flux waits rightly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.chart import of_kind, render
from support.cluster import gitops
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.operators import (
    EXAMPLE,
    FLOW,
    OperatorProcess,
    ReportServer,
    await_condition,
    healthy,
    namespace,
    running_pod,
)

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("replica")]

TREE = Path(__file__).resolve().parents[2]
PLAIN = TREE / "helm" / "plain"
KINDS = "flows,mappings,connectors"
APPLIED = ("connectors.yaml", "mappings.yaml", "flow.yaml")
LASTS_S = 120.0
"""Flux looks at the health of what it applied for at least 30 s before it says that it is not well."""


def versions(plane: ControlPlane, space: str) -> dict[str, str]:
    """The version of every object that was applied: another one is another write."""
    items = plane.kubectl.get(KINDS, "-n", space)["items"]
    return {f"{i['kind']}/{i['metadata']['name']}": i["metadata"]["resourceVersion"] for i in items}


def files(space: str) -> list[str]:
    """The arguments by which the example is applied into a namespace."""
    return ["-n", space, *(word for name in APPLIED for word in ("-f", str(EXAMPLE / name)))]


def quiet(plane: ControlPlane, space: str) -> dict[str, str]:
    """Versions, once the operator has written what it has to write."""
    seen = [versions(plane, space)]

    def same() -> dict[str, str] | None:
        seen.append(versions(plane, space))
        still = len(seen) > 4 and all(one == seen[-1] for one in seen[-4:])
        return seen[-1] if still else None

    return until(same, "the operator to be done", timeout_s=LASTS_S, every_s=0.5)


@pytest.mark.parametrize(
    "way",
    [
        pytest.param((), id="as people and Argo CD do"),
        pytest.param(("--server-side", "--field-manager=gitops"), id="as Flux does"),
    ],
)
def test_what_was_applied_does_not_drift_and_is_not_written_again(
    way: tuple[str, ...], plane: ControlPlane, workers: ReportServer, itsm: str
) -> None:
    """No `ignoreDifferences` is needed: after the operator has reconciled, Git and cluster are the same."""
    plane.kubectl.run("apply", *way, *files(itsm))
    running_pod(plane, itsm, FLOW)
    flow = plane.kubectl.wait(
        lambda found: bool(found.get("status", {}).get("configHash")),
        f"flow/{FLOW}", "-n", itsm, what="a plan",
    )  # fmt: skip
    workers.say(itsm, FLOW, active=flow["status"]["configHash"])
    await_condition(plane, itsm, "Programmed", "True", "Programmed")
    before = quiet(plane, itsm)

    shown = plane.kubectl.try_run("diff", *way, *files(itsm))
    again = plane.kubectl.run("apply", *way, *files(itsm))

    assert (shown.returncode, shown.stdout) == (0, "")
    assert versions(plane, itsm) == before
    assert len(again.splitlines()) == len(before)
    if not way:
        assert {line.rpartition(" ")[2] for line in again.splitlines()} == {"unchanged"}


def test_a_change_by_hand_does_show(plane: ControlPlane, itsm: str) -> None:
    """The control: the comparison above sees a change of the spec."""
    plane.kubectl.run("apply", *files(itsm))
    change = json.dumps({"spec": {"owner": {"contact": "somebody@example.com"}}})
    plane.kubectl.run("patch", f"flow/{FLOW}", "-n", itsm, "--type=merge", "-p", change)

    shown = plane.kubectl.try_run("diff", *files(itsm))

    assert shown.returncode == 1
    assert "somebody@example.com" in shown.stdout


def test_the_operator_owns_no_field_of_what_it_is_given(
    plane: ControlPlane, workers: ReportServer, itsm: str
) -> None:
    """It writes the status and nothing else: no annotation, no finalizer, no default."""
    healthy(plane, workers, itsm)
    await_condition(plane, itsm, "Programmed", "True", "Programmed")
    items = plane.kubectl.get(KINDS, "-n", itsm, "--show-managed-fields")["items"]
    owned = {
        (item["kind"], entry["manager"], tuple(entry["fieldsV1"]))
        for item in items
        for entry in item["metadata"]["managedFields"]
        if entry["manager"].startswith("intops")
    }

    assert {kind for kind, *_ in owned} == {"Flow", "Mapping", "Connector"}
    assert {fields for *_, fields in owned} == {("f:status",)}


@pytest.mark.parametrize("file", ["crds.yaml", "catalog.yaml"])
def test_plain_yaml_is_what_the_operator_and_the_chart_would_apply(
    file: str, plane: ControlPlane
) -> None:
    """Who keeps everything in Git applies it over what is there, and no spec changes."""
    applied = PLAIN / file
    plane.kubectl.wait(lambda _: True, "pattern/event-to-incident", what="the catalogue")
    there = {named(one): one["spec"] for one in yaml.safe_load_all(applied.read_text())}

    done = plane.kubectl.run(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", str(applied),
        "-o", "json",
    )  # fmt: skip
    after = {named(one): one for one in json.loads(done)["items"]}

    assert set(after) == set(there)
    for name, one in after.items():
        assert one["metadata"]["generation"] == generation(plane, name), name


def named(manifest: dict[str, Any]) -> str:
    """`kind/name`, as kubectl takes it."""
    return f"{manifest['kind'].lower()}/{manifest['metadata']['name']}"


def generation(plane: ControlPlane, name: str) -> int:
    """The generation of an object: it grows by every change of its spec."""
    found: int = plane.kubectl.get(name)["metadata"]["generation"]
    return found


def test_the_example_of_argo_cd_names_what_there_is() -> None:
    """Paths of this tree, values that the chart takes, and waves in the order of need."""
    found = list(yaml.safe_load_all((TREE / "helm" / "argocd" / "application.yaml").read_text()))
    kinds, chart, team = (one["spec"]["source"] for one in found)
    waves = [int(one["metadata"]["annotations"][WAVE]) for one in found]

    assert (TREE / kinds["path"] / kinds["directory"]["include"]).is_file()
    assert (TREE / chart["path"] / "Chart.yaml").is_file()
    rendered = render(**chart["helm"]["valuesObject"])
    assert of_kind(rendered, "CustomResourceDefinition") == []
    assert waves == sorted(waves) == [-3, -2, 0]
    assert "ignoreDifferences" not in str(found)
    assert team["path"] == "."


WAVE = "argocd.argoproj.io/sync-wave"


@pytest.fixture(scope="module")
def controllers(
    plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Path]:
    """Flux's controllers in namespace `flux-system`; the folder of their logs."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        gitops.ensure()
    plane.kubectl.apply(namespace("flux-system"))
    folder = tmp_path_factory.mktemp("flux")
    with gitops.flux(plane, folder, "flux-system"):
        yield folder


@pytest.fixture
def flux_space(
    plane: ControlPlane, controllers: Path, tmp_path: Path
) -> Iterator[tuple[Path, gitops.GitFolder]]:
    """The folder of Flux's logs, and a repository with nothing in it. What Flux applied goes with its objects."""
    repository = gitops.GitFolder(tmp_path / "repository")
    try:
        yield controllers, repository
        for one in ("kustomization/itsm", "gitrepository/itsm"):
            plane.kubectl.run("delete", one, "-n", "flux-system", "--timeout=60s")
    finally:
        repository.stop()


def of_flux(file: str, space: str, url: str, **spec: Any) -> list[dict[str, Any]]:
    """The shipped manifests, with the repository and the namespace of a test, and in a hurry."""
    documents = list(yaml.safe_load_all((TREE / "helm" / "flux" / file).read_text()))
    for one in documents:
        if one["kind"] == "GitRepository":
            one["spec"] |= {"url": url, "interval": "2s"}
        else:
            one["spec"] |= {
                "targetNamespace": space,
                "retryInterval": "2s",
                "timeout": "30s",
                **spec,
            }
    return documents


def kustomization(
    plane: ControlPlane, folder: Path, status: str, words: str, revision: str = ""
) -> str:
    """Wait for the Ready of the Kustomization, with these words in its message; the message."""
    last: list[str] = [""]

    def holds() -> str | None:
        found = plane.kubectl.get("kustomization/itsm", "-n", "flux-system")
        ready = next(
            (c for c in found.get("status", {}).get("conditions", ()) if c["type"] == "Ready"), {}
        )
        last[0] = json.dumps(ready)
        tried = found.get("status", {}).get("lastAttemptedRevision", "")
        met = ready.get("status") == status and words in ready.get("message", "")
        return last[0] if met and revision in tried else None

    return until(
        holds,
        f"Ready {status} of Flux with {words!r}",
        timeout_s=LASTS_S,
        every_s=0.5,
        explain=lambda: last[0] + "\n" + gitops.tail(folder),
    )


def example(change: dict[str, Any] | None = None) -> dict[str, str]:
    """The files of the example, as a team keeps them; the Flow with a changed spec."""
    found = {name: (EXAMPLE / name).read_text() for name in APPLIED}
    if change is not None:
        (flow,) = yaml.safe_load_all(found["flow.yaml"])
        flow["spec"] |= change
        found["flow.yaml"] = yaml.safe_dump(flow)
    return found


def test_flux_waits_until_messages_can_arrive(
    plane: ControlPlane,
    workers: ReportServer,
    replica: OperatorProcess,
    itsm: str,
    flux_space: tuple[Path, gitops.GitFolder],
) -> None:
    """Real controllers, from Git: not ready without a worker, ready with one, not after a wrong change."""
    folder, repository = flux_space
    repository.commit(example(), "the example")
    gitops.settle(repository.url)
    plane.kubectl.apply(*of_flux("itsm.yaml", itsm, repository.url))

    said = kustomization(plane, folder, "False", "timeout waiting for")
    assert f"Flow/{itsm}/{FLOW}" in said
    assert "Mapping/" not in said, "what is well-formed does not hold it up"
    assert "Connector/" not in said

    running_pod(plane, itsm, FLOW)
    flow = plane.kubectl.get(f"flow/{FLOW}", "-n", itsm)
    workers.say(itsm, FLOW, active=flow["status"]["configHash"])
    kustomization(plane, folder, "True", "Applied revision")

    wrong = repository.commit(example({"reviewBy": "soon"}), "a wrong change")
    said = kustomization(plane, folder, "False", "spec.reviewBy", wrong)
    assert "dry-run failed" in said
    right = repository.commit(example({"reviewBy": "2027-05-31"}), "the correction")
    kustomization(plane, folder, "True", "Applied revision", right)


def test_flux_can_wait_for_the_worker_alone(
    plane: ControlPlane,
    workers: ReportServer,
    itsm: str,
    flux_space: tuple[Path, gitops.GitFolder],
) -> None:
    """With the shipped health expression a missing worker holds it up, and an outage of the desk does not."""
    folder, repository = flux_space
    repository.commit(example(), "the example")
    source, _ = of_flux("itsm.yaml", itsm, repository.url)
    plane.kubectl.apply(source, *of_flux("itsm-programmed.yaml", itsm, repository.url))
    said = kustomization(plane, folder, "False", "timeout waiting for")
    assert f"Flow/{itsm}/{FLOW}" in said

    running_pod(plane, itsm, FLOW)
    flow = plane.kubectl.get(f"flow/{FLOW}", "-n", itsm)
    away = {"name": "helpdesk", "connector": "helpdesk", "role": "target", "state": "open",
            "errorClass": "destinationDown", "since": "2026-11-25T10:00:00Z"}  # fmt: skip
    workers.say(itsm, FLOW, active=flow["status"]["configHash"], connectors=[away])
    kustomization(plane, folder, "True", "Applied revision")

    flow = plane.kubectl.get(f"flow/{FLOW}", "-n", itsm)
    ready = next(c for c in flow["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "DestinationDown")
