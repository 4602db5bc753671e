"""What became of sends whose commit was cut off: asked on another connection, as soon as Postgres answers."""

import asyncio
from datetime import datetime
from uuid import UUID

import asyncpg

from receiver import db
from receiver.sql import qualified

#: seconds that a caller is kept waiting for it, after the commit has had its time
PATIENCE = 0.6
#: seconds between two questions
PAUSE = 0.05


class Inquiry:
    """Asks one question at a time: many callers may have been cut off by the same trouble."""

    def __init__(self, database_url: str, schema: str) -> None:
        self._url = database_url
        self._question = qualified("SELECT postback.submitted($1, $2, $3)", schema)
        self._turn = asyncio.Lock()

    async def stored(self, deadline: datetime, batch: UUID, message_id: UUID) -> bool | None:
        """Returns whether the message of *batch*, for which its caller waited until *deadline*, was stored;
        None while that is open, or Postgres does not answer."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    async with self._turn, db.connected(self._url) as connection:
                        found: bool | None = await connection.fetchval(
                            self._question, deadline, batch, message_id
                        )
                    if found is not None:
                        return found
                    await asyncio.sleep(PAUSE)
        except (db.DatabaseError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return None
