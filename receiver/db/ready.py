"""Whether the database is one to begin with."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import structlog
from sqlalchemy.exc import DBAPIError

from receiver.db.connecting import MINIMUM_VERSION
from receiver.db.errors import DatabaseError, Unreachable, of_connecting, of_losing
from receiver.db.pools import connected

log = structlog.get_logger()

#: seconds for a database to answer to somebody who can begin without it
START_PATIENCE = 2.0


async def check(database_url: str, schema: str | None = None) -> None:
    """Whether the server answers, is new enough and, if *schema* is named, migrated.

    Raises ``DatabaseError``.
    """
    try:
        await _check(database_url, schema)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise of_connecting(error) from None


async def _check(database_url: str, schema: str | None) -> None:
    async with connected(database_url) as connection:
        version = connection.get_server_version().major
        if version < MINIMUM_VERSION:
            raise DatabaseError(
                f"The database is Postgres {version}; Postback needs {MINIMUM_VERSION} or later: upgrade it."
            )
        migrated = f'"{schema}".feed_head'
        if schema is not None and await connection.fetchval("SELECT to_regclass($1)", migrated) is None:
            raise DatabaseError(f'The schema "{schema}" is not migrated; run: postback migrate')


async def reached(check: Callable[[], Awaitable[None]]) -> bool:
    """Whether *check* passed; not where nobody answers. A database that answers and is not ours raises."""
    try:
        async with asyncio.timeout(START_PATIENCE):
            await check()
    except (Unreachable, OSError, DBAPIError) as error:
        log.warning("starting without the database", reason=str(error) or type(error).__name__)
        return False
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        if (lost := of_losing(error)) is None:
            raise
        log.warning("starting without the database", reason=str(lost))
        return False
    return True
