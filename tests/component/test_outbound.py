"""The HTTP client of the delivery, against a server that answers byte by byte what a test says."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from intops_operator.edges.certificates import renewed
from intops_runtime.core.addresses import AddressPolicy
from intops_runtime.core.exchanges import HttpRequest, HttpResponse
from intops_runtime.edges.outbound import PooledOutbound, TransportError

pytestmark = pytest.mark.component

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"id": "a"}'
Script = Callable[[int], bytes | None]
"""Number of the request, from 0, in; its whole answer out, or None to say nothing. An empty one hangs up."""


@dataclass
class Server:
    """A port, and what came to it."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    at_once: int = 0
    most_at_once: int = 0

    def url(self, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}/things"


@asynccontextmanager
async def serving(script: Script, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A server for one test."""
    server = Server()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        server.at_once += 1
        server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            while (request := await _request(reader)) is not None:
                server.requests.append(request)
                answer = script(len(server.requests) - 1)
                if answer is None:
                    continue
                writer.write(answer)
                if not answer or b"\r\n\r\n" not in answer or b": close" in answer:
                    break
        finally:
            server.at_once -= 1
            writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


async def _request(reader: asyncio.StreamReader) -> bytes | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [
            line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        ]
        size = int(lengths[0].partition(b":")[2]) if lengths else 0
        return head + await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


@asynccontextmanager
async def client(*, concurrency: int = 4, **options: Any) -> AsyncIterator[PooledOutbound]:
    """A client that may call this machine."""
    outbound = PooledOutbound(
        AddressPolicy(allow_loopback=True), concurrency=concurrency, **options
    )
    try:
        yield outbound
    finally:
        await outbound.close()


def request(url: str, method: str = "POST", **changes: Any) -> HttpRequest:
    values = {"headers": {}, "body": {"a": 1} if method != "GET" else None, "timeout_s": 5.0}
    return HttpRequest(method, url, **(values | changes))


async def ask(script: Script, method: str = "POST", **changes: Any) -> HttpResponse:
    """One request to a server with this script."""
    async with serving(script) as server, client() as outbound:
        return await outbound.send(request(server.url(), method, **changes), {})


async def refused(script: Script, method: str = "POST", **changes: Any) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await ask(script, method, **changes)
    return caught.value


async def test_a_request_says_what_it_must_and_a_connection_is_used_again() -> None:
    """The credential, the class's headers and ours; two requests come over one connection."""
    async with serving(lambda _: OK) as server, client() as outbound:
        for _ in range(2):
            answer = await outbound.send(
                request(server.url(), headers={"X-Key": "k"}), {"Authorization": "token t"}
            )
    first = server.requests[0]

    assert answer == HttpResponse(200, {"content-length": "11"}, {"id": "a"})
    assert (server.connections, len(server.requests)) == (1, 2)
    assert first.startswith(b"POST /things HTTP/1.1\r\n")
    for line in (b"x-key: k", b"authorization: token t", b"content-type: application/json"):
        assert b"\r\n" + line + b"\r\n" in first
    assert first.count(b"\r\nhost: 127.0.0.1:%d\r\n" % server.port) == 1
    assert first.endswith(
        b"\r\ncontent-length: 7\r\n" + b"host: 127.0.0.1:%d\r\n\r\n" % server.port + b'{"a":1}'
    )


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n", [1, 2], id="chunks"),
        pytest.param(b"Connection: close\r\n\r\n[1, 2]", [1, 2], id="until the connection ends"),
        pytest.param(b"Content-Length: 0\r\n\r\n", None, id="empty"),
        pytest.param(b"Content-Length: 4\r\n\r\noops", "oops", id="text"),
        pytest.param(
            b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
            % (len(gzip.compress(b"[1]", mtime=0)), gzip.compress(b"[1]", mtime=0)),
            [1],
            id="gzip",
        ),
        pytest.param(
            b"Content-Encoding: deflate\r\nContent-Length: 11\r\n\r\n" + zlib.compress(b"[1]"),
            [1],
            id="deflate",
        ),
    ],
)  # fmt: skip
async def test_every_form_of_an_answer_is_read(raw: bytes, body: Any) -> None:
    """Whatever way a server marks the end of its answer."""
    answer = await ask(lambda _: b"HTTP/1.1 200 OK\r\n" + raw)

    assert answer.body == body


