"""The helpdesk simulator shows the faults that the real desk cannot, and keeps an honest ledger.

That it behaves like the real one without faults is shown in tests/component/test_peers.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.peers import PeerError, wait_until
from support.simulators.desk_faults import Fault, FaultSource
from support.simulators.launcher import TESTS, HelpdeskSimulator
from support.simulators.ticketsql import QueryError, parse, required_value

SHORT_S = 0.3
ROW = {
    "id": 7,
    "queue": "Incidents",
    "status": "new",
    "subject": "Disk full",
    "owner": "Nobody",
    "priority": "50",
    "created": 1_790_000_000,
    "lastupdated": 1_790_000_000,
    "cf.intops_key": "k1",
}


@pytest.fixture(scope="module")
def running() -> Iterator[HelpdeskSimulator]:
    """One process for the module."""
    with HelpdeskSimulator() as simulator:
        yield simulator


@pytest.fixture
def desk(running: HelpdeskSimulator) -> HelpdeskSimulator:
    """The desk without faults."""
    running.clear_faults()
    return running


def post(desk: HelpdeskSimulator, key: str, **options: Any) -> httpx.Response:
    """Ask for a ticket with a key."""
    return httpx.post(
        f"{desk.url}/REST/2.0/ticket",
        json={"Queue": "Incidents", "Subject": key, "CustomFields": {"intops_key": key}},
        headers={"Authorization": f"token {desk.token}"},
        **{"timeout": 10.0, **options},
    )


def found(desk: HelpdeskSimulator, key: str) -> list[dict[str, Any]]:
    """Look a key up, as a client would."""
    return desk.tickets(f"CF.{{intops_key}}='{key}'")


def outcomes(desk: HelpdeskSimulator, key: str) -> list[tuple[str, bool, str | None]]:
    """Return outcome, whether the work was done, and the operation, of a key's entries."""
    return [
        (entry["outcome"], entry["done"], entry["op"])
        for entry in desk.ledger()["entries"]
        if entry["key"] == key
    ]


def test_a_hang_after_the_work_leaves_a_ticket_nobody_was_told_about(
    desk: HelpdeskSimulator,
) -> None:
    """hang_after does the work and never answers; the next request is served again."""
    desk.set_faults(hang_after_next=1)

    with pytest.raises(httpx.ReadTimeout):
        post(desk, "hung", timeout=SHORT_S)

    assert len(found(desk, "hung")) == 1
    assert outcomes(desk, "hung") == [("hung_after", True, "create")]
    assert desk.faults()["hang_after_next"] == 0
    assert post(desk, "after-the-hang").status_code == 201


def test_a_hang_before_the_work_leaves_nothing(desk: HelpdeskSimulator) -> None:
    """hang_before does nothing and never answers: to the client it looks like hang_after."""
    desk.set_faults(hang_before_next=1)

    with pytest.raises(httpx.ReadTimeout):
        post(desk, "not-begun", timeout=SHORT_S)

    assert found(desk, "not-begun") == []
    assert outcomes(desk, "not-begun") == [("hung_before", False, "create")]


@pytest.mark.parametrize(("moment", "tickets"), [("before", 0), ("after", 1)])
def test_a_reset_breaks_the_connection(desk: HelpdeskSimulator, moment: str, tickets: int) -> None:
    """The connection is reset before or after the work."""
    key = f"reset-{moment}"
    desk.set_faults(**{f"reset_{moment}_next": 1})

    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        post(desk, key)

    assert len(found(desk, key)) == tickets
    assert outcomes(desk, key) == [(f"reset_{moment}", tickets == 1, "create")]


