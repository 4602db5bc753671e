"""Which messages a list is of: the index that it walks along, and what each message must meet.

The index is that of the narrowest filter, by this order: a conversation, a carrier's id, a client reference,
a number, what needs attention, a channel; else the time order of the ids.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)
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
from receiver.read.statement import Statement, compiled
from receiver.read.walk import APART, walk

Condition: TypeAlias = ColumnElement[bool]
FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TABLE: Table = Message.__table__  # type: ignore[attr-defined]
#: of values that are no text
_TYPES: Mapping[str, Any] = {"conversation_id": Uuid, "low": Uuid, "high": Uuid, "channels": ARRAY(Text)}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a list is asked for without the values, by which lists of one shape are one statement. *given* are
    the filters that hold a value, *channels* is how many the asker may see."""

    given: frozenset[str]
    channels: int | None
    status: Status | None
    outcome: Outcome | None
    error_class: ErrorClass | None
    conflict: bool | None

    def value(self, name: str) -> Any:
        """The filter *name* as it stands in a statement, None where it is not given."""
        return bindparam(name, type_=_TYPES.get(name, Text)) if name in self.given else None

    def span(self, message_id: Any) -> Iterator[Condition]:
        """The time in which messages were made."""
        if "low" in self.given:
            yield message_id >= self.value("low")
        if "high" in self.given:
            yield message_id < self.value("high")


@dataclass(frozen=True, slots=True)
class Question:
    """*page* finds the ids of messages that meet the filters, newest first, *end* the place (its last column
    is an id) where the walk ended, if it did before everything was in it."""

    page: Statement
    end: Statement


def asked(
    filters: MessageFilters,
    *,
    region: str,
    now: datetime,
    channels: Channels,
    conversation_id: UUID | None = None,
) -> tuple[Question, Mapping[str, Any]]:
    """A list as a question, and its values. Numbers are read as written in *region*."""
    values = _values(filters, region, now, channels, conversation_id)
    shape = Shape(
        frozenset(values),
        None if channels is None else len(channels),
        filters.status,
        filters.outcome,
        filters.error_class,
        filters.conflict,
    )
    return _question(shape), {"low": FIRST, "high": LAST, "limit": filters.limit + 1} | values


def _values(
    filters: MessageFilters, region: str, now: datetime, channels: Channels, conversation_id: UUID | None
) -> dict[str, Any]:
    numbers = {"contact": filters.contact, "from": filters.from_, "to": filters.to}
    since = filters.created_after or filters.looks_back_to(now)
    high = min(_first_id(filters.created_before) if filters.created_before else LAST, filters.cursor or LAST)
    given = {
        "conversation_id": conversation_id,
        "client_reference": filters.client_reference,
        "provider_message_id": filters.provider_message_id,
        "channel": filters.channel,
        "direction": filters.direction,
        "low": _first_id(since) if since else None,
        "high": high if high != LAST else None,
        **{name: written_in(number, region) for name, number in numbers.items() if number is not None},
        "channels": None if channels is None else sorted(channels),
        **{f"channel_{place}": channel for place, channel in enumerate(sorted(channels or ()))},
    }
    return {name: value for name, value in given.items() if value is not None}


@lru_cache(maxsize=512)
def _question(shape: Shape) -> Question:
    column = _column(shape)
    if column is not None:
        walked = walk([_kept_to(column, shape)], by=(column.key, "id"))
    else:
        walked = walk(list(_branches(shape)))
    of = aliased(Message, walked.rows, adapt_on_names=True)
    met = select(col(of.id)).where(*_conditions(shape, of)).order_by(*walked.order)
    return Question(compiled(met.limit(bindparam("limit", type_=Integer))), compiled(walked.last()))


def _column(shape: Shape) -> Any:
    """The one with an index of its own that must hold one value."""
    for name in ("conversation_id", "provider_message_id", "client_reference", "contact"):
        if name in shape.given:
            return getattr(Message, name, None)  # a carrier's id stands in another table
    if not shape.given.isdisjoint(("from", "to")) or _attention(shape) is not None:
        return None
    return col(Message.channel) if "channel" in shape.given or shape.channels == 1 else None


def _kept_to(column: Any, shape: Shape) -> Select[Any]:
    """As a range of an index on (*column*, id), and in that order: Postgres knows nothing else that gives it.

    Told of an equality it may walk along the time instead, where it holds the value for frequent; and when
    that was frequent long ago, it reads all that came since.
    """
    place = tuple_(column, col(Message.id))
    value = shape.value(column.key)
    if value is None:  # the only channel that the asker may see
        value = shape.value("channel_0")
    low, high = (bindparam(name, type_=Uuid) for name in ("low", "high"))
    within = (place >= tuple_(value, low), place < tuple_(value, high), column.is_not(None))
    return select(*_TABLE.c).where(*within, *shape.span(col(Message.id)))


