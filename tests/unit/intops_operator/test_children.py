"""What every worker is made of, whatever its Flow says."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from intops_api import names
from intops_api.flow import PostgresStore, Replicas, Resources, Runtime, Store
from intops_operator.core.children import CHILD_KINDS, desired, pool
from intops_operator.core.children.networkpolicy import network_policy
from intops_operator.core.children.release import release_of
from intops_operator.core.children.worker import (
    SECRETS_DIR,
    Manifest,
    Shape,
    Worker,
    WorkerSettings,
    name_problem,
)
from support.operator_facts import example_worker


def by_kind(worker: Worker) -> dict[str, Manifest]:
    """All children by kind."""
    return {manifest["kind"]: manifest for manifest in desired(worker)}


def pod_of(worker: Worker) -> Manifest:
    """The pod template's spec."""
    spec: Manifest = by_kind(worker)["Deployment"]["spec"]["template"]["spec"]
    return spec


def test_children_are_applied_in_the_order_in_which_a_pod_needs_them() -> None:
    """The Deployment is last."""
    kinds = [m["kind"] for m in desired(example_worker())]

    assert kinds == [kind for kind in CHILD_KINDS if kind in kinds]
    assert kinds[-1] == "Deployment"


def test_the_pod_keeps_the_restricted_standard() -> None:
    """S-45, S-47, S-48: No root, no privileges, no writable image, no token."""
    pod = pod_of(example_worker())
    container = pod["containers"][0]

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_new_plan_does_not_touch_the_deployment() -> None:
    """Only the ConfigMap differs, so no worker restarts."""
    before, after = by_kind(example_worker()), by_kind(example_worker(hash="another"))

    assert [kind for kind in before if before[kind] != after[kind]] == ["ConfigMap"]
    assert names.ANNOTATION_PLAN_HASH not in str(before["Deployment"])


def test_secrets_are_optional_so_that_a_missing_one_can_be_reported() -> None:
    """Without it the pod would never start, and nobody would say why."""
    volumes = [v["secret"] for v in pod_of(example_worker())["volumes"] if "secret" in v]

    assert [v["secretName"] for v in volumes] == ["alertmanager-token", "helpdesk-token"]
    assert all(v["optional"] is True for v in volumes)


def test_only_the_volume_outlives_its_flow() -> None:
    """Everything else has the Flow as its controller."""
    unowned = [
        kind
        for kind, manifest in by_kind(example_worker()).items()
        if "ownerReferences" not in manifest["metadata"]
    ]

    assert unowned == ["PersistentVolumeClaim"]


def test_an_embedded_store_has_one_writer_at_any_time() -> None:
    """Two pods on one volume would be two writers."""
    spec = by_kind(example_worker())["Deployment"]["spec"]

    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_a_postgres_store_needs_no_volume() -> None:
    """Its Secret is mounted, and its port may be reached."""
    worker = example_worker(store=Store(postgres=PostgresStore(secret_name="database")))

    assert "PersistentVolumeClaim" not in by_kind(worker)
    assert "database" in worker.secrets
    assert 5432 in worker.ports


def test_workers_reach_dns_and_the_ports_of_their_systems_only() -> None:
    """S-49: And never the link-local range, where clouds hand out credentials."""
    worker = example_worker()
    egress = network_policy(worker)["spec"]["egress"]

    assert worker.ports == [443]
    assert [rule["ports"][0]["port"] for rule in egress] == [53, 443]
    assert egress[1]["to"][0] == {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}


def test_what_a_flow_asks_for_is_what_its_pod_gets() -> None:
    """Unset parts keep their defaults."""
    asked = Runtime(resources=Resources(requests={"cpu": "1"}, limits={}))
    container = pod_of(replace(example_worker(), runtime=asked))["containers"][0]

    assert container["resources"]["requests"] == {"cpu": "1", "memory": "96Mi"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a" * 57, id="too long for a Service"),
        pytest.param("a.b", id="a dot"),
    ],
)
def test_a_flow_that_cannot_name_a_service_is_told_so(name: str) -> None:
    """Rather than failing child by child."""
    assert name_problem("a" * 56) is None
    problem = name_problem(name)
    assert problem is not None
    assert "at most 56" in problem


def shared(**replicas: int) -> Worker:
    """A Flow with a database and so many workers."""
    worker = example_worker(store=Store(postgres=PostgresStore(secret_name="database")))
    return replace(worker, runtime=Runtime(replicas=Replicas(**replicas)))


@pytest.mark.parametrize(
    ("worker", "there"),
    [
        pytest.param(example_worker(), False, id="embedded"),
        pytest.param(shared(min=1, max=4), False, id="one of several"),
        pytest.param(shared(min=2, max=4), True, id="two"),
        pytest.param(
            replace(shared(min=1, max=4), shape=Shape(replicas=3)), True, id="three, by the backlog"
        ),
    ],
)
def test_a_node_that_is_emptied_takes_one_of_several_workers_at_a_time(
    worker: Worker, there: bool
) -> None:
    """With one worker a budget could only keep the node from being emptied."""
    budget = by_kind(worker).get("PodDisruptionBudget")

    assert (budget is not None) == there
    assert budget is None or budget["spec"]["maxUnavailable"] == 1


