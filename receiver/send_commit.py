"""Sends into the outbox: many API calls in one transaction, and true answers to each of them."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from receiver import db
from receiver.accepted import Accepted
from receiver.clock import DatabaseClock
from receiver.commit import GroupCommit, Poisoned, Unavailable, Undecided
from receiver.db import Connection
from receiver.idempotency import replay, undecided
from receiver.inquiry import Inquiry
from receiver.metrics.definitions import not_committed
from receiver.problems import Problem, invalid, unavailable
from receiver.requests import Sent
from receiver.sql import qualified
from receiver.wakeup import outbox_channel

#: what a key was used for before: the messages, and the hash of the body that they were made from
Earlier: TypeAlias = tuple[list[UUID], bytes]

#: API calls per transaction; one call may hold a thousand recipients
BATCH = 32
#: the server's time comes with every answer, also with that which has no row
_SUBMIT = """
    SELECT s.*, clock_timestamp() AS clock
    FROM (VALUES (1)) one LEFT JOIN postback.submit_by($1, $2, $3, $4, $5, $6) s ON true
"""


class SendCommit:
    """The one writer of sends in a process.

    A caller waits for a second. What it is told then has to hold of a server that was frozen and goes on: it
    refuses what it comes to after the deadline (``receiver/sql/submit.sql``), and is asked about what it was
    about to commit. Where nobody can say, the answer says so.
    """

    def __init__(self, database_url: str, schema: str) -> None:
        self._url, self._wake_up = database_url, outbox_channel(schema)
        self._statement = qualified(_SUBMIT, schema)
        self._clock = DatabaseClock()
        self._inquiry = Inquiry(database_url, schema)
        self._committer = GroupCommit[Accepted, Earlier | None](
            self._connect, self._write, batch=BATCH, size=_size, name="sends"
        )

    def open(self) -> None:
        self._committer.open()

    async def close(self) -> None:
        await self._committer.close()

    async def take(self, prepared: Accepted) -> Sent:
        """Returns when *prepared* is committed, or was before. Raises ``Problem``: ``unavailable`` where
        nothing of it is stored or ever will be, ``outcome_unknown`` where that is not certain."""
        try:
            return await self._taken(prepared)
        except asyncio.CancelledError:  # the caller is told that Postgres is silent
            raise _undecided(prepared) from None

    async def _taken(self, prepared: Accepted) -> Sent:
        if self._committer.full:
            not_committed("sends", "full")
            raise _not_taken()
        try:
            earlier = await self._committer.put(prepared)
        except Undecided as error:
            return await self._became(prepared, error)
        except Unavailable:
            raise _not_taken() from None
        except Poisoned as error:
            if not db.is_of_content(error.__cause__):
                raise _not_taken() from None
            raise invalid("", f"The database refuses the content: {error}") from None
        if earlier is None:
            return Sent(prepared.ids)
        message_ids, request_hash = earlier
        return replay(
            message_ids, request_hash, prepared.idempotency.request_hash if prepared.idempotency else b""
        )

    async def _became(self, prepared: Accepted, error: Undecided) -> Sent:
        """*prepared*, whose commit was cut off, if it was stored all the same."""
        if not prepared.deadlines:  # it never left
            raise _not_taken() from None
        message = prepared.messages[0]
        stored = await self._inquiry.stored(prepared.deadlines[-1], message.batch, message.id)
        if stored:
            return Sent(prepared.ids)
        # another call with the same key may be under way elsewhere: with a key it is never certain
        if stored is None or prepared.idempotency:
            raise _undecided(prepared) from error
        raise _not_taken() from None

    async def _connect(self) -> Connection:
        self._clock.forget()
        return await db.prepared(self._url, self._statement)

    async def _write(self, connection: Connection, batch: Sequence[Accepted]) -> list[Earlier | None]:
        if not self._clock.known:
            self._clock.heard(await connection.fetchval("SELECT clock_timestamp()"))
        deadline: datetime = self._clock.at(self._committer.deadline)
        for prepared in batch:
            prepared.deadlines.append(deadline)
        rows = await connection.fetch(
            self._statement,
            deadline,
            [p.idempotency._replace(request=n) for n, p in enumerate(batch) if p.idempotency],
            [message._replace(request=n) for n, p in enumerate(batch) for message in p.messages],
            [row for p in batch for row in p.files],
            [row for p in batch for row in p.events],
            self._wake_up,
        )
        self._clock.heard(rows[0]["clock"])
        earlier = {row["request"]: (row["message_ids"], row["request_hash"]) for row in rows}
        return [earlier.get(n) for n in range(len(batch))]


def _size(prepared: Accepted) -> int:
    """Returns about how many bytes *prepared* takes: its rows, and every text in them."""
    rows = [*prepared.messages, *prepared.files]
    texts = sum(sys.getsizeof(value) for row in rows for value in row if isinstance(value, str))
    return 2048 * (len(rows) + len(prepared.events)) + texts


def _not_taken() -> Problem:
    return unavailable("The database cannot take the send now. Nothing of this call was stored, or will be.")


def _undecided(prepared: Accepted) -> Problem:
    return undecided(prepared.ids, keyed=prepared.idempotency is not None)
