"""Reading what is asked for again and again: plain connections, whole statements, one moment.

A session of the ORM costs several times what one of these statements costs, before it has asked anything
(docs/performance.md).
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import asyncpg
import orjson

from receiver import db
from receiver.db import let_go, pooled
from receiver.sql import qualified

#: seconds that somebody who asks waits for a connection, and for an answer
TURN, ANSWER = 5.0, 30.0


async def _with_json(connection: Any) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_written, decoder=orjson.loads)


def _written(value: Any) -> str:
    return orjson.dumps(value).decode()


class Row(asyncpg.Record):  # type: ignore[misc]
    """A row whose columns are its attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Replies(Protocol):
    """As `receiver.replies.Replies`."""

    def refusal(self, our_number: str | None, contact: str | None, last: str | None) -> str | None: ...


class Snapshot:
    """All that is asked of it sees the same moment. *replies* say who can be answered, None where nobody
    asks."""

    def __init__(self, connection: Any, schema: str, replies: Replies | None) -> None:
        self._connection, self._schema = connection, schema
        self.replies = replies

    async def rows(self, text: str, *values: Any) -> Sequence[Row]:
        """What *text* finds; it names tables as ``postback.name``, whatever the schema is called."""
        found: Sequence[Row] = await self._connection.fetch(qualified(text, self._schema), *values)
        return found


class Reader:
    """Up to *size* connections, opened when they are first needed."""

    def __init__(
        self, database_url: str, schema: str, replies: Replies | None = None, *, size: int = 10
    ) -> None:
        self._replies = replies
        self._url, self._schema, self._size = database_url, schema, size
        self._pool: asyncpg.Pool[Row] | None = None

    async def close(self) -> None:
        """Waits a moment for what is being read."""
        if self._pool is not None:
            await let_go(self._pool)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """For several statements that all see the same moment.

        A message may be adopted, or change its status, between two statements; an answer put together from
        both sides of that would be a message that never was.

        Raises ``DatabaseError``, ``OSError`` (``TimeoutError`` included) and asyncpg's errors.
        """
        if self._pool is None:
            # opens nothing yet, so nobody else gets in between
            self._pool = db.pool(
                self._url, size=self._size, command_timeout=ANSWER, record_class=Row, init=_with_json
            )
            await self._pool
        try:
            async with pooled(self._pool, TURN) as connection:
                await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                yield Snapshot(connection, self._schema, self._replies)
                await connection.execute("COMMIT")
        except asyncpg.InvalidCachedStatementError:
            # a migration has changed a table: all connections know it as it was
            await self._pool.expire_connections()
            raise
