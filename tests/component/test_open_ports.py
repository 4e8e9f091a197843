"""What anybody who reaches a port can learn: capture, health, metrics, report. The console is on loopback only."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Iterator

import httpx
import pytest

from intops_api.plan import FlowPlan
from support.ports import free_port
from support.runtime.flows import EXAMPLE, alerts_to_helpdesk
from support.runtime.worker_process import WorkerProcess

pytestmark = pytest.mark.component

TOKEN = "a-token-of-a-sender-0123456789abcdef"
BODY = (EXAMPLE / "samples" / "01-firing.json").read_bytes()
TELLS = ("server", "x-powered-by", "via", "x-aspnet-version")


@pytest.fixture(scope="module")
def plan() -> FlowPlan:
    """The first example against a desk that is not there."""
    return alerts_to_helpdesk(f"http://127.0.0.1:{free_port('127.0.0.1')}")


@pytest.fixture(scope="module")
def worker(plan: FlowPlan) -> Iterator[WorkerProcess]:
    """One worker for all tests of this file."""
    secrets = {"alertmanager-token": {"token": TOKEN}, "helpdesk-token": {"token": TOKEN}}
    with WorkerProcess(plan, secrets=secrets) as running:
        running.start()
        running.wait_ready()
        yield running


def answers(worker: WorkerProcess, plan: FlowPlan) -> dict[str, list[httpx.Response]]:
    """What strangers get, by the kind of their mistake."""
    url = worker.capture_url(plan)
    root, operations = url.partition("/in/")[0], f"http://127.0.0.1:{worker.operations_port}"
    wrong = {"Authorization": "Bearer wrong"}
    return {
        "nothing is here": [
            httpx.post(f"{root}{path}", content=BODY, headers=wrong)
            for path in ("/", "/in/a/b/c", "/in/itsm/alerts-to-helpdesk/other", "/console", "/report", "/in/%00/a/b")
        ],
        "who are you": [
            httpx.post(url, content=body, headers=headers)
            for body in (BODY, b"", b"{", b"x" * 1000)
            for headers in (wrong, {}, {"Authorization": "Basic %%%"}, {"Authorization": f"Basic {TOKEN}"})
        ],
        "not of operations": [
            httpx.request(method, f"{operations}{path}")
            for method, path in (
                ("GET", "/"), ("GET", "/messages"), ("GET", "/audit"), ("GET", "/review"), ("GET", "/debug/pprof"),
                ("GET", "/../etc/passwd"),
            )
        ],
    }  # fmt: skip


def test_s16_equal_mistakes_have_equal_answers_that_tell_nothing(
    worker: WorkerProcess, plan: FlowPlan
) -> None:
    """Byte for byte, but for the date; no name and no version of a program, on any port."""
    for kind, given in answers(worker, plan).items():
        seen = {
            (a.status_code, a.content, tuple(sorted((k, v) for k, v in a.headers.items() if k != "date")))
            for a in given
        }  # fmt: skip
        assert len(seen) == 1, (kind, seen)
        for answer in given:
            told = str(answer.headers).lower() + answer.text.lower()
            assert [name for name in TELLS if name in answer.headers] == [], kind
            assert not re.search(r"python|aiohttp|traceback|/home/|site-packages", told), told


def test_s16_what_is_no_http_is_told_nothing_either(worker: WorkerProcess) -> None:
    """A parser's own words would quote what it was sent, and name itself."""
    for raw in (
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /\x01 HTTP/1.1\r\nA: b\r\n\r\n",
    ):
        for port in (worker.capture_port, worker.operations_port):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
                link.sendall(raw)
                said = b""
                while piece := link.recv(65536):
                    said += piece
            assert said.startswith(b"HTTP/1.0 400 "), (port, said)
            assert not re.search(rb"(?i)python|aiohttp|traceback|llhttp", said), (port, said)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1;proto=https"},
        {"X-Real-IP": "10.0.0.1"}, {"X-Forwarded-User": "admin"}, {"X-Remote-User": "admin"},
        {"X-Original-URL": "/report"}, {"X-HTTP-Method-Override": "GET"}, {"Host": "localhost"},
    ],
    ids=lambda headers: next(iter(headers)),
)  # fmt: skip
def test_s13_no_header_stands_for_a_proof(
    worker: WorkerProcess, plan: FlowPlan, headers: dict[str, str]
) -> None:
    """Nobody is believed for where they say they come from, or whom somebody has let in."""
    before = worker.report().store.captured
    for authorization in ({}, {"Authorization": "Bearer wrong"}):
        given = {**headers, **authorization}
        assert httpx.post(worker.capture_url(plan), content=BODY, headers=given).status_code == 401
    assert worker.report().store.captured == before


