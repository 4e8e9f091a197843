"""Ask which live Flows a change or a deletion would break: within a time, and beside everything else.

The admission server calls it for objects that are sound in themselves. Whatever goes wrong here lets the object
in with a warning: the last good plan protects the messages, and nobody may be kept from mending or cleaning up.
"""

import asyncio
import time
from typing import Final

from intops_core.breaking import Broken
from intops_core.findings import Ref
from intops_core.resources import Resource, Resources, parse_resource
from intops_operator.admission.review import Answer, Asked
from intops_operator.admission.telling import NOT_JUDGED, told_impact
from intops_operator.cache import Cache
from intops_operator.core.observed import trimmed
from intops_operator.journal import Journal
from intops_operator.planner import Planner

journal = Journal("admission")

# Of the time that is left: the rest is for the Flow that is being judged when it is over.
_SHARE: Final = 0.8


class Impacts:
    """Judges what changes do to Flows. Its planner is its own: a model concerns every Flow there is."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._planner = Planner("impact")

    def close(self) -> None:
        """Start nothing more."""
        self._planner.close()

    async def answer(self, asked: Asked, deadline: float) -> Answer:
        """Whether the object may change, as far as Flows are concerned; `deadline` is monotonic seconds."""
        planner = self._planner
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                broken = await self._broken(asked, deadline, planner)
        except TimeoutError:
            # The thread cannot be stopped; the next object gets a fresh one.
            if planner is self._planner:
                planner.retire()
                self._planner = Planner("impact")
            return Answer(allowed=True, warnings=(NOT_JUDGED,))
        except Exception as error:  # a defect here must not stop what is sound in itself
            journal.failure("impact not judged", error, kind=asked.kind)
            return Answer(allowed=True, warnings=(NOT_JUDGED,))
        if broken is None:
            return Answer(allowed=True)
        return told_impact(asked, broken, self._cache.volume)

    async def _broken(self, asked: Asked, deadline: float, planner: Planner) -> Broken | None:
        """None where no Flow uses the object."""
        old, new = _resource(asked.kind, asked.before), _resource(asked.kind, asked.object)
        known = new or old
        if known is None:
            return None
        ref = known.ref
        users = self._cache.graph.dependants(ref)
        if ref.kind == "Flow" and old is not None and new is not None:
            users.add(ref)
        if not users:
            return None
        before = self._side(ref, old, asked.operation)
        after = self._cache.snapshot(ref.namespace, overlay=new, without=ref)
        now = time.monotonic()
        until = now + (deadline - now) * _SHARE
        return await planner.broken(ref, users, before, after, until=until)

    def _side(self, ref: Ref, old: Resource | None, operation: str) -> Resources:
        """As it stands by the API server's own word; the cache may be a moment behind."""
        if old is None and operation != "CREATE":
            return self._cache.snapshot(ref.namespace)
        return self._cache.snapshot(ref.namespace, overlay=old, without=ref)


def _resource(kind: str, raw: dict[str, object]) -> Resource | None:
    if not raw:
        return None
    parsed = parse_resource(trimmed({**raw, "kind": kind}))
    return parsed if isinstance(parsed, Resource) else None
