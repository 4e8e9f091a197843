"""The real peers behave as the product assumes, and the helpdesk simulator behaves as the real one.

Every test with the fixture `desk` runs twice, with the same assertions: against Request Tracker and
against the simulator.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
import pytest

from support.peers import (
    Alertmanager,
    MissingBinary,
    Peer,
    PeerError,
    Prometheus,
    RequestTracker,
    Roundup,
    WebhookCapture,
    wait_until,
)
from support.simulators.launcher import HelpdeskSimulator

pytestmark = pytest.mark.peers

P = TypeVar("P", bound=Peer)
Desk = RequestTracker | HelpdeskSimulator


@contextmanager
def provided(kind: type[P], *arguments: Any, **settings: Any) -> Iterator[P]:
    """Run a peer; without its program skip with the reason, which is an error under CI."""
    try:
        peer = kind(*arguments, **settings)
    except MissingBinary as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    with peer:
        yield peer


@pytest.fixture(
    scope="module", params=[RequestTracker, HelpdeskSimulator], ids=["real", "simulated"]
)
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """One desk for the whole module; tests use keys of their own."""
    with provided(request.param) as peer:
        yield peer


@pytest.fixture
def rest(desk: Desk) -> Iterator[httpx.Client]:
    """A client of the desk with a valid token."""
    headers = {"Authorization": f"token {desk.token}"}
    with httpx.Client(base_url=f"{desk.url}/REST/2.0", headers=headers, timeout=30.0) as client:
        yield client


def create(rest: httpx.Client, key: str, **body: Any) -> int:
    """Make a ticket in Incidents and return its id."""
    fields = {"intops_key": key, **body.pop("CustomFields", {})}
    wanted = {"Queue": "Incidents", "Subject": key, "CustomFields": fields, **body}
    answer = rest.post("/ticket", json=wanted)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def test_create_answers_201_with_location_and_text_id(desk: Desk, rest: httpx.Client) -> None:
    """A create answers id as text, type and address, and a relative Location."""
    body = {
        "Queue": "Incidents",
        "Subject": "db01 is down",
        "Content": "it hurts",
        "CustomFields": {"intops_key": "create-1", "Severity": "critical", "Node": "db01"},
    }
    answer = rest.post("/ticket", json=body)

    number = answer.json()["id"]
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/REST/2.0/ticket/{number}"
    assert answer.json() == {
        "id": number,
        "type": "ticket",
        "_url": f"{desk.url}/REST/2.0/ticket/{number}",
    }
    assert isinstance(number, str)
    ticket = desk.ticket(int(number))
    assert ticket["CustomFields"] == {
        "intops_key": "create-1",
        "Severity": "critical",
        "Node": "db01",
        "Service": None,
    }
    assert (ticket["Queue"], ticket["Status"], ticket["Subject"]) == (
        "Incidents",
        "new",
        "db01 is down",
    )


def test_two_creates_with_one_key_make_two_tickets(desk: Desk, rest: httpx.Client) -> None:
    """The desk has no idempotency of its own."""
    first, second = create(rest, "twice"), create(rest, "twice")

    assert [t["id"] for t in desk.tickets("CF.{intops_key}='twice'")] == [first, second]


def test_create_drops_an_unknown_custom_field_without_a_word(
    desk: Desk, rest: httpx.Client
) -> None:
    """An unknown custom field and a bad choice are dropped, and the answer is still 201."""
    number = create(rest, "dropped", CustomFields={"Nope": "x", "Severity": "bogus"})

    fields = desk.ticket(number)["CustomFields"]
    assert "Nope" not in fields
    assert fields["Severity"] is None
    assert fields["intops_key"] == "dropped"


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        pytest.param(
            {"Status": "nonsense"},
            ["Ticket {id}: Status 'nonsense' isn't a valid status for this ticket."],
            id="a status that does not exist",
        ),
        pytest.param(
            {"CustomFields": {"Severity": "bogus"}},
            ["Invalid value for custom field"],
            id="a choice that does not exist",
        ),
        pytest.param({"CustomFields": {"Nope": "x"}}, [], id="a custom field that does not exist"),
        pytest.param(
            {"Queue": "Nope"}, ["Ticket {id}: Queue Nope does not exist"], id="a queue that is not"
        ),
        pytest.param(
            {"Owner": "who"}, ["Ticket {id}: That user does not exist"], id="an owner that is not"
        ),
        pytest.param(
            {"Status": "deleted"}, ["Ticket {id}: Permission Denied"], id="a right that is missing"
        ),
    ],
)
def test_a_refused_change_answers_200(
    desk: Desk, rest: httpx.Client, change: dict[str, Any], sentences: list[str]
) -> None:
    """A refused change is 200 with a list of sentences, and the ticket stays as it was."""
    number = create(rest, "refused")
    before, etag = desk.ticket(number), rest.get(f"/ticket/{number}").headers["ETag"]

    answer = rest.put(f"/ticket/{number}", json=change)

    assert answer.status_code == 200
    assert answer.json() == [sentence.format(id=number) for sentence in sentences]
    assert desk.ticket(number) == before
    assert rest.get(f"/ticket/{number}").headers["ETag"] == etag


def test_an_accepted_change_names_old_and_new_value(desk: Desk, rest: httpx.Client) -> None:
    """A change answers one sentence each and no ETag; the same change again answers nothing."""
    number = create(rest, "changed", CustomFields={"Severity": "critical"})
    change = {"Status": "open", "CustomFields": {"Severity": "minor", "Service": "db"}}

    answer = rest.put(f"/ticket/{number}", json=change)

    assert answer.status_code == 200
    assert sorted(answer.json()) == [
        "Service db added",
        "Severity critical changed to minor",
        f"Ticket {number}: Status changed from 'new' to 'open'",
    ]
    assert "ETag" not in answer.headers
    ticket = desk.ticket(number)
    assert (ticket["Status"], ticket["CustomFields"]["Severity"]) == ("open", "minor")
    assert rest.put(f"/ticket/{number}", json=change).json() == []


def test_history_names_every_change(desk: Desk, rest: httpx.Client) -> None:
    """The history tells type, field, old and new value, and its total is null for our user."""
    number = create(rest, "history")
    rest.put(f"/ticket/{number}", json={"Status": "open", "CustomFields": {"Node": "n1"}})
    path = f"/ticket/{number}/history?fields=Type,Creator,Field,OldValue,NewValue"

    answer = rest.get(path).json()

    told = [(i["Type"], i["OldValue"], i["NewValue"], i["Creator"]["id"]) for i in answer["items"]]
    assert told == [
        ("Create", "", "", "intops"),
        ("Status", "new", "open", "intops"),
        ("CustomField", "", "n1", "intops"),
    ]
    assert (answer["total"], answer["pages"], answer["count"]) == (None, None, 3)
    assert [entry["Type"] for entry in desk.history(number)] == [t[0] for t in told]


def test_search_by_our_key_finds_the_ticket_at_once(rest: httpx.Client) -> None:
    """The lookup by custom field finds exactly one ticket, with the fields that were asked for."""
    number = create(rest, "found")
    params = {
        "query": "CF.{intops_key}='found'",
        "fields": "Subject,Status,Queue",
        "fields[Queue]": "Name",
    }

    page = rest.get("/tickets", params=params).json()

    assert {name: page[name] for name in ("total", "count", "pages", "page", "per_page")} == {
        "total": 1,
        "count": 1,
        "pages": 1,
        "page": 1,
        "per_page": 20,
    }
    [item] = page["items"]
    assert item["id"] == str(number)
    assert (item["Subject"], item["Status"]) == ("found", "new")
    assert item["Queue"]["Name"] == "Incidents"


@pytest.mark.parametrize("field", ["intops_key", "Nope"])
def test_no_hits_are_0_pages_as_a_float(rest: httpx.Client, field: str) -> None:
    """No hits answer 0.0 pages; a misspelt custom field looks the same as no ticket."""
    page = rest.get("/tickets", params={"query": f"CF.{{{field}}}='nothing'"}).json()

    assert (page["total"], page["count"], page["items"]) == (0, 0, [])
    assert isinstance(page["pages"], float)


def test_search_by_key_ignores_case(rest: httpx.Client) -> None:
    """A key that differs in case only is the same key, so keys must be lower-case digests."""
    create(rest, "mixed-case")

    page = rest.get("/tickets", params={"query": "CF.{intops_key}='MIXED-Case'"}).json()

    assert page["total"] == 1


def test_conditions_combine(rest: httpx.Client) -> None:
    """AND with queue, status and id narrows a search."""
    first, second = create(rest, "both"), create(rest, "both", Queue="Payments")
    key = "CF.{intops_key}='both'"

    def ids(query: str) -> list[str]:
        page = rest.get("/tickets", params={"query": query, "orderby": "id"}).json()
        return [item["id"] for item in page["items"]]

    assert ids(f"{key} AND Queue='Payments'") == [str(second)]
    assert ids(f"{key} AND (Queue='Incidents' OR Queue='Payments')") == [str(first), str(second)]
    assert ids(f"{key} AND Status='__Active__' AND id>{first}") == [str(second)]
    assert ids(f"{key} AND Status='resolved'") == []


def test_a_literal_with_t_and_z_loses_its_time(rest: httpx.Client) -> None:
    """`LastUpdated>'…T…Z'` silently means midnight; only `YYYY-MM-DD HH:MM:SS` is understood."""
    number = create(rest, "dates")
    updated = rest.get(f"/ticket/{number}").json()["LastUpdated"]
    later = updated[:11] + "23:59:59Z"

    def hits(literal: str) -> int:
        query = f"id={number} AND LastUpdated>'{literal}'"
        return int(rest.get("/tickets", params={"query": query}).json()["total"])

    assert hits(later.replace("T", " ").removesuffix("Z")) == 0
    assert hits(later) == 1


def test_pages_link_to_each_other(rest: httpx.Client) -> None:
    """A page is cut at per_page, more than 100 is cut to 100, a page too far is empty."""
    numbers = [create(rest, "paged") for _ in range(3)]
    params = {"query": "CF.{intops_key}='paged'", "orderby": "id", "per_page": "2"}

    first = rest.get("/tickets", params={**params, "page": "1"}).json()
    second = rest.get(first["next_page"]).json()
    beyond = rest.get("/tickets", params={**params, "page": "9"}).json()
    large = rest.get("/tickets", params={**params, "per_page": "500"}).json()

    assert [item["id"] for item in first["items"]] == [str(n) for n in numbers[:2]]
    assert (first["pages"], first["total"]) == (2, 3)
    assert [item["id"] for item in second["items"]] == [str(numbers[2])]
    assert "next_page" not in second
    assert "prev_page" in second
    assert (beyond["count"], beyond["total"], beyond["items"]) == (0, 3, [])
    assert large["per_page"] == 100


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("Bogus='x'", "Unknown field: Bogus"),
        ("CF.{intops_key}=", "Incomplete query"),
        ("CF.{intops_key}=k9", "Wrong query, no such column 'k9'"),
        ("Status='new' Queue='Incidents'", "Wrong query, expecting a AGGREGATOR"),
    ],
)
def test_a_wrong_query_is_400_with_a_source_position(
    rest: httpx.Client, query: str, text: str
) -> None:
    """A query that cannot be read is 400, with a Perl line number in its message."""
    answer = rest.get("/tickets", params={"query": query})

    assert answer.status_code == 400
    assert answer.json()["message"].startswith(text)
    assert "Tickets.pm line" in answer.json()["message"]


def test_if_match_guards_an_update(desk: Desk, rest: httpx.Client) -> None:
    """The ETag is the quoted id of the last transaction; a stale one answers 412."""
    number = create(rest, "etag")
    read = rest.get(f"/ticket/{number}")
    etag = read.headers["ETag"]
    assert etag == f'"{desk.history(number)[-1]["id"]}"'
    assert read.headers["Last-Modified"] == read.json()["LastUpdated"]
    assert rest.get(f"/ticket/{number}", headers={"If-None-Match": etag}).status_code == 304

    fresh = rest.put(f"/ticket/{number}", json={"Status": "open"}, headers={"If-Match": etag})
    stale = rest.put(f"/ticket/{number}", json={"Status": "stalled"}, headers={"If-Match": etag})

    assert fresh.status_code == 200
    assert (stale.status_code, stale.json()) == (412, {"message": "Precondition Failed"})
    assert desk.ticket(number)["Status"] == "open"


@pytest.mark.parametrize("kind", ["comment", "correspond"])
def test_a_comment_is_201_and_moves_the_etag(rest: httpx.Client, kind: str) -> None:
    """A comment answers 201, the address of its transaction, and changes the ticket's ETag."""
    number = create(rest, f"{kind}ed")
    before = rest.get(f"/ticket/{number}").headers["ETag"]

    body = {"Content": "It is the disk.", "ContentType": "text/plain"}
    answer = rest.post(f"/ticket/{number}/{kind}", json=body)
    bare = rest.post(f"/ticket/{number}/{kind}", json={"Content": "It is the disk."})

    said = {"comment": "Comments added", "correspond": "Correspondence added"}[kind]
    assert (answer.status_code, answer.json()) == (201, [said])
    assert answer.headers["Location"].startswith("/REST/2.0/transaction/")
    assert rest.get(f"/ticket/{number}").headers["ETag"] != before
    assert (bare.status_code, "ContentType" in bare.json()["message"]) == (400, True)