@pytest.mark.parametrize("status", [429, 503])
def test_the_next_requests_fail_with_retry_after(desk: HelpdeskSimulator, status: int) -> None:
    """fail_next answers a status and Retry-After that many times, and does nothing."""
    key = f"busy-{status}"
    desk.set_faults(fail_next=2, fail_status=status, fail_retry_after_s=7)

    answers = [post(desk, key) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [status, status, 201]
    assert [answer.headers.get("Retry-After") for answer in answers] == ["7", "7", None]
    assert len(found(desk, key)) == 1


def test_a_new_ticket_is_found_only_after_the_lag(desk: HelpdeskSimulator) -> None:
    """search_lag hides a ticket from search, not from reading by id."""
    desk.set_faults(search_lag_s=0.4)
    number = int(post(desk, "lagging").json()["id"])
    url, headers = f"{desk.url}/REST/2.0", {"Authorization": f"token {desk.token}"}

    assert found(desk, "lagging") == []
    assert httpx.get(f"{url}/ticket/{number}", headers=headers).status_code == 200
    wait_until(lambda: found(desk, "lagging"), what="the ticket is found", timeout_s=5.0)


def test_latency_is_added_to_every_answer(desk: HelpdeskSimulator) -> None:
    """latency_s is at least kept."""
    desk.set_faults(latency_s=0.2)

    before = time.monotonic()
    post(desk, "slow")

    assert time.monotonic() - before >= 0.2


def test_a_refused_token_is_401_and_does_nothing(desk: HelpdeskSimulator) -> None:
    """refuse_token and an empty token list refuse the right token; both are taken back."""
    desk.set_faults(refuse_token=True)
    by_fault = post(desk, "unauthorised").status_code
    desk.clear_faults()
    desk.accept_tokens([])
    by_list = post(desk, "unauthorised").status_code
    desk.accept_tokens([desk.token])

    assert (by_fault, by_list) == (401, 401)
    assert outcomes(desk, "unauthorised") == []
    assert post(desk, "authorised-again").status_code == 201


def test_maintenance_is_a_page_with_status_200(desk: HelpdeskSimulator) -> None:
    """A maintenance page is 200 and HTML, and nothing is done."""
    desk.set_faults(maintenance=True)

    answer = post(desk, "maintained")
    desk.clear_faults()

    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (200, "text/html")
    assert found(desk, "maintained") == []


def test_scope_spares_what_it_does_not_name(desk: HelpdeskSimulator) -> None:
    """Reads pass unless the scope is all."""
    headers = {"Authorization": f"token {desk.token}"}
    desk.set_faults(fail_next=-1)
    spared = httpx.get(f"{desk.url}/REST/2.0/rt", headers=headers).status_code
    desk.set_faults(scope="all")
    met = httpx.get(f"{desk.url}/REST/2.0/rt", headers=headers).status_code

    assert (spared, met) == (200, 503)


def test_two_creates_make_two_tickets_and_the_ledger_says_so(desk: HelpdeskSimulator) -> None:
    """There is no idempotency; the ledger counts tickets by key and names the duplicates."""
    ids = [int(post(desk, "again").json()["id"]) for _ in range(2)]

    ledger = desk.ledger(entries=False)

    assert ledger["tickets_by_key"]["again"] == 2
    assert ledger["duplicates"]["again"] == ids
    assert "entries" not in ledger


def test_tickets_ledger_and_etags_survive_a_kill() -> None:
    """A killed desk comes back with every ticket, whatever the client was told."""
    with HelpdeskSimulator() as desk:
        post(desk, "kept")
        url, headers = f"{desk.url}/REST/2.0", {"Authorization": f"token {desk.token}"}
        httpx.put(f"{url}/ticket/1", json={"Status": "resolved"}, headers=headers)
        body = {"Content": "note", "ContentType": "text/plain"}
        httpx.post(f"{url}/ticket/1/comment", json=body, headers=headers)
        desk.set_faults(hang_after_next=1)
        with pytest.raises(httpx.ReadTimeout):
            post(desk, "unseen", timeout=SHORT_S)
        before = (desk.tickets(), desk.history(1), desk.ledger())

        desk.kill()
        with desk.data.open("ab") as torn:
            torn.write(b'{"at": 1, "op": "cre')
        desk.start()

        assert (desk.tickets(), desk.history(1), desk.ledger()) == before
        assert post(desk, "later").json()["id"] == "3"
        assert found(desk, "kept")[0]["Status"] == "resolved"


def test_without_vices_a_refused_change_is_an_error() -> None:
    """The control: a well-behaved desk refuses with 400 what the real one swallows."""
    with HelpdeskSimulator(vices="none") as desk:
        post(desk, "k")
        url, headers = f"{desk.url}/REST/2.0", {"Authorization": f"token {desk.token}"}

        def put(**change: Any) -> int:
            return httpx.put(f"{url}/ticket/1", json=change, headers=headers).status_code

        assert put(Status="nonsense") == 400
        assert put(CustomFields={"Nope": "x"}) == 400
        assert put(Status="open") == 200
        params = {"query": "CF.{Nope}='x'"}
        assert httpx.get(f"{url}/tickets", params=params, headers=headers).status_code == 400


def test_a_wrong_fault_setting_is_refused_with_a_sentence(desk: HelpdeskSimulator) -> None:
    """A misspelt setting never passes silently: a test would believe in a fault it has not got."""
    with pytest.raises(PeerError, match='no fault setting "hang_afer_next"'):
        desk.set_faults(hang_afer_next=1)
    with pytest.raises(PeerError, match='"hang_after_next" takes a int'):
        desk.set_faults(hang_after_next="many")
    with pytest.raises(PeerError, match='"scope" is one of'):
        desk.set_faults(scope="everything")


def test_draws_repeat_with_their_seed() -> None:
    """The same seed draws the same faults; -1 is every request."""

    def draws(seed: int) -> list[Fault | None]:
        source = FaultSource()
        source.change({"hang_after_probability": 0.3, "seed": seed})
        return [source.draw("create") for _ in range(50)]

    always = FaultSource()
    always.change({"reset_before_next": -1})

    assert draws(5) == draws(5)
    assert draws(5) != draws(6)
    assert Fault.HANG_AFTER in draws(5)
    assert {always.draw("update") for _ in range(9)} == {Fault.RESET_BEFORE}
    assert always.draw("read") is None


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("CF.{intops_key}='K1'", True),
        ("'CF.{intops_key}' = 'k1' and status = 'NEW'", True),
        ("CF.{intops_key}!='k1'", False),
        ("CF.{Node}='x' OR id=7", True),
        ("CF.{Node}=''", False),
        ("(Queue='Payments' OR Queue='Incidents') AND Status='__Inactive__'", False),
        ("Subject LIKE 'disk'", True),
        ("LastUpdated>'2026-09-21 14:13:19'", True),
        ("LastUpdated>'2026-09-21 14:13:20'", False),
        ("LastUpdated>'2026-09-21T23:59:59Z'", True),
        ("LastUpdated>'nonsense'", True),
    ],
)
def test_a_query_matches_as_on_the_real_desk(query: str, matches: bool) -> None:
    """TicketSQL, with its silent misreading of dates."""
    assert parse(query).matches(ROW) is matches


