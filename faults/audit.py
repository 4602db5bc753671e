"""What is stored, held against what the caller's journal says was acknowledged."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from faults import spools
from faults.journal import Told
from faults.machine import Machine

#: seconds that a spool gets to be empty before what is stored is counted
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Balance:
    """*lost*: acknowledged, and not stored byte for byte with its event in its message's timeline.

    *doubled*: any request of which there is more than one event, or that began more than one message.
    *gaps*: numbers that the feed has left out or given twice. *waiting*: records that a spool still holds.
    """

    requests: int
    acknowledged: int
    lost: int
    doubled: int
    gaps: int = 0
    waiting: int = 0


_EVENTS = """
SELECT p.body, count(e.id) AS events
-- what is quarantined has no event, and need not even be text
FROM (SELECT * FROM postback.payload WHERE state <> 'quarantined' OFFSET 0) p
LEFT JOIN (
    postback.event e
    JOIN postback.message m ON m.id = e.message_id
    JOIN postback.reference r ON r.message_id = m.id AND r.channel = m.channel
) ON e.payload_id = p.id AND p.message_ids = ARRAY[m.id]
    AND r.provider_message_id = convert_from(p.body, 'UTF8')::json ->> 'tracking-id'
GROUP BY p.body
"""

#: messages of carriers that nobody finds, because no carrier's id leads to them
_STRAY = """
SELECT count(*) FROM postback.message m
WHERE origin <> 'api' AND NOT EXISTS (SELECT FROM postback.reference r WHERE r.message_id = m.id)
"""

#: but for those that a fail-over leaves out
_GAPS = """
SELECT abs((SELECT seq FROM postback.feed_head) - (SELECT count(DISTINCT seq) FROM postback.event)
           - (SELECT coalesce(sum(until - after), 0) FROM postback.feed_gap))
"""


async def balance(machine: Machine, told: Mapping[int, Told]) -> Balance:
    """Holds *told*, a journal's requests, against the database of *machine*; nothing may be on its way."""
    async with machine.connection() as connection:
        return await counted(connection, told)


async def counted(connection: Any, told: Mapping[int, Told]) -> Balance:
    """The same, in whatever *connection* sees."""
    stored = {row["body"]: row["events"] for row in await connection.fetch(_EVENTS)}
    stray = await connection.fetchval(_STRAY)
    gaps = await connection.fetchval(_GAPS)
    return Balance(
        requests=len(told),
        acknowledged=sum(request.acknowledged for request in told.values()),
        lost=sum(request.acknowledged and not stored.get(request.body) for request in told.values()),
        doubled=stray + sum(events > 1 for events in stored.values()),
        gaps=gaps,
    )


async def settled(machine: Machine, told: Mapping[int, Told], within: float = PATIENCE) -> Balance:
    """The balance once the spools are empty and nothing is lost, or what it is after *within* seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    async with machine.connection() as connection:
        while True:
            waiting = spools.waiting(machine)
            found = replace(await counted(connection, told), waiting=waiting)
            if not (found.lost or waiting) or loop.time() > deadline:
                return found
            await asyncio.sleep(0.5)


async def stored_payloads(machine: Machine) -> list[Any]:
    """``body``, ``state``, ``received_at`` of every payload, in the order of their ids."""
    async with machine.connection() as connection:
        found: list[Any] = await connection.fetch(
            "SELECT body, state, received_at FROM postback.payload ORDER BY id"
        )
    return found
