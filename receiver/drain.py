"""Takes what waits in the spool to Postgres, once that is back: oldest first, out of the spool only after its
commit.

While it does, new requests go straight to Postgres. Sending them through the spool as well would keep one
order, but then a backlog could only fall while we drain faster than carriers call, and under full load it
never would. Nothing depends on the order: status is a function of the set of events, and the time of
receipt is kept.

A process that is killed between the commit and the removal drains the same requests again. Their ids were
made at the door and their events have keys, so nothing doubles.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

import orjson
import structlog

from models.events import Request
from receiver.commit import Unavailable
from receiver.config import ChannelSettings
from receiver.correlate import Source, source_of
from receiver.ingest import Arrival, Ingest, Unstorable
from receiver.metrics.definitions import (
    SPOOL_AGE_SECONDS,
    SPOOL_BYTES,
    SPOOL_DAMAGED_FILES,
    SPOOL_REQUESTS,
)
from receiver.providers.base import Provider
from receiver.spool import Figures, Kept, Record, Spool, SpoolError, abandoned
from receiver.understand import understood

log = structlog.get_logger()

#: seconds between two tries while Postgres is away, and two looks at the spool while it is not
PROBE = 0.25
#: seconds between two looks for spools whose owners are dead
ADOPT = 5.0
#: requests that are committed together; of the first try after an outage
BATCH, FIRST = 256, 16
#: requests that are read again before others get their turn in the event loop
_BREATH = 16


class Drain:
    """Empties *spool*, and those of dead neighbours, through *ingest*.

    *again* reads a record as the door would. *check* is asked once before anything goes to Postgres, where
    that could not be asked at the start: whether the database is ours. It raises when it is not, or is away.
    """

    def __init__(
        self,
        spool: Spool,
        ingest: Ingest,
        again: Callable[[Record], Arrival],
        check: Callable[[], Awaitable[None]],
    ) -> None:
        self._spool, self._ingest, self._again, self._check = spool, ingest, again, check
        self._adopted: Spool | None = None
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
        await self._spool.close()

    @property
    def figures(self) -> Figures:
        """Of our own spool and of the one that we empty for a dead neighbour."""
        own = self._spool.figures
        if self._adopted is None:
            return own
        theirs = self._adopted.figures
        oldest = min(filter(None, (own.oldest, theirs.oldest)), default=None)
        return Figures(own.records + theirs.records, own.size + theirs.size, oldest, own.damaged)

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
                await self._empty(self._spool)
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
            self._adopted = spool
            try:
                log.warning("adopting the spool of a process that is gone", records=spool.figures.records)
                await self._empty(spool)
            finally:
                self._adopted = None
                await spool.close()

    async def _empty(self, spool: Spool) -> None:
        """Raises ``Unavailable``, ``SpoolError``."""
        if not spool.figures.records:
            # nothing to try it with: the next request will show whether Postgres is back
            self._ingest.away = False
            return
        drained = 0
        while kept := await spool.first(FIRST if self._ingest.away else BATCH):
            drained += await self._store(spool, kept)
        log.warning("the spool is empty again", drained=drained)
        self._said = ""

    async def _store(self, spool: Spool, kept: Sequence[Kept]) -> int:
        arrivals = []
        for number, one in enumerate(kept):
            arrivals.append(self._again(one.record))
            if number % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)
        answers = await asyncio.gather(*map(self._ingest.commit, arrivals), return_exceptions=True)
        stored = []
        for one, answer in zip(kept, answers, strict=True):
            if isinstance(answer, Unstorable):
                await spool.set_aside(one)
            elif not isinstance(answer, BaseException):
                stored.append(one)
        await spool.delete(stored)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, Unstorable):
                raise answer
        return len(stored)

    def _say(self, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        if said != self._said:
            log.error("requests wait in the spool", reason=said)
            self._said = said


def reader(
    channels: Mapping[str, ChannelSettings], providers: Mapping[str, Provider]
) -> Callable[[Record], Arrival]:
    """Reads a record as the door does, but for who sent it: that was settled when it came, and a signature's
    time would be over now."""

    def again(record: Record) -> Arrival:
        payload, channel = record.payload, channels.get(record.payload.channel)
        if channel is None:
            source = Source(payload.channel, "", f"channel:{payload.channel}")
            if not record.authentic:
                return Arrival(payload, source)
            reason = "its channel is not configured any more"
            return Arrival(payload._replace(state="quarantined", reason=reason), source)
        provider = providers[channel.provider]
        source = source_of(channel, provider)
        if payload.state != "applied":
            return Arrival(payload, source)
        request = Request(
            payload.method,
            payload.query.encode("latin-1"),
            orjson.loads(payload.headers),
            payload.body,
            payload.received_at,
        )
        state, why, events = understood(provider, channel, request)
        kept = payload._replace(state=state, reason=why)
        return Arrival(kept, source, events, record.base, late=True)

    return again
