"""When each API key was last used, written beside the requests and never by one."""

import asyncio
import time
from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
from sqlalchemy import bindparam, func, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col

from models import ApiKey

#: seconds between two times that are written of a key, by each process
EVERY = 60.0
REMEMBERED = 10_000
#: seconds for a write; one that fails or takes longer is left to the next use after `EVERY`
PATIENCE = 5.0


class KeyUse:
    """Notes the use of keys in one process, and writes it: at most once a minute for each key."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._noted: OrderedDict[UUID, float] = OrderedDict()
        self._unwritten: dict[UUID, datetime] = {}
        self._writing: asyncio.Task[None] | None = None

    def note(self, key_id: UUID) -> None:
        """Notes that the key *key_id* is used now. Waits for nothing."""
        now = time.monotonic()
        if now - self._noted.get(key_id, -EVERY) < EVERY:
            return
        self._noted[key_id] = now
        self._noted.move_to_end(key_id)
        if len(self._noted) > REMEMBERED:
            self._noted.popitem(last=False)
        self._unwritten[key_id] = datetime.now(UTC)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Gives up what is being written."""
        if self._writing:
            self._writing.cancel()
            await asyncio.wait({self._writing})

    async def _write(self) -> None:
        try:
            while self._unwritten:
                used, self._unwritten = self._unwritten, {}
                with suppress(SQLAlchemyError, asyncpg.PostgresError, OSError, TimeoutError):
                    async with asyncio.timeout(PATIENCE):
                        await self._store(used)
        finally:
            self._writing = None

    async def _store(self, used: dict[UUID, datetime]) -> None:
        # every process writes in the order of the ids, so that two of them never wait for each other
        rows = [{"key_id": key_id, "at": used[key_id]} for key_id in sorted(used)]
        query = (
            update(ApiKey.__table__)  # type: ignore[attr-defined]
            .where(col(ApiKey.id) == bindparam("key_id"))
            .values(last_used_at=func.greatest(col(ApiKey.last_used_at), bindparam("at")))
        )
        async with self._engine.begin() as connection:
            await connection.execute(query, rows)