def test_unset_dates_are_1970(rest: httpx.Client) -> None:
    """A ticket that was never resolved was resolved in 1970; a reopened one keeps its date."""
    number = create(rest, "dates-unset")
    new = rest.get(f"/ticket/{number}").json()
    for status in ("resolved", "open"):
        rest.put(f"/ticket/{number}", json={"Status": status})
    reopened = rest.get(f"/ticket/{number}").json()

    never = "1970-01-01T00:00:00Z"
    assert {new[name] for name in ("Resolved", "Started", "Due", "Starts")} == {never}
    assert (reopened["Status"], reopened["Resolved"] != never) == ("open", True)
    assert isinstance(new["id"], int)
    assert isinstance(new["EffectiveId"]["id"], str)


def test_a_ticket_lists_its_next_states(rest: httpx.Client) -> None:
    """The links with ref lifecycle are the next states a person would be offered."""
    number = create(rest, "lifecycle")

    def next_states() -> set[str]:
        links = rest.get(f"/ticket/{number}").json()["_hyperlinks"]
        return {link["to"] for link in links if link["ref"] == "lifecycle"}

    found = {"new": next_states()}
    for status in ("open", "stalled", "resolved"):
        rest.put(f"/ticket/{number}", json={"Status": status})
        found[status] = next_states()

    assert found == {
        "new": {"open", "resolved", "rejected"},
        "open": {"stalled", "resolved", "rejected"},
        "stalled": {"open"},
        "resolved": {"open"},
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("GET", "/ticket/99999", None, 404, "Not Found"),
        ("PUT", "/ticket/99999", {}, 404, "Resource does not exist; use POST to create"),
        ("GET", "/queue/Nope", None, 404, "Not Found"),
        ("GET", "/nowhere", None, 404, "Not Found"),
        (
            "POST",
            "/ticket",
            {"Queue": "Nope", "Subject": "x"},
            403,
            "No permission to create tickets in the queue 'Nope'",
        ),
        ("POST", "/ticket", {"Subject": "x"}, 400, "Could not create ticket. Queue not set"),
        (
            "POST",
            "/ticket",
            {"Queue": "Incidents", "Status": "nonsense"},
            400,
            "Status 'nonsense' isn't a valid status for tickets in this queue.",
        ),
        ("POST", "/ticket", [1], 400, "JSON object must be a HASH"),
    ],
)
def test_errors_have_a_status_and_a_message(
    rest: httpx.Client, method: str, path: str, body: Any, status: int, text: str
) -> None:
    """A real error is a status and `{"message": …}`."""
    answer = rest.request(method, path, json=body)

    assert (answer.status_code, answer.json()) == (status, {"message": text})


