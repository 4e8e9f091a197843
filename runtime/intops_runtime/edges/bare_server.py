"""An HTTP server below aiohttp's applications that says no more than its handler: no name, no version, no echo.

Used by capture, which any stranger can reach. Applications take `nameless` as a signal instead.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader


async def nameless(_: web.BaseRequest, response: web.StreamResponse) -> None:
    """Take out the header in which aiohttp names itself and its version; strangers need neither."""
    response.headers.pop("Server", None)


class Handler(web.RequestHandler):
    """One connection. What is no HTTP is refused without its own bytes, which may hold the credential."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        # aiohttp would repeat the line that it cannot read, to the sender and in the log.
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        refusal = web.Response(status=status, text="this is not HTTP as it should be\n")
        refusal.force_close()
        return refusal


class _Request(web.BaseRequest):
    """One request, whose answer does not name the program that gives it."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        # The hook by which an application sends its signals; a bare server has no other.
        await nameless(self, response)


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    return _Request(message, payload, protocol, writer, task, asyncio.get_running_loop())


class BareServer(web.Server):
    """The server of such connections."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], **options: Any
    ) -> None:
        super().__init__(handler, request_factory=_request, **options)

    def __call__(self) -> web.RequestHandler:
        return Handler(self, loop=self._loop, **self._kwargs)
