"""A Mapping on trial beside the one that decides: compared on live alerts, told, and without any effect."""

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
import yaml

from intops_api.plan import FlowPlan
from intops_api.report import ShadowReport
from support.peers.process import wait_until
from support.ports import free_port
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk, put_on_trial, rule_of
from support.runtime.local_run import DESK_TOKEN, PLAIN, SOURCE_TOKEN, LocalRun
from support.runtime.worker_process import WorkerProcess
from support.simulators.api_gate import ApiGate
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.component

SECRETS = {"alertmanager-token": {"token": SOURCE_TOKEN}, "helpdesk-token": {"token": DESK_TOKEN}}
FIRING: dict[str, Any] = json.loads((EXAMPLE / "samples" / "01-firing.json").read_bytes())
SEVERITIES = ("warning", "warning", "critical")
CLUMSY = "clumsy"


def candidate(spec: dict[str, Any]) -> None:
    """Names its tool in another way, and has forgotten what critical is."""
    rule_of(spec, "source.tool")["cel"] = '"prometheus"'
    del rule_of(spec, "severity")["values"]["critical"]


@pytest.fixture
def desk() -> Iterator[HelpdeskSimulator]:
    """The simulated helpdesk."""
    desk = HelpdeskSimulator(token=DESK_TOKEN)
    desk.start()
    yield desk
    desk.stop()
    shutil.rmtree(desk.workdir, ignore_errors=True)


@pytest.fixture
def plan(desk: HelpdeskSimulator) -> FlowPlan:
    """The first example, with a changed copy of its source Mapping on trial."""
    return alerts_to_helpdesk(
        desk.url, edit=lambda manifests: put_on_trial(manifests, "alertmanager-to-event", candidate)
    )


def alert(number: int, severity: str, title: str) -> dict[str, Any]:
    """One alert of its own."""
    first = FIRING["alerts"][0]
    return {
        **first, "fingerprint": f"{number:016x}", "annotations": {"summary": title},
        "labels": {**first["labels"], "severity": severity},
    }  # fmt: skip


