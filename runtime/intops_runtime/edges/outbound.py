"""Requests to systems: one method, `send`. Addresses guarded; no redirects; only a read is sent twice.

Used by the delivery, which hands over the credential with each request, so that no expression, log or store sees it.
"""

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Protocol
from urllib.parse import quote, urlsplit

import orjson

from intops_runtime.core.addresses import AddressPolicy
from intops_runtime.core.classifying import TransportKind
from intops_runtime.core.exchanges import HttpRequest, HttpResponse
from intops_runtime.core.failpoints import reach
from intops_runtime.edges.connection import Broken, Connection, RawAnswer

CONNECT_TIMEOUT_S = 3.0  # domain reference 3.1, class 2
# Shorter than any usual server keeps a connection that says nothing.
IDLE_S = 15.0
# A connection that is always busy would lead to an old address for ever; names are asked again this often.
LIFE_S = 60.0
USER_AGENT = "intops"
# The rest of a URL as it may be sent; anything else is encoded first.
_PLAIN_TARGET = re.compile(r"[A-Za-z0-9/%:=&?~+!$,;'@()*\[\]._-]+", re.ASCII)
_KEPT = "/%:=&?~+!$,;'@()*[]"
# Said by the client alone, so that a message cannot end elsewhere than it seems to.
_FRAMING = frozenset({"host", "connection", "transfer-encoding", "upgrade", "te", "trailer"})


class TransportError(Exception):
    """A request got no answer. `kind` says how far it came; the text holds no secret."""

    def __init__(self, kind: TransportKind, message: str) -> None:
        super().__init__(message)
        self.kind: TransportKind = kind
        self.message = message


class Outbound(Protocol):
    """The seam: everything the delivery needs from an HTTP client."""

    async def send(
        self,
        request: HttpRequest,
        credential: Mapping[str, str],
        before: Callable[[], None] | None = None,
    ) -> HttpResponse:
        """Send one request with the credential's headers; one answer or TransportError.

        `before` is called when nothing is left to wait for; if it raises, that is raised and nothing is sent.
        """
        ...

    @property
    def certificate_ends(self) -> float | None:
        """When the first certificate ends that a system has shown, epoch seconds; None if none has."""
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...


