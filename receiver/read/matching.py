"""Which messages a list is of: the index that it walks along, and what each message must meet.

The index is that of the narrowest filter, by this order: a conversation, a carrier's id, a client reference,
a number, what needs attention, a channel; else the time order of the ids.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Table, and_, false, func, literal, or_, select, true, tuple_
from sqlalchemy.orm import aliased
from sqlmodel import col

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
from receiver.auth import Channels
from receiver.partitions import first_id
from receiver.read.filters import MessageFilters, written_in
from receiver.read.walk import APART, Walk, walk

Condition: TypeAlias = ColumnElement[bool]
FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TABLE: Table = Message.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Span:
    """Ids from *low* on, up to but not including *high*: the time in which messages were made."""

    low: UUID
    high: UUID

    def of(self, message_id: Any) -> Iterator[Condition]:
        if self.low != FIRST:
            yield message_id >= self.low
        if self.high != LAST:
            yield message_id < self.high


def matching(
    filters: MessageFilters,
    *,
    region: str,
    now: datetime,
    channels: Channels,
    conversation_id: UUID | None = None,
) -> tuple[Walk, Select[Message]]:
    """The walk, and the messages of it that meet *filters*, newest first. Numbers are read as written in
    *region*."""
    given = _given(filters, region, channels, conversation_id)
    if given:
        column, value = given
        walked = walk([_kept_to(column, value, _span(filters, now))], by=(column.key, "id"))
    else:
        walked = walk(list(_branches(filters, region, _span(filters, now), channels)))
    of = aliased(Message, walked.rows, adapt_on_names=True)
    met = select(of).where(*_conditions(filters, of, region, channels)).order_by(*walked.order)
    return walked, met


def _given(
    filters: MessageFilters, region: str, channels: Channels, conversation_id: UUID | None
) -> tuple[Any, Any] | None:
    """The column with an index of its own that must hold one value, and that value."""
    if conversation_id is not None:
        return col(Message.conversation_id), conversation_id
    if filters.provider_message_id is not None:
        return None
    if filters.client_reference is not None:
        return col(Message.client_reference), filters.client_reference
    if filters.contact is not None:
        return col(Message.contact), written_in(filters.contact, region)
    if filters.from_ is None and filters.to is None and _attention(filters) is None:
        among = [filters.channel] if filters.channel is not None else list(channels or ())
        return (col(Message.channel), among[0]) if len(among) == 1 else None
    return None


def _kept_to(column: Any, value: Any, span: Span) -> Select[Any]:
    """As a range of an index on (*column*, id), and in that order: Postgres knows nothing else that gives it.

    Told of an equality it may walk along the time instead, where it holds *value* for frequent; and when that
    was frequent long ago, it reads all that came since.
    """
    place = tuple_(column, col(Message.id))
    within = (place >= tuple_(value, span.low), place < tuple_(value, span.high), column.is_not(None))
    return select(*_TABLE.c).where(*within, *span.of(col(Message.id)))


def _branches(filters: MessageFilters, region: str, span: Span, channels: Channels) -> Iterator[Select[Any]]:
    along = select(*_TABLE.c).where(*span.of(col(Message.id)))
    number = filters.from_ or filters.to
    if filters.provider_message_id is not None:
        named = col(Reference.provider_message_id) == filters.provider_message_id
        of = col(Reference.message_id)
        yield _through(select(of).distinct().where(named, *span.of(of)))
    elif number is not None:
        number = written_in(number, region)
        yield along.where(col(Message.our_number) == number)
        yield along.where(col(Message.contact) == number, col(Message.our_number).is_distinct_from(number))
    elif (condition := _attention(filters)) is not None:
        of = col(Attention.message_id)
        yield _through(select(of).where(condition, *span.of(of)))
    elif channels and filters.channel is None:
        for channel in sorted(channels):
            yield along.where(col(Message.channel) == channel)
    else:
        yield along


def _through(message_ids: Select[UUID]) -> Select[Any]:
    """The messages of *message_ids*, in their order: one after the other, and no more than are wanted."""
    (named,) = message_ids.selected_columns
    ids = message_ids.order_by(named.desc()).subquery()
    message = select(*_TABLE.c).where(col(Message.id) == ids.c.message_id).offset(APART).lateral()
    others = (column for column in message.c if column.name != "id")
    return select(ids.c.message_id.label("id"), *others).select_from(ids.join(message, true()))


def _span(filters: MessageFilters, now: datetime) -> Span:
    since = filters.created_after or filters.looks_back_to(now)
    before = _first_id(filters.created_before) if filters.created_before is not None else LAST
    return Span(_first_id(since) if since else FIRST, min(before, filters.cursor or LAST))


def _attention(filters: MessageFilters) -> Any:
    """Of what needs attention, that which is asked for: an index each."""
    if filters.error_class is ErrorClass.UNKNOWN or filters.outcome is Outcome.FAILURE:
        return col(Attention.failure)
    if filters.error_class is not None:
        return and_(col(Attention.failure), col(Attention.error_class) == filters.error_class)
    if filters.conflict is True:
        return col(Attention.conflict)
    if filters.status is Status.UNCERTAIN:
        return col(Attention.uncertain)
    return None


def _conditions(
    filters: MessageFilters, of: type[Message], region: str, channels: Channels
) -> Iterator[Condition]:
    """All that *filters* ask for but the span of time, which the walk has kept to."""
    if channels is not None:
        yield col(of.channel).in_(channels)
    for given, column in (
        (filters.client_reference, of.client_reference),
        (filters.channel, of.channel),
        (filters.direction, of.direction),
    ):
        if given is not None:
            yield col(column) == given
    if filters.provider_message_id is not None:
        yield _referenced(filters.provider_message_id, of)
    if filters.contact is not None:
        yield col(of.contact) == written_in(filters.contact, region)
    if filters.from_ is not None:
        yield _on_a_side(of, written_in(filters.from_, region), ours="outbound", theirs="inbound")
    if filters.to is not None:
        yield _on_a_side(of, written_in(filters.to, region), ours="inbound", theirs="outbound")
    yield from _state(filters, of)


def _on_a_side(of: type[Message], number: str, *, ours: str, theirs: str) -> Condition:
    direction = col(of.direction)
    return or_(
        and_(direction == ours, col(of.our_number) == number),
        and_(direction == theirs, col(of.contact) == number),
    )


def _state(filters: MessageFilters, of: type[Message]) -> Iterator[Condition]:
    seen = col(of.seen)
    if filters.status is not None:
        yield _has_status(filters.status, of)
    if filters.outcome is not None:
        yield or_(*(_has_status(status, of) for status in Status if OUTCOME[status] is filters.outcome))
    if filters.error_class is not None:
        # a failure that named no class is shown as unknown, so it is found as unknown
        named = func.coalesce(Attention.error_class, ErrorClass.UNKNOWN) == filters.error_class
        failed = (col(Attention.message_id) == of.id, col(Attention.failure), named)
        yield select(literal(1)).where(*failed).offset(APART).exists()
    both = and_(seen.op("&")(SUCCESS_BITS) != 0, seen.op("&")(CONFLICT_BITS) != 0)
    if filters.conflict is not None:
        yield both if filters.conflict else ~both


def _has_status(status: Status, of: type[Message]) -> Condition:
    lowest, end = seen_range(status)
    seen = col(of.seen)
    on_the_rung = and_(seen >= lowest, seen < end)
    on_no_rung = seen < STATUS_BIT[Status.SCHEDULED]
    if status is Status.ACCEPTED:
        return or_(on_the_rung, and_(on_no_rung, col(of.origin) == "api"))
    if status is Status.QUEUED:
        return or_(on_the_rung, and_(on_no_rung, col(of.origin) != "api"))
    return on_the_rung


def _referenced(provider_message_id: str, of: type[Message]) -> Condition:
    if provider_message_id.startswith(INTERNAL):
        return false()
    named = col(Reference.provider_message_id) == provider_message_id
    return select(literal(1)).where(col(Reference.message_id) == of.id, named).offset(APART).exists()


def _first_id(moment: datetime) -> UUID:
    return first_id(max(moment, _EPOCH))
