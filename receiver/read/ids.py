"""Ids, the time in them, and the cursors made of them.

A cursor is opaque: base64url without padding of a version, the kind of list and a position, so that one of
another list or of another release is refused instead of misread.
"""

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_UUID = re.compile(r"(?ai)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LATEST = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
_BY_SEQUENCE, _BY_MOMENT = b"\x01s", b"\x01m"
#: the end of the feed, wherever that is when it is looked for
NOW = -1
#: Postgres's bigint
_LAST_SEQUENCE = (1 << 63) - 1


class Walked(Enum):
    """The lists whose places are ids. Each takes its own cursors alone: an id of another one is a place too,
    and would silently leave out whatever stands above it."""

    MESSAGES = b"\x01i"
    PAYLOADS = b"\x01p"
    REPLAYED = b"\x01r"
    TEMPLATES = b"\x01t"
    OPT_OUTS = b"\x01o"
    SUBSCRIBERS = b"\x01b"
    DELIVERIES = b"\x01d"


def parse(text: str) -> UUID | None:
    """An id in its usual 36 characters, else None: anything else names nothing."""
    return UUID(text) if _UUID.fullmatch(text) else None


def created_at(of: UUID) -> datetime:
    """The moment that a UUIDv7 holds, to the millisecond."""
    milliseconds = min(of.int >> 80, (_LATEST - _EPOCH) // timedelta(milliseconds=1))
    return _EPOCH + timedelta(milliseconds=milliseconds)


def cursor_of_id(last: UUID, of: Walked) -> str:
    return _text(of.value + last.bytes)


def cursor_of_sequence(sequence: int) -> str:
    return _text(_BY_SEQUENCE + sequence.to_bytes(8))


def cursor_of_moment(moment: datetime, last: UUID) -> str:
    return _text(_BY_MOMENT + ((moment - _EPOCH) // _MICROSECOND).to_bytes(8) + last.bytes)


def id_at(cursor: Any, of: Walked) -> UUID:
    return UUID(bytes=_position(cursor, of.value, 16))


def _reads(of: Walked) -> BeforeValidator:
    return BeforeValidator(partial(id_at, of=of))


def _moment_at(cursor: Any) -> tuple[datetime, UUID]:
    position = _position(cursor, _BY_MOMENT, 24)
    microseconds = int.from_bytes(position[:8])
    if microseconds > (_LATEST - _EPOCH) // _MICROSECOND:
        raise _not_a_cursor()
    return _EPOCH + microseconds * _MICROSECOND, UUID(bytes=position[8:])


def _sequence_at(cursor: Any) -> int:
    sequence = int.from_bytes(_position(cursor, _BY_SEQUENCE, 8))
    if sequence > _LAST_SEQUENCE:
        raise _not_a_cursor()
    return sequence


def place_in_feed(cursor: Any) -> int:
    """The number that *cursor* stands for; `NOW` for the word ``now``."""
    return NOW if cursor == "now" else _sequence_at(cursor)


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _position(cursor: Any, kind: bytes, size: int) -> bytes:
    try:
        content = base64.urlsafe_b64decode(str(cursor).encode("ascii") + b"==")
    except (binascii.Error, UnicodeEncodeError):
        raise _not_a_cursor() from None
    # the last comparison: decoding skips what is no base64, and many texts would be one position
    if not content.startswith(kind) or len(content) != len(kind) + size or _text(content) != cursor:
        raise _not_a_cursor()
    return content.removeprefix(kind)


def _not_a_cursor() -> PydanticCustomError:
    return PydanticCustomError("invalid_cursor", "is not a cursor that this list gave out")


_SCHEMA = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}

MessageCursor = Annotated[UUID, _reads(Walked.MESSAGES), WithJsonSchema(_SCHEMA)]
PayloadCursor = Annotated[UUID, _reads(Walked.PAYLOADS), WithJsonSchema(_SCHEMA)]
TemplateCursor = Annotated[UUID, _reads(Walked.TEMPLATES), WithJsonSchema(_SCHEMA)]
OptOutCursor = Annotated[UUID, _reads(Walked.OPT_OUTS), WithJsonSchema(_SCHEMA)]
SubscriberCursor = Annotated[UUID, _reads(Walked.SUBSCRIBERS), WithJsonSchema(_SCHEMA)]
DeliveryCursor = Annotated[UUID, _reads(Walked.DELIVERIES), WithJsonSchema(_SCHEMA)]
MomentCursor = Annotated[tuple[datetime, UUID], BeforeValidator(_moment_at), WithJsonSchema(_SCHEMA)]
SequenceCursor = Annotated[int, BeforeValidator(_sequence_at), WithJsonSchema(_SCHEMA)]
FeedCursor = Annotated[int, BeforeValidator(place_in_feed), WithJsonSchema(_SCHEMA)]
