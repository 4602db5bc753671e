"""The bound on requests kept unproven: strangers must not fill the disk."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog

from receiver.commit import PATIENCE
from receiver.metrics.definitions import UNVERIFIED_NOT_KEPT
from receiver.waiting import Waiting

log = structlog.get_logger()
_waiting = Waiting("unverified requests")

#: seconds between two counts; in between, this process counts its own
RECOUNT = 10.0
#: bytes that this process may have added since the last count, if each of its requests was the largest that
#: a channel takes; then it counts earlier
STRIDE = 32 << 20
#: seconds from a count that failed to the next
RETRY = 1.0


class Stored(NamedTuple):
    """*requests* with *size* bytes of bodies, headers and queries."""

    requests: int = 0
    size: int = 0


CAPACITY = Stored(10_000, 256 << 20)


class UnverifiedStore:
    """Room for `CAPACITY` of payloads in state ``unverified``, over all processes: but for what each may add
    between two counts, `STRIDE` or one request of *largest* bytes.

    *away* says that there is nobody to count: then it is the last count, and the number that this process
    kept since. What waits in a spool meanwhile is bounded by `receiver.spool`.
    """

    def __init__(
        self,
        count: Callable[[], Awaitable[Stored]],
        largest: int,
        capacity: Stored = CAPACITY,
        away: Callable[[], bool] = lambda: False,
    ) -> None:
        self._count, self._capacity, self._away = count, capacity, away
        self._stride = max(1, STRIDE // largest)
        self._counted, self._since = Stored(), 0
        self._count_at, self._failed, self._full = 0.0, False, False
        self._counting = asyncio.Lock()

    async def reserve(self) -> bool:
        """Whether one more may be kept."""
        # everybody waits for a count that is under way: those who did not would all add to the last one
        async with self._counting:
            if not self._away() and self._is_due():
                await self._recount()
            requests, size = self._counted
            full = requests + self._since >= self._capacity.requests or size >= self._capacity.size
            self._say(full)
            if full:
                UNVERIFIED_NOT_KEPT.add()
                return False
            self._since += 1
            return True

    def _is_due(self) -> bool:
        return time.monotonic() >= self._count_at or (self._since >= self._stride and not self._failed)

    async def _recount(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                self._counted, self._since = await self._count(), 0
            self._failed = False
            _waiting.worked(self)
        except Exception as error:  # noqa: BLE001 - a pool fails in many ways that all mean the same
            self._failed = True
            _waiting.failed(self, error)
        self._count_at = time.monotonic() + (RETRY if self._failed else RECOUNT)

    def _say(self, full: bool) -> None:
        """Once: who calls is a stranger, and may call often."""
        if full and not self._full:
            requests, size = self._counted
            log.error("unverified requests are not kept any more", requests=requests, bytes=size)
        elif self._full and not full:
            log.warning("unverified requests are kept again")
        self._full = full
