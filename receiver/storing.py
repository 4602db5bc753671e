"""Stores requests that waited in a spool, many together or one alone; each leaves it after its commit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from receiver.backlog import Backlog
from receiver.commit import PATIENCE
from receiver.db import DatabaseError
from receiver.db.statement_errors import lacks_room
from receiver.ingest import Arrival, Ingest, Unstorable
from receiver.spool import Kept, Record, Spool

#: seconds that a lone try has: the first as everybody, those after it more
ALONE, LATER_ALONE = PATIENCE, 5 * PATIENCE
#: seconds of lone tries, or one of them, before the others have their turn
TURN = 1.0
#: errors of all Postgres: nothing beyond would be taken either, and the order is kept
_OF_ALL = ("25006", "42", "531", "533", "23514")
#: requests that are read again before others get their turn in the event loop
_BREATH = 16


class Storing:
    """Stores through *ingest*; *again* reads a record as the door would."""

    def __init__(self, ingest: Ingest, again: Callable[[Record], Awaitable[Arrival]]) -> None:
        self._ingest, self._again = ingest, again

    async def together(self, spool: Spool, kept: Sequence[Kept]) -> list[tuple[Kept, Exception]]:
        """Stores *kept*, and takes out of *spool* what is stored; returns the others, and why."""
        arrivals = []
        for number, one in enumerate(kept):
            arrivals.append(await self._arrival(one))
            if number % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)
        answers = await asyncio.gather(*map(self._committed, arrivals))
        stored, failures = [], []
        for one, answer in zip(kept, answers, strict=True):
            if isinstance(answer, Unstorable):
                await spool.set_aside(one)
            elif answer is not None:
                failures.append((one, answer))
            else:
                stored.append(one)
        await spool.delete(stored)
        return failures

    async def alone(self, backlog: Backlog) -> None:
        """Tries the held ones of *backlog* whose time has come, until `TURN` seconds are over."""
        clock = asyncio.get_running_loop().time
        end = clock() + TURN
        while clock() < end and (one := await backlog.due()):
            try:
                patience = ALONE if backlog.is_first_try(one) else LATER_ALONE
                await self._ingest.commit_alone(await self._again(one.record), patience)
            except Unstorable:
                await backlog.spool.set_aside(one)
            except Exception as error:  # noqa: BLE001 - whatever it is, others go on
                backlog.missed(one, f"{type(error).__name__}: {error}")
                continue
            else:
                await backlog.spool.delete([one])
            backlog.left(one)

    async def _arrival(self, kept: Kept) -> Arrival | Exception:
        try:
            return await self._again(kept.record)
        except Exception as error:  # noqa: BLE001 - it must not keep the others from Postgres
            return error

    async def _committed(self, arrival: Arrival | Exception) -> Exception | None:
        if isinstance(arrival, Exception):
            return arrival
        try:
            await self._ingest.commit(arrival)
        except Exception as error:  # noqa: BLE001 - what it says is judged together with that of the others
            return error
        return None


def is_of_all(error: Exception) -> bool:
    """Returns whether *error* speaks of all Postgres, and not of the request that met it."""
    cause = error.__cause__
    if not isinstance(cause, asyncpg.PostgresError):
        return isinstance(cause, DatabaseError)
    return lacks_room(cause) or (cause.sqlstate or "").startswith(_OF_ALL)