async def test_a_word_in_between_is_no_answer() -> None:
    """103 Early Hints and 100 Continue come before the answer."""
    answer = await ask(lambda _: b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK)

    assert (answer.status, answer.headers) == (200, {"content-length": "11"})


async def test_a_redirect_is_an_answer() -> None:
    """S-23: It is not followed: the credential goes nowhere else."""
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://example.com/\r\nContent-Length: 0\r\n\r\n"
    answer = await ask(lambda _: moved)

    assert (answer.status, answer.headers["location"]) == (302, "http://example.com/")


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        pytest.param(b"", "reset", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n: close\r\n\r\n", "protocol", id="odd header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", "reset", id="half a header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n[", "reset", id="cut body"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\n[1",
            "reset",
            id="half a chunk",
        ),
        pytest.param(b"SSH-2.0-server\r\n\r\n", "protocol", id="another protocol"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n" + b"X-Filler: " + b"a" * 70_000, "protocol", id="endless header"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"a" * (8 * 1024 * 1024 + 70_000),
            "protocol",
            id="endless body",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n"
            + gzip.compress(b"a" * (9 * 1024 * 1024)),
            "protocol",
            id="bomb",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx",
            "protocol",
            id="not what it says",
        ),
    ],
)  # fmt: skip
async def test_a_broken_answer_is_none(raw: bytes, kind: str) -> None:
    """S-27: Each kind is told, so that an unknown outcome is looked up; memory stays small."""
    assert (await refused(lambda _: raw)).kind == kind


async def test_silence_is_a_timeout() -> None:
    """The request may have been done, so its outcome is unknown."""
    assert (await refused(lambda _: None, timeout_s=0.2)).kind == "timeout"


async def test_a_closed_port_refuses() -> None:
    """Nothing was sent."""
    async with serving(lambda _: OK) as server:
        url = server.url()
    async with client() as outbound:
        with pytest.raises(TransportError) as caught:
            await outbound.send(request(url), {})

    assert caught.value.kind == "refused"


async def test_only_a_read_is_sent_again_where_a_kept_connection_has_gone() -> None:
    """Nobody can tell whether a write over a connection that ends has been done."""
    for method in ("GET", "POST"):
        async with (
            serving(lambda number: b"" if number == 1 else OK) as server,
            client() as outbound,
        ):
            await outbound.send(request(server.url(), "GET"), {})
            if method == "GET":
                assert (await outbound.send(request(server.url(), method), {})).status == 200
                assert (len(server.requests), server.connections) == (3, 2)
            else:
                with pytest.raises(TransportError) as caught:
                    await outbound.send(request(server.url(), method), {})
                assert caught.value.kind == "reset"
                assert (len(server.requests), server.connections) == (2, 1)


async def test_what_nobody_asked_for_is_not_the_next_answer() -> None:
    """A server that answers twice would else give its second answer to another message."""
    stray = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"id": "stray"}'
    for extra in (stray, stray[:20]):
        async with serving(lambda n, extra=extra: OK + extra if n == 0 else OK) as server:  # type: ignore[misc]
            async with client() as outbound:
                for _ in range(2):
                    answer = await outbound.send(request(server.url()), {})
                    assert answer.body == {"id": "a"}
            assert server.connections == 2


async def test_there_are_no_more_connections_than_allowed() -> None:
    """Ten requests at once over two connections."""
    async with serving(lambda _: OK) as server, client(concurrency=2) as outbound:
        await asyncio.gather(*(outbound.send(request(server.url()), {}) for _ in range(10)))

    assert len(server.requests) == 10
    assert server.most_at_once <= 2


async def test_a_request_that_is_given_up_takes_its_connection_along() -> None:
    """A late answer must not meet another request."""
    async with serving(lambda n: None if n == 0 else OK) as server, client() as outbound:
        with pytest.raises(TransportError):
            await outbound.send(request(server.url(), timeout_s=0.2), {})
        answer = await outbound.send(request(server.url()), {})

    assert answer.status == 200
    assert server.connections == 2


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb", "a\rb", "a\0b"])
async def test_a_header_is_one_header(value: str) -> None:
    """S-25: A line break in a value would let a message write headers of its own; nothing is sent."""
    for headers, credential in (({"X-Key": value}, {}), ({}, {"Authorization": value})):
        async with serving(lambda _: OK) as server, client() as outbound:
            with pytest.raises(TransportError) as caught:
                await outbound.send(request(server.url(), headers=headers), credential)
        assert caught.value.kind == "unsendable"
        assert value not in caught.value.message
        assert server.requests == []


