"""Reading back subscribers, and what became of events on their way to them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlmodel import col, select

from models import Delivery, FeedGap, FeedHead, Subscriber
from receiver.auth import Channels
from receiver.db import snapshot
from receiver.read import ids, shapes
from receiver.read.filters import DeliveryFilters, SubscriberPage
from receiver.subscribers import visible


async def subscribers(
    engine: AsyncEngine, page: SubscriberPage, *, channels: Channels
) -> shapes.SubscriberList:
    """Newest first."""
    query = select(Subscriber).where(visible(channels)).order_by(col(Subscriber.id).desc())
    if page.cursor is not None:
        query = query.where(col(Subscriber.id) < page.cursor)
    async with snapshot(engine) as session:
        rows = (await session.scalars(query.limit(page.limit + 1))).all()
        shown = await _shown(session, rows[: page.limit])
    more = len(rows) > len(shown)
    return shapes.SubscriberList(
        data=shown, next_cursor=ids.cursor_of_id(shown[-1].id, ids.Walked.SUBSCRIBERS) if more else None
    )


async def subscriber(
    engine: AsyncEngine, subscriber_id: UUID, *, channels: Channels
) -> shapes.Subscriber | None:
    query = select(Subscriber).where(col(Subscriber.id) == subscriber_id, visible(channels))
    async with snapshot(engine) as session:
        return next(iter(await _shown(session, (await session.scalars(query)).all())), None)


async def deliveries(
    engine: AsyncEngine, subscriber_id: UUID, page: DeliveryFilters, *, channels: Channels
) -> shapes.DeliveryList | None:
    """Newest first; None where there is no such subscriber."""
    query = (
        select(Delivery)
        .where(col(Delivery.subscriber_id) == subscriber_id)
        .order_by(col(Delivery.id).desc())
        .limit(page.limit + 1)
    )
    if page.cursor is not None:
        query = query.where(col(Delivery.id) < page.cursor)
    if page.state is not None:
        query = query.where(col(Delivery.state) == page.state)
    mine = select(Subscriber.id).where(col(Subscriber.id) == subscriber_id, visible(channels))
    async with snapshot(engine) as session:
        if (await session.scalars(mine)).first() is None:
            return None
        rows = (await session.scalars(query)).all()
    data = [_delivery(row) for row in rows[: page.limit]]
    more = len(rows) > len(data)
    return shapes.DeliveryList(
        data=data, next_cursor=ids.cursor_of_id(data[-1].id, ids.Walked.DELIVERIES) if more else None
    )


async def delivery(engine: AsyncEngine, delivery_id: UUID, *, channels: Channels) -> shapes.Delivery | None:
    query = (
        select(Delivery)
        .join(Subscriber, col(Subscriber.id) == col(Delivery.subscriber_id))
        .where(col(Delivery.id) == delivery_id, visible(channels))
    )
    async with snapshot(engine) as session:
        row = (await session.scalars(query)).first()
        return _delivery(row) if row else None


async def _shown(session: AsyncSession, rows: Sequence[Subscriber]) -> list[shapes.Subscriber]:
    head = (await session.scalars(select(FeedHead.seq))).one()
    gaps = (await session.scalars(select(FeedGap))).all()
    return [
        shapes.Subscriber.model_validate(_given(row) | {"lag": _lag(row.cursor, head, gaps)}) for row in rows
    ]


def _lag(place: int, head: int, gaps: Sequence[FeedGap]) -> int:
    """Numbers between *place* and *head* that an event may have."""
    left_out = sum(gap.until - max(gap.after, place) for gap in gaps if gap.until > place)
    return max(head - place - left_out, 0)


def _given(row: Subscriber) -> dict[str, Any]:
    return row.model_dump(include=set(shapes.Subscriber.model_fields))


def _delivery(row: Delivery) -> shapes.Delivery:
    return shapes.Delivery.model_validate(row.model_dump(include=set(shapes.Delivery.model_fields)))