@pytest.mark.parametrize("query", ["(id=1", "id", "id=", "id=1 id=2", "= 'x'", "Nope='x'", "#"])
def test_a_query_that_cannot_be_read_is_an_error(query: str) -> None:
    """Nothing unreadable is taken for a query that matches all."""
    with pytest.raises(QueryError, match=r"Tickets\.pm line"):
        parse(query)


def test_only_a_condition_that_every_match_fulfils_may_use_the_index() -> None:
    """A key under OR does not narrow the search."""
    key = "CF.{intops_key}='k'"

    assert required_value(parse(f"id>1 AND ({key} AND id<9)"), "cf.intops_key") == "k"
    assert required_value(parse(f"{key} OR id=1"), "cf.intops_key") is None


def run(*arguments: str) -> subprocess.Popen[str]:
    """Run the command of the simulator with a token."""
    return subprocess.Popen(
        [sys.executable, "-m", "support.simulators.helpdesk", *arguments],
        env={**os.environ, "PYTHONPATH": str(TESTS), "HELPDESK_TOKEN": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_command_prints_its_address_and_ends_on_sigterm() -> None:
    """One line with the address when it is ready; exit status 0 after SIGTERM."""
    with run("--token", "t") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.strip()
        answer = httpx.get(f"{url}/REST/2.0/rt", headers={"Authorization": "token t"})
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=10)

    assert line == f"{url}\n"
    assert (answer.status_code, process.returncode, rest, errors) == (200, 0, "", "")


def test_the_command_says_what_is_wrong_in_a_sentence(
    desk: HelpdeskSimulator, tmp_path: Path
) -> None:
    """An occupied port, a wrong file and a missing token are named, without a traceback."""
    spoiled = tmp_path / "spoiled.jsonl"
    spoiled.write_text("not a ledger\n")
    cases = {
        f"Address already in use: 127.0.0.1:{desk.port}": (
            "--token",
            "t",
            "--port",
            str(desk.port),
        ),
        "No such file or directory": ("--token", "t", "--data", str(tmp_path / "no" / "file")),
        "give --token or set HELPDESK_TOKEN": (),
        'there is no vice "sloth"': ("--token", "t", "--vices", "sloth"),
        f'line 1 of "{spoiled}" is not a ledger entry': ("--token", "t", "--data", str(spoiled)),
    }

    for sentence, arguments in cases.items():
        with run(*arguments) as process:
            _, errors = process.communicate(timeout=10)
        assert sentence in errors
        assert "Traceback" not in errors
        assert process.returncode != 0
