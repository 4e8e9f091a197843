"""What the operator knows of pools: who is in one, which pods work for whom, what their reports are about."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from intops_api import names
from intops_api.conditions import Reason
from intops_api.flow import Runtime
from intops_api.report import LastWords, PlanReport, ReportFlow
from intops_core.resources import Ref
from intops_operator.applying import Applied
from intops_operator.cache import Cache
from intops_operator.core.facts import Problem
from intops_operator.core.observed import POOL, is_managed, pod_fact
from intops_operator.core.placing import OWN, Step
from intops_operator.edges.access import Access
from intops_operator.edges.cluster import Cluster
from intops_operator.edges.reports import Answer, ReportBook
from intops_operator.moving import Moving
from support.operator_facts import POD, example_spec, example_worker, pools_of

QUIET = Ref(POOL, "itsm", "quiet")
ONE, TWO = Ref("Flow", "itsm", "one"), Ref("Flow", "itsm", "two")
NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


def meta(name: str, *, flow: str | None = None, pool: str | None = "quiet") -> dict[str, Any]:
    """Metadata of a child of a Flow, of a pool, or of a Flow in a pool."""
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY}
    labels |= {names.LABEL_FLOW: flow} if flow else {}
    labels |= {names.LABEL_POOL: pool} if pool else {}
    return {"name": name, "namespace": "itsm", "uid": f"uid-{name}", "labels": labels}


def slot(place: int, flow: str) -> dict[str, Any]:
    """A place of the pool, taken by a Flow."""
    found = meta(f"intopspool-quiet-{place:02d}", flow=flow)
    return {"metadata": {**found, "annotations": {names.ANNOTATION_PLAN_HASH: flow}}}


def pool_pod(**status: Any) -> dict[str, Any]:
    """The pod of the pool."""
    return {"metadata": meta("intopspool-quiet-0"), "status": {"phase": "Running", **status}}


def test_a_place_concerns_its_flow_and_its_pool() -> None:
    """Both change with it; when it changes hands, the Flow that had it too."""
    cache = Cache()
    assert cache.take("ConfigMap", slot(0, "one")).looks == {ONE, QUIET}
    assert cache.take("ConfigMap", slot(0, "two")).looks == {ONE, TWO, QUIET}

    assert [place.flow for place in cache.slots(QUIET)] == ["two"]
    assert cache.slots(ONE) == []
    assert cache.pools() == {QUIET}


def test_a_flow_in_a_pool_is_served_by_the_pods_of_the_pool() -> None:
    """All of its Flows are, and their own Service is no reason to think otherwise."""
    cache = Cache()
    cache.take("ConfigMap", slot(0, "one"))
    cache.take("ConfigMap", slot(1, "two"))
    cache.take("Service", {"metadata": meta("intops-one", flow="one")})
    assert cache.take("Pod", pool_pod()).looks == {QUIET, ONE, TWO}

    assert (cache.crew(ONE), cache.crew(TWO)) == (QUIET, QUIET)
    (pod,) = cache.pods(QUIET)
    assert cache.served_by(pod) == [ONE, TWO]
    assert cache.pods(ONE) == ()
    cache.take("ConfigMap", slot(0, "one"), deleted=True)
    assert cache.crew(ONE) == ONE
    assert cache.served_by(pod) == [TWO]


def test_a_pod_of_a_pool_concerns_its_flows_when_it_stands_otherwise() -> None:
    """Each tells of it. A plan that is handed to one of them is nothing to the others."""
    cache = Cache()
    cache.take("ConfigMap", slot(0, "one"))
    cache.take("ConfigMap", slot(1, "two"))
    cache.take("Pod", pool_pod())
    handed = pool_pod()
    handed["metadata"]["annotations"] = {names.ANNOTATION_PLAN_HASH: "of one"}
    assert cache.take("Pod", handed).looks == {QUIET}

    ready = pool_pod(conditions=[{"type": "Ready", "status": "True"}])
    assert cache.take("Pod", ready).looks == {QUIET, ONE, TWO}
    assert cache.take("Pod", ready, deleted=True).looks == {QUIET, ONE, TWO}


def test_the_deployment_of_a_pool_concerns_its_flows_when_it_runs_otherwise() -> None:
    """New pods are awaited by all of its Flows; a note on it by none."""
    cache = Cache()
    cache.take("ConfigMap", slot(0, "one"))
    made: dict[str, Any] = {
        "metadata": {**meta("intopspool-quiet"), "generation": 1},
        "spec": {"replicas": 1},
    }
    assert cache.take("Deployment", made).looks == {QUIET, ONE}
    noted = {
        **made,
        "metadata": {**made["metadata"], "annotations": {names.ANNOTATION_ROLLOUT: "{}"}},
    }
    assert cache.take("Deployment", noted).looks <= {QUIET}
    runs = {
        **made,
        "status": {
            "observedGeneration": 1,
            "updatedReplicas": 1,
            "replicas": 1,
            "readyReplicas": 1,
        },
    }
    assert cache.take("Deployment", runs).looks == {QUIET, ONE}


def test_a_plan_of_ones_own_counts_before_a_place_until_it_is_removed() -> None:
    """So a Flow on its way into a pool is where it was until that has ended."""
    cache = Cache()
    own = {"metadata": meta("intops-one", flow="one", pool=None)}
    cache.take("ConfigMap", own)
    cache.take("ConfigMap", slot(0, "one"))
    assert cache.crew(ONE) == ONE

    child = cache.child("ConfigMap", "itsm", "intops-one")
    assert child is not None
    cache.doom(child)
    assert cache.crew(ONE) == QUIET


def test_a_pool_is_empty_only_if_its_worker_knows_every_store() -> None:
    """A volume goes by the total, never by what single Flows say."""
    for words, left in (
        (LastWords(left={"itsm/one": 0}, total=0), 0),
        (LastWords(left={"itsm/one": 0, "itsm/gone": 2}, total=2), 2),
        (LastWords(left={"itsm/one": 0}), None),
    ):
        ended = {"terminated": {"message": words.model_dump_json()}}
        fact = pod_fact(pool_pod(containerStatuses=[{"state": ended}]))
        assert (fact.crew, fact.left) == (QUIET, left)


def test_labels_of_a_pool_are_labels_of_ours() -> None:
    """Its children would never come through the feed otherwise."""
    assert is_managed(meta("intopspool-quiet"))
    assert not is_managed(meta("somebody-elses", pool=None))


def answer(**hashes: str) -> Answer:
    """What a pod answered about Flows."""
    plans = {
        Ref("Flow", "itsm", flow): PlanReport(
            flow=ReportFlow(namespace="itsm", name=flow), active=active
        )
        for flow, active in hashes.items()
    }
    return Answer(NOW, plans, {})


def test_a_report_is_news_for_the_flows_of_which_it_says_something_new() -> None:
    """Twenty quiet Flows are not looked at because one of them is busy."""
    pod, book = replace(POD, flow="", pool="quiet"), ReportBook()
    assert book.note([ONE, TWO], pod, answer(one="a", two="a")) == {QUIET, ONE, TWO}

    assert book.note([ONE, TWO], pod, answer(one="a", two="a")) == set()
    assert book.note([ONE, TWO], pod, answer(one="b", two="a")) == {ONE}
    left = replace(answer(one="b", two="a"), left={"itsm/three": 1})
    assert book.note([ONE, TWO], pod, left) == {QUIET, ONE, TWO}
    assert book.note([ONE, TWO], pod, None) == {QUIET, ONE, TWO}


def test_a_flow_that_has_just_come_has_been_heard_of_as_not_running() -> None:
    """Its pod has answered before, without it: that is no silence."""
    pod, book = replace(POD, flow="", pool="quiet"), ReportBook()
    book.note([ONE], pod, answer(one="a"))

    (heard,) = book.heard(TWO, [pod])
    assert (heard.pod_uid, heard.plan) == (pod.uid, None)
    book.keep_only([])
    assert book.heard(TWO, [pod]) == ()


def test_the_hundred_and_first_flow_is_told_to_go_elsewhere() -> None:
    """And one that has its place keeps it."""
    cache = Cache()
    for place in range(names.POOL_PLACES):
        cache.take("ConfigMap", slot(place, f"flow-{place}"))

    async def seated() -> list[Problem]:
        async with Cluster(Access(server="http://127.0.0.1:1")) as nowhere:
            pools = pools_of(nowhere, cache, ReportBook())
            return await pools.run(replace(example_worker(), flow="late"), "quiet", Applied())

    (problem,) = asyncio.run(seated())
    assert problem.reason is Reason.POOL_FULL
    assert 'Pool "quiet" has 100 Flows already' in problem.message
    assert "spec.runtime.pool" in problem.message


def step_of(cache: Cache, book: ReportBook, *, pool: str | None, suspend: bool) -> Step:
    """What the operator does about the place of Flow one."""
    runtime = Runtime(pool=pool)
    spec = example_spec().model_copy(update={"runtime": runtime, "suspend": suspend})
    nowhere = Cluster(Access(server="http://127.0.0.1:1"))
    pools = pools_of(nowhere, cache, book)
    moving = Moving(nowhere, cache, book, pools, no_report_after_s=30.0)
    return moving.step(ONE, spec, NOW)


def test_a_flow_made_anew_elsewhere_is_held_where_its_messages_wait() -> None:
    """An earlier Flow of this name has left some in a pool; nobody would ever look there again."""
    cache, book = Cache(), ReportBook()
    cache.take("Pod", pool_pod())
    cache.take("ConfigMap", slot(1, "two"))
    (pod,) = cache.pods(QUIET)
    assert step_of(cache, book, pool=None, suspend=False) == Step("run", OWN)

    book.note([TWO], pod, replace(answer(two="a"), left={"itsm/one": 2}))
    step = step_of(cache, book, pool=None, suspend=False)

    assert (step.deed, step.place) == ("run", "quiet")
    assert step.told is not None
    assert step.told.reason is Reason.MOVE_HELD


def test_a_flow_that_joins_a_pool_is_held_at_a_volume_of_its_name() -> None:
    """An earlier Flow with a worker of its own may have left messages in it; an empty one is given up."""
    cache, book = Cache(), ReportBook()
    claim: dict[str, Any] = {"metadata": meta("intops-one", flow="one", pool=None)}
    bound = {**claim, "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}}
    cache.take("PersistentVolumeClaim", bound)
    assert step_of(cache, book, pool="quiet", suspend=True).place == OWN

    cache.take("PersistentVolumeClaim", {**claim, "spec": {}, "status": {"phase": "Pending"}})
    assert step_of(cache, book, pool="quiet", suspend=True) == Step("go", "quiet")


def test_a_place_is_given_up_when_the_worker_no_longer_runs_the_flow_and_nothing_is_left() -> None:
    """A report from before the plan was taken away says nothing about what is left after it."""
    cache, book = Cache(), ReportBook()
    cache.take("Pod", pool_pod())
    closed = slot(0, "one")
    closed["metadata"]["annotations"] = {}
    cache.take("ConfigMap", closed)
    (pod,) = cache.pods(QUIET)
    assert step_of(cache, book, pool=None, suspend=True).deed == "wait"

    for said, deed, place in (
        (answer(one="a"), "wait", "quiet"),
        (replace(answer(), left=None), "wait", "quiet"),
        (replace(answer(), left={"itsm/one": None}), "wait", "quiet"),
        (replace(answer(), left={"itsm/one": 1}), "run", "quiet"),
        (replace(answer(), left={"itsm/one": 0}), "go", OWN),
        (replace(answer(), left={}), "go", OWN),
    ):
        book.note([ONE], pod, said)
        step = step_of(cache, book, pool=None, suspend=True)
        assert (step.deed, step.place) == (deed, place)
