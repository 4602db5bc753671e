"""What is posted about each event, made once for all subscribers.

The feed is read in pages of `PAGE` numbers that begin at the same numbers for everybody, so subscribers who
stand near each other share what was read; those who are far behind have pages of their own.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from receiver.read import feed, shapes
from receiver.read.as_of import messages_as_of
from receiver.read.feed import Wanted
from receiver.reader import Reader

PAGE = 250
#: kept in memory: some 600 KiB each
PAGES = 24
#: reads of the feed at a time
READS = 3
_EVERYTHING = Wanted()


@dataclass(frozen=True, slots=True)
class Letter:
    """An event as it goes out. What has the same *lane* stays in order."""

    event: shapes.Event
    lane: str
    body: bytes

    @property
    def seq(self) -> int:
        return self.event.sequence

    @property
    def event_id(self) -> UUID:
        return self.event.id

    @property
    def message_id(self) -> UUID | None:
        return self.event.message_id

    @property
    def received_at(self) -> datetime:
        return self.event.received_at


@dataclass(slots=True)
class _Page:
    through: int
    letters: list[Letter] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Letters:
    """The feed from any place on; *head* is the newest number that was seen."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._pages: OrderedDict[int, _Page] = OrderedDict()
        self._reads = asyncio.Semaphore(READS)
        self.head = 0

    async def look(self) -> bool:
        """Whether the feed has gone on since the last look."""
        before, self.head = self.head, await feed.head(self._reader)
        return self.head != before

    async def after(self, place: int) -> tuple[Sequence[Letter], int]:
        """Letters that follow number *place*, and the number through which they are all there are."""
        number = place // PAGE
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = _Page(number * PAGE)
            while len(self._pages) > PAGES:
                self._pages.popitem(last=False)
        self._pages.move_to_end(number)
        end = (number + 1) * PAGE
        if page.through <= place and page.through < end:
            async with page.lock:
                while page.through <= place and page.through < end and await self._extend(page, end):
                    pass
        if page.through <= place:
            return [], place
        # numbers are dense but for what was erased
        return [letter for letter in page.letters if letter.seq > place], page.through

    async def at(self, seq: int) -> Letter | None:
        """The letter of event number *seq*, None where it is no longer kept."""
        letters, _ = await self.after(seq - 1)
        return letters[0] if letters and letters[0].seq == seq else None

    async def _extend(self, page: _Page, end: int) -> bool:
        """Reads on, up to *end* or to where the feed goes on beyond it; False where there is nothing new."""
        before = page.through
        async with self._reads:
            found = await feed.after(self._reader, before, _EVERYTHING, end - before)
            events = [event for event in found.events if event.sequence <= end]
            messages = await messages_as_of(self._reader, events)
        if found.reset:
            # of what was read before, a part may be lost with the database's newest changes
            self._pages.clear()
            if page.letters:
                page.letters, page.through = [], end - PAGE
                return found.start > before
        page.letters += [_letter(event, messages[event.id]) for event in events]
        # the oldest that is kept, or the end of a gap, may lie long after this page
        page.through = max(found.start, min(found.through, end))
        return page.through > before


def _letter(event: shapes.Event, message: shapes.Message | None) -> Letter:
    told = shapes.Notification(
        type=event.type,
        timestamp=event.received_at,
        data=shapes.NotificationData(event=event, message=message),
    )
    return Letter(event, _lane(event), told.model_dump_json().encode())


def _lane(event: shapes.Event) -> str:
    """What has to stay in order: a conversation, else a message, else a person to one of our numbers."""
    of = event.conversation_id or event.message_id
    return str(of) if of else f"{event.our_number}/{event.contact}"
