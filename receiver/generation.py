"""Whether the database still has the functions of this version of the code (docs/upgrading.md).

A process works with the functions that it was written with, beside those of other versions. When they are
dropped, because later versions have migrated since, all that is left is to be started anew.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import structlog

from receiver import db, sql
from receiver.config import Settings
from receiver.db import DatabaseError
from receiver.endless import beside

log = structlog.get_logger()

#: seconds between looks
LOOK = 5.0
#: how a process ends that is too old: EX_TEMPFAIL of sysexits.h, "start it again"
TOO_OLD = 75


class TooOld(DatabaseError):
    """The functions of this version are not in the database."""


async def check(database_url: str, schema: str) -> None:
    """Raises ``TooOld``, and ``DatabaseError`` where there is no database."""
    mark = f'"{schema}".{sql.ours().mark}'
    try:
        async with db.connected(database_url) as connection:
            found = await connection.fetchval("SELECT to_regtype($1)", mark)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise db.of_connecting(error) from None
    if found is None:
        raise TooOld(
            f'The schema "{schema}" has no functions of this version of Postback; run: postback migrate'
        )


class Watch:
    """Looks for the functions every now and then, and ends the process where they are gone."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._too_old = False

    @property
    def exit_code(self) -> int:
        """Returns the exit code of the process for when it has stopped."""
        return TOO_OLD if self._too_old else 0

    @asynccontextmanager
    async def alongside(self) -> AsyncIterator[None]:
        """Watches beside the work of a process."""
        async with beside(self._run()):
            yield

    async def _run(self) -> None:
        while not self._too_old:
            await asyncio.sleep(LOOK)
            try:
                await check(self._settings.database_url, self._settings.db_schema)
            except TooOld:
                self._too_old = True
            except (DatabaseError, OSError):
                continue  # it is away, and others say so
        log.critical(
            "too old for the database: its functions are gone since a later version migrated; ending, to be "
            "started anew"
        )
        # the way of everybody who stops it: what is under way comes to its end
        os.kill(os.getpid(), signal.SIGTERM)
