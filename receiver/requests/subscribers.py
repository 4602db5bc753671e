"""An app that is to hear of events: where, of which, and from where on."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from models.status import Status
from receiver.requests.base import Cursor, Name, Request, Whole

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
    "message.warning",
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


class SubscriberRequest(Request):
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


class SubscriberChange(Request):
    """What is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"state": "active"}]})

    url: SubscriberUrl | None = None
    types: EventTypes | None = Field(default=None, description="Null for all.")
    channels: ChannelNames | None = Field(default=None, description="Null for all.")
    state: Literal["active", "disabled"] | None = Field(
        default=None, description="A disabled one keeps its place, and goes on from there."
    )


class Rotation(Request):
    """For how long the secret that is replaced signs as well."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"grace_seconds": 3600}]})

    grace_seconds: Whole = Field(
        default=86400,
        ge=0,
        le=7 * 86400,
        description="Beside the new secret the one before signs for so long, and those before it until their "
        "own ends. 0 ends all of them at once.",
    )


class ReplayFrom(Request):
    """From where in the feed to send again, up to where the subscriber stands."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"after": "AXMAAAAAAAAADA"}]})

    after: Cursor = Field(description="A cursor; what follows it is sent.")
