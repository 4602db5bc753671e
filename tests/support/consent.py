"""People who say that they want to be left alone, or not, and what waits to be sent to them meanwhile."""

import asyncio
import itertools
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from models.events import Inbound
from receiver.ingest import Arrival, Ingest
from receiver.optouts import OptOuts
from receiver.outbox import CALL_LEASE, Claim, Outbox, PendingCall
from receiver.sources import Source
from tests.support.beds import connect
from tests.support.records import accept, outgoing
from tests.support.store import SCHEMA, THEM, US, told

OURS, ANOTHER = Source("sinch-us", "sinch_mms", US), "+18885550000"
_ids = itertools.count(1)


def says(
    text: str, *, at: datetime | None = None, sender: str = THEM, recipient: str = US, name: str | None = None
) -> Arrival:
    """A message of *sender*'s to us, received *at*."""
    named = name or f"mo-{next(_ids)}"
    inbound = Inbound(named, (named,), sender=sender, recipient=recipient, text=text)
    return _received(told(OURS, inbound), at)


def _received(arrival: Arrival, at: datetime | None) -> Arrival:
    if at is None:
        return arrival
    return Arrival(arrival.payload._replace(received_at=at), arrival.source, arrival.events)


async def hear(db: asyncpg.Connection, *arrivals: Arrival, rules: OptOuts = OptOuts()) -> None:  # noqa: B008
    ingest = Ingest("", SCHEMA, opt_outs=rules)
    await ingest._write(db, [ingest._prepare(one) for one in arrivals])


async def queue(database_url: str, *, to: str = THEM, sender: str = US, claimed: bool = False) -> UUID:
    """A message that waits to be sent."""
    row = outgoing(to, our_number=sender, scope=[sender, "*"])
    [message_id] = await accept(database_url, row)
    if claimed:
        connection = await connect(database_url)
        await connection.execute(
            "UPDATE postback.outbox SET state = 'claimed', lease_until = now() + interval '1 minute'"
            " WHERE id = $1",
            message_id,
        )
        await connection.close()
    return message_id


async def begin(db: asyncpg.Connection, message_id: UUID) -> PendingCall | None:
    """What the sender does just before the request leaves."""
    [call] = await Outbox("", SCHEMA)._write_begins(db, [Claim((message_id,), 0.0, False, CALL_LEASE)])
    return call


async def listed(db: asyncpg.Connection) -> list[tuple[Any, ...]]:
    rows = await db.fetch("SELECT contact, our_number, word, source FROM postback.opt_out ORDER BY 1, 2")
    return [tuple(row) for row in rows]


async def events(db: asyncpg.Connection, kind: str) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = await db.fetch(
        "SELECT * FROM postback.event WHERE type LIKE $1 ORDER BY seq", kind
    )
    return rows


async def waiting(db: asyncpg.Connection) -> list[UUID]:
    return [row["id"] for row in await db.fetch("SELECT id FROM postback.outbox ORDER BY id")]


async def until_blocked(watcher: asyncpg.Connection, blocked: asyncpg.Connection) -> None:
    pid = blocked.get_server_pid()
    for _ in range(2500):
        if await watcher.fetchval("SELECT cardinality(pg_blocking_pids($1))", pid):
            return
        await asyncio.sleep(0.002)
    pytest.fail("the second transaction did not wait for the first")
