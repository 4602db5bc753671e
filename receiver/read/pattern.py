"""What a list of messages is asked for: what its statement depends on, and the values that go into it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Text, Uuid, bindparam

from models.errors import ErrorClass
from models.status import Outcome, Status
from receiver.auth import Channels
from receiver.id_times import first_id
from receiver.read import ids
from receiver.read.filters import MessageFilters, spellings_in

Condition: TypeAlias = ColumnElement[bool]
FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)

#: ways in which one number is written, at most: a number of Argentina
MOST_SPELLINGS = 5

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: of values that are no text
_TYPES: Mapping[str, Any] = {
    "conversation_id": Uuid,
    "called_client_reference": Uuid,
    "called_provider_message_id": Uuid,
    "low": Uuid,
    "high": Uuid,
    "channels": ARRAY(Text),
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is asked for, without the values: lists of one pattern are one statement. *given* are the filters
    that hold a value, *channels* is how many the asker may see."""

    given: frozenset[str]
    channels: int | None
    status: Status | None
    outcome: Outcome | None
    error_class: ErrorClass | None
    conflict: bool | None

    def value(self, name: str) -> Any:
        """The filter *name* as it stands in a statement, None where it is not given."""
        return bindparam(name, type_=_TYPES.get(name, Text)) if name in self.given else None

    def called(self, name: str) -> Any:
        """The filter *name* as the id of a call of ours, None where it cannot be one."""
        return self.value(f"called_{name}")

    def spellings(self, name: str) -> list[Any]:
        """The number that is the filter *name*, in each way in which it is written."""
        others = (f"{name}_{place}" for place in range(1, MOST_SPELLINGS))
        return [self.value(given) for given in (name, *others) if given in self.given]

    def span(self, message_id: Any) -> Iterator[Condition]:
        """The time in which messages were made."""
        if "low" in self.given:
            yield message_id >= self.value("low")
        if "high" in self.given:
            yield message_id < self.value("high")


def pattern_of(
    filters: MessageFilters, region: str, now: datetime, channels: Channels, conversation_id: UUID | None
) -> tuple[Pattern, dict[str, Any]]:
    """*filters* as a pattern and the values of what is given. Numbers are read as written in *region*."""
    values = _values(filters, region, now, channels, conversation_id)
    return Pattern(
        frozenset(values),
        None if channels is None else len(channels),
        filters.status,
        filters.outcome,
        filters.error_class,
        filters.conflict,
    ), values


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
        "called_client_reference": ids.parse(filters.client_reference or ""),
        "called_provider_message_id": ids.parse(filters.provider_message_id or ""),
        "channel": filters.channel,
        "direction": filters.direction,
        "low": _first_id(since) if since else None,
        "high": high if high != LAST else None,
        **_spelt(numbers, region),
        "channels": None if channels is None else sorted(channels),
        **{f"channel_{place}": channel for place, channel in enumerate(sorted(channels or ()))},
    }
    return {name: value for name, value in given.items() if value is not None}


def _spelt(numbers: Mapping[str, str | None], region: str) -> dict[str, str]:
    """As they were given, and by their place the other ways in which they are written."""
    return {
        f"{name}_{place}" if place else name: spelling
        for name, number in numbers.items()
        if number is not None
        for place, spelling in enumerate(spellings_in(number, region))
    }


def _first_id(moment: datetime) -> UUID:
    return first_id(max(moment, _EPOCH))
