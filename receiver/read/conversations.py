"""Reading conversations: lists, one, and its messages.

A key that is bound to channels sees a conversation only if it holds every channel that lists its number;
where none lists it, every one on which a message of it passed. What passed on other channels it does not see.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col, select

from models import Conversation, Message, MessageBody
from models.status import status_of
from receiver.auth import within
from receiver.db import snapshot
from receiver.optouts import OptOuts
from receiver.our_numbers import Sight
from receiver.read import ids, opt_outs, shapes, views
from receiver.read.filters import ConversationFilters, spellings_in, written_in
from receiver.read.walk import walk
from receiver.reader import Replies

#: characters of a message's text
PREVIEW = 100
#: why nobody would get a reply that is taken all the same, and ends as rejected
OPTED_OUT = "The contact has opted out."


async def conversations(
    engine: AsyncEngine,
    filters: ConversationFilters,
    rules: OptOuts,
    replies: Replies,
    *,
    region: str,
    sight: Sight | None,
) -> shapes.ConversationList:
    """Returns those within *sight* (None: all), with the newest messages first. Numbers are read as they are
    written in *region*."""
    walked = walk([_branch(filters, region)], by=("last_message_at", "id"))
    of = aliased(Conversation, walked.rows, adapt_on_names=True)
    query = (
        select(of)
        .where(*_conditions(filters, of, region), *_visible(sight, of))
        .order_by(*walked.order)
        .limit(filters.limit + 1)
    )
    async with snapshot(engine) as session:
        rows = (await session.scalars(query)).all()
        page, ended = await walked.page(session, rows, filters.limit)
        return shapes.ConversationList(
            data=await _in_full(session, page, rules, replies, sight),
            next_cursor=ids.cursor_of_moment(*ended) if ended else None,
        )


async def conversation(
    engine: AsyncEngine,
    conversation_id: UUID,
    rules: OptOuts,
    replies: Replies,
    *,
    sight: Sight | None,
) -> shapes.Conversation | None:
    async with snapshot(engine) as session:
        row = await _row(session, conversation_id, sight)
        return (await _in_full(session, [row], rules, replies, sight))[0] if row else None


async def found(
    engine: AsyncEngine, conversation_id: UUID, *, sight: Sight | None
) -> tuple[Conversation, str | None] | None:
    """Returns a conversation and the channel on which it goes on: that of the last message that came into it,
    else the only one that it ever was on."""
    async with snapshot(engine) as session:
        row = await _row(session, conversation_id, sight)
        if row is None:
            return None
        return row, (await _goes_on_at(session, [row])).get(row.id)


async def _goes_on_at(session: AsyncSession, rows: Sequence[Conversation]) -> dict[UUID, str]:
    """The channel on which each of *rows* goes on; without an entry where several carried what we sent, and
    nothing came in."""
    on = {row.id: row.channels[0] for row in rows if len(row.channels) == 1}
    several = [row.id for row in rows if len(row.channels) > 1]
    last = (
        select(Message.channel)
        .where(col(Message.conversation_id) == col(Conversation.id), col(Message.direction) == "inbound")
        .order_by(col(Message.id).desc())
        .limit(1)
        .scalar_subquery()
    )
    if several:
        query = select(Conversation.id, last).where(col(Conversation.id).in_(several))
        on |= {named: channel for named, channel in await session.execute(query) if channel}
    return on


async def _row(session: AsyncSession, conversation_id: UUID, sight: Sight | None) -> Conversation | None:
    visible = _visible(sight, Conversation)
    query = select(Conversation).where(col(Conversation.id) == conversation_id, *visible)
    return await session.scalar(query)


def _branch(filters: ConversationFilters, region: str) -> Select[Any]:
    """Along a contact's conversations, else the unread ones, else one of our numbers, else the time."""
    along = select(Conversation)
    if filters.cursor is not None:
        place = tuple_(col(Conversation.last_message_at), col(Conversation.id))
        along = along.where(place < tuple_(*filters.cursor))
    if filters.updated_after is not None:
        along = along.where(col(Conversation.last_message_at) >= filters.updated_after)
    if filters.contact is not None:
        return along.where(col(Conversation.contact).in_(spellings_in(filters.contact, region)))
    if filters.unread:
        return along.where(col(Conversation.unread_count) > 0)
    if filters.our_number is not None:
        return along.where(col(Conversation.our_number) == written_in(filters.our_number, region))
    return along


def _conditions(
    filters: ConversationFilters, of: type[Conversation], region: str
) -> Iterator[ColumnElement[bool]]:
    """All that *filters* ask for but the span of time, which the walk has kept to."""
    if filters.contact is not None:
        yield col(of.contact).in_(spellings_in(filters.contact, region))
    if filters.our_number is not None:
        yield col(of.our_number) == written_in(filters.our_number, region)
    if filters.unread is not None:
        unread = col(of.unread_count) > 0
        yield unread if filters.unread else ~unread


def _visible(sight: Sight | None, of: type[Conversation]) -> Iterator[ColumnElement[bool]]:
    if sight is not None:
        passed_within = within(col(of.channels), sight.channels)
        yield or_(col(of.our_number).in_(sight.listed), passed_within)
        yield col(of.our_number).not_in(sight.closed)


async def _in_full(
    session: AsyncSession,
    rows: Sequence[Conversation],
    rules: OptOuts,
    replies: Replies,
    sight: Sight | None,
) -> list[shapes.Conversation]:
    last = await _last_messages(session, rows, sight)
    on = await _goes_on_at(session, rows)
    out = await opt_outs.opted_out(session, {(row.our_number, row.contact) for row in rows}, rules)
    return [
        shapes.Conversation(
            id=row.id,
            our_number=row.our_number,
            contact=row.contact,
            participants=row.participants,
            channels=[one for one in row.channels if sight is None or one in sight.channels],
            opted_out=(row.our_number, row.contact) in out,
            can_reply=views.can_reply(
                OPTED_OUT
                if (row.our_number, row.contact) in out
                else replies.refusal(row.our_number, row.contact, on.get(row.id))
            ),
            unread_count=row.unread_count,
            message_count=row.message_count,
            last_message=last.get(row.id),
            last_inbound_at=row.last_inbound_at,
            waiting_since=row.waiting_since,
            metadata=row.metadata_,
        )
        for row in rows
    ]


async def _last_messages(
    session: AsyncSession, rows: Sequence[Conversation], sight: Sight | None
) -> dict[UUID, shapes.LastMessage]:
    of = {row.last_message_id: row for row in rows if row.last_message_id}
    if not of:
        return {}
    said = func.coalesce(func.nullif(col(MessageBody.text), ""), col(MessageBody.subject))
    query = (
        select(Message, func.left(said, PREVIEW))
        .join(MessageBody, col(MessageBody.message_id) == col(Message.id), isouter=True)
        .where(col(Message.id).in_(of))
    )
    if sight is not None:
        query = query.where(col(Message.channel).in_(sight.channels))
    found: dict[UUID, shapes.LastMessage] = {}
    for message, preview in await session.execute(query):
        found[of[message.id].id] = shapes.LastMessage(
            id=message.id,
            direction=message.direction,
            preview=preview or None,
            status=status_of(message.seen, message.origin),
            at=of[message.id].last_message_at,
        )
    return found
