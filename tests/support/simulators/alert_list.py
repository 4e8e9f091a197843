"""A monitoring tool that lists its alerts as Alertmanager does, and whose webhooks a test sends or loses.

Used by the tests of lost webhooks. It keeps which credentials it was shown.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web


class AlertList:
    """Serves `GET /api/v2/alerts` on a free port of this machine: `async with`."""

    def __init__(self) -> None:
        self.active: dict[str, dict[str, Any]] = {}
        """Alerts as a webhook has them, by fingerprint."""
        self.shown: list[str | None] = []
        """The Authorization header of each request."""
        self.refuses = False
        self.a_page: int | None = None
        """How many alerts are told at once, from the query's `offset` on; None: all."""
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> AlertList:
        app = web.Application()
        app.router.add_get("/api/v2/alerts", self._list)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _list(self, request: web.Request) -> web.Response:
        self.shown.append(request.headers.get("Authorization"))
        if self.refuses:
            return web.Response(status=500)
        start = int(request.query.get("offset", "0"))
        told = list(self.active.values())[start:][: self.a_page]
        quiet = {"inhibitedBy": [], "silencedBy": [], "state": "active"}
        return web.json_response(
            [
                {**{k: v for k, v in alert.items() if k != "status"}, "status": quiet}
                for alert in told
            ]
        )
