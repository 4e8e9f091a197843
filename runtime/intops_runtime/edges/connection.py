"""One HTTP/1.1 connection to a system: one request, then its answer, then perhaps the next request.

Used by `outbound`, which opens, keeps and closes connections. llhttp parses (through httptools); here are
the limits. Nothing is repeated and no redirect is followed.
"""

import asyncio
import ssl
import zlib
from dataclasses import dataclass
from typing import Final, Literal, cast

import httptools

from intops_runtime.core.failpoints import installed, reach

MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
MAX_HEAD_BYTES: Final = 64 * 1024
_TOO_LARGE: Final = "the answer is larger than 8 MiB"

BreakKind = Literal["reset", "protocol", "timeout"]


class Broken(Exception):
    """There will be no answer. `clean` says that not a byte of one had come."""

    def __init__(self, kind: BreakKind, words: str, *, clean: bool = False) -> None:
        super().__init__(words)
        self.kind: BreakKind = kind
        self.words = words
        self.clean = clean


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One answer; header names in lower case, the body without its content coding."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection(asyncio.Protocol):
    """See the module. Closed for good after anything unexpected."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[RawAnswer] | None = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._head_done = False
        self._keep = True
        self.opened_at = 0.0
        """When it was opened (monotonic seconds); kept by the pool."""
        self.certificate_ends: float | None = None
        """When the partner's certificate ends (epoch seconds); None without TLS."""
        self.idle_since = 0.0
        """When it was given back (monotonic seconds); kept by the pool."""
        self.give_up_at = 0.0
        """When its answer comes too late (monotonic seconds); kept by the pool, which looks at the clock."""

    @property
    def usable(self) -> bool:
        """Whether another request may be sent on it."""
        transport = self._transport
        return self._keep and transport is not None and not transport.is_closing()

    async def exchange(self, head: bytes, body: bytes) -> RawAnswer:
        """Send one request and wait for its answer.

        Raises:
            Broken: the connection ended or said something else than an answer.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            raise Broken("reset", "broke the connection off", clean=True)
        self._answer = asyncio.get_running_loop().create_future()
        self._size = 0
        if installed():  # points inside a request; only where a test looks
            transport.write(head)
            reach("K16")
            transport.write(body)
            reach("K17")
        else:
            transport.write(head + body)
        try:
            return await self._answer
        finally:
            if not self._answer.done() or self._answer.cancelled():
                self.close()
            self._answer = None

    def give_up(self) -> None:
        """The answer did not come in time."""
        self._fail("timeout", "did not answer in time")

    def close(self) -> None:
        """End it; what waits for an answer gets none."""
        self._keep = False
        if self._transport is not None:
            self._transport.abort()

    async def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """Go on under TLS, with a partner that proves to be `host`.

        Raises:
            ssl.SSLError, OSError: it does not, or ends the connection.
        """
        transport = self._transport
        if transport is None:
            raise ConnectionResetError
        try:
            loop = asyncio.get_running_loop()
            encrypted = await loop.start_tls(transport, self, context, server_hostname=host)
        except BaseException:
            transport.abort()
            raise
        if encrypted is None:
            raise ConnectionResetError
        self._transport = encrypted
        shown = encrypted.get_extra_info("peercert") or {}
        if "notAfter" in shown:
            self.certificate_ends = float(ssl.cert_time_to_seconds(shown["notAfter"]))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._keep, self._transport = False, None
        self._ended()
        self._parser = None  # it holds this object

    def eof_received(self) -> bool:
        """See asyncio.Protocol."""
        self._keep = False
        self._ended()
        return False

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._answer is None or self._answer.done() or self._parser is None:
            self.close()  # nobody has asked
            return
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("protocol", "does not speak HTTP as expected")
            return
        if not self._head_done and self._size > MAX_HEAD_BYTES:
            self._fail("protocol", "sends too many headers")
        elif self._size > MAX_ANSWER_BYTES + MAX_HEAD_BYTES:
            self._fail("protocol", _TOO_LARGE)

    def on_message_begin(self) -> None:
        """See httptools."""
        if self._answer is None or self._answer.done():
            self._keep = False  # the start of another answer, to nothing that was asked

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        self._headers[name.decode("latin-1").lower()] = value.decode("utf-8", "replace")

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._head_done = True
        reach("K18")

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        answer = self._answer
        if self._parser is None or answer is None or answer.done():
            return  # more than was asked for
        status = self._parser.get_status_code()
        if status < 200:  # only a word in between
            self._start_over()
            return
        reach("K19")
        self._keep = self._keep and self._parser.should_keep_alive()
        self._deliver(status, answer)

    def _deliver(self, status: int, answer: asyncio.Future[RawAnswer]) -> None:
        headers, body = self._headers, b"".join(self._body)
        self._start_over()
        try:
            plain = _decoded(body, headers.get("content-encoding", ""))
        except zlib.error:
            self._fail("protocol", "sends a body that cannot be unpacked")
            return
        if len(plain) > MAX_ANSWER_BYTES:
            self._fail("protocol", _TOO_LARGE)
            return
        answer.set_result(RawAnswer(status, headers, plain))

    def _start_over(self) -> None:
        self._headers, self._body, self._head_done = {}, [], False

    def _ended(self) -> None:
        """The other side says no more. An answer without a length ends so."""
        if self._answer is None or self._answer.done():
            return
        headers = self._headers
        endless = "content-length" not in headers and "chunked" not in headers.get(
            "transfer-encoding", ""
        )
        if self._head_done and endless and self._parser is not None:
            self._deliver(self._parser.get_status_code(), self._answer)
        else:
            self._fail("reset", "broke the connection off")

    def _fail(self, kind: BreakKind, words: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Broken(kind, words, clean=self._size == 0))
        self.close()


def _decoded(body: bytes, coding: str) -> bytes:
    """The body without its coding, at most a byte more than is allowed."""
    coding = coding.strip().lower()
    if coding not in ("gzip", "x-gzip", "deflate") or not body:
        return body
    # 47: zlib or gzip, whichever it is; some servers send `deflate` without the zlib frame.
    bare = coding == "deflate" and (body[0] & 0x0F != 8 or int.from_bytes(body[:2]) % 31 != 0)
    unpacking = zlib.decompressobj(-15 if bare else 47)
    plain = unpacking.decompress(body, MAX_ANSWER_BYTES + 1)
    if not unpacking.eof and len(plain) <= MAX_ANSWER_BYTES:
        raise zlib.error("the end is missing")
    return plain
