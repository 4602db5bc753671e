"""What became of calls, written down whenever Postgres takes it: an answer in hand is never let go.

While Postgres is away an answer waits in memory and, where there is a disk, in a file under ``data_dir``
too, so that neither the end of this process nor its death takes it along. Any sender on the same data
directory settles what a dead one has left there. What waits is bounded by the calls under way: the place of
a call is free again once its answer is settled.
"""

import asyncio
import random
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

import asyncpg
import structlog

from receiver.commit import Poisoned, Unavailable
from receiver.metrics.definitions import ANSWERS_AGE_SECONDS, ANSWERS_WAITING
from receiver.outbox import Outbox, Settlement, read, written
from receiver.spool import Kept, Spool, SpoolError, abandoned, created
from receiver.waiting import Waiting

log = structlog.get_logger()
_waiting = Waiting("answers of dead senders")

#: seconds before the second try, more or less; doubled for each further one, up to the longest
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
#: seconds between two looks for files whose owners are dead
ADOPT = 5.0
#: records that are settled together
_TOGETHER = 64
#: classes of errors that speak of what is in a settlement; all others end when the database is mended
_CONTENT = ("22", "23", "54")


class Settling:
    """Settles through *outbox*; what waits longer than a try lies in *where*, None where no disk lasts."""

    def __init__(self, outbox: Outbox, where: Path | None) -> None:
        self._outbox, self._where = outbox, where
        self._own: Spool | None = None
        self._opening = asyncio.Lock()
        self._stopping = asyncio.Event()
        #: by their place in memory: what waits, and since when
        self._waiting: dict[int, tuple[Settlement, float]] = {}
        self._refused = 0
        self._gauges: list[Callable[[], None]] = []

    def open(self) -> None:
        self._gauges = [
            ANSWERS_WAITING.ask(lambda: {(): len(self._waiting)}),
            ANSWERS_AGE_SECONDS.ask(lambda: {(): self._age()}),
        ]

    async def close(self) -> None:
        """Leaves what is on disk to the next sender."""
        for end in self._gauges:
            end()
        if self._own:
            left = self._own.figures.records
            await self._own.close()
            if left:
                log.warning("answers are left on disk for the next sender", answers=left)

    @property
    def in_hand(self) -> Collection[UUID]:
        """Returns the submissions whose answers wait: they are not given up, though their leases run out."""
        return {settlement.submission_id for settlement, _ in self._waiting.values()}

    def stop(self) -> None:
        """Ends the wait for each answer that is on disk, now and from now on."""
        self._stopping.set()

    async def pause(self, seconds: float) -> bool:
        """Waits *seconds*, or until `stop`; returns whether that was called."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()

    async def settle(self, settlement: Settlement) -> None:
        """Returns when *settlement* is in Postgres; after `stop`, or where cancelled, once it is on disk."""
        kept = None
        with self._holding(settlement):
            try:
                if not await self._tried(settlement):
                    kept = await self._keep(settlement)
                    await self._insist(settlement, kept)
            except asyncio.CancelledError:
                if not kept and not await self._keep(settlement):
                    log.error(
                        "an answer is lost: the sender ends without Postgres and without a disk",
                        channel=settlement.channel,
                        id=str(settlement.id),
                    )
                raise

    async def run(self) -> None:
        """Settles what dead senders have left, until cancelled."""
        while self._where is not None:
            try:
                for spool in abandoned(self._where):
                    await self._inherit(spool)
            except Exception as error:  # noqa: BLE001 - a disk that does not answer: look again
                _waiting.failed(self, error)
            else:
                _waiting.worked(self)
            await asyncio.sleep(ADOPT)

    async def _insist(self, settlement: Settlement, kept: Kept | None) -> None:
        longest = FIRST_PAUSE
        while True:
            # those that were refused together are not tried together again: one of them may be why
            pause = longest * random.uniform(0.2, 1.8)  # noqa: S311
            if await self.pause(pause):
                if kept:
                    return
                await asyncio.sleep(pause)  # there is nothing else to do for it
            longest = min(longest * 2, LONGEST_PAUSE)
            if await self._tried(settlement):
                if kept and self._own:
                    with suppress(SpoolError):  # then it is settled twice, which is once
                        await self._own.delete([kept])
                return

    async def _tried(self, settlement: Settlement) -> bool:
        """Tries to settle; returns whether *settlement* is done with: written, or refused in every form."""
        try:
            await self._outbox.settle(settlement)
        except Unavailable as error:
            return self._say(error)
        except Poisoned as error:
            if not _of_content(error.__cause__):
                return self._say(error)
            return await self._bare(settlement, error)
        if self._refused:
            self._refused = 0
            log.warning("answers are settled again", waiting=len(self._waiting) - 1)
        return True

    async def _bare(self, settlement: Settlement, refused: Poisoned) -> bool:
        named = {"channel": settlement.channel, "id": str(settlement.id)}
        log.error("the words of an answer cannot be stored", reason=str(refused), **named)
        try:
            await self._outbox.settle(settlement.bare(type(refused.__cause__).__name__))
        except Unavailable as error:
            return self._say(error)
        except Poisoned as error:
            log.error("an answer is refused in every form", reason=str(error), **named)
        return True

    def _say(self, error: Exception) -> bool:
        """Logs *error*, once until answers are settled again; returns False for "not settled"."""
        if not self._refused:
            log.error("answers wait for Postgres", waiting=len(self._waiting), reason=str(error))
        self._refused += 1
        return False

    async def _keep(self, settlement: Settlement) -> Kept | None:
        """Puts *settlement* on disk; returns its record there, None where there is no disk or it fails."""
        if self._where is None:
            return None
        try:
            return await (await self._opened(self._where)).put(written(settlement))
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer is in memory
            log.error("an answer cannot be kept on disk", channel=settlement.channel, reason=str(error))
            return None

    async def _opened(self, where: Path) -> Spool:
        async with self._opening:
            if self._own is None:
                spool = created(where)
                await spool.open()
                self._own = spool
            return self._own

    async def _inherit(self, spool: Spool) -> None:
        await spool.open()
        try:
            records = spool.figures.records
            if records:
                log.warning("settling the answers of a sender that is gone", answers=records)
            while kept := await spool.first(_TOGETHER):
                await asyncio.gather(*(self._settle_again(spool, one) for one in kept))
        except SpoolError as error:
            log.error("the answers of a sender that is gone cannot be read", reason=str(error))
        finally:
            await spool.close()

    async def _settle_again(self, spool: Spool, kept: Kept) -> None:
        try:
            settlement = read(kept.record).timely()
        except ValueError:
            with suppress(SpoolError):
                await spool.set_aside(kept)
            return
        with self._holding(settlement):
            if not await self._tried(settlement):
                await self._insist(settlement, None)
        with suppress(SpoolError):  # the next look at the file says so
            await spool.delete([kept])

    @contextmanager
    def _holding(self, settlement: Settlement) -> Iterator[None]:
        place = id(settlement)
        self._waiting[place] = (settlement, time.monotonic())
        try:
            yield
        finally:
            del self._waiting[place]

    def _age(self) -> float:
        """Returns the seconds since the first of the answers that wait began to."""
        now = time.monotonic()
        return now - min((since for _, since in self._waiting.values()), default=now)


def _of_content(cause: BaseException | None) -> bool:
    if isinstance(cause, asyncpg.PostgresError):
        return (cause.sqlstate or "").startswith(_CONTENT)
    return isinstance(cause, ValueError)
