"""The secrets with which senders prove themselves, in a real worker: too short, and while they are changed."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Self
from uuid import uuid4

import httpx
import pytest

from intops_api.conditions import ConditionType
from intops_api.plan import FlowPlan
from intops_api.report import SecretReport
from support.peers.process import wait_until
from support.ports import free_port
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk
from support.runtime.process_memory import found_in_memory
from support.runtime.status_watch import StatusWatch
from support.runtime.worker_process import WorkerProcess

pytestmark = pytest.mark.component

FIRING = json.loads((EXAMPLE / "samples" / "01-firing.json").read_text(encoding="utf-8"))
AT_ONCE = 32
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


def post(url: str, token: str) -> int:
    """Deliver an outbreak that nobody has heard of yet; the status with which capture answers."""
    body = {**FIRING, "alerts": [{**FIRING["alerts"][0], "fingerprint": uuid4().hex}]}
    return httpx.post(url, json=body, headers={"Authorization": f"Bearer {token}"}).status_code


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
    url = worker.capture_url(plan)
    assert post(url, SHORT) == 200
    status, reason, message = await told(worker, plan)
    assert (status, reason) == ("True", "WeakSecret")
    assert 'Secret "alertmanager-token"' in message
    assert '"token"' in message
    assert SHORT not in message

    worker.write_secret("alertmanager-token", {"token.previous": SHORT})
    worker.write_secret("alertmanager-token", {"token": LONG})
    wait_until(lambda: secret(worker).weak_keys == ["token.previous"], what="the new token is read")
    assert post(url, LONG) == 200
    assert [(one.key, one.last_used) for one in secret(worker).previous] == [
        ("token.previous", None)
    ]
    assert "it has not been used since the worker started" in (await told(worker, plan))[2]

    assert post(url, SHORT) == 200
    assert secret(worker).previous[0].last_used is not None
    assert "it was last used in the hour that began at" in (await told(worker, plan))[2]

    (worker.root / "secrets" / "alertmanager-token" / "token.previous").unlink()
    wait_until(lambda: not secret(worker).previous, what="the old token is gone")
    assert (post(url, SHORT), post(url, LONG)) == (401, 200)
    assert (await told(worker, plan))[:2] == ("True", "Valid")
    assert SHORT.encode() not in worker.log_file.read_bytes()


def values_of(system: str) -> list[str]:
    """Three values, one after the other."""
    return [f"canary-{system}-{name * 4}-{'x' * 24}" for name in ("old", "now", "new")]


def test_s41_the_value_before_the_previous_one_is_gone_from_memory() -> None:
    """Within 60 s of the second change, while messages come: what senders prove with, and what we prove with."""
    incoming, outgoing = values_of("sender"), values_of("desk")
    with HelpdeskLike() as desk:
        plan = alerts_to_helpdesk(desk.url)
        secrets = {
            "alertmanager-token": {"token": incoming[0]},
            "helpdesk-token": {"token": outgoing[0]},
        }
        with WorkerProcess(plan, secrets=secrets) as worker:
            worker.start()
            worker.wait_ready()
            url = worker.capture_url(plan)
            for number in range(3):
                if number:
                    both = {"token.previous": incoming[number - 1], "token": incoming[number]}
                    worker.write_secret("alertmanager-token", both)
                    worker.write_secret("helpdesk-token", {"token": outgoing[number]})
                used = partial(is_used, url, desk, incoming[number], outgoing[number])
                wait_until(used, what=f"value {number} is used by us and by senders")
                seen = found_in_memory(worker.pid, [incoming[number], outgoing[number]])
                assert min(seen.values()) > 0, "the search finds what is there"

            def gone() -> bool:
                # Nobody wipes what Python frees: many requests at once write over it.
                with ThreadPoolExecutor(AT_ONCE) as pool:
                    list(pool.map(partial(post, url), [incoming[2]] * AT_ONCE))
                left = found_in_memory(worker.pid, [incoming[0], outgoing[0]])
                return not any(left.values())

            wait_until(gone, what="the first values are gone from memory", timeout_s=60.0)
            assert found_in_memory(worker.pid, [incoming[1]])[incoming[1]] > 0


def is_used(url: str, desk: HelpdeskLike, incoming: str, outgoing: str) -> bool:
    """Send one more alert; whether it was taken, and the desk has seen the value."""
    return post(url, incoming) == 200 and any(outgoing in one for one in desk.seen)


class HelpdeskLike:
    """Refuses each ticket for what is in it, so it is asked for each; keeps which credentials it was shown."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"] or 0))
                outer.seen.add(self.headers["Authorization"] or "")
                body = b'{"message": "not like this"}'
                self.send_response(422)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: object) -> None:
                """Nothing to say."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
