"""The cheapest HTTP target: answers every POST with 201 and a number, and GET with the last number.

`python -m bench.target PORT`
"""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web


async def serve(port: int) -> None:
    """Run until killed."""
    last = 0

    async def handle(request: web.BaseRequest) -> web.Response:
        nonlocal last
        if request.method == "GET":
            return web.Response(text=str(last))
        await request.read()
        last += 1
        return web.Response(status=201, body=b'{"id": %d}' % last, content_type="application/json")

    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
