"""The review queue and the audit of a local run, by the commands that people type."""

from __future__ import annotations

import contextlib
import getpass
import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
import yaml

from support.peers.postgresql import PostgreSQL
from support.peers.process import wait_until
from support.runtime.local_run import DESK_TOKEN, EXAMPLE, LocalRun, intops
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.component

FLOW = "alerts-to-helpdesk"


def alert(name: str, severity: str) -> bytes:
    """A firing alert with a severity that the Mapping may not know."""
    body = json.loads((EXAMPLE / "samples" / "01-firing.json").read_bytes())
    (item,) = body["alerts"]
    item["labels"]["severity"] = severity
    item["annotations"]["summary"] = f"{name} hurts"
    item["fingerprint"] = name
    return json.dumps(body).encode()


@contextlib.contextmanager
def running(endpoint: str, project: Path) -> Iterator[LocalRun]:
    """A run with three alerts of a severity "odd" and one of "strange" in review."""
    run = LocalRun("--endpoint", f"helpdesk={endpoint}", "--quiet", folder=project)
    try:
        wait_until(run.marker, what="intops run is up")
        for name, severity in (("a", "odd"), ("b", "odd"), ("c", "odd"), ("d", "strange")):
            body = alert(name, severity)
            wait_until(lambda b=body: run.post_body(b) == 200, what="the store is open")  # type: ignore[misc]
        wait_until(lambda: len(each(run)) == 4, what="four messages are in review")
        yield run
    finally:
        run.close()


@pytest.fixture
def desk() -> Iterator[HelpdeskSimulator]:
    """The simulated helpdesk."""
    desk = HelpdeskSimulator(token=DESK_TOKEN)
    desk.start()
    yield desk
    desk.stop()
    shutil.rmtree(desk.workdir, ignore_errors=True)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> PostgreSQL | None:
    """Each store engine in turn: the server, or None for the embedded one."""
    if request.param == "sqlite":
        return None
    peer: PostgreSQL = request.getfixturevalue("peer")
    return peer


def project(engine: PostgreSQL | None, folder: Path) -> tuple[Path, str]:
    """The example with an empty store of this engine; with PostgreSQL in a database of its own."""
    if engine is None:
        return EXAMPLE, ""
    database = f"run_{uuid.uuid4().hex[:8]}"
    engine.sql(f"CREATE DATABASE {database}")
    shutil.copytree(EXAMPLE, folder / EXAMPLE.name)
    folder = folder / EXAMPLE.name
    flow = yaml.safe_load((folder / "flow.yaml").read_text(encoding="utf-8"))
    flow["spec"]["runtime"]["store"] = {"postgres": {"secretName": "store"}}
    (folder / "flow.yaml").write_text(yaml.safe_dump(flow), encoding="utf-8")
    secret = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "store"},
        "stringData": {**engine.secret, "database": database},
    }  # fmt: skip
    (folder / "store.yaml").write_text(yaml.safe_dump(secret), encoding="utf-8")
    return folder, database


@pytest.fixture(scope="module")
def waiting(
    engine: PostgreSQL | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalRun]:
    """A run about which nothing is decided, and which needs no desk."""
    folder, _ = project(engine, tmp_path_factory.mktemp("waiting"))
    with running("http://127.0.0.1:9", folder) as run:
        yield run


@pytest.fixture
def place(engine: PostgreSQL | None, tmp_path: Path) -> tuple[Path, str]:
    """Where the run of one test is: its folder, and its database where it has one."""
    return project(engine, tmp_path)


@pytest.fixture
def local(desk: HelpdeskSimulator, place: tuple[Path, str]) -> Iterator[LocalRun]:
    """A run to decide about."""
    with running(desk.url, place[0]) as run:
        yield run


def cut_the_end(run: LocalRun, engine: PostgreSQL | None, database: str) -> None:
    """Take the last entry of the audit out of the store, as somebody with access to it could."""
    store = run.state / "data" / f"default.{FLOW}" / "store.sqlite"
    schema = "" if engine is None else "intops."
    for table in ("audit_values", "audit"):
        statement = f"DELETE FROM {schema}{table} WHERE seq = (SELECT max(seq) FROM {schema}audit)"
        if engine is not None:
            engine.sql(statement, database=database)
        else:
            db = apsw.Connection(str(store))
            db.execute(statement)
            db.close()


def listed(run: LocalRun) -> list[dict[str, Any]]:
    """Groups in review."""
    found: list[dict[str, Any]] = json.loads(run.ask("review", "list", "-o", "json").stdout)
    return found


