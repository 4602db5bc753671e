"""The bound on requests kept unproven: strangers must not fill the disk."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from receiver.commit import PATIENCE, Unavailable

CAPACITY = 10_000
#: seconds between two counts; in between, this process counts its own
RECOUNT = 10.0
#: the same after a count that failed
RETRY = 1.0


class UnverifiedStore:
    """Room for `CAPACITY` payloads in state ``unverified``, over all processes but for a recount's delay."""

    def __init__(self, count: Callable[[], Awaitable[int]], capacity: int = CAPACITY) -> None:
        self._count, self._capacity = count, capacity
        self._kept, self._count_at = 0, 0.0

    async def reserve(self) -> bool:
        """Whether one more may be kept. Raises ``Unavailable`` when the database does not tell."""
        now = time.monotonic()
        if now >= self._count_at:
            self._count_at = now + RECOUNT
            try:
                async with asyncio.timeout(PATIENCE):
                    self._kept = await self._count()
            except Exception as error:  # a pool fails in many ways, and all of them mean the same here
                self._count_at = now + RETRY
                raise Unavailable(f"{type(error).__name__} while counting unverified payloads") from error
        self._kept += 1
        return self._kept <= self._capacity
