"""What all children of one Flow share: the facts they are built from, names, labels, the owner.

Every builder of this folder starts here.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from intops_api import names
from intops_api.flow import Runtime
from intops_api.plan import FlowPlan

Manifest = dict[str, Any]

PLANS_DIR: Final = "/etc/intops/plans"
SECRETS_DIR: Final = "/etc/intops/secrets"
DATA_DIR: Final = "/var/lib/intops"
USER_ID: Final = 65532  # the image's own user; no user of a node has this id

LONGEST_FLOW_NAME: Final = 63 - len("intops-")  # a Service's name is one DNS label, RFC 1035
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What the operator's own settings say about every worker."""

    image: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    priority_class: str | None = None
    allow_ranges: tuple[str, ...] = ()
    deny_ranges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Worker:
    """One Flow's worker: all that its children are built from."""

    namespace: str
    flow: str
    uid: str
    plan: FlowPlan
    plan_data: bytes
    runtime: Runtime
    settings: WorkerSettings

    @property
    def name(self) -> str:
        """Name of every child."""
        return child_name(self.flow)

    @property
    def is_embedded(self) -> bool:
        """Whether messages are kept in the worker's own volume."""
        return self.plan.store.postgres is None

    @property
    def secrets(self) -> list[str]:
        """Secrets that are mounted, sorted, so that their order never restarts a worker."""
        found = {b.secret_dir or b.secret_name for b in self.plan.bindings}
        found |= {b.ca_dir for b in self.plan.bindings}
        if self.plan.store.postgres is not None:
            found.add(self.plan.store.postgres.secret_name)
        return sorted(name for name in found if name)


def child_name(flow: str) -> str:
    """`intops-NAME`: the name of every child of the Flow NAME."""
    return f"intops-{flow}"


def name_problem(flow: str) -> str | None:
    """Why children cannot be named after this Flow, in a sentence; None if they can."""
    if len(flow) <= LONGEST_FLOW_NAME and _LABEL.fullmatch(flow):
        return None
    return (
        f'The name "{flow}" cannot become the name of a Service, so nothing could be sent to it; '
        f"use at most {LONGEST_FLOW_NAME} lower-case letters, digits and hyphens, no dots."
    )


def selector(flow: str) -> dict[str, str]:
    """Labels by which the Flow's pods are found."""
    return {names.LABEL_NAME: "intops-worker", names.LABEL_FLOW: flow}


def labels(flow: str) -> dict[str, str]:
    """Labels of every child. Nothing is inherited from the Flow: GitOps tools track by labels."""
    return {
        **selector(flow),
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_COMPONENT: "worker",
    }


def metadata(worker: Worker, *, owned: bool = True) -> Manifest:
    """Metadata of a child. An owned one goes with its Flow."""
    meta: Manifest = {
        "name": worker.name,
        "namespace": worker.namespace,
        "labels": labels(worker.flow),
    }
    if owned:
        meta["ownerReferences"] = [
            {
                "apiVersion": names.API_VERSION,
                "kind": "Flow",
                "name": worker.flow,
                "uid": worker.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
    return meta
