"""Months of ids: made ahead, survived when nobody made them, dropped beside running writers."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from models.events import Inbound
from receiver import migrate, partitions
from receiver.id_times import first_id
from receiver.ingest import Arrival, Ingest
from receiver.partitions import Busy, Partition
from receiver.sources import Source
from tests.support.beds import connect
from tests.support.idle import Idle, idle
from tests.support.patience import PATIENCE
from tests.support.store import SCHEMA, THEM, US, arrival, postback, told

pytestmark = pytest.mark.stock

#: no partition is made that far ahead when the tests begin
FAR = datetime.now(UTC).replace(day=10) + timedelta(days=220)
MONTH = Partition("message", datetime(FAR.year, FAR.month, 1, tzinfo=UTC))


def at(moment: datetime, made: UUID | None = None) -> UUID:
    """The id *made*, or a new one, as if it had been made at *moment*."""
    return UUID(int=first_id(moment).int | ((made or uuid7()).int & ((1 << 80) - 1)))


async def stored_at(connection: Any, moment: datetime, arrivals: Sequence[Arrival]) -> list[str]:
    """Stores *arrivals* as a batch of *moment*: every id that would be made then is of that time."""
    ingest = Ingest("", SCHEMA)
    batch = []
    for one in arrivals:
        payload = one.payload._replace(id=at(moment), received_at=moment)
        prepared = ingest._prepare(Arrival(payload, one.source, one.events))
        rows = prepared.rows
        moved = {row.candidate: at(moment, row.candidate) for row in rows.events if row.candidate}
        rows.events[:] = [
            row._replace(candidate=moved.get(row.candidate) if row.candidate else None) for row in rows.events
        ]
        rows.inbounds[:] = [row._replace(candidate=moved[row.candidate]) for row in rows.inbounds]
        rows.files[:] = [row._replace(message_id=moved[row.message_id]) for row in rows.files]
        batch.append(prepared)
    return await ingest._write(connection, batch)


async def places(connection: Any, table: str) -> list[str]:
    rows = await connection.fetch(
        f"SELECT DISTINCT tableoid::regclass::text AS place FROM postback.{table} ORDER BY 1"  # noqa: S608
    )
    return [row["place"].removeprefix("postback.") for row in rows]


async def until_there_are(connection: Any, messages: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while await connection.fetchval("SELECT count(*) FROM postback.message") < messages:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_ids_of_a_missed_month_are_stored_and_raise_an_alarm(db: Any) -> None:
    assert ["applied"] == await stored_at(db, FAR, [arrival(postback("N101", "T1"))])

    assert {"message": 1, "event": 1, "payload": 1} == await partitions.astray(db, SCHEMA)


async def test_they_move_to_their_month_when_it_is_made(db: Any) -> None:
    await stored_at(db, FAR, [arrival(postback("N101", f"T{n}")) for n in range(5)])

    made = await partitions.make(db, SCHEMA, FAR)

    assert 5 == made[MONTH]
    assert {} == await partitions.astray(db, SCHEMA)
    assert [MONTH.name] == await places(db, "message")
    assert 5 == await db.fetchval("SELECT count(*) FROM postback.message")
    assert {} == await partitions.make(db, SCHEMA, FAR)


async def test_months_that_passed_before_anybody_looked_are_made_too(db: Any) -> None:
    await stored_at(db, FAR, [arrival(postback("N101", "T1"))])
    later = FAR + timedelta(days=100)

    made = await partitions.make(db, SCHEMA, later)

    assert MONTH in made
    assert {} == await partitions.astray(db, SCHEMA)


async def test_an_id_of_a_clock_that_is_years_ahead_stays_an_alarm(db: Any) -> None:
    await stored_at(db, FAR + timedelta(days=3650), [arrival(postback("N101", "T1"))])

    await partitions.make(db, SCHEMA, FAR)

    assert {"message": 1, "event": 1, "payload": 1} == await partitions.astray(db, SCHEMA)


async def test_migrating_after_a_missed_month_does_not_fail(database_url: str, db: Any) -> None:
    """Every start of `up` migrates; a row in the way of a new month must not keep it from starting."""
    now = datetime.now(UTC)
    [partition] = [
        p for p in await partitions.existing(db, SCHEMA) if p.table == "message" and p.begin > now
    ][-1:]
    others = [Partition(table, partition.begin) for table in partitions.TABLES]
    await partitions.drop(db, SCHEMA, others)
    await stored_at(db, partition.begin, [arrival(postback("N101", "T1"))])

    await migrate.upgrade(database_url, SCHEMA)

    assert [partition.name] == await places(db, "message")


async def test_a_made_partition_is_like_one_made_by_postgres(db: Any) -> None:
    """The same indexes, the primary key, and room on its pages."""
    await stored_at(db, FAR, [arrival(postback("N101", "T1"))])
    await partitions.make(db, SCHEMA, FAR)
    await db.execute("CREATE TABLE postback.by_hand PARTITION OF postback.message FOR VALUES FROM "
                     f"('{first_id(FAR + timedelta(days=400))}') TO ('{first_id(FAR + timedelta(days=430))}')"
                     " WITH (fillfactor = 50)")  # fmt: skip
    shapes = [
        await db.fetchrow(
            """SELECT (SELECT array_agg(pg_get_indexdef(indexrelid, 1, true) || indisunique || indisprimary)
                    FROM pg_index WHERE indrelid = c.oid),
                   (SELECT array_agg(attname || attnotnull || atttypid ORDER BY attnum) FROM pg_attribute
                    WHERE attrelid = c.oid AND attnum > 0), c.reloptions
               FROM pg_class c WHERE c.oid = $1::text::regclass""",
            f"postback.{name}",
        )
        for name in (MONTH.name, "by_hand")
    ]

    made, by_hand = ((sorted(indexes), *rest) for indexes, *rest in shapes)
    assert by_hand == made


async def test_nothing_is_lost_or_doubled_while_rows_move_under_running_writers(
    database_url: str, db: Any
) -> None:
    numbers, stop, acknowledged = count(), asyncio.Event(), 0

    async def write() -> int:
        connection = await connect(database_url)
        written = 0
        while not stop.is_set():
            batch = [arrival(postback("N101", f"T{next(numbers)}")) for _ in range(20)]
            written += len(await stored_at(connection, FAR, batch))
        await connection.close()
        return written

    writers = [asyncio.create_task(write()) for _ in range(3)]
    await until_there_are(db, 500)
    made = await partitions.make(db, SCHEMA, FAR)
    await until_there_are(db, await db.fetchval("SELECT count(*) FROM postback.message") + 200)
    stop.set()
    acknowledged = sum(await asyncio.gather(*writers))

    assert made[MONTH] >= 500
    assert {} == await partitions.astray(db, SCHEMA)
    for table in ("message", "event", "payload", "reference"):
        assert acknowledged == await db.fetchval(f"SELECT count(*) FROM postback.{table}")  # noqa: S608
    assert acknowledged == await db.fetchval("SELECT count(DISTINCT message_id) FROM postback.reference")


@pytest.mark.usefixtures("unhurried")
async def test_a_drop_beside_running_writers_holds_none_of_them_up(database_url: str, db: Any) -> None:
    """And an old partition's reader, who would hold it up for long, makes it wait instead of everybody."""
    old = datetime.now(UTC) - timedelta(days=20 * 31)
    partition = Partition("message", datetime(old.year, old.month, 1, tzinfo=UTC))
    await stored_at(db, partition.begin + timedelta(days=3), [arrival(postback("N101", "old"))])
    await partitions.make(db, SCHEMA, datetime.now(UTC))
    leaving = [Partition(table, partition.begin) for table in ("event", "message")]
    numbers, stop, waits = count(), asyncio.Event(), list[float]()
    ingest = Ingest(database_url, SCHEMA)
    ingest.open()

    async def call(clock: Idle) -> None:
        while not stop.is_set():
            begun = clock.seconds
            assert "applied" == await ingest.put(arrival(postback("N101", f"T{next(numbers)}")))
            waits.append(clock.seconds - begun)

    reader = await connect(database_url)
    reading = reader.transaction()
    await reading.start()
    await reader.fetch("SELECT id FROM postback.message LIMIT 1")
    async with idle() as clock:
        callers = [asyncio.create_task(call(clock)) for _ in range(4)]
        await asyncio.sleep(1.5)
        alone = sorted(waits)
        waits.clear()
        dropping = asyncio.create_task(partitions.drop(db, SCHEMA, leaving))
        await asyncio.sleep(1.5)
        assert not dropping.done()
        await reading.rollback()
        await dropping
        stop.set()
        await asyncio.gather(*callers)
    await ingest.close()
    await reader.close()

    assert partition not in await partitions.existing(db, SCHEMA)
    waits.sort()
    assert waits[int(len(waits) * 0.99)] < 0.25 + alone[-1]
    assert waits[-1] < 0.9 + alone[-1]


