"""What lists can be narrowed by: query parameters as they may be written."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from models.errors import ErrorClass
from models.status import Outcome, Status
from receiver import phone
from receiver.moments import GivenMoment
from receiver.read.ids import (
    DeliveryCursor,
    FeedCursor,
    MessageCursor,
    MomentCursor,
    OptOutCursor,
    PayloadCursor,
    SequenceCursor,
    SubscriberCursor,
    TemplateCursor,
)

MAX_LIMIT = 200
#: seconds; proxies give up on silent answers after a minute or less
MAX_WAIT = 25
#: words in one parameter
MAX_WORDS = 50
#: how far a list by status looks back unless told: no index serves a status, only the ids' time does
LOOK_BACK = timedelta(days=30)


def _whole_number(value: Any) -> Any:
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 3):
        raise ValueError(f"must be a whole number from 1 to {MAX_LIMIT}")
    return value


def _seconds(value: Any) -> Any:
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 2):
        raise ValueError(f"must be a whole number from 0 to {MAX_WAIT}")
    return value


def _boolean(value: Any) -> Any:
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value


Word = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Flag = Annotated[bool, BeforeValidator(_boolean)]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT), BeforeValidator(_whole_number)]
Number = Annotated[
    str,
    # a "+" that nobody percent-encoded in a query string arrives as a space
    BeforeValidator(lambda value: "+" + value[1:] if value.startswith(" ") else value),
    StringConstraints(min_length=1, max_length=64),
]
Seconds = Annotated[int, Field(ge=0, le=MAX_WAIT), BeforeValidator(_seconds)]
Words = Annotated[
    tuple[Word, ...],
    # one more than may be is enough to refuse them all
    BeforeValidator(lambda value: value.split(",", MAX_WORDS) if isinstance(value, str) else value),
    Field(min_length=1, max_length=MAX_WORDS),
    WithJsonSchema({"type": "string", "pattern": "^[^,]{1,255}(,[^,]{1,255}){0,49}$"}),
]
PayloadState = Literal["applied", "duplicate", "quarantined", "unverified"]


class Query(BaseModel):
    """Query parameters. Unknown ones are refused: a misspelt filter would answer with everything."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True)


class Timeline(Query):
    superseded: Flag = Field(default=False, description="Events that a replay replaced as well.")


class EventPage(Timeline):
    limit: Limit = 25
    cursor: SequenceCursor | None = None


class MessagePage(Query):
    """Newest first."""

    limit: Limit = 25
    cursor: MessageCursor | None = None


class SubscriberPage(Query):
    limit: Limit = 25
    cursor: SubscriberCursor | None = None


class TemplateFilters(Query):
    limit: Limit = 25
    cursor: TemplateCursor | None = None
    channel: Word | None = None


class PayloadFilters(Query):
    limit: Limit = 25
    cursor: PayloadCursor | None = None
    channel: Word | None = None
    state: PayloadState | None = None


class FeedFilters(Query):
    after: FeedCursor | None = Field(
        default=None,
        description="The cursor after which to go on, or `now`; without it from the oldest event kept.",
    )
    type: Words | None = Field(default=None, description="One type or several, with commas between them.")
    channel: Words | None = Field(default=None, description="One channel or several, with commas between.")


class FeedPage(FeedFilters):
    limit: Limit = 25
    wait: Seconds = Field(default=0, description="Seconds that the answer may wait for something to come.")


class OptOutFilters(Query):
    limit: Limit = 25
    cursor: OptOutCursor | None = None
    contact: Number | None = None
    our_number: Number | None = Field(default=None, description="One of ours, or `*`.")


class DeliveryFilters(Query):
    limit: Limit = 25
    cursor: DeliveryCursor | None = None
    state: Literal["waiting", "parked", "delivered", "dead"] | None = None


class ConversationFilters(Query):
    limit: Limit = 25
    cursor: MomentCursor | None = None
    contact: Number | None = None
    our_number: Number | None = None
    unread: Flag | None = None
    updated_after: GivenMoment | None = Field(
        default=None, description="With a message of this moment or a later one."
    )


class MessageFilters(MessagePage):
    client_reference: Word | None = None
    provider_message_id: Word | None = None
    channel: Word | None = None
    direction: Literal["outbound", "inbound"] | None = None
    from_: Number | None = Field(default=None, alias="from")
    to: Number | None = None
    contact: Number | None = Field(default=None, description="The other side, whatever the direction.")
    status: Status | None = None
    outcome: Outcome | None = None
    error_class: ErrorClass | None = None
    conflict: Flag | None = None
    created_after: GivenMoment | None = Field(default=None, description="This moment or later.")
    created_before: GivenMoment | None = Field(default=None, description="Earlier than this moment.")

    def looks_back_to(self, now: datetime) -> datetime | None:
        """Where the list ends although nobody asked for it, or None."""
        if self.created_after is None and (self.status or self.outcome):
            return now - LOOK_BACK
        return None


def spellings_in(raw: str, region: str) -> tuple[str, ...]:
    """The same in all ways in which the number of that line is written."""
    return phone.spellings(written_in(raw, region))


def written_in(raw: str, region: str) -> str:
    """A number as messages hold it, from whatever spelling is clear in *region*."""
    try:
        return phone.sender(raw, region)
    except phone.InvalidNumber:
        # what carriers could not say properly is stored as it came, and found as it came
        return raw
