"""One item, one transaction, a connection of its own and more time: for what holds up the others.

`receiver.commit` gives a batch a second, and all who are in it share its end. Here nobody waits behind.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import asyncpg

from receiver.commit import PATIENCE, Poisoned, Unavailable
from receiver.db import Connection
from receiver.db.statement_errors import is_busy, is_unwell, said

Item = TypeVar("Item")
Result = TypeVar("Result")

_PAUSE = 0.05


class Alone(Generic[Item, Result]):
    """Commits what `put` brings, through *write*, which is as that of `receiver.commit.GroupCommit`."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        write: Callable[[Connection, Sequence[Item]], Awaitable[Sequence[Result]]],
    ) -> None:
        self._connect, self._write = connect, write

    async def put(self, item: Item, patience: float) -> Result:
        """Returns when *item* is committed, within *patience* seconds. Raises ``Unavailable`` and
        ``Poisoned``, with their cause."""
        connection: Connection | None = None
        try:
            async with asyncio.timeout(patience):
                connection = await self._connect()
                return await self._written(connection, item)
        except Exception as error:
            failure = Unavailable if is_unwell(error) else Poisoned
            raise failure(said(error)) from error
        finally:
            if connection is not None:
                connection.terminate()  # a frozen server does not even say goodbye

    async def answers(self) -> bool:
        """Whether a new connection can be used."""
        connection: Connection | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                connection = await self._connect()
                return bool(await connection.fetchval("SELECT true"))
        except Exception:  # noqa: BLE001 - away, frozen, being replaced: all the same
            return False
        finally:
            if connection is not None:
                connection.terminate()

    async def _written(self, connection: Connection, item: Item) -> Result:
        while True:
            try:
                [result] = await self._write(connection, [item])
            except asyncpg.PostgresError as error:
                if not is_busy(error):
                    raise
                await asyncio.sleep(_PAUSE)
            else:
                return result
