"""`intops status`, `top` and `doctor` about real local runs: well, broken on purpose, and killed."""

from __future__ import annotations

import http.server
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.kubectl_plugin import as_plugin
from support.peers.process import wait_until
from support.runtime.local_run import DESK_TOKEN, PLAIN, LocalRun, intops
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def well() -> Iterator[LocalRun]:
    """A run that has made one ticket."""
    desk = HelpdeskSimulator(token=DESK_TOKEN)
    desk.start()
    run = LocalRun("--endpoint", f"helpdesk={desk.url}")
    try:
        wait_until(run.marker, what="intops run is up")
        assert run.post("01-firing.json") == 200
        wait_until(lambda: [m["state"] for m in run.messages()] == ["done"], what="a ticket")
        yield run
    finally:
        run.close()
        desk.stop()
        shutil.rmtree(desk.workdir, ignore_errors=True)


@pytest.fixture
def down() -> Iterator[LocalRun]:
    """A run whose desk refuses connections, with one message that waits for it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listened to: nobody else gets it
        run = LocalRun("--endpoint", f"helpdesk=http://127.0.0.1:{held.getsockname()[1]}")
        try:
            wait_until(run.marker, what="intops run is up")
            assert run.post("01-firing.json") == 200
            wait_until(
                lambda: "DestinationDown" in run.ask("get", "flows").stdout, what="the desk is down"
            )
            yield run
        finally:
            run.close()


def findings(state: Path) -> tuple[int, dict[str, Any]]:
    """Exit code of doctor, and its findings by level and check."""
    done = intops("doctor", "--session", str(state), "-o", "json")
    found = {f"{one['level']} {one['check']}": one for one in json.loads(done.stdout)}
    return done.returncode, found


def test_a_run_that_is_well_needs_nobody(well: LocalRun) -> None:
    """Exit code 0, and one line that says so."""
    said = well.ask("status")

    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("1 Flow: 1 well; nothing for a person.\nLocal run: worker ")
    assert max(map(len, said.stdout.splitlines())) <= 80
    assert json.loads(well.ask("status", "-o", "json").stdout)["well"] is True


def test_watching_shows_it_again_until_ctrl_c(well: LocalRun, tmp_path: Path) -> None:
    """Exit code 130, as of every command that Ctrl-C ends, and no traceback."""
    said = tmp_path / "said"
    with said.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "intops_cli", "status", "-w", "--session", str(well.state)],
            stdout=out, stderr=out, env=PLAIN,
        )  # fmt: skip
    try:
        wait_until(lambda: said.read_text().count("1 Flow: 1 well") >= 2, what="a second look")
    finally:
        process.send_signal(signal.SIGINT)

    assert process.wait(20) == 130
    assert "Traceback" not in said.read_text()
    assert "\x1b" not in said.read_text()


def test_top_counts_what_was_delivered(well: LocalRun) -> None:
    """The same numbers as `get flows -o wide`, sorted; in JSON for a script."""
    (line,) = json.loads(well.ask("top", "--sort", "backlog", "-o", "json").stdout)

    assert (line["name"], line["deliveredPerHour"], line["backlog"]) == ("alerts-to-helpdesk", 1, 0)


def test_a_desk_that_is_down_is_told_in_the_words_of_the_condition(down: LocalRun) -> None:
    """Exit code 1; which system, and how many messages wait."""
    said = down.ask("status")
    text = " ".join(said.stdout.split())

    assert said.returncode == 1
    assert "alerts-to-helpdesk DestinationDown 1 " in text
    assert 'The system of connector "helpdesk" does not answer' in text
    assert "1 message is waiting, none lost" in text
    assert "SYSTEMS DOWN helpdesk (127.0.0.1): DestinationDown, used by 1 Flow" in text


def test_doctor_finds_a_run_well_and_then_killed_and_then_its_store_damaged(down: LocalRun) -> None:
    """What was killed can be started again; what is damaged is told before a worker refuses it."""
    code, found = findings(down.state)
    assert (code, {key.split()[0] for key in found} - {"ok", "warning"}) == (0, set())
    assert "answers" in found["ok run"]["what"]

    down.process.send_signal(signal.SIGKILL)
    down.process.wait(20)
    code, found = findings(down.state)
    assert code == 0
    assert "ended without a word" in found["warning run"]["what"]
    assert "ok stores" in found

    (down.state / "secrets").chmod(0o755)
    store = down.state / "data" / "default.alerts-to-helpdesk" / "store.sqlite"
    for beside in store.parent.glob("store.sqlite-*"):
        beside.unlink()
    store.write_bytes(b"not a store" * 1000)
    code, found = findings(down.state)
    assert code == 1
    assert "default.alerts-to-helpdesk is damaged" in found["broken stores"]["what"]
    assert "chmod -R go=" in found["broken secrets"]["do"]


def test_doctor_is_of_use_where_nothing_runs() -> None:
    """It says what is here, and how to start."""
    with tempfile.TemporaryDirectory() as nowhere:
        code, found = findings(Path(nowhere) / "none")

    assert code == 0
    assert "ok python" in found
    assert "intops run DIR" in found["ok run"]["what"]


def test_the_plugin_means_a_cluster_and_not_the_run_of_this_folder(well: LocalRun) -> None:
    """`kubectl intops` without a kubeconfig says what is missing instead of answering about something else."""

    said = as_plugin("status", state=well.state)

    assert said.returncode == 3
    assert "No cluster can be reached" in said.stderr
    assert as_plugin("status", "--session", str(well.state)).returncode == 0


@pytest.mark.parametrize(
    "command", [["status"], ["doctor"], ["top"], ["get", "flows"], ["messages"]], ids=" ".join
)
def test_a_cluster_that_does_not_answer_or_does_not_know_you_is_told_in_a_sentence(
    command: list[str], tmp_path: Path
) -> None:
    """Exit code 3, the address, and what to look at; no traceback, no address of an object in memory."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{held.getsockname()[1]}"
        dead = intops(*command, "--kubeconfig", str(kubeconfig(tmp_path, address)))
    with strict_server() as address:
        unknown = intops(*command, "--kubeconfig", str(kubeconfig(tmp_path, address)))

    assert (dead.returncode, dead.stdout) == (3, "")
    assert "did not answer: Connection refused. See whether it is the cluster" in dead.stderr
    assert "0x" not in dead.stderr
    assert (unknown.returncode, unknown.stdout) == (3, "")
    assert "does not know who you are: Unauthorized. Log in again" in unknown.stderr


def kubeconfig(folder: Path, server: str) -> Path:
    """Access to a server with a token that it does not know."""
    path = folder / "config"
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "one",
        "clusters": [{"name": "one", "cluster": {"server": server}}],
        "users": [{"name": "one", "user": {"token": "old"}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
    }  # fmt: skip
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


@contextmanager
def strict_server() -> Iterator[str]:
    """Answers everything as an API server answers whom it does not know; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"kind": "Status", "message": "Unauthorized", "code": 401}).encode()
            self.send_response(401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
