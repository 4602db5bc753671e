"""How long is waited, without what a busy machine adds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: seconds between two ticks
TICK = 0.025


class Idle:
    """A clock that goes while the event loop has nothing to do.

    Whoever waits for a timer waits as long on this clock as on the wall's; whoever waits for the processor
    does not, for then the ticks are late as well. It never goes faster than the wall's, and on a machine that
    is busy with other things slower: good for "no longer than", of no use for "at least".
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    async def go(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.seconds += TICK


@asynccontextmanager
async def idle() -> AsyncIterator[Idle]:
    """Yields a clock that goes until the end."""
    clock = Idle()
    going = asyncio.create_task(clock.go())
    try:
        yield clock
    finally:
        going.cancel()
        await asyncio.wait({going})
