"""Reading back carriers' requests as they came."""

import base64
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, Select, func, true
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlmodel import col, select

from models import Adopted, Payload
from receiver.auth import Channels
from receiver.db import snapshot
from receiver.read import ids, shapes
from receiver.read.filters import PayloadFilters
from receiver.read.walk import walk

#: bytes of bodies in one page; a page has at least one payload, whatever its size
PAGE_BYTES = 4 << 20
#: states that somebody looks through, and that have an index
UNSETTLED = ("quarantined", "unverified")

_WITHOUT_BODY = (
    *(column for column in Payload.__table__.c if column.name != "body"),  # type: ignore[attr-defined]
    func.octet_length(col(Payload.body)).label("size"),
)


async def payloads(engine: AsyncEngine, filters: PayloadFilters, *, channels: Channels) -> shapes.PayloadList:
    """Newest first."""
    walked = walk(list(_branches(filters, channels)))
    query = (
        select(*walked.rows.c).where(*_conditions(walked.rows.c, filters, channels)).order_by(*walked.order)
    )
    async with snapshot(engine) as session:
        rows = (await session.execute(query.limit(filters.limit + 1))).mappings().all()
        page = _page(rows, filters.limit)
        ended = (page[-1]["id"],) if len(page) < len(rows) else await walked.end(session)
        return shapes.PayloadList(
            data=await _in_full(session, page),
            next_cursor=ids.cursor_of_id(ended[-1], ids.Walked.PAYLOADS) if ended else None,
        )


async def payload(engine: AsyncEngine, payload_id: UUID, *, channels: Channels) -> shapes.Payload | None:
    query = select(*_WITHOUT_BODY).where(col(Payload.id) == payload_id, _visible(channels))
    async with snapshot(engine) as session:
        found = await _in_full(session, (await session.execute(query)).mappings().all())
        return found[0] if found else None


def _visible(channels: Channels) -> ColumnElement[bool]:
    return true() if channels is None else col(Payload.channel).in_(channels)


def _branches(filters: PayloadFilters, channels: Channels) -> Iterator[Select[Any]]:
    """Along the states that have an index, else the channels, else the time."""
    along = select(*_WITHOUT_BODY)
    if filters.cursor is not None:
        along = along.where(col(Payload.id) < filters.cursor)
    if filters.state in UNSETTLED:
        yield along.where(col(Payload.state) == filters.state)
    elif filters.channel is not None:
        yield along.where(col(Payload.channel) == filters.channel)
    elif channels:
        for channel in sorted(channels):
            yield along.where(col(Payload.channel) == channel)
    else:
        yield along


def _conditions(of: Any, filters: PayloadFilters, channels: Channels) -> Iterator[ColumnElement[bool]]:
    if channels is not None:
        yield of.channel.in_(channels)
    if filters.channel is not None:
        yield of.channel == filters.channel
    if filters.state is not None:
        yield of.state == filters.state


def _page(rows: Sequence[RowMapping], limit: int) -> Sequence[RowMapping]:
    size = 0
    for place, row in enumerate(rows[:limit]):
        size += row["size"]
        if size > PAGE_BYTES and place:
            return rows[:place]
    return rows[:limit]


async def _in_full(session: AsyncSession, rows: Sequence[RowMapping]) -> list[shapes.Payload]:
    if not rows:
        return []
    wanted = [row["id"] for row in rows]
    query = select(Payload.id, Payload.body).where(col(Payload.id).in_(wanted))
    bodies = {row.id: row.body for row in await session.execute(query)}
    current = await _adopters(session, (named for row in rows for named in row["message_ids"]))
    return [_shape(row, bodies[row["id"]], current) for row in rows]


def _shape(row: RowMapping, body: bytes, current: dict[UUID, UUID]) -> shapes.Payload:
    fields: dict[str, Any] = dict(row)
    fields["body_base64"] = base64.b64encode(body).decode()
    fields["message_ids"] = sorted({current.get(named, named) for named in row["message_ids"]})
    return shapes.Payload.model_validate(fields)


async def _adopters(session: AsyncSession, message_ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """For each id of a record that was adopted: the message that it became."""
    query = select(Adopted.id, Adopted.message_id).where(col(Adopted.id).in_(set(message_ids)))
    return {row.id: row.message_id for row in await session.execute(query)}
