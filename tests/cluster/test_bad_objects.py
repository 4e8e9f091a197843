"""Objects that nobody meant: spoiled, copied from elsewhere, or as large as they may be.

A real API server with a real operator refuses what `intops validate` refuses and takes what it takes, and the
operator stands.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import yaml

from intops_core.conformance import judge
from intops_core.resources import Resources, parse_resource
from support.cluster.asking import Api
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.conformance import manifests
from support.judged import as_new, judged
from support.operators import OperatorProcess, namespace
from support.refusals import refusals
from support.wrong import Promise, world, wrong_manifests

pytestmark = pytest.mark.cluster

Manifest = dict[str, Any]

MIB = 1024 * 1024

SPOILED = 1200
ODD: tuple[Any, ...] = (
    None, "", " ", "x", "X" * 300, "ä/ö", "\0", "x" * 70_000, "1", "true", "null", "30s", "2027-01-01",
    0, 1, -1, 10**12, 2**63, 1.5, 1.0, True, [], ["x"], [None], {}, {"x": "y"}, {"": None},
)  # fmt: skip
"""What is put in the place of what belongs there."""


@pytest.fixture(scope="module")
def cluster(
    api_server: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Api, OperatorProcess]]:
    """An API server that asks an operator, and that operator."""
    with judged(api_server, tmp_path_factory.mktemp("bad")) as both:
        yield both


@pytest.fixture(scope="module")
def api(cluster: tuple[Api, OperatorProcess]) -> Api:
    """The API server that asks."""
    return cluster[0]


@pytest.fixture(scope="module")
def known() -> Resources:
    """What the command line knows."""
    return world()


def sound() -> list[Manifest]:
    """Sound manifests of every kind under names that are free."""
    found = [as_new(raw) for raw in (*manifests(), *(w.twin for w in wrong_manifests()))]
    for raw in found:
        raw["metadata"]["name"] = raw["metadata"]["name"].removesuffix("-again") + "-again"
        raw["metadata"]["labels"] = {"team": "desk", "example.com/tier": "gold"}
        raw["metadata"]["annotations"] = {"example.com/why": "Somebody asked for it."}
    return found


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every field and element below a value."""
    if at:
        yield at
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*at, key))


def spoiled(raw: Manifest, draw: random.Random) -> tuple[Manifest, str]:
    """A copy in which one place is replaced, removed, added or doubled; and what was done."""
    made = copy.deepcopy(raw)
    # Who acts is known to a cluster only, and where to is what was asked.
    spared = {("metadata",), ("metadata", "namespace"), ("spec", "actor"), ("spec",)}
    part = "metadata" if draw.random() < 0.2 else "spec"
    spots = [at for at in places({part: made[part]}) if at not in spared]
    *above, last = draw.choice(spots)
    holder: Any = made
    for key in above:
        holder = holder[key]
    odd = copy.deepcopy(draw.choice(ODD))
    match draw.choice(("put", "put", "remove", "add")):
        case "put":
            holder[last] = odd
        case "remove":
            del holder[last]
        case _ if isinstance(holder, list):
            holder.append(draw.choice((odd, copy.deepcopy(holder[last]))))
        case _:
            holder[draw.choice(("x", "X Y", "", "a.b", "name", "value"))] = odd
    return made, f"{raw['kind']} {(*above, last)} {str(odd)[:40]!r}"


def test_validate_and_a_cluster_take_and_refuse_the_same(
    api: Api, known: Resources, seed: int
) -> None:
    """Whatever is spoiled, nobody finds out only in the cluster, and nobody is kept from what it takes."""
    draw = random.Random(seed)
    base = sound()
    differ = []
    for _ in range(SPOILED):
        manifest, what = spoiled(draw.choice(base), draw)
        resource = parse_resource(copy.deepcopy(manifest))
        found = resource if isinstance(resource, list) else judge(resource, known)
        ours = [f"{f.path}: {f.message}" for f in found if f.severity == "deny"]
        answer = api.create(manifest)
        if (answer.status == 201) is bool(ours):
            differ.append((what, ours, answer.status, answer.message[:500]))

    assert differ == []


def the(kind: str, name: str) -> Manifest:
    """One manifest of the first example under a name that is free."""
    (raw,) = [r for r in manifests() if (r["kind"], r["metadata"]["name"]) == (kind, name)]
    return as_new(raw)


def flow_with(routes: int) -> Manifest:
    """The Flow of the first example with so many routes, each with a long condition."""
    flow = the("Flow", "alerts-to-helpdesk")
    asked = [f'incident.service == "{"s" * 3900}{number}"' for number in range(routes - 1)]
    flow["spec"]["routes"] = [
        {"name": f"route-{number}", "when": when, "set": {"assignmentGroup": "Service-Desk"}}
        for number, when in enumerate(asked)
    ] + [{"name": "default", "set": {"assignmentGroup": "Service-Desk"}}]
    return flow


