"""The two parts of an API server that reads need: a list of pods, and port-forward to one of them.

Speaks the protocol of `kubectl port-forward` over WebSocket (v4.channel.k8s.io): channel 0 carries data,
channel 1 errors, each begins with the port. Used where a real node with pods would take minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

PROTOCOL = "v4.channel.k8s.io"
DATA, ERROR = b"\x00", b"\x01"


class ApiGate:
    """Serves on a thread of its own until `stop`."""

    def __init__(
        self, pods: dict[str, tuple[str, int]], pools: dict[str, str] | None = None
    ) -> None:
        """A gate to these pods.

        Args:
            pods: Name → Flow or pool that it works for, and the local port that stands for its console.
            pools: Flow → its pool, of Flows that are in one.
        """
        self.pods = pods
        self.pools = pools or {}
        self.forbidden = False
        self.asked: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self.port = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig that leads here."""
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "gate",
            "clusters": [{"name": "gate", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "alice", "user": {"token": "alice-token"}}],
            "contexts": [{"name": "gate", "context": {"cluster": "gate", "user": "alice"}}],
        }  # fmt: skip
        path.write_text(json.dumps(config), encoding="utf-8")
        return path

    def stop(self) -> None:
        """Close the port."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _start(self) -> web.AppRunner:
        app = web.Application()
        base = "/api/v1/namespaces/{namespace}/pods"
        app.router.add_get(base, self._list)
        app.router.add_get(base + "/{name}/portforward", self._forward)
        flows = "/apis/intops.io/v1alpha1/namespaces/{namespace}/flows/{name}"
        app.router.add_get(flows, self._flow)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = int(runner.addresses[0][1])
        return runner

    async def _list(self, request: web.Request) -> web.Response:
        selector = request.query.get("labelSelector", "")
        items = [
            {
                "metadata": {
                    "name": name, "namespace": request.match_info["namespace"],
                    "labels": {self._label(crew): crew},
                },
                "status": {"phase": "Running"},
            }
            for name, (crew, _) in self.pods.items()
            if f"{self._label(crew)}={crew}" in selector or not re.search("(flow|pool)=", selector)
        ]  # fmt: skip
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "items": items})

    def _label(self, crew: str) -> str:
        return "intops.io/pool" if crew in self.pools.values() else "intops.io/flow"

    async def _flow(self, request: web.Request) -> web.Response:
        name, space = request.match_info["name"], request.match_info["namespace"]
        pool = self.pools.get(name)
        spec = {"runtime": {"pool": pool} if pool else {}}
        return web.json_response({"metadata": {"name": name, "namespace": space}, "spec": spec})

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        name, port = request.match_info["name"], int(request.query["ports"])
        self.asked.append(f"{name}:{port}")
        if self.forbidden:
            body: dict[str, Any] = {
                "kind": "Status", "code": 403, "reason": "Forbidden",
                "message": f'pods "{name}" is forbidden: User "alice" cannot create pods/portforward',
            }  # fmt: skip
            return web.json_response(body, status=403)
        socket = web.WebSocketResponse(protocols=(PROTOCOL,))
        await socket.prepare(request)
        for channel in (DATA, ERROR):
            await socket.send_bytes(channel + port.to_bytes(2, "little"))
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.pods[name][1])
        except OSError as error:
            await socket.send_bytes(ERROR + str(error).encode())
            await socket.close()
            return socket
        back = asyncio.create_task(_answer(reader, socket))
        async for message in socket:
            if message.type is WSMsgType.BINARY and message.data[:1] == DATA:
                writer.write(message.data[1:])
        back.cancel()
        writer.close()
        return socket


async def _answer(reader: asyncio.StreamReader, socket: web.WebSocketResponse) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            await socket.send_bytes(DATA + data)
        await socket.close()
