"""A wire between a client and a server that can be cut: bytes stop, and nobody is told, as in a partition."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

PIECE = 64 * 1024


@dataclass(slots=True)
class Wire:
    """Listens on a port of its own once it is up, and leads to `port`."""

    port_to: int = 0
    port: int = 0
    _whole: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def cut(self) -> None:
        """No byte goes through any more; connections stay open, and new ones are taken and left alone."""
        self._whole.clear()

    def mend(self) -> None:
        """What was sent meanwhile goes on, as after a partition."""
        self._whole.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._whole.wait()
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.port_to)
            try:
                ways = [self._pass(reader, to_writer), self._pass(to_reader, writer)]
                running = [asyncio.ensure_future(way) for way in ways]
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for one in running:
                    one.cancel()
                await asyncio.gather(*running, return_exceptions=True)
            finally:
                to_writer.close()
        except OSError:
            pass  # the server is away; so is this connection
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(PIECE):
            await self._whole.wait()
            writer.write(piece)
            await writer.drain()

    async def __aenter__(self) -> Self:
        self._whole.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
