"""Transactions that are open at the same time: nobody loses what another one wrote, or waits in a circle."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from models.events import Inbound, TemplateReport, TemplateState
from models.sends import Fate, Outcome
from models.status import CONFLICT_BITS, FAILURE_BITS, SUCCESS_BITS
from receiver.config import settings
from receiver.erase import Erase
from receiver.ingest import Arrival, Ingest
from receiver.optouts import OptOuts
from receiver.outbox import CALL_LEASE, Claim, Outbox, Settlement
from receiver.sources import Source
from tests.support.beds import connect
from tests.support.records import accept, outgoing
from tests.support.store import CHANNEL, SCHEMA, THEM, US, arrival, postback, send, settle, store, told

WORDS = ["Hello", "STOP", "Yes", "START"]
#: every table against the events or messages that it follows from
WRONG = f"""
SELECT 'versions', m.id::text FROM postback.message m LEFT JOIN postback.event e ON e.message_id = m.id
GROUP BY m.id HAVING m.version <> count(e.id) OR m.version <> count(DISTINCT e.version)
    OR m.version <> max(e.version)
UNION ALL
SELECT 'set', m.id::text FROM postback.message m JOIN postback.event e ON e.message_id = m.id
GROUP BY m.id HAVING m.seen & ~28 <> bit_or(e.bits) & ~28
UNION ALL
SELECT 'feed', h.seq::text FROM postback.feed_head h
WHERE h.seq <> (SELECT count(*) FROM postback.event) OR h.seq <> (SELECT max(seq) FROM postback.event)
UNION ALL
SELECT 'orphan', e.id::text FROM postback.event e
WHERE NOT EXISTS (SELECT FROM postback.message m WHERE m.id = e.message_id)
UNION ALL
SELECT 'reference', r.provider_message_id FROM postback.reference r
WHERE NOT EXISTS (SELECT FROM postback.message m WHERE m.id = r.message_id)
UNION ALL
SELECT 'nameless', m.id::text FROM postback.message m
WHERE m.origin = 'external' AND NOT EXISTS (SELECT FROM postback.reference r WHERE r.message_id = m.id)
UNION ALL
SELECT 'attention', m.id::text FROM postback.message m
LEFT JOIN postback.attention a ON a.message_id = m.id
WHERE coalesce(a.failure, false) <> (m.seen & {FAILURE_BITS} <> 0 AND m.seen & {SUCCESS_BITS} = 0)
    OR coalesce(a.conflict, false) <> (m.seen & {SUCCESS_BITS} <> 0 AND m.seen & {CONFLICT_BITS} <> 0)
UNION ALL
SELECT 'conversation', c.id::text FROM postback.conversation c
LEFT JOIN postback.message m ON m.conversation_id = c.id
GROUP BY c.id HAVING c.message_count <> count(m.id)
    OR c.unread_count <> count(m.id) FILTER (WHERE m.direction = 'inbound')
UNION ALL
SELECT 'payload', p.id::text FROM postback.payload p WHERE NOT EXISTS (
    SELECT FROM unnest(p.message_ids) AS i (id) LEFT JOIN postback.adopted a ON a.id = i.id
    JOIN postback.message m ON m.id = coalesce(a.message_id, i.id))
