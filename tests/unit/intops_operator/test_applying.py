"""What was not sent does not count as applied."""

from __future__ import annotations

from typing import Any, cast

import pytest

from intops_core.resources import Ref
from intops_operator.applying import Applied, apply_children
from intops_operator.cache import Cache
from intops_operator.edges.cluster import Cluster, ClusterError
from support.operator_facts import example_worker


class Server:
    """Takes every child, until it is away."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.away_at: str | None = None

    async def get(self, *_: object) -> None:
        """Nothing is there yet."""

    async def apply(self, manifest: dict[str, Any], **_: object) -> dict[str, Any]:
        """Keep it, as the API server would."""
        if manifest["kind"] == self.away_at:
            raise ClusterError(503, "ServiceUnavailable", "away")
        self.sent.append(manifest["kind"])
        meta = {**manifest["metadata"], "uid": manifest["kind"], "resourceVersion": "1"}
        return {**manifest, "metadata": meta}

    async def replace(self, manifest: dict[str, Any], **_: object) -> dict[str, Any]:
        """As `apply`."""
        return await self.apply(manifest)


async def test_children_that_could_not_be_sent_are_sent_at_the_next_look() -> None:
    """What stood before is no proof of it: the plan in the ConfigMap would stay the old one."""
    server, cache, applied = Server(), Cache(), Applied()
    worker = example_worker()
    flow = Ref("Flow", worker.namespace, worker.flow)
    assert await apply_children(worker, applied, cache, cast(Cluster, server)) == []
    assert applied.holds(flow, cache)

    server.away_at = "ConfigMap"
    changed = example_worker(hash="another")
    with pytest.raises(ClusterError):
        await apply_children(changed, applied, cache, cast(Cluster, server))

    assert not applied.holds(flow, cache)
    server.away_at, server.sent = None, []
    assert await apply_children(changed, applied, cache, cast(Cluster, server)) == []
    assert "ConfigMap" in server.sent
    assert applied.holds(flow, cache)
