"""Which messages a list is of: the index that it walks along, and what each message must meet.

The index is that of the narrowest filter, by this order: a conversation, a carrier's id, a client reference,
a number, what needs attention, a channel; else the time order of the ids.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Integer,
    Select,
    Table,
    Uuid,
    and_,
    any_,
    bindparam,
    false,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    union,
)
from sqlalchemy.orm import aliased
from sqlmodel import col

from models import Attention, Message, Reference, Submission
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
from receiver.read.filters import MessageFilters
from receiver.read.pattern import FIRST, LAST, Condition, Pattern, pattern_of
from receiver.read.statement import Statement, compiled
from receiver.read.walk import APART, walk

_TABLE: Table = Message.__table__  # type: ignore[attr-defined]


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
    pattern, values = pattern_of(filters, region, now, channels, conversation_id)
    return _question(pattern), {"low": FIRST, "high": LAST, "limit": filters.limit + 1} | values


@lru_cache(maxsize=512)
def _question(pattern: Pattern) -> Question:
    column = _column(pattern)
    if column is not None:
        walked = walk([_kept_to(column, pattern)], by=(column.key, "id"))
    else:
        walked = walk(list(_branches(pattern)))
    of = aliased(Message, walked.rows, adapt_on_names=True)
    met = select(col(of.id)).where(*_conditions(pattern, of)).order_by(*walked.order)
    return Question(compiled(met.limit(bindparam("limit", type_=Integer))), compiled(walked.last()))


def _column(pattern: Pattern) -> Any:
    """The one with an index of its own that must hold one value."""
    for name in ("conversation_id", "provider_message_id", "client_reference", "contact"):
        if name in pattern.given:
            if len(pattern.spellings(name)) > 1 or pattern.called(name) is not None:
                return None
            return getattr(Message, name, None)  # a carrier's id stands in another table
    if not pattern.given.isdisjoint(("from", "to")) or _attention(pattern) is not None:
        return None
    return col(Message.channel) if "channel" in pattern.given or pattern.channels == 1 else None


def _kept_to(column: Any, pattern: Pattern) -> Select[Any]:
    """As a range of an index on (*column*, id), and in that order: Postgres knows nothing else that gives it.

    Told of an equality it may walk along the time instead, where it holds the value for frequent; and when
    that was frequent long ago, it reads all that came since.
    """
    place = tuple_(column, col(Message.id))
    value = pattern.value(column.key)
    if value is None:  # the only channel that the asker may see
        value = pattern.value("channel_0")
    low, high = (bindparam(name, type_=Uuid) for name in ("low", "high"))
    within = (place >= tuple_(value, low), place < tuple_(value, high), column.is_not(None))
    return select(*_TABLE.c).where(*within, *pattern.span(col(Message.id)))


def _branches(pattern: Pattern) -> Iterator[Select[Any]]:
    if "provider_message_id" in pattern.given:
        yield _through(_under_a_carriers_id(pattern))
    elif "client_reference" in pattern.given:
        yield _kept_to(col(Message.client_reference), pattern)
        yield _through(_called("client_reference", pattern))
    else:
        yield from _unnamed_branches(pattern)


def _unnamed_branches(pattern: Pattern) -> Iterator[Select[Any]]:
    along = select(*_TABLE.c).where(*pattern.span(col(Message.id)))
    sided = pattern.spellings("from") or pattern.spellings("to")
    if "contact" in pattern.given:
        for number in pattern.spellings("contact"):
            yield along.where(col(Message.contact) == number)
    elif sided:
        for number in sided:
            yield along.where(col(Message.our_number) == number)
        for number in sided:
            # what has it on both sides was in a branch before
            elsewhere = (col(Message.our_number).is_distinct_from(ours) for ours in sided)
            yield along.where(col(Message.contact) == number, *elsewhere)
    elif (condition := _attention(pattern)) is not None:
        of = col(Attention.message_id)
        yield _through(select(of).where(condition, *pattern.span(of)))
    elif pattern.channels and "channel" not in pattern.given:
        for place in range(pattern.channels):
            yield along.where(col(Message.channel) == pattern.value(f"channel_{place}"))
    else:
        yield along


def _under_a_carriers_id(pattern: Pattern) -> Select[Any]:
    name = "provider_message_id"
    of = col(Reference.message_id)
    named = (col(Reference.provider_message_id) == pattern.value(name), *pattern.span(of))
    if pattern.called(name) is None:
        return select(of).distinct().where(*named)
    return select(union(select(of).where(*named), _called(name, pattern)).subquery().c.message_id)


def _called(name: str, pattern: Pattern) -> Select[Any]:
    """The messages of the call whose id is the filter *name*."""
    of = col(Submission.message_id)
    return select(of).where(col(Submission.id) == pattern.called(name), *pattern.span(of))


def _was_called(name: str, pattern: Pattern, of: type[Message]) -> Condition:
    call = pattern.called(name)
    if call is None:
        return false()
    mine = (col(Submission.id) == call, col(Submission.message_id) == of.id)
    return select(literal(1)).where(*mine).offset(APART).exists()


def _through(message_ids: Select[UUID]) -> Select[Any]:
    """The messages of *message_ids*, in their order: one after the other, and no more than are wanted."""
    (named,) = message_ids.selected_columns
    ids = message_ids.order_by(named.desc()).subquery()
    message = select(*_TABLE.c).where(col(Message.id) == ids.c.message_id).offset(APART).lateral()
    others = (column for column in message.c if column.name != "id")
    return select(ids.c.message_id.label("id"), *others).select_from(ids.join(message, true()))


def _attention(pattern: Pattern) -> Any:
    """Of what needs attention, that which is asked for: an index each."""
    if pattern.error_class is ErrorClass.UNKNOWN or pattern.outcome is Outcome.FAILURE:
        return col(Attention.failure)
    if pattern.error_class is not None:
        return and_(col(Attention.failure), col(Attention.error_class) == pattern.error_class)
    if pattern.conflict is True:
        return col(Attention.conflict)
    if pattern.status is Status.UNCERTAIN:
        return col(Attention.uncertain)
    return None


def _conditions(pattern: Pattern, of: type[Message]) -> Iterator[Condition]:
    """All that is asked for but the span of time, which the walk has kept to."""
    if pattern.channels is not None:
        yield col(of.channel) == any_(pattern.value("channels"))
    if "client_reference" in pattern.given:
        named = col(of.client_reference) == pattern.value("client_reference")
        yield or_(named, _was_called("client_reference", pattern, of))
    for name in ("channel", "direction"):
        if name in pattern.given:
            yield col(getattr(of, name)) == pattern.value(name)
    if "contact" in pattern.given:
        yield col(of.contact).in_(pattern.spellings("contact"))
    if "provider_message_id" in pattern.given:
        named = _referenced(pattern.value("provider_message_id"), of)
        yield or_(named, _was_called("provider_message_id", pattern, of))
    if "from" in pattern.given:
        yield _on_a_side(of, pattern.spellings("from"), ours="outbound", theirs="inbound")
    if "to" in pattern.given:
        yield _on_a_side(of, pattern.spellings("to"), ours="inbound", theirs="outbound")
    yield from _state(pattern, of)


def _on_a_side(of: type[Message], numbers: Sequence[Any], *, ours: str, theirs: str) -> Condition:
    direction = col(of.direction)
    return or_(
        and_(direction == ours, col(of.our_number).in_(numbers)),
        and_(direction == theirs, col(of.contact).in_(numbers)),
    )


def _state(pattern: Pattern, of: type[Message]) -> Iterator[Condition]:
    seen = col(of.seen)
    if pattern.status is not None:
        yield _has_status(pattern.status, of)
    if pattern.outcome is not None:
        yield or_(*(_has_status(status, of) for status in Status if OUTCOME[status] is pattern.outcome))
    if pattern.error_class is not None:
        # a failure that named no class is shown as unknown, so it is found as unknown
        named = func.coalesce(Attention.error_class, ErrorClass.UNKNOWN) == pattern.error_class
        failed = (col(Attention.message_id) == of.id, col(Attention.failure), named)
        yield select(literal(1)).where(*failed).offset(APART).exists()
    both = and_(seen.op("&")(SUCCESS_BITS) != 0, seen.op("&")(CONFLICT_BITS) != 0)
    if pattern.conflict is not None:
        yield both if pattern.conflict else ~both


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
