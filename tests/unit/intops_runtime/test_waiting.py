"""A loop that is told to end ends, also in the moment in which something happens."""

from __future__ import annotations

import asyncio

from intops_runtime.waiting import wait_at_most


def test_a_wait_ends_with_its_event_or_its_time() -> None:
    """And says which."""

    async def both() -> tuple[bool, bool]:
        event = asyncio.Event()
        late = await wait_at_most(event, 0.001)
        event.set()
        return late, await wait_at_most(event, 60)

    assert asyncio.run(both()) == (False, True)


def test_a_loop_cancelled_in_the_moment_of_its_event_ends() -> None:
    """Else a worker that is stopped under load would hang until it is killed, and say nothing of what is left."""

    async def stopped() -> bool:
        event = asyncio.Event()

        async def loop() -> None:
            while True:
                event.clear()
                await wait_at_most(event, 60)

        task = asyncio.create_task(loop())
        await asyncio.sleep(0)
        event.set()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=1)
        ended = task.done()
        task.cancel()
        return ended

    assert asyncio.run(stopped())
