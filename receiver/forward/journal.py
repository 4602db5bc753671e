"""What the forwarder asks of Postgres and writes down there, over one connection of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import orjson

from models import Delivery, Subscriber
from receiver import db
from receiver.db import Connection
from receiver.forward.parcel import DeliveryRow, Parcel
from receiver.forward.subscription import PlaceRow
from receiver.rows import new_id
from receiver.sql import qualified

#: seconds that Postgres has for an answer
PATIENCE = 5.0
#: due deliveries of each subscriber and state that are fetched at a time
DUE = 20

_HELD = "SELECT * FROM postback.subscriber WHERE holder = $1 AND state = 'active' ORDER BY id"
_WAITING = """
SELECT * FROM postback.delivery WHERE subscriber_id = $1 AND state = 'waiting' AND state <> 'delivered'
ORDER BY replay, seq
"""
_DONE = """
SELECT replay, seq FROM postback.delivery
WHERE subscriber_id = $1 AND (replay = 0 AND seq > $2 OR replay = $3 AND seq > $4)
"""
# what is parked and due, and what waits in its turn: somebody may have asked for it
_DUE = """
SELECT d.* FROM unnest($1::uuid[]) AS i (id)
CROSS JOIN unnest(ARRAY['parked', 'waiting']) AS s (state)
CROSS JOIN LATERAL (
    SELECT d.* FROM postback.delivery d
    WHERE d.subscriber_id = i.id AND d.state = s.state AND d.state <> 'delivered' AND d.next_at <= $2
    ORDER BY d.next_at LIMIT $3
) d
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a subscriber's deliveries: those that wait, and the numbers (of a replay, of an event)
    after its places that have a row."""

    waiting: Sequence[Parcel]
    done: Sequence[tuple[int, int]]


class Journal:
    """Of one process, known by its *id*; not for several tasks at a time."""

    def __init__(self, database_url: str, schema: str) -> None:
        self.id = new_id()
        self._url, self._schema = database_url, schema
        self._connection: Connection | None = None

    async def claim(self, lease: timedelta) -> tuple[int, list[Subscriber]]:
        """Renews the lease; this process's share of all subscribers, and those that it holds."""
        [share] = await self._fetch("SELECT postback.claim_subscribers($1, $2) AS n", self.id, lease)
        held = await self._fetch(_HELD, self.id)
        return share["n"], [Subscriber(**dict(row)) for row in held]

    async def release(self, ids: Sequence[UUID] | None = None) -> None:
        """Gives up these subscribers; with None all of them, and the lease."""
        await self._fetch("SELECT postback.release_subscribers($1, $2)", self.id, ids)

    async def kept(self, row: Subscriber) -> Kept:
        waiting = await self._fetch(_WAITING, row.id)
        done = await self._fetch(_DONE, row.id, row.cursor, row.replay, row.replay_after or row.cursor)
        return Kept([Parcel.kept(_delivery(found)) for found in waiting], [tuple(found) for found in done])

    async def due(self, ids: Sequence[UUID], moment: datetime) -> list[tuple[UUID, Parcel]]:
        """Subscribers, and deliveries of theirs whose time has come."""
        rows = await self._fetch(_DUE, ids, moment, DUE)
        return [(row["subscriber_id"], Parcel.kept(_delivery(row))) for row in rows]

    async def log(
        self, places: Sequence[PlaceRow], deliveries: Sequence[DeliveryRow], seen: int, moment: datetime
    ) -> set[UUID]:
        """Writes them down, all or none, but for what was redacted after number *seen*; answers with the
        subscribers that were still held."""
        query = "SELECT postback.log_deliveries($1, $2, $3, $4, $5) AS mine"
        [row] = await self._fetch(query, self.id, places, deliveries, seen, moment)
        return set(row["mine"])

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await db.let_go(connection)

    async def _fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await db.connect(self._url)
        try:
            found: list[asyncpg.Record] = await self._connection.fetch(
                qualified(statement, self._schema), *arguments, timeout=PATIENCE
            )
            return found
        except BaseException:
            # whatever it was, a new connection knows nothing of it; nor of functions that were replaced
            self._connection.terminate()
            self._connection = None
            raise


def _delivery(row: asyncpg.Record) -> Delivery:
    return Delivery(**{**dict(row), "attempts": orjson.loads(row["attempts"])})
