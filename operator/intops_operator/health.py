"""/healthz, /readyz and /metrics of the operator.

`__main__` starts it first. Not ready means: the admission endpoint would judge by half a cache.
"""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from intops_operator.edges.silent_runner import SilentRunner
from intops_operator.metrics import REGISTRY


class HealthServer:
    """Plain HTTP, for kubelet and Prometheus."""

    def __init__(self, host: str, port: int, not_ready: Callable[[], list[str]]) -> None:
        """`not_ready` lists in words what is still missing."""
        self._host, self._port = host, port
        self._not_ready = not_ready
        self._runner: web.AppRunner | None = None
        self.port = port

    async def start(self) -> None:
        """Bind; `port` is then the real one."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = SilentRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        missing = self._not_ready()
        if missing:
            return web.Response(status=503, text="\n".join(missing) + "\n")
        return web.Response(text="ok\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )
