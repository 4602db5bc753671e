"""Monthly partitions on UUIDv7 ids, made ahead of time.

An id's first 48 bits are its time, so a month is a range of ids. A default partition stands behind the
months: an id of no month (a wrong clock) is stored too, and raises an alarm instead of an error.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

TABLES = ("message", "message_body", "media", "event", "payload", "submission")
MONTHS_AHEAD = 3
#: a report rewrites its message's row; half a page left free keeps the new version on the same page
_STORAGE = {"message": " WITH (fillfactor = 50)"}


def first_id(moment: datetime) -> UUID:
    """The lowest UUIDv7 of *moment* (UTC, millisecond precision)."""
    return UUID(int=(int(moment.timestamp() * 1000) << 80))


def months(now: datetime, ahead: int = MONTHS_AHEAD) -> Iterator[tuple[datetime, datetime]]:
    """The month before *now* (ids of a clock that lags), the current one and *ahead* more, as [from, to)."""
    number = now.year * 12 + now.month - 1
    for month in range(number - 1, number + ahead + 1):
        yield _month(month), _month(month + 1)


def statements(schema: str, now: datetime) -> Iterator[str]:
    """DDL that makes every missing partition; harmless where it exists."""
    for table in TABLES:
        storage = _STORAGE.get(table, "")
        for begin, end in months(now):
            yield (
                f'CREATE TABLE IF NOT EXISTS "{schema}"."{table}_p_{begin:%Y%m}" '
                f'PARTITION OF "{schema}"."{table}" '
                f"FOR VALUES FROM ('{first_id(begin)}') TO ('{first_id(end)}'){storage}"
            )
        yield (
            f'CREATE TABLE IF NOT EXISTS "{schema}"."{table}_p_default" '
            f'PARTITION OF "{schema}"."{table}" DEFAULT{storage}'
        )


def _month(number: int) -> datetime:
    return datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
