"""API keys by their ids: remembered for a moment, and read from Postgres many at once.

Anybody may invent an id that looks right, so what an invented one costs is bounded: those that wait are read
together, one statement at a time, on one connection; a key that was seen before does not wait behind them.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select

from models import ApiKey
from receiver.db import snapshot
from receiver.problems import unavailable

#: seconds that a process goes on believing what it read of a key: a revoked key works that much longer
TRUST = 3.0
REMEMBERED = 10_000
#: ids that are read with one statement
BATCH = 256
#: callers that wait until their keys are read; one more is answered 503
MOST_WAITING = 4096
#: seconds for a statement
PATIENCE = 5.0


class Keyring:
    """Knows the keys of one database, for one process."""

    def __init__(self, engine: AsyncEngine) -> None:
        #: apart, so that invented ids push no key out of the memory
        self._keys, self._unknown = _Memory(), _Memory()
        self._proven, self._doubtful = _Lookups(engine), _Lookups(engine)

    async def key(self, key_id: UUID, *, proven: bool) -> ApiKey | None:
        """Returns the key with *key_id*, revoked or not, or None where there is none.

        *proven*: the caller has shown that a key with this id was made. Raises ``Problem`` (503) where too
        many wait, and the errors of the database.
        """
        remembered = self._keys.get(key_id) or self._unknown.get(key_id)
        if remembered and time.monotonic() - remembered[0] <= TRUST:
            return remembered[1]
        seen = remembered is not None and remembered[1] is not None
        key = await (self._proven if proven or seen else self._doubtful).key(key_id)
        (self._keys if key else self._unknown).keep(key_id, key)
        (self._unknown if key else self._keys).pop(key_id, None)
        return key


class _Memory(OrderedDict[UUID, tuple[float, ApiKey | None]]):
    """What was read, and when; the oldest is forgotten."""

    def keep(self, key_id: UUID, key: ApiKey | None) -> None:
        self[key_id] = (time.monotonic(), key)
        self.move_to_end(key_id)
        if len(self) > REMEMBERED:
            self.popitem(last=False)


class _Lookups:
    """Reads keys, as many as wait with one statement, one statement at a time."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiting: list[tuple[UUID, asyncio.Future[ApiKey | None]]] = []
        self._read: Sequence[tuple[UUID, asyncio.Future[ApiKey | None]]] = ()
        self._reading: asyncio.Task[None] | None = None

    async def key(self, key_id: UUID) -> ApiKey | None:
        if len(self._waiting) >= MOST_WAITING:
            raise unavailable("Too many unknown API keys are being looked up; ask again.")
        found: asyncio.Future[ApiKey | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key_id, found))
        self._go_on()
        try:
            return await found
        except asyncio.CancelledError:
            # a statement that nobody waits for any more may be one that is never answered
            if self._reading and self._read and all(one.done() for _, one in self._read):
                self._reading.cancel()
            raise

    def _go_on(self) -> None:
        if self._waiting and self._reading is None:
            self._reading = asyncio.create_task(self._look_up())
            self._reading.add_done_callback(self._looked_up)

    def _looked_up(self, _: asyncio.Task[None]) -> None:
        self._reading, self._read = None, ()
        self._go_on()

    async def _look_up(self) -> None:
        self._read, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        query = select(ApiKey).where(col(ApiKey.id).in_({key_id for key_id, _ in self._read}))
        try:
            async with asyncio.timeout(PATIENCE), snapshot(self._engine) as session:
                keys = {key.id: key for key in await session.scalars(query)}
        except Exception as error:  # noqa: BLE001 - every caller is told
            for _, found in self._read:
                if not found.done():
                    found.set_exception(error)
            return
        for key_id, found in self._read:
            if not found.done():
                found.set_result(keys.get(key_id))
