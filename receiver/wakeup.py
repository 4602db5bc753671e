"""A hint that there is something new, from one process to another: Postgres's LISTEN and NOTIFY.

Only a hint: whoever listens polls as well, so a lost notification costs a moment and nothing else. LISTEN
needs a connection of its own, and a direct one where ``database_url`` is a pooler (``listen_url``).
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncpg

from receiver import db
from receiver.config import Settings

RECONNECT = 2.0


def outbox_channel(schema: str) -> str:
    return f"{schema}_outbox"


async def listen(settings: Settings, channel: str, heard: Callable[[], None]) -> None:
    """Calls *heard* for every notification, and once after every (re)connection. Until cancelled."""
    while True:
        with suppress(OSError, db.DatabaseError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await _listen_once(settings.listen_url or settings.database_url, channel, heard)
        await asyncio.sleep(RECONNECT)


async def _listen_once(url: str, channel: str, heard: Callable[[], None]) -> None:
    connection = await db.connect(url)
    lost = asyncio.Event()

    def on_notification(*_: Any) -> None:
        heard()

    def on_loss(*_: Any) -> None:
        lost.set()

    try:
        connection.add_termination_listener(on_loss)
        await connection.add_listener(channel, on_notification)
        heard()
        await lost.wait()
    finally:
        connection.terminate()
