"""Monthly partitions on UUIDv7 ids: made ahead of time, mended when a month was missed, dropped when past.

An id's first 48 bits are its time, so a month is a range of ids. A default partition stands behind the
months: an id of no month (a wrong clock, or nobody who made partitions for a while) is stored too, and is
an alarm instead of an error. It moves to its month when that is made.

Every change of partitions needs the tables for itself, and whoever waits for a table makes others wait
behind it. So it waits `LONGEST_WAIT` at most, lets everybody pass, and tries again. (Postgres's DETACH
CONCURRENTLY would not wait at all, but refuses tables that have a default partition.)
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import asyncpg

from receiver.db import Connection
from receiver.id_times import first_id, moment_of

Result = TypeVar("Result")

#: each partitioned table, and the id that it is partitioned on
TABLES = {
    "message": "id",
    "message_body": "message_id",
    "media": "message_id",
    "event": "message_id",
    "payload": "id",
    "submission": "id",
}
MONTHS_AHEAD = 3
#: milliseconds that others are held up behind our wait for a table
LONGEST_WAIT = 50
#: tries, and seconds between them
TRIES, PAUSE = 60, 0.5
#: a report rewrites its message's row; half a page left free keeps the new version on the same page
_STORAGE = {"message": " WITH (fillfactor = 50)"}


class Busy(Exception):
    """Somebody uses a table all the time; the next run tries again. The message names the table."""


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One month of *table*, [*begin*, *end*) in UTC."""

    table: str
    begin: datetime

    @property
    def end(self) -> datetime:
        return _month(self.begin.year * 12 + self.begin.month)

    @property
    def name(self) -> str:
        return f"{self.table}_p_{self.begin:%Y%m}"


def months(now: datetime, ahead: int = MONTHS_AHEAD) -> Iterator[datetime]:
    """When the month before *now* began (ids of a clock that lags), the current one, and *ahead* more."""
    number = now.year * 12 + now.month - 1
    return (_month(month) for month in range(number - 1, number + ahead + 1))


async def existing(connection: Connection, schema: str) -> list[Partition]:
    """Every month that has its partition, oldest first in each table."""
    rows = await connection.fetch(
        """SELECT parent.relname AS table, child.relname AS name FROM pg_inherits i
           JOIN pg_class parent ON parent.oid = i.inhparent JOIN pg_class child ON child.oid = i.inhrelid
           WHERE parent.relnamespace = $1::regnamespace AND parent.relkind = 'p'
               AND child.relname ~ '_p_[0-9]{6}$'""",
        f'"{schema}"',
    )
    return sorted(
        Partition(row["table"], datetime.strptime(row["name"][-6:], "%Y%m").replace(tzinfo=UTC))
        for row in rows
    )


async def astray(connection: Connection, schema: str) -> dict[str, int]:
    """The tables that have rows of no month, and how many: an alarm wherever it is not empty."""
    without = await lacking(connection, schema)
    counts = {
        table: await connection.fetchval(f"SELECT count(*) FROM {_default(schema, table)}")  # noqa: S608
        for table in TABLES
        if table not in without
    }
    return {table: count for table, count in counts.items() if count}


async def lacking(connection: Connection, schema: str) -> list[str]:
    """Returns the tables without a default partition: what is of no month cannot be stored there."""
    return [
        table
        for table in TABLES
        if await connection.fetchval("SELECT to_regclass($1)", _default(schema, table)) is None
    ]


async def make(connection: Connection, schema: str, now: datetime) -> dict[Partition, int]:
    """Makes every month that is missing, up to `MONTHS_AHEAD` after *now*; harmless where none is.

    Answers with those made and how many rows moved there from the default partition. Ids of a time further
    ahead stay in it: some clock is wrong. Raises ``Busy``.
    """
    there = set(await existing(connection, schema))
    made = {}
    for table in await lacking(connection, schema):
        await _make_default(connection, schema, table)
    for table in TABLES:
        wanted = {Partition(table, begin) for begin in months(now)}
        wanted |= {stray async for stray in _stray(connection, schema, table, max(months(now)))}
        for partition in sorted(wanted - there):
            moved = await _made(connection, schema, partition)
            if moved is not None:
                made[partition] = moved
    return made


def statements(schema: str, now: datetime) -> Iterator[str]:
    """Yields what makes the default partitions and the months around *now* where none of their names are
    there. It moves no rows: a month whose rows are in the default partition already is refused."""
    for table in TABLES:
        storage = _STORAGE.get(table, "")
        of = f'PARTITION OF "{schema}"."{table}"'
        yield f"CREATE TABLE IF NOT EXISTS {_default(schema, table)} {of} DEFAULT{storage}"
        for partition in (Partition(table, begin) for begin in months(now)):
            low, high = first_id(partition.begin), first_id(partition.end)
            yield (
                f'CREATE TABLE IF NOT EXISTS "{schema}"."{partition.name}" {of} '
                f"FOR VALUES FROM ('{low}') TO ('{high}'){storage}"
            )


