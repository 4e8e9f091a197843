"""What a worker makes of plans and stores that cannot be used just now: it waits, and takes nothing away."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from intops_api.names import PLAN_KEY
from intops_api.report import PlanReport
from intops_core.planning import encode_plan
from intops_runtime.edges.store.sqlite import open_store
from intops_runtime.settings import Settings
from intops_runtime.worker import Worker
from support.runtime.flows import alerts_to_helpdesk

pytestmark = pytest.mark.component

FLOW = "itsm.alerts-to-helpdesk"


def worker_in(folder: Path, *, remove_empty_after_s: float | None = None) -> Worker:
    """A worker whose looks at its files the test makes itself."""
    settings = Settings(
        plans=folder / "plans",
        secrets=folder / "secrets",
        data=folder / "data",
        allow_volatile=True,
        remove_empty_after_s=remove_empty_after_s,
        drain_s=1.0,
    )
    return Worker(settings, version="test")


def put(folder: Path, data: bytes) -> Path:
    """The file of the plan, as the operator writes it."""
    path = folder / "plans" / FLOW / PLAN_KEY
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def told(worker: Worker) -> PlanReport:
    """What is said about the one plan."""
    (report,) = worker.plan_reports()
    return report


async def test_a_store_that_was_busy_is_opened_though_an_unreadable_plan_came_meanwhile(
    tmp_path: Path,
) -> None:
    """The plan that was there before goes on being tried; people are told of both."""
    plan = encode_plan(alerts_to_helpdesk("https://desk.example.com"))
    path = tmp_path / "data" / FLOW / "store.sqlite"
    other = await open_store(
        path, now=time.time(), review_due_s=3600, on_fatal=print, allow_volatile=True
    )
    worker = worker_in(tmp_path)
    put(tmp_path, plan)
    await worker.look()
    assert "another worker" in (told(worker).store.failed or "")

    put(tmp_path, b"no plan")
    await worker.look()
    refused = told(worker)
    await other.close()
    await worker.look()
    opened = told(worker)
    running = len(worker.runners())
    put(tmp_path, plan)
    await worker.look()
    mended = told(worker)
    await worker.close()

    assert refused.error
    assert "another worker" in (refused.store.failed or "")
    assert running == 1
    assert (opened.store.failed, opened.error) == (None, refused.error)
    assert mended.error is None


async def test_no_store_is_removed_while_a_plan_cannot_be_read(tmp_path: Path) -> None:
    """The plan may be that of any store; once all are read, an empty store without one goes."""
    path = tmp_path / "data" / FLOW / "store.sqlite"
    store = await open_store(
        path, now=time.time(), review_due_s=3600, on_fatal=print, allow_volatile=True
    )
    await store.close()
    plan = put(tmp_path, b"")
    plan.unlink()
    plan.symlink_to(plan.name)  # reading it fails, and not because it is missing
    worker = worker_in(tmp_path, remove_empty_after_s=0.0)

    await worker.look()
    left_alone = path.exists()
    plan.unlink()
    plan.write_bytes(b"no plan")
    await worker.look()
    left_alone_too = path.exists()
    plan.unlink()
    await worker.look()
    gone = not path.exists()
    await worker.close()

    assert (left_alone, left_alone_too, gone) == (True, True, True)