def _branches(shape: Shape) -> Iterator[Select[Any]]:
    along = select(*_TABLE.c).where(*shape.span(col(Message.id)))
    number = shape.value("from") if "from" in shape.given else shape.value("to")
    if "provider_message_id" in shape.given:
        named = col(Reference.provider_message_id) == shape.value("provider_message_id")
        of = col(Reference.message_id)
        yield _through(select(of).distinct().where(named, *shape.span(of)))
    elif number is not None:
        yield along.where(col(Message.our_number) == number)
        yield along.where(col(Message.contact) == number, col(Message.our_number).is_distinct_from(number))
    elif (condition := _attention(shape)) is not None:
        of = col(Attention.message_id)
        yield _through(select(of).where(condition, *shape.span(of)))
    elif shape.channels and "channel" not in shape.given:
        for place in range(shape.channels):
            yield along.where(col(Message.channel) == shape.value(f"channel_{place}"))
    else:
        yield along


def _through(message_ids: Select[UUID]) -> Select[Any]:
    """The messages of *message_ids*, in their order: one after the other, and no more than are wanted."""
    (named,) = message_ids.selected_columns
    ids = message_ids.order_by(named.desc()).subquery()
    message = select(*_TABLE.c).where(col(Message.id) == ids.c.message_id).offset(APART).lateral()
    others = (column for column in message.c if column.name != "id")
    return select(ids.c.message_id.label("id"), *others).select_from(ids.join(message, true()))


def _attention(shape: Shape) -> Any:
    """Of what needs attention, that which is asked for: an index each."""
    if shape.error_class is ErrorClass.UNKNOWN or shape.outcome is Outcome.FAILURE:
        return col(Attention.failure)
    if shape.error_class is not None:
        return and_(col(Attention.failure), col(Attention.error_class) == shape.error_class)
    if shape.conflict is True:
        return col(Attention.conflict)
    if shape.status is Status.UNCERTAIN:
        return col(Attention.uncertain)
    return None


def _conditions(shape: Shape, of: type[Message]) -> Iterator[Condition]:
    """All that is asked for but the span of time, which the walk has kept to."""
    if shape.channels is not None:
        yield col(of.channel) == any_(shape.value("channels"))
    for name in ("client_reference", "channel", "direction", "contact"):
        if name in shape.given:
            yield col(getattr(of, name)) == shape.value(name)
    if "provider_message_id" in shape.given:
        yield _referenced(shape.value("provider_message_id"), of)
    if "from" in shape.given:
        yield _on_a_side(of, shape.value("from"), ours="outbound", theirs="inbound")
    if "to" in shape.given:
        yield _on_a_side(of, shape.value("to"), ours="inbound", theirs="outbound")
    yield from _state(shape, of)


def _on_a_side(of: type[Message], number: Any, *, ours: str, theirs: str) -> Condition:
    direction = col(of.direction)
    return or_(
        and_(direction == ours, col(of.our_number) == number),
        and_(direction == theirs, col(of.contact) == number),
    )


def _state(shape: Shape, of: type[Message]) -> Iterator[Condition]:
    seen = col(of.seen)
    if shape.status is not None:
        yield _has_status(shape.status, of)
    if shape.outcome is not None:
        yield or_(*(_has_status(status, of) for status in Status if OUTCOME[status] is shape.outcome))
    if shape.error_class is not None:
        # a failure that named no class is shown as unknown, so it is found as unknown
        named = func.coalesce(Attention.error_class, ErrorClass.UNKNOWN) == shape.error_class
        failed = (col(Attention.message_id) == of.id, col(Attention.failure), named)
        yield select(literal(1)).where(*failed).offset(APART).exists()
    both = and_(seen.op("&")(SUCCESS_BITS) != 0, seen.op("&")(CONFLICT_BITS) != 0)
    if shape.conflict is not None:
        yield both if shape.conflict else ~both


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


def _referenced(provider_message_id: Any, of: type[Message]) -> Condition:
    named = col(Reference.provider_message_id) == provider_message_id
    outside = col(Reference.provider_message_id).not_like(f"{INTERNAL}%")
    mine = col(Reference.message_id) == of.id
    return select(literal(1)).where(mine, named, outside).offset(APART).exists()


def _first_id(moment: datetime) -> UUID:
    return first_id(max(moment, _EPOCH))