"""  # noqa: S608
OURS = Source(CHANNEL.name, "sinch_mms", US)


@pytest.fixture
async def open_connections(database_url: str) -> AsyncIterator[list[asyncpg.Connection]]:
    async with AsyncExitStack() as stack:
        opened = [await connect(database_url) for _ in range(3)]
        for connection in opened:
            stack.push_async_callback(connection.close)
        yield opened


def says(text: str, name: str = "mo") -> Arrival:
    return told(OURS, Inbound(name, (name,), sender=THEM, recipient=US, text=text))


async def hear(db: asyncpg.Connection, *arrivals: Arrival) -> None:
    ingest = Ingest("", SCHEMA, opt_outs=OptOuts())
    await ingest._write(db, [ingest._prepare(one) for one in arrivals])


async def until_blocked(watcher: asyncpg.Connection, blocked: asyncpg.Connection) -> None:
    pid = blocked.get_server_pid()
    for _ in range(100):
        if await watcher.fetchval("SELECT cardinality(pg_blocking_pids($1))", pid):
            return
        await asyncio.sleep(0.002)
    pytest.fail("the second transaction did not wait for the first")


async def test_news_of_a_template_that_is_being_settled_holds_nobody_else_up(
    open_connections: list[asyncpg.Connection],
) -> None:
    """Whoever waits for the template's row does not hold the feed's head meanwhile."""
    settling, telling, bystander = open_connections
    template = uuid7()
    await settling.execute(
        "INSERT INTO postback.template (id, origin, channel, provider, content, provider_template_id, state,"
        " updated_at) VALUES ($1, 'api', $2, 'sinch_mms', '{}', 'stored', 'pending', now())",
        template,
        CHANNEL.name,
    )
    outcome = Outcome(Fate.ACCEPTED, provider_template_id="stored")
    transaction = settling.transaction()
    await transaction.start()
    await Outbox("", SCHEMA)._write_settlements(
        settling, [Settlement(template, "template", uuid7(), 1, CHANNEL.name, "sinch_mms", outcome)]
    )
    ready = TemplateReport("stored", TemplateState.READY, "N003")
    both = told(OURS, *arrival(postback("N101", "one")).events, ready)
    waiting = asyncio.create_task(store(telling, [both]))
    await until_blocked(bystander, telling)

    async with asyncio.timeout(0.3):
        assert ["applied"] == await store(bystander, [arrival(postback("N101", "two"))])

    await transaction.commit()
    assert ["applied"] == await waiting


async def test_a_stop_that_comes_while_its_person_is_erased_stays_on_the_list(
    database_url: str, open_connections: list[asyncpg.Connection], tmp_path: Path
) -> None:
    """The list was hashed before it; what is masked after that has to have its hash too."""
    holder, db, _ = open_connections
    message_id, _ = await send(db)
    await db.execute("DELETE FROM postback.outbox")
    configured = settings({"database_url": database_url, "data_dir": str(tmp_path), "secret_key": "k" * 32})
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("SELECT FROM postback.message WHERE id = $1 FOR UPDATE", message_id)
    erase = Erase(configured)
    erasing = asyncio.create_task(erase.run(THEM))
    for _ in range(200):
        if await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            break
        await asyncio.sleep(0.005)
    await hear(db, says("STOP"))
    await transaction.commit()
    await erasing

    [row] = await db.fetch("SELECT contact, contact_hash FROM postback.opt_out")
    assert THEM != row["contact"]
    assert erase._rules.hash(THEM) == row["contact_hash"]
    again = outgoing(THEM, contact_hashes=erase._rules.hashes(THEM))
    await accept(database_url, again)
    assert "opted_out" == await db.fetchval(
        "SELECT error_class FROM postback.attention WHERE message_id = $1", again.id
    )


async def test_a_message_begins_with_its_reference_when_the_old_one_is_swept_at_that_moment(
    open_connections: list[asyncpg.Connection],
) -> None:
    """Without it the next report on it would begin a second message of the same id."""
    reporting, other, janitor = open_connections
    await store(janitor, [arrival(postback("N101", "old"))])
    await janitor.execute("DELETE FROM postback.message; DELETE FROM postback.event")
    transaction = other.transaction()
    await transaction.start()
    await other.execute(
        "INSERT INTO postback.reference (provider_message_id, channel, recipient, inbound, message_id)"
        " VALUES ('new', $1, '', false, $2)",
        CHANNEL.name,
        uuid7(),
    )
    reports = [arrival(postback("N102", name)) for name in ("old", "new")]
    telling = asyncio.create_task(store(reporting, reports))
    # it has seen the reference of the old one, and waits with that of the new one
    await until_blocked(janitor, reporting)
    await janitor.execute("DELETE FROM postback.reference WHERE provider_message_id = 'old'")
    await transaction.rollback()
    assert ["applied", "applied"] == await telling

    assert ["duplicate"] == await store(janitor, [_again(reports[0])])
    assert [] == [tuple(row) for row in await janitor.fetch(WRONG) if row[0] == "nameless"]


async def test_a_sender_and_a_stop_take_the_rows_of_a_person_in_the_same_order(
    database_url: str, open_connections: list[asyncpg.Connection]
) -> None:
    """Else each of them has a row that the other one waits for."""
    stopping, sending, watcher = open_connections
    queued = sorted(await accept(database_url, *(outgoing(scope=[US, "*"]) for _ in range(30))))
    await watcher.execute(
        "UPDATE postback.outbox SET state = 'claimed', lease_until = now() + interval '1 minute'"
    )
    transaction = stopping.transaction()
    await transaction.start()
    await stopping.execute("SELECT FROM postback.outbox WHERE id = $1 FOR UPDATE", queued[0])
    claims = [Claim((message_id,), 0.0, False, CALL_LEASE) for message_id in reversed(queued)]
    beginning = asyncio.create_task(Outbox("", SCHEMA)._write_begins(sending, claims))
    await until_blocked(watcher, sending)

    await stopping.execute("SELECT FROM postback.outbox WHERE id = ANY ($1) FOR UPDATE NOWAIT", queued)

    await transaction.commit()
    assert all(await beginning)


async def test_settling_takes_rows_in_the_order_of_their_ids(
    database_url: str, open_connections: list[asyncpg.Connection]
) -> None:
    settling, holder, watcher = open_connections
    queued = sorted(await accept(database_url, *(outgoing(scope=[US, "*"]) for _ in range(30))))
    submission = uuid7()
    await watcher.execute("UPDATE postback.outbox SET state = 'calling', submission_id = $1", submission)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("SELECT FROM postback.outbox WHERE id = $1 FOR UPDATE", queued[0])
    throttled = Outcome(Fate.THROTTLED)
    settlements = [
        Settlement(message_id, "message", submission, 1, CHANNEL.name, "sinch_mms", throttled, again_in=1.0)
        for message_id in reversed(queued)
    ]
    settled = asyncio.create_task(Outbox("", SCHEMA)._write_settlements(settling, settlements))
    await until_blocked(watcher, settling)

    await holder.execute("SELECT FROM postback.outbox WHERE id = ANY ($1) FOR UPDATE NOWAIT", queued)

    await transaction.commit()
    await settled


async def test_whatever_meets_in_time_every_count_and_every_number_is_right(
    database_url: str, open_connections: list[asyncpg.Connection]
) -> None:
    """Reports by either id, answers, replies, STOPs and repetitions, in any order, on many connections."""
    db = open_connections[0]
    chance = random.Random(7)  # noqa: S311
    work: list[tuple[str, Any]] = []
    people = [f"+1206555{number:04}" for number in range(12)]
    for number in range(60):
        message_id, submission_id = await send(db, contact=people[number % 12])
        to = people[number % 12].removeprefix("+")
        early = arrival(postback("N101", f"T{number}", to=to))
        late = arrival(postback("N102", f"T{number}", to=to, **{"client-reference": str(submission_id)}))
        failed = arrival(postback("E102", f"T{number}", to=to))
        work += [("tell", early), ("tell", late), ("tell", failed), ("tell", _again(early))]
        work += [("settle", (message_id, submission_id, f"T{number}"))]
    for number in range(48):
        says_so = Inbound(
            f"mo-{number}",
            (f"mo-{number}",),
            sender=people[number % 12],
            recipient=US,
            text=WORDS[number % 4],
        )
        work += [("tell", told(OURS, says_so)), ("tell", told(OURS, says_so))]
    chance.shuffle(work)

    async def writer() -> None:
        connection = await connect(database_url)
        while work:
            batch = [work.pop() for _ in range(min(4, len(work)))]
            told_now = [one for what, one in batch if what == "tell"]
            await _until_written(partial(hear, connection, *told_now))
            for what, one in batch:
                if what == "settle":
                    await _until_written(partial(settle, connection, *one))
        await connection.close()

    await asyncio.gather(*(writer() for _ in range(5)))

    assert [] == [tuple(row) for row in await db.fetch(WRONG)]
    assert 60 + 48 == await db.fetchval("SELECT count(*) FROM postback.message")


def _again(arrival: Arrival) -> Arrival:
    """The same words in another request."""
    return Arrival(arrival.payload._replace(id=uuid7()), arrival.source, arrival.events)


async def _until_written(write: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await write()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            await asyncio.sleep(0.01)
