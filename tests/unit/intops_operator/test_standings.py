"""What Flows tell of Connectors, Mappings and Patterns: who is woken by it, and when a status may be written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest

from intops_core.findings import Finding
from intops_core.resources import Ref
from intops_operator.cache import Cache
from intops_operator.edges.cluster import Cluster
from intops_operator.planner import Planner
from intops_operator.standings import Standings
from intops_operator.statuswriter import StatusWriter
from intops_operator.workqueue import WorkQueue
from support.conformance import manifests
from support.operator_facts import NOW, healthy_facts

FLOW = Ref("Flow", "itsm", "alerts-to-helpdesk")
DESK = Ref("Connector", "itsm", "helpdesk")
SOURCE = Ref("Mapping", "itsm", "alertmanager-to-event")
PATTERN = Ref("Pattern", "", "event-to-incident")
USED = {
    DESK, SOURCE, PATTERN, Ref("Connector", "itsm", "alertmanager"),
    Ref("Mapping", "itsm", "incident-to-helpdesk"),
}  # fmt: skip
SYSTEM = {"name": "helpdesk", "connector": "helpdesk", "role": "target"}
DOWN = {**SYSTEM, "state": "open", "errorClass": "destinationDown", "since": "2026-11-25T10:00:00Z"}
DRIFT = {
    "kind": "drift", "reason": "UnknownVariant", "message": "A new form.", "severity": "critical",
    "mapping": SOURCE.name,
}  # fmt: skip
BEFORE = {"observedGeneration": 1, "conditions": [], "flows": 1}
"""A status that another leader has written."""


class Stored:
    """What an API server has of each object: a status of before."""

    async def get(self, kind: str, namespace: str | None, name: str) -> dict[str, Any]:
        """The object with its status."""
        meta = {"name": name, "namespace": namespace, "uid": name}
        return {"metadata": meta, "status": dict(BEFORE)}


class Leader:
    """The parts of one term, with the catalogue and the first example in the cache."""

    def __init__(self) -> None:
        self.cache = Cache()
        for raw in manifests():
            meta = {**raw["metadata"], "uid": raw["metadata"]["name"], "generation": 1}
            self.cache.take(raw["kind"], {**raw, "metadata": meta})
        cluster = cast(Cluster, Stored())
        self.writer = StatusWriter(cluster, rate=1, burst=1, counters_interval_s=60)
        self.planner = Planner("test")
        self.queue: WorkQueue[Ref] = WorkQueue()
        self.standings = Standings(
            cluster, self.cache, self.writer, self.planner, self.queue, lambda: NOW
        )

    async def woken(self) -> set[Ref]:
        """What waits for a look, which it then had."""
        found = set()
        while len(self.queue):
            ref = await self.queue.take()
            self.queue.done(ref)
            found.add(ref)
        return found

    async def shown(self, ref: Ref) -> dict[str, Any] | None:
        """The status that is to be written; None if none is."""
        await self.standings.look(ref)
        wanted = self.writer._wanted.get(ref)
        return dict(wanted) if wanted is not None else None


@pytest.fixture
async def leader() -> AsyncIterator[Leader]:
    """One term."""
    found = Leader()
    yield found
    found.writer.close()
    found.planner.close()
    found.queue.clear()


async def test_the_first_word_of_a_flow_wakes_all_that_it_uses(leader: Leader) -> None:
    """And the same word again wakes nobody."""
    leader.standings.hear(FLOW, healthy_facts(connectors=[SYSTEM]))
    assert await leader.woken() == USED

    leader.standings.hear(
        FLOW, healthy_facts(connectors=[SYSTEM], store={"received": 1, "done": 1})
    )
    assert await leader.woken() == set()


@pytest.mark.parametrize(
    ("said", "woken"),
    [
        pytest.param({"connectors": [DOWN]}, {DESK}, id="a dead system its Connector"),
        pytest.param(
            {"connectors": [SYSTEM], "findings": [DRIFT]}, {SOURCE}, id="drift its Mapping"
        ),
    ],
)
async def test_news_wakes_whom_it_is_about_and_so_does_its_end(
    leader: Leader, said: dict[str, Any], woken: set[Ref]
) -> None:
    """Nobody else: a Pattern may have ten thousand Flows."""
    well = healthy_facts(connectors=[SYSTEM])
    leader.standings.hear(FLOW, well)
    await leader.woken()

    leader.standings.hear(FLOW, healthy_facts(**said))
    assert await leader.woken() == woken
    leader.standings.hear(FLOW, well)
    assert await leader.woken() == woken


async def test_a_flow_that_breaks_its_pattern_wakes_it(leader: Leader) -> None:
    """It counts one more, and one less once it is mended."""
    well = healthy_facts(connectors=[SYSTEM])
    leader.standings.hear(FLOW, well)
    await leader.woken()
    broken = replace(well, findings=(Finding("COM-06", "deny", "spec.x", "It is wrong.", FLOW),))

    leader.standings.hear(FLOW, broken)
    assert await leader.woken() == {PATTERN}
    found = await leader.shown(PATTERN)
    assert found is not None
    assert (found["flows"], found["violations"]) == (1, 1)


async def test_a_new_leader_leaves_what_stands_until_it_has_heard_of_every_flow(
    leader: Leader,
) -> None:
    """Else each change of leader would make every Connector unknown for a moment."""
    assert await leader.shown(DESK) is None
    assert await leader.shown(SOURCE) is None

    leader.standings.hear(FLOW, healthy_facts(connectors=[DOWN]))

    found = await leader.shown(DESK)
    assert found is not None
    assert found["errorClass"] == "destinationDown"


async def test_a_flow_of_which_nothing_can_be_learned_keeps_nobody_waiting(leader: Leader) -> None:
    """One object that trips a defect must not stop the truth about others."""
    leader.standings.unheard(FLOW)

    assert await leader.woken() == USED
    found = await leader.shown(DESK)
    assert found is not None
    assert found["flows"] == 1


async def test_a_spec_that_changed_is_judged_though_nobody_has_been_heard(leader: Leader) -> None:
    """Who applies a Connector wants to know at once whether it is accepted."""
    (raw,) = [
        m for m in manifests() if (m["kind"], m["metadata"]["name"]) == ("Connector", "helpdesk")
    ]
    leader.cache.take(
        "Connector", {**raw, "metadata": {**raw["metadata"], "uid": "helpdesk", "generation": 2}}
    )

    found = await leader.shown(DESK)

    assert found is not None
    assert found["observedGeneration"] == 2


async def test_what_uses_a_model_beside_mappings_is_counted(leader: Leader) -> None:
    """Classes bring Mappings of their own, and Patterns move it."""
    found = await leader.shown(Ref("CanonicalModel", "", "event"))

    assert found is not None
    assert (found["mappings"], found["patterns"]) == (1, 1)
    assert found["classes"] >= 1
