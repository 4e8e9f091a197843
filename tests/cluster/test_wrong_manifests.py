"""A real API server with a real operator refuses what `intops validate` refuses, for the same reason.

It is put together as the chart does: the CRDs, the policy on FlowActions, the webhook. Each wrong manifest of
examples/invalid and tests/golden/wrong is tried as a new object beside the objects that its folder needs, and
must be refused once, as sentences.txt says. `support.refusals` says what is compared: in our own words
everything; where the API server's schema has words of its own, the field and the kind of fault.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from intops_api.kinds import BY_NAME, KINDS
from intops_api.schema.crd import flow_action_policy
from intops_core.conformance import judge
from intops_core.resources import Resources, parse_resource
from intops_operator.admission.review import LONGEST_WARNING
from support.chart import webhook
from support.cluster.asking import Answer, Api, api_of
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.conformance import EXAMPLE, NAMESPACE, read
from support.operators import OperatorProcess, install_kinds, namespace, operator
from support.refusals import refusals
from support.wrong import WORLD, Wrong, promises, world, wrong_manifests

pytestmark = pytest.mark.cluster

CONFIGURATION = "intops-wrong-test"
# The actor of the FlowActions among the manifests.
USER = "alice@example.com"
WRONG = wrong_manifests()
PROMISES = promises()
CLUSTER_KINDS = ",".join(kind.plural for kind in KINDS if not kind.namespaced)
ALL_KINDS = ",".join(kind.plural for kind in KINDS)

each_wrong = pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)


def what_is_there() -> list[dict[str, Any]]:
    """The first example, and what the wrong manifests name beside it and the catalogue."""
    return [raw for file in (*sorted(EXAMPLE.glob("*.yaml")), WORLD) for raw in read(file)]


TAKEN = {(raw["kind"], raw["metadata"]["name"]) for raw in what_is_there()}


def as_new(raw: dict[str, Any]) -> dict[str, Any]:
    """A manifest under a name that is free: some are a spoiled copy of what is there."""
    made = copy.deepcopy(raw)
    if (raw["kind"], raw["metadata"]["name"]) in TAKEN:
        made["metadata"]["name"] += "-again"
    return made


@pytest.fixture(scope="module")
def known() -> Resources:
    """What the command line knows."""
    return world()


@pytest.fixture(scope="module")
def api(api_server: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API server that asks an operator; what the manifests name was there before it did."""
    install_kinds(api_server)
    kubectl = api_server.kubectl
    # What other tests left would stand in our sentences as "Available".
    kubectl.run("delete", CLUSTER_KINDS, "--all")
    kubectl.apply(namespace(NAMESPACE), *flow_action_policy())
    flags = (
        "--lease-name=wrong",
        "--certificate-secret=wrong-test",
        f"--webhook-configuration={CONFIGURATION}",
    )
    with operator(api_server, tmp_path_factory.mktemp("wrong"), "judge", *flags) as replica:
        kubectl.wait(lambda _: True, "pattern/event-to-incident", what="the catalogue")
        kubectl.apply(*what_is_there())
        kubectl.apply(webhook(CONFIGURATION, replica.ports["admission"], NAMESPACE))
        made = api_of(api_server, NAMESPACE, USER)
        try:
            await_judgement(made, replica)
            yield made
        finally:
            kubectl.run("delete", "validatingwebhookconfiguration", CONFIGURATION)
            kubectl.run("delete", "namespace", NAMESPACE, "--wait=false")
            kubectl.run("delete", CLUSTER_KINDS, "--all")


def await_judgement(api: Api, replica: OperatorProcess) -> None:
    """Wait until the operator has seen what was applied, and the API server asks it and the policy."""

    def all_seen() -> bool:
        found = api.plane.kubectl.get(ALL_KINDS, "-n", NAMESPACE)["items"]
        conditions = [one for item in found for one in item["status"]["conditions"]]
        return all(one["message"] != "Waiting for controller" for one in conditions)

    until(all_seen, "a status of everything", every_s=0.3, explain=replica.tail)
    by_name = {wrong.name: as_new(wrong.manifest) for wrong in WRONG}

    def refuses(speaker: str, name: str) -> bool:
        return speaker in [one.speaker for one in refusals(api.create(by_name[name]))]

    for speaker, name in (
        ("policy", "action-approved-before-it-is-made"),
        ("webhook", "flow-source-without-severity"),
    ):
        until(
            lambda told=(speaker, name): refuses(*told),  # type: ignore[misc]
            f"the {speaker} to refuse {name}",
            every_s=0.2,
            explain=replica.tail,
        )


def warnings_of(raw: dict[str, Any], known: Resources) -> list[str]:
    """What the command line warns about, as much of it as the API server passes on."""
    resource = parse_resource(copy.deepcopy(raw))
    found = [] if isinstance(resource, list) else judge(resource, known)
    return [one.message[: LONGEST_WARNING - 60] for one in found if one.severity == "warn"]


def warns_as_the_command_line(answer: Answer, raw: dict[str, Any], known: Resources) -> bool:
    """Whether what was warned about is the same, one by one."""
    expected = warnings_of(raw, known)
    return len(answer.warnings) == len(expected) and all(
        told in said for told, said in zip(expected, answer.warnings, strict=True)
    )


@each_wrong
def test_a_wrong_manifest_is_refused_as_the_command_line_does(api: Api, wrong: Wrong) -> None:
    """One fault, one refusal, and it is the one that people were promised."""
    manifest = as_new(wrong.manifest)

    answer = api.create(manifest)

    (refusal,) = refusals(answer)
    assert refusal.tells(PROMISES[wrong.name], manifest), (refusal, PROMISES[wrong.name])


@each_wrong
def test_a_twin_is_accepted_with_the_warnings_of_the_command_line(
    api: Api, known: Resources, wrong: Wrong
) -> None:
    """What the sentence says to write is enough for a cluster too."""
    twin = as_new(wrong.twin)

    answer = api.create(twin)

    assert answer.status == 201, answer.message
    assert warns_as_the_command_line(answer, twin, known), answer.warnings


def test_each_who_can_refuse_refuses_something(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    """Schema, rules, policy and webhook are all there, and none of them is asked in vain."""
    spoke = Counter(
        refusal.speaker
        for wrong in WRONG
        for refusal in refusals(api.create(as_new(wrong.manifest)))
    )
    with capsys.disabled():
        told = ", ".join(f"{count} by {speaker}" for speaker, count in sorted(spoke.items()))
        print(f"\n{len(WRONG)} wrong manifests were refused: {told}.")

    assert set(spoke) == {"schema", "rule", "policy", "webhook"}
    assert spoke.total() == len(WRONG)
    assert all(kind in {wrong.manifest["kind"] for wrong in WRONG} for kind in BY_NAME)
