"""The worker of a pool: one process, several Flows that come and go, and the stores that they leave behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from intops_api.plan import FlowPlan
from intops_api.report import FlowReport
from support.peers.process import wait_until
from support.ports import free_port
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk
from support.runtime.worker_process import WorkerProcess

pytestmark = pytest.mark.component

TOKEN = "a-token-for-tests"
SECRETS = {"alertmanager-token": {"token": TOKEN}, "helpdesk-token": {"token": TOKEN}}
FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))


def named(plan: FlowPlan, name: str) -> FlowPlan:
    """The same plan for another Flow."""
    return plan.model_copy(update={"flow": plan.flow.model_copy(update={"name": name})})


@pytest.fixture(scope="module")
def plans() -> list[FlowPlan]:
    """Three Flows whose desk is away, so that what comes stays."""
    plan = alerts_to_helpdesk(f"http://127.0.0.1:{free_port('127.0.0.1')}")
    return [named(plan, name) for name in ("one", "two", "three")]


@pytest.fixture
def worker(plans: list[FlowPlan]) -> Iterator[WorkerProcess]:
    """A worker that has its data folder for itself, as in a pool."""
    with WorkerProcess(*plans, secrets=SECRETS) as running:
        start(running)
        yield running


def start(worker: WorkerProcess, remove_after_s: str = "600") -> None:
    worker.start(worker_flags=("--remove-empty-after", remove_after_s))
    worker.wait_ready()


def post(worker: WorkerProcess, plan: FlowPlan, fingerprint: str) -> int:
    """One alert for a Flow; the status of the answer."""
    body = {**FIRING, "alerts": [{**FIRING["alerts"][0], "fingerprint": fingerprint}]}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return httpx.post(worker.capture_url(plan), json=body, headers=headers, timeout=20).status_code


def whole_report(worker: WorkerProcess) -> FlowReport:
    """Everything that the worker says."""
    answer = httpx.get(f"http://127.0.0.1:{worker.operations_port}/report", timeout=10.0)
    return FlowReport.model_validate(answer.raise_for_status().json())


def counts(worker: WorkerProcess) -> dict[str, int]:
    """Unfinished messages of each Flow that has a plan."""
    return {plan.flow.name: plan.store.unfinished for plan in whole_report(worker).plans}


def await_left(worker: WorkerProcess, left: dict[str, int | None]) -> None:
    """Wait until the worker says what stores without a plan hold."""

    def said() -> bool:
        return whole_report(worker).left == left

    wait_until(said, what=f"left {left}")


def test_a_flow_that_goes_leaves_its_messages_and_finds_them_again(
    worker: WorkerProcess, plans: list[FlowPlan]
) -> None:
    """Over a restart too; the others run on meanwhile."""
    one, two, _ = plans
    assert [post(worker, one, f"one-{n}") for n in range(3)] == [200] * 3
    assert whole_report(worker).left == {}

    worker.remove_plan(one)
    await_left(worker, {"itsm/one": 3})
    assert post(worker, one, "comes-again") == 503
    assert post(worker, two, "two-1") == 200

    worker.terminate()
    words = json.loads(worker.last_words.read_bytes())
    assert words == {"left": {"itsm/one": 3, "itsm/two": 1, "itsm/three": 0}, "total": 4}
    start(worker)
    await_left(worker, {"itsm/one": 3})

    worker.write_plan(one)
    wait_until(lambda: counts(worker).get("one") == 3, what="the store is taken up again")
    await_left(worker, {})


def test_a_flow_that_is_not_here_yet_is_asked_for_again(
    worker: WorkerProcess, plans: list[FlowPlan]
) -> None:
    """Its Service leads here some seconds before its plan is; a sender that gets 404 would give up."""
    one = plans[0]
    url = worker.capture_url(named(one, "on-its-way"))

    answer = httpx.post(url, json={}, timeout=20)
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert httpx.get(url, timeout=20).status_code == 404
    assert httpx.post(worker.capture_url(one, "misspelt"), timeout=20).status_code == 404


def test_an_empty_store_goes_after_its_flow_and_a_used_one_never(
    worker: WorkerProcess, plans: list[FlowPlan]
) -> None:
    """What nobody needs makes room; what may hold a message is not the worker's to remove."""
    one, two, three = plans
    assert post(worker, one, "kept") == 200
    worker.terminate()
    start(worker, remove_after_s="1")

    worker.remove_plan(one)
    worker.remove_plan(two)

    data = worker.root / "data"
    wait_until(lambda: not (data / "itsm.two").exists(), what="the empty store is removed")
    await_left(worker, {"itsm/one": 1})
    assert (data / "itsm.one" / "store.sqlite").is_file()
    assert (data / "itsm.three" / "store.sqlite").is_file()
    assert post(worker, three, "goes-on") == 200


def test_a_store_that_cannot_be_counted_is_not_taken_for_empty(
    worker: WorkerProcess, plans: list[FlowPlan]
) -> None:
    """Neither said to be, nor removed, nor left out of the last words."""
    one, *others = plans
    assert post(worker, one, "in-danger") == 200
    worker.terminate()
    (worker.root / "data" / "itsm.one" / "store.sqlite").write_bytes(b"not a database" * 500)
    worker.remove_plan(one)
    start(worker, remove_after_s="1")

    await_left(worker, {"itsm/one": None})
    assert [post(worker, other, "goes-on") for other in others] == [200, 200]
    worker.terminate()
    words = json.loads(worker.last_words.read_bytes())
    assert words["left"]["itsm/one"] is None
    assert "total" not in words


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"transform": "missing", "hash": "bad"}, id="a plan that cannot run"),
        pytest.param(None, id="a file that is no plan"),
    ],
)
def test_one_bad_flow_stops_no_other(
    worker: WorkerProcess, plans: list[FlowPlan], fault: dict[str, Any] | None
) -> None:
    """It says what is wrong with it, keeps its last good plan, and the others take, change and come."""
    one, two, three = plans
    if fault is not None:
        worker.write_plan(one.model_copy(update=fault))
        worker.write_plan(named(one.model_copy(update=fault), "never-good"))
        wait_until(lambda: len(whole_report(worker).plans) == 4, what="the bad Flow is told")
        said = {plan.flow.name: plan for plan in whole_report(worker).plans}
        assert "does not contain" in (said["never-good"].error or "")
        assert "does not contain" in (said["one"].error or "")
        assert (said["never-good"].active, said["one"].active) == (None, one.hash)
    else:
        folder = worker.root / "plans" / "junk"
        folder.mkdir()
        (folder / "plan.json.gz").write_bytes(b"junk")
    worker.write_plan(three.model_copy(update={"hash": "changed"}))

    def changed() -> bool:
        found = {plan.flow.name: plan.active for plan in whole_report(worker).plans}
        return found["three"] == "changed"

    wait_until(changed, what="another Flow's new plan")
    assert [post(worker, plan, f"all-{fault}") for plan in (one, two, three)] == [200] * 3
