"""`intops run` and the commands beside it, as processes, against the simulated helpdesk."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from support.peers.process import wait_until
from support.runtime.local_run import (
    DESK_TOKEN,
    EXAMPLE,
    PLAIN,
    SECRETS,
    LocalRun,
    intops,
)
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.component

Start = Callable[..., LocalRun]


@pytest.fixture(scope="module")
def desk() -> Iterator[HelpdeskSimulator]:
    """The simulated helpdesk."""
    desk = HelpdeskSimulator(token=DESK_TOKEN)
    desk.start()
    yield desk
    desk.stop()
    shutil.rmtree(desk.workdir, ignore_errors=True)


@pytest.fixture(scope="module")
def local(desk: HelpdeskSimulator) -> Iterator[LocalRun]:
    """A run that has made one ticket, recognised its copy, and resolved it."""
    run = LocalRun("--endpoint", f"helpdesk={desk.url}")
    try:
        wait_until(run.marker, what="intops run is up")
        for sample in ("01-firing.json", "01-firing.json", "02-resolved.json"):
            assert run.post(sample) == 200
        wait_until(
            lambda: [t["Status"] for t in desk.tickets()] == ["resolved"],
            what="the ticket is resolved",
        )
        wait_until(
            lambda: [m["state"] for m in run.messages()] == ["done", "dropped", "done"],
            what="every message has ended",
        )
        yield run
    finally:
        run.close()


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts runs that end with the test."""
    runs: list[LocalRun] = []

    def one(*arguments: str, folder: Path = EXAMPLE) -> LocalRun:
        runs.append(LocalRun(*arguments, folder=folder))
        return runs[-1]

    yield one
    for run in runs:
        run.close()


def test_an_alert_its_copy_and_its_recovery_make_one_resolved_ticket(
    local: LocalRun, desk: HelpdeskSimulator
) -> None:
    """The main job, without a cluster: what the manifests say is what the desk gets."""
    (ticket,) = desk.tickets()

    assert (ticket["Subject"], ticket["Queue"]) == ("127.0.0.1:19199 down", "Payments")
    assert [m["reason"] for m in local.messages()][1] == "duplicate"
    assert desk.ledger(entries=False)["duplicates"] == {}


def test_get_flows_shows_the_table_of_kubectl(local: LocalRun) -> None:
    """The same headings and words as in a cluster; wide shows more columns."""
    narrow, wide = local.ask("get", "flows"), local.ask("get", "flows", "-o", "wide")

    heading, row = narrow.stdout.splitlines()
    assert (narrow.returncode, wide.returncode) == (0, 0)
    assert heading.split()[:4] == ["NAME", "PATTERN", "READY", "REASON"]
    assert row.split()[:4] == ["alerts-to-helpdesk", "event-to-incident", "True", "Healthy"]
    assert wide.stdout.splitlines()[0].startswith(heading.rstrip())
    assert len(wide.stdout.splitlines()[0].split()) > len(heading.split())


def test_get_in_json_and_yaml_is_the_object_of_the_cluster(local: LocalRun) -> None:
    """Scripts that read `kubectl get -o json` read this."""
    listed = json.loads(local.ask("get", "flows", "-o", "json").stdout)
    one = yaml.safe_load(local.ask("get", "flow", "alerts-to-helpdesk", "-o", "yaml").stdout)

    assert [item["metadata"]["name"] for item in listed["items"]] == ["alerts-to-helpdesk"]
    assert listed["kind"] == "FlowList"
    ready = [c for c in one["status"]["conditions"] if c["type"] == "Ready"]
    assert [(c["status"], c["reason"]) for c in ready] == [("True", "Healthy")]


def test_trace_leads_from_a_ticket_to_its_messages(local: LocalRun) -> None:
    """A person with a ticket number finds what made it, by number, fingerprint and id alike."""
    table = local.ask("trace", "#1")
    traces = [
        json.loads(local.ask("trace", text, "-o", "json").stdout)
        for text in ("#1", "8b3897563cc2333a", "1")
    ]

    assert table.returncode == 0
    assert "record #1 of helpdesk" in table.stdout
    assert "attempt create" in table.stdout
    ids = [[m["id"] for m in trace[0]["messages"]] for trace in traces]
    assert ids[0] == ids[1]
    assert all(1 in found for found in ids)
    assert traces[0][0]["links"][0]["displayId"] == "#1"