def each(run: LocalRun) -> list[dict[str, Any]]:
    """Messages in review."""
    answer = run.ask("review", "list", "--each", "-o", "json")
    found: list[dict[str, Any]] = json.loads(answer.stdout or "[]")
    return found


def entries(run: LocalRun) -> list[dict[str, Any]]:
    """Entries of the audit."""
    found: list[dict[str, Any]] = json.loads(run.ask("audit", "list", "-o", "json").stdout)
    return found


def subjects(desk: HelpdeskSimulator) -> list[str]:
    """What the desk got, sorted."""
    return sorted(ticket["Subject"] for ticket in desk.tickets())


def test_equal_errors_are_one_line_with_owner_and_due_time(waiting: LocalRun) -> None:
    """Whoever is on call sees two questions, not four messages, and who answers them by when."""
    table = waiting.ask("review", "list")
    odd, strange = sorted(listed(waiting), key=lambda group: group["count"], reverse=True)

    assert (odd["count"], strange["count"]) == (3, 1)
    assert odd["ids"] == [1, 2, 3]
    assert {group["owner"] for group in (odd, strange)} == {"service-desk"}
    heading, *rows = table.stdout.splitlines()
    assert heading.split() == ["ID", "COUNT", "FLOW", "CLASS", "FIELD", "OWNER", "DUE", "WHY"]
    assert any(row.split()[:5] == ["1", "3", FLOW, "validation", "severity"] for row in rows)
    assert 'no entry for "odd"' in odd["detail"]


def test_show_tells_what_came_why_it_waits_and_what_to_do(waiting: LocalRun) -> None:
    """One page is enough to decide."""
    page = waiting.ask("review", "show", "4").stdout

    assert 'Why:       The table of "severity" has no entry for "strange"' in page
    assert "intops review edit 4 --set severity=critical|major|" in page
    assert "severity: strange" in page
    assert "Decides:   service-desk, by " in page


def test_an_edit_that_does_not_fit_the_model_is_refused_with_the_field(waiting: LocalRun) -> None:
    """Nothing changes, and the sentence says which values there are."""
    wrong = waiting.ask("review", "edit", "1", "--set", "severity=awful", "--reason", "why not")
    typo = waiting.ask("review", "edit", "1", "--set", "severty=major", "--reason", "why not")

    assert (wrong.returncode, typo.returncode) == (1, 1)
    assert 'severity: it cannot be "awful"; allowed: critical, major' in wrong.stderr
    assert 'Did you mean "severity"?' in typo.stderr
    assert len(each(waiting)) == 4


def test_an_edit_of_all_equal_ones_delivers_them_and_is_recorded(
    local: LocalRun, desk: HelpdeskSimulator
) -> None:
    """One answer settles one question; the desk gets every alert with the corrected field."""
    done = local.ask(
        "review", "edit", "2", "--equal", "--set", "severity=major", "--reason", "odd is major"
    )
    wait_until(lambda: len(desk.tickets()) == 3, what="three tickets")

    assert (done.returncode, done.stdout) == (
        0,
        f"3 messages of {FLOW} corrected and tried again.\n",
    )
    assert subjects(desk) == ["a hurts", "b hurts", "c hurts"]
    assert [group["count"] for group in listed(local)] == [1]
    edits = [entry for entry in entries(local) if entry["action"] == "edit"]
    assert [entry["message"] for entry in edits] == [1, 2, 3]
    assert {entry["values"]["actor"] for entry in edits} == {getpass.getuser()}
    assert edits[0]["values"]["changes"] == {"severity": {"before": None, "after": "major"}}
    assert edits[0]["values"]["reason"] == "odd is major"


def test_a_decision_is_applied_once_whoever_repeats_it(
    local: LocalRun, desk: HelpdeskSimulator
) -> None:
    """A script that did not see the answer may ask again: nothing happens twice."""
    command = ("review", "discard", "--all", "--flow", FLOW, "--reason", "a test", "--id", "once")
    first, again = local.ask(*command), local.ask(*command)

    assert first.stdout == f"4 messages of {FLOW} discarded.\n"
    assert "had been applied before" in again.stdout
    assert [entry["action"] for entry in entries(local)].count("discard") == 4
    assert desk.tickets() == []
    assert {message["state"] for message in local.messages()} == {"discarded"}


def test_a_retry_that_still_cannot_work_says_why_and_leaves_the_message(waiting: LocalRun) -> None:
    """The cause is still there: the person reads it again instead of waiting for nothing."""
    answer = waiting.ask("review", "retry", "4")

    assert answer.returncode == 1
    assert 'no entry for "strange"' in answer.stderr
    assert len(each(waiting)) == 4


