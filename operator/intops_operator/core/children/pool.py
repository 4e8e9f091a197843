"""The worker that Flows of one pool share: what each of them needs of it, and what it is made of.

A Flow's needs stand on its plan's ConfigMap, so that the pool is built from what is in the cluster:
the same after a change of leader, and also while one of its Flows cannot be planned.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, Final

from intops_api import names
from intops_api.flow import EmbeddedStore, Resources, Runtime
from intops_operator.core.children.deployment import worker_deployment
from intops_operator.core.children.networkpolicy import network_policy
from intops_operator.core.children.persistentvolumeclaim import store_claim
from intops_operator.core.children.serviceaccount import service_account
from intops_operator.core.children.worker import (
    COMMON_LABELS,
    PLANS_DIR,
    Manifest,
    PlanVolume,
    Shape,
    Worker,
    WorkerSettings,
    pool_child_name,
    pool_selector,
    slot_name,
)

REQUESTS: Final = {"cpu": "100m", "memory": "192Mi"}
LIMITS: Final = {"memory": "1Gi"}
REMOVE_EMPTY_AFTER_S: Final = 600
"""A Flow that comes back within this time, such as one whose plan was deleted by hand, finds its store."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What one Flow needs of its pool's worker."""

    ports: tuple[int, ...] = ()
    secrets: tuple[str, ...] = ()
    requests: tuple[tuple[str, str], ...] = ()
    limits: tuple[tuple[str, str], ...] = ()
    size: str = EmbeddedStore().size
    storage_class: str | None = None


def needs_of(worker: Worker) -> Needs:
    """What a planned Flow needs."""
    asked = worker.runtime.resources or Resources()
    return Needs(
        ports=tuple(worker.ports),
        secrets=tuple(worker.secrets),
        requests=tuple(sorted(asked.requests.items())),
        limits=tuple(sorted(asked.limits.items())),
        size=worker.volume.size,
        storage_class=worker.volume.storage_class,
    )


def needs_text(needs: Needs) -> str:
    """Needs as they are kept in an annotation."""
    return json.dumps(asdict(needs), sort_keys=True, separators=(",", ":"))


