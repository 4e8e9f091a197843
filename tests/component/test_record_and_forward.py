"""One record on both sides, and questions to a worker in a cluster through port-forward."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from intops_api.plan import FlowPlan
from support.peers.process import wait_until
from support.ports import free_port
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk
from support.runtime.local_run import PLAIN
from support.runtime.worker_process import WorkerProcess
from support.simulators.api_gate import ApiGate
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.component

SECRETS = {"alertmanager-token": {"token": "in-1"}, "helpdesk-token": {"token": "out-1"}}


@pytest.fixture(scope="module")
def desk() -> Iterator[HelpdeskSimulator]:
    """The simulated helpdesk."""
    desk = HelpdeskSimulator(token="out-1")
    desk.start()
    yield desk
    desk.stop()
    shutil.rmtree(desk.workdir, ignore_errors=True)


@pytest.fixture(scope="module")
def plan(desk: HelpdeskSimulator) -> FlowPlan:
    """The first example against the simulated desk."""
    return alerts_to_helpdesk(desk.url)


@pytest.fixture(scope="module")
def gate(desk: HelpdeskSimulator, plan: FlowPlan) -> Iterator[ApiGate]:
    """A cluster with one worker, which has made one ticket and has one message in review."""
    console = free_port("127.0.0.1")
    gate = ApiGate({"intops-alerts-0": (plan.flow.name, console)})
    with WorkerProcess(plan, secrets=SECRETS) as worker:
        worker.start(worker_flags=("--console-port", str(console)))
        worker.wait_ready()
        post(worker, plan, "firing")
        post(worker, plan, "odd")
        wait_until(lambda: len(desk.tickets()) == 1, what="the ticket")
        wait_until(lambda: worker.report().store.review == 1, what="a message in review")
        worker.wait_drained()
        yield gate
    gate.stop()


def post(worker: WorkerProcess, plan: FlowPlan, severity: str) -> None:
    """Deliver one alert; "firing" keeps the severity that the Mapping knows."""
    body = json.loads((EXAMPLE / "samples" / "01-firing.json").read_bytes())
    if severity != "firing":
        body["alerts"][0]["labels"]["severity"] = severity
        body["alerts"][0]["fingerprint"] = severity
    answer = httpx.post(
        worker.capture_url(plan), json=body, timeout=10.0, headers={"Authorization": "Bearer in-1"}
    )
    assert answer.status_code == 200, answer.text


def ask(gate: ApiGate, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command with a kubeconfig that leads to the gate."""
    config = gate.kubeconfig(folder / "config")
    return subprocess.run(
        [
            sys.executable, "-m", "intops_cli", *arguments, "--kubeconfig", str(config), "-n", "itsm",
        ],
        capture_output=True, text=True, timeout=60, check=False, env=PLAIN,
    )  # fmt: skip


