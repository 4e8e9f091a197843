"""Stands between the product and a system as a bad network or a bad system would: cuts, stalls, drips, lies.

Used by fault tests. It works on bytes; a fault is used up by the next POST that passes.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

Kind = Literal["cut_request", "cut_answer", "stall", "lie", "drip"]


@dataclass(frozen=True, slots=True)
class NetworkFault:
    """What happens to one request.

    cut_request: `after` bytes of it go on, then both sides see a reset.
    cut_answer: it is done; `after` bytes of its answer come back, then a reset.
    stall: nothing goes on and nothing comes back, as if the peer had vanished without a word.
    lie: `raw` comes back at once; the system never hears of it.
    drip: it is done; the answer comes back byte by byte, `delay_s` apart.
    """

    kind: Kind
    after: int = 0
    raw: bytes = b""
    delay_s: float = 0.0


@dataclass(slots=True)
class FaultProxy:
    """A TCP proxy in the test's own loop; `faults` are used up one by one, None lets a request pass."""

    target_port: int
    faults: deque[NetworkFault | None] = field(default_factory=deque)
    port: int = 0
    scheme: str = "http"
    begins: bytes = b"POST "
    """What a request begins with that a fault is for."""
    met: int = 0
    """Faults that a request has met."""
    credentials: int = 0
    """Requests that have shown a credential."""
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        """What a Connector names as its endpoint."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def up(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen, on the same port every time; with `tls` the client must speak TLS."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse connections and break those that are there."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            _reset(writer)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.down()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._pass_on(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # one of both has gone, or the proxy is taken down
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        self._writers.add(up_writer)
        try:
            while head := await reader.read(65536):
                fault = self._next(head)
                if fault is None:
                    up_writer.write(head)
                elif not await self._meet(fault, head, reader, writer, up_writer):
                    return
                await self._answer(fault, up_reader, writer)
        finally:
            self._writers.discard(up_writer)
            up_writer.close()

    def _next(self, head: bytes) -> NetworkFault | None:
        self.credentials += b"\r\nauthorization:" in head.lower()
        if not self.faults or not head.startswith(self.begins):
            return None
        fault = self.faults.popleft()
        self.met += fault is not None
        return fault

    async def _meet(
        self,
        fault: NetworkFault,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_writer: asyncio.StreamWriter,
    ) -> bool:
        """Treat a request as the fault says; whether its answer is to be passed back."""
        match fault.kind:
            case "stall":
                await reader.read()  # until the client gives up
                return False
            case "lie":
                writer.write(fault.raw)
                await writer.drain()
                writer.close()
                return False
            case "cut_request":
                while len(head) < fault.after and (more := await reader.read(65536)):
                    head += more
                up_writer.write(head[: fault.after])
                await up_writer.drain()
                # The system must have read it before the connection breaks.
                await asyncio.sleep(0.05)
                _reset(up_writer)
                _reset(writer)
                return False
            case _:
                up_writer.write(head)
                return True

    async def _answer(
        self,
        fault: NetworkFault | None,
        up_reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Pass one answer back; it comes in one piece from a desk on this machine."""
        answer = await up_reader.read(65536)
        if fault is not None and fault.kind == "cut_answer":
            writer.write(answer[: fault.after])
            await writer.drain()
            _reset(writer)
            raise ConnectionResetError
        if fault is not None and fault.kind == "drip":
            for index in range(len(answer)):
                writer.write(answer[index : index + 1])
                await writer.drain()
                await asyncio.sleep(fault.delay_s)
            return
        writer.write(answer)
        await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset instead of an orderly close."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
