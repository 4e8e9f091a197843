"""The bare aiohttp client: the same bodies to the same target, nothing around it. Prints one JSON line.

`python -m bench.bare URL EVENTS IN_FLIGHT`
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time

import aiohttp

from bench.load import webhook


async def run(url: str, events: int, in_flight: int) -> dict[str, float]:
    """Send everything; returns seconds and CPU seconds."""
    bodies = [webhook(number) for number in range(events)]
    numbers = iter(range(events))
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=in_flight), cookie_jar=aiohttp.DummyCookieJar()
    )

    async def one() -> None:
        for number in numbers:
            async with session.post(url, data=bodies[number]) as answer:
                await answer.read()

    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(in_flight)))
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    await session.close()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"events": events, "seconds": seconds, "cpu_s": cpu}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
