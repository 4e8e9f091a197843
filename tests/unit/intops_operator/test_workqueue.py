"""The queue holds a key once, never gives it twice at a time, and brings failures back."""

from __future__ import annotations

import asyncio

from intops_operator.workqueue import WorkQueue


async def test_a_key_that_waits_is_not_added_again() -> None:
    """A thousand events about one Flow are one look."""
    queue: WorkQueue[str] = WorkQueue()
    for _ in range(3):
        queue.add("a")

    assert await queue.take() == "a"
    assert len(queue) == 0


async def test_a_key_that_is_worked_on_comes_again_after_it_is_given_back() -> None:
    """What changes during a look is looked at after it, never beside it."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.take()
    queue.add("a")
    queue.add("b")

    assert await queue.take() == "b"
    queue.done("a")
    assert await queue.take() == "a"


async def test_edits_of_people_go_before_fan_out() -> None:
    """Somebody waits for the one, nobody for the many."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add("many", urgent=False)
    queue.add("one")

    assert await queue.take() == "one"


async def test_a_failed_key_comes_back_later_each_time() -> None:
    """Back-off is by key, and success forgets it."""
    queue: WorkQueue[str] = WorkQueue(draw=lambda: 1.0)
    loop = asyncio.get_running_loop()
    delays = []
    for _ in range(3):
        queue.add("a")
        await queue.take()
        began = loop.time()
        queue.done("a", failed=True)
        delays.append(queue._timers["a"].when() - began)
        queue._timers.pop("a").cancel()

    assert [round(delay, 1) for delay in delays] == [0.2, 0.4, 0.8]
    queue.clear()


async def test_an_earlier_look_that_is_planned_stays() -> None:
    """A later one does not push it away."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add_later("a", 0.01)
    queue.add_later("a", 60.0)

    async with asyncio.timeout(5):
        assert await queue.take() == "a"
