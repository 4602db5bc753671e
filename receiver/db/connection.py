"""Connections to Postgres itself, and to a pooler that lends them out by the transaction."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

#: a server that forgets a statement, or knows another one by its name, is several servers
MIXED_UP = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)
_NO_JIT = "SET LOCAL jit = off"


class Direct(asyncpg.Connection):  # type: ignore[misc]
    """A connection that has one server for itself, for as long as it is open."""

    #: called when the server turns out to be several: somebody has put a pooler in between
    mixed_up: Callable[[], None] = staticmethod(lambda: None)

    @property
    def is_encrypted(self) -> bool:
        return self._transport.get_extra_info("ssl_object") is not None

    def set_socket_options(self, options: Sequence[tuple[int, int, int]]) -> None:
        """Sets libpq's ``keepalives`` and ``tcp_user_timeout``; a Unix socket has none."""
        socket = self._transport.get_extra_info("socket")
        if isinstance(self._addr, tuple) and socket is not None:
            for option in options:
                socket.setsockopt(*option)

    async def _execute(self, *arguments: Any, **named: Any) -> Any:
        try:
            return await super()._execute(*arguments, **named)
        except MIXED_UP:
            self.mixed_up()
            raise


class Pooled(Direct):
    """A connection that has a server only for the length of a transaction, any server each time.

    Nothing of a session lasts. A statement has no name, since names collide on servers that others used, and
    is prepared and executed in one transaction, since the next one may be on a server that never saw it.
    What runs in no transaction of the caller's has one of its own, committed before the result is returned.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # the driver would switch JIT off for its own questions, and leave that to whoever has the server next
        self._server_caps: Any = self._server_caps._replace(jit=False)

    async def execute(self, query: str, *arguments: Any, **named: Any) -> str:
        """Executes *query*; transactions begin without JIT, which no startup parameter switches off here."""
        if not arguments and query.upper().startswith("BEGIN"):
            query = f"{query.rstrip('; ')}; {_NO_JIT}"
        done: str = await super().execute(query, *arguments, **named)
        return done

    async def _get_statement(self, *arguments: Any, **named: Any) -> Any:
        return await super()._get_statement(*arguments, **{**named, "named": False, "use_cache": False})

    async def _execute(self, *arguments: Any, **named: Any) -> Any:
        async with self._in_transaction():
            return await super()._execute(*arguments, **named)

    async def _executemany(self, *arguments: Any, **named: Any) -> Any:
        async with self._in_transaction():
            return await super()._executemany(*arguments, **named)

    @asynccontextmanager
    async def _in_transaction(self) -> AsyncIterator[None]:
        if self.is_in_transaction():
            yield
            return
        await self.execute("BEGIN")
        try:
            yield
        except (asyncpg.PostgresError, asyncpg.InterfaceError):
            if not self.is_closed():
                await self.execute("ROLLBACK")
            raise
        except BaseException:
            self.terminate()  # canceled or too late: the server may still be at it
            raise
        await self.execute("COMMIT")
