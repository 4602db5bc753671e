"""Reading back messages that are stored with their carrier."""

from uuid import UUID

from sqlalchemy import ColumnElement, true
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select

from models import Template
from models.events import TemplateState
from receiver.auth import Channels
from receiver.db import snapshot
from receiver.read import ids, shapes, views
from receiver.read.filters import TemplateFilters


async def templates(
    engine: AsyncEngine, filters: TemplateFilters, *, channels: Channels
) -> shapes.TemplateList:
    """Newest first."""
    query = select(Template).where(_visible(channels)).order_by(col(Template.id).desc())
    if filters.cursor is not None:
        query = query.where(col(Template.id) < filters.cursor)
    if filters.channel is not None:
        query = query.where(col(Template.channel) == filters.channel)
    async with snapshot(engine) as session:
        rows = (await session.scalars(query.limit(filters.limit + 1))).all()
        page = rows[: filters.limit]
        return shapes.TemplateList(
            data=[_shape(row) for row in page],
            next_cursor=ids.cursor_of_id(page[-1].id) if len(page) < len(rows) else None,
        )


async def template(engine: AsyncEngine, template_id: UUID, *, channels: Channels) -> shapes.Template | None:
    async with snapshot(engine) as session:
        row = await session.scalar(
            select(Template).where(col(Template.id) == template_id, _visible(channels))
        )
        return _shape(row) if row else None


def _visible(channels: Channels) -> ColumnElement[bool]:
    return true() if channels is None else col(Template.channel).in_(channels)


def _shape(row: Template) -> shapes.Template:
    failed = row.state == TemplateState.FAILED
    return shapes.Template.model_validate(
        {
            "id": row.id,
            "channel": row.channel,
            "name": row.name,
            "subject": row.content.get("subject"),
            "text": row.content.get("text"),
            "media": row.content.get("media") or [],
            "fallback_text": row.content.get("fallback_text"),
            "state": row.state,
            "error": views.error(row.error_class, row.error_code, row.error_message) if failed else None,
            "created_at": ids.created_at(row.id),
            "updated_at": row.updated_at,
        }
    )
