"""What is posted about each event, made once for all subscribers.

The feed is read in pages of `PAGE` numbers that begin at the same numbers for everybody, so subscribers who
stand near each other share what was read; those who are far behind have pages of their own. What is redacted
leaves them at once.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import monotonic
from uuid import UUID

from receiver.read import feed, shapes
from receiver.read.as_of import messages_as_of
from receiver.read.feed import Stretch, Wanted
from receiver.reader import Reader
from receiver.redactions import Redactions

PAGE = 250
#: kept in memory: some 600 KiB each
PAGES = 24
#: seconds that a page is kept: addresses of files that were made with it end
AGE = 3600.0
#: reads of the feed at a time
READS = 3
_EVERYTHING = Wanted()


@dataclass(frozen=True, slots=True)
class Letter:
    """An event as it goes out. What has the same *lane* stays in order; *body* is None once something of it
    was redacted."""

    seq: int
    event_id: UUID
    message_id: UUID | None
    type: str
    channel: str | None
    received_at: datetime
    lane: str
    body: bytes | None


@dataclass(slots=True)
class _Page:
    through: int
    letters: list[Letter] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    read_at: float = field(default_factory=monotonic)
    #: whoever still holds it has to ask again
    dropped: bool = False


class Letters:
    """The feed from any place on; *head* is the newest number that was seen. *hashed* stands for a number
    where it is not to be read."""

    def __init__(self, reader: Reader, redactions: Redactions, hashed: Callable[[str], str]) -> None:
        self._reader, self._redactions, self._hashed = reader, redactions, hashed
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
        if page is not None and monotonic() - page.read_at > AGE:
            page.dropped, page = True, None
        if page is None:
            page = self._pages[number] = _Page(number * PAGE)
            while len(self._pages) > PAGES:
                self._pages.popitem(last=False)[1].dropped = True
        self._pages.move_to_end(number)
        end = (number + 1) * PAGE
        if page.through <= place and page.through < end:
            async with page.lock:
                while page.through <= place and page.through < end and await self._extend(page, end):
                    pass
        if page.dropped:
            return await self.after(place)  # perhaps for what it holds
        if page.through <= place:
            return [], place
        # numbers are dense but for what was erased
        return [letter for letter in page.letters if letter.seq > place], page.through

    async def body(self, seq: int) -> bytes | None:
        """What is told of event number *seq* now, None where it is no longer kept."""
        _, letters = await self._redactions.fresh(lambda: self._read(seq - 1, 1))
        return letters[0].body if letters and letters[0].seq == seq else None

    def forget(self, events: Collection[UUID] | None) -> None:
        """Drops what is kept of *events*, None for everything."""
        if events is None:
            self._drop()
        for page in self._pages.values():
            page.letters = [
                replace(letter, body=None) if events and letter.event_id in events else letter
                for letter in page.letters
            ]

    def _drop(self) -> None:
        for page in self._pages.values():
            page.dropped = True
        self._pages.clear()

    async def _extend(self, page: _Page, end: int) -> bool:
        """Reads on, up to *end* or to where the feed goes on beyond it; False where there is nothing new."""
        before = page.through
        async with self._reads:
            found, letters = await self._redactions.fresh(lambda: self._read(before, end - before))
        if found.reset:
            # of what was read before, a part may be lost with the database's newest changes
            self._drop()
            self._pages[end // PAGE - 1], page.dropped = page, False
            if page.letters:
                page.letters, page.through = [], end - PAGE
                return found.start > before
        page.letters += [letter for letter in letters if letter.seq <= end]
        # the oldest that is kept, or the end of a gap, may lie long after this page
        page.through = max(found.start, min(found.through, end))
        return page.through > before

    async def _read(self, place: int, most: int) -> tuple[Stretch, list[Letter]]:
        found = await feed.after(self._reader, place, _EVERYTHING, most)
        messages = await messages_as_of(self._reader, found.events)
        return found, [self._letter(event, messages[event.id]) for event in found.events]

    def _letter(self, event: shapes.Event, message: shapes.Message | None) -> Letter:
        told = shapes.Notification(
            type=event.type,
            timestamp=event.received_at,
            data=shapes.NotificationData(event=event, message=message),
        )
        return Letter(
            event.sequence, event.id, event.message_id, event.type, event.channel, event.received_at,
            self._lane(event), told.model_dump_json().encode(),
        )  # fmt: skip

    def _lane(self, event: shapes.Event) -> str:
        """What has to stay in order: a conversation, else a message, else a person to one of our numbers."""
        of = event.conversation_id or event.message_id
        return str(of) if of else self._hashed(f"{event.our_number}/{event.contact}")
