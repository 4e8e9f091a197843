"""A worker between versions: plans of a newer operator, which it cannot read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from intops_api.plan import FlowPlan
from intops_core.planning import encode_plan
from support.peers.process import wait_until
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk
from support.runtime.worker_process import WorkerProcess
from support.simulators.launcher import HelpdeskSimulator

TOKEN = "a-token-for-tests"
FIRING = (EXAMPLE / "samples" / "01-firing.json").read_bytes()


@pytest.fixture
def desk() -> Iterator[HelpdeskSimulator]:
    with HelpdeskSimulator() as running:
        yield running


def worker_of(desk: HelpdeskSimulator) -> WorkerProcess:
    secrets = {"alertmanager-token": {"token": TOKEN}, "helpdesk-token": {"token": desk.token}}
    return WorkerProcess(secrets=secrets)


def newer(plan: FlowPlan, **more: Any) -> bytes:
    """The plan as a newer operator would write it."""
    raw = json.loads(gzip.decompress(encode_plan(plan)))
    return gzip.compress(json.dumps({**raw, **more}).encode())


def send(worker: WorkerProcess, plan: FlowPlan, *, token: str = TOKEN) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    url = worker.capture_url(plan)
    return httpx.post(url, content=FIRING, headers=headers, timeout=10.0).status_code


@pytest.mark.parametrize("more", [{"schema": 2}, {"pace": "slow"}], ids=["schema", "field"])
def test_f79_a_plan_that_is_too_new_is_told_and_the_one_before_runs_on(
    desk: HelpdeskSimulator, more: dict[str, Any]
) -> None:
    """F79: the Flow's status says which image is wrong, and messages arrive meanwhile."""
    plan = alerts_to_helpdesk(desk.url)
    with worker_of(desk) as worker:
        worker.write_plan(plan)
        worker.start()
        worker.wait_ready()

        worker.write_packed(plan.flow.name, newer(plan, **more))
        wait_until(lambda: worker.report().error, what="the worker says why")

        report = worker.report()
        assert report.error is not None
        assert report.error.endswith("Use a worker image of the operator's own version.")
        assert report.active == plan.hash
        assert send(worker, plan) == 200
        worker.wait_drained()
        assert len(desk.tickets()) == 1

        worker.write_plan(plan.model_copy(update={"hash": "another"}))
        wait_until(lambda: worker.report().error is None, what="a plan that fits is taken over")


def test_f79_a_worker_whose_only_plan_is_too_new_has_senders_come_again(
    desk: HelpdeskSimulator,
) -> None:
    """F79: a sender gives up after a 404 and comes again after a 503; the status names the Flow."""
    plan = alerts_to_helpdesk(desk.url)
    with worker_of(desk) as worker:
        worker.write_packed(plan.flow.name, newer(plan, pace="slow"))
        worker.start()
        worker.wait_ready()

        assert send(worker, plan) == 503
        report = worker.report()
        assert (report.flow.namespace, report.flow.name) == (plan.flow.namespace, plan.flow.name)
        assert "(at plan.pace)" in (report.error or "")

        worker.write_plan(plan)
        wait_until(lambda: send(worker, plan) == 200, what="the worker takes deliveries")
        assert httpx.post(f"{worker.capture_url(plan)}-not", timeout=10.0).status_code == 404
