"""A message to be sent, as a send of its own, as a reply, or as a template that is sent by its id."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import orjson
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from receiver.moments import GivenMoment
from receiver.problems import FieldError
from receiver.requests.base import Name, Request
from receiver.requests.media import Media, Slides

MAX_RECIPIENTS = 1000
#: bytes of JSON, which the rows of every recipient hold
LARGEST_METADATA, LARGEST_OPTIONS = 16 << 10, 64 << 10
#: characters of the SMS that stands in for an MMS
LONGEST_FALLBACK = 5000

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


def _of_at_most(most: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Returns a check that an object is no more than *most* bytes of JSON."""

    def checked(given: dict[str, Any]) -> dict[str, Any]:
        size = len(orjson.dumps(given))
        if size > most:
            raise PydanticCustomError(
                "content_too_large", "may be {most} bytes of JSON; it is {size}", {"most": most, "size": size}
            )
        return given

    return checked


class ReplyRequest(Request):
    """A message into a conversation: to its contact, from the number that was written to."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "We are open until six."}]})

    text: str | None = None
    subject: str | None = None
    media: Media = []
    slides: Slides = []
    fallback_text: str | None = Field(
        default=None, max_length=LONGEST_FALLBACK, description="The SMS for phones that cannot take MMS."
    )
    expires_at: GivenMoment | None = None
    template_id: UUID | None = None
    options: Annotated[dict[str, Any], AfterValidator(_of_at_most(LARGEST_OPTIONS))] = Field(
        default={}, description="The carrier's own optional fields, at most 64 KiB of JSON."
    )
    kind: Literal["sms", "mms"] | None = Field(
        default=None, description="An MMS where it has a file, a slide, a subject or a template; else an SMS."
    )
    client_reference: Name | None = None
    metadata: Annotated[dict[str, Any], AfterValidator(_of_at_most(LARGEST_METADATA))] = Field(
        default={}, description="Yours, at most 16 KiB of JSON; comes back with the message."
    )


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
    from_: Address | None = Field(
        default=None,
        alias="from",
        description="Null leaves the choice to the carrier; left out, it is the first number of the channel.",
    )
    channel: Name | None = None


class TemplateRequest(Request):
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
    media: Media = []
    slides: Slides = []
    fallback_text: str | None = Field(default=None, max_length=LONGEST_FALLBACK)


class Reply(NamedTuple):
    """The conversation that a reply belongs to: our number in it, who it is with, and the channel on which
    somebody last wrote, else the only one that it ever was on."""

    our_number: str
    thread: str
    channel: str | None


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a `SendRequest`: one message per recipient in their order, *replayed* where an earlier
    request with the same Idempotency-Key had made them. *warnings* are what its carrier advises against."""

    message_ids: Sequence[UUID]
    replayed: bool = False
    warnings: Sequence[FieldError] = ()
