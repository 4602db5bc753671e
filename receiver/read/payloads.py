"""Reading back carriers' requests as they came."""

import base64
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, func, true
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlmodel import col, select

from models import Payload
from receiver.auth import Channels
from receiver.db import snapshot
from receiver.read import ids, shapes
from receiver.read.filters import PayloadFilters
from receiver.read.records import adopters

#: bytes of bodies in one page; a page has at least one payload, whatever its size
PAGE_BYTES = 4 << 20

_WITHOUT_BODY = (
    *(column for column in Payload.__table__.c if column.name != "body"),  # type: ignore[attr-defined]
    func.octet_length(col(Payload.body)).label("size"),
)


async def payloads(engine: AsyncEngine, filters: PayloadFilters, *, channels: Channels) -> shapes.PayloadList:
    """Newest first."""
    query = (
        select(*_WITHOUT_BODY)
        .where(_visible(channels), *_conditions(filters))
        .order_by(col(Payload.id).desc())
        .limit(filters.limit + 1)
    )
    async with snapshot(engine) as session:
        rows = (await session.execute(query)).mappings().all()
        page = _page(rows, filters.limit)
        return shapes.PayloadList(
            data=await _in_full(session, page),
            next_cursor=ids.cursor_of_id(page[-1]["id"]) if len(page) < len(rows) else None,
        )


async def payload(engine: AsyncEngine, payload_id: UUID, *, channels: Channels) -> shapes.Payload | None:
    query = select(*_WITHOUT_BODY).where(col(Payload.id) == payload_id, _visible(channels))
    async with snapshot(engine) as session:
        found = await _in_full(session, (await session.execute(query)).mappings().all())
        return found[0] if found else None


def _visible(channels: Channels) -> ColumnElement[bool]:
    return true() if channels is None else col(Payload.channel).in_(channels)


def _conditions(filters: PayloadFilters) -> Iterable[ColumnElement[bool]]:
    if filters.cursor is not None:
        yield col(Payload.id) < filters.cursor
    if filters.channel is not None:
        yield col(Payload.channel) == filters.channel
    if filters.state is not None:
        yield col(Payload.state) == filters.state


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
    current = await adopters(session, (named for row in rows for named in row["message_ids"]))
    return [_shape(row, bodies[row["id"]], current) for row in rows]


def _shape(row: RowMapping, body: bytes, current: dict[UUID, UUID]) -> shapes.Payload:
    fields: dict[str, Any] = dict(row)
    fields["body_base64"] = base64.b64encode(body).decode()
    fields["message_ids"] = sorted({current.get(named, named) for named in row["message_ids"]})
    return shapes.Payload.model_validate(fields)