def test_a_body_that_is_not_json_is_refused(rest: httpx.Client) -> None:
    """Broken JSON is 400, another media type 415."""
    broken = rest.post("/ticket", content="{bad", headers={"Content-Type": "application/json"})
    plain = rest.post("/ticket", content="x=1", headers={"Content-Type": "text/plain"})

    assert broken.status_code == 400
    assert broken.json()["message"].startswith("JSON parse error: ")
    assert (plain.status_code, plain.json()) == (415, {"message": "Unsupported Media Type"})


def test_a_wrong_token_is_401_without_a_challenge(desk: Desk) -> None:
    """401 is JSON and has no WWW-Authenticate, whatever was asked for."""
    for headers in ({}, {"Authorization": "token 1-27-bad"}, {"Authorization": "Bearer x"}):
        answer = httpx.get(f"{desk.url}/REST/2.0/ticket/99999", headers=headers)

        assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
        assert "WWW-Authenticate" not in answer.headers


def test_probes_answer(rest: httpx.Client) -> None:
    """`/rt` tells the version and `/queues/all` the queues our user may see."""
    queues = rest.get("/queues/all", params={"fields": "Name"}).json()

    assert rest.get("/rt").json()["Version"].startswith("5.0.3")
    assert {q["Name"] for q in queues["items"]} == {"General", "Incidents", "Payments"}


