"""Stands between the operator and its API server, and makes any one request go wrong.

Every request of the operator is a place where it may die, or hear nothing, or be refused. The proxy names them
(`Call`: verb, path, which one of equals), counts them by scope (a namespace, or `cluster`), and does one `Fault`
at one call of one scope. Watches are bent for all alike. Used by tests/cluster/test_api_faults.py.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from support.cluster.controlplane import ControlPlane

_NAMESPACE = re.compile(r"/namespaces/([^/]+)")
_POD = re.compile(r"/pods/[^/]+")
_LONGEST_LINE = 4 * 2**20
_PASSED_ON = ("Accept", "Content-Type", "User-Agent")


class Fault(StrEnum):
    """What goes wrong at one request."""

    KILLED_BEFORE = "the operator is killed before it is sent"
    KILLED_AFTER = "the operator is killed after it took effect"
    NOT_SENT = "the connection ends before it is sent"
    NO_ANSWER = "it takes effect and the answer is lost"
    CONFLICT = "409"
    TOO_MANY = "429"
    FAILED = "500"
    AWAY = "503"
    LATE = "504, and yet it took effect"


KILLS = (Fault.KILLED_BEFORE, Fault.KILLED_AFTER)
_TAKES_EFFECT = (Fault.KILLED_AFTER, Fault.NO_ANSWER, Fault.LATE)
_STATUS = {
    Fault.CONFLICT: (409, "Conflict"),
    Fault.TOO_MANY: (429, "TooManyRequests"),
    Fault.FAILED: (500, "InternalError"),
    Fault.AWAY: (503, "ServiceUnavailable"),
    Fault.LATE: (504, "Timeout"),
}


class Bend(StrEnum):
    """What is wrong with every watch."""

    CLOSED = "closed every half second"
    GONE = "answered with 410 Gone every half second"
    DOUBLED = "every event comes twice"
    GAPS = "dead from the third event on, then closed"
    SILENT = "open, and says nothing"


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """One request, named so that it is the same one in every run."""

    verb: str
    path: str
    nth: int

    def __str__(self) -> str:
        return f"{self.verb} {self.path} #{self.nth}"


@dataclass(slots=True)
class Scope:
    """What has been asked within one namespace, and what is to go wrong there."""

    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    writes: int = 0
    at: Call | None = None
    fault: Fault | None = None
    hit: threading.Event = field(default_factory=threading.Event)
    kill: Callable[[], None] | None = None

    def calls(self) -> list[Call]:
        """Every call so far."""
        return [
            Call(verb, path, nth)
            for (verb, path), count in sorted(self.seen.items())
            for nth in range(1, count + 1)
        ]


class ApiProxy:
    """A plain HTTP port of 127.0.0.1 that leads to the API server, as its administrator."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.scopes: defaultdict[str, Scope] = defaultdict(Scope)
        self.bend: Bend | None = None
        self.refuse: tuple[int, str] | None = None
        """Status and reason for every write, as from a server that is busy or a second writer."""
        self.refused = 0
        self.watches = 0
        self._server = plane.server
        self._tls = ssl.create_default_context(cafile=str(plane.authority.ca.cert))
        self._tls.load_cert_chain(plane.admin.cert, plane.admin.key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)
        self.kubeconfig = folder / "through-the-proxy.kubeconfig"
        self.kubeconfig.write_text(_kubeconfig(port))

    def arm(
        self, scope: str, at: Call, fault: Fault, kill: Callable[[], None] | None = None
    ) -> Scope:
        """Make one call go wrong, once; `kill` ends the operator."""
        armed = self.scopes[scope]
        armed.at, armed.fault, armed.kill = at, fault, kill
        return armed

    def stop(self) -> None:
        """Close the port."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> int:
        connector = aiohttp.TCPConnector(limit=0, ssl=self._tls)
        timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False, read_bufsize=_LONGEST_LINE
        )
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        assert self._runner.server is not None
        return int(self._runner.addresses[0][1])

    async def _end(self) -> None:
        await self._runner.cleanup()
        await self._session.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            if request.query.get("watch") in {"true", "1"}:
                return await self._watch(request)
            return await self._ask(request)
        except (aiohttp.ClientError, ConnectionError):
            # One of both ends is gone; the other one hears of it by the end of its connection.
            return _hang_up(request)

    async def _ask(self, request: web.BaseRequest) -> web.StreamResponse:
        name, call = self._name(request)
        scope = self.scopes[name]
        writes = request.method != "GET"
        scope.writes += writes
        if self.refuse is not None and writes:
            self.refused += 1
            return _refusal(*self.refuse)
        fault = None
        if scope.at == call:
            fault, scope.at = scope.fault, None
        if fault is None:
            return await self._forward(request)
        if fault in _TAKES_EFFECT:
            await self._forward(request)
        if fault in KILLS:
            assert scope.kill is not None
            scope.kill()
        scope.hit.set()
        if fault in _STATUS:
            return _refusal(*_STATUS[fault])
        return _hang_up(request)

    def _name(self, request: web.BaseRequest) -> tuple[str, Call]:
        inside = _NAMESPACE.search(request.path)
        name = inside[1] if inside else "cluster"
        path = _POD.sub("/pods/POD", _NAMESPACE.sub("/namespaces/NS", request.path))
        seen = self.scopes[name].seen
        seen[request.method, path] += 1
        return name, Call(request.method, path, seen[request.method, path])

    async def _forward(self, request: web.BaseRequest) -> web.Response:
        async with self._session.request(
            request.method, self._server + request.path_qs, data=await self._body(request) or None,
            headers=_headers(request),
        ) as answer:  # fmt: skip
            body = await answer.read()
            kept = {
                key: value for key, value in answer.headers.items()
                if key in {"Content-Type", "Content-Encoding", "Retry-After"}
            }  # fmt: skip
            return web.Response(status=answer.status, body=body, headers=kept)

    async def _body(self, request: web.BaseRequest) -> bytes:
        """What is sent on; a proxy that changes requests has another one."""
        return await request.read()

    async def _watch(self, request: web.BaseRequest) -> web.StreamResponse:
        self.watches += 1
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        async with self._session.get(
            self._server + request.path_qs, headers=_headers(request)
        ) as upstream:
            answer.set_status(upstream.status)
            await answer.prepare(request)
            bend, seen = self.bend, 0
            ends = self._loop.time() + 0.5 if bend in {Bend.CLOSED, Bend.GONE} else None
            while True:
                left_s = None if ends is None else max(ends - self._loop.time(), 0.0)
                line = await _line(upstream, left_s)
                bend = self.bend if ends is None else bend
                if line is None:
                    break
                seen += 1
                if bend is Bend.SILENT:
                    continue
                if bend is Bend.GAPS and seen >= 3:
                    # What comes after a gap is not told either: no server leaves out one event alone.
                    ends = ends or self._loop.time() + 0.5
                    continue
                await answer.write(line * 2 if bend is Bend.DOUBLED else line)
            if bend is Bend.GONE:
                await answer.write(_GONE)
        return answer


_GONE = (
    json.dumps(
        {
            "type": "ERROR",
            "object": {
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "too old resource version", "reason": "Expired", "code": 410,
            },
        }
    ).encode()
    + b"\n"
)  # fmt: skip


async def _line(upstream: aiohttp.ClientResponse, within_s: float | None) -> bytes | None:
    """The next event of a watch; None at its end, or when the time is over."""
    try:
        async with asyncio.timeout(within_s):
            return await upstream.content.readline() or None
    except (TimeoutError, aiohttp.ClientError):
        return None


def _hang_up(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)


def _headers(request: web.BaseRequest) -> dict[str, str]:
    return {name: request.headers[name] for name in _PASSED_ON if name in request.headers}


def _refusal(status: int, reason: str) -> web.Response:
    body: dict[str, Any] = {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": f"{reason}, says the proxy", "reason": reason, "code": status,
    }  # fmt: skip
    headers = {"Retry-After": "1"} if status == 429 else {}
    return web.json_response(body, status=status, headers=headers)


def _kubeconfig(port: int) -> str:
    server = f"http://127.0.0.1:{port}"
    return json.dumps(
        {
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": server}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        }
    )  # fmt: skip
