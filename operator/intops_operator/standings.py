"""Keep the status of everything that is not a Flow: Connector, Mapping, class, model, Pattern.

The reconciler hands over what each judged Flow tells of what it uses (`hear`), and asks for one object
(`look`). All of it is kept by Flow and as little as possible: there may be ten thousand.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from intops_api.connector import ConnectorSpec
from intops_api.connector_class import ClassLimits, ConnectorClassSpec
from intops_api.kinds import BY_NAME
from intops_core.findings import SCHEMA, Finding
from intops_core.resources import Ref, Resource
from intops_operator.cache import Cache, ref_of
from intops_operator.core.about import (
    Seen,
    about_connector,
    about_mappings,
    fold_drift,
    fold_systems,
)
from intops_operator.core.facts import FlowFacts
from intops_operator.core.judging import split_findings
from intops_operator.core.standing import Standing, standing_status
from intops_operator.core.verdict import Verdict
from intops_operator.edges.cluster import Cluster, ClusterError
from intops_operator.journal import Journal
from intops_operator.planner import Planner, told_apart
from intops_operator.statuswriter import StatusWriter
from intops_operator.workqueue import WorkQueue

journal = Journal("standings")

USED_BY: Final = {
    "Connector": "Flow",
    "Mapping": "Flow",
    "Pattern": "Flow",
    "ConnectorClass": "Connector",
    "CanonicalModel": "Mapping",
}
"""The kind whose number `kubectl get` shows."""
ALSO_USED_BY: Final = {
    "Pattern": ("Pattern",),
    "ConnectorClass": ("Mapping",),
    "CanonicalModel": ("ConnectorClass", "Pattern"),
}


@dataclass(slots=True)
class _Told:
    """What one Flow tells of what it uses."""

    violates: bool = False
    exceptions: int = 0
    systems: dict[str, Seen] = field(default_factory=dict)
    drift: Mapping[str, Verdict] | None = None
    """None without a report."""


class Standings:
    """What the leader knows of these objects; a term's own."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        writer: StatusWriter,
        planner: Planner,
        queue: WorkQueue[Ref],
        now: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._writer = writer
        self._planner = planner
        self._queue = queue
        self._now = now
        self._found: dict[Ref, tuple[Finding, ...]] = {}
        self._stale: set[Ref] = set()
        self._told: dict[Ref, _Told] = {}

    def outdate(self, ref: Ref) -> None:
        """The object, or something that it names, changed: judge it anew at the next look."""
        self._stale.add(ref)

    async def read(self, namespaces: Sequence[str]) -> None:
        """Learn the statuses as they are now, by pages: one question an object takes minutes for thousands.

        What cannot be listed is asked for when it is looked at.

        Args:
            namespaces: Where to look; everywhere if empty.
        """
        for kind in USED_BY:
            places: Sequence[str | None] = [None]
            if namespaces and BY_NAME[kind].namespaced:
                places = list(namespaces)
            for place in places:
                try:
                    async for item in self._cluster.each(kind, place):
                        meta = item["metadata"]
                        self._writer.observe(ref_of(kind, meta), meta["uid"], item.get("status"))
                except ClusterError as error:
                    journal.warning("statuses not listed", kind=kind, error=error.message)

    # --- what Flows tell --------------------------------------------------------------

    def hear(self, flow: Ref, facts: FlowFacts) -> None:
        """Take what a Flow tells, and wake what shows it, where it is news."""
        first = flow not in self._told
        before = self._told.get(flow) or _Told()
        own, _, _ = split_findings(facts)
        names = {b.connector for b in facts.plan.bindings} if facts.plan else set()
        seen = {name: about_connector(facts, name) for name in names}
        told = _Told(
            violates=any(finding.rule != SCHEMA for finding in own),
            exceptions=len(facts.spec.exceptions) if facts.spec is not None else 0,
            systems={name: one for name, one in seen.items() if one is not None},
            drift=about_mappings(facts),
        )
        self._told[flow] = told
        if first or (told.drift is None) != (before.drift is None):
            self._wake(ref for ref in self._cache.graph.uses(flow))
            return
        counted = (told.violates, told.exceptions) != (before.violates, before.exceptions)
        if counted and facts.spec is not None:
            self._wake([Ref("Pattern", "", facts.spec.pattern)])
        self._wake(_differing("Connector", flow.namespace, told.systems, before.systems))
        self._wake(_differing("Mapping", flow.namespace, told.drift or {}, before.drift or {}))

    def unheard(self, flow: Ref) -> None:
        """Nothing could be learned of a Flow; what it uses waits for it no longer."""
        if flow not in self._told:
            self._told[flow] = _Told()
            self._wake(self._cache.graph.uses(flow))

    def forget(self, flow: Ref) -> None:
        """A Flow is gone. What it used was woken by the feed."""
        self._told.pop(flow, None)

    def _wake(self, refs: Iterable[Ref]) -> None:
        for ref in refs:
            self._queue.add(ref, urgent=False)

    # --- one object -------------------------------------------------------------------

    async def look(self, ref: Ref) -> None:
        """Say what the status of one object should be.

        Raises:
            ClusterError: It must be tried again.
        """
        if ref not in self._cache:
            self._found.pop(ref, None)
            self._stale.discard(ref)
            self._writer.forget(ref)
            return
        if not self._writer.knows(ref, self._cache.uid(ref)):
            live = await self._cluster.get(ref.kind, ref.namespace or None, ref.name)
            if live is None:
                return
            self._writer.observe(ref, live["metadata"]["uid"], live.get("status"))
        findings = await self.judged(ref)
        users = self._cache.users(ref, USED_BY[ref.kind])
        generation = self._cache.generation(ref)
        is_told = self._writer.written(ref).get("observedGeneration") == generation
        if is_told and any(user.kind == "Flow" and user not in self._told for user in users):
            # A new leader has not heard of all yet; what was written before is better than a guess.
            return
        resource = self._cache.resource(ref)
        standing = Standing(
            kind=ref.kind,
            name=ref.name,
            generation=generation,
            now=self._now(),
            spec=resource.spec if resource else None,
            findings=findings,
            users=len(users),
            others={k: len(self._cache.users(ref, k)) for k in ALSO_USED_BY.get(ref.kind, ())},
            violations=sum(self._told[user].violates for user in users if user in self._told),
            exceptions=sum(self._told[user].exceptions for user in users if user in self._told),
            system=self._system(ref, users),
            drift=self._drift(ref, users),
            class_limits=self._class_limits(resource),
            previous=self._writer.previous(ref),
        )
        self._writer.want(ref, standing_status(standing))

    async def judged(self, ref: Ref) -> tuple[Finding, ...]:
        """What is wrong with an object, judged anew where it or something that it names changed."""
        if ref not in self._found or ref in self._stale:
            self._stale.discard(ref)
            resource = self._cache.resource(ref)
            found = self._cache.broken(ref)
            if resource is not None:
                resources = self._cache.snapshot(ref.namespace)
                try:
                    found = tuple(await self._planner.judge(resource, resources, new=False))
                except BaseException:
                    self._stale.add(ref)  # the next look judges it anew
                    raise
            self._found[ref] = tuple(told_apart(f, self._cache) for f in found)
        return self._found[ref]

    def _system(self, ref: Ref, users: list[Ref]) -> Seen | None:
        if ref.kind != "Connector":
            return None
        told = (self._told[user] for user in users if user in self._told)
        seen = [flow.systems[ref.name] for flow in told if ref.name in flow.systems]
        return fold_systems(seen, len(users))

    def _drift(self, ref: Ref, users: list[Ref]) -> Verdict | None:
        if ref.kind != "Mapping":
            return None
        told = (self._told[user].drift for user in users if user in self._told)
        return fold_drift(ref.name, [drift for drift in told if drift is not None], len(users))

    def _class_limits(self, resource: Resource | None) -> ClassLimits | None:
        if resource is None or not isinstance(resource.spec, ConnectorSpec):
            return None
        found = self._cache.resource(Ref("ConnectorClass", "", resource.spec.class_))
        spec = found.spec if found else None
        return spec.limits if isinstance(spec, ConnectorClassSpec) else None


def _differing(
    kind: str, namespace: str, now: Mapping[str, object], before: Mapping[str, object]
) -> list[Ref]:
    names = now.keys() | before.keys()
    return [Ref(kind, namespace, name) for name in names if now.get(name) != before.get(name)]
