"""Reading back: messages as they stand, and everything that happened to them in order of arrival.

*channels* are the only ones that the asker may see; None is all of them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select

from models import Event
from receiver.auth import Channels
from receiver.db import snapshot
from receiver.read import ids, shapes
from receiver.read.filters import EventPage, MessageFilters
from receiver.read.matching import matching
from receiver.read.records import by_ids, in_full, standing, told, with_timelines


async def message(
    engine: AsyncEngine, message_id: UUID, *, channels: Channels, superseded: bool = False
) -> shapes.MessageWithTimeline | None:
    """The message under its own id, or under that of a record that it adopted."""
    async with snapshot(engine) as session:
        rows = list((await by_ids(session, [message_id], channels)).values())
        return next(iter(await with_timelines(session, rows, superseded=superseded)), None)


async def messages(
    engine: AsyncEngine,
    filters: MessageFilters,
    *,
    region: str,
    channels: Channels,
    conversation_id: UUID | None = None,
) -> shapes.MessageList:
    """Newest first, of one conversation or of all. Numbers are read as written in *region*."""
    now = datetime.now(UTC)
    walked, query = matching(
        filters, region=region, now=now, channels=channels, conversation_id=conversation_id
    )
    async with snapshot(engine) as session:
        rows = (await session.scalars(query.limit(filters.limit + 1))).all()
        page, ended = await walked.page(session, rows, filters.limit)
        return shapes.MessageList(
            data=await in_full(session, page),
            next_cursor=ids.cursor_of_id(ended[-1]) if ended else None,
            created_after=filters.looks_back_to(now),
        )


async def messages_of(
    engine: AsyncEngine, message_ids: Sequence[UUID], *, channels: Channels
) -> list[shapes.Message]:
    """Those of *message_ids* that exist, in that order."""
    async with snapshot(engine) as session:
        found = await by_ids(session, message_ids, channels)
        return await in_full(session, [found[named] for named in message_ids if named in found])


async def events(
    engine: AsyncEngine, message_id: UUID, page: EventPage, *, channels: Channels
) -> shapes.EventList | None:
    """The timeline of one message in pages, None where there is no such message."""
    async with snapshot(engine) as session:
        row = (await by_ids(session, [message_id], channels)).get(message_id)
        if row is None:
            return None
        query = (
            select(Event)
            .where(
                col(Event.message_id) == row.id,
                col(Event.seq) > (page.cursor or 0),
                standing(superseded=page.superseded),
            )
            .order_by(col(Event.seq))
            .limit(page.limit + 1)
        )
        found = (await session.scalars(query)).all()
        data = await told(session, [(event, row) for event in found[: page.limit]])
        return shapes.EventList(data=data, next_cursor=data[-1].cursor if len(found) > len(data) else None)
