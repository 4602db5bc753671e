"""The bound on requests kept unproven: strangers must not fill the disk."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from receiver.commit import PATIENCE

log = structlog.get_logger()

CAPACITY = 10_000
#: seconds between two counts; in between, this process counts its own
RECOUNT = 10.0
#: the same after a count that failed
RETRY = 1.0


class UnverifiedStore:
    """Room for `CAPACITY` payloads in state ``unverified``, over all processes but for a recount's delay.

    *away* says that there is nobody to count: then it is the last count, and what this process kept since.
    """

    def __init__(
        self,
        count: Callable[[], Awaitable[int]],
        capacity: int = CAPACITY,
        away: Callable[[], bool] = lambda: False,
    ) -> None:
        self._count, self._capacity, self._away = count, capacity, away
        self._kept, self._count_at = 0, 0.0

    async def reserve(self) -> bool:
        """Whether one more may be kept."""
        now = time.monotonic()
        if now >= self._count_at and not self._away():
            self._count_at = now + RECOUNT
            try:
                async with asyncio.timeout(PATIENCE):
                    self._kept = await self._count()
            except Exception as error:  # noqa: BLE001 - a pool fails in many ways that all mean the same
                self._count_at = now + RETRY
                log.warning("unverified requests cannot be counted", reason=type(error).__name__)
        self._kept += 1
        return self._kept <= self._capacity