def test_an_embedded_store_keeps_its_one_writer_whatever_else_is_decided() -> None:
    """Two pods on one volume would be two writers."""
    worker = replace(example_worker(), shape=Shape(replicas=3))

    assert by_kind(worker)["Deployment"]["spec"]["replicas"] == 1


def test_several_workers_are_spread_over_zones_and_over_nodes() -> None:
    """A zone that is full must not keep a worker from running."""
    spread = pod_of(shared(min=2, max=2))["topologySpreadConstraints"]

    assert [one["topologyKey"] for one in spread] == [
        "topology.kubernetes.io/zone", "kubernetes.io/hostname",
    ]  # fmt: skip
    assert {one["whenUnsatisfiable"] for one in spread} == {"ScheduleAnyway"}


def test_a_flow_may_change_its_size_without_changing_its_pods() -> None:
    """What it says about its pods has a hash of its own; how many there are is no part of it."""
    assert shared(min=1, max=2).inputs == shared(min=2, max=9).inputs
    assert shared().inputs != example_worker().inputs


def test_a_release_is_the_image_and_all_that_every_pod_has_in_common() -> None:
    """An operator that only sets other values for all pods rolls them by waves as well."""
    one = WorkerSettings("example.com/worker:1")

    assert release_of(one) == release_of(WorkerSettings("example.com/worker:1"))
    assert (
        release_of(replace(one, image="example.com/worker:2")).template == release_of(one).template
    )
    assert release_of(replace(one, priority_class="high")) != release_of(one)


def test_a_release_tells_what_all_pools_have_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another edition that gives them another flag rolls them by waves, too."""
    one = WorkerSettings("example.com/worker:1")
    before = release_of(one)
    monkeypatch.setattr(pool, "REMOVE_EMPTY_AFTER_S", 7)

    assert release_of(one) != before


def test_s34_secrets_are_files_and_never_variables() -> None:
    """Read-only, without subPath, each in a folder of its own: a changed one is seen, and no child inherits it."""
    pod = pod_of(example_worker())
    (container,) = pod["containers"]
    mounts = [m for m in container["volumeMounts"] if m["name"].startswith("secret-")]

    assert "env" not in container
    assert "envFrom" not in container
    assert all(m["readOnly"] and "subPath" not in m for m in mounts)
    assert {m["mountPath"].rpartition("/")[0] for m in mounts} == {SECRETS_DIR}


def runtimes(draw: random.Random) -> Iterator[dict[str, Any]]:
    """What a tenant may write into `spec.runtime`, and what they may try to."""
    amounts = {"cpu": "2", "memory": "1Gi", "ephemeral-storage": "1Gi", "nvidia.com/gpu": "1"}
    while True:
        wanted = {
            "replicas": {"min": draw.randint(1, 3), "max": 3},
            "store": draw.choice(
                [{"embedded": {"size": "1Gi"}}, {"postgres": {"secretName": "db"}}]
            ),
            "resources": {
                part: dict(draw.sample(sorted(amounts.items()), 2))
                for part in ("requests", "limits")
            },
            "expose": {"ingress": {"host": "intops.example.com"}},
        }
        tried = {
            "image": "evil.example.com/x",
            "command": ["sh"],
            "args": ["-c", "id"],
            "hostNetwork": True,
            "serviceAccountName": "default",
            "securityContext": {"privileged": True},
            "env": [{"name": "A"}],
            "volumes": [{"name": "h", "hostPath": {"path": "/"}}],
            "nodeName": "n",
            "template": {"spec": {}},
        }
        yield {key: value for key, value in wanted.items() if draw.random() < 0.7} | dict(
            draw.sample(sorted(tried.items()), draw.randint(0, 2))
        )


def test_s45_whatever_a_flow_says_its_pod_runs_our_image_within_the_same_fence(seed: int) -> None:
    """Only resources, store and replicas are theirs; everything else that they try is no field."""
    draw = random.Random(seed)
    worker = example_worker()
    usual = pod_of(worker)
    fixed = ("image", "command", "args", "securityContext", "ports", "lifecycle")
    refused = taken = 0
    for _, raw in zip(range(400), runtimes(draw), strict=False):
        try:
            runtime = Runtime.model_validate(raw)
        except ValueError:
            refused += 1
            continue
        taken += 1
        plan = worker.plan.model_copy(update={"store": runtime.store})
        pod = pod_of(replace(worker, plan=plan, runtime=runtime))
        assert set(pod) - {"topologySpreadConstraints"} == set(usual)
        assert pod["securityContext"] == usual["securityContext"]
        assert pod["serviceAccountName"] == usual["serviceAccountName"]
        assert pod["automountServiceAccountToken"] is False
        (container,), (known,) = pod["containers"], usual["containers"]
        assert {key: container[key] for key in fixed} == {key: known[key] for key in fixed}
        kinds = {next(iter(set(v) - {"name"})) for v in pod["volumes"]}
        assert kinds <= {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}
    assert refused > 50
    assert taken > 50


def test_s20_ranges_of_the_chart_reach_the_worker() -> None:
    """What may be called, and what must not be, is said once for all workers."""
    settings = WorkerSettings("i", allow_ranges=("100.64.0.0/10",), deny_ranges=("10.9.0.0/16",))
    (container,) = pod_of(replace(example_worker(), settings=settings))["containers"]

    assert container["args"][-2:] == ["--allow-range=100.64.0.0/10", "--deny-range=10.9.0.0/16"]
