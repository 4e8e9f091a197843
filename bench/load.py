"""Sends webhooks of one alert each, closed loop, and prints one JSON line: rate and latencies.

`python -m bench.load URL[,URL...] TOKEN EVENTS CONNECTIONS [RATE [FIRST]]`; with RATE (events a second) the
loop is open and latency counts from the scheduled moment. Events are numbered from FIRST on.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import aiohttp


def webhook(number: int) -> bytes:
    """One Alertmanager webhook of about 1 kB."""
    alert = {
        "status": "firing",
        "labels": {
            "alertname": "TargetDown", "cluster": "ci", "instance": f"node{number}:9100",
            "job": "node", "service": "payments", "severity": "critical", "team": "ops",
        },
        "annotations": {"summary": f"node{number} is down", "description": "The target does not answer."},
        "startsAt": "2026-11-23T20:23:39.119Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example.com/graph?g0.expr=up",
        "fingerprint": f"{number:016x}",
    }  # fmt: skip
    labels = alert["labels"]
    return json.dumps(
        {
            "receiver": "intops", "status": "firing", "alerts": [alert], "groupLabels": {},
            "commonLabels": labels, "commonAnnotations": {}, "version": "4", "groupKey": "{}",
            "externalURL": "http://alertmanager.example.com", "truncatedAlerts": 0,
        }
    ).encode()  # fmt: skip


async def run(
    urls: list[str], token: str, events: int, connections: int, rate: float, first: int
) -> dict[str, float]:
    """Send everything; returns counts, seconds, the start by the monotonic clock, percentiles in milliseconds."""
    bodies = [webhook(first + number) for number in range(events)]
    latencies: list[float] = []
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    numbers = iter(range(events))
    started = time.perf_counter()

    async def one(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            due = started + number / rate if rate else time.perf_counter()
            if rate and due > time.perf_counter():
                await asyncio.sleep(due - time.perf_counter())
            while True:
                async with session.post(
                    urls[number % len(urls)], data=bodies[number], headers=headers
                ) as answer:
                    await answer.read()
                    if answer.status < 300:
                        break
                await asyncio.sleep(0.05)
            latencies.append(time.perf_counter() - due)

    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(one(session) for _ in range(connections)))
    seconds = time.perf_counter() - started
    latencies.sort()
    return {
        "events": events,
        "seconds": seconds,
        "started": started,
        "p50_ms": latencies[len(latencies) // 2] * 1000,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
    }


if __name__ == "__main__":
    URL, TOKEN, EVENTS, CONNECTIONS = sys.argv[1:5]
    RATE = float(sys.argv[5]) if len(sys.argv) > 5 else 0.0
    FIRST = int(sys.argv[6]) if len(sys.argv) > 6 else 0
    SENT = run(URL.split(","), TOKEN, int(EVENTS), int(CONNECTIONS), RATE, FIRST)
    print(json.dumps(asyncio.run(SENT)))
