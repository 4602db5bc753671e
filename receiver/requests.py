"""What may be asked for: the bodies of the API's POST routes. Unknown fields are refused.

Here is the shape only; numbers, carriers' limits and the choice of a channel are `receiver.submit`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from models.status import Status
from receiver.moments import GivenMoment

MAX_RECIPIENTS = 1000
MAX_LOOKUP = 100

Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Address = Annotated[str, StringConstraints(min_length=1, max_length=64)]

_ADDRESS_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 64}
Recipients = Annotated[
    list[Address],
    Field(min_length=1, max_length=MAX_RECIPIENTS),
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    WithJsonSchema(
        {
            "anyOf": [
                _ADDRESS_SCHEMA,
                {"type": "array", "items": _ADDRESS_SCHEMA, "minItems": 1, "maxItems": MAX_RECIPIENTS},
            ]
        }
    ),
]
MediaUrl = Annotated[
    str,
    StringConstraints(
        max_length=2048,
        # credentials, a name or an IPv4 address, a port, the rest: no URL library trips over one of these
        pattern=r"^https?://([A-Za-z0-9._~!$&'()*+,;=:%-]*@)?[A-Za-z0-9._~-]+(:[0-9]{1,5})?([/?#]\S*)?$",
    ),
]


SubscriberUrl = Annotated[
    str,
    StringConstraints(
        max_length=2048,
        # no credentials: what proves us is the signature
        pattern=r"^https?://([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][!-\"$-~]*)?$",
    ),
]
EVENT_TYPES = (
    *(f"message.{status}" for status in Status),
    "message.conflict",
    "message.unmapped",
    "contact.opted_out",
    "contact.opted_in",
    "media.stored",
    "media.failed",
)


def _known_type(word: str) -> str:
    if word not in EVENT_TYPES:
        raise ValueError("is no type of an event")
    return word


EventType = Annotated[str, AfterValidator(_known_type), WithJsonSchema({"enum": list(EVENT_TYPES)})]
EventTypes = Annotated[list[EventType], Field(min_length=1, max_length=50)]
ChannelNames = Annotated[list[Name], Field(min_length=1, max_length=50)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True)


class MediaSource(_Request):
    """A file: where it lies, or the id of one that was uploaded. One of the two."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["url"], "properties": {"url": {"type": "string"}}},
                {"required": ["id"], "properties": {"id": {"type": "string"}}},
            ]
        }
    )

    url: MediaUrl | None = None
    id: UUID | None = None

    @model_validator(mode="after")
    def _is_one_of_two(self) -> "MediaSource":
        if (self.url is None) == (self.id is None):
            raise ValueError("must have url or id, one of them")
        return self


class ReplyRequest(_Request):
    """A message into a conversation: to its contact, from the number that was written to."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "We are open until six."}]})

    text: str | None = None
    subject: str | None = None
    media: list[MediaSource] = Field(default=[], max_length=100)
    fallback_text: str | None = Field(default=None, description="The SMS for phones that cannot take MMS.")
    expires_at: GivenMoment | None = None
    template_id: UUID | None = None
    options: dict[str, Any] = Field(default={}, description="The carrier's own optional fields.")
    client_reference: Name | None = None
    metadata: dict[str, Any] = Field(default={}, description="Yours; comes back with the message.")


class SendRequest(ReplyRequest):
    """A message to one or many recipients; each becomes a message of its own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "to": "+12065550123",
                    "text": "Your order is on its way.",
                    "media": [{"url": "https://example.com/map.png"}],
                    "client_reference": "order-42",
                }
            ]
        }
    )

    to: Recipients
    from_: Address | None = Field(default=None, alias="from")
    channel: Name | None = None


class TemplateRequest(_Request):
    """A message to store with the carrier and to send by id."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "channel": "sinch-us",
                    "name": "spring-sale",
                    "subject": "Spring sale",
                    "media": [{"url": "https://example.com/spring.png"}],
                }
            ]
        }
    )

    channel: Name
    name: Name
    subject: str | None = None
    text: str | None = None
    media: list[MediaSource] = Field(default=[], max_length=100)
    fallback_text: str | None = None


class Reply(NamedTuple):
    """The conversation that a reply belongs to: our number in it, and who it is with."""

    conversation_number: str
    thread: str


class SubscriberRequest(_Request):
    """An app's address, and which events it wants."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://app.example.com/postback",
                    "types": ["message.received", "message.delivered"],
                }
            ]
        }
    )

    url: SubscriberUrl = Field(description="https on port 443, unless `private_networks` holds the host.")
    types: EventTypes | None = Field(default=None, description="Null for all.")
    channels: ChannelNames | None = Field(default=None, description="Null for all.")


class SubscriberChange(_Request):
    """What is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"state": "active"}]})

    url: SubscriberUrl | None = None
    types: EventTypes | None = Field(default=None, description="Null for all.")
    channels: ChannelNames | None = Field(default=None, description="Null for all.")
    state: Literal["active", "disabled"] | None = Field(
        default=None, description="A disabled one keeps its place, and goes on from there."
    )


class ReplayFrom(_Request):
    """From where in the feed to send again, up to where the subscriber stands."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"after": "AXMAAAAAAAAADA"}]})

    after: str = Field(
        pattern="^[A-Za-z0-9_-]+$", max_length=64, description="A cursor; what follows it is sent."
    )


class LookupRequest(_Request):
    """Messages by any of their names, at most 100 names in all."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"client_references": ["order-42"], "provider_message_ids": []}]}
    )

    ids: list[Name] = Field(default=[], max_length=MAX_LOOKUP)
    provider_message_ids: list[Name] = Field(default=[], max_length=MAX_LOOKUP)
    client_references: list[Name] = Field(default=[], max_length=MAX_LOOKUP)

    @model_validator(mode="after")
    def _is_not_too_many(self) -> "LookupRequest":
        asked = len(self.ids) + len(self.provider_message_ids) + len(self.client_references)
        if asked > MAX_LOOKUP:
            raise ValueError(f"asks for {asked} in all; the most is {MAX_LOOKUP}")
        return self


class SettleRequest(_Request):
    """What a person found out about a message whose call had no answer."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "failed"}]})

    status: Literal["failed", "sent"]


class ReplayRequest(_Request):
    """Which kept payloads to read again, oldest first. Without filters: all of them."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"state": "quarantined", "dry_run": True}]})

    state: Literal["applied", "duplicate", "quarantined", "unverified"] | None = None
    channel: Name | None = None
    since: GivenMoment | None = Field(default=None, description="Received at this moment or later.")
    until: GivenMoment | None = Field(default=None, description="Received before this moment.")
    ids: list[UUID] | None = Field(default=None, max_length=MAX_LOOKUP)
    dry_run: bool = Field(default=False, description="Say what would change, and change nothing.")
    limit: int = Field(default=100, ge=1, le=200, description="Payloads that this call goes through.")
    cursor: str | None = Field(
        default=None,
        pattern="^[A-Za-z0-9_-]+$",
        description="Go on after the payload where the last call ended; its `next_cursor`.",
    )


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a `SendRequest`: one message per recipient in their order, *replayed* where an earlier
    request with the same Idempotency-Key had made them."""

    message_ids: Sequence[UUID]
    replayed: bool = False
