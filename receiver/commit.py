"""Group commit: many callers, one transaction, and nobody is answered before it is committed.

While one batch commits the next one gathers, so batches grow with the load and a lone caller waits for
nobody. A batch has a second from the moment its first item came; then its connection is terminated (a pool's
acquire and a statement time-out would both wait for a frozen server) and its callers are told. A connection
that is still being opened then is not given up: it is there for a later batch.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from receiver.db import Connection, let_go
from receiver.db.errors import is_loss
from receiver.db.statement_errors import is_busy, is_refusal, is_unwell, said
from receiver.metrics.definitions import committed, not_committed
from receiver.opening import Opening

log = structlog.get_logger()

Item = TypeVar("Item")
Result = TypeVar("Result")

#: seconds that a batch may take, from the arrival of its first item
PATIENCE = 1.0
#: the least that a batch gets, however long its items have waited
LEAST_PATIENCE = 0.5
BATCH = 256
#: bytes of items that may wait, and seconds for which the first of them may: beyond, a `GroupCommit` is full
ROOM = 32 << 20
OVERDUE = 2.0


class Unavailable(Exception):
    """Postgres does not take the batch now: away, frozen, full, or being replaced. Nothing is wrong with the
    item."""


class Undecided(Unavailable):
    """The same, and the item had been sent to Postgres: it may be written, or may still be."""


class Poisoned(Exception):
    """Postgres refuses this one item because of what is in it; the cause is chained."""


@dataclass(slots=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    since: float
    done: asyncio.Future[Result]


class GroupCommit(Generic[Item, Result]):
    """Commits what `put` brings, through *write*: one result per item, all in one transaction.

    A batch holds items that *weigh* *batch* together, or a single heavier one. *repeatable*: writing an item
    twice is writing it once, so a connection that was lost, with nobody knowing how far it had come, is no
    reason to fail. *patient*: who came while a batch was failing has a try of his own; callers who have
    somewhere else to go are told at once. *size* is about how many bytes an item takes in memory. The metrics
    know it by its *name*.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        write: Callable[[Connection, Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        batch: int = BATCH,
        weigh: Callable[[Item], int] = lambda _: 1,
        size: Callable[[Item], int] = lambda _: 0,
        repeatable: bool = False,
        patient: bool = True,
        name: str = "",
    ) -> None:
        self._opening = Opening(connect)
        self._write = write
        self._batch = batch
        self._weigh, self._size = weigh, size
        self._repeatable = repeatable
        self._patient = patient
        self._name = name
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        #: bytes of those who wait
        self._held = 0
        self._arrived = asyncio.Event()
        self._connection: Connection | None = None
        self._lane: asyncio.Task[None] | None = None
        self._closing = False
        #: on the loop's clock, when the callers of the batch under way stop waiting for it
        self.deadline = 0.0
        #: whether Postgres has the batch under way and has not refused it
        self._undecided = False
        #: items, since Postgres last took one
        self._refused = 0

    def open(self) -> None:
        self._opening.begin()
        self._lane = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Commits what still waits, then lets go of the connection."""
        self._closing = True
        self._arrived.set()
        if self._lane:
            await self._lane
        await self._opening.close()
        await self._drop(gently=True)

    @property
    def full(self) -> bool:
        """Whether more comes than Postgres takes, well but slow: too much waits, or for too long. Whoever
        comes then is to be sent elsewhere; `put` takes the item all the same."""
        if not self._waiting:
            return False
        late = asyncio.get_running_loop().time() - self._waiting[0].since > OVERDUE
        return late or self._held >= ROOM

    async def put(self, item: Item) -> Result:
        """Returns when *item* is committed. Raises ``Unavailable`` (``Undecided`` is one) or ``Poisoned``."""
        if self._closing:
            raise Unavailable("shutting down")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(item, loop.time(), loop.create_future())
        self._waiting.append(waiting)
        self._held += self._size(item)
        self._arrived.set()
        result: Result = await waiting.done
        return result

    async def _run(self) -> None:
        while self._waiting or not self._closing:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                await self._commit(self._next())

    def _next(self) -> list[_Waiting[Item, Result]]:
        batch = [self._taken()]
        room = self._batch - self._weigh(batch[0].item)
        while self._waiting and (room := room - self._weigh(self._waiting[0].item)) >= 0:
            batch.append(self._taken())
        return batch

    def _taken(self) -> _Waiting[Item, Result]:
        waiting = self._waiting.popleft()
        self._held -= self._size(waiting.item)
        return waiting

    async def _commit(self, batch: list[_Waiting[Item, Result]]) -> None:
        now = asyncio.get_running_loop().time()
        self.deadline = max(batch[0].since + PATIENCE, now + LEAST_PATIENCE)
        self._undecided = False
        try:
            async with asyncio.timeout_at(self.deadline):
                results = await self._written([waiting.item for waiting in batch])
            committed(self._name, len(batch), asyncio.get_running_loop().time() - now)
            answers = list(zip(batch, results, strict=True))
        except Exception as error:  # noqa: BLE001 - every failure is answered, by its kind
            await self._refuse(batch, error)
        else:
            if self._refused:
                log.warning("Postgres takes everything again", refused=self._refused)
                self._refused = 0
            for waiting, result in answers:
                if not waiting.done.done():  # a caller that hung up has cancelled its own
                    waiting.done.set_result(result)

    async def _written(self, items: Sequence[Item]) -> Sequence[Result]:
        while True:
            fresh = self._connection is None or self._connection.is_closed()
            if self._connection is None or fresh:
                self._connection = await self._opening.connection()
            try:
                self._undecided = True
                return await self._write(self._connection, items)
            except Exception as error:
                # a lock may be held by whoever writes the same, so that is not the last word
                self._undecided = is_busy(error) or not is_refusal(error)
                if is_busy(error):
                    # a lock that another batch held, or a deadlock that Postgres broke: until the deadline
                    not_committed(self._name, "busy")
                    await asyncio.sleep(0.01)
                elif self._repeatable and not fresh and (is_loss(error) or self._is_lost()):
                    await self._drop()  # it may have died long ago, with nobody looking
                else:
                    raise

    async def _refuse(self, batch: list[_Waiting[Item, Result]], error: Exception) -> None:
        if is_unwell(error):
            not_committed(self._name, "unavailable")
            await self._drop()
            late = self._hopeless()
            if not self._refused:
                log.error("Postgres takes nothing", reason=said(error))
            self._refused += len(batch) + len(late)
            for waiting in batch:
                _fail(waiting, (Undecided if self._undecided else Unavailable)(said(error)), error)
            for waiting in late:
                _fail(waiting, Unavailable(said(error)), error)
        elif len(batch) == 1:
            not_committed(self._name, "poisoned")
            _fail(batch[0], Poisoned(said(error)), error)
        else:
            middle = len(batch) // 2
            await self._commit(batch[:middle])
            await self._commit(batch[middle:])

    def _hopeless(self) -> list[_Waiting[Item, Result]]:
        """Those who have waited so long that a second try cannot end within their patience. Without this a
        queue that formed before a frozen server would be told batch by batch, ever later."""
        now = asyncio.get_running_loop().time()
        limit = now - (PATIENCE - LEAST_PATIENCE) if self._patient else now
        late = []
        while self._waiting and self._waiting[0].since <= limit:
            late.append(self._taken())
        return late

    def _is_lost(self) -> bool:
        return self._connection is not None and self._connection.is_closed()

    async def _drop(self, *, gently: bool = False) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if gently:
            await let_go(connection)
        else:
            connection.terminate()


def _fail(waiting: _Waiting[Item, Result], failure: Exception, cause: Exception) -> None:
    failure.__cause__ = cause
    if not waiting.done.done():
        waiting.done.set_exception(failure)
