"""Messages stored with their carriers: queued here, known by the answer, moved by reports."""

from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, insert, select

from models import Outbox, Template
from models.events import TemplateState
from models.sends import OutgoingMedia, Submission
from receiver import slides
from receiver.auth import Channels
from receiver.db import snapshot
from receiver.problems import invalid
from receiver.wakeup import outbox_channel


class Templates:
    """What a send or a new template needs of the table."""

    def __init__(self, engine: AsyncEngine, schema: str) -> None:
        self._engine, self._schema = engine, schema

    async def save(self, submission: Submission, channel: str, provider: str) -> None:
        """Queues the call that stores *submission* with the carrier; its id becomes the template's."""
        template = {
            "id": submission.id,
            "origin": "api",
            "channel": channel,
            "provider": provider,
            "name": submission.template_name,
            "content": {
                "text": submission.text,
                "subject": submission.subject,
                "fallback_text": submission.fallback_text,
                "media": [_entry(media) for media in submission.media],
                "slides": slides.kept(submission.slides),
            },
            "state": TemplateState.PENDING,
            "updated_at": func.clock_timestamp(),
        }
        queued = {
            "id": submission.id,
            "kind": "template",
            "channel": channel,
            "batch": submission.id,
            "state": "queued",
            "next_at": func.clock_timestamp(),
            "attempts": 0,
        }
        async with self._engine.begin() as connection:
            await connection.execute(insert(Template).values(template))
            await connection.execute(insert(Outbox).values(queued))
            await connection.execute(select(func.pg_notify(outbox_channel(self._schema), "")))

    async def usable(self, template_id: UUID, channels: Channels) -> Template:
        """The template to send, of *channels*. Raises ``Problem`` when there is none or the carrier refused
        it."""
        async with snapshot(self._engine) as session:
            template = await session.scalar(select(Template).where(col(Template.id) == template_id))
        hidden = template is not None and channels is not None and template.channel not in channels
        if template is None or hidden or template.origin != "api":
            raise invalid("/template_id", "There is no such template.")
        if template.state == TemplateState.FAILED:
            raise invalid("/template_id", "The carrier could not store this template.")
        return template


def _entry(media: OutgoingMedia) -> dict[str, Any]:
    """Returns what a template keeps of *media*. ``file`` is the id of the upload that it was made with, None
    where it was given by an address: that neither keeps a file nor its address, whatever it says."""
    file = str(media.file.id) if media.file else None
    return {"url": media.url, "content_type": media.content_type, "file": file}