def mapping_of(size: int) -> Manifest:
    """A Mapping of the first example with examples of so many bytes."""
    mapping = the("Mapping", "alertmanager-to-event")
    first = mapping["spec"]["examples"][0]
    padded = {
        **first["input"],
        "annotations": {"summary": "db01 is down", "pad": "x" * (size // 50)},
    }
    mapping["spec"]["examples"] = [
        {**first, "name": f"example {number}", "input": padded} for number in range(50)
    ]
    return mapping


def denials(manifest: Manifest, known: Resources) -> list[Promise]:
    """What the command line refuses a manifest for."""
    resource = parse_resource(copy.deepcopy(manifest))
    found = resource if isinstance(resource, list) else judge(resource, known)
    return [Promise(f.rule, f.path, f.message) for f in found if f.severity == "deny"]


def noted(bytes_: int) -> Manifest:
    """A Flow with an annotation of so many bytes."""
    flow = the("Flow", "alerts-to-helpdesk")
    flow["metadata"]["annotations"] = {"example.com/why": "x" * bytes_}
    return flow


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(flow_with(500), id="five hundred routes"),
        pytest.param(mapping_of(2 * MIB), id="a Mapping of two megabytes"),
        pytest.param(noted(MIB // 4), id="annotations of a quarter of a megabyte"),
    ],
)
def test_what_is_too_much_is_refused_by_both_with_the_field(
    api: Api, known: Resources, manifest: Manifest
) -> None:
    """S-54: Nobody learns from a broken roll-out that a list or a text has a bound."""
    (promise,) = denials(manifest, known)

    (refusal,) = refusals(api.create(manifest))

    assert refusal.tells(promise, manifest), (refusal, promise)


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(flow_with(64), id="sixty-four routes"),
        pytest.param(mapping_of(MIB), id="a Mapping of a megabyte"),
    ],
)
def test_the_largest_that_is_allowed_is_stored_and_judged(
    api: Api, known: Resources, manifest: Manifest
) -> None:
    """S-54: Neither the rules in the CRD nor the operator cost more than a cluster grants."""
    assert denials(manifest, known) == []

    answer = api.create(manifest, keep=True)

    assert answer.status == 201, answer.message
    where = (manifest["kind"], manifest["metadata"]["name"], "-n", api.namespace)
    api.plane.kubectl.wait(judged_true, *where, what="the operator to accept it")
    api.plane.kubectl.run("delete", *where)


def judged_true(found: Manifest) -> bool:
    """Whether an object was judged and found right."""
    conditions = {one["type"]: one["status"] for one in found["status"]["conditions"]}
    return conditions.get("Accepted") == "True"


def test_an_expression_that_costs_too_much_is_refused_and_keeps_nobody_waiting(api: Api) -> None:
    """S-55: All its examples would run for many seconds; the API server waits five, and others ask meanwhile."""
    hostile = the("Mapping", "alertmanager-to-event")
    hostile["metadata"]["name"] = "hostile"
    first = hostile["spec"]["examples"][0]
    payload = {**first["payload"], "many": list(range(1000))}
    hostile["spec"]["examples"] = [
        {**first, "name": f"example {number}", "payload": payload} for number in range(30)
    ]
    (rule,) = [one for one in hostile["spec"]["fields"] if one["to"] == "description"]
    del rule["from"]
    rule["cel"] = "string(payload.many.map(a, payload.many.map(b, a + b)).size())"

    (refusal,) = refusals(api.create(hostile))

    assert refusal.speaker == "webhook"
    assert "Judging this Mapping took longer than 3.5 s, so it is refused;" in refusal.words
    assert api.create(the("Connector", "helpdesk")).status == 201


def test_a_whole_number_with_a_point_is_one_to_kubectl_too(api: Api) -> None:
    """YAML has two ways to write it, and JSON only one."""
    flow = the("Flow", "alerts-to-helpdesk")
    flow["spec"]["runtime"] = {"replicas": {"min": 1.0, "max": 1}}
    text = yaml.safe_dump(flow)
    assert "min: 1.0" in text

    done = api.plane.kubectl.try_run("create", "--dry-run=server", "-f", "-", given=text)

    assert done.returncode == 0, done.stderr


def test_an_object_copied_from_another_cluster_is_judged_anew(api: Api) -> None:
    """Its status, its owner of fields and its identity are those of another object, and are not believed."""
    kubectl = api.plane.kubectl
    kubectl.apply(namespace("elsewhere"))
    copied = kubectl.get("flow", "alerts-to-helpdesk", "-n", api.namespace, "--show-managed-fields")
    assert copied["metadata"]["managedFields"]
    assert judged_true(copied)
    del copied["metadata"]["resourceVersion"]  # the API server itself takes no new object with one
    copied["metadata"]["namespace"] = "elsewhere"
    assert denials(copied, Resources()) == []

    answer = replace(api, namespace="elsewhere").create(copied, keep=True)

    assert answer.status == 201, answer.message
    assert answer.body["metadata"]["uid"] != copied["metadata"]["uid"]
    assert answer.body["status"]["conditions"][0]["message"] == "Waiting for controller"
    kubectl.wait(
        lambda found: "RefNotFound" in [one["reason"] for one in found["status"]["conditions"]],
        *("flow", "alerts-to-helpdesk", "-n", "elsewhere"),
        what="the operator to miss what the copy names",
    )
    kubectl.run("delete", "namespace", "elsewhere", "--wait=false")


def test_a_flow_with_the_longest_name_gets_its_worker(api: Api) -> None:
    """All that is named after it, down to the pod, still has a name that Kubernetes takes."""
    flow = the("Flow", "alerts-to-helpdesk")
    flow["metadata"]["name"] = "f" * 56
    assert api.create(flow, keep=True).status == 201

    def pods() -> list[Manifest]:
        found: list[Manifest] = api.plane.kubectl.get(
            "pods", "-n", api.namespace, "-l", f"intops.io/flow={'f' * 56}"
        )["items"]
        return found

    (pod,) = until(pods, "the pod of the Flow")

    assert len(pod["metadata"]["name"]) <= 63
    api.plane.kubectl.run("delete", "flow", "f" * 56, "-n", api.namespace)


def test_the_operator_stands_after_all_of_this(cluster: tuple[Api, OperatorProcess]) -> None:
    """It still runs and leads, and no object made it fail."""
    _, replica = cluster

    assert replica.process.poll() is None
    assert replica.leads()
    # kopf reports each watch of an API server that is not ready for it.
    ours = [event for event in replica.events() if not event["part"].startswith("kopf")]
    assert [event for event in ours if event["level"] == "error"] == []
