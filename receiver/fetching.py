"""Fetches the files of inbound messages, before their carriers' links die (docs/media.md).

Any number of processes share the work: each takes what is due under a lease, so that what one of them was
fetching when it was killed is fetched again, and counted once.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import asyncpg
import structlog

from receiver import db, optouts, secrets
from receiver.commit import GroupCommit, Poisoned, Unavailable
from receiver.config import Settings
from receiver.db import Connection
from receiver.endless import beside
from receiver.http import FETCH_DEADLINE, Gone, Hopeless, NotSent, Unfetchable, fetch
from receiver.media import LARGEST_RECEIVED, Store, store_of
from receiver.metrics.definitions import MEDIA
from receiver.optouts import OptOuts
from receiver.received import Part, Settled, dropped, failed, postponed, said, stored, unpack
from receiver.sql import qualified
from receiver.waiting import Waiting

log = structlog.get_logger()
_waiting = Waiting("files to fetch")

#: seconds between tries, from the end of one to the next; after the last there is none
PAUSES = (10.0, 60.0, 300.0, 1800.0, 7200.0, 21600.0, 43200.0, 86400.0)
#: tries where the server says that it has no such file: it may not have it yet, but not for a day
TRIES_WHEN_GONE = 4
#: how long a file is left to who claimed it: a fetch, and storing what came of it
LEASE = timedelta(seconds=FETCH_DEADLINE + 90)


@dataclass(frozen=True, slots=True)
class Pace:
    """*look*: seconds between looks. *patience*: how long a file has been due before it is taken. *places*:
    fetches at once; one channel has half of them at most, and a quarter is for channels that have none."""

    look: float
    patience: timedelta
    places: int


SENDER = Pace(look=1.0, patience=timedelta(0), places=8)
#: Web processes have callers to answer: they take only what no sender takes.
WEB = Pace(look=5.0, patience=timedelta(seconds=5), places=2)


class Fetching:
    def __init__(self, settings: Settings, store: Store, opt_outs: OptOuts, pace: Pace = SENDER) -> None:
        self._settings, self._store, self._opt_outs, self._pace = settings, store, opt_outs, pace
        schema = settings.db_schema
        self._claim = qualified("SELECT * FROM postback.claim_media($1, $2, $3, $4, $5, $6, $7)", schema)
        self._settle = qualified("SELECT postback.settle_media($1, $2)", schema)
        self._connection: Connection | None = None
        self._under_way: dict[asyncio.Task[None], Part] = {}
        self._freed = asyncio.Event()
        # a try has a number, and the word of an earlier one is void: twice written is once written
        self._settlements = GroupCommit[Settled, bool](
            partial(db.prepared, settings.database_url, self._settle),
            self._write,
            repeatable=True,
            name="media",
        )

    async def run(self) -> None:
        """Until cancelled. What is under way then is found by its lease."""
        self._settlements.open()
        try:
            while True:
                await self._look()
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            await self._settlements.close()
            self._hang_up()

    async def _look(self) -> None:
        """Takes what is due and there is room for, then waits until there may be more."""
        self._freed.clear()
        try:
            parts, room = await self._claimed()
        except Exception as error:  # noqa: BLE001 - the database is away: look again
            _waiting.failed(self, error)
            self._hang_up()
            parts, room = [], 1
        else:
            _waiting.worked(self)
        for part in parts:
            task = asyncio.create_task(self._work(part))
            self._under_way[task] = part
            task.add_done_callback(self._end)
        if len(parts) < room or not room:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace.look):
                    await self._freed.wait()

    def _end(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._freed.set()

    async def _claimed(self) -> tuple[list[Part], int]:
        """What is to be fetched now, and how much of it there is room for."""
        places = self._pace.places
        at_work = Counter(part.channel for part in self._under_way.values())
        room = places - len(self._under_way)
        if room == 0:
            return [], 0
        if self._connection is None or self._connection.is_closed():
            self._connection = await db.connect(self._settings.database_url)
        rows: list[asyncpg.Record] = await self._connection.fetch(
            self._claim,
            room,
            max(places // 2, 1),
            places // 4,
            list(at_work),
            list(at_work.values()),
            self._pace.patience,
            LEASE,
            timeout=5,
        )
        return [Part.of(row) for row in rows], room

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _work(self, part: Part) -> None:
        settled = await self._tried(part)
        try:
            counts = await self._settled(settled)
        except (Poisoned, Unavailable) as error:  # its lease runs out, and it is fetched again
            log.warning("not settled: a file", id=str(part.id), reason=str(error))
            return
        if counts:
            MEDIA.add(part.channel, settled.outcome)
            log.info(
                "fetched",
                channel=part.channel,
                id=str(part.id),
                outcome=settled.outcome,
                attempt=part.attempts,
                reason=settled.row.reason,
            )

    async def _settled(self, settled: Settled) -> bool:
        """Whether it counts: another try may have begun, or the message may be gone."""
        try:
            return await self._settlements.put(settled)
        except Poisoned as error:
            log.error("what came of a file is refused", id=str(settled.part.id), reason=str(error))
            return await self._settlements.put(failed(settled.part, "what was fetched cannot be stored"))

    async def _tried(self, part: Part) -> Settled:
        try:
            found = await fetch(part.url, self._settings.private_networks, LARGEST_RECEIVED)
            return await asyncio.to_thread(self._kept, part, found.content, found.content_type)
        except (NotSent, Unfetchable) as error:
            return _again(part, error, str(error))
        except OSError as error:
            log.error("a file cannot be written", reason=str(error.strerror or error))
            return _again(part, error, "it cannot be written to our store")
        except Exception as error:
            log.exception("a file cannot be taken", id=str(part.id))
            return _again(part, error, f"it cannot be taken: {type(error).__name__}")

    def _kept(self, part: Part, content: bytes, content_type: str | None) -> Settled:
        """What *content* is to its message, its bytes stored where they are a file. Raises ``OSError``."""
        unpacked = unpack(part, content, content_type)
        if unpacked.layout:
            return dropped(part)
        if unpacked.text is not None:
            return said(part, unpacked.text, self._opt_outs)
        self._store.put(content)
        return stored(part, content, unpacked.content_type, self._store.links)

    async def _write(self, connection: Connection, batch: Sequence[Settled]) -> list[bool]:
        events = [settled.event for settled in batch if settled.event]
        counted = set(await connection.fetchval(self._settle, [settled.row for settled in batch], events))
        return [settled.part.id in counted for settled in batch]


def _again(part: Part, error: Exception, reason: str) -> Settled:
    tries = TRIES_WHEN_GONE if isinstance(error, Gone) else len(PAUSES) + 1
    if isinstance(error, Hopeless) or part.attempts >= tries:
        return failed(part, reason)
    # so that what failed together is not tried together
    pause = PAUSES[part.attempts - 1] * random.uniform(0.9, 1.1)  # noqa: S311
    asked = error.pause if isinstance(error, Unfetchable) else None
    return postponed(part, reason, timedelta(seconds=max(pause, asked or 0.0)))


@asynccontextmanager
async def alongside(settings: Settings, pace: Pace = WEB) -> AsyncIterator[None]:
    """Beside the work of a process, for installations where nothing but that process runs.

    Raises ``ConfigError``.
    """
    keys = secrets.load(settings)
    fetching = Fetching(settings, store_of(settings, keys), optouts.configured(settings, keys), pace)
    async with beside(fetching.run()):
        yield
