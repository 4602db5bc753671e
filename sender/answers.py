"""What carriers tell when they are asked, kept like what they send by themselves: the answer is a payload.

It is kept whatever becomes of it: a parser that fails makes a quarantined payload, to be replayed once it is
mended, and while Postgres is away it waits in the spool.
"""

import asyncio
from datetime import UTC, datetime

import orjson
import structlog
from uuid_utils.compat import uuid7

from models.events import Event, Request
from models.sends import Answer
from receiver import answered
from receiver.answered import Asked
from receiver.commit import Unavailable
from receiver.config import ChannelSettings
from receiver.ingest import Arrival, Ingest
from receiver.providers.base import Provider
from receiver.rows import PayloadRow
from receiver.sources import Source
from receiver.understand import aside, understood

log = structlog.get_logger()

#: seconds before the second try where there is no spool; doubled for each further one, up to the longest
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


class Answers:
    """The answers on *channel*, whose events *source* describes, stored through *ingest*."""

    def __init__(self, channel: ChannelSettings, provider: Provider, source: Source, ingest: Ingest) -> None:
        self._channel, self._provider = channel, provider
        self._source, self._ingest = source, ingest

    async def keep(self, asked: Asked, answer: Answer, listed: str = "") -> list[Event] | None:
        """Returns what *answer* tells once that is stored, None where nobody can read it; one that tells
        nothing is not kept, if it was polled. Without a spool it waits here until Postgres takes it.

        *listed* is the list that was polled.
        """
        payload = self._payload(asked, answer, listed)
        request = Request(
            payload.method, payload.query.encode(), answer.headers, answer.body, payload.received_at
        )
        state, reason, events = await aside(request, understood, self._provider, self._channel, request)
        if state != "applied":
            log.warning("unreadable answer", channel=self._channel.name, reason=reason)
        elif not events and asked is Asked.POLL:
            return []
        await self._stored(Arrival(payload._replace(state=state, reason=reason), self._source, events))
        return events if state == "applied" else None

    async def keep_unread(self, answer: Answer, reason: str) -> None:
        """Stores the answer to a send as one that nobody could read."""
        payload = self._payload(Asked.SEND, answer)._replace(state="quarantined", reason=reason)
        await self._stored(Arrival(payload, self._source))

    async def _stored(self, arrival: Arrival) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                await self._ingest.put(arrival)
            except Unavailable:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                return

    def _payload(self, asked: Asked, answer: Answer, listed: str = "") -> PayloadRow:
        return PayloadRow(
            id=uuid7(),
            channel=self._channel.name,
            state="applied",
            reason=None,
            method=answered.METHOD,
            query=answered.query(asked, answer, listed),
            headers=orjson.dumps({"content-type": answer.headers.get("content-type", "")}).decode(),
            body=answer.body,
            peer=None,
            received_at=datetime.now(UTC),
        )