def read_needs(text: str | None) -> Needs:
    """Needs from an annotation; what cannot be read, since somebody edited it, needs nothing until repaired."""
    try:
        raw: dict[str, Any] = json.loads(text or "{}")
        return Needs(
            ports=tuple(int(port) for port in raw.get("ports", ())),
            secrets=tuple(str(name) for name in raw.get("secrets", ())),
            requests=tuple((str(name), str(value)) for name, value in raw.get("requests", ())),
            limits=tuple((str(name), str(value)) for name, value in raw.get("limits", ())),
            size=str(raw.get("size") or EmbeddedStore().size),
            storage_class=raw.get("storage_class"),
        )
    except (ValueError, TypeError, AttributeError):
        return Needs()


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool's worker: all that its children are built from. See `Crew` in `worker`."""

    namespace: str
    pool: str
    needs: tuple[Needs, ...]
    """Of each Flow in it, in the order of their places."""
    settings: WorkerSettings
    claim: EmbeddedStore | None = None
    """The volume claim as it is, where there is one: it may grow and never changes otherwise."""
    shape: Shape = field(default_factory=Shape)

    @property
    def name(self) -> str:
        """Name of every child of the pool itself."""
        return pool_child_name(self.pool)

    @property
    def owner(self) -> Manifest | None:
        """Nobody: a pool ends with its last Flow, not with one of them."""
        return None

    @property
    def selector(self) -> dict[str, str]:
        """Labels by which its pods are found."""
        return pool_selector(self.pool)

    @property
    def labels(self) -> dict[str, str]:
        """Labels of every child."""
        return {**self.selector, **COMMON_LABELS}

    @property
    def replicas(self) -> int:
        """One: a volume has one writer."""
        return 1

    @property
    def inputs(self) -> str:
        """Hash of what its Flows say about its pods."""
        asked = self.runtime.resources.to_wire() if self.runtime.resources is not None else None
        text = json.dumps([asked, self.secrets], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def is_embedded(self) -> bool:
        """Always: the stores of a pool are files of its volume."""
        return True

    @property
    def volume(self) -> EmbeddedStore:
        """The largest that one of its Flows asks for, and never smaller than it is."""
        sizes = [needs.size for needs in self.needs]
        if self.claim is not None:
            size = max([*sizes, self.claim.size], key=amount)
            # A claim that somebody enlarged may have a size that no Flow may write.
            return EmbeddedStore.model_construct(size=size, storage_class=self.claim.storage_class)
        classes = (needs.storage_class for needs in self.needs if needs.storage_class is not None)
        return EmbeddedStore(
            size=max(sizes, key=amount, default=EmbeddedStore().size),
            storage_class=next(classes, None),
        )

    @property
    def ports(self) -> list[int]:
        """Ports that its Flows call."""
        return sorted({port for needs in self.needs for port in needs.ports})

    @property
    def secrets(self) -> list[str]:
        """Secrets that its Flows use."""
        return sorted({name for needs in self.needs for name in needs.secrets})

    @property
    def runtime(self) -> Runtime:
        """One replica, and of each resource the most that one of its Flows asks for."""
        requests = _largest([REQUESTS.items(), *(needs.requests for needs in self.needs)])
        limits = _largest([LIMITS.items(), *(needs.limits for needs in self.needs)])
        # A limit that only some of them state would hold all of them down.
        stated = [dict(needs.limits).keys() for needs in self.needs]
        limits = {
            name: value
            for name, value in limits.items()
            if name in LIMITS or all(name in one for one in stated)
        }
        # The API server refuses a limit below what is requested, and with it the worker of all.
        for name in limits.keys() & requests.keys():
            limits[name] = max(limits[name], requests[name], key=amount)
        return Runtime(resources=Resources(requests=requests, limits=limits))

    @property
    def plans(self) -> PlanVolume:
        """A place for every Flow that may come, so that one that comes restarts nobody."""
        places = [slot_name(self.pool, place) for place in range(names.POOL_PLACES)]
        sources = [
            {"configMap": {"name": name, "optional": True, "items": _items(place)}}
            for place, name in enumerate(places)
        ]
        return PlanVolume(mount=PLANS_DIR, source={"projected": {"sources": sources}})

    @property
    def flags(self) -> list[str]:
        """Further flags of its worker."""
        return [f"--remove-empty-after={REMOVE_EMPTY_AFTER_S}"]


def _items(place: int) -> list[Manifest]:
    return [
        {"key": key, "path": f"{place:02d}/{key}"} for key in (names.PLAN_KEY, names.ACTIONS_KEY)
    ]


def desired_pool(pool: Pool) -> list[Manifest]:
    """Every child that should exist, in the order in which they are applied."""
    return [
        service_account(pool),
        store_claim(pool),
        network_policy(pool),
        worker_deployment(pool),
    ]


_UNITS: Final = {
    "m": Decimal("0.001"), "": Decimal(1), "k": Decimal(10**3), "M": Decimal(10**6),
    "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15), "Ki": Decimal(2**10), "Mi": Decimal(2**20),
    "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50),
}  # fmt: skip


def amount(quantity: str) -> Decimal:
    """A Kubernetes quantity as a number; 0 where it is none that a worker is given."""
    digits = quantity.rstrip("mkKMGTPi")
    try:
        return Decimal(digits) * _UNITS[quantity[len(digits) :]]
    except (ArithmeticError, KeyError):
        return Decimal(0)


def _largest(asked: Iterable[Iterable[tuple[str, str]]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in asked:
        for name, value in each:
            found[name] = max(found.get(name, value), value, key=amount)
    return found
