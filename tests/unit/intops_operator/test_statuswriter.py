"""A status that is wanted while another one is under way is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, cast

from intops_core.resources import Ref
from intops_operator.edges.cluster import Cluster, ClusterError
from intops_operator.statuswriter import RETRY_S, StatusWriter

FLOW = Ref("Flow", "itsm", "alerts")
NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


def status(ready: str) -> dict[str, Any]:
    """A status with one condition."""
    return {"conditions": [{"type": "Ready", "status": ready, "reason": "R", "message": ""}]}


class Server:
    """Takes statuses, each when the test lets it; an error is raised though it took effect."""

    def __init__(self) -> None:
        self.arrived: list[dict[str, Any]] = []
        self.manifests: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.told = asyncio.Event()
        self.asked = asyncio.Event()
        self.ready = asyncio.Event()
        self.answer = asyncio.Event()
        self.error: ClusterError | None = None

    async def apply_status(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Keep the status, answer when told to."""
        self.arrived.append(manifest["status"])
        self.manifests.append(manifest)
        self.asked.set()
        if manifest["status"] == status("True"):
            self.ready.set()
        await self.answer.wait()
        if self.error is not None:
            raise self.error
        return manifest

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Keep an Event."""
        self.events.append(manifest)
        self.told.set()
        return manifest


@asynccontextmanager
async def writing(server: Server) -> AsyncIterator[StatusWriter]:
    """A writer at work, whose Flow has been written as ready before."""
    writer = StatusWriter(cast(Cluster, server), rate=1000, burst=1000, counters_interval_s=60)
    writer.observe(FLOW, "uid", status("True"))
    running = asyncio.create_task(writer.run())
    yield writer
    writer.close()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_what_was_true_before_is_written_again_after_a_write_that_was_under_way() -> None:
    """Ready, not ready, ready again: the last one stands although it equals what stood before."""
    server = Server()
    async with writing(server) as writer:
        writer.want(FLOW, status("False"))
        await server.asked.wait()
        writer.want(FLOW, status("True"))
        server.answer.set()
        async with asyncio.timeout(5):
            await server.ready.wait()
    assert server.arrived == [status("False"), status("True")]


async def test_a_write_without_an_answer_may_have_taken_effect() -> None:
    """What is wanted after it is written even where it equals what was written before it."""
    server = Server()
    server.answer.set()
    server.error = ClusterError(504, "Timeout", "no answer")
    async with writing(server) as writer:
        writer.want(FLOW, status("False"))
        await server.asked.wait()
        server.error = None
        writer.want(FLOW, status("True"))
        async with asyncio.timeout(RETRY_S + 5):
            await server.ready.wait()


async def test_what_is_wanted_while_the_same_is_under_way_is_written_once() -> None:
    """No write is repeated for nothing."""
    server = Server()
    async with writing(server) as writer:
        writer.want(FLOW, status("False"))
        await server.asked.wait()
        writer.want(FLOW, status("False"))
        server.answer.set()
        for _ in range(20):
            await asyncio.sleep(0)
    assert server.arrived == [status("False")]


async def test_flows_come_before_what_they_use_and_verdicts_before_numbers() -> None:
    """One outage changes a thousand statuses; people wait for those of Flows."""
    server = Server()
    server.answer.set()
    writer = StatusWriter(cast(Cluster, server), rate=1000, burst=1000, counters_interval_s=0)
    wanted = {
        Ref("Connector", "itsm", "desk"): {**status("True"), "flows": 1},
        Ref("Connector", "itsm", "mail"): status("False"),
        Ref("Flow", "itsm", "numbers"): {**status("True"), "done": 1},
        Ref("Flow", "itsm", "verdict"): status("False"),
    }
    for ref, found in wanted.items():
        writer.observe(ref, "uid", status("True"))
        writer.want(ref, found)
    running = asyncio.create_task(writer.run())
    async with asyncio.timeout(10):
        while len(server.arrived) < len(wanted):
            server.asked.clear()
            await server.asked.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running

    assert [manifest["metadata"]["name"] for manifest in server.manifests] == [
        "verdict", "mail", "numbers", "desk",
    ]  # fmt: skip


async def test_a_change_of_ready_is_an_event_after_all_statuses_and_what_stays_is_none() -> None:
    """Numbers are no news; of two changes that wait the last is told."""
    server = Server()
    server.answer.set()
    writer = StatusWriter(
        cast(Cluster, server), rate=1000, burst=1000, counters_interval_s=0, instance="op-0",
        now=lambda: NOW,
    )  # fmt: skip
    other = Ref("Flow", "itsm", "numbers")
    for ref, found in ((FLOW, status("False")), (other, {**status("True"), "done": 1})):
        writer.observe(ref, "uid", status("True"))
        writer.want(ref, found)
    running = asyncio.create_task(writer.run())
    async with asyncio.timeout(10):
        await server.told.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running

    assert len(server.manifests) == 2
    (event,) = server.events
    assert event["regarding"]["name"] == FLOW.name
    assert (event["type"], event["reportingInstance"]) == ("Warning", "op-0")


async def test_an_object_that_was_made_again_begins_without_a_status() -> None:
    """The one before had the same name and the same verdict; the new one has nothing yet."""
    server = Server()
    server.answer.set()
    async with writing(server) as writer:
        assert writer.knows(FLOW, "uid")
        assert not writer.knows(FLOW, "another")
        writer.observe(FLOW, "another", None)
        writer.want(FLOW, status("True"))
        await asyncio.wait_for(server.ready.wait(), 5)

    assert server.arrived == [status("True")]
