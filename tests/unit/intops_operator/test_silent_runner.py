"""What a stranger at one of the operator's ports can learn of the program behind it."""

from __future__ import annotations

import asyncio
import re

import pytest

from intops_operator.health import HealthServer


@pytest.mark.parametrize(
    "raw",
    [b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET /nowhere HTTP/1.0\r\n\r\n"],
    ids=["another version", "TLS", "a path that is none"],
)
def test_an_answer_names_neither_program_nor_version_and_repeats_nothing(raw: bytes) -> None:
    async def answer() -> bytes:
        server = HealthServer("127.0.0.1", 0, list)
        await server.start()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(raw)
            said = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return said
        finally:
            await server.stop()

    said = asyncio.run(answer())

    assert said.startswith(b"HTTP/1.0 40")
    assert not re.search(rb"(?i)python|aiohttp|server:|9\.9|nowhere", said), said
