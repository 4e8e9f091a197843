"""An API server that is older than the truth: lists as they were once, and watches that bring nothing.

Used by tests/cluster/test_stale_lists.py. Writes, and reads of single objects, reach the real server.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from support.cluster.api_proxy import ApiProxy
from support.cluster.controlplane import ControlPlane

_BY = ("labelSelector", "limit", "continue")
_LIST = re.compile(r"/(api/v1|apis/[^/]+/[^/]+)(/namespaces/[^/]+)?/[a-z]+")
Key = tuple[str, str, tuple[str, ...]]


class StaleProxy(ApiProxy):
    """Remembers every list that is asked for while `remembering`, and answers with it while `stale`."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        super().__init__(plane, folder)
        self._fresh = asyncio.Event()
        self._fresh.set()
        self.unseen: set[str] = set()
        """Paths of objects that this server says there are not, while it is stale."""
        self.unguarded = False
        """Whether deletions lose their preconditions on the way: the missing safeguard."""
        self.replayed = 0
        self.deletions: list[tuple[str, int]] = []
        """Path of every deletion that was asked for, and how it was answered."""
        self.looked_up: set[str] = set()
        self._remembers = False
        self._old: dict[Key, web.Response] = {}

    @property
    def stale(self) -> bool:
        """Whether it answers as of old."""
        return not self._fresh.is_set()

    @stale.setter
    def stale(self, wanted: bool) -> None:
        self._loop.call_soon_threadsafe(self._fresh.clear if wanted else self._fresh.set)

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Keep what lists are answered; no write passes, so that nobody leads and nothing changes."""
        self.refuse, self._remembers = (503, "ServiceUnavailable"), True
        try:
            yield
        finally:
            self.refuse, self._remembers = None, False

    async def _ask(self, request: web.BaseRequest) -> web.StreamResponse:
        self.looked_up.add(request.path)
        if self.stale and request.method == "GET" and request.path in self.unseen:
            return _gone()
        key = _key(request)
        if self.stale and request.method == "GET" and key in self._old:
            self.replayed += 1
            old = self._old[key]
            return web.Response(status=old.status, body=old.body, headers=old.headers)
        answer = await super()._ask(request)
        if self._remembers and _LIST.fullmatch(request.path) and isinstance(answer, web.Response):
            self._old[key] = answer
        if request.method == "DELETE":
            self.deletions.append((request.path, answer.status))
        return answer

    async def _body(self, request: web.BaseRequest) -> bytes:
        body = await request.read()
        if request.method == "DELETE" and self.unguarded:
            options = json.loads(body)
            options["preconditions"].pop("resourceVersion")
            body = json.dumps(options).encode()
        return body

    async def _watch(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self.stale:
            return await super()._watch(request)
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        await self._fresh.wait()
        return answer


def _key(request: web.BaseRequest) -> Key:
    asked = tuple(request.query.get(name, "") for name in _BY)
    return request.path, request.headers.get("Accept", ""), asked


def _gone() -> web.Response:
    body: dict[str, Any] = {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "not found", "reason": "NotFound", "code": 404,
    }  # fmt: skip
    return web.json_response(body, status=404)