def test_an_outage_keeps_the_tickets(desk: Desk, rest: httpx.Client) -> None:
    """A stopped desk refuses connections; started again it has the same address and tickets."""
    number = create(rest, "outage")
    rest.close()
    url = desk.url

    desk.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/REST/2.0/rt")
    desk.start()

    assert desk.url == url
    assert desk.ticket(number)["CustomFields"]["intops_key"] == "outage"


def test_a_revoked_token_is_worthless_and_a_new_one_works() -> None:
    """Request Tracker refuses a revoked token at once; tokens are made without a restart."""
    with provided(RequestTracker) as tracker:
        fresh = tracker.create_token()
        tracker.revoke_token()

        def status(token: str) -> int:
            headers = {"Authorization": f"token {token}"}
            return httpx.get(f"{tracker.url}/REST/2.0/rt", headers=headers).status_code

        assert (status(tracker.token), status(fresh)) == (401, 200)
        with pytest.raises(PeerError, match="no such token"):
            tracker.revoke_token("1-27-0123456789abcdef0123456789abcdef")


def test_a_prometheus_rule_reaches_a_webhook_and_recovers() -> None:
    """A firing rule goes through Alertmanager to the receiver, with bearer; so does its recovery."""
    with (
        WebhookCapture() as capture,
        provided(
            Alertmanager, f"{capture.url}/hook", bearer_token="a-test-token", group_interval="1s"
        ) as alertmanager,
        provided(Prometheus, alertmanager.url) as prometheus,
    ):
        prometheus.set_rule(firing=True)
        [fired] = capture.wait_for(1)
        prometheus.set_rule(firing=False)
        recovered = capture.wait_for(2)[-1]

    body = fired.json()
    [alert] = body["alerts"]
    assert fired.path == "/hook"
    assert fired.headers["authorization"] == "Bearer a-test-token"
    assert (body["version"], body["status"]) == ("4", "firing")
    assert alert["endsAt"] == "0001-01-01T00:00:00Z"
    assert alert["labels"] == {
        "alertname": "PaymentsDown",
        "cluster": "ci",
        "service": "payments",
        "severity": "critical",
    }
    [ended] = recovered.json()["alerts"]
    assert ended["status"] == "resolved"
    assert (ended["fingerprint"], ended["startsAt"]) == (alert["fingerprint"], alert["startsAt"])


