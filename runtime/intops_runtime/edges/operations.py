"""Port for machines: /healthz, /readyz, /metrics, /report. No payload, no secret, no command.

Started by the worker beside capture; read by kubelet, Prometheus and the operator.
"""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from intops_api.report import FlowReport
from intops_runtime.edges.bare_server import nameless


@dataclass(frozen=True, slots=True)
class OperationsSources:
    """What the port tells. `not_ready` gives a reason in a few words, or None."""

    report: Callable[[], FlowReport]
    not_ready: Callable[[], str | None]
    registry: CollectorRegistry


def operations_app(sources: OperationsSources) -> web.Application:
    """The application behind the port."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        reason = sources.not_ready()
        if reason is None:
            return web.Response(text="ok\n")
        return web.Response(status=503, text=reason + "\n")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(sources.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def report(_: web.Request) -> web.Response:
        return web.Response(
            text=sources.report().model_dump_json(by_alias=True, exclude_none=True),
            content_type="application/json",
        )

    app = web.Application()
    app.on_response_prepare.append(nameless)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/report", report)
    return app
