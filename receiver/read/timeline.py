"""Reading back: messages as they stand, and everything that happened to them in order of arrival.

*channels* are the only ones that the asker may see; None is all of them.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from receiver.auth import Channels
from receiver.read import ids, shapes, views
from receiver.read.filters import EventPage, MessageFilters
from receiver.read.matching import asked
from receiver.read.records import Record, by_calls, by_ids, sizes, told, with_timelines
from receiver.read.statement import Statement
from receiver.reader import Reader, Snapshot

#: bytes of content in one page of messages; a page has at least one message, whatever its size
PAGE_BYTES = 4 << 20

_EVENTS = """
    SELECT * FROM postback.event WHERE message_id = $1 AND seq > $2 AND ($3 OR NOT superseded)
    ORDER BY seq LIMIT $4"""


async def message(
    reader: Reader, message_id: UUID, *, channels: Channels, superseded: bool = False
) -> shapes.MessageWithTimeline | None:
    """The message under its own id, that of a record that it adopted or that of a call for it alone."""
    async with reader.snapshot() as snapshot:
        found = await _named(snapshot, message_id, channels)
        records = [found] if found else []
        return next(iter(await with_timelines(snapshot, records, superseded=superseded)), None)


async def _named(snapshot: Snapshot, named: UUID, channels: Channels) -> Record | None:
    found = await by_ids(snapshot, [named], channels)
    if not found:
        called = (await by_calls(snapshot, [named], channels, 2)).get(named, [])
        found = await by_ids(snapshot, called, channels) if len(called) == 1 else {}
    return next(iter(found.values()), None)


async def messages(
    reader: Reader,
    filters: MessageFilters,
    *,
    region: str,
    channels: Channels,
    conversation_id: UUID | None = None,
) -> shapes.MessageList:
    """Newest first, of one conversation or of all. Numbers are read as written in *region*."""
    now = datetime.now(UTC)
    question, values = asked(
        filters, region=region, now=now, channels=channels, conversation_id=conversation_id
    )
    async with reader.snapshot() as snapshot:
        found = await _ids(snapshot, question.page, values)
        page = await _fitting(snapshot, found[: filters.limit])
        if len(found) > len(page):
            end: UUID | None = page[-1]
        else:
            end = next(iter(await _ids(snapshot, question.end, values)), None)
        records = await by_ids(snapshot, page, channels)
        return shapes.MessageList(
            data=[views.message(records[named], snapshot.sight) for named in page],
            next_cursor=ids.cursor_of_id(end, ids.Walked.MESSAGES) if end else None,
            created_after=filters.looks_back_to(now),
        )


async def _ids(snapshot: Snapshot, statement: Statement, values: Mapping[str, Any]) -> list[UUID]:
    return [row.id for row in await snapshot.rows(statement.text, *statement.values(values))]


async def _fitting(snapshot: Snapshot, message_ids: Sequence[UUID]) -> Sequence[UUID]:
    """Returns the first of *message_ids*, as many as one page has room for."""
    of = await sizes(snapshot, message_ids)
    room = PAGE_BYTES
    for place, named in enumerate(message_ids):
        room -= of.get(named, 0)
        if room < 0 and place:
            return message_ids[:place]
    return message_ids


async def messages_of(
    reader: Reader, message_ids: Sequence[UUID], *, channels: Channels
) -> list[shapes.Message]:
    """Those of *message_ids* that exist, in that order."""
    async with reader.snapshot() as snapshot:
        found = await by_ids(snapshot, message_ids, channels)
        return [views.message(found[named], snapshot.sight) for named in message_ids if named in found]


async def events(
    reader: Reader, message_id: UUID, page: EventPage, *, channels: Channels
) -> shapes.EventList | None:
    """The timeline of one message in pages, None where there is no such message."""
    async with reader.snapshot() as snapshot:
        of = await _named(snapshot, message_id, channels)
        if of is None:
            return None
        found = await snapshot.rows(_EVENTS, of.id, page.cursor or 0, page.superseded, page.limit + 1)
        data = await told(snapshot, [(event, of) for event in found[: page.limit]])
        return shapes.EventList(data=data, next_cursor=data[-1].cursor if len(found) > len(data) else None)
