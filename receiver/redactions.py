"""Content that processes keep in memory, and how all of them forget it before a redaction is answered.

A process that keeps some holds a lease in Postgres, and renews it as long as it has forgotten everything that
was redacted. It uses what it keeps while its lease runs, and no longer. Whoever redacts commits that, and
then waits until each lease is past the redaction or has run out (`everywhere`): for `POLL` where all are
well, for `LEASE` where one was killed, is frozen or cannot reach Postgres
(docs/decisions/0017-redactions.md).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Protocol, TypeVar
from uuid import UUID

import asyncpg

from receiver import db
from receiver.db import Connection
from receiver.endless import beside
from receiver.rows import new_id
from receiver.sql import qualified
from receiver.waiting import Waiting

Found = TypeVar("Found")

_waiting = Waiting("redactions")

LEASE = timedelta(seconds=4)
#: seconds of a lease that are not used: clocks do not run alike
MARGIN = 0.5
#: seconds between two looks for redactions, and between two renewals
POLL, RENEWAL = 0.1, 1.0
#: seconds that Postgres has for an answer
PATIENCE = 2.0
#: seconds without a look after which redactions may be gone from their table, which keeps them for an hour
LONGEST_GAP = 1800.0

_NEWEST = "SELECT coalesce(max(number), 0) FROM postback.redaction"
_HEED = "SELECT number, ids FROM postback.heed_redactions($1, $2, $3)"
_UNAWARE = "SELECT postback.unaware_of($1)"
_RELEASE = "DELETE FROM postback.content_lease WHERE id = $1"


class Holder(Protocol):
    """Keeps content in memory."""

    def forget(self, events: Collection[UUID] | None) -> None:
        """Drops what it keeps of *events*, None for everything, and breaks off what of it is leaving."""

    async def quiet(self) -> None:
        """Returns once nothing that was broken off is leaving any more."""


class Redactions:
    """What one process has heard of redactions; *seen* is the number of the last one that it forgot."""

    def __init__(self, database_url: str, schema: str) -> None:
        self._url, self._schema = database_url, schema
        self._id = new_id()
        self._connection: Connection | None = None
        self.seen = 0
        self._until = self._heard = self._renew_at = 0.0
        self._renewed = asyncio.Event()

    @property
    def current(self) -> bool:
        """Returns whether content that was read since, or is still kept, may be used just now."""
        return _clock() < self._until

    async def ready(self) -> None:
        """Returns once what is kept may be used."""
        while not self.current:
            self._renewed.clear()
            await self._renewed.wait()

    async def fresh(self, read: Callable[[], Awaitable[Found]]) -> Found:
        """Returns what *read* finds, of which nothing was redacted meanwhile. It has to be put where
        `Holder.forget` finds it before anything else is awaited."""
        while True:
            seen = self.seen
            found = await read()
            if seen == self.seen:
                return found

    @asynccontextmanager
    async def heeded(self, holder: Holder) -> AsyncIterator[None]:
        """Holds a lease, and has *holder* forget what is redacted, for as long as it keeps content."""
        try:
            async with beside(self._follow(holder)):
                yield
        finally:
            holder.forget(None)
            await holder.quiet()
            await self._release()

    async def _follow(self, holder: Holder) -> None:
        while True:
            try:
                forgotten = await self._look(holder)
            except Exception as error:  # noqa: BLE001 - Postgres is away: the lease runs out
                await self._disconnect()
                _waiting.failed(holder, error)
                forgotten = False
            else:
                _waiting.worked(holder)
            if not forgotten:
                await asyncio.sleep(POLL)

    async def _look(self, holder: Holder) -> bool:
        """Has *holder* forget what was redacted since the last look; otherwise renews the lease in its time.
        Returns whether something was forgotten: then the lease is to be renewed at once."""
        begun = _clock()
        if self._heard < begun - LONGEST_GAP:
            [[self.seen]] = await self._fetch(_NEWEST)
            holder.forget(None)
        renewing = begun >= self._renew_at
        rows = await self._fetch(_HEED, self._id, self.seen, LEASE if renewing else None)
        self._heard = begun
        if rows:
            # first the number: what is being read at this moment is then known to be old
            self.seen, self._renew_at = rows[-1]["number"], 0.0
            everything = any(row["ids"] is None for row in rows)
            holder.forget(None if everything else {event for row in rows for event in row["ids"]})
            await holder.quiet()
        elif renewing:
            self._until, self._renew_at = begun + LEASE.total_seconds() - MARGIN, begun + RENEWAL
            self._renewed.set()
        return bool(rows)

    async def _fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await db.connect(self._url)
        found: list[asyncpg.Record] = await self._connection.fetch(
            qualified(statement, self._schema), *arguments, timeout=PATIENCE
        )
        return found

    async def _release(self) -> None:
        self._until = self._renew_at = self._heard = 0.0
        with suppress(Exception):  # it runs out by itself
            if self._connection is not None:
                await self._fetch(_RELEASE, self._id)
        connection, self._connection = self._connection, None
        if connection is not None:
            await db.let_go(connection)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


async def everywhere(connection: Connection, schema: str) -> None:
    """Returns once no process uses anything any more that is redacted by now. Raises ``TimeoutError``."""
    noted = await connection.fetchval(qualified(_NEWEST, schema), timeout=PATIENCE)
    async with asyncio.timeout(2 * LEASE.total_seconds()):
        while await connection.fetchval(  # noqa: ASYNC110 - nothing in this process tells
            qualified(_UNAWARE, schema), noted, timeout=PATIENCE
        ):
            await asyncio.sleep(POLL / 4)


def _clock() -> float:
    """Returns seconds; those in which the machine was suspended count."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
