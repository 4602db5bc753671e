"""The promise of an ``Idempotency-Key``: the same request again is answered with what the first one made.

It is kept before anything else is looked at. Whether the request would be accepted today, with the channels
and templates of today, has no bearing on what was accepted then.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select

from models import Idempotency, Message
from receiver.auth import Channels, scope_of
from receiver.db import snapshot
from receiver.problems import Code, Problem, outcome_unknown
from receiver.requests import Sent

#: as in receiver/sql/submit.sql, which lets a key be used anew after it
KEPT = timedelta(days=7)


class Replays:
    """Which keys were used.

    Within a process a second request beside the first is refused (409). One in another process waits for the
    key's row in ``submit()`` until the first has committed, and is then answered with the first's messages:
    the row's primary key sees to it that there is never a second set.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._running: set[tuple[str, str]] = set()

    @contextmanager
    def running(self, scope: str, key: str) -> Iterator[None]:
        """Raises ``Problem`` (409) while another request with that key runs here."""
        if (scope, key) in self._running:
            raise Problem(Code.IDEMPOTENCY_RUNNING, "Ask again when the first request has been answered.")
        self._running.add((scope, key))
        try:
            yield
        finally:
            self._running.discard((scope, key))

    async def earlier(self, name: str, channels: Channels, key: str, request_hash: bytes) -> Sent | None:
        """Returns what a request with that key made, of an API key called *name* for *channels*.

        Versions before this one kept what keys bound to channels sent under the name alone: of that it is
        what is the same request, on these channels. Raises ``Problem`` (422) where it had another body.
        """
        own = scope_of(name, channels)
        query = select(Idempotency).where(
            col(Idempotency.scope).in_({own, name}),
            col(Idempotency.key) == key,
            col(Idempotency.created_at) >= func.clock_timestamp() - KEPT,
        )
        async with snapshot(self._engine) as session:
            rows = {row.scope: row for row in await session.scalars(query)}
            row = rows.get(own)
            if row is None and channels is not None and name in rows:
                sent_on = col(Message.channel).in_(channels)
                ids = col(Message.id).in_(rows[name].message_ids)
                visible = await session.scalar(select(func.count()).where(ids, sent_on)) or 0
                same = rows[name].request_hash == request_hash
                row = rows[name] if same and visible == len(rows[name].message_ids) else None
        return None if row is None else replay(row.message_ids, row.request_hash, request_hash)


def replay(message_ids: Sequence[UUID], made_from: bytes, request_hash: bytes) -> Sent:
    """The answer of the first request, made from a body with the hash *made_from*."""
    if made_from != request_hash:
        raise Problem(Code.IDEMPOTENCY_CONFLICT, "This Idempotency-Key was used with another body.")
    return Sent(message_ids, replayed=True)


def undecided(message_ids: Sequence[UUID], *, keyed: bool) -> Problem:
    """The answer to a send that may have been taken as *message_ids*, or may still be."""
    if keyed:
        return outcome_unknown(
            "Postgres has not said in time whether it took the send. Send it again with the same "
            "Idempotency-Key: its messages are made once, whatever became of this call."
        )
    return outcome_unknown(
        "Postgres has not said in time whether it took the send. After Retry-After, and before it is sent "
        "again, look message_ids up with POST /v1/messages/lookup: what is there was taken, what is missing "
        "then will never be sent.",
        message_ids=message_ids,
    )
