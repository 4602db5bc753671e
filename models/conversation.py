"""A conversation: everything between one of our numbers and one contact, or one group of people."""

from typing import Any

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.base import UUID, datetime, json, table_args, text_array, timestamp


class Conversation(SQLModel, table=True):
    """Only new messages change it; reports do not.

    ``thread`` is who it is with: the contact's number, or in a group all of its members' numbers, sorted,
    with commas between. ``contact`` is the member who wrote first. ``waiting_since`` is when the oldest
    message came that nothing was sent after.
    """

    __tablename__ = "conversation"
    __table_args__ = table_args(
        UniqueConstraint("our_number", "thread", name="conversation_thread"),
        Index("conversation_contact", "contact"),
        Index("conversation_last_message", "last_message_at", "id"),
        Index("conversation_our_number", "our_number", "last_message_at", "id"),
        Index("conversation_unread", "last_message_at", "id", postgresql_where=text("unread_count > 0")),
    )

    id: UUID = Field(primary_key=True)
    our_number: str
    contact: str
    thread: str
    participants: list[str] = text_array()
    channels: list[str] = text_array()
    last_message_id: UUID | None
    last_message_at: datetime = timestamp()
    last_inbound_at: datetime | None = timestamp(nullable=True)
    waiting_since: datetime | None = timestamp(nullable=True)
    unread_count: int
    message_count: int
    metadata_: dict[str, Any] = json()