def test_alertmanager_repeats_what_was_refused() -> None:
    """503 is repeated at once; one webhook carries all alerts of a group, with basic auth."""
    with (
        WebhookCapture(answers=(503,)) as capture,
        provided(Alertmanager, capture.url, basic_auth=("sender", "pass word")) as alertmanager,
    ):
        labels = {"alertname": "DiskFull", "cluster": "ci", "service": "db"}
        alertmanager.push([{"labels": {**labels, "instance": name}} for name in ("a", "b")])
        refused, accepted = capture.wait_for(2)[:2]
        assert len(alertmanager.alerts()) == 2

    assert (refused.answered, accepted.answered) == (503, 200)
    assert refused.body == accepted.body
    assert {a["labels"]["instance"] for a in accepted.json()["alerts"]} == {"a", "b"}
    assert accepted.headers["authorization"] == "Basic c2VuZGVyOnBhc3Mgd29yZA=="


def test_alertmanager_changes_its_receiver_while_it_runs() -> None:
    """A token that was wrong can be replaced without losing the alert."""
    with (
        WebhookCapture() as first,
        WebhookCapture() as second,
        provided(Alertmanager, first.url, bearer_token="old", group_interval="1s") as alertmanager,
    ):
        alertmanager.send_to(second.url, bearer_token="new")
        alertmanager.fire({"alertname": "DiskFull"}, annotations={"summary": "Full"})
        [moved] = second.wait_for(1)
        alertmanager.resolve({"alertname": "DiskFull"})
        resolved = second.wait_for(2)[-1]

    assert moved.headers["authorization"] == "Bearer new"
    assert resolved.json()["status"] == "resolved"
    assert first.received == []


