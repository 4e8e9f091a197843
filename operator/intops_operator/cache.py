"""What the feed has seen: resources of our group, their references, children and pods.

Every replica keeps one. `take` says which objects an event concerns, and nothing for events that
change nothing we read, such as our own status writes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any

from intops_api.kinds import BY_NAME
from intops_core.findings import Finding
from intops_core.graph import ReferenceGraph
from intops_core.resources import Ref, Resource, Resources, parse_resource
from intops_operator import metrics
from intops_operator.core.children.worker import child_name
from intops_operator.core.observed import (
    POOL,
    ChildFact,
    PodFact,
    child_fact,
    crew_of,
    is_managed,
    pod_fact,
    trimmed,
)

Place = tuple[str, str]
"""Namespace and name."""


@dataclass(slots=True)
class Concerned:
    """What one event concerns."""

    plans: set[Ref] = field(default_factory=set)
    """Objects to judge anew: their specs, or specs that they use, changed."""
    looks: set[Ref] = field(default_factory=set)
    """Objects to look at again: children, pods or the number of users changed."""


REMEMBERED_GONE = 1000
"""Uids of deleted objects that are remembered: many more than can go while a request is under way."""


class Cache:
    """Everything the operator knows about the cluster without asking it."""

    def __init__(self) -> None:
        self.resources = Resources()
        self.graph = ReferenceGraph()
        self.version = 0
        self._marks: dict[Ref, tuple[object, ...]] = {}
        self._broken: dict[Ref, tuple[Finding, ...]] = {}
        self._uids: dict[Ref, str] = {}
        self._generations: dict[Ref, int] = {}
        self._children: dict[str, dict[Place, ChildFact]] = defaultdict(dict)
        self._pods: dict[Place, PodFact] = {}
        self._parted: dict[Ref, PodFact] = {}
        self._pods_of: defaultdict[Ref, set[Place]] = defaultdict(set)
        self._slots: defaultdict[Ref, set[Place]] = defaultdict(set)
        self._snapshots: dict[str, tuple[int, Resources]] = {}
        self._gone: dict[str, None] = {}
        self._doomed: dict[str, None] = {}
        self._numbers: Counter[str] = Counter()
        self._volumes: dict[Ref, int] = {}

    # --- what came in -----------------------------------------------------------------

    def take(self, kind: str, body: Mapping[str, Any], *, deleted: bool = False) -> Concerned:
        """Take one object as it is now, or note that it is gone."""
        metrics.FEED_EVENTS.labels(kind).inc()
        metrics.FEED_LAST.labels(kind).set_to_current_time()
        if deleted:
            self._bury(str(body["metadata"].get("uid", "")))
        if kind in BY_NAME:
            concerned = self._take_resource(kind, body, deleted)
        elif kind == "Pod":
            concerned = self._take_pod(body, deleted)
        else:
            concerned = self._take_child(kind, body, deleted)
        metrics.CACHED.labels(kind).set(self._count(kind))
        return concerned

    def _count(self, kind: str) -> int:
        """How many objects of a kind are cached; asked at every event, so nothing is gone through."""
        if kind in BY_NAME:
            return self._numbers[kind]
        return len(self._pods if kind == "Pod" else self._children[kind])

    def take_answer(
        self, kind: str, body: Mapping[str, Any], known: PodFact | ChildFact | None = None
    ) -> Concerned:
        """Take what a request of ours was answered, unless the feed has told more since it was sent.

        An answer may come after the events that followed it; nothing would ever correct what it brings then.

        Args:
            kind: Kind of the object.
            body: The answer.
            known: Of a child or a pod, what was known of it when the request was sent.

        Returns:
            What it concerns: the feed will bring the same once more, and then it is no news.
        """
        meta = body["metadata"]
        if meta.get("uid") in self._gone:
            return Concerned()
        if kind in BY_NAME:
            ref = ref_of(kind, meta)
            same = self._uids.get(ref) == meta.get("uid")
            outdated = same and self.generation(ref) > int(meta.get("generation") or 0)
        else:
            facts = self._pods if kind == "Pod" else self._children[kind]
            outdated = facts.get(place_of(meta)) is not known
        return Concerned() if outdated else self.take(kind, body)

    def _bury(self, uid: str) -> None:
        self._doomed.pop(uid, None)
        self._gone[uid] = None
        if len(self._gone) > REMEMBERED_GONE:
            del self._gone[next(iter(self._gone))]

    def doom(self, child: ChildFact) -> None:
        """A child was deleted, which the feed has yet to tell."""
        self._doomed[child.uid] = None
        if len(self._doomed) > REMEMBERED_GONE:
            del self._doomed[next(iter(self._doomed))]

    def leaves(self, child: ChildFact) -> bool:
        """Whether a child is on its way out."""
        return child.leaving or child.uid in self._doomed

    def _take_resource(self, kind: str, body: Mapping[str, Any], deleted: bool) -> Concerned:
        raw = trimmed({**body, "kind": kind})
        meta = raw["metadata"]
        ref = ref_of(kind, meta)
        self._note_volume(ref, body.get("status") or {}, deleted)
        mark = (
            meta.get("uid"),
            meta.get("generation"),
            bool(meta.get("deletionTimestamp")),
            tuple(sorted((meta.get("annotations") or {}).items())),
        )
        if deleted:
            if ref not in self._marks or self._uids.get(ref) != meta.get("uid", ""):
                return Concerned()
        elif self._marks.get(ref) == mark:
            return Concerned()
        self.version += 1
        before = self.graph.uses(ref)
        self._forget(ref)
        if not deleted:
            self._marks[ref] = mark
            self._uids[ref] = str(meta.get("uid", ""))
            self._numbers[ref.kind] += 1
            self._generations[ref] = int(meta.get("generation") or 0)
            self._remember(ref, raw)
        plans = {ref} | self.graph.dependants(ref) | self.graph.users(ref)
        return Concerned(plans=plans, looks=set(before | self.graph.uses(ref)))

    def _note_volume(self, ref: Ref, status: Mapping[str, Any], deleted: bool) -> None:
        """Keep how much a Flow delivers, which only a leader hears from workers; others read it here."""
        volume = status.get("deliveredPerHour")
        if ref.kind == "Flow" and not deleted and isinstance(volume, int):
            self._volumes[ref] = volume
        else:
            self._volumes.pop(ref, None)

    def _remember(self, ref: Ref, raw: dict[str, Any]) -> None:
        parsed = parse_resource(raw)
        if isinstance(parsed, list):
            self._broken[ref] = tuple(parsed)
            return
        # Cluster-scoped kinds are few, and every plan reads them.
        self.resources.add(parsed, packed=BY_NAME[ref.kind].namespaced)
        self.graph.put(parsed)

    def _forget(self, ref: Ref) -> None:
        self._marks.pop(ref, None)
        if self._uids.pop(ref, None) is not None:
            self._numbers[ref.kind] -= 1
        self._generations.pop(ref, None)
        self._broken.pop(ref, None)
        self.resources.remove(ref)
        self.graph.remove(ref)

    def _take_child(self, kind: str, body: Mapping[str, Any], deleted: bool) -> Concerned:
        place = place_of(body["metadata"])
        before = self._children[kind].get(place)
        if deleted or not is_managed(body["metadata"]):
            self._children[kind].pop(place, None)
            fact = None
        else:
            fact = child_fact(kind, body, before)
            self._children[kind][place] = fact
        if kind == "ConfigMap":
            self._index(place, before, fact)
        if fact == before:
            return Concerned()
        looks = {ref for one in (before, fact) if one for ref in one.concerns}
        if kind == "Deployment" and (before and before.running) != (fact and fact.running):
            looks |= {flow for crew in looks for flow in self._flows_of(crew)}
        return Concerned(looks=looks)

    def _index(self, place: Place, before: ChildFact | None, now: ChildFact | None) -> None:
        """Keep the places in pools by pool and by Flow."""
        for ref in before.concerns if before is not None and before.pool else ():
            self._slots[ref].discard(place)
        for ref in now.concerns if now is not None and now.pool else ():
            self._slots[ref].add(place)

    def _take_pod(self, body: Mapping[str, Any], deleted: bool) -> Concerned:
        fact = pod_fact(body)
        place = (fact.namespace, fact.name)
        before = self._pods.get(place)
        if deleted or not is_managed(body["metadata"]):
            if before is None:
                return Concerned()
            self._pods.pop(place)
            # A ghost brings no status: then it counts as it was seen last.
            last = fact if fact.ran else before
            if last.ran:
                self._parted[before.crew] = _later(self._parted.get(before.crew), last)
            self._pods_of[before.crew].discard(place)
            return Concerned(looks={before.crew, *self.served_by(before)})
        self._pods[place] = fact
        self._pods_of[fact.crew].add(place)
        if fact == before:
            return Concerned()
        changed = before is None or before.standing != fact.standing
        return Concerned(looks={fact.crew, *(self.served_by(fact) if changed else ())})

    # --- what is asked ----------------------------------------------------------------

    def __contains__(self, ref: Ref) -> bool:
        return ref in self._marks

    def resource(self, ref: Ref) -> Resource | None:
        """A readable resource."""
        return self.resources.get(ref.kind, ref.namespace, ref.name)

    def broken(self, ref: Ref) -> tuple[Finding, ...]:
        """Why a resource that exists cannot be read; empty if it can or does not exist."""
        return self._broken.get(ref, ())

    def uid(self, ref: Ref) -> str:
        """The uid of a resource, or empty."""
        return self._uids.get(ref, "")

    def generation(self, ref: Ref) -> int:
        """The generation of a resource, readable or not."""
        return self._generations.get(ref, 0)

    def volume(self, flow: Ref) -> int | None:
        """Messages that a Flow delivered in the last hour, as its status says; None if it does not say."""
        return self._volumes.get(flow)

    def refs(self) -> list[Ref]:
        """Every resource of our group, readable or not."""
        return list(self._marks)

    def users(self, ref: Ref, kind: str) -> list[Ref]:
        """Resources of one kind that name `ref` directly."""
        return sorted(
            (user for user in self.graph.users(ref) if user.kind == kind),
            key=lambda user: (user.namespace, user.name),
        )

    def child(self, kind: str, namespace: str, name: str) -> ChildFact | None:
        """One labelled child."""
        return self._children[kind].get((namespace, name))

    def children(self, kind: str) -> Iterator[ChildFact]:
        """All labelled children of one kind."""
        return iter(list(self._children[kind].values()))

    def pods(self, crew: Ref) -> tuple[PodFact, ...]:
        """Pods of one Flow's own worker, or of a pool."""
        return tuple(self._pods[place] for place in sorted(self._pods_of.get(crew, ())))

    def last_pod(self, crew: Ref) -> PodFact | None:
        """The pod of a Flow or a pool that began to run last, also if it is gone; None if none is known."""
        parted = self._parted.get(crew)
        ran = [pod for pod in self.pods(crew) if pod.ran] + ([parted] if parted else [])
        return max(ran, key=lambda pod: pod.started_at or "", default=None)

    def forget_pods(self, crew: Ref) -> None:
        """A Flow or a pool is gone with all that was its own."""
        self._parted.pop(crew, None)

    def slots(self, ref: Ref) -> list[ChildFact]:
        """Taken places of a pool, or the places that one Flow has in pools, by name."""
        places = sorted(self._slots.get(ref, ()))
        return [self._children["ConfigMap"][place] for place in places]

    def plan_child(self, flow: Ref) -> ChildFact | None:
        """The ConfigMap from which a Flow's worker has its plan: its own, or its place in a pool."""
        own = self.child("ConfigMap", flow.namespace, child_name(flow.name))
        if own is not None and own.flow == flow.name and not self.leaves(own):
            return own
        return next((slot for slot in self.slots(flow) if not self.leaves(slot)), None)

    def crew(self, flow: Ref) -> Ref:
        """What the worker of a Flow works for: the Flow, or the pool in which it has its place."""
        child = self.plan_child(flow)
        return crew_of(flow.namespace, "", child.pool) if child and child.pool else flow

    def served_by(self, pod: PodFact) -> list[Ref]:
        """The Flows that a pod works for."""
        return self._flows_of(pod.crew)

    def _flows_of(self, crew: Ref) -> list[Ref]:
        if crew.kind != POOL:
            return [crew]
        return [Ref("Flow", slot.namespace, slot.flow) for slot in self.slots(crew)]

    def pools(self) -> set[Ref]:
        """Every pool of which there is something."""
        children = (child for kind in self._children.values() for child in kind.values())
        return {crew_of(one.namespace, "", one.pool) for one in children if one.pool}

    def all_pods(self) -> list[PodFact]:
        """Pods of all Flows."""
        return list(self._pods.values())

    def snapshot(
        self, namespace: str, *, overlay: Resource | None = None, without: Ref | None = None
    ) -> Resources:
        """Cluster-scoped resources and those of one namespace, safe to read in another thread.

        Args:
            namespace: With an empty one everything: a class or a model concerns Flows anywhere.
            overlay: A resource that is to be taken as if it were stored.
            without: A resource that is to be taken as if it were gone.
        """
        kept = self._snapshots.get(namespace)
        asked_as_it_is = overlay is None and without is None
        if asked_as_it_is and kept is not None and kept[0] == self.version:
            return kept[1]
        copy = self.resources.part(namespace) if namespace else self.resources.copy()
        if without is not None:
            copy.remove(without)
        if overlay is not None:
            copy.add(overlay)
        if not asked_as_it_is:
            return copy
        self._snapshots = {
            name: found for name, found in self._snapshots.items() if found[0] == self.version
        }
        self._snapshots[namespace] = (self.version, copy)
        return copy

    def known(self, kind: str) -> Mapping[Place, str]:
        """Uids of all cached objects of one kind, by place."""
        if kind in BY_NAME:
            return {
                (ref.namespace, ref.name): uid
                for ref, uid in self._uids.items()
                if ref.kind == kind
            }
        if kind == "Pod":
            return {place: pod.uid for place, pod in self._pods.items()}
        return {place: child.uid for place, child in self._children[kind].items()}


def _later(known: PodFact | None, gone: PodFact) -> PodFact:
    """Which of two pods that are gone began to run last; where both began at once, the one that left without a word.

    Deletions may be heard of out of order, and only the last pod knows what is left in the volume.
    """
    if known is None:
        return gone
    before, now = known.started_at or "", gone.started_at or ""
    if before == now:
        return known if known.left is None else gone
    return known if before > now else gone


def ref_of(kind: str, meta: Mapping[str, Any]) -> Ref:
    """The Ref of an object of our group; cluster-scoped ones have an empty namespace."""
    namespace = meta.get("namespace", "") if BY_NAME[kind].namespaced else ""
    return Ref(kind, intern(namespace), meta["name"])


def place_of(meta: Mapping[str, Any]) -> Place:
    """Namespace and name of any object."""
    return intern(meta.get("namespace", "")), meta["name"]


def ghost(kind: str, place: Place, uid: str) -> dict[str, Any]:
    """The least that `take(deleted=True)` needs to know of an object that is gone."""
    return {"kind": kind, "metadata": {"namespace": place[0], "name": place[1], "uid": uid}}
