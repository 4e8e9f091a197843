"""Where the operator sees that a Flow keeps its messages, and what it takes for the last word about them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from intops_api import names
from intops_api.flow import EmbeddedStore, PostgresStore, Runtime, Store
from intops_api.report import LastWords, PlanReport, ReportFlow
from intops_core.planning import with_store
from intops_core.resources import Ref
from intops_operator.cache import Cache
from intops_operator.core.children.configmap import plan_config_map
from intops_operator.core.observed import ChildFact
from intops_operator.core.placing import DATABASE, OWN, Step
from intops_operator.edges.access import Access
from intops_operator.edges.cluster import Cluster
from intops_operator.edges.reports import Answer, ReportBook
from intops_operator.moving import Moving
from support.operator_facts import example_plan, example_spec, example_worker, pools_of

FLOW = Ref("Flow", "itsm", "one")
NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
VOLUME, POSTGRES = Store(), Store(postgres=PostgresStore(secret_name="database"))
LABELS = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_FLOW: "one"}


class Room:
    """What the operator knows about one Flow, and what it would do."""

    def __init__(self) -> None:
        self.cache, self.book = Cache(), ReportBook()
        nowhere = Cluster(Access(server="http://127.0.0.1:1"))
        pools = pools_of(nowhere, self.cache, self.book)
        self.moving = Moving(nowhere, self.cache, self.book, pools, no_report_after_s=30.0)

    def step(self, store: Store) -> Step:
        """What to do about a suspended Flow whose spec names this store."""
        runtime = Runtime(store=store)
        spec = example_spec().model_copy(update={"runtime": runtime, "suspend": True})
        return self.moving.step(FLOW, spec, NOW)

    def plan(self, kind: str | None) -> None:
        """Its plan, which names this kind of store, if its operator wrote that."""
        labels = LABELS | ({names.LABEL_STORE: kind} if kind else {})
        self.take("ConfigMap", {"labels": labels})

    def take(self, kind: str, meta: dict[str, Any] | None = None, **body: Any) -> None:
        """A child of the Flow."""
        found = {"name": "intops-one", "namespace": "itsm", "uid": f"uid-{kind}", "labels": LABELS}
        self.cache.take(kind, {"metadata": found | (meta or {}), **body})

    def deployment(self, *, embedded: bool, deleted: bool = False) -> None:
        """Its Deployment."""
        strategy = {"type": "Recreate" if embedded else "RollingUpdate"}
        name = {"name": "intops-one", "namespace": "itsm", "uid": "uid-d", "labels": LABELS}
        body = {"metadata": name, "spec": {"strategy": strategy}}
        self.cache.take("Deployment", body, deleted=deleted)

    def pod(
        self, name: str, at: str, *, volume: bool, left: int | None = None, gone: bool = False
    ) -> None:
        """One of its pods, alive or with its last words about what is left."""
        state: dict[str, Any] = {"running": {"startedAt": at}}
        if gone:
            words = LastWords(left={"itsm/one": left}).model_dump_json()
            state = {"terminated": {"startedAt": at, "message": words}}
        source = (
            {"persistentVolumeClaim": {"claimName": "intops-one"}} if volume else {"emptyDir": {}}
        )
        body = {
            "metadata": {"name": name, "namespace": "itsm", "uid": name, "labels": LABELS},
            "spec": {"volumes": [{"name": "data", **source}]},
            "status": {"phase": "Running", "containerStatuses": [{"state": state}]},
        }
        self.cache.take("Pod", body, deleted=gone)

    async def close(self) -> None:
        """Have its workers end, by a server that takes every wish."""

        async def done(_: web.Request) -> web.Response:
            return web.json_response({})

        app = web.Application()
        app.router.add_route("DELETE", "/{path:.*}", done)
        server = TestServer(app)
        await server.start_server()
        async with Cluster(Access(server=str(server.make_url("")).rstrip("/"))) as cluster:
            self.moving._cluster = cluster
            worker = replace(example_worker(store=POSTGRES), flow="one")
            await self.moving.close(worker, self.step(VOLUME))
        await server.close()

    def says_empty(self, name: str) -> None:
        """A pod reports that it is suspended and holds nothing."""
        said = PlanReport(flow=ReportFlow(namespace="itsm", name="one"), suspended=True)
        (pod,) = [one for one in self.cache.pods(FLOW) if one.uid == name]
        self.book.note([FLOW], pod, Answer(NOW, {FLOW: said}, {}))


@pytest.mark.parametrize(
    ("kind", "embedded", "place"),
    [
        pytest.param("embedded", None, OWN, id="its plan says so"),
        pytest.param("postgres", None, DATABASE, id="its plan names a database"),
        pytest.param(None, True, OWN, id="an older operator made a worker with a volume"),
        pytest.param(None, False, DATABASE, id="an older operator made workers without"),
    ],
)
def test_a_flow_is_where_its_plan_or_else_its_deployment_says(
    kind: str | None, embedded: bool | None, place: str
) -> None:
    """Not where its spec points, which somebody has just changed."""
    room = Room()
    room.plan(kind)
    if embedded is not None:
        room.deployment(embedded=embedded)

    for store in (VOLUME, POSTGRES):
        step = room.step(store)
        assert (step.deed, step.place) == ("run", place)
        assert (step.told is None) == ((store is POSTGRES) == (place == DATABASE))


def test_a_volume_is_left_on_the_word_of_a_worker_that_had_it() -> None:
    """A pod with a database knows nothing of what an earlier one left in a volume."""
    for volume, left, deed in (
        (True, 0, "go"),
        (True, 1, "run"),
        (True, None, "run"),
        (False, 0, "run"),
    ):
        room = Room()
        room.plan("embedded")
        room.take("PersistentVolumeClaim", spec={"volumeName": "pv"}, status={"phase": "Bound"})
        room.pod("a", "2026-11-25T11:00:00Z", volume=volume)
        assert room.step(POSTGRES).deed == "wait"

        room.pod("a", "2026-11-25T11:00:00Z", volume=volume, left=left, gone=True)
        assert room.step(POSTGRES).deed == deed, (volume, left)


def test_a_database_is_left_on_the_word_of_the_worker_that_was_the_only_one() -> None:
    """Another one may have begun later, ended sooner, and said that nothing was left when that was so."""
    room = Room()
    room.plan("postgres")
    room.deployment(embedded=False)
    early, late = "2026-11-25T11:00:00Z", "2026-11-25T11:30:00Z"
    room.pod("a", early, volume=False)
    room.pod("b", late, volume=False)
    room.says_empty("a")
    room.says_empty("b")
    assert room.step(VOLUME).deed == "run"

    room.pod("b", late, volume=False, left=0, gone=True)
    assert room.step(VOLUME).deed == "close"
    asyncio.run(room.close())
    room.deployment(embedded=False, deleted=True)
    assert room.step(VOLUME).deed == "wait"
    room.pod("a", early, volume=False, left=0, gone=True)
    assert room.step(VOLUME).deed == "run"

    room.deployment(embedded=False)
    room.pod("c", "2026-11-25T11:50:00Z", volume=False)
    room.says_empty("c")
    asyncio.run(room.close())
    room.deployment(embedded=False, deleted=True)
    room.pod("c", "2026-11-25T11:50:00Z", volume=False, left=0, gone=True)
    assert (room.step(VOLUME).deed, room.step(VOLUME).place) == ("go", OWN)


def test_the_plan_that_is_kept_is_the_one_that_the_former_spec_would_give() -> None:
    """So nothing but the store is held up: routes and the word to resume arrive, and no hash changes for nothing."""
    plan = example_plan()
    assert with_store(plan, plan.store.model_copy(update={"max_outage": "1h"})).hash == plan.hash

    moved = with_store(plan, POSTGRES)
    assert moved.hash != plan.hash
    assert with_store(moved, plan.store) == plan


def test_a_plan_says_on_its_label_where_messages_are() -> None:
    """The next leader reads it there, also after the Deployment was taken away."""
    for store, kind in ((Store(embedded=EmbeddedStore()), "embedded"), (POSTGRES, "postgres")):
        manifest = plan_config_map(example_worker(store=store))
        assert manifest["metadata"]["labels"][names.LABEL_STORE] == kind

    assert ChildFact("ConfigMap", "itsm", "a", "u", "one", None, "d").store == ""