def test_explain_message_tells_each_field_and_its_meaning(local: LocalRun) -> None:
    """From payload to ticket, field by field, with the words of the Mapping."""
    wide = local.ask("explain", "message", "1", "-o", "wide")
    steps = json.loads(local.ask("explain", "message", "1", "-o", "json").stdout)["steps"]

    assert wide.returncode == 0
    assert "Message 1 is done" in wide.stderr
    by_field = {(step["mapping"], step["to"]): step for step in steps}
    queue = by_field["incident-to-helpdesk", "Queue"]
    assert (queue["before"], queue["after"]) == ("Payments-L2", "Payments")
    assert queue["meaning"] in wide.stdout


def test_messages_are_chosen_by_state(local: LocalRun) -> None:
    """Nothing found is no error, and says so beside the answer."""
    dropped = json.loads(local.ask("messages", "--state", "dropped", "-o", "json").stdout)
    review = local.ask("messages", "--state", "review")

    assert [message["reason"] for message in dropped] == ["duplicate"]
    assert (review.returncode, review.stdout, review.stderr) == (0, "", "Nothing found.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["get", "flow", "nothing"], 1, 'no Flow "nothing"'),
        (["trace", "#99999"], 1, "#99999"),
        (["explain", "message", "99999"], 1, "no message 99999"),
        (["explain", "message", "one"], 1, "no message one"),
        (["explain", "error", "nothing"], 1, "rateLimited"),
        (["messages", "--older-than", "soon"], 2, "--older-than"),
        (["get", "pods"], 2, "flows"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_answer_of_no_has_its_exit_code_and_a_sentence(
    local: LocalRun, arguments: list[str], code: int, says: str
) -> None:
    """Scripts tell "no" from "wrong use"; people read why."""
    answer = local.ask(*arguments)

    assert (answer.returncode, answer.stdout) == (code, "")
    assert says in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    "arguments",
    [["get", "flows"], ["messages"], ["trace", "#1"], ["explain", "message", "1"]],
    ids=lambda arguments: str(arguments[0]),
)
def test_without_a_run_every_question_says_so(tmp_path: Path, arguments: list[str]) -> None:
    """Exit code 3, and what to start."""
    answer = intops(*arguments, state=tmp_path)

    assert answer.returncode == 3
    assert "intops run DIR" in answer.stderr


def on_a_terminal(local: LocalRun, **environment: str) -> str:
    """What `intops get flows` shows on a terminal."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "intops_cli", "get", "flows", "--session", str(local.state)],
            stdout=theirs, stderr=subprocess.DEVNULL,
            env={**PLAIN, "TERM": "xterm", **environment},
        )  # fmt: skip
        assert process.wait(60) == 0
        return os.read(ours, 65536).decode()
    finally:
        os.close(theirs)
        os.close(ours)


def test_colour_is_for_terminals_and_no_color_is_honoured(local: LocalRun) -> None:
    """A pipe and a person who wants none get none."""
    assert "\x1b[32mTrue" in on_a_terminal(local)
    assert "\x1b" not in on_a_terminal(local, NO_COLOR="1")
    assert "\x1b" not in local.ask("get", "flows").stdout
    assert "\x1b" not in local.said()


def test_the_log_of_a_run_shows_changes_and_no_secret(local: LocalRun) -> None:
    """S-32: Without a terminal, a new table follows whenever something changed; credentials never show."""
    kept = [f for f in local.state.rglob("*") if f.is_file() and "secrets" not in f.parts]
    texts = [local.said(), *(f.read_text("utf-8", errors="replace") for f in kept)]

    assert "prometheus delivers to http://127.0.0.1:" in texts[0]
    assert texts[0].count("alerts-to-helpdesk") >= 2
    assert any("worker started" in text for text in texts)
    assert [word for word in SECRETS if any(word in text for text in texts)] == []


def test_secrets_of_a_run_are_for_its_owner_only(local: LocalRun) -> None:
    """S-39: Nobody else on the machine reads a token or a message, or asks the worker."""
    secrets = local.state / "secrets"
    files = [secrets, *secrets.rglob("*"), local.state / "console.sock"]

    assert [f for f in files if f.stat().st_mode & 0o077 and f.parent != secrets.parent] == []
    assert secrets.stat().st_mode & 0o077 == 0
    assert (local.state / "data").stat().st_mode & 0o077 == 0
    assert (local.state / "console.sock").stat().st_mode & 0o077 == 0


def test_a_second_run_on_the_same_state_is_refused(local: LocalRun) -> None:
    """Two workers never share a store; the first goes on."""
    second = intops("run", str(EXAMPLE), "--session", str(local.state), "--port", "0")

    assert second.returncode == 3
    assert "already runs" in second.stderr
    assert "--session" in second.stderr
    assert local.ask("get", "flows").returncode == 0


def test_a_port_that_is_taken_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """Exit code 3, the port, and what to do; the next run is not in the way of this one."""
    state = Path(tempfile.mkdtemp(prefix="intops-run-"))
    try:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            ended = intops("run", str(EXAMPLE), "--session", str(state), "--port", str(port))

        assert ended.returncode == 3
        assert f"Port {port} on 127.0.0.1 cannot be opened" in ended.stderr
        assert "--port" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert not (state / "console.sock").exists()
        assert not (state / "worker.json").exists()
    finally:
        shutil.rmtree(state)


def test_a_state_folder_that_is_too_deep_for_a_socket_is_told(tmp_path: Path) -> None:
    """The system's limit is told as what it is, not as a port that is taken."""
    ended = intops("run", str(EXAMPLE), "--session", str(tmp_path / ("x" * 110)), "--port", "0")

    assert ended.returncode == 2
    assert "--session" in ended.stderr
    assert "Port" not in ended.stderr


def test_refused_manifests_are_told_with_file_and_line_and_nothing_starts(tmp_path: Path) -> None:
    """The same words as admission; the store is not even made."""
    folder = tmp_path / "manifests"
    shutil.copytree(EXAMPLE, folder)
    flow = folder / "flow.yaml"
    text = flow.read_text("utf-8")
    flow.write_text(text.replace("incident.service ==", "incident.servise =="), encoding="utf-8")
    line = text[: text.index("when:")].count("\n") + 1

    ended = intops("run", str(folder), "--session", str(tmp_path / "s"), "--port", "0")

    assert ended.returncode == 1
    assert f"flow.yaml:{line}: deny " in ended.stderr
    assert "servise" in ended.stderr
    assert "Nothing was started" in ended.stderr
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=lambda how: str(how.name))
def test_a_signal_ends_a_run_well(
    start: Start, desk: HelpdeskSimulator, how: signal.Signals
) -> None:
    """Exit code 0, no socket, no note of a worker; what was stored is there for the next run."""
    run = start("--endpoint", f"helpdesk={desk.url}", "--quiet")
    wait_until(run.marker, what="intops run is up")

    assert run.end(how) == 0
    assert not (run.state / "console.sock").exists()
    assert not (run.state / "worker.json").exists()
    assert (run.state / "data" / "default.alerts-to-helpdesk" / "store.sqlite").exists()
    assert run.ask("get", "flows").returncode == 3
    assert "Traceback" not in run.said()


