"""The thinnest pipeline of the same libraries: aiohttp in, one fsync'ed SQLite commit, aiohttp out.

No mapping, no rules, no intents: the floor that the worker is measured against.
`python -m bench.thin PORT TARGET_URL DATABASE`; GET / tells how many were delivered.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
from typing import Any

import aiohttp
import apsw
from aiohttp import web

IN_FLIGHT = 64


class Queue:
    """Rows are stored and deleted by one thread; it commits whatever is waiting."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._work: queue.SimpleQueue[tuple[bytes | None, int, Any]] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self.fresh: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        threading.Thread(target=self._run, daemon=True).start()

    async def put(self, body: bytes) -> None:
        """Return once the row is on disk."""
        done = self._loop.create_future()
        self._work.put((body, 0, done))
        await done

    def delete(self, row: int) -> None:
        """Forget a delivered row; rides in the next commit."""
        self._work.put((None, row, None))

    def _run(self) -> None:
        db = apsw.Connection(self._path)
        for statement in (
            "PRAGMA locking_mode=EXCLUSIVE",
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            "CREATE TABLE IF NOT EXISTS q(id INTEGER PRIMARY KEY, body BLOB)",
        ):
            db.execute(statement).fetchall()
        while True:
            batch = [self._work.get()]
            while len(batch) < 500 and not self._work.empty():
                batch.append(self._work.get())
            stored = []
            with db:
                for body, row, done in batch:
                    if body is None:
                        db.execute("DELETE FROM q WHERE id=?", (row,))
                    else:
                        db.execute("INSERT INTO q(body) VALUES(?)", (body,))
                        stored.append((db.last_insert_rowid(), body, done))
            self._loop.call_soon_threadsafe(self._stored, stored)

    def _stored(self, stored: list[tuple[int, bytes, Any]]) -> None:
        for row, body, done in stored:
            done.set_result(None)
            self.fresh.put_nowait((row, body))


async def serve(port: int, target: str, database: str) -> None:
    """Run until killed."""
    rows = Queue(database)
    delivered = 0
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=IN_FLIGHT), cookie_jar=aiohttp.DummyCookieJar()
    )

    async def deliver() -> None:
        nonlocal delivered
        while True:
            row, body = await rows.fresh.get()
            async with session.post(target, data=body) as answer:
                await answer.read()
            rows.delete(row)
            delivered += 1

    async def handle(request: web.BaseRequest) -> web.Response:
        if request.method == "GET":
            return web.Response(text=str(delivered))
        await rows.put(await request.read())
        return web.Response(status=200)

    workers = [asyncio.create_task(deliver()) for _ in range(IN_FLIGHT)]
    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.gather(*workers)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
