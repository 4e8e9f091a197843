"""How many workers each Flow has: fold the decision of `core.scaling` over its reports.

The reconciler asks at every look. What a change of leader must not lose is noted on the Deployment.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from intops_api.flow import Runtime
from intops_core.resources import Ref
from intops_operator import metrics
from intops_operator.cache import Cache
from intops_operator.core.deployed import Deployed
from intops_operator.core.facts import Heard, instant
from intops_operator.core.scaling import Load, Size, bounds_of, decide
from intops_operator.edges.cluster import Cluster
from intops_operator.edges.events import tell_event
from intops_operator.edges.reports import ReportBook
from intops_operator.journal import Journal

journal = Journal("scale")

LOOK_AGAIN_S: Final = 5.0
"""A Flow with more workers than its least is looked at this often: quiet makes no news."""


class Sizing:
    """Sizes of the Flows whose number of workers the operator decides."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        book: ReportBook,
        *,
        down_after_s: float,
        no_report_after_s: float,
        now: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._book = book
        self._down_after_s = down_after_s
        self._no_report_after_s = no_report_after_s
        self._now = now
        self._sizes: dict[Ref, Size] = {}
        self._untold: dict[Ref, tuple[int, Size]] = {}

    def size(self, flow: Ref, runtime: Runtime, found: Deployed | None) -> Size | None:
        """The size that a Flow should have now; None where its spec leaves no choice."""
        least, most = runtime.replicas.min, runtime.replicas.max
        if runtime.store.postgres is None or least >= most:
            self.forget(flow)
            return None
        before = self._sizes.get(flow)
        if before is None:
            noted = found.size if found is not None else None
            before = noted or Size(least)
        bounds = bounds_of(runtime.replicas, down_after_s=self._down_after_s)
        now = self._now()
        size = decide(before, bounds, self._load(flow, before, found, now), now)
        self._sizes[flow] = size
        if size.replicas != before.replicas:
            first, _ = self._untold.get(flow, (before.replicas, size))
            self._untold[flow] = (first, size)
        place = (flow.namespace, flow.name)
        metrics.FLOW_REPLICAS.labels(*place, "wanted").set(size.replicas)
        metrics.FLOW_REPLICAS.labels(*place, "ready").set(found.ready if found else 0)
        return size

    def look_again_s(self, flow: Ref, runtime: Runtime) -> float | None:
        """Seconds after which a Flow is to be looked at again without news; None if never."""
        size = self._sizes.get(flow)
        above = size is not None and size.replicas > runtime.replicas.min
        return LOOK_AGAIN_S if above else None

    async def tell(self, flow: Ref) -> None:
        """Tell of a change of size, after it was applied.

        Raises:
            NotLeading: Another replica leads now.
        """
        told = self._untold.pop(flow, None)
        if told is None:
            return
        before, size = told
        grown = size.replicas > before
        metrics.RESIZES.labels("up" if grown else "down").inc()
        text = f"From {before} to {size.replicas} workers: {size.why}."
        journal.info(
            "workers added" if grown else "workers removed",
            namespace=flow.namespace, flow=flow.name, before=before, now=size.replicas, why=size.why,
        )  # fmt: skip
        await tell_event(
            self._cluster, flow, self._cache.uid(flow),
            "ScaledUp" if grown else "ScaledDown", text, warning=False, now=self._now(),
        )  # fmt: skip

    def forget(self, flow: Ref) -> None:
        """The Flow is gone, or its size is not ours to decide."""
        if self._sizes.pop(flow, None) is not None:
            for state in ("wanted", "ready"):
                metrics.FLOW_REPLICAS.remove(flow.namespace, flow.name, state)
        self._untold.pop(flow, None)

    def _load(self, flow: Ref, size: Size, found: Deployed | None, now: datetime) -> Load | None:
        """What all workers say together; None unless each that should be there says it now."""
        live = [pod for pod in self._cache.pods(flow) if pod.is_live]
        if found is None or not found.settled or not len(live) == found.replicas == size.replicas:
            return None
        oldest = now - timedelta(seconds=self._no_report_after_s)
        heard = {h.pod_uid: h for h in self._book.heard(flow, live) if h.at >= oldest and h.plan}
        if any(pod.uid not in heard for pod in live):
            return None
        return load_of([heard[pod.uid] for pod in live], now)


def load_of(heard: list[Heard], now: datetime) -> Load | None:
    """The load of a shared store by its newest report; None if none of them is about one."""
    newest_first = sorted(heard, key=lambda h: h.at, reverse=True)
    shared = [(h.at, h.plan) for h in newest_first if h.plan and h.plan.store.scope == "shared"]
    if not shared:
        return None
    at, plan = shared[0]
    store = plan.store
    backlog = store.in_flight + store.pending
    since = instant(store.oldest_at)
    age_s = max(0.0, (now - since).total_seconds()) if since is not None and backlog else 0.0
    load = Load(
        at=at,
        backlog=backlog,
        oldest_s=age_s,
        arrived=store.received + store.pending,
        ended=store.received - store.in_flight,
        suspended=plan.suspended,
    )
    blocked = any(
        system.role == "target" and system.state != "ok"
        for _, said in shared
        for system in said.connectors
    )
    return replace(load, blocked=blocked or store.failed is not None)
