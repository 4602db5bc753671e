"""From the configuration to a running database that is ours: what every command begins with."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import asyncpg
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from postback import logs
from postback.embedded import EmbeddedPostgres, running_url
from receiver import config, db, generation, migrate, partitions, secrets
from receiver.config import ConfigError, Settings
from receiver.db import Connection, DatabaseError, Unreachable
from receiver.partitions import Busy
from receiver.secrets import Secrets

Result = TypeVar("Result")

#: seconds in which partitions are made before a process begins without those that are missing
PATIENCE = 60.0

log = structlog.get_logger()


def connected(settings: Settings) -> Settings:
    """*settings* with the database of the ``up`` that runs on the same data directory, where it names none.

    Raises ``ConfigError``.
    """
    if not settings.embedded:
        return settings
    url = running_url(settings.data_dir)
    if url is None:
        raise ConfigError(
            f"No Postgres runs on {settings.data_dir}; start `postback up` there first, or set database_url."
        )
    return with_database(settings, url)


@contextmanager
def borrowed(settings: Settings) -> Iterator[Settings]:
    """The same, but an embedded server that does not run is started for as long as it is needed."""
    if not settings.embedded or running_url(settings.data_dir) is not None:
        yield connected(settings)
        return
    with EmbeddedPostgres(settings.data_dir) as server:
        yield with_database(settings, server.url)


def with_database(settings: Settings, url: str) -> Settings:
    """*settings* on the embedded server at *url*, with the secret key that lies beside it."""
    with_keys = settings.model_copy(update={"database_url": url, "secret_key": secrets.configured(settings)})
    logs.hide(with_keys)
    return with_keys


def configured() -> Settings:
    """What `receiver.config` reads, hidden from the logs from then on. Raises ``ConfigError``."""
    settings = config.load()
    logs.hide(settings)
    return settings


async def migrated(settings: Settings) -> None:
    """Brings the database to the newest version. Raises ``DatabaseError``."""
    await in_sentences(settings, migrate.upgrade)


async def in_sentences(settings: Settings, work: Callable[[str, str], Awaitable[None]]) -> None:
    """Awaits *work* on the database and in the schema of *settings*. Raises ``DatabaseError`` for whatever
    Postgres raises: Alembic would say it in a page of traceback."""
    async with db.connected(settings.database_url):
        pass
    try:
        await work(settings.database_url, settings.db_schema)
    except DBAPIError as error:
        reason = str(error.orig).partition(":")[2].strip() or str(error.orig)
        raise DatabaseError(f"The database cannot be migrated: {reason}.") from None
    except asyncpg.PostgresError as error:
        raise DatabaseError(f"The database cannot be migrated: {error}.") from None


async def using(settings: Settings, work: Callable[[AsyncEngine, Secrets], Awaitable[Result]]) -> Result:
    """*work* on the database of *settings*, once it is certain that it is migrated and that the secret key
    belongs to it. Raises ``DatabaseError`` or ``ConfigError``."""
    await db.check(settings.database_url, settings.db_schema)
    await generation.check(settings.database_url, settings.db_schema)
    engine, keys = db.engine(settings.database_url, settings.db_schema, size=1), secrets.load(settings)
    try:
        await keys.check(engine)
        return await work(engine, keys)
    finally:
        await engine.dispose()


async def checked(settings: Settings) -> None:
    """What `using` makes certain, and no more. Raises ``DatabaseError`` or ``ConfigError``."""

    async def nothing(engine: AsyncEngine, keys: Secrets) -> None:
        pass

    await using(settings, nothing)


async def begun(settings: Settings) -> None:
    """Makes certain what `checked` does, and makes missing partitions, before requests are taken.

    With a spool a database that does not answer is no reason to wait. Raises ``DatabaseError`` or
    ``ConfigError``.
    """
    if not settings.spool:
        await checked(settings)
    elif not await db.reached(partial(checked, settings)):
        return
    try:
        async with asyncio.timeout(PATIENCE), db.connected(settings.database_url) as connection:
            await _make_partitions(connection, settings.db_schema)
    except (OSError, Unreachable, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # requests for which there are none wait in the spool
        log.warning("partitions are made later", reason=str(error) or "the database does not answer")


async def _make_partitions(connection: Connection, schema: str) -> None:
    try:
        await partitions.make(connection, schema, datetime.now(UTC))
    except (Busy, asyncpg.InsufficientPrivilegeError) as error:
        if lacking := await partitions.lacking(connection, schema):
            raise DatabaseError(
                f"Nothing can be stored in {', '.join(lacking)} without partitions, and none can be made: "
                f"{str(error).rstrip('.')}; run: postback migrate"
            ) from None
        log.warning("partitions are made later", reason=str(error))
