"""From the configuration to a running database that is ours: what every command begins with."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from postback import logs
from postback.embedded import EmbeddedPostgres, running_url
from receiver import config, db, generation, migrate, secrets
from receiver.config import ConfigError, Settings
from receiver.db import DatabaseError
from receiver.secrets import Secrets

Result = TypeVar("Result")


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
    # Alembic would say in a page of traceback what this says in a sentence
    async with db.connected(settings.database_url):
        pass
    try:
        await migrate.upgrade(settings.database_url, settings.db_schema)
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
