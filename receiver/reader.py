"""Reading what is asked for again and again: plain connections, whole statements, one moment.

A session of the ORM costs several times what one of these statements costs, before it has asked anything
(docs/performance.md).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Protocol
from uuid import UUID

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


class Links(Protocol):
    """As `receiver.media.Links`."""

    def anew(self, file_id: UUID | str, url: str, base: str = "") -> str: ...

    def of_template(self, url: str, base: str = "") -> str: ...


@dataclass(frozen=True, slots=True)
class Sight:
    """The part of answers that is not stored. *replies* say who can be answered, None where nobody asks.
    *links* make addresses of files anew, under *base* where there is no ``public_url``; None leaves them."""

    replies: Replies | None = None
    links: Links | None = None
    base: str = ""

    def address(self, file: Mapping[str, Any]) -> str:
        """Returns the address of *file*, of a message: ``{id, url}`` as they are stored."""
        url: str = file["url"]
        return self.links.anew(file["id"], url, self.base) if self.links else url

    def address_in_template(self, media: Mapping[str, Any]) -> str:
        """Returns the address of *media*, of a template as it is stored. One that was given by an address
        stays as it stands; templates of versions before this one do not say (no ``file``)."""
        url: str = media["url"]
        given = "file" in media and media["file"] is None
        return self.links.of_template(url, self.base) if self.links and not given else url


class Snapshot:
    """All that is asked of it sees the same moment."""

    def __init__(self, connection: Any, schema: str, sight: Sight) -> None:
        self._connection, self._schema = connection, schema
        self.sight = sight

    async def rows(self, text: str, *values: Any) -> Sequence[Row]:
        """What *text* finds; it names tables as ``postback.name``, whatever the schema is called."""
        found: Sequence[Row] = await self._connection.fetch(qualified(text, self._schema), *values)
        return found


class Reader:
    """Up to *size* connections, opened when they are first needed."""

    def __init__(
        self,
        database_url: str,
        schema: str,
        replies: Replies | None = None,
        links: Links | None = None,
        *,
        size: int = 10,
    ) -> None:
        self.sight = Sight(replies, links)
        self._schema = schema
        self._connections = _Connections(database_url, size)

    def seen_from(self, base: str) -> "Reader":
        """Returns a reader over the same connections; its answers go to somebody who reaches us at *base*."""
        other = copy(self)
        other.sight = replace(self.sight, base=base)
        return other

    async def close(self) -> None:
        """Waits a moment for what is being read."""
        await self._connections.close()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """For several statements that all see the same moment.

        A message may be adopted, or change its status, between two statements; an answer put together from
        both sides of that would be a message that never was.

        Raises ``DatabaseError``, ``OSError`` (``TimeoutError`` included) and asyncpg's errors.
        """
        pool = await self._connections.pool()
        try:
            async with pooled(pool, TURN) as connection:
                await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                yield Snapshot(connection, self._schema, self.sight)
                await connection.execute("COMMIT")
        except asyncpg.InvalidCachedStatementError:
            # a migration has changed a table: all connections know it as it was
            await pool.expire_connections()
            raise


class _Connections:
    def __init__(self, database_url: str, size: int) -> None:
        self._url, self._size = database_url, size
        self._pool: asyncpg.Pool[Row] | None = None

    async def pool(self) -> "asyncpg.Pool[Row]":
        if self._pool is None:
            # opens nothing yet, so nobody else gets in between
            self._pool = db.pool(
                self._url, size=self._size, command_timeout=ANSWER, record_class=Row, init=_with_json
            )
            await self._pool
        return self._pool

    async def close(self) -> None:
        if self._pool is not None:
            await let_go(self._pool)
