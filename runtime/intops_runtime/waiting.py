"""Wait for an event, but not for ever.

`asyncio.wait_for` of Python 3.11 forgets a cancellation that comes in the moment of the event: a loop that is told
to end then goes on, and whoever waits for its end waits for ever.
"""

import asyncio


async def wait_at_most(event: asyncio.Event, within_s: float) -> bool:
    """Whether the event came within so many seconds."""
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
