"""Runs an aiohttp application that names neither itself nor its version, nor repeats what it cannot read.

Both of the operator's ports, health and admission, listen through it. The worker has its own like
it, since the planes never import each other.
"""

from typing import Any

from aiohttp import web


async def _nameless(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)


class _Refusal(web.Response):
    """The answer to what is no HTTP: there is no request whose signal could take the name out."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.pop("Server", None)


class _Handler(web.RequestHandler):
    """One connection."""

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


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Handler(self, loop=self._loop, **self._kwargs)


class SilentRunner(web.AppRunner):
    """The runner; give it to a site."""

    def __init__(self, app: web.Application, **options: Any) -> None:
        app.on_response_prepare.append(_nameless)
        super().__init__(app, access_log=None, **options)

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(
            server.request_handler, request_factory=server.request_factory, **self._kwargs
        )