@dataclass(frozen=True, slots=True)
class _Call:
    """One request on its way."""

    head: bytes
    body: bytes
    give_up_at: float
    """Monotonic seconds."""
    before: Callable[[], None] | None
    """Asked at the last moment; raises where the request must not be sent any more."""


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where connections lead, from the start of a URL."""

    secure: bool
    host: str
    port: int
    header: bytes
    """The `Host` header as it is sent."""


class PooledOutbound:
    """The client of one target binding: at most `concurrency` connections, kept while they are used."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        concurrency: int,
        authorities: str | None = None,
        life_s: float = LIFE_S,
    ) -> None:
        """`authorities` (PEM) are trusted instead of the system's; a connection lives `life_s` seconds."""
        self._life_s = life_s
        self._policy = policy
        self._context = None if authorities is None else _trusting(authorities)
        self._slots = asyncio.Semaphore(concurrency)
        self._idle: dict[_Origin, list[Connection]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._origins: dict[str, _Origin] = {}
        self._certificates: dict[_Origin, float] = {}
        self._busy: set[Connection] = set()
        self._clock: asyncio.TimerHandle | None = None
        self._looks_at = inf

    @property
    def certificate_ends(self) -> float | None:
        """See Outbound."""
        return min(self._certificates.values(), default=None)

    async def send(
        self,
        request: HttpRequest,
        credential: Mapping[str, str],
        before: Callable[[], None] | None = None,
    ) -> HttpResponse:
        """Send one request; see Outbound."""
        origin, target = self._split(request.url)
        body = _data(request.body)
        head = _head(request, target, origin, credential, body)
        call = _Call(head, body, monotonic() + request.timeout_s, before)
        try:
            async with self._slots:
                answer = await self._exchange(origin, request.method, call)
        except Broken as error:
            raise TransportError(error.kind, f"{origin.host} {error.words}") from error
        return HttpResponse(answer.status, answer.headers, _parsed(answer.body))

    async def arrive(self, url: str, within_s: float) -> list[str]:
        """Open a connection to a URL's origin and keep it, without a word; the addresses that its name has.

        Raises:
            TransportError: it cannot be called, or must not.
        """
        origin, _ = self._split(url)
        try:
            async with asyncio.timeout(within_s):
                found = await self._addresses(origin)
                self._keep(origin, await self._open(origin))
        except TimeoutError as error:
            words = f"{origin.host} does not accept a connection in time"
            raise TransportError("connect", words) from error
        return found

    async def _exchange(self, origin: _Origin, method: str, call: _Call) -> RawAnswer:
        connection = self._kept(origin)
        if connection is not None:
            try:
                return await self._on(connection, origin, call)
            except Broken as error:
                # It was closed while nobody looked. Only a read is sent again without a question.
                if method != "GET" or not error.clean:
                    raise
        try:
            async with asyncio.timeout(max(call.give_up_at - monotonic(), 0.0)):
                connection = await self._open(origin)
        except TimeoutError as error:
            words = f"{origin.host} does not accept a connection in time"
            raise TransportError("connect", words) from error
        return await self._on(connection, origin, call)

    async def _on(self, connection: Connection, origin: _Origin, call: _Call) -> RawAnswer:
        if call.before is not None:
            try:
                call.before()
            except Exception:
                self._keep(origin, connection)
                raise
        connection.give_up_at = call.give_up_at
        self._busy.add(connection)
        if call.give_up_at < self._looks_at:
            self._look_at(call.give_up_at)
        try:
            answer = await connection.exchange(call.head, call.body)
        finally:
            self._busy.discard(connection)
        if connection.usable:
            self._keep(origin, connection)
        else:
            connection.close()
        return answer

    def _look_at(self, moment: float) -> None:
        """One timer for all requests: nearly all are answered long before."""
        if self._clock is not None:
            self._clock.cancel()
        self._looks_at = moment
        wait_s = max(moment - monotonic(), 0.0)
        self._clock = asyncio.get_running_loop().call_later(wait_s, self._give_up_late)

    def _give_up_late(self) -> None:
        self._clock, self._looks_at = None, inf
        now = monotonic()
        for connection in [one for one in self._busy if one.give_up_at <= now]:
            connection.give_up()
        left = [one.give_up_at for one in self._busy if one.give_up_at > now]
        if left:
            self._look_at(min(left))

    def _kept(self, origin: _Origin) -> Connection | None:
        """The connection that was used last, if it still stands."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            idle_s, age_s = monotonic() - connection.idle_since, monotonic() - connection.opened_at
            if connection.usable and idle_s < IDLE_S and age_s < self._life_s:
                return connection
            connection.close()
        return None

    def _keep(self, origin: _Origin, connection: Connection) -> None:
        connection.idle_since = monotonic()
        self._idle.setdefault(origin, []).append(connection)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(IDLE_S, self._close_old)

    def _close_old(self) -> None:
        self._sweep = None
        before = monotonic() - IDLE_S
        for origin, idle in list(self._idle.items()):
            for connection in idle:
                if connection.idle_since <= before:
                    connection.close()
            self._idle[origin] = [one for one in idle if one.usable]
        if any(self._idle.values()):
            self._sweep = asyncio.get_running_loop().call_later(IDLE_S, self._close_old)

    async def _open(self, origin: _Origin) -> Connection:
        """A new connection, to an address that the policy allows."""
        addresses = await self._addresses(origin)
        give_up_at = monotonic() + CONNECT_TIMEOUT_S
        for position, address in enumerate(addresses, start=1):
            # Each address gets its share of the time, so that a dead one does not use up all of it.
            share_s = (give_up_at - monotonic()) / (len(addresses) - position + 1)
            try:
                connection = await _connected(address, origin.port, share_s)
                break
            except (OSError, TimeoutError) as error:
                if position == len(addresses):
                    raise _not_connected(error, origin.host) from error
        reach("K15")
        connection.opened_at = monotonic()
        if origin.secure:
            try:
                await connection.encrypt(self._tls(), origin.host)
                if connection.certificate_ends is not None:
                    self._certificates[origin] = connection.certificate_ends
            except (ssl.SSLError, ssl.CertificateError) as error:
                words = f"{origin.host} cannot prove who it is: TLS failed"
                raise TransportError("tls", words) from error
            except OSError as error:
                raise _not_connected(error, origin.host) from error
        return connection

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
        return self._context

    async def _addresses(self, origin: _Origin) -> list[str]:
        """Every address of a host; refused if one is, whichever name it hides behind."""
        host = origin.host
        if _is_literal(host):
            found = [host]
        else:
            loop = asyncio.get_running_loop()
            try:
                rows = await loop.getaddrinfo(host, origin.port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                raise TransportError("dns", f"the name {host} does not resolve") from error
            found = list(dict.fromkeys(str(row[4][0]) for row in rows))
        for address in found:
            refusal = self._policy.refusal(address)
            if refusal is not None:
                raise TransportError("blocked", f"{host} is not called: {refusal}")
        return found

    def _split(self, url: str) -> tuple[_Origin, str]:
        """Where to connect, and what to ask for there."""
        at = url.find("/", url.find("://") + 3)
        start, target = (url, "/") if at < 0 else (url[:at], url[at:])
        origin = self._origins.get(start)
        if origin is None:
            origin = self._origins[start] = _origin(start)
        target = target.partition("#")[0]
        return origin, target if _PLAIN_TARGET.fullmatch(target) else quote(target, safe=_KEPT)

    async def close(self) -> None:
        """Give connections back."""
        for handle in (self._sweep, self._clock):
            if handle is not None:
                handle.cancel()
        for connection in (one for idle in self._idle.values() for one in idle):
            connection.close()
        self._idle.clear()


def _trusting(authorities: str) -> ssl.SSLContext:
    """A context that trusts these authorities only; nobody at all if they cannot be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with contextlib.suppress(ssl.SSLError, ValueError):
        context.load_verify_locations(cadata=authorities)
    return context


async def _connected(address: str, port: int, within_s: float) -> Connection:
    async with asyncio.timeout(max(within_s, 0.0)):
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, address, port)
        return connection