async def test_a_table_that_is_always_in_use_is_left_for_the_next_run(
    database_url: str, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "TRIES", 2)
    [partition] = [p for p in await partitions.existing(db, SCHEMA) if p.table == "payload"][:1]
    reader = await connect(database_url)
    async with reader.transaction():
        await reader.fetch("SELECT id FROM postback.payload")
        with pytest.raises(Busy, match="payload_p_"):
            await partitions.drop(db, SCHEMA, [partition])
    await reader.close()

    assert partition in await partitions.existing(db, SCHEMA)


LAST_MOMENT = datetime(FAR.year, FAR.month, 1, tzinfo=UTC) - timedelta(milliseconds=1)


async def test_a_report_and_its_duplicate_after_midnight_of_the_next_month_are_one_event(db: Any) -> None:
    report = postback("N102", "T1")
    states = await stored_at(db, LAST_MOMENT, [arrival(report)])
    states += await stored_at(db, LAST_MOMENT + timedelta(milliseconds=2), [arrival(report)])

    assert ["applied", "duplicate"] == states
    assert 1 == await db.fetchval("SELECT count(*) FROM postback.event")
    assert 1 == await db.fetchval("SELECT count(*) FROM postback.message")


async def test_so_are_they_after_the_first_moved_out_of_the_default_partition(db: Any) -> None:
    report = postback("N102", "T1")
    states = await stored_at(db, LAST_MOMENT, [arrival(report)])
    await partitions.make(db, SCHEMA, FAR)
    states += await stored_at(db, LAST_MOMENT + timedelta(milliseconds=2), [arrival(report)])

    assert ["applied", "duplicate"] == states
    assert 1 == await db.fetchval("SELECT count(*) FROM postback.event")


async def test_an_inbound_message_sent_twice_around_midnight_is_one_message(db: Any) -> None:
    await partitions.make(db, SCHEMA, FAR)
    inbound = Inbound(
        identity=("in-1",), provider_message_id="in-1", sender=THEM, recipient=US, kind="sms", text="Yes"
    )
    source = Source("sinch-us", "sinch_mms", US)
    states = await stored_at(db, LAST_MOMENT, [told(source, inbound)])
    states += await stored_at(db, LAST_MOMENT + timedelta(milliseconds=2), [told(source, inbound)])

    assert ["applied", "duplicate"] == states
    assert 1 == await db.fetchval("SELECT count(*) FROM postback.message")
    assert 1 == await db.fetchval("SELECT count(*) FROM postback.event")
