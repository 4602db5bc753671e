"""Reading back messages that are stored with their carrier."""

from uuid import UUID

from sqlalchemy import ColumnElement, true
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import aliased
from sqlmodel import col, select

from models import Template
from models.events import TemplateState
from receiver.auth import Channels
from receiver.db import snapshot
from receiver.read import ids, shapes, views
from receiver.read.filters import TemplateFilters
from receiver.read.walk import walk
from receiver.reader import Sight


async def templates(
    engine: AsyncEngine, filters: TemplateFilters, sight: Sight, *, channels: Channels
) -> shapes.TemplateList:
    """Newest first."""
    along = select(Template)
    if filters.cursor is not None:
        along = along.where(col(Template.id) < filters.cursor)
    among = [filters.channel] if filters.channel is not None else sorted(channels or ())
    walked = walk([along.where(col(Template.channel) == channel) for channel in among] or [along])
    of = aliased(Template, walked.rows, adapt_on_names=True)
    query = select(of).where(_visible(channels, of)).order_by(*walked.order)
    if filters.channel is not None:
        query = query.where(col(of.channel) == filters.channel)
    async with snapshot(engine) as session:
        rows = (await session.scalars(query.limit(filters.limit + 1))).all()
        page, ended = await walked.page(session, rows, filters.limit)
        return shapes.TemplateList(
            data=[_shape(row, sight) for row in page],
            next_cursor=ids.cursor_of_id(ended[-1], ids.Walked.TEMPLATES) if ended else None,
        )


async def template(
    engine: AsyncEngine, template_id: UUID, sight: Sight, *, channels: Channels
) -> shapes.Template | None:
    async with snapshot(engine) as session:
        row = await session.scalar(
            select(Template).where(col(Template.id) == template_id, _visible(channels, Template))
        )
        return _shape(row, sight) if row else None


def _visible(channels: Channels, of: type[Template]) -> ColumnElement[bool]:
    return true() if channels is None else col(of.channel).in_(channels)


def _shape(row: Template, sight: Sight) -> shapes.Template:
    media = row.content.get("media") or []
    failed = row.state == TemplateState.FAILED
    return shapes.Template.model_validate(
        {
            "id": row.id,
            "channel": row.channel,
            "name": row.name,
            "subject": row.content.get("subject"),
            "text": row.content.get("text"),
            "media": [
                {"url": sight.address_in_template(file), "content_type": file["content_type"]}
                for file in media
            ],
            "slides": row.content.get("slides") or None,
            "fallback_text": row.content.get("fallback_text"),
            "state": row.state,
            "error": views.error(row.error_class, row.error_code, row.error_message) if failed else None,
            "created_at": ids.created_at(row.id),
            "updated_at": row.updated_at,
        }
    )
