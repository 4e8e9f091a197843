"""What is kept of watched objects: small facts, and what counts as a change of them.

The cache keeps these instead of whole objects; the reconciler and the judge read them. What many of them say
in the same words, such as the name of a namespace, they share (`intern`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any

from pydantic import ValidationError

from intops_api import names
from intops_api.flow import EmbeddedStore
from intops_api.report import LastWords
from intops_core.resources import Ref
from intops_operator.core.deployed import Deployed, deployed
from intops_operator.core.ownership import owned_hash

Manifest = Mapping[str, Any]

POOL = "Pool"
"""Kind, in a Ref, of what several Flows share a worker by. No resource: it is there while a Flow names it."""


@dataclass(frozen=True, slots=True)
class PodFact:
    """One worker pod."""

    namespace: str
    name: str
    uid: str
    flow: str
    ip: str | None
    phase: str
    started_at: str | None
    """When the worker container, or else the pod, began to run, RFC 3339; None if neither did yet."""
    leaving: bool
    """Whether it is being deleted."""
    ready: bool
    plan_hash: str | None
    trouble: str | None
    """Why it does not run, as Kubernetes tells it: `ImagePullBackOff: ...`; None if nothing is wrong."""
    ran: bool = False
    """Whether the worker container ever began to run."""
    actions_hash: str | None = None
    """Hash of the decisions that it was told of last."""
    left: int | None = None
    """Unfinished messages in its store, said at its orderly end; None while it runs or if it could not."""
    pool: str = ""
    """Pool that it works for; empty if it works for one Flow."""
    embedded: bool = False
    """Whether it keeps messages in a volume, of which it alone can say what is in it."""

    @property
    def standing(self) -> tuple[object, ...]:
        """What every Flow of a pool is told of its pods; a plan handed to one of them concerns no other."""
        return self.phase, self.ready, self.trouble, self.is_live

    @property
    def crew(self) -> Ref:
        """The Flow or the pool that it works for."""
        return crew_of(self.namespace, self.flow, self.pool)

    @property
    def is_live(self) -> bool:
        """Whether it counts as a replica."""
        return not self.leaving and self.phase in {"Pending", "Running"}

    @property
    def answers(self) -> bool:
        """Whether it can be asked for a report."""
        return self.phase == "Running" and self.ip is not None


@dataclass(frozen=True, slots=True)
class ChildFact:
    """One child other than a pod."""

    kind: str
    namespace: str
    name: str
    uid: str
    flow: str
    owner_uid: str | None
    owned: str
    """Hash of what is ours of it: of what was applied, while nobody has changed that."""
    leaving: bool = False
    trouble: str | None = None
    """Of a Deployment: why it makes no progress."""
    quota: bool = False
    """Of a Deployment: whether a quota is what stops it."""
    plan_hash: str | None = None
    """Of a ConfigMap: hash of the plan that it carries."""
    actions_hash: str | None = None
    """Of a ConfigMap: hash of the decisions that it carries; None if it carries none."""
    deployed: Deployed | None = None
    """Of a Deployment: its pods, and what the operator noted on it."""
    scale_note: str | None = None
    """Of a Deployment: the note about its size, as it stands there."""
    unbound: bool = False
    """Of a PersistentVolumeClaim: whether it never had a volume, so that nothing can be in it."""
    pool: str = ""
    """Pool that it belongs to; of a child of a Flow the one in which that has its place."""
    needs: str | None = None
    """Of a ConfigMap in a pool: what its Flow needs of the pool's worker."""
    claim: EmbeddedStore | None = None
    """Of a PersistentVolumeClaim: the size and class that it asks for."""
    store: str = ""
    """Of a ConfigMap: the kind of store that its plan names; empty where an older operator wrote it."""
    version: str = field(default="", compare=False)
    """Of a PersistentVolumeClaim: its resourceVersion, so that only what was seen is deleted."""

    @property
    def running(self) -> tuple[object, ...]:
        """Of a Deployment: what every Flow of a pool is told of it."""
        return self.trouble, self.quota, self.deployed is None or self.deployed.current

    @property
    def concerns(self) -> set[Ref]:
        """Who has to be looked at when it changes."""
        found = {Ref("Flow", self.namespace, self.flow)} if self.flow else set()
        return found | ({Ref(POOL, self.namespace, self.pool)} if self.pool else set())


def crew_of(namespace: str, flow: str, pool: str) -> Ref:
    """What a worker works for: one Flow, or a pool of several."""
    return Ref("Flow", namespace, flow) if flow else Ref(POOL, namespace, pool)


WAITING_IS_TROUBLE = {
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
}


def pod_fact(body: Manifest) -> PodFact:
    """The facts of one pod."""
    meta, status = body["metadata"], body.get("status") or {}
    containers = status.get("containerStatuses") or []
    state = (containers[0].get("state") or {}) if containers else {}
    before = (containers[0].get("lastState") or {}) if containers else {}
    ended = state.get("terminated") or (not state.get("running") and before.get("terminated")) or {}
    labels = meta.get("labels") or {}
    flow, pool = (intern(labels.get(name, "")) for name in (names.LABEL_FLOW, names.LABEL_POOL))
    conditions = {c["type"]: c for c in status.get("conditions") or []}
    return PodFact(
        namespace=intern(meta["namespace"]),
        name=meta["name"],
        uid=meta.get("uid", ""),
        flow=flow,
        ip=status.get("podIP") or None,
        phase=status.get("phase", "Pending"),
        started_at=(state.get("running") or ended).get("startedAt") or status.get("startTime"),
        leaving=bool(meta.get("deletionTimestamp")),
        ready=conditions.get("Ready", {}).get("status") == "True",
        plan_hash=(meta.get("annotations") or {}).get(names.ANNOTATION_PLAN_HASH),
        trouble=_pod_trouble(state, conditions),
        ran=bool(state.get("running") or ended),
        actions_hash=(meta.get("annotations") or {}).get(names.ANNOTATION_ACTIONS),
        left=_left(ended.get("message"), f"{meta['namespace']}/{flow}" if flow else None),
        pool="" if flow else pool,
        embedded=_mounts_claim(body.get("spec") or {}),
    )


