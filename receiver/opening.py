"""A connection to Postgres that is being opened, for longer than those who wait for it.

Opening one takes many trips: over TLS, through a pooler or to another region it may take longer than a batch
has. Were it given up with each batch, it would never be open.
"""

import asyncio
from collections.abc import Awaitable, Callable

from receiver.db import Connection

#: seconds for the first try and for any; one that was too short is followed by one twice as long
SHORTEST, LONGEST = 1.0, 4.0


class Opening:
    """Opens connections by *connect*, one at a time.

    An attempt goes on when whoever waits for it is canceled. Its first try is short, because a host that is
    silent costs one try and the next begins with another host.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._attempt: asyncio.Task[Connection] | None = None

    def begin(self) -> "asyncio.Task[Connection]":
        """Begins an attempt, unless one is under way or has brought a connection; returns it."""
        if self._attempt is None or _is_of_no_use(self._attempt):
            self._attempt = asyncio.create_task(self._opened())
            self._attempt.add_done_callback(_is_of_no_use)  # nobody may be there to look at its end
        return self._attempt

    async def connection(self) -> Connection:
        """Returns a connection that is the caller's from then on. Raises what *connect* raises."""
        attempt = self.begin()
        await asyncio.wait([attempt])
        self._attempt = None
        return attempt.result()

    async def close(self) -> None:
        """Gives up the attempt under way."""
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return
        attempt.cancel()
        await asyncio.wait([attempt])
        if not _is_of_no_use(attempt):
            attempt.result().terminate()

    async def _opened(self) -> Connection:
        patience = SHORTEST
        while True:
            try:
                async with asyncio.timeout(patience):
                    return await self._connect()
            except TimeoutError:
                patience = min(2 * patience, LONGEST)


def _is_of_no_use(attempt: "asyncio.Task[Connection]") -> bool:
    if not attempt.done():
        return False
    return attempt.cancelled() or attempt.exception() is not None or attempt.result().is_closed()