def test_replay_tells_what_a_changed_mapping_would_do_and_does_nothing(
    local: LocalRun, desk: HelpdeskSimulator, tmp_path: Path
) -> None:
    """Compared by the worker with its stored deliveries: fields, failures, and an exit code for a pipeline."""
    folder = tmp_path / "changed"
    shutil.copytree(EXAMPLE, folder)
    mappings = (folder / "mappings.yaml").read_text(encoding="utf-8")

    def replay(before: str, after: str, *flags: str) -> subprocess.CompletedProcess[str]:
        assert before in mappings
        (folder / "mappings.yaml").write_text(mappings.replace(before, after), encoding="utf-8")
        return intops(
            "replay", str(folder), "--dry-run", "--session", str(local.state), *flags
        )  # fmt: skip

    tickets = desk.ledger()["count"]
    same = replay("warning: warning", "warning: warning")
    assert same.returncode == 0, same.stderr
    assert "3 stay the same." in same.stdout

    changed = replay("Payments-L2: Payments", "Payments-L2: Pay", "-o", "json")
    assert changed.returncode == 0, changed.stderr
    (found,) = json.loads(changed.stdout)
    (queue,) = found["changes"]
    assert [queue[key] for key in ("field", "now", "candidate", "messages")] == [
        "helpdesk.Queue", "Payments", "Pay", 3,
    ]  # fmt: skip
    assert intops("explain", "message", str(queue["example"]), state=local.state).returncode == 0

    broken = replay(
        "minor: minor, warning: warning, info: info, none: info", "minor: minor, none: info"
    )
    assert broken.returncode == 1
    assert "can be sent now and would fail" in broken.stdout
    assert "validation" in broken.stdout

    refused = replay("to: identityKey", "to: identityKei")
    assert refused.returncode == 1
    assert "Nothing was compared" in refused.stderr
    (folder / "mappings.yaml").write_text(mappings, encoding="utf-8")
    flow = (folder / "flow.yaml").read_text(encoding="utf-8")
    (folder / "flow.yaml").write_text(
        flow.replace("name: alerts-to-helpdesk", "name: another"), encoding="utf-8"
    )
    unknown = replay("warning: warning", "warning: warning")
    assert unknown.returncode == 3
    assert 'No worker runs Flow "default/another"' in unknown.stderr
    assert desk.ledger()["count"] == tickets