def test_a_write_that_the_desk_refused_is_delivered_after_a_retry(
    local: LocalRun, desk: HelpdeskSimulator
) -> None:
    """The cause was at the desk; when it is gone, one command delivers, and nothing comes twice."""
    desk.set_faults(fail_probability=1.0, fail_status=422)
    local.post_body(alert("e", "major"))
    found = wait_until(
        lambda: [item for item in each(local) if item["record"]], what="the refusal is in review"
    )
    desk.clear_faults()
    answer = local.ask("review", "retry", str(found[0]["id"]))
    wait_until(lambda: subjects(desk) == ["e hurts"], what="the ticket")

    assert answer.stdout == f"1 message of {FLOW} tried again.\n"
    assert desk.ledger(entries=False)["duplicates"] == {}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["show"], 2, "Name a message"),
        (["show", "99"], 1, "No message 99 is in review"),
        (["retry"], 2, "Say which messages are meant"),
        (["retry", "99"], 1, "99"),
        (["discard", "1"], 2, "--reason"),
        (["discard", "--all", "--reason", "x"], 2, "--flow"),
        (["edit", "1", "--reason", "x"], 2, "--set"),
        (["edit", "1", "--set", "severity", "--reason", "x"], 2, "FIELD=VALUE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_of_review_has_its_exit_code_and_a_sentence(
    waiting: LocalRun, arguments: list[str], code: int, says: str
) -> None:
    """Nothing is decided by accident."""
    answer = waiting.ask("review", *arguments)

    assert (answer.returncode, answer.stdout) == (code, "")
    assert says in answer.stderr
    assert len(each(waiting)) == 4


def test_the_chain_verifies_until_somebody_touches_the_file(
    local: LocalRun,
    desk: HelpdeskSimulator,
    engine: PostgreSQL | None,
    place: tuple[Path, str],
    tmp_path: Path,
) -> None:
    """Any change of the stored chain is found, and an export shows that its end was cut off."""
    local.ask("review", "discard", "1", "--reason", "a test of the monitoring")
    export = tmp_path / "audit.jsonl"
    export.write_text(local.ask("audit", "export").stdout, encoding="utf-8")
    whole = local.ask("audit", "verify", "--against", str(export))
    in_file = intops("audit", "verify", "--file", str(export))
    assert (whole.returncode, in_file.returncode) == (0, 0)
    assert "nothing changed" in whole.stdout
    assert whole.stdout.splitlines()[-1] == in_file.stdout.splitlines()[-1]

    head = whole.stdout.split("head ")[1].strip()
    local.end()
    cut_the_end(local, engine, place[1])
    again = LocalRun(
        "--endpoint", f"helpdesk={desk.url}", "--quiet", folder=place[0], state=local.state
    )
    try:
        wait_until(again.marker, what="intops run is up again")
        wait_until(lambda: again.ask("audit", "list").returncode == 0, what="its store is open")
        silent = again.ask("audit", "verify")
        found = again.ask("audit", "verify", "--head", head)
        assert (silent.returncode, found.returncode) == (0, 1)
        assert "the end of the chain was cut off" in found.stderr
    finally:
        again.end()


def test_a_database_that_is_away_is_told_in_a_sentence(tmp_path: Path) -> None:
    """Whoever asks meanwhile reads what to do, and the worker goes on by itself afterwards."""
    with PostgreSQL() as server:
        folder, _ = project(server, tmp_path)
        run = LocalRun("--endpoint", "helpdesk=http://127.0.0.1:9", "--quiet", folder=folder)
        try:
            wait_until(run.marker, what="intops run is up")
            wait_until(lambda: run.ask("audit", "list").returncode == 0, what="the store is open")
            server.crash()
            listed, verified = run.ask("review", "list"), run.ask("audit", "verify")
            server.start()
            wait_until(lambda: run.ask("audit", "verify").returncode == 0, what="it is back")
        finally:
            run.close()

    for answer in (listed, verified):
        assert answer.returncode != 0
        assert "nobody listens there; it is asked again" in answer.stderr
        assert "Traceback" not in answer.stderr


def test_erased_values_leave_a_chain_that_verifies(local: LocalRun) -> None:
    """S-39: The right to be forgotten and the duty to keep records go together."""
    key = each(local)[0]["key"]
    local.ask("review", "discard", "1", "--reason", "asked for by jo@example.com")
    erased = local.ask("audit", "erase", key, "--reason", "request of the person concerned")
    verified = local.ask("audit", "verify")

    assert (erased.returncode, verified.returncode) == (0, 0)
    assert "jo@example.com" not in local.ask("audit", "export").stdout
    assert "2 without values by request" in verified.stdout
