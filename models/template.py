"""A message stored with its carrier, to be sent by id."""

from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.base import UUID, datetime, json, table_args, timestamp


class Template(SQLModel, table=True):
    """``state`` is ``pending``, ``ready`` or ``failed``.

    ``origin`` is ``external`` while only the carrier has spoken of it; then it has no name and no content,
    and the template that turns out to be it takes over its state. Each of the ``media`` in ``content`` has a
    ``url``, a ``content_type`` and as ``file`` the upload's id, null where it was given by an address.
    ``provider_message_id`` is the carrier's id of the call that stored it.
    """

    __tablename__ = "template"
    __table_args__ = table_args(
        UniqueConstraint("channel", "provider_template_id", name="template_provider_id"),
        Index("template_channel", "channel", "id"),
        Index("template_call", "channel", "provider_message_id", unique=True),
    )

    id: UUID = Field(primary_key=True)
    origin: str
    channel: str
    provider: str
    name: str | None
    content: dict[str, Any] = json()
    provider_template_id: str | None
    state: str
    error_class: str | None
    error_code: str | None
    error_message: str | None
    updated_at: datetime = timestamp()
    provider_message_id: str | None
