"""The database to the newest version: tables, functions, and the partitions of the months ahead.

Several may run at once: one works, the others wait for it. Who reads and writes meanwhile waits for a table
`LONGEST_WAIT` milliseconds at most at a time; a step that cannot have its tables within that is tried again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import asyncpg
import structlog
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

import migrations
from receiver import db, partitions, sql
from receiver.db import Connection as Plain
from receiver.db import DatabaseError

HEAD = "head"
#: beside the code, never in the current directory
SCRIPTS = Path(migrations.__file__).parent
#: generations of functions that stay beside the newest: the versions before it go on working
KEPT = 1
#: tries of a step whose tables others use, and seconds between them
TRIES, PAUSE = 240, 0.5
#: seconds between looks whether another one has finished
LOOK = 0.2
#: a table that somebody else has, a deadlock that Postgres broke
_BUSY = ("55P03", "40P01")

#: what Alembic does on a connection; it may be repeated, and then goes on where it stopped
Step = Callable[[Connection], None]

log = structlog.get_logger()


async def upgrade(database_url: str, schema: str, step: Step | None = None) -> None:
    """Does everything that ``postback migrate`` does; harmless when there is nothing to do.

    Tables of a later release stay as they are: they work with the version before, which gets its functions.
    *step* migrates the tables, to the newest migration unless it is given. Where it leaves them at an older
    one, this version's functions are not installed: they would not fit.

    Raises ``DatabaseError``.
    """
    step = step or _step(schema, lambda config: command.upgrade(config, HEAD))
    await db.check(database_url)
    async with _alone(database_url, schema):
        stands = await revision(database_url, schema)
        if stands is not None and not known(stands):
            log.warning("the tables are of a later release, and stay as they are", revision=stands)
        else:
            await _patiently(partial(on_connection, database_url, step))
            stands = await revision(database_url, schema)
        async with db.connected(database_url) as connection:
            if stands == head() or (stands is not None and not known(stands)):
                await install(connection, schema, sql.ours())
            if stands is None:
                return
            try:
                await partitions.make(connection, schema, datetime.now(UTC))
            except partitions.Busy as error:
                # those of the next months are there already, or nobody could be so busy
                log.warning("partitions are made later", reason=str(error))


async def downgrade(database_url: str, schema: str, target: str = "base", step: Step | None = None) -> None:
    """Goes back to the revision *target*, without any functions; ``base`` leaves an empty schema. Data goes
    with the tables. *step* does so instead, where it is given. Raises ``DatabaseError``."""
    step = step or _step(schema, lambda config: command.downgrade(config, target))
    async with _alone(database_url, schema):
        async with db.connected(database_url) as connection:
            for statement in sql.drop_statements(schema):  # they hold on to tables' types
                await connection.execute(statement)
        try:
            await _patiently(partial(on_connection, database_url, step))
        finally:
            # a step that could not be taken, to a revision that is none
            if await revision(database_url, schema) == head():
                async with db.connected(database_url) as connection:
                    await install(connection, schema, sql.ours())


async def revision(database_url: str, schema: str) -> str | None:
    """Returns the name of the migration at which the tables of *schema* stand; None where there are none."""
    async with db.connected(database_url) as connection:
        table = f'"{schema}".alembic_version'
        if await connection.fetchval("SELECT to_regclass($1)", table) is None:
            return None
        found: str | None = await connection.fetchval(f"SELECT version_num FROM {table}")  # noqa: S608
        return found


def head() -> str | None:
    """Returns the name of the newest migration."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def known(revision: str) -> bool:
    """Whether *revision* is one of this version of the code, or of one before it."""
    try:
        return ScriptDirectory.from_config(_config()).get_revision(revision) is not None
    except CommandError:
        return False


@asynccontextmanager
async def _alone(database_url: str, schema: str) -> AsyncIterator[None]:
    """Waits until nobody else migrates *schema*, and keeps others waiting.

    The lock lives in a transaction of its own, which is open until the end, and which every pooler leaves on
    one connection. Between its statements it has no snapshot, and those who wait look again instead of
    waiting in a statement: an index that is built concurrently would wait for either.
    """
    async with db.connected(database_url) as connection:
        told = False
        while not await _locked(connection, f"{schema}.migrate"):
            if not told:
                log.info("waiting for another migration to end")
                told = True
            await asyncio.sleep(LOOK)
        yield  # closing the connection lets go of the lock


async def _locked(connection: Plain, name: str) -> bool:
    """Begins a transaction that holds the lock *name*; none where somebody else has it."""
    transaction = connection.transaction(isolation="read_committed")
    await transaction.start()
    if await connection.fetchval("SELECT pg_try_advisory_xact_lock(hashtext($1))", name):
        # without arguments, and so by the simple protocol: that ends the snapshot of what was asked before
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        return True
    await transaction.rollback()
    return False


async def _patiently(step: Callable[[], Awaitable[None]]) -> None:
    """Takes *step* until the tables that it needs are free. It goes on where the last try stopped: every
    migration that is done is committed. Raises ``DatabaseError``."""
    for tried in range(TRIES):
        try:
            return await step()
        except (DBAPIError, asyncpg.PostgresError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if getattr(cause, "sqlstate", None) not in _BUSY:
                raise
            if not tried:
                log.warning("waiting for tables that are in use", reason=str(cause).partition("\n")[0])
        await asyncio.sleep(PAUSE)
    raise DatabaseError(
        f"The database cannot be migrated: its tables were in use at each of {TRIES} tries; end what has "
        "them for so long (see pg_stat_activity), then run: postback migrate"
    )


def _step(schema: str, work: Callable[[Config], None]) -> Step:
    return lambda connection: work(_config(connection=connection, schema=schema))


async def on_connection(database_url: str, step: Step) -> None:
    """Takes *step* on a connection of its own."""
    engine = db.engine(database_url, size=0)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(step)
    finally:
        await engine.dispose()


async def install(connection: Plain, schema: str, functions: sql.Functions) -> None:
    """Puts *functions* beside those of the versions before, and drops what is older than those."""
    async with connection.transaction():
        standing = [row["generation"] for row in await connection.fetch(sql.GENERATIONS, f'"{schema}"')]
        there = functions.generation in standing
        made = functions.touch_statements if there else functions.create_statements
        for statement in made(schema):
            await connection.execute(statement)
        others = [generation for generation in standing if generation != functions.generation]
        for generation in others[KEPT:]:
            for statement in sql.drop_statements(schema, generation):
                await connection.execute(statement)


def _config(**attributes: object) -> Config:
    config = Config(attributes=attributes)
    config.set_main_option("script_location", str(SCRIPTS))
    return config
