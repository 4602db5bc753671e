"""The answers of the API, field for field; keys are always present, null where nobody told us.

These models make the JSON and the OpenAPI document, so neither can say what the other does not.
"""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from models.errors import ErrorClass
from models.events import TemplateState
from models.status import Correlation, Outcome, Status
from receiver.moments import Moment
from receiver.read import examples

NextCursor = Field(pattern="^[A-Za-z0-9_-]+$", description="Give it back as `cursor`; null at the end.")


class Shape(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        json_schema_serialization_defaults_required=True,
    )


class Error(Shape):
    """Why a message failed, in our words and in the carrier's, and what to do about it."""

    class_: ErrorClass = Field(alias="class")
    code: str | None
    message: str | None
    next_step: str
    retry: Literal["never", "later", "fix"]


class Media(Shape):
    id: UUID
    url: str
    content_type: str | None
    size: int | None = Field(description="Bytes.")
    state: Literal["pending", "stored", "failed"]


class File(Shape):
    """An upload; its `id` goes into a send's `media`."""

    id: UUID
    url: str = Field(description="Needs no key: whoever has the address may fetch the file.")
    content_type: str = Field(description="What the bytes are, whatever the upload claimed.")
    size: int = Field(description="Bytes.")


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
    status: Status
    outcome: Outcome
    error: Error | None = Field(description="Null unless `outcome` is `failure`.")
    conflict: bool = Field(description="A handset's receipt and a failure were both reported.")
    delivered_as: Literal["mms", "sms"] | None
    correlation: Correlation | None
    client_reference: str | None
    provider_message_ids: list[str]
    conversation_id: UUID | None
    in_reply_to: UUID | None
    segments: int | None
    metadata: dict[str, Any]
    created_at: Moment
    updated_at: Moment


class Event(Shape):
    """One entry of a message's timeline."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.EVENT]})

    id: UUID
    cursor: str
    sequence: int = Field(description="The event's number in the feed.")
    version: int = Field(description="The event's number within its message.")
    type: str
    message_id: UUID
    conversation_id: UUID | None
    channel: str
    status: Status | None = Field(description="Null for a carrier's word that nobody has mapped.")
    effective: bool = Field(description="Whether the event changed the status when it came.")
    source: Literal["report", "api", "sender", "timer", "operator"]
    provider_status: str | None
    provider_code: str | None
    provider_message: str | None
    client_reference: str | None
    occurred_at: Moment | None = Field(description="The carrier's claim.")
    received_at: Moment
    payload_id: UUID | None
    superseded: bool = Field(
        default=False,
        exclude_if=lambda superseded: not superseded,
        description="Present, and true, on an event that a replay replaced.",
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


class SentMessages(Shape):
    """One message per recipient, in the order given."""

    data: list[Message]


class EventList(Shape):
    data: list[Event]
    next_cursor: str | None = NextCursor


class Missing(Shape):
    ids: list[str]
    provider_message_ids: list[str]
    client_references: list[str]


class LookupAnswer(Shape):
    data: list[MessageWithTimeline]
    missing: Missing


class Template(Shape):
    """A message stored with its carrier."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.TEMPLATE]})

    id: UUID
    channel: str
    name: str | None = Field(description="Null where only the carrier has spoken of it.")
    subject: str | None
    text: str | None
    media: list[dict[str, Any]]
    fallback_text: str | None
    state: TemplateState
    error: Error | None
    created_at: Moment
    updated_at: Moment


class TemplateList(Shape):
    data: list[Template]
    next_cursor: str | None = NextCursor


class Payload(Shape):
    """A carrier's request, byte for byte, without its credentials."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PAYLOAD]})

    id: UUID
    channel: str
    state: Literal["applied", "duplicate", "quarantined", "unverified"]
    reason: str | None
    method: str
    query: str
    headers: dict[str, Any]
    body_base64: str
    size: int = Field(description="Bytes of the body.")
    peer: str | None
    received_at: Moment
    message_ids: list[UUID]


class PayloadList(Shape):
    """A page also ends where its bodies reach 4 MiB."""

    data: list[Payload]
    next_cursor: str | None = NextCursor


class Health(Shape):
    status: Literal["ok", "ready"]
