"""Takes what waits in the spool to Postgres, once that is back: oldest first, out of the spool only after its
commit.

While it does, new requests go straight to Postgres. Sending them through the spool as well would keep one
order, but then a backlog could only fall while we drain faster than carriers call, and under full load it
never would. Nothing depends on the order: status is a function of the set of events, and the time of
receipt is kept.

What does not go while others do is held, and tried alone (`receiver.backlog`).

A process that is killed between the commit and the removal drains the same requests again. Their ids were
made at the door and their events have keys, so nothing doubles.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from receiver.backlog import FEW, Backlog
from receiver.commit import Unavailable
from receiver.ingest import Arrival, Ingest
from receiver.metrics.definitions import (
    SPOOL_AGE_SECONDS,
    SPOOL_BYTES,
    SPOOL_DAMAGED_FILES,
    SPOOL_HELD_REQUESTS,
    SPOOL_REQUESTS,
)
from receiver.spool import Figures, Record, Spool, SpoolError, abandoned
from receiver.storing import Storing, is_of_all

log = structlog.get_logger()

#: seconds between two tries while Postgres is away, and two looks at the spool while it is not
PROBE = 0.25
#: seconds between two looks for spools whose owners are dead
ADOPT = 5.0
#: requests that are committed together; after an outage it begins with `FEW`
BATCH = 256


class Drain:
    """Empties *spool*, and those of dead neighbours, through *ingest*.

    *again* reads a record as the door would. *check* is asked once before anything goes to Postgres, where
    that could not be asked at the start: whether the database is ours. It raises when it is not, or is away.
    """

    def __init__(
        self,
        spool: Spool,
        ingest: Ingest,
        again: Callable[[Record], Awaitable[Arrival]],
        check: Callable[[], Awaitable[None]],
    ) -> None:
        self._spool, self._ingest, self._check = spool, ingest, check
        self._storing = Storing(ingest, again)
        self._own, self._adopted = Backlog(spool), list[Backlog]()
        self._checked = False
        self._said = ""
        self._task: asyncio.Task[None] | None = None
        self._gauges: list[Callable[[], None]] = []

    async def open(self, *, checked: bool) -> None:
        """*checked*: what the check asks has been found true at the start."""
        self._checked = checked
        await self._spool.open()
        self._gauges = [
            SPOOL_REQUESTS.ask(lambda: {(): self.figures.records}),
            SPOOL_AGE_SECONDS.ask(lambda: {(): self.figures.age}),
            SPOOL_BYTES.ask(lambda: {(): self.figures.size}),
            SPOOL_DAMAGED_FILES.ask(lambda: {(): self.figures.damaged}),
            SPOOL_HELD_REQUESTS.ask(lambda: {(): sum(backlog.held for backlog in self._backlogs)}),
        ]
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """What is not stored yet waits for the next start."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        for end in self._gauges:
            end()
        for backlog in self._backlogs:
            await backlog.spool.close()

    @property
    def _backlogs(self) -> list[Backlog]:
        return [self._own, *self._adopted]

    @property
    def figures(self) -> Figures:
        """Of our own spool and of those that we empty for dead neighbours."""
        all_of = [backlog.spool.figures for backlog in self._backlogs]
        return Figures(
            sum(figures.records for figures in all_of),
            sum(figures.size for figures in all_of),
            min((figures.oldest for figures in all_of if figures.oldest), default=None),
            self._spool.figures.damaged,
        )

    async def _run(self) -> None:
        adopt_at = 0.0
        clock = asyncio.get_running_loop().time
        while True:
            try:
                if not self._spool.usable:
                    with suppress(SpoolError):
                        await self._spool.check()
                if not self._checked:
                    await self._check()
                    self._checked = True
                await self._tend(self._own)
                for backlog in [*self._adopted]:
                    await self._inherit(backlog)
                if clock() >= adopt_at:
                    adopt_at = clock() + ADOPT
                    await self._adopt()
            except Unavailable:
                pass  # logged where it began, as is the other
            except SpoolError:
                # what cannot be read must not keep anything else from Postgres
                self._ingest.away = self._ingest.away and not self._checked
            except Exception as error:  # noqa: BLE001 - whatever it is, requests wait and are tried again
                self._say(error)
            await asyncio.sleep(PROBE)

    async def _adopt(self) -> None:
        for spool in abandoned(self._spool.where):
            await spool.open()
            backlog = Backlog(spool)
            self._adopted.append(backlog)
            log.warning("adopting the spool of a process that is gone", records=spool.figures.records)
            await self._inherit(backlog)

    async def _inherit(self, backlog: Backlog) -> None:
        """It is ours until it is empty: somebody else would have to find out again what does not go."""
        keep = True
        try:
            await self._tend(backlog)
            keep = backlog.spool.figures.records > 0
        except SpoolError:
            keep = False
            raise
        finally:
            if not keep:
                self._adopted.remove(backlog)
                await backlog.spool.close()

    async def _tend(self, backlog: Backlog) -> None:
        """Raises ``Unavailable``, ``SpoolError``."""
        if backlog.idle:
            # nothing to try it with: the next request will show whether Postgres is back
            self._ingest.away = False
        else:
            await self._empty(backlog)
        await self._storing.alone(backlog)
        if backlog.littered and backlog.idle and backlog.held:
            await backlog.spool.shrink()
            backlog.littered = False

    async def _empty(self, backlog: Backlog) -> None:
        """Stores what goes together with others."""
        if backlog.puzzling:
            if not await self._ingest.answers():
                raise Unavailable("Postgres does not answer")
            backlog.judge()
        drained = 0
        while kept := await backlog.next(FEW if self._ingest.away else BATCH):
            failures = await self._storing.together(backlog.spool, kept)
            drained += len(kept) - len(failures)
            backlog.tried(kept, [one for one, _ in failures])
            if failures:
                errors = [error for _, error in failures]
                if any(map(is_of_all, errors)):
                    backlog.explained()
                raise errors[-1]
        if not backlog.spool.figures.records:
            log.warning("the spool is empty again", drained=drained)
        self._said = ""

    def _say(self, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        if said != self._said:
            log.error("requests wait in the spool", reason=said)
            self._said = said
