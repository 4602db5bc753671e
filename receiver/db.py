"""Postgres: an engine for reading, plain connections for writing, one sentence when there is none."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from models.base import SCHEMA

log = structlog.get_logger()

MINIMUM_VERSION = 15
CONNECT_TIMEOUT = 10.0
#: seconds for a connection to be closed in order
GOODBYE = 1.0
#: seconds for a database to answer to somebody who can begin without it
START_PATIENCE = 2.0


class DatabaseError(Exception):
    """The database cannot be used; the message says why and what to do, in one sentence."""


class Unreachable(DatabaseError):
    """Nobody answers at the database's address, or not yet: it may be there again in a moment."""


def async_url(database_url: str) -> str:
    """The URL as SQLAlchemy wants it, whatever the driver that its scheme names."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+asyncpg://", database_url)


def plain_url(database_url: str) -> str:
    """The URL as asyncpg wants it."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", database_url)


def engine(database_url: str, schema: str, *, size: int = 10) -> AsyncEngine:
    """A pool of connections whose statements on the models go to *schema*."""
    return create_async_engine(
        async_url(database_url),
        pool_size=size,
        max_overflow=0,
        pool_timeout=5,
        pool_pre_ping=True,
        execution_options={"schema_translate_map": {SCHEMA: schema}},
        connect_args={"timeout": CONNECT_TIMEOUT, "command_timeout": 30},
    )


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """For reading: several statements that all see the same moment.

    A message may be adopted, or change its status, between two statements; an answer put together from
    both sides of that would be a message that never was.
    """
    async with AsyncSession(engine.execution_options(isolation_level="REPEATABLE READ")) as session:
        yield session


async def connect(database_url: str, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
    """One plain connection. Raises ``DatabaseError``."""
    try:
        return await asyncpg.connect(plain_url(database_url), timeout=CONNECT_TIMEOUT, **options)
    except (OSError, TimeoutError) as error:
        raise Unreachable(
            f"The database cannot be reached ({type(error).__name__}: {error}); check database_url and that "
            "the server runs."
        ) from None
    except (asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError) as error:
        raise Unreachable(f"The database takes no connections now: {error}; wait for it.") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise DatabaseError(f"The database refuses the connection: {error}; check database_url.") from None


@asynccontextmanager
async def connected(database_url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """One plain connection, for as long as it is needed. Raises ``DatabaseError``."""
    connection = await connect(database_url)
    try:
        yield connection
    except BaseException:
        connection.terminate()
        raise
    await let_go(connection)


@asynccontextmanager
async def pooled(
    pool: "asyncpg.Pool[asyncpg.Record]", within: float
) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A connection of *pool*, waited for *within* seconds. It does not go back after a failure: the pool
    would first wait until the server says that a statement is canceled, and a frozen one never does."""
    async with pool.acquire(timeout=within) as connection:
        try:
            yield connection
        except BaseException:
            connection.terminate()
            raise


async def let_go(held: "asyncpg.Connection[asyncpg.Record] | asyncpg.Pool[asyncpg.Record]") -> None:
    """Closes *held* in order, or at once where the server has no part in that: a frozen one never says
    goodbye, and whoever waits for it does not end."""
    try:
        async with asyncio.timeout(GOODBYE):
            await held.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        held.terminate()


async def check(database_url: str, schema: str | None = None) -> None:
    """Whether the server answers, is new enough and, if *schema* is named, migrated.

    Raises ``DatabaseError``.
    """
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
    except (Unreachable, OSError, TimeoutError, DBAPIError) as error:
        log.warning("starting without the database", reason=str(error) or type(error).__name__)
        return False
    return True