@pytest.mark.parametrize("token", [TOKEN, "wrong"], ids=["proved", "a stranger"])
def test_s17_no_answer_holds_a_word_of_its_request(
    worker: WorkerProcess, plan: FlowPlan, token: str
) -> None:
    """Not of its path, query, headers or body, whichever name a challenge has there; so there is none to echo."""
    echo = "canary-to-be-echoed"
    root, url = worker.capture_url(plan).partition("/in/")[0], worker.capture_url(plan)
    headers = {
        "Authorization": f"Bearer {token}", "X-Challenge": echo, "WebHook-Request-Origin": echo,
        "X-Hook-Secret": echo, "Origin": f"https://{echo}.example.com", "Content-Type": f"text/html; x={echo}",
    }  # fmt: skip
    names = ("challenge", "hub.challenge", "validationToken", "crc_token", "echostr")
    bodies = [b'{"%s": "%s"}' % (name.encode(), echo.encode()) for name in names]
    given = [
        *(httpx.post(url, content=body, headers=headers) for body in (*bodies, echo.encode(), b"{")),
        *(httpx.get(f"{place}?{name}={echo}", headers=headers) for name in names for place in (url, f"{url}/{echo}")),
        *(httpx.post(f"{url}?{name}={echo}", content=b"{}", headers=headers) for name in names),
        httpx.options(url, headers={**headers, "Access-Control-Request-Method": echo}),
        httpx.post(f"{root}/in/itsm/{echo}/x", headers=headers),
    ]  # fmt: skip

    assert {answer.status_code for answer in given} <= {200, 401, 404}
    assert [a.request.url for a in given if echo in f"{a.reason_phrase}{a.headers}{a.text}"] == []


def test_s14_there_is_no_tls_for_a_client_certificate_to_be_shown_in(
    worker: WorkerProcess, plan: FlowPlan
) -> None:
    """No port shakes hands, and what a proxy says of a certificate that it has seen proves nobody."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for port in (worker.capture_port, worker.operations_port):
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as link,
            pytest.raises((ssl.SSLError, ConnectionResetError)),
        ):
            context.wrap_socket(link, server_hostname="capture.example.com")

    before = worker.report().store.captured
    for seen in (
        {"X-Forwarded-Client-Cert": 'Subject="CN=prometheus"'}, {"X-SSL-Client-Verify": "SUCCESS"},
        {"SSL-Client-Verify": "SUCCESS", "SSL-Client-Subject-DN": "CN=prometheus"},
        {"Client-Cert": ":MIIB:"}, {"X-Client-Cert": "-----BEGIN CERTIFICATE-----"},
    ):  # fmt: skip
        assert httpx.post(worker.capture_url(plan), content=BODY, headers=seen).status_code == 401
    assert worker.report().store.captured == before


def test_s18_without_a_token_there_are_names_and_numbers_only(
    worker: WorkerProcess, plan: FlowPlan
) -> None:
    """Metrics and report know no key, title, label or payload, and grow with no value that a sender chooses."""
    sent = {"Authorization": f"Bearer {TOKEN}"}
    url = worker.capture_url(plan)
    assert httpx.post(url, content=BODY, headers=sent).status_code == 200
    series = len(worker.metrics().splitlines())
    for number in range(200):
        body = BODY.replace(b"8b3897563cc2333a", b"%016x" % number).replace(
            b"payments", b"service-%d" % number
        )
        assert httpx.post(url, content=body, headers=sent).status_code == 200

    told = worker.metrics() + httpx.get(f"http://127.0.0.1:{worker.operations_port}/report").text
    assert len(worker.metrics().splitlines()) <= series + 30
    assert [w for w in ("19199", "service-1", "8b3897", "TargetDown", TOKEN) if w in told] == []


def test_s18_operations_change_nothing(worker: WorkerProcess) -> None:
    """There is no method there but reading."""
    for path in ("/report", "/metrics", "/healthz", "/readyz"):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            url = f"http://127.0.0.1:{worker.operations_port}{path}"
            assert httpx.request(method, url, content=b"{}").status_code == 405


async def test_s12_a_flood_of_strangers_stores_nothing_and_keeps_nobody_out(
    worker: WorkerProcess, plan: FlowPlan
) -> None:
    """Two thousand large requests without the credential: senders who have it are served meanwhile."""
    url, before = worker.capture_url(plan), worker.report().store.captured
    memory = worker.peak_memory_kib()
    limits = httpx.Limits(max_connections=50)
    done: list[int] = []

    async def flood(client: httpx.AsyncClient) -> None:
        while len(done) < 2000:
            answer = await client.post(
                url, content=b"x" * 500_000, headers={"Authorization": "Bearer no"}
            )
            done.append(answer.status_code)

    async with httpx.AsyncClient(limits=limits, timeout=60) as client, asyncio.TaskGroup() as tasks:
        for _ in range(40):
            tasks.create_task(flood(client))
        for number in range(20):
            body = BODY.replace(b"8b3897563cc2333a", b"flood%011d" % number)
            sent = {"Authorization": f"Bearer {TOKEN}"}
            assert (await client.post(url, content=body, headers=sent)).status_code == 200

    assert set(done) == {401}
    assert worker.report().store.captured == before + 20
    assert worker.peak_memory_kib() - memory < 32 * 1024
