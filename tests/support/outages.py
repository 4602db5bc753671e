"""Ways in which a Postgres takes nothing for a while."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import asyncpg

from postback.embedded import EmbeddedPostgres, superuser_url
from tests.support import processes


@asynccontextmanager
async def read_only(server: EmbeddedPostgres) -> AsyncIterator[None]:
    """As a standby, or a primary whose operator says so."""
    connection = await asyncpg.connect(superuser_url(server.url))
    try:
        await _default(connection, "on")
        yield
    finally:
        await _default(connection, "off")
        await connection.close()


async def _default(connection: "asyncpg.Connection[asyncpg.Record]", value: str) -> None:
    await connection.execute("SET default_transaction_read_only = off")
    await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    await connection.execute("SELECT pg_reload_conf()")


@asynccontextmanager
async def locked(server: EmbeddedPostgres, table: str = "outbox") -> AsyncIterator[None]:
    """As by somebody who has forgotten his transaction; other tables can be written."""
    connection = await asyncpg.connect(server.url)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE postback.{table} IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def stopped(server: EmbeddedPostgres) -> AsyncIterator[None]:
    """As for a restart."""
    server.stop()
    try:
        yield
    finally:
        server.start()


@asynccontextmanager
async def frozen(server: EmbeddedPostgres) -> AsyncIterator[None]:
    """As on a machine that hangs."""
    assert server.pid
    with processes.frozen(server.pid):
        yield


OUTAGES: dict[str, Callable[[EmbeddedPostgres], AbstractAsyncContextManager[None]]] = {
    "read-only": read_only,
    "locked": locked,
    "stopped": stopped,
    "frozen": frozen,
}