def fields(answer: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """Fields of the one record that `record show -o json` tells of."""
    (found,) = json.loads(answer.stdout)
    return {field["field"]: field for field in found["fields"]}


def test_messages_of_a_pod_are_read_through_its_loopback_port(
    gate: ApiGate, plan: FlowPlan, tmp_path: Path
) -> None:
    """S-18: RBAC on pods/portforward decides; no other pod can reach that port."""
    messages = ask(gate, tmp_path, "messages", "-o", "json", "--state", "done")
    review = ask(gate, tmp_path, "review", "list")
    explained = ask(gate, tmp_path, "explain", "message", "1", "--flow", plan.flow.name)
    traced = ask(gate, tmp_path, "trace", "#1")
    verified = ask(gate, tmp_path, "audit", "verify", "--flow", plan.flow.name)

    assert [m["flow"] for m in json.loads(messages.stdout)] == [plan.flow.name]
    assert "severity" in review.stdout
    assert (explained.returncode, traced.returncode, verified.returncode) == (0, 0, 0)
    assert "record #1 of helpdesk" in traced.stdout
    assert set(gate.asked) == {"intops-alerts-0:8082"}


def test_a_flow_in_a_pool_is_asked_about_at_the_worker_that_it_shares(
    gate: ApiGate, plan: FlowPlan, tmp_path: Path
) -> None:
    """Its pod has the pool's label, and knows other Flows too."""
    ((_, console),) = gate.pods.values()
    shared = ApiGate({"intopspool-quiet-0": ("quiet", console)}, {plan.flow.name: "quiet"})
    named = ask(shared, tmp_path, "messages", "-o", "json", "--flow", plan.flow.name)
    every = ask(shared, tmp_path, "messages", "-o", "json")
    elsewhere = ask(shared, tmp_path, "messages", "--flow", "another")
    shared.stop()

    assert {m["flow"] for m in json.loads(named.stdout)} == {plan.flow.name}
    assert json.loads(every.stdout) == json.loads(named.stdout)
    assert 'No worker of Flow "another"' in elsewhere.stderr


def test_who_may_not_forward_is_told_which_right_it_takes(gate: ApiGate, tmp_path: Path) -> None:
    """The API server's own words, and no traceback."""
    gate.forbidden = True
    try:
        answer = ask(gate, tmp_path, "messages")
    finally:
        gate.forbidden = False

    assert answer.returncode == 3
    assert "pods/portforward" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_flow_without_a_worker_is_told(gate: ApiGate, tmp_path: Path) -> None:
    """Where to look next."""
    answer = ask(gate, tmp_path, "trace", "#1", "--flow", "nothing")

    assert answer.returncode == 3
    assert 'No worker of Flow "nothing" runs in namespace "itsm"' in answer.stderr


def test_a_worker_that_has_no_console_is_told(
    gate: ApiGate, plan: FlowPlan, tmp_path: Path
) -> None:
    """A pod that is starting refuses the connection; the command says so and ends."""
    gate.pods["intops-zz-0"] = ("zz", free_port("127.0.0.1"))
    try:
        answer = ask(gate, tmp_path, "messages", "--flow", "zz")
    finally:
        del gate.pods["intops-zz-0"]

    assert answer.returncode == 3
    assert 'Pod "intops-zz-0" did not answer' in answer.stderr


def test_a_record_that_nobody_touched_has_not_moved(gate: ApiGate, tmp_path: Path) -> None:
    """What was agreed, what the newest message makes of it and what the desk shows are equal."""
    shown = ask(gate, tmp_path, "record", "show", "#1")
    found = fields(ask(gate, tmp_path, "record", "show", "#1", "-o", "json"))

    assert "Nothing has moved since it was agreed." in shown.stdout
    assert shown.stdout.splitlines()[0].startswith("record #1 of helpdesk: http")
    assert found["Subject"]["there"] == found["Subject"]["agreed"] == "127.0.0.1:19199 down"


def test_a_record_that_was_changed_at_the_desk_says_which_field(
    gate: ApiGate, desk: HelpdeskSimulator, tmp_path: Path
) -> None:
    """Whoever is asked why two systems differ sees who moved."""
    answer = httpx.put(
        f"{desk.url}/REST/2.0/ticket/1", json={"Subject": "db01 is down"}, timeout=10.0,
        headers={"Authorization": "token out-1"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    shown = ask(gate, tmp_path, "record", "show", "#1")
    found = fields(ask(gate, tmp_path, "record", "show", "#1", "-o", "json"))

    assert (found["Subject"]["there"], found["Subject"]["differs"]) == ("db01 is down", "there")
    assert "Differs: Subject" in shown.stdout


def test_a_record_that_nobody_knows_is_told(gate: ApiGate, tmp_path: Path) -> None:
    """Exit code 1 and the name that was asked for."""
    answer = ask(gate, tmp_path, "record", "show", "#999")

    assert (answer.returncode, answer.stdout) == (1, "")
    assert "#999" in answer.stderr
