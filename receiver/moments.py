"""Moments as the API writes them: RFC 3339, UTC, milliseconds, ``Z``."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

# A "+" that nobody percent-encoded in a query string arrives as a space; no moment has one elsewhere.
_RFC3339 = re.compile(r"(?ai)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+ -]\d\d:\d\d)")


def text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse(value: Any) -> datetime:
    """A moment of RFC 3339, in UTC. Raises ``ValueError``."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("must be a moment of RFC 3339, like 2026-11-21T10:00:00Z")
    try:
        return datetime.fromisoformat(value.upper().replace(" ", "+")).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is no moment that exists") from None


_SCHEMA = {"type": "string", "format": "date-time"}

#: a moment in an answer
Moment = Annotated[datetime, PlainSerializer(text, return_type=str), WithJsonSchema(_SCHEMA)]
#: a moment in a request
GivenMoment = Annotated[datetime, BeforeValidator(parse), WithJsonSchema(_SCHEMA)]
