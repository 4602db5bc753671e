"""Makes partitions ahead, drops those that are past, and removes in batches what has been kept long enough.

It gives way: a batch rests as long as it took, waits for no lock longer than a moment, and what it cannot
have now it leaves to the next run.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from models.reference import INTERNAL
from receiver import db, partitions
from receiver.config import Settings
from receiver.db import Connection
from receiver.endless import beside
from receiver.media import place_of, unused
from receiver.media.unused import Freed
from receiver.partitions import Busy, Partition
from receiver.retention import SWEEPS, Cutoffs, Sweep, past
from receiver.sql import qualified
from receiver.waiting import Waiting

#: is told the table, and how many of its rows have gone so far
Progress = Callable[[str, int], None]

log = structlog.get_logger()
_waiting = Waiting("janitor")

BATCH = 1000
#: tries of a batch that somebody else's lock is in the way of, and seconds between them
TRIES, PAUSE = 20, 0.1
#: between two runs, over all processes; and between two that walk through what has no time of its own
SPACING, WALK_SPACING = timedelta(hours=1), timedelta(days=1)
#: under which name a turn is taken
TURN = f"{INTERNAL}janitor"
#: Seconds between looks whether it is time. Web processes look seldom, so that another process runs it
#: where there is one.
LOOK, SELDOM = 60.0, 900.0


#: one that somebody ran by hand counts as a turn
_RAN = """INSERT INTO postback.rate (channel, due) VALUES ($1, clock_timestamp() + $2)
          ON CONFLICT (channel) DO UPDATE SET due = excluded.due"""


@dataclass(slots=True)
class Report:
    """What a run did. *astray*: rows of no month, by table; *postponed*: what was in use, in
    sentences."""

    made: dict[Partition, int] = field(default_factory=dict)
    dropped: list[Partition] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    files: Freed = field(default_factory=Freed)
    astray: dict[str, int] = field(default_factory=dict)
    postponed: list[str] = field(default_factory=list)

    def fields(self) -> dict[str, Any]:
        """For the log: only what happened."""
        told = {
            "made": [partition.name for partition in self.made],
            "moved": sum(self.made.values()),
            "dropped": [partition.name for partition in self.dropped],
            "rows": {table: count for table, count in self.rows.items() if count},
            "files": self.files.files,
            "bytes": self.files.bytes,
            "postponed": self.postponed,
        }
        return {name: value for name, value in told.items() if value}


async def run(
    settings: Settings, now: datetime, *, walk: bool = True, progress: Progress = lambda table, rows: None
) -> Report:
    """One run, as of *now*; what to keep is what *settings* say. *walk*: look at files and conversations too.

    Raises ``DatabaseError``, and Postgres's errors where it goes away.
    """
    report, cutoffs = Report(), Cutoffs.at(now, settings.retention)
    async with db.connected(settings.database_url) as connection:
        await _keep_months(connection, settings.db_schema, now, cutoffs, report)
        for sweep in SWEEPS:
            cutoff = cutoffs.of(sweep.kind)
            if cutoff is not None and (walk or not sweep.walk):
                await _sweep(connection, settings.db_schema, sweep, cutoff, report, progress)
        if walk and cutoffs.bodies is not None:
            try:
                report.files = await unused.sweep(place_of(settings), connection, settings.db_schema, now)
            except OSError as error:
                report.postponed.append(f"The store of files does not answer ({error.strerror or error}).")
        await connection.execute(qualified(_RAN, settings.db_schema), TURN, SPACING)
    return report


async def _keep_months(
    connection: Connection, schema: str, now: datetime, cutoffs: Cutoffs, report: Report
) -> None:
    try:
        report.made = await partitions.make(connection, schema, now)
    except Busy as error:
        report.postponed.append(str(error))
    report.astray = await partitions.astray(connection, schema)
    for together in past(await partitions.existing(connection, schema), cutoffs, now):
        try:
            await partitions.drop(connection, schema, together)
        except Busy as error:
            report.postponed.append(str(error))
        else:
            report.dropped += together


async def _sweep(
    connection: Connection, schema: str, sweep: Sweep, cutoff: datetime, report: Report, progress: Progress
) -> None:
    statement, before = qualified(sweep.statement, schema), sweep.before(cutoff)
    after: UUID | None = UUID(int=0)
    report.rows[sweep.table] = 0
    while after is not None:
        begun = time.monotonic()
        try:
            if sweep.walk:
                after, gone = await _batch(connection, statement, after, before, BATCH)
            else:
                (gone,) = await _batch(connection, statement, before, BATCH)
                after = after if gone else None
        except Busy:
            report.postponed.append(f"Rows of {sweep.table} were in use at each of {TRIES} tries.")
            return
        report.rows[sweep.table] += gone
        progress(sweep.table, report.rows[sweep.table])
        await asyncio.sleep(time.monotonic() - begun)


async def _batch(connection: Connection, statement: str, *arguments: object) -> asyncpg.Record:
    for _ in range(TRIES):
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = '100ms'; SET LOCAL enable_seqscan = off")
                return await connection.fetchrow(statement, *arguments)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(PAUSE)
    raise Busy


@asynccontextmanager
async def alongside(settings: Settings, *, look: float = LOOK) -> AsyncIterator[None]:
    """Runs it every `SPACING` beside the work of a process, in one process of all that share the database."""
    async with beside(_keep_tidy(settings, look)):
        yield


async def _keep_tidy(settings: Settings, look: float) -> None:
    while True:
        await asyncio.sleep(look)
        try:
            if await _is_our_turn(settings, TURN, SPACING):
                walk = await _is_our_turn(settings, f"{TURN}:walk", WALK_SPACING)
                _tell(await run(settings, datetime.now(UTC), walk=walk))
        except Exception as error:  # noqa: BLE001 - the database is away: next time
            _waiting.failed(settings, error)
        else:
            _waiting.worked(settings)


async def _is_our_turn(settings: Settings, name: str, spacing: timedelta) -> bool:
    take = qualified("SELECT postback.take_turn($1, $2)", settings.db_schema)
    async with db.connected(settings.database_url) as connection:
        return bool(await connection.fetchval(take, name, spacing))


def _tell(report: Report) -> None:
    log.info("tidied up", **report.fields())
    if report.astray:
        log.error("ids of no month: no janitor ran for months, or a clock is wrong", rows=report.astray)
