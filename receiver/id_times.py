"""The time in an id: the first 48 bits of a UUIDv7 are milliseconds since 1970."""

from datetime import UTC, datetime
from uuid import UUID


def first_id(moment: datetime) -> UUID:
    """Returns the lowest UUIDv7 of *moment* (UTC, millisecond precision)."""
    return UUID(int=(int(moment.timestamp() * 1000) << 80))


def moment_of(uuid: UUID) -> datetime:
    """Returns when the UUIDv7 *uuid* was made, by the clock of its maker."""
    return datetime.fromtimestamp((uuid.int >> 80) / 1000, UTC)
