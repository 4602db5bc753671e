"""Whether Postgres answers at all, so that a server that is frozen or cut off is told from a slow statement.

While somebody waits for more than a moment, Postgres is asked a small question beside it, on a connection of
its own. As long as that is answered, the wait goes on: a long list takes its time. Once it is not, every wait
ends, and whoever comes is told at once, until Postgres answers again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import asyncpg
import structlog

from receiver.db import Connection, DatabaseError, Full, Unreachable

log = structlog.get_logger()

Result = TypeVar("Result")

#: seconds that somebody waits before anybody doubts
LOOK = 0.5
#: seconds for Postgres to take a connection and answer the question
ANSWER = 1.2
#: seconds from an answer to the next question
EVERY = 0.5
#: seconds beyond `ANSWER` after which the process itself was held up, which says nothing about Postgres
HELD_UP = 0.25
#: seconds for what is cut off to say what it knows
LAST_WORD = 0.1


class Silent(Exception):
    """Postgres does not answer."""


class Pulse:
    """The pulse of Postgres as one process feels it; *connect* makes a connection."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._silent = False
        self._connection: Connection | None = None
        self._waiting = 0
        self._watch: asyncio.Task[None] | None = None
        self._silence = asyncio.Event()
        #: what was cut off and is not over: its connections take a while to be let go
        self._cut_off: set[asyncio.Task[Any]] = set()

    async def heed(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Returns the result of *work*, which waits for Postgres. Raises ``Silent`` once Postgres does not
        answer; *work* is canceled then, and an error that it raises at that is raised instead."""
        if self._silent:
            work.close()
            raise Silent
        task = asyncio.create_task(work)
        try:
            await asyncio.wait({task}, timeout=LOOK)
            if not task.done():
                await self._accompany(task)
        except asyncio.CancelledError:
            self._cut(task)
            raise
        if task.done() and not task.cancelled():
            return task.result()
        raise Silent

    async def close(self) -> None:
        if self._watch:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        self._drop()

    async def _accompany(self, task: asyncio.Task[Any]) -> None:
        """Returns when *task* is done, or was cut off."""
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._keep_watch())
        silence = asyncio.create_task(self._silence.wait())
        self._waiting += 1
        try:
            await asyncio.wait({task, silence}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting -= 1
            silence.cancel()
        if not task.done():
            self._cut(task)
            await asyncio.wait({task}, timeout=LAST_WORD)

    def _cut(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        self._cut_off.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._cut_off.discard(task)
        if not task.cancelled():
            task.exception()  # nobody else looks at it

    async def _keep_watch(self) -> None:
        while self._waiting or self._silent:
            answers = await self._answers()
            if self._silent and answers:
                log.warning("Postgres answers again")
            elif not (self._silent or answers):
                log.error("Postgres does not answer: API callers are answered 503")
            self._silent = not answers
            if self._silent:
                self._silence.set()
            else:
                self._silence.clear()
            await asyncio.sleep(EVERY)
        self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            connection.terminate()

    async def _answers(self) -> bool:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(ANSWER):
                await self._ask()
        except Full:
            return True  # it speaks, and whoever waits has a connection already
        except Unreachable:
            return False
        except TimeoutError:
            self._drop()
            return loop.time() - began > ANSWER + HELD_UP
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._drop()
            return False
        except DatabaseError:
            return True
        return True

    async def _ask(self) -> None:
        if self._connection:
            try:
                await self._connection.execute("SELECT 1")
            except (asyncpg.PostgresError, asyncpg.InterfaceError):
                self._drop()  # this one was ended; that says nothing about the next
            else:
                return
        self._connection = await self._connect()
        await self._connection.execute("SELECT 1")
