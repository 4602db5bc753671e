"""The answers of the API, field for field; keys are always present, null where nobody told us.

These models make the JSON and the OpenAPI document, so neither can say what the other does not.
"""

from functools import cached_property
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
    reason: str | None = Field(
        default=None,
        exclude_if=lambda reason: reason is None,
        description="Present where the last try to fetch it was in vain: why.",
    )


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
    redacted_at: Moment | None = Field(
        default=None,
        exclude_if=lambda moment: moment is None,
        description="Present where text, files and numbers were taken out.",
    )


class Event(Shape):
    """One entry of a message's timeline."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.EVENT]})

    id: UUID
    cursor: str
    sequence: int = Field(description="The event's number in the feed.")
    version: int = Field(description="The event's number within its message.")
    type: str
    message_id: UUID | None = Field(description="Null where no message said it.")
    conversation_id: UUID | None
    channel: str | None = Field(description="Null for what belongs to no channel.")
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
    replay: int = Field(
        default=0,
        exclude_if=lambda replay: not replay,
        description="Present on an event that a replay or a recompute wrote: its message's first, second ...",
    )

    our_number: str | None = Field(
        default=None,
        exclude_if=lambda number: number is None,
        description="Present on contact events: which of our numbers it is about, `*` for all.",
    )
    contact: str | None = Field(
        default=None,
        exclude_if=lambda number: number is None,
        description="Present on contact events: who it is about.",
    )

    @cached_property
    def line(self) -> str:
        """The event as JSON on one line, made once for all who listen."""
        return self.model_dump_json()


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
    unread_count: int
    message_count: int
    last_message: LastMessage | None = Field(description="Null once it is past its retention.")
    last_inbound_at: Moment | None
    waiting_since: Moment | None = Field(description="Since when a message waits for an answer.")
    metadata: dict[str, Any]


class ConversationList(Shape):
    data: list[Conversation]
    next_cursor: str | None = NextCursor


class Feed(Shape):
    """A part of the feed, oldest first."""

    data: list[Event]
    next_cursor: str = Field(
        pattern="^[A-Za-z0-9_-]+$",
        description="Give it back as `after`. Never null: it moves on past what the filters leave out.",
    )
    reset: bool = Field(
        default=False,
        exclude_if=lambda reset: not reset,
        description="Present, and true, where events after the given cursor are no longer kept.",
    )


class NotificationData(Shape):
    event: Event
    message: Message | None = Field(description="As of the event; null where the event is of no message.")


class Notification(Shape):
    """What is posted to a subscriber."""

    type: str
    timestamp: Moment = Field(description="When the event came.")
    data: NotificationData


class Subscriber(Shape):
    """An app's address that events are posted to, and its place in the feed."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.SUBSCRIBER]})

    id: UUID
    url: str
    types: list[str] | None = Field(description="Null for all.")
    channels: list[str] | None = Field(description="Null for all.")
    state: Literal["active", "disabled"]
    disabled_reason: str | None
    lag: int = Field(description="Numbers of the feed between its newest event and this subscriber's place.")
    created_at: Moment


class SubscriberWithSecret(Subscriber):
    """The only time that the secret is shown."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**examples.SUBSCRIBER, "secret": "whsec_" + "A" * 43 + "="}]}
    )

    secret: str


class SubscriberList(Shape):
    data: list[Subscriber]
    next_cursor: str | None = NextCursor


class Attempt(Shape):
    at: Moment
    status: int | None = Field(description="Null where no whole answer came.")
    ms: int
    answer: str | None = Field(description="The first 2 KiB of it.")
    error: str | None


class Delivery(Shape):
    """What became of an event on its way to a subscriber."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DELIVERY]})

    id: UUID
    event_id: UUID
    subscriber_id: UUID
    state: Literal["waiting", "parked", "delivered", "dead"]
    late: bool = Field(description="Its conversation went on before it was delivered.")
    attempts: list[Attempt]
    next_at: Moment | None


class DeliveryList(Shape):
    data: list[Delivery]
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


class OptOut(Shape):
    """A contact who is not to be written to from one of our numbers, or from any (`*`)."""

    our_number: str
    contact: str = Field(description="Masked once the number was erased.")
    since: Moment
    source: Literal["keyword", "phrase", "carrier", "api", "operator"]
    certainty: Literal["certain", "likely"]
    word: str | None
    message_id: UUID | None


class OptOutList(Shape):
    data: list[OptOut]
    next_cursor: str | None = NextCursor


class LedgerEntry(Shape):
    """One opt-out or opt-in. It is never changed, and kept for ever."""

    id: UUID
    our_number: str
    opts_out: bool
    at: Moment
    source: Literal["keyword", "phrase", "carrier", "api", "operator"]
    certainty: Literal["certain", "likely"]
    word: str | None
    message_id: UUID | None
    said_by: str | None = Field(description="The API key's name, where no message said it.")


class OptOutWithLedger(Shape):
    """Whether a contact is opted out, and what was ever said about it. `our_number` is that of the entry that
    forbids the sends; it may be another one that counts as the same, or `*`."""

    our_number: str
    contact: str
    opted_out: bool
    since: Moment | None = None
    source: Literal["keyword", "phrase", "carrier", "api", "operator"] | None = None
    certainty: Literal["certain", "likely"] | None = None
    word: str | None = None
    message_id: UUID | None = None
    ledger: list[LedgerEntry] = Field(description="In the order in which it was said.")


class Health(Shape):
    status: Literal["ok", "ready"]


class ReplayedPayload(Shape):
    """A payload after its replay. One that was understood once and is not now is left as it was."""

    id: UUID
    state_before: Literal["applied", "duplicate", "quarantined", "unverified"]
    state: Literal["applied", "duplicate", "quarantined", "unverified"]
    reason: str | None


class ReplayedMessage(Shape):
    id: UUID
    channel: str
    status_before: Status | None = Field(description="Null where the message begins with this replay.")
    status: Status
    events_written: int


class ReplayAnswer(Shape):
    """What a replay came to, or in a dry run would come to. Messages where nothing changes are left out."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.REPLAY]})

    dry_run: bool
    states: dict[str, int] = Field(description="How many of the payloads are in which state now.")
    events_written: int
    events_superseded: int
    payloads: list[ReplayedPayload]
    messages: list[ReplayedMessage]
    next_cursor: str | None = NextCursor