@pytest.fixture(scope="module")
def roundup() -> Iterator[Roundup]:
    """One tracker for the tests below, without a rate limit."""
    with provided(Roundup) as tracker:
        yield tracker


def test_roundup_finds_by_exact_key_only_with_a_colon(roundup: Roundup) -> None:
    """`intops_key=k1` is a substring search; `intops_key:=k1` is the lookup."""
    with roundup.client() as client:
        for key in ("k1", "k12"):
            body = {"title": key, "priority": "critical", "intops_key": key}
            assert client.post("/issue", json=body).status_code == 201
        loose = client.get("/issue", params={"intops_key": "k1"})
        exact = client.get("/issue", params={"intops_key:": "k1"})

    assert (loose.headers["X-Count-Total"], exact.headers["X-Count-Total"]) == ("2", "1")
    [issue] = roundup.issues(intops_key="k1")
    assert (issue["title"], issue["priority"], issue["status"]) == ("k1", "critical", "unread")


def test_roundup_wants_if_match_for_every_update(roundup: Roundup) -> None:
    """Without the current ETag an update is 412; a status that does not exist is a real 400."""
    with roundup.client() as client:
        number = client.post("/issue", json={"title": "t"}).json()["data"]["id"]
        etag = client.get(f"/issue/{number}").headers["ETag"]

        def put(status: str, **headers: str) -> int:
            body = {"status": status}
            return client.put(f"/issue/{number}", json=body, headers=headers).status_code

        assert put("resolved") == 412
        assert put("bogus", **{"If-Match": etag}) == 400
        assert put("resolved", **{"If-Match": etag}) == 200
        assert put("chatting", **{"If-Match": etag}) == 412
    assert [i["status"] for i in roundup.issues() if i["id"] == int(number)] == ["resolved"]


def test_roundup_wants_to_know_where_a_write_comes_from(roundup: Roundup) -> None:
    """X-Requested-With and Origin are needed for every write; a bad login is 401 as plain text."""
    url, login = f"{roundup.tracker_url}/rest/data/issue", (roundup.user, roundup.password)
    for missing in ("X-Requested-With", "Origin"):
        headers = {k: v for k, v in roundup.write_headers.items() if k != missing}
        refused = httpx.post(url, json={"title": "x"}, headers=headers, auth=login)
        assert refused.status_code == 400, missing

    wrong = httpx.get(url, auth=(roundup.user, "wrong"))
    assert (wrong.status_code, wrong.headers["Content-Type"]) == (401, "text/plain")


def test_roundup_limits_the_rate_and_keeps_issues_over_a_restart(roundup: Roundup) -> None:
    """Above the limit the answer is 429 with Retry-After and the seconds left."""
    with roundup.client() as client:
        client.post("/issue", json={"title": "kept", "intops_key": "kept"})
    roundup.set_rate_limit(calls=4, interval_s=60)
    with roundup.client() as client:
        kept = client.get("/issue", params={"intops_key:": "kept"})
        limited = wait_until(
            lambda: answer if (answer := client.get("/status")).status_code == 429 else None,
            what="Roundup limited the rate",
        )
    roundup.set_rate_limit(calls=0, interval_s=60)

    assert kept.headers["X-Count-Total"] == "1"
    assert int(limited.headers["Retry-After"]) >= 1
    assert float(limited.headers["X-RateLimit-Reset"]) > 0
    assert limited.json()["error"]["status"] == 429


def test_a_missing_program_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its program a peer says which one and how to install it."""
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(MissingBinary, match=r'"prometheus" is not on this machine.*apt-get'):
        Prometheus("http://127.0.0.1:9093")


class Broken(Peer):
    """A server that ends at once."""

    name = "broken"

    def command(self) -> list[str]:
        """Return a command that fails."""
        return ["/bin/sh", "-c", "echo the disk is on fire; exit 3"]

    def is_ready(self) -> bool:
        """It never is."""
        return False


def test_a_peer_that_does_not_start_shows_its_log() -> None:
    """The error holds the end of the log, and nothing is left behind."""
    peer = Broken()

    with pytest.raises(PeerError, match="the disk is on fire"), peer:
        raise AssertionError("unreachable: start() raises")

    assert not peer.workdir.exists()
