"""An API server that judges manifests as a cluster with the chart does, beside what they may name.

CRDs, the policy on FlowActions and the chart's webhook, which asks an operator process. Catalogue, first example
and the world of the wrong manifests are there. Used by tests/cluster.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from intops_api.kinds import KINDS
from intops_api.schema.policies import flow_action_policy
from support.cluster.asking import Api, api_of
from support.cluster.controlplane import ControlPlane
from support.cluster.polling import until
from support.conformance import EXAMPLE, NAMESPACE, read
from support.operators import OperatorProcess, install_kinds, namespace, operator
from support.refusals import refusals
from support.webhooks import webhook
from support.wrong import WORLD, wrong_manifests

# The actor of the FlowActions among the manifests.
USER = "alice@example.com"
CONFIGURATION = "intops-judged"

_CLUSTER_KINDS = ",".join(kind.plural for kind in KINDS if not kind.namespaced)
_ALL_KINDS = ",".join(kind.plural for kind in KINDS)


def what_is_there() -> list[dict[str, Any]]:
    """The first example, and what the wrong manifests name beside it and the catalogue."""
    return [raw for file in (*sorted(EXAMPLE.glob("*.yaml")), WORLD) for raw in read(file)]


_TAKEN = {(raw["kind"], raw["metadata"]["name"]) for raw in what_is_there()}


def as_new(raw: dict[str, Any]) -> dict[str, Any]:
    """A manifest under a name that is free: some are a spoiled copy of what is there."""
    made = copy.deepcopy(raw)
    if (raw["kind"], raw["metadata"]["name"]) in _TAKEN:
        made["metadata"]["name"] += "-again"
    return made


@contextmanager
def judged(plane: ControlPlane, folder: Path) -> Iterator[tuple[Api, OperatorProcess]]:
    """Until the block ends, objects in `NAMESPACE` and cluster-scoped ones are judged; the API of `USER`."""
    install_kinds(plane)
    kubectl = plane.kubectl
    # What other tests left would stand in our sentences as "Available".
    kubectl.run("delete", _CLUSTER_KINDS, "--all")
    kubectl.run("wait", "--for=delete", f"namespace/{NAMESPACE}", "--timeout=60s")
    kubectl.apply(namespace(NAMESPACE), *flow_action_policy())
    flags = (
        "--lease-name=judged",
        "--certificate-secret=judged",
        f"--webhook-configuration={CONFIGURATION}",
    )
    with operator(plane, folder, "judge", *flags) as replica:
        kubectl.wait(lambda _: True, "pattern/event-to-incident", what="the catalogue")
        kubectl.apply(*what_is_there())
        kubectl.apply(webhook(CONFIGURATION, replica.ports["admission"], NAMESPACE))
        api = api_of(plane, NAMESPACE, USER)
        try:
            _await_judgement(api, replica)
            yield api, replica
        finally:
            kubectl.run("delete", "validatingwebhookconfiguration", CONFIGURATION)
            kubectl.run("delete", "namespace", NAMESPACE, "--wait=false")
            kubectl.run("delete", _CLUSTER_KINDS, "--all")


def _await_judgement(api: Api, replica: OperatorProcess) -> None:
    """Wait until the operator has seen what was applied, and the API server asks it and the policy."""

    def all_seen() -> bool:
        found = api.plane.kubectl.get(_ALL_KINDS, "-n", NAMESPACE)["items"]
        conditions = [one for item in found for one in item["status"]["conditions"]]
        return all(one["message"] != "Waiting for controller" for one in conditions)

    until(all_seen, "a status of everything", every_s=0.3, explain=replica.tail)
    by_name = {wrong.name: as_new(wrong.manifest) for wrong in wrong_manifests()}

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
