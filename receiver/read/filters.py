"""What lists can be narrowed by: query parameters as they may be written, and as conditions on the tables."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from sqlalchemy import ColumnElement, and_, false, or_
from sqlalchemy.orm import Mapped
from sqlmodel import col, select

from models import Attention, Message, Reference
from models.errors import ErrorClass
from models.reference import INTERNAL
from models.status import (
    CONFLICT_BITS,
    OUTCOME,
    STATUS_BIT,
    SUCCESS_BITS,
    Outcome,
    Status,
    seen_range,
)
from receiver import phone
from receiver.moments import GivenMoment
from receiver.partitions import first_id
from receiver.read.ids import IdCursor, SequenceCursor

MAX_LIMIT = 200
#: how far a list by status looks back unless told: no index serves a status, only the ids' time does
LOOK_BACK = timedelta(days=30)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _whole_number(value: Any) -> Any:
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 3):
        raise ValueError(f"must be a whole number from 1 to {MAX_LIMIT}")
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
PayloadState = Literal["applied", "duplicate", "quarantined", "unverified"]


class Query(BaseModel):
    """Query parameters. Unknown ones are refused: a misspelt filter would answer with everything."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True)


class Timeline(Query):
    superseded: Flag = Field(default=False, description="Events that a replay replaced as well.")


class EventPage(Timeline):
    limit: Limit = 25
    cursor: SequenceCursor | None = None


class Page(Query):
    """Newest first."""

    limit: Limit = 25
    cursor: IdCursor | None = None


class TemplateFilters(Page):
    channel: Word | None = None


class PayloadFilters(Page):
    channel: Word | None = None
    state: PayloadState | None = None


class MessageFilters(Page):
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

    def conditions(self, region: str, now: datetime) -> Iterator[ColumnElement[bool]]:
        """What a message must meet. Numbers are read as written in *region*."""
        since = self.created_after or self.looks_back_to(now)
        if since is not None:
            yield col(Message.id) >= _first_id(since)
        if self.created_before is not None:
            yield col(Message.id) < _first_id(self.created_before)
        if self.cursor is not None:
            yield col(Message.id) < self.cursor
        yield from self._names()
        yield from self._numbers(region)
        yield from self._state()

    def _names(self) -> Iterator[ColumnElement[bool]]:
        if self.client_reference is not None:
            yield col(Message.client_reference) == self.client_reference
        if self.provider_message_id is not None:
            yield _referenced(self.provider_message_id)
        if self.channel is not None:
            yield col(Message.channel) == self.channel
        if self.direction is not None:
            yield col(Message.direction) == self.direction

    def _numbers(self, region: str) -> Iterator[ColumnElement[bool]]:
        outbound, inbound = col(Message.direction) == "outbound", col(Message.direction) == "inbound"
        if self.contact is not None:
            yield col(Message.contact) == _number(self.contact, region)
        if self.from_ is not None:
            number = _number(self.from_, region)
            yield or_(
                and_(outbound, col(Message.our_number) == number),
                and_(inbound, col(Message.contact) == number),
            )
        if self.to is not None:
            number = _number(self.to, region)
            yield or_(
                and_(outbound, col(Message.contact) == number),
                and_(inbound, col(Message.our_number) == number),
            )

    def _state(self) -> Iterator[ColumnElement[bool]]:
        if self.status is not None:
            yield _has_status(self.status)
        if self.outcome is not None:
            yield or_(*(_has_status(status) for status in Status if OUTCOME[status] is self.outcome))
        if self.status is Status.UNCERTAIN:
            yield _attended(col(Attention.uncertain))
        if self.outcome is Outcome.FAILURE:
            yield _attended(col(Attention.failure))
        if self.error_class is not None:
            # a failure that named no class is shown as unknown, so it is found as unknown
            classes = col(Attention.error_class) == self.error_class
            if self.error_class is ErrorClass.UNKNOWN:
                classes = or_(classes, col(Attention.error_class).is_(None))
            yield _attended(and_(col(Attention.failure), classes))
        if self.conflict is True:
            yield _attended(col(Attention.conflict))
        if self.conflict is False:
            seen = col(Message.seen)
            yield or_(seen.op("&")(SUCCESS_BITS) == 0, seen.op("&")(CONFLICT_BITS) == 0)


def _has_status(status: Status) -> ColumnElement[bool]:
    lowest, end = seen_range(status)
    seen = col(Message.seen)
    on_the_rung = and_(seen >= lowest, seen < end)
    on_no_rung = seen < STATUS_BIT[Status.SCHEDULED]
    if status is Status.ACCEPTED:
        return or_(on_the_rung, and_(on_no_rung, col(Message.origin) == "api"))
    if status is Status.QUEUED:
        return or_(on_the_rung, and_(on_no_rung, col(Message.origin) != "api"))
    return on_the_rung


def _attended(condition: ColumnElement[bool] | Mapped[bool]) -> ColumnElement[bool]:
    return col(Message.id).in_(select(Attention.message_id).where(condition))


def _referenced(provider_message_id: str) -> ColumnElement[bool]:
    if provider_message_id.startswith(INTERNAL):
        return false()
    return col(Message.id).in_(
        select(Reference.message_id).where(col(Reference.provider_message_id) == provider_message_id)
    )


def _number(raw: str, region: str) -> str:
    try:
        return phone.sender(raw, region)
    except phone.InvalidNumber:
        # what carriers could not say properly is stored as it came, and found as it came
        return raw


def _first_id(moment: datetime) -> UUID:
    return first_id(max(moment, _EPOCH))
