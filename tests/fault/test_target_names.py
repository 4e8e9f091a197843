"""F30: the name of the system does not resolve, or leads elsewhere than before.

The resolver of the machine is replaced for one name; the client and the two servers are real.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from intops_runtime.core.addresses import AddressPolicy
from intops_runtime.core.exchanges import HttpRequest
from intops_runtime.edges.outbound import PooledOutbound, TransportError

pytestmark = pytest.mark.fault

NAME = "desk.example.com"


class Names:
    """What the name leads to now; no address is what a resolver calls NXDOMAIN."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: list[str] = []
        self._asked = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self.look_up)

    def look_up(self, host: Any, port: Any, *rest: Any, **named: Any) -> list[Any]:
        """As `socket.getaddrinfo`."""
        if host != NAME:
            return self._asked(host, port, *rest, **named)
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        rows = (self._asked(address, port, *rest, **named) for address in self.addresses)
        return [row for found in rows for row in found]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """The name, which nobody knows yet."""
    return Names(monkeypatch)


@asynccontextmanager
async def two_desks() -> AsyncIterator[tuple[int, list[str]]]:
    """Servers at one port of 127.0.0.1 and 127.0.0.2; the addresses that were called, in order."""
    called: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                called.append(writer.get_extra_info("sockname")[0])
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    first = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = first.sockets[0].getsockname()[1]
    second = await asyncio.start_server(serve, "127.0.0.2", port)
    async with first, second:
        yield port, called


def client(life_s: float) -> PooledOutbound:
    """A client that may call this machine."""
    return PooledOutbound(AddressPolicy(allow_loopback=True), concurrency=1, life_s=life_s)


def read(port: int) -> HttpRequest:
    """One cheap read."""
    return HttpRequest("GET", f"http://{NAME}:{port}/", {}, None, 5.0)


async def test_f30_a_name_that_does_not_resolve_is_told_and_asked_again_each_time(
    names: Names,
) -> None:
    """An error of the network like others; the next attempt finds the name mended."""
    async with two_desks() as (port, called):
        outbound = client(60.0)
        with pytest.raises(TransportError, match=f"the name {NAME} does not resolve") as caught:
            await outbound.send(read(port), {})
        assert caught.value.kind == "dns"

        names.addresses = ["127.0.0.1"]
        assert (await outbound.send(read(port), {})).status == 200
        assert called == ["127.0.0.1"]
        await outbound.close()


async def test_f30_a_changed_address_is_used_even_by_a_connection_that_is_always_busy(
    names: Names,
) -> None:
    """A connection has an end; with a long life (the control) the old address is called on."""
    async with two_desks() as (port, called):
        for life_s in (0.0, 60.0):
            outbound = client(life_s)
            for address in ("127.0.0.1", "127.0.0.2"):
                names.addresses = [address]
                await outbound.send(read(port), {})
            await outbound.close()

        assert called == ["127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.1"]
