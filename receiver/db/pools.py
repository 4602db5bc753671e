"""Many connections: SQLAlchemy's engine for reading through the models, the driver's pools for the rest."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only

from models.base import SCHEMA
from receiver.db.address import address
from receiver.db.connecting import Mode, connect, mode
from receiver.db.connection import Connection

#: seconds for a connection to be closed in order
GOODBYE = 1.0
#: seconds for a statement through the models
ANSWER = 30.0


def engine(database_url: str, schema: str | None = None, *, size: int = 10) -> AsyncEngine:
    """Returns a pool of *size* connections whose statements on the models go to *schema*; with None they go
    where the models say. With *size* 0 every connection is opened anew and closed after its use.

    Raises ``DatabaseError`` where the URL is not understood, and so do its connections.
    """
    address(database_url)
    pooling: dict[str, Any] = (
        {"pool_size": size, "max_overflow": 0, "pool_timeout": 5, "pool_pre_ping": True}
        if size
        else {"poolclass": NullPool}
    )
    made = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=partial(connect, database_url, command_timeout=ANSWER if size else None),
        execution_options={"schema_translate_map": {SCHEMA: schema}} if schema else {},
        **pooling,
    )

    @event.listens_for(made.sync_engine, "do_connect")
    def keep_no_statements(dialect: Any, record: Any, arguments: Any, options: dict[str, Any]) -> None:
        if await_only(mode(database_url)) is Mode.TRANSACTION:
            options["prepared_statement_cache_size"] = 0

    return made


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """For reading: several statements that all see the same moment.

    A message may be adopted, or change its status, between two statements; an answer put together from
    both sides of that would be a message that never was.
    """
    async with AsyncSession(engine.execution_options(isolation_level="REPEATABLE READ")) as session:
        yield session


def pool(
    database_url: str,
    *,
    size: int,
    least: int = 0,
    init: Callable[[Any], Awaitable[None]] | None = None,
    record_class: Any = asyncpg.Record,
    command_timeout: float | None = None,
) -> "asyncpg.Pool[Any]":
    """Returns the driver's pool of *least* to *size* connections; it opens when it is awaited."""
    return asyncpg.create_pool(
        database_url,
        connect=connect,
        command_timeout=command_timeout,
        min_size=least,
        max_size=size,
        init=init,
        record_class=record_class,
        reset=_nothing,
    )


async def _nothing(connection: Any) -> None:
    """What the driver asks of a server before somebody else gets the connection: we leave nothing behind, and
    `pooled` gives back no connection whose work has failed."""


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[Connection]:
    """One connection, for as long as it is needed. Raises ``DatabaseError``."""
    connection = await connect(database_url)
    try:
        yield connection
    except BaseException:
        connection.terminate()
        raise
    await let_go(connection)


async def prepared(database_url: str, *statements: str) -> Connection:
    """Opens a connection whose driver knows the types of *statements*. Raises ``DatabaseError``.

    The driver asks for them once for each connection, which takes longer than most statements do.
    """
    connection = await connect(database_url)
    try:
        async with connection.transaction():
            for statement in statements:
                await connection.prepare(statement)
    except BaseException:
        connection.terminate()
        raise
    return connection


@asynccontextmanager
async def pooled(pool: "asyncpg.Pool[Any]", within: float) -> AsyncIterator[Connection]:
    """A connection of *pool*, waited for *within* seconds. It does not go back after a failure: the pool
    would first wait until the server says that a statement is canceled, and a frozen one never does."""
    async with pool.acquire(timeout=within) as connection:
        try:
            yield connection
        except BaseException:
            with suppress(asyncpg.InterfaceError):  # lost, and therefore the pool's again: that is no reason
                connection.terminate()
            raise


async def let_go(held: "Connection | asyncpg.Pool[Any]") -> None:
    """Closes *held* in order, or at once where the server has no part in that: a frozen one never says
    goodbye, and whoever waits for it does not end."""
    try:
        async with asyncio.timeout(GOODBYE):
            await held.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        held.terminate()
