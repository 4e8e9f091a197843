"""Bring the children of one Flow or pool to what they should be: apply, prune, tell the pods.

Called by the reconciler with a plan. What is as it should be is not sent, by whichever leader it was applied;
what belongs to somebody else is not touched.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from intops_api import names
from intops_api.conditions import Reason
from intops_core.resources import Ref
from intops_operator.cache import Cache
from intops_operator.core.children import CHILD_KINDS, desired
from intops_operator.core.children.worker import Crew, Worker
from intops_operator.core.facts import Problem
from intops_operator.core.observed import ChildFact, is_managed
from intops_operator.core.ownership import applied_hash, owned_hash
from intops_operator.edges.cluster import Cluster, ClusterError, NotFound
from intops_operator.journal import Journal

journal = Journal("apply")

INVALID = 422
NO_ADDRESS = "failed to allocate a serviceIP"
"""The API server's words for a cluster without a free address for a Service; its status, 500, tells of itself."""
DEPLOYMENT = "Deployment"
KEPT = "PersistentVolumeClaim"  # may hold messages: never pruned with its Flow


@dataclass(slots=True)
class Applied:
    """What was applied for one Flow or pool last."""

    by_kind: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Hash of what was sent, and of what was ours of the result: the API server may write a value otherwise."""
    names: dict[str, str] = field(default_factory=dict)
    """What it is called, by kind."""
    complete: bool = False
    """Whether everything was applied; until something of the intent changes."""

    def holds(self, ref: Ref, cache: Cache) -> bool:
        """Whether all children are as they were applied: the common case, and cheap to see."""
        if not self.complete:
            return False
        for kind, (_, result) in self.by_kind.items():
            child = cache.child(kind, ref.namespace, self.names[kind])
            if child is None or child.owned != result:
                return False
        return True


@dataclass(frozen=True, slots=True)
class Whose:
    """Who children belong to: a Flow, by name and uid, or a pool."""

    namespace: str
    flow: str = ""
    uid: str = ""
    pool: str = ""

    def has(self, child: ChildFact) -> bool:
        """Whether a labelled child is this one's."""
        if self.flow:
            return child.flow == self.flow
        return not child.flow and child.pool == self.pool

    def made(self, meta: Mapping[str, Any]) -> bool:
        """Whether an object that the cache does not know is this one's, by its metadata."""
        if is_managed(meta):
            found = meta["labels"]
            if self.flow:
                return bool(found.get(names.LABEL_FLOW) == self.flow)
            return names.LABEL_FLOW not in found and found.get(names.LABEL_POOL) == self.pool
        owners = meta.get("ownerReferences") or ()
        return bool(self.uid) and any(owner.get("uid") == self.uid for owner in owners)

    @property
    def words(self) -> str:
        """What it is, in words."""
        return "this Flow" if self.flow else f'pool "{self.pool}"'


async def apply_children(
    worker: Worker, applied: Applied, cache: Cache, cluster: Cluster
) -> list[Problem]:
    """Apply what differs, then remove what is owned and no longer wanted. See `apply_all`."""
    whose = Whose(worker.namespace, worker.flow, worker.uid)
    wanted = desired(worker)
    sent = [m for m in wanted if not (m["kind"] == DEPLOYMENT and worker.shape.held)]
    problems = await apply_all(sent, whose, applied, cache, cluster)
    # What fails from here on is done again at the next look.
    applied.complete = False
    if worker.shape.held:
        await resize(worker, cache, cluster)
    if not problems:
        await _prune(wanted, whose, cache, cluster)
        # What is no longer wanted is not missed either; what waits for its turn is compared by itself.
        kinds = {m["kind"] for m in sent}
        applied.by_kind = {k: known for k, known in applied.by_kind.items() if k in kinds}
    applied.complete = not problems
    return problems


async def apply_all(
    wanted: Iterable[dict[str, Any]], whose: Whose, applied: Applied, cache: Cache, cluster: Cluster
) -> list[Problem]:
    """Apply what differs.

    Returns:
        What could not be applied. The rest was applied all the same: a Service must not wait for
        a volume.

    Raises:
        ClusterError: The API server cannot be reached.
    """
    problems = []
    applied.complete = False  # an error on the way leaves it so: what was not sent is not there
    for manifest in wanted:
        problem = await _apply(manifest, whose, applied, cache, cluster)
        if problem is not None:
            problems.append(problem)
    applied.complete = not problems
    return problems


def is_sized(worker: Crew, cache: Cache) -> bool:
    """Whether a Deployment whose pods wait for their turn to roll has the size that it should have."""
    present = cache.child(DEPLOYMENT, worker.namespace, worker.name)
    if present is None or present.deployed is None:
        return True
    noted = dict(worker.shape.notes).get(names.ANNOTATION_SCALE)
    return present.deployed.replicas == worker.replicas and present.scale_note == noted


async def resize(worker: Crew, cache: Cache, cluster: Cluster) -> None:
    """Change only the size of a Deployment whose pods wait for their turn to roll.

    Raises:
        ClusterError, NotLeading: It must be tried again.
    """
    if is_sized(worker, cache):
        return
    present = cache.child(DEPLOYMENT, worker.namespace, worker.name)
    noted = dict(worker.shape.notes).get(names.ANNOTATION_SCALE)
    change = {
        "metadata": {"annotations": {names.ANNOTATION_SCALE: noted}},
        "spec": {"replicas": worker.replicas},
    }
    result = await cluster.patch(DEPLOYMENT, worker.namespace, worker.name, change)
    cache.take_answer(DEPLOYMENT, result, present)
    journal.info("workers resized", namespace=worker.namespace, name=worker.name)