async def drop(connection: Connection, schema: str, partitions: Sequence[Partition]) -> None:
    """Drops *partitions* together, with all that is in them. Raises ``Busy``."""
    names = ", ".join(f'"{schema}"."{partition.name}"' for partition in partitions)

    async def attempt() -> None:
        async with connection.transaction():
            await connection.execute(_exclusively(_locked(schema, partitions, with_months=True)))
            await connection.execute(f"DROP TABLE {names}")

    await _patiently(attempt, names)


async def _make_default(connection: Connection, schema: str, table: str) -> None:
    """Makes the default partition of *table*, which had none; many may do so at once."""

    async def attempt() -> None:
        async with connection.transaction():
            # IF NOT EXISTS does not know what somebody else makes at the same time
            await connection.execute(_exclusively([f'ONLY "{schema}"."{table}"']))
            await connection.execute(
                f"CREATE TABLE IF NOT EXISTS {_default(schema, table)} "
                f'PARTITION OF "{schema}"."{table}" DEFAULT{_STORAGE.get(table, "")}'
            )

    await _patiently(attempt, _default(schema, table))


async def _made(connection: Connection, schema: str, partition: Partition) -> int | None:
    """How many rows moved there; None where another process has made it meanwhile.

    What others write to the default partition at that time waits for our lock, and then goes to the month.
    """
    parent, new = f'"{schema}"."{partition.table}"', f'"{schema}"."{partition.name}"'
    low, high, key = first_id(partition.begin), first_id(partition.end), TABLES[partition.table]

    async def attempt() -> int:
        async with connection.transaction():
            await connection.execute(_exclusively(_locked(schema, [partition], with_months=False)))
            await connection.execute(
                f"CREATE TABLE {new} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
                + _STORAGE.get(partition.table, "")
            )
            moved = await connection.execute(
                f"WITH moved AS (DELETE FROM {_default(schema, partition.table)} "  # noqa: S608
                f"WHERE {key} >= '{low}' AND {key} < '{high}' RETURNING *) "
                f"INSERT INTO {new} SELECT * FROM moved"
            )
            await connection.execute(
                f"ALTER TABLE {parent} ATTACH PARTITION {new} FOR VALUES FROM ('{low}') TO ('{high}')"
            )
        return int(moved.rpartition(" ")[2])

    try:
        return await _patiently(attempt, new)
    except asyncpg.DuplicateTableError:
        return None


async def _stray(
    connection: Connection, schema: str, table: str, latest: datetime
) -> AsyncIterator[Partition]:
    """The months, none after *latest*, of rows in the default partition: one look into its index for each."""
    key, after = TABLES[table], UUID(int=0)
    until = first_id(Partition(table, latest).end)
    while True:
        found = await connection.fetchval(
            f"SELECT {key} FROM {_default(schema, table)} "  # noqa: S608
            f"WHERE {key} >= $1 AND {key} < $2 ORDER BY {key} LIMIT 1",
            after,
            until,
        )
        if found is None:
            return
        moment = moment_of(found)
        month = Partition(table, datetime(moment.year, moment.month, 1, tzinfo=UTC))
        yield month
        after = first_id(month.end)


def _locked(schema: str, partitions: Sequence[Partition], *, with_months: bool) -> list[str]:
    """Returns the tables that a change of *partitions* needs, in the order in which they are locked."""
    tables = sorted({partition.table for partition in partitions})
    locked = [name for table in tables for name in (f'ONLY "{schema}"."{table}"', _default(schema, table))]
    if with_months:
        locked += [f'"{schema}"."{partition.name}"' for partition in partitions]
    return locked


def _exclusively(tables: Sequence[str]) -> str:
    """Returns what takes all of *tables* at once, within `LONGEST_WAIT` for all of them together; a process
    that is stopped while it holds them loses them after a second."""
    return (
        "SET LOCAL idle_in_transaction_session_timeout = '1s';"
        f" SET LOCAL statement_timeout = {LONGEST_WAIT};"
        f" LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE;"
        " SET LOCAL statement_timeout = 0"
    )


async def _patiently(attempt: Callable[[], Awaitable[Result]], what: str) -> Result:
    for _ in range(TRIES):
        try:
            return await attempt()
        except (
            asyncpg.QueryCanceledError,
            asyncpg.LockNotAvailableError,
            asyncpg.DeadlockDetectedError,
        ):
            await asyncio.sleep(PAUSE)
    raise Busy(f"{what} was in use at each of {TRIES} tries.")


def _default(schema: str, table: str) -> str:
    return f'"{schema}"."{table}_p_default"'


def _month(number: int) -> datetime:
    return datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
