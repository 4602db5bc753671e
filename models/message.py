"""A message: outbound, inbound, or known only from its carrier's reports."""

from typing import Any

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from models.base import UUID, datetime, json, table_args, text_array, timestamp


class Message(SQLModel, table=True):
    """What is asked of a message again and again, kept narrow: a report changes ``seen``, ``version`` and
    ``updated_at``, none of them indexed, so its row is rewritten in place (HOT).

    The id is a UUIDv7: its time is the message's creation, and the table is partitioned on it by month.
    ``seen`` is the set of `models.status`; ``our_number`` is ours whatever the direction.
    """

    __tablename__ = "message"
    __table_args__ = table_args(
        Index(
            "message_client_reference",
            "client_reference",
            "id",
            postgresql_where=text("client_reference IS NOT NULL"),
        ),
        Index("message_contact", "contact", "id"),
        Index("message_our_number", "our_number", "id"),
        Index("message_channel", "channel", "id"),
        Index("message_conversation", "conversation_id", "id"),
        postgresql_partition_by="RANGE (id)",
    )

    id: UUID = Field(primary_key=True)
    direction: str
    origin: str
    channel: str
    provider: str
    kind: str
    our_number: str | None
    contact: str | None
    client_reference: str | None
    conversation_id: UUID | None
    in_reply_to: UUID | None
    seen: int
    version: int
    updated_at: datetime = timestamp()


class MessageBody(SQLModel, table=True):
    """The contents of a message, and everything else that no report touches. Kept as long as bodies are.

    ``slides`` are objects with the positions of their ``media`` and a ``text``, null where the send says
    nothing about what stands together.
    """

    __tablename__ = "message_body"
    __table_args__ = table_args(postgresql_partition_by="RANGE (message_id)")

    message_id: UUID = Field(primary_key=True)
    text: str | None
    subject: str | None
    fallback_text: str | None
    expires_at: datetime | None = timestamp(nullable=True)
    send_at: datetime | None = timestamp(nullable=True)
    template_id: UUID | None
    options: dict[str, Any] = json()
    metadata_: dict[str, Any] = json()
    participants: list[str] = text_array()
    slides: list[dict[str, Any]] | None = json(nullable=True)
    redacted_at: datetime | None = timestamp(nullable=True)


class Attention(SQLModel, table=True):
    """The few messages that somebody may have to look at: uncertain, in conflict, or failed.

    Only they have a row, so that the filters for them need no index on the hot table.
    """

    __tablename__ = "attention"
    __table_args__ = table_args(
        Index("attention_uncertain", "message_id", postgresql_where=text("uncertain")),
        Index("attention_conflict", "message_id", postgresql_where=text("conflict")),
        Index("attention_failure", "message_id", postgresql_where=text("failure")),
        Index("attention_error", "error_class", "message_id", postgresql_where=text("failure")),
    )

    message_id: UUID = Field(primary_key=True)
    uncertain: bool
    conflict: bool
    failure: bool
    error_class: str | None
    error_specificity: int
    error_code: str | None
    error_message: str | None


class Adopted(SQLModel, table=True):
    """The id of an external message that turned out to be one of ours; it goes on answering."""

    __tablename__ = "adopted"
    __table_args__ = table_args(Index("adopted_message", "message_id"))

    id: UUID = Field(primary_key=True)
    message_id: UUID