def _mounts_claim(spec: Manifest) -> bool:
    return any(volume.get("persistentVolumeClaim") for volume in spec.get("volumes") or ())


def _left(words: str | None, flow: str | None) -> int | None:
    """What a worker's last words say about a Flow, or about all; nothing that cannot be read says anything."""
    try:
        said = LastWords.model_validate_json(words or "")
    except ValidationError:
        return None
    return said.left.get(flow) if flow is not None else said.total


def _pod_trouble(state: Manifest, conditions: Mapping[str, Manifest]) -> str | None:
    waiting = state.get("waiting") or {}
    if waiting.get("reason") in WAITING_IS_TROUBLE:
        return _brief(waiting["reason"], waiting.get("message"))
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return _brief("Unschedulable", scheduled.get("message"))
    return None


def _brief(reason: str, message: str | None) -> str:
    text = f"{reason}: {message}" if message else reason
    return text if len(text) <= 400 else text[:397] + "..."


def child_fact(kind: str, body: Manifest, before: ChildFact | None = None) -> ChildFact:
    """The facts of one child; `before` is what was known of it."""
    meta = body["metadata"]
    owners = [o for o in meta.get("ownerReferences") or [] if o.get("controller")]
    trouble, quota = _deployment_trouble(body) if kind == "Deployment" else (None, False)
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    return ChildFact(
        kind=kind,
        namespace=intern(meta["namespace"]),
        name=meta["name"],
        uid=meta.get("uid", ""),
        flow=intern(labels.get(names.LABEL_FLOW, "")),
        owner_uid=intern(owners[0].get("uid", "")) if owners else None,
        owned=owned_hash(body),
        leaving=bool(meta.get("deletionTimestamp")),
        trouble=trouble,
        quota=quota,
        plan_hash=annotations.get(names.ANNOTATION_PLAN_HASH),
        actions_hash=annotations.get(names.ANNOTATION_ACTIONS),
        pool=intern(labels.get(names.LABEL_POOL, "")),
        needs=annotations.get(names.ANNOTATION_NEEDS),
        claim=_claim(body.get("spec") or {}) if kind == "PersistentVolumeClaim" else None,
        store=intern(labels.get(names.LABEL_STORE, "")),
        deployed=_deployed(body, before) if kind == "Deployment" else None,
        scale_note=annotations.get(names.ANNOTATION_SCALE),
        unbound=kind == "PersistentVolumeClaim"
        and (body.get("status") or {}).get("phase") == "Pending"
        and not (body.get("spec") or {}).get("volumeName"),
        version=meta.get("resourceVersion", "") if kind == "PersistentVolumeClaim" else "",
    )


def _deployed(body: Manifest, before: ChildFact | None) -> Deployed:
    same = before is not None and before.uid == body["metadata"].get("uid", "")
    return deployed(body, before.deployed if before is not None and same else None)


def _claim(spec: Manifest) -> EmbeddedStore:
    """What a claim asks for; `model_construct`, as its class may be called what we would not call it."""
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    return EmbeddedStore.model_construct(
        size=str(asked or EmbeddedStore().size), storage_class=spec.get("storageClassName")
    )


def _deployment_trouble(body: Manifest) -> tuple[str | None, bool]:
    conditions = {c["type"]: c for c in (body.get("status") or {}).get("conditions") or []}
    failure = conditions.get("ReplicaFailure", {})
    if failure.get("status") == "True":
        message = failure.get("message") or ""
        return _brief(failure.get("reason", "FailedCreate"), message), "exceeded quota" in message
    progress = conditions.get("Progressing", {})
    if progress.get("status") == "False":
        return _brief(progress.get("reason", "NotProgressing"), progress.get("message")), False
    return None, False


def is_managed(meta: Mapping[str, Any]) -> bool:
    """Whether an object's labels say that it is a child of a Flow or of a pool."""
    found = meta.get("labels") or {}
    belongs = names.LABEL_FLOW in found or names.LABEL_POOL in found
    return found.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY and belongs


def trimmed(body: Manifest) -> dict[str, Any]:
    """A resource of our group without status and bookkeeping: what is judged and planned from."""
    meta = body.get("metadata") or {}
    kept_meta: dict[str, Any] = {
        key: meta[key]
        for key in ("name", "namespace", "uid", "generation", "labels", "deletionTimestamp")
        if meta.get(key)
    }
    annotations = {
        key: value
        for key, value in (meta.get("annotations") or {}).items()
        if key.startswith(f"{names.GROUP}/")
    }
    if annotations:
        kept_meta["annotations"] = annotations
    kept = {
        "apiVersion": body.get("apiVersion", names.API_VERSION),
        "kind": body["kind"],
        "metadata": kept_meta,
        "spec": body.get("spec") or {},
    }
    if body["kind"] == "FlowAction":
        # Whether it was answered before this leader came, and which of two was made first.
        kept_meta["creationTimestamp"] = meta.get("creationTimestamp")
        kept["status"] = body.get("status") or {}
    return kept
