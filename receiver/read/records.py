"""Rows of several tables put together: messages in full, with or without what happened to them.

*channels* are the only ones that the asker may see; None is all of them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, func, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from models import Adopted, Attention, Event, Media, Message, MessageBody, Reference
from models.reference import INTERNAL
from receiver.auth import Channels
from receiver.read import shapes, views
from receiver.read.opt_outs import contacts_of


def visible(channels: Channels) -> ColumnElement[bool]:
    return true() if channels is None else col(Message.channel).in_(channels)


def standing(*, superseded: bool) -> ColumnElement[bool]:
    """Events that no replay has replaced, or all of them."""
    return true() if superseded else col(Event.superseded).is_(False)


async def adopters(session: AsyncSession, message_ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """For each id of a record that was adopted: the message that it became."""
    query = select(Adopted.id, Adopted.message_id).where(col(Adopted.id).in_(set(message_ids)))
    return {row.id: row.message_id for row in await session.execute(query)}


async def by_ids(
    session: AsyncSession, message_ids: Collection[UUID], channels: Channels
) -> dict[UUID, Message]:
    """For each id that names a message, its own or that of a record it adopted: the message."""
    if not message_ids:
        return {}
    adopted = await adopters(session, message_ids)
    current = {named: adopted.get(named, named) for named in message_ids}
    rows = await session.scalars(
        select(Message).where(col(Message.id).in_(set(current.values())), visible(channels))
    )
    found = {row.id: row for row in rows}
    return {named: found[kept] for named, kept in current.items() if kept in found}


async def in_full(session: AsyncSession, rows: Sequence[Message]) -> list[shapes.Message]:
    """One for each of *rows*, in their order."""
    wanted = [row.id for row in rows]
    if not wanted:
        return []
    # one question and not four: asking costs more than the answer
    names = select(Reference.provider_message_id).where(col(Reference.message_id) == col(Message.id))
    query = (
        select(Message.id, MessageBody, Attention, func.array(names.scalar_subquery()).label("names"))
        .outerjoin(MessageBody, col(MessageBody.message_id) == col(Message.id))
        .outerjoin(Attention, col(Attention.message_id) == col(Message.id))
        .where(col(Message.id).in_(wanted))
    )
    beside = {found.id: found for found in await session.execute(query)}
    files = await _files(session, wanted)
    return [
        views.message(
            row,
            body=beside[row.id].MessageBody,
            attention=beside[row.id].Attention,
            media=files[row.id],
            provider_message_ids=sorted(
                {name for name in beside[row.id].names if not name.startswith(INTERNAL)}
            ),
        )
        for row in rows
    ]


async def told(session: AsyncSession, rows: Sequence[tuple[Event, Message | None]]) -> list[shapes.Event]:
    """One for each of *rows*, events with the messages that they are about."""
    about = [row.id for row, _ in rows if row.type.startswith("contact.")]
    contacts = await contacts_of(session, about) if about else {}
    return [views.event(row, of, about=contacts.get(row.id)) for row, of in rows]


async def with_timelines(
    session: AsyncSession, rows: Sequence[Message], *, superseded: bool = False
) -> list[shapes.MessageWithTimeline]:
    """One for each of *rows*, in their order; events in order of arrival."""
    of = {row.id: row for row in rows}
    if not of:
        return []
    events = await session.scalars(
        select(Event)
        .where(col(Event.message_id).in_(of), standing(superseded=superseded))
        .order_by(col(Event.seq))
    )
    timelines: dict[UUID, list[shapes.Event]] = defaultdict(list)
    for event in await told(session, [(event, of[event.message_id]) for event in events]):
        if event.message_id:
            timelines[event.message_id].append(event)
    return [
        shapes.MessageWithTimeline.model_validate(dict(message) | {"timeline": timelines[message.id]})
        for message in await in_full(session, rows)
    ]


async def _files(session: AsyncSession, message_ids: Sequence[UUID]) -> dict[UUID, list[Media]]:
    """Those that are files still: words are in the text of their message."""
    query = (
        select(Media)
        .where(col(Media.message_id).in_(message_ids), col(Media.state) != "text")
        .order_by(col(Media.position))
    )
    files: dict[UUID, list[Media]] = defaultdict(list)
    for file in await session.scalars(query):
        files[file.message_id].append(file)
    return files
