"""The secrets with which senders prove themselves, in a real worker: too short, and while they are changed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from intops_api.conditions import ConditionType
from intops_api.plan import FlowPlan
from intops_api.report import SecretReport
from support.peers.process import free_port, wait_until
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk
from support.runtime.status_watch import StatusWatch
from support.runtime.worker_process import WorkerProcess

pytestmark = pytest.mark.component

BODY = (EXAMPLE / "samples" / "01-firing.json").read_bytes()
SHORT, LONG = "canary-short", "canary-long-" + "x" * 32


@pytest.fixture
def plan() -> FlowPlan:
    """The first example against a desk that is not there."""
    return alerts_to_helpdesk(f"http://127.0.0.1:{free_port('127.0.0.1')}")


@pytest.fixture
async def worker(plan: FlowPlan) -> AsyncIterator[WorkerProcess]:
    """A worker whose senders prove themselves with a word that somebody could guess."""
    secrets = {"alertmanager-token": {"token": SHORT}, "helpdesk-token": {"token": "x"}}
    with WorkerProcess(plan, secrets=secrets) as running:
        running.start()
        running.wait_ready()
        yield running


def post(worker: WorkerProcess, plan: FlowPlan, token: str) -> int:
    """The status with which capture answers."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.post(worker.capture_url(plan), content=BODY, headers=headers).status_code


def secret(worker: WorkerProcess) -> SecretReport:
    """What the worker says about the Secret of its senders."""
    (source,) = [one for one in worker.report().connectors if one.role == "source"]
    assert source.secret is not None
    return source.secret


async def told(worker: WorkerProcess, plan: FlowPlan) -> tuple[str, str, str]:
    """Status, reason and message of CredentialsValid, as the operator judges this moment's report."""
    _, judged = await StatusWatch(worker, plan).look()
    (found,) = [c for c in judged.conditions if c.type == ConditionType.CREDENTIALS_VALID]
    return found.status, found.reason, found.message


async def test_s15_a_short_secret_is_told_by_name_and_both_are_good_while_it_is_changed(
    worker: WorkerProcess, plan: FlowPlan
) -> None:
    """No message is refused for it; a sender that still uses the old value is seen until it is taken away."""
    assert post(worker, plan, SHORT) == 200
    status, reason, message = await told(worker, plan)
    assert (status, reason) == ("True", "WeakSecret")
    assert 'Secret "alertmanager-token"' in message
    assert '"token"' in message
    assert SHORT not in message

    worker.write_secret("alertmanager-token", {"token.previous": SHORT})
    worker.write_secret("alertmanager-token", {"token": LONG})
    wait_until(lambda: secret(worker).weak_keys == ["token.previous"], what="the new token is read")
    assert post(worker, plan, LONG) == 200
    assert [(one.key, one.last_used) for one in secret(worker).previous] == [
        ("token.previous", None)
    ]
    assert "it has not been used since the worker started" in (await told(worker, plan))[2]

    assert post(worker, plan, SHORT) == 200
    assert secret(worker).previous[0].last_used is not None
    assert "it was last used in the hour that began at" in (await told(worker, plan))[2]

    (worker.root / "secrets" / "alertmanager-token" / "token.previous").unlink()
    wait_until(lambda: not secret(worker).previous, what="the old token is gone")
    assert (post(worker, plan, SHORT), post(worker, plan, LONG)) == (401, 200)
    assert (await told(worker, plan))[:2] == ("True", "Valid")
    assert SHORT.encode() not in worker.log_file.read_bytes()
