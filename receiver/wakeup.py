"""A hint that there is something new, from one process to another: Postgres's LISTEN and NOTIFY.

Only a hint: whoever listens polls as well, so a lost notification costs a moment and nothing else. LISTEN
needs a connection of its own, and a direct one where ``database_url`` is a pooler (``listen_url``). Behind a
pooler in transaction mode nothing is ever heard, and the queue is looked at instead.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import structlog

from receiver import db
from receiver.config import Settings
from receiver.sql import qualified

log = structlog.get_logger()

#: seconds before the next try to listen
RECONNECT = 2.0
#: seconds between two looks at the queue where notifications do not come through
LOOK = 0.05
#: seconds between two questions whether the other end is there and takes writes, and for an answer
HEARTBEAT, ANSWER = 10.0, 5.0

#: the latest row of each channel that is due: one that was not there before is news
_DUE = """
SELECT (SELECT max(o.next_at) FROM postback.outbox o
        WHERE o.channel = c.name AND o.state = 'queued' AND o.next_at <= now()) AS latest
FROM unnest($1::text[]) WITH ORDINALITY AS c (name, place) ORDER BY c.place
"""


def outbox_channel(schema: str) -> str:
    return f"{schema}_outbox"


async def listen(settings: Settings, heard: Callable[[], None]) -> None:
    """Calls *heard* when something is queued, and once after every (re)connection. Until cancelled."""
    hearing = _Hearing(heard)
    while True:
        try:
            await _once(settings, hearing)
            reason = "the connection was closed"
        except (OSError, db.DatabaseError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
        hearing.stop(reason)
        await asyncio.sleep(RECONNECT)


class _Hearing:
    """Says once that nothing is heard, and once that it is again."""

    def __init__(self, heard: Callable[[], None]) -> None:
        self.heard = heard
        self._deaf = False

    def begin(self) -> None:
        if self._deaf:
            log.warning("new work is heard of again")
        self._deaf = False
        self.heard()

    def stop(self, reason: str) -> None:
        if not self._deaf:
            log.warning("new work is not heard of at once", reason=reason)
        self._deaf = True


async def _once(settings: Settings, hearing: _Hearing) -> None:
    url = settings.listen_url or settings.database_url
    if await db.mode(url, told=False, anew=True) is not db.Mode.TRANSACTION:
        await _listen(url, outbox_channel(settings.db_schema), hearing)
        return
    name = "listen_url" if settings.listen_url else "database_url"
    hearing.stop(f"{name} is a pooler in transaction mode; set listen_url to the server itself")
    async with db.connected(settings.database_url) as connection:
        await _look(connection, settings, hearing)


async def _listen(url: str, channel: str, hearing: _Hearing) -> None:
    """Returns when the connection is lost. Raises ``DatabaseError``, ``OSError`` and asyncpg's errors."""
    connection = await db.connect(url)
    lost = asyncio.Event()

    def on_notification(*_: Any) -> None:
        hearing.heard()

    def on_loss(*_: Any) -> None:
        lost.set()

    try:
        connection.add_termination_listener(on_loss)
        await connection.add_listener(channel, on_notification)
        hearing.begin()
        while not lost.is_set():
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await lost.wait()
            except TimeoutError:
                if await connection.fetchval("SELECT pg_is_in_recovery()", timeout=ANSWER):
                    return  # another host takes the writes now, and tells of them
    finally:
        connection.terminate()


async def _look(connection: db.Connection, settings: Settings, hearing: _Hearing) -> None:
    """Looks at the queue for as long as it can. Raises ``OSError`` and asyncpg's errors."""
    statement, names = qualified(_DUE, settings.db_schema), list(settings.channels)
    before: list[Any] = []
    hearing.heard()
    while True:
        latest = [row["latest"] for row in await connection.fetch(statement, names, timeout=ANSWER)]
        if any(now is not None and now != then for now, then in zip(latest, before or latest, strict=True)):
            hearing.heard()
        before = latest
        await asyncio.sleep(LOOK)
