"""Bring the children of one Flow to what they should be: apply, prune, tell the pods.

Called by the reconciler with a plan. What did not change is not sent; what belongs to somebody
else is not touched.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from intops_api import names
from intops_api.conditions import Reason
from intops_core.resources import Ref
from intops_operator.cache import Cache
from intops_operator.core.children import CHILD_KINDS, desired
from intops_operator.core.children.worker import Worker, child_name
from intops_operator.core.facts import Problem
from intops_operator.core.observed import digest, is_managed
from intops_operator.edges.cluster import Cluster, ClusterError, NotFound
from intops_operator.journal import Journal

journal = Journal("apply")

INVALID = 422
DEPLOYMENT = "Deployment"
KEPT = "PersistentVolumeClaim"  # may hold messages: never pruned with its Flow


@dataclass(slots=True)
class Applied:
    """What was applied for one Flow last, by kind: hash of the intent, digest of the result."""

    by_kind: dict[str, tuple[str, str]] = field(default_factory=dict)
    complete: bool = False
    """Whether everything was applied; until something of the intent changes."""

    def holds(self, flow: Ref, cache: Cache) -> bool:
        """Whether all children are as they were applied: the common case, and cheap to see."""
        if not self.complete:
            return False
        for kind, (_, result) in self.by_kind.items():
            child = cache.child(kind, flow.namespace, child_name(flow.name))
            if child is None or child.digest != result:
                return False
        return True


async def apply_children(
    worker: Worker, applied: Applied, cache: Cache, cluster: Cluster
) -> list[Problem]:
    """Apply what differs, then remove what is owned and no longer wanted.

    Returns:
        What could not be applied. The rest was applied all the same: a Service must not wait for
        a volume.

    Raises:
        ClusterError: The API server cannot be reached.
    """
    problems = []
    wanted = desired(worker)
    for manifest in wanted:
        if manifest["kind"] == DEPLOYMENT and worker.shape.held:
            await _resize(manifest, worker, cache, cluster)
            continue
        problem = await _apply(manifest, worker, applied, cache, cluster)
        if problem is not None:
            problems.append(problem)
    applied.complete = not problems
    if not problems:
        kinds = {m["kind"] for m in wanted}
        await _prune(kinds, worker, cache, cluster)
        # What is no longer wanted is not missed either.
        applied.by_kind = {k: known for k, known in applied.by_kind.items() if k in kinds}
    return problems


async def _resize(manifest: dict[str, Any], worker: Worker, cache: Cache, cluster: Cluster) -> None:
    """Change only the size of a Deployment whose pods wait for their turn to roll."""
    present = cache.child(DEPLOYMENT, worker.namespace, worker.name)
    if present is None or present.deployed is None:
        return
    noted = dict(worker.shape.notes).get(names.ANNOTATION_SCALE)
    if present.deployed.replicas == worker.replicas and present.scale_note == noted:
        return
    change = {
        "metadata": {"annotations": {names.ANNOTATION_SCALE: noted}},
        "spec": {"replicas": worker.replicas},
    }
    result = await cluster.patch(DEPLOYMENT, worker.namespace, worker.name, change)
    cache.take_answer(DEPLOYMENT, result, present)
    journal.info("workers resized", namespace=worker.namespace, name=worker.name)


async def _apply(
    manifest: dict[str, Any], worker: Worker, applied: Applied, cache: Cache, cluster: Cluster
) -> Problem | None:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    intent = _hash(manifest)
    present = cache.child(kind, worker.namespace, name)
    if present is not None and applied.by_kind.get(kind) == (intent, present.digest):
        return None
    if present is None:
        existing = await cluster.get(kind, worker.namespace, name)
        if existing is not None and not _is_ours(existing, worker):
            return _foreign(kind, name)
    elif present.flow != worker.flow:
        return _foreign(kind, name)
    try:
        result = await _send(manifest, cluster, replace_lists=present is not None)
    except ClusterError as error:
        if error.status == 0 or error.status >= 500:
            raise
        return _refused(kind, name, error)
    applied.by_kind[kind] = (intent, digest(result))
    cache.take_answer(kind, result, present)
    journal.info(
        "child applied", kind=kind, namespace=worker.namespace, name=name, plan=worker.plan.hash
    )
    return None


async def _send(
    manifest: dict[str, Any], cluster: Cluster, *, replace_lists: bool
) -> dict[str, Any]:
    """Apply a manifest, over what somebody else wrote into a list of it where that is in the way.

    Server-side apply merges lists by key. A Service's port whose number was edited by hand is an
    entry of somebody else's beside ours, both of one name, and that is refused for ever.
    """
    try:
        return await cluster.apply(manifest)
    except ClusterError as error:
        if error.status != INVALID or not replace_lists or "spec" not in manifest:
            raise
    meta = manifest["metadata"]
    change = {"spec": manifest["spec"]}  # a merge patch takes lists as they are
    await cluster.patch(manifest["kind"], meta["namespace"], meta["name"], change)
    return await cluster.apply(manifest)


def _is_ours(existing: Mapping[str, Any], worker: Worker) -> bool:
    meta = existing["metadata"]
    if is_managed(meta):
        return bool(meta["labels"][names.LABEL_FLOW] == worker.flow)
    owners = meta.get("ownerReferences") or ()
    return any(owner.get("uid") == worker.uid for owner in owners)


def _foreign(kind: str, name: str) -> Problem:
    return Problem(
        Reason.WORKER_UNAVAILABLE,
        f'{kind} "{name}" exists already and does not belong to this Flow, so it is left alone; '
        "delete or rename it, and the worker is set up by itself.",
    )


def _refused(kind: str, name: str, error: ClusterError) -> Problem:
    quota = "exceeded quota" in error.message
    return Problem(
        Reason.QUOTA_EXCEEDED if quota else Reason.WORKER_UNAVAILABLE,
        f'{kind} "{name}" was refused by the API server: {error.message}',
    )


def _hash(manifest: Mapping[str, Any]) -> str:
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


async def _prune(wanted: set[str], worker: Worker, cache: Cache, cluster: Cluster) -> None:
    for kind in CHILD_KINDS:
        if kind == KEPT:
            continue
        for child in cache.children(kind):
            mine = (child.namespace, child.flow) == (worker.namespace, worker.flow)
            if not mine or child.owner_uid != worker.uid or child.leaving:
                continue
            if kind in wanted and child.name == worker.name:
                continue
            await cluster.delete(kind, child.namespace, child.name, uid=child.uid)
            journal.info("child removed", kind=kind, namespace=child.namespace, name=child.name)


async def tell_pods(flow: Ref, plan_hash: str, cache: Cache, cluster: Cluster) -> None:
    """Annotate the pods with the plan's hash, which makes kubelet refresh the volume at once."""
    for pod in cache.pods(flow):
        if not pod.is_live or pod.plan_hash == plan_hash:
            continue
        change = {"metadata": {"annotations": {names.ANNOTATION_PLAN_HASH: plan_hash}}}
        try:
            told = await cluster.patch("Pod", pod.namespace, pod.name, change)
        except NotFound:
            continue
        cache.take_answer("Pod", told, pod)