def send(worker: WorkerProcess, plan: FlowPlan, *alerts: dict[str, Any]) -> None:
    """One delivery."""
    answer = httpx.post(
        worker.capture_url(plan), json={**FIRING, "alerts": list(alerts)}, timeout=10.0,
        headers={"Authorization": f"Bearer {SOURCE_TOKEN}"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text


def compared(worker: WorkerProcess, messages: int) -> ShadowReport:
    """The trial, once it has seen so many messages and all of them are delivered."""
    worker.wait_drained()

    def seen() -> ShadowReport | None:
        (shadow,) = worker.report().shadows
        return shadow if shadow.compared + shadow.skipped >= messages else None

    return wait_until(seen, what=f"{messages} messages are compared")


def ask(gate: ApiGate, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command with a kubeconfig that leads to the gate."""
    config = gate.kubeconfig(folder / "config")
    return subprocess.run(
        [
            sys.executable, "-m", "intops_cli", *arguments, "--kubeconfig", str(config), "-n", "itsm",
        ],
        capture_output=True, text=True, timeout=60, check=False, env=PLAIN,
    )  # fmt: skip


def test_a_shadow_is_told_field_by_field_and_every_ticket_is_that_of_the_mapping_in_use(
    desk: HelpdeskSimulator, plan: FlowPlan, tmp_path: Path
) -> None:
    """Counts in the report and in the metric; values, masked where personal, in the command only."""
    console = free_port("127.0.0.1")
    alerts = [alert(n, severity, f"alert {n}") for n, severity in enumerate(SEVERITIES)]
    with WorkerProcess(plan, secrets=SECRETS) as worker:
        worker.start(worker_flags=("--console-port", str(console)))
        worker.wait_ready()
        send(worker, plan, *alerts)
        shadow = compared(worker, len(alerts))
        # Two replicas; each is asked, since each counts for itself. Here one worker stands for both.
        gate = ApiGate(dict.fromkeys(("intops-a-0", "intops-a-1"), (plan.flow.name, console)))
        told = ask(gate, tmp_path, "shadow", plan.flow.name, "-o", "json")
        page = ask(gate, tmp_path, "shadow", plan.flow.name)
        asked = set(gate.asked)
        gate.stop()
        metrics = worker.metrics()

    assert (shadow.binding, shadow.mapping) == ("prometheus", "candidate")
    assert (shadow.same, shadow.differing, shadow.unmapped, shadow.skipped) == (0, 2, 1, 0)
    assert {(f.path, f.result, f.messages) for f in shadow.fields} == {
        ("severity", "unmapped", 1), ("event.source.tool", "differs", 2),
    }  # fmt: skip
    assert (
        f'intops_shadow_total{{binding="prometheus",flow="{plan.flow.name}",namespace="itsm",result="differs"}} 2.0'
        in metrics
    )
    tickets = desk.tickets()
    assert sorted(t["Subject"] for t in tickets) == ["alert 0", "alert 1", "alert 2"]
    assert sorted(t["CustomFields"]["Severity"] for t in tickets) == sorted(SEVERITIES)

    assert asked == {f"{pod}:8082" for pod in ("intops-a-0", "intops-a-1")}
    (found,) = json.loads(told.stdout)
    assert (found["differing"], found["unmapped"]) == (4, 2)
    fields = {field["path"]: field for field in found["fields"]}
    tool = fields["event.source.tool"]
    assert (tool["now"], tool["candidate"], tool["messages"]) == ("alertmanager", "prometheus", 4)
    assert "critical" in fields["severity"]["detail"]
    assert (told.returncode, page.returncode) == (1, 1)
    assert "fails: cannot be mapped" in page.stdout
    assert "write mapping: candidate and remove shadow" in page.stdout


def test_a_shadow_that_crashes_costs_nothing_and_is_counted(
    desk: HelpdeskSimulator, plan: FlowPlan
) -> None:
    """Alerts before and after it in the same delivery are compared, and all become tickets."""
    titles = ["before", f"a {CLUMSY} alert", "after"]
    with WorkerProcess(plan, secrets=SECRETS) as worker:
        worker.start("--shadow-fails-on", CLUMSY)
        worker.wait_ready()
        send(worker, plan, *(alert(n, "warning", title) for n, title in enumerate(titles)))
        shadow = compared(worker, len(titles))
        store = worker.report().store

    assert (shadow.differing, shadow.error) == (2, 1)
    assert ("", "error", 1) in {(f.path, f.result, f.messages) for f in shadow.fields}
    assert (store.done, store.review, store.imbalance) == (3, 0, 0)
    assert sorted(t["Subject"] for t in desk.tickets()) == sorted(titles)


def test_counts_begin_anew_with_a_changed_shadow_and_end_with_its_removal(
    desk: HelpdeskSimulator, plan: FlowPlan
) -> None:
    """A mended shadow is judged by what it does now."""
    mended = alerts_to_helpdesk(
        desk.url,
        edit=lambda manifests: put_on_trial(
            manifests, "alertmanager-to-event", lambda spec: spec["fields"].reverse()
        ),
    )
    with WorkerProcess(plan, secrets=SECRETS) as worker:
        worker.start()
        worker.wait_ready()
        send(worker, plan, alert(1, "warning", "first"))
        assert compared(worker, 1).differing == 1
        worker.write_plan(mended)
        wait_until(lambda: worker.report().active == mended.hash, what="the mended shadow")
        send(worker, plan, alert(2, "critical", "second"))
        assert (compared(worker, 1).same, compared(worker, 1).fields) == (1, [])
        without = alerts_to_helpdesk(desk.url)
        worker.write_plan(without)
        wait_until(lambda: worker.report().active == without.hash, what="no shadow")

        assert worker.report().shadows == []


def test_a_local_run_tries_a_shadow_too_and_says_when_it_may_take_over(
    desk: HelpdeskSimulator, tmp_path: Path
) -> None:
    """The same manifests without a cluster: status and command, with an exit code for a pipeline."""
    folder = tmp_path / "flow"
    shutil.copytree(EXAMPLE, folder)
    mapping = next(yaml.safe_load_all((folder / "mappings.yaml").read_text(encoding="utf-8")))
    mapping["metadata"]["name"] = "candidate"
    (folder / "candidate.yaml").write_text(yaml.safe_dump(mapping), encoding="utf-8")
    flow = (folder / "flow.yaml").read_text(encoding="utf-8")
    beside = "mapping: alertmanager-to-event"
    (folder / "flow.yaml").write_text(
        flow.replace(beside, f"{beside}, shadow: candidate"), encoding="utf-8"
    )
    run = LocalRun("--endpoint", f"helpdesk={desk.url}", folder=folder)
    try:
        wait_until(run.marker, what="the run is up")
        silent = run.ask("shadow", "alerts-to-helpdesk")
        assert run.post("01-firing.json") == 200
        agreed = wait_until(
            lambda: (
                answer
                if (answer := run.ask("shadow", "alerts-to-helpdesk")).returncode == 0
                else None
            ),
            what="the shadow agrees",
        )
        status = yaml.safe_load(run.ask("get", "flow", "alerts-to-helpdesk", "-o", "yaml").stdout)
        nobody = run.ask("shadow", "another")
    finally:
        run.close()

    assert silent.returncode == 1
    assert "no message has come since" in silent.stdout
    assert "write mapping: candidate and remove shadow" in agreed.stdout
    (shadow,) = status["status"]["shadows"]
    assert (shadow["compared"], shadow["differing"], shadow["failing"]) == (1, 0, 0)
    assert nobody.returncode == 3
    assert 'runs Flow "another"' in nobody.stderr