def _not_connected(error: Exception, host: str) -> TransportError:
    if isinstance(error, ConnectionRefusedError):
        return TransportError("refused", f"{host} refuses connections")
    if isinstance(error, TimeoutError):
        return TransportError("connect", f"{host} does not accept a connection within 3 s")
    return TransportError("connect", f"{host} cannot be reached")


def _origin(start: str) -> _Origin:
    """The origin of a URL. What no endpoint may be is refused at admission; here it is not sent."""
    try:
        parts = urlsplit(start)
        host, port = parts.hostname or "", parts.port
        secure = parts.scheme == "https"
        if parts.scheme not in ("http", "https") or not host or parts.username is not None:
            raise ValueError(start)
        if not host.isascii():
            host = host.encode("idna").decode()
    except ValueError as error:
        raise TransportError("blocked", "the endpoint is no http or https address") from error
    usual = 443 if secure else 80
    name = f"[{host}]" if ":" in host else host
    header = name if port in (None, usual) else f"{name}:{port}"
    return _Origin(secure, host, port or usual, header.encode())


def _head(
    request: HttpRequest, target: str, origin: _Origin, credential: Mapping[str, str], body: bytes
) -> bytes:
    """Request line and headers. What the class and the credential say goes before our own."""
    own: dict[str, str] = {
        "user-agent": USER_AGENT,
        "accept": "application/json",
        "accept-encoding": "gzip, deflate",
    }
    if request.body is not None:
        own["content-type"] = "application/json"
    for name, value in (*request.headers.items(), *credential.items()):
        own[name.lower()] = value
    if body or request.method != "GET":
        own["content-length"] = str(len(body))
    lines = [f"{request.method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in own.items() if name not in _FRAMING]
    head = "\r\n".join(lines)
    # One more line break than lines, or a NUL, and a header would say something else than was meant.
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or "\0" in head:
        words = "a header holds a line break, which nobody may send; see the class and the Secret"
        raise TransportError("unsendable", words)
    return b"%b\r\nhost: %b\r\n\r\n" % (head.encode(), origin.header)


def _data(body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    return b"" if body is None else orjson.dumps(body)


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _parsed(body: bytes) -> object:
    if not body:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:4096].decode("utf-8", "replace")