async def _apply(
    manifest: dict[str, Any], whose: Whose, applied: Applied, cache: Cache, cluster: Cluster
) -> Problem | None:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    intent = applied_hash(manifest)
    present = cache.child(kind, whose.namespace, name)
    if present is not None and whose.has(present) and _stands(present, intent, applied):
        applied.by_kind[kind], applied.names[kind] = (intent, present.owned), name
        return None
    if present is None:
        existing = await cluster.get(kind, whose.namespace, name)
        if existing is not None and not whose.made(existing["metadata"]):
            return _foreign(kind, name, whose)
    elif not whose.has(present):
        return _foreign(kind, name, whose)
    try:
        result = await _send(manifest, cluster, replace_lists=present is not None)
    except ClusterError as error:
        if (error.status == 0 or error.status >= 500) and NO_ADDRESS not in error.message:
            raise
        if kind == KEPT and present is not None:
            # A volume that cannot grow is used as it is, so it is taken all the same.
            taken = {"metadata": {"annotations": {names.ANNOTATION_TAKEN: "true"}}}
            cache.take_answer(
                kind, await cluster.patch(kind, whose.namespace, name, taken), present
            )
        return _refused(kind, name, error)
    applied.by_kind[kind], applied.names[kind] = (intent, owned_hash(result)), name
    cache.take_answer(kind, result, present)
    plan = (manifest["metadata"].get("annotations") or {}).get(names.ANNOTATION_PLAN_HASH)
    told = {"plan": plan} if plan else {}
    journal.info("child applied", kind=kind, namespace=whose.namespace, name=name, **told)
    return None


def _stands(present: ChildFact, intent: str, applied: Applied) -> bool:
    """Whether a child is as it was sent, or as it became then."""
    return present.owned == intent or applied.by_kind.get(present.kind) == (intent, present.owned)


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


def _foreign(kind: str, name: str, whose: Whose) -> Problem:
    return Problem(
        Reason.WORKER_UNAVAILABLE,
        f'{kind} "{name}" exists already and does not belong to {whose.words}, so it is left alone; '
        "delete or rename it, and the worker is set up by itself.",
    )


def _refused(kind: str, name: str, error: ClusterError) -> Problem:
    no_room = "exceeded quota" in error.message or NO_ADDRESS in error.message
    return Problem(
        Reason.QUOTA_EXCEEDED if no_room else Reason.WORKER_UNAVAILABLE,
        f'{kind} "{name}" was refused by the API server: {error.message}',
    )


async def _prune(
    wanted: Iterable[Mapping[str, Any]], whose: Whose, cache: Cache, cluster: Cluster
) -> None:
    named = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in wanted}
    for kind in CHILD_KINDS:
        if kind == KEPT:
            continue
        for child in cache.children(kind):
            mine = (child.namespace, child.flow) == (whose.namespace, whose.flow)
            if not mine or child.owner_uid != whose.uid or cache.leaves(child):
                continue
            if (kind, child.name) not in named:
                await remove(child, cache, cluster)


async def remove(child: ChildFact, cache: Cache, cluster: Cluster) -> None:
    """Delete one child, exactly this one, and a volume only as it was seen; the feed tells when it is gone."""
    await cluster.delete(
        child.kind, child.namespace, child.name, uid=child.uid, version=child.version
    )
    cache.doom(child)
    journal.info("child removed", kind=child.kind, namespace=child.namespace, name=child.name)


async def give_up(
    claim: ChildFact, cache: Cache, cluster: Cluster, *, is_wanted: Callable[[], Awaitable[bool]]
) -> bool:
    """Delete a volume that is empty, unless somebody takes it while that is under way.

    The claim says first that it is free. Whoever takes it writes the opposite before his worker may use it, and
    stands where `is_wanted` looks even before that: a deletion that comes late finds another version.

    Returns:
        Whether it was deleted, or is gone.

    Raises:
        ClusterError, NotLeading: It must be tried again; Conflict where it is not as it was seen.
    """
    change = {
        "metadata": {
            "uid": claim.uid,
            "resourceVersion": claim.version,
            "annotations": {names.ANNOTATION_TAKEN: "false"},
        }
    }
    try:
        answer = await cluster.patch(claim.kind, claim.namespace, claim.name, change)
    except NotFound:
        return True
    cache.take_answer(claim.kind, answer, claim)
    if await is_wanted():
        return False
    free = replace(claim, version=answer["metadata"]["resourceVersion"])
    await remove(free, cache, cluster)
    return True


async def tell_pods(
    crew: Ref, annotation: str, wanted: str | None, cache: Cache, cluster: Cluster
) -> None:
    """Annotate the pods with a hash of what is new, which makes kubelet refresh the volume at once.

    Args:
        crew: The Flow whose own worker it is, or the pool.
        annotation: Which; the fact of a pod is called `plan_hash` or `actions_hash`.
        wanted: The hash; in a pool it is put together from those of all Flows.
    """
    if wanted is None:
        return
    for pod in cache.pods(crew):
        told = pod.plan_hash if annotation == names.ANNOTATION_PLAN_HASH else pod.actions_hash
        if not pod.is_live or told == wanted:
            continue
        change = {"metadata": {"annotations": {annotation: wanted}}}
        try:
            answer = await cluster.patch("Pod", pod.namespace, pod.name, change)
        except NotFound:
            continue
        cache.take_answer("Pod", answer, pod)


def together(hashes: Iterable[tuple[str, str | None]]) -> str | None:
    """One hash of several, by name; None where there is none at all."""
    found = sorted((name, each) for name, each in hashes if each is not None)
    if not found:
        return None
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]
