"""One reader of the feed for everybody in this process who waits for what comes next.

While somebody listens, the head of the feed is looked at every `POLL` seconds, and what is new is read once
and put into memory. A listener walks through that memory at its own pace; whoever wants what is no longer in
it reads from Postgres until he has caught up. So two hundred listeners cost one query per batch, a slow one
holds up nobody, and a lost connection to Postgres is a pause, not a gap.

What is redacted leaves that memory at once, and is read again for whoever has not had it. A listener to whom
it is on its way at that moment is cut off, and comes back with the cursor of what he had.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from uuid import UUID

from receiver.read import feed, shapes
from receiver.read.feed import Stretch, Wanted
from receiver.reader import Reader
from receiver.redactions import Redactions
from receiver.waiting import Waiting

_reading = Waiting("feed for listeners")

#: seconds between two looks; half of it is what an event waits in the middle
POLL = 0.1
#: seconds before the next look when Postgres did not answer
PAUSE = 1.0
#: events kept in memory for listeners
REMEMBERED = 2000
PAGE = 500
#: where the feed stands, before the first look
UNKNOWN = -1


class Listener:
    """A connection that is sent the feed. *cut* ends it at once, with whatever it has not sent yet; *allowed*
    says whether its key still is one."""

    def __init__(self, cut: Callable[[], None], allowed: Callable[[], Awaitable[bool]]) -> None:
        self.cut, self.allowed = cut, allowed
        #: what is being sent, until all of it has left
        self.leaving: shapes.Event | None = None


class Stream:
    """What is new in the feed, for any number of listeners."""

    def __init__(self, reader: Reader, redactions: Redactions) -> None:
        self._reader, self._redactions = reader, redactions
        self._recent: deque[shapes.Event] = deque(maxlen=REMEMBERED)
        #: everything in `_recent` comes after `_since`, and nothing is missing between it and `_through`
        self._since = self._through = UNKNOWN
        self._waiting = 0
        self._listeners: set[Listener] = set()
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._closing = False

    def close(self) -> None:
        """Ends every listener's wait; nobody can listen any more."""
        self._closing = True
        self._tell()
        if self._reading:
            self._reading.cancel()

    async def finish(self) -> None:
        """Returns once nothing is read any more, after `close`."""
        if self._reading:
            await asyncio.wait([self._reading])

    def forget(self, events: Collection[UUID] | None) -> None:
        """As `receiver.redactions.Holder`: what follows the last of *events* may stay."""
        for listener in self._listeners:
            if listener.leaving and (events is None or listener.leaving.id in events):
                listener.cut()
        redacted = [event.sequence for event in self._recent if events is None or event.id in events]
        while redacted and self._recent and self._recent[0].sequence <= redacted[-1]:
            self._since = self._recent.popleft().sequence

    async def quiet(self) -> None:
        """As `receiver.redactions.Holder`: who is cut off is sent nothing more."""

    async def newest(self) -> int:
        """Returns the newest event's number."""
        return await feed.head(self._reader)

    async def read(self, place: int | None, wanted: Wanted, limit: int, patience: float) -> Stretch:
        """What follows number *place*; where nothing does, what comes within *patience* seconds."""
        deadline = asyncio.get_running_loop().time() + patience
        found = await feed.after(self._reader, place, wanted, limit)
        while not (found.events or found.reset or self._closing):
            if found.ends:
                remaining = deadline - asyncio.get_running_loop().time()
                if remaining <= 0 or not await self._beyond(found.through, remaining):
                    break
            found = await feed.after(self._reader, found.through, wanted, limit)
        return found

    async def follow(
        self, place: int | None, wanted: Wanted, listener: Listener
    ) -> AsyncIterator[shapes.Event | None]:
        """Everything that follows number *place*, and all that comes, until `close`; None where events may be
        missing. Whoever asks for the next one says that the one before has left."""
        with self._listening(listener):
            while not self._closing:
                await self._usable()
                found = self._remembered(place, wanted) or await self._read(place, wanted)
                seen = self._redactions.seen
                told = found.events or found.reset or found.through != place
                if told and not await listener.allowed():
                    return
                if found.reset:
                    yield None
                for event in found.events:
                    if seen != self._redactions.seen or not self._redactions.current:
                        break  # this one may say what was redacted: it is read again
                    listener.leaving = event
                    yield event
                    listener.leaving, place = None, event.sequence
                else:
                    place = found.through
                    if found.ends:
                        await self._beyond(place, None)

    async def _usable(self) -> None:
        """Waits until what is read may be used."""
        while not (self._redactions.current or self._closing):
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL):
                    await self._redactions.ready()

    async def _read(self, place: int | None, wanted: Wanted) -> Stretch:
        while True:
            try:
                return await self._redactions.fresh(lambda: feed.after(self._reader, place, wanted, PAGE))
            except Exception as error:  # a pool fails in many ways
                if self._closing:
                    raise
                _reading.failed(self, error)
                await asyncio.sleep(PAUSE)

    @contextmanager
    def _listening(self, listener: Listener | None = None) -> Iterator[None]:
        self._waiting += 1
        if listener is not None:
            self._listeners.add(listener)
        if self._reading is None or self._reading.done():
            self._since = self._through = UNKNOWN
            self._recent.clear()
            self._reading = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._waiting -= 1
            self._listeners -= {listener}

    def _remembered(self, place: int | None, wanted: Wanted) -> Stretch | None:
        """What memory holds after *place*, None where it does not reach back so far."""
        if place is None or place < 0 or not self._since <= place <= self._through:
            return None
        # numbers are dense but for what was erased, so this lands on the place or a little before it
        skip = 0
        if self._recent:
            skip = max(0, len(self._recent) - (self._recent[-1].sequence - place))
        events = [
            event
            for event in islice(self._recent, skip, None)
            if event.sequence > place and wanted.admits(event)
        ]
        return Stretch(events, place, self._through, ends=True)

    async def _beyond(self, place: int, patience: float | None) -> bool:
        """Waits until the feed goes on after *place*; False when it did not within *patience* seconds."""
        with self._listening(), suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self._through <= place and not self._closing:
                    await self._news.wait()
        return self._through > place

    async def _run(self) -> None:
        """Reads on for as long as anybody listens."""
        while self._waiting and not self._closing:
            async with self._redactions.heeded(self):
                while self._waiting and not self._closing:
                    await self._look_on()

    async def _look_on(self) -> None:
        try:
            await self._look()
        except Exception as error:  # noqa: BLE001 - Postgres is away: listeners wait
            _reading.failed(self, error)
            await asyncio.sleep(PAUSE)
        else:
            _reading.worked(self)
            await asyncio.sleep(POLL)

    async def _look(self) -> None:
        newest = await feed.head(self._reader)
        if self._through == UNKNOWN:
            self._since = self._through = newest
            self._tell()
        while self._through < newest:
            found = await self._redactions.fresh(
                lambda: feed.after(self._reader, self._through, Wanted(), PAGE)
            )
            if found.start != self._through:  # it goes on elsewhere, after a fail-over for one
                self._recent.clear()
                self._since = found.start
            overflow = len(self._recent) + len(found.events) - REMEMBERED
            if overflow > 0:
                self._since = self._recent[overflow - 1].sequence
            self._recent.extend(found.events)
            self._through = found.through
            self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
