"""HTTP servers that say no more than their handlers: no name, no version, no echo.

`BareServer` is one below aiohttp's applications, for capture, which any stranger can reach.
Applications run in a `BareRunner` and take `nameless` as a signal.
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


class _Refusal(web.Response):
    """The answer to what is no HTTP: there is no request whose hook could take the name out."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.pop("Server", None)


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
        refusal = _Refusal(status=status, text="this is not HTTP as it should be\n")
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
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        request_factory: Callable[..., web.BaseRequest] = _request,
        **options: Any,
    ) -> None:
        super().__init__(handler, request_factory=request_factory, **options)

    def __call__(self) -> web.RequestHandler:
        return Handler(self, loop=self._loop, **self._kwargs)


class BareRunner(web.AppRunner):
    """Runs an application whose connections are as silent as those of a `BareServer`."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return BareServer(server.request_handler, server.request_factory, **self._kwargs)
