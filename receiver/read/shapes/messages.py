"""Messages, alone, listed and looked up."""

from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from models.errors import ErrorClass
from models.status import Correlation, Outcome, Status
from receiver.moments import Moment
from receiver.read import examples
from receiver.read.shapes.base import CanReply, NextCursor, Shape
from receiver.read.shapes.events import Event
from receiver.read.shapes.media import Media


class Error(Shape):
    """Why a message failed, in our words and in the carrier's, and what to do about it."""

    class_: ErrorClass = Field(alias="class")
    code: str | None
    message: str | None
    next_step: str
    retry: Literal["never", "later", "fix"]


class ShownSlide(Shape):
    """A part of an MMS that is shown at once."""

    media: list[UUID] = Field(description="The ids of its files, of those in `media`.")
    text: str | None


class Message(Shape):
    """A message in either direction, as it stands now."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.MESSAGE]})

    id: UUID
    direction: Literal["outbound", "inbound"]
    origin: Literal["api", "external", "carrier"]
    channel: str
    provider: str
    kind: Literal["sms", "mms"]
    from_: str | None = Field(alias="from")
    to: str | None
    text: str | None
    subject: str | None
    media: list[Media]
    slides: list[ShownSlide] | None = Field(
        default=None,
        exclude_if=lambda slides: slides is None,
        description="Present where the send said what stands together.",
    )
    status: Status
    outcome: Outcome
    error: Error | None = Field(description="Null unless `outcome` is `failure`.")
    conflict: bool = Field(description="A handset's receipt and a failure were both reported.")
    delivered_as: Literal["mms", "sms"] | None
    correlation: Correlation | None
    client_reference: str | None
    wire_reference: str | None = Field(
        description="What went out as the carrier's client reference, last; null where nothing did."
    )
    provider_message_ids: list[str]
    conversation_id: UUID | None
    can_reply: CanReply | None = Field(
        description="Whether who wrote it can be answered, opted out or not; null of an outbound message."
    )
    in_reply_to: UUID | None
    segments: int | None
    fallback_text: str | None = Field(description="The SMS for phones that cannot take MMS, as it was given.")
    send_at: Moment | None = Field(description="When the carrier says that it sends it.")
    expires_at: Moment | None = Field(description="Until when it may be delivered.")
    options: dict[str, Any] = Field(description="The carrier's own optional fields, as they were given.")
    metadata: dict[str, Any]
    created_at: Moment
    updated_at: Moment
    redacted_at: Moment | None = Field(
        default=None,
        exclude_if=lambda moment: moment is None,
        description="Present where text, files and numbers were taken out.",
    )


class MessageWithTimeline(Message):
    """A message and everything that happened to it, in order of arrival."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**examples.MESSAGE, "timeline": [examples.EVENT]}]}
    )

    timeline: list[Event]


class MessageList(Shape):
    data: list[Message]
    next_cursor: str | None = NextCursor
    created_after: Moment | None = Field(
        default=None,
        exclude_if=lambda moment: moment is None,
        description="Present where the list looks back 30 days because nobody said how far.",
    )


class Warned(Shape):
    """A thing that the carrier advises against, in a send that it takes."""

    pointer: str = Field(description="The JSON pointer of the field.")
    detail: str


class SentMessages(Shape):
    """One message per recipient, in the order in which each is first named."""

    data: list[Message]
    warnings: list[Warned] = Field(
        default=[],
        exclude_if=lambda warnings: not warnings,
        description="Present where the carrier advises against something; it is sent all the same.",
    )


class Missing(Shape):
    ids: list[str]
    provider_message_ids: list[str]
    client_references: list[str]


class LookupAnswer(Shape):
    data: list[MessageWithTimeline]
    missing: Missing
