"""Who comes all at once begins a few at a time, so that the carriers' requests get their turn between."""

import asyncio
from collections import deque

#: how many begin before the event loop looks at everything else again
AT_ONCE = 2


class Turns:
    """Callers of the API and of the pages, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._calling = False

    async def come(self) -> None:
        """Returns when it is the caller's turn: in the next round of the event loop where nobody waits."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        if not self._calling:
            self._calling = True
            loop.call_soon(self._call)
        await turn

    def _call(self) -> None:
        called = 0
        while self._waiting and called < AT_ONCE:
            turn = self._waiting.popleft()
            if not turn.done():  # a caller that hung up has cancelled its own
                turn.set_result(None)
                called += 1
        self._calling = bool(self._waiting)
        if self._calling:
            asyncio.get_running_loop().call_soon(self._call)