async def test_a_class_cannot_move_the_end_of_a_message() -> None:
    """S-25: Headers that say where a request ends are the client's alone."""
    framing = {"Content-Length": "0", "Transfer-Encoding": "chunked", "Host": "example.com"}
    async with serving(lambda _: OK) as server, client() as outbound:
        await outbound.send(request(server.url(), headers=framing), {})
    (sent,) = server.requests

    assert b"chunked" not in sent
    assert b"example.com" not in sent
    assert sent.lower().count(b"content-length") == 1
    assert sent.endswith(b'{"a":1}')


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254"])
async def test_an_address_that_is_not_allowed_is_not_called(host: str) -> None:
    """S-20: Whether it is written down or hides behind a name."""
    outbound = PooledOutbound(AddressPolicy(), concurrency=1)
    with pytest.raises(TransportError) as caught:
        await outbound.send(request(f"http://{host}:9/"), {})

    assert caught.value.kind == "blocked"


async def test_a_name_that_is_none_is_told() -> None:
    """The reserved name resolves nowhere (RFC 6761)."""
    async with client() as outbound:
        with pytest.raises(TransportError) as caught:
            await outbound.send(request("http://nothing.invalid/"), {})

    assert caught.value.kind == "dns"


def ends_of(certificate: str) -> float:
    """When a certificate ends, epoch seconds."""
    return x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc.timestamp()


async def test_a_system_proves_who_it_is(tmp_path: Path) -> None:
    """S-26: With its authority it is trusted; without, or under another name, nothing is sent to it."""
    material = renewed(None, ["localhost"], datetime.now(UTC))
    names = {"ca": material.ca, "cert": material.certificate, "key": material.key}
    for name, text in names.items():
        (tmp_path / name).write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    async with serving(lambda _: OK, context) as server:
        async with client(authorities=material.ca) as outbound:
            for _ in range(2):
                answer = await outbound.send(request(server.url("localhost", "https")), {})
                assert answer.status == 200
            assert outbound.certificate_ends == ends_of(material.certificate)
            with pytest.raises(TransportError) as other_name:
                await outbound.send(request(server.url("127.0.0.1", "https")), {})
        async with client() as outbound:
            with pytest.raises(TransportError) as unknown:
                await outbound.send(request(server.url("localhost", "https")), {})
            assert outbound.certificate_ends is None

    assert (other_name.value.kind, unknown.value.kind) == ("tls", "tls")
    assert len(server.requests) == 2


async def test_s22_the_address_that_was_judged_is_the_one_that_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S-20: A name that is good when it is asked and bad a moment later leads nowhere bad."""
    loop = asyncio.get_running_loop()
    asked: list[str] = []
    resolve = loop.getaddrinfo

    async def alternating(host: object, port: object, **options: Any) -> Any:
        if host != "rebound.example.com":
            return await resolve(host, port, **options)  # type: ignore[arg-type]
        asked.append(str(host))
        address = "127.0.0.1" if len(asked) % 2 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(loop, "getaddrinfo", alternating)
    answered = blocked = 0
    async with serving(lambda _: OK) as server:
        for _ in range(20):
            async with client() as outbound:
                url = f"http://rebound.example.com:{server.port}/things"
                try:
                    await outbound.send(request(url), {})
                    answered += 1
                except TransportError as error:
                    blocked += error.kind == "blocked"

    assert (answered, blocked) == (10, 10)
    assert len(asked) == 20


async def test_s28_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would see every request, and the credential of plain ones."""
    async with serving(lambda _: OK) as proxy, serving(lambda _: OK) as server:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with client() as outbound:
            await outbound.send(request(server.url()), {"Authorization": "token t"})

    assert (len(server.requests), proxy.connections) == (1, 0)


async def test_s26_an_old_version_of_tls_is_not_spoken() -> None:
    """Nor is anybody trusted without a certificate of the right name, whoever the authorities are."""
    outbound = PooledOutbound(AddressPolicy(), concurrency=1)
    trusting = PooledOutbound(AddressPolicy(), concurrency=1, authorities="")

    for one in (outbound, trusting):
        context = one._tls()
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
