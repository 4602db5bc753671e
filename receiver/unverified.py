"""The bound on requests kept unproven: strangers must not fill the disk."""

import time
from collections.abc import Awaitable, Callable

CAPACITY = 10_000
#: seconds between two counts; in between, this process counts its own
RECOUNT = 10.0


class UnverifiedStore:
    """Room for `CAPACITY` payloads in state ``unverified``, over all processes but for a recount's delay."""

    def __init__(self, count: Callable[[], Awaitable[int]], capacity: int = CAPACITY) -> None:
        self._count, self._capacity = count, capacity
        self._kept, self._counted_at = 0, -RECOUNT

    async def reserve(self) -> bool:
        """Whether one more may be kept."""
        now = time.monotonic()
        if now - self._counted_at >= RECOUNT:
            self._counted_at = now
            self._kept = await self._count()
        self._kept += 1
        return self._kept <= self._capacity
