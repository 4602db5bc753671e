"""Conversations."""

from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from models.status import Status
from receiver.moments import Moment
from receiver.read import examples
from receiver.read.shapes.base import CanReply, NextCursor, Shape


class LastMessage(Shape):
    id: UUID
    direction: Literal["outbound", "inbound"]
    preview: str | None = Field(description="The first 100 characters of its text, or else of its subject.")
    status: Status
    at: Moment


class Conversation(Shape):
    """Everything between one of our numbers and one contact, or one group, whatever the channel and kind."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.CONVERSATION]})

    id: UUID
    our_number: str = Field(description="`channel:<name>` where the carrier does not say which it was.")
    contact: str = Field(description="In a group: who wrote first.")
    participants: list[str] = Field(description="The members of a group but us; empty between two.")
    channels: list[str]
    opted_out: bool
    can_reply: CanReply
    unread_count: int
    message_count: int
    last_message: LastMessage | None = Field(description="Null once it is past its retention.")
    last_inbound_at: Moment | None
    waiting_since: Moment | None = Field(description="Since when a message waits for an answer.")
    metadata: dict[str, Any]


class ConversationList(Shape):
    data: list[Conversation]
    next_cursor: str | None = NextCursor
