"""What all children of one Flow share: the facts they are built from, names, labels, the owner.

Every builder of this folder starts here.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from intops_api import names
from intops_api.flow import EmbeddedStore, Runtime
from intops_api.plan import FlowPlan

Manifest = dict[str, Any]

PLANS_DIR: Final = "/etc/intops/plans"
SECRETS_DIR: Final = "/etc/intops/secrets"
DATA_DIR: Final = "/var/lib/intops"
USER_ID: Final = 65532  # the image's own user; no user of a node has this id

LONGEST_FLOW_NAME: Final = 63 - len("intops-")  # a Service's name is one DNS label, RFC 1035
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
POSTGRES_PORT: Final = 5432
EMBEDDED: Final = "embedded"
POSTGRES: Final = "postgres"
COMMON_LABELS: Final = {
    names.LABEL_MANAGED_BY: names.MANAGED_BY,
    names.LABEL_COMPONENT: "worker",
}
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
class Shape:
    """What the leader decides about one Deployment beside the plan: its size, and when it gets a new image."""

    replicas: int | None = None
    """None: as few as the Flow allows."""
    image: str | None = None
    """None: the operator's own."""
    notes: tuple[tuple[str, str], ...] = ()
    """Annotations of the Deployment, by name."""
    held: bool = False
    """Whether its pods are left as an older operator made them, until it is their turn."""


@dataclass(frozen=True, slots=True)
class PlanVolume:
    """How plans come into the pod: where they are mounted, and the source of the volume."""

    mount: str
    source: Manifest


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a Flow in a pool: the pool's name and a number below `names.POOL_PLACES`."""

    pool: str
    place: int


class Crew(Protocol):
    """What the children of a Flow's own worker and of a pool's are built from."""

    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def owner(self) -> Manifest | None: ...
    @property
    def selector(self) -> dict[str, str]: ...
    @property
    def labels(self) -> dict[str, str]: ...
    @property
    def is_embedded(self) -> bool: ...
    @property
    def volume(self) -> EmbeddedStore: ...
    @property
    def ports(self) -> list[int]: ...
    @property
    def secrets(self) -> list[str]: ...
    @property
    def runtime(self) -> Runtime: ...
    @property
    def plans(self) -> PlanVolume: ...
    @property
    def flags(self) -> list[str]: ...
    @property
    def settings(self) -> WorkerSettings: ...
    @property
    def replicas(self) -> int: ...
    @property
    def shape(self) -> Shape: ...


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
    slot: Slot | None = None
    """Its place, where it shares the worker of a pool."""
    shape: Shape = Shape()

    @property
    def replicas(self) -> int:
        """How many pods there should be. An embedded store has one writer: two pods would be two."""
        if self.is_embedded:
            return 1
        return self.shape.replicas or self.runtime.replicas.min

    @property
    def name(self) -> str:
        """Name of every child."""
        return child_name(self.flow)

    @property
    def owner(self) -> Manifest | None:
        """The Flow, with which its children go."""
        return {
            "apiVersion": names.API_VERSION,
            "kind": "Flow",
            "name": self.flow,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }

    @property
    def selector(self) -> dict[str, str]:
        """Labels by which the pods that work for the Flow are found."""
        return selector(self.flow) if self.slot is None else pool_selector(self.slot.pool)

    @property
    def labels(self) -> dict[str, str]:
        """Labels of every child."""
        found = labels(self.flow)
        return found if self.slot is None else {**found, names.LABEL_POOL: self.slot.pool}

    @property
    def volume(self) -> EmbeddedStore:
        """The volume that the Flow asks for, where its store is embedded."""
        return self.plan.store.embedded or EmbeddedStore()

    @property
    def plans(self) -> PlanVolume:
        """The plan's own ConfigMap. No subPath: such a mount is never refreshed."""
        source = {"configMap": {"name": self.name}}
        return PlanVolume(mount=f"{PLANS_DIR}/{self.flow}", source=source)

    @property
    def flags(self) -> list[str]:
        """Further flags of its worker."""
        return []

    @property
    def ports(self) -> list[int]:
        """Ports of all endpoints of the plan, and of the database where there is one."""
        found = set()
        for binding in self.plan.bindings:
            if binding.endpoint:
                address = urlsplit(binding.endpoint)
                found.add(address.port or DEFAULT_PORTS.get(address.scheme, 443))
        if self.plan.store.postgres is not None:
            found.add(POSTGRES_PORT)
        return sorted(found)

    @property
    def is_embedded(self) -> bool:
        """Whether messages are kept in the worker's own volume."""
        return self.plan.store.postgres is None

    @property
    def inputs(self) -> str:
        """Hash of what the Flow itself says about its pods, which is not how many there are."""
        # Only what reaches the pod, without what is not said: a field that a later edition adds restarts nobody.
        asked = self.runtime.resources.to_wire() if self.runtime.resources is not None else None
        text = json.dumps([asked, self.secrets, self.is_embedded], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

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


def pool_child_name(pool: str) -> str:
    """`intopspool-NAME`: no child of a Flow is called so, whatever the Flow's name."""
    return f"intopspool-{pool}"


def slot_name(pool: str, place: int) -> str:
    """Name of the ConfigMap at a place of a pool."""
    return f"{pool_child_name(pool)}-{place:02d}"


def place_of_slot(pool: str, name: str) -> int | None:
    """The place that a ConfigMap of this name is; None if it is none."""
    number = name.removeprefix(f"{pool_child_name(pool)}-")
    return int(number) if number != name and number.isdecimal() else None


def pool_selector(pool: str) -> dict[str, str]:
    """Labels by which the pods of a pool are found."""
    return {names.LABEL_NAME: "intops-worker", names.LABEL_POOL: pool}


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
    return {**selector(flow), **COMMON_LABELS}


def metadata(crew: Crew, *, owned: bool = True) -> Manifest:
    """Metadata of a child. An owned one goes with its Flow."""
    meta: Manifest = {
        "name": crew.name,
        "namespace": crew.namespace,
        "labels": crew.labels,
    }
    if owned and crew.owner is not None:
        meta["ownerReferences"] = [crew.owner]
    return meta
