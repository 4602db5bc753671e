"""The feed after a fail-over that lost its newest events: no number is given twice, and nobody misses any."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from postback import postgres_binaries
from receiver import migrate
from receiver.read import ids
from tests.support.api import Api
from tests.support.api import running as api_running
from tests.support.app import App, running_app
from tests.support.forwarding import Installed, forwarding
from tests.support.functions import called, changed
from tests.support.listening import FEED, listener
from tests.support.receiver import running as receiver_running
from tests.support.store import arrival, postback, store

#: how far the numbers jump
GAP = 1_000_000_000


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_running(database_url) as served:
        yield served


async def told(db: Any, *names: str) -> None:
    """An event of each message: *names* are tracking-ids."""
    for name in names:
        await store(db, [arrival(postback("N101", name))])


async def promoted(db: Any, through: int) -> None:
    """Makes of the database what a promoted standby has that came through event number *through*: the rest is
    lost, and what is there was written on another timeline."""
    async with db.transaction():
        await db.execute("DELETE FROM postback.event WHERE seq > $1", through)
        for table, column in (("message", "id"), ("reference", "message_id")):
            await db.execute(
                f"DELETE FROM postback.{table} t WHERE NOT EXISTS"  # noqa: S608
                f" (SELECT FROM postback.event e WHERE e.message_id = t.{column})"
            )
        await db.execute("UPDATE postback.feed_head SET seq = $1", through)
        await db.execute("UPDATE postback.feed_head SET lineage = 'the old primary''s'")


async def numbers(db: Any) -> list[int]:
    return [row["seq"] for row in await db.fetch("SELECT seq FROM postback.event ORDER BY seq")]


async def page(api: Api, place: int, **query: Any) -> tuple[list[int], bool, int]:
    """The numbers that follow *place*, whether that is a reset, and the place from which to read on."""
    found = await api.get(FEED, params={"after": ids.cursor_of_sequence(place), **query})
    read = [event["sequence"] for event in found["data"]]
    return read, found.get("reset", False), ids.place_in_feed(found["next_cursor"])


async def test_numbers_that_a_lost_history_had_given_out_are_not_given_again(db: asyncpg.Connection) -> None:
    await told(db, "T1", "T2", "T3")
    await promoted(db, through=1)
    await told(db, "T4", "T5")
    await promoted(db, through=GAP + 3)
    # whatever takes numbers, functions of an earlier release included
    await db.execute("UPDATE postback.feed_head SET seq = seq + 1")

    assert [1, GAP + 2, GAP + 3] == await numbers(db)
    assert 2 * GAP + 4 == await db.fetchval("SELECT seq FROM postback.feed_head")
    gaps = await db.fetch("SELECT after, until FROM postback.feed_gap ORDER BY until")
    assert [(1, GAP + 1), (GAP + 3, 2 * GAP + 3)] == [tuple(gap) for gap in gaps]


@pytest.mark.parametrize("others", [("one",), ("one", "two")], ids=["of the version before", "written anew"])
async def test_numbers_jump_whichever_version_has_migrated_last(
    db: asyncpg.Connection, database_url: str, tmp_path: Path, others: tuple[str, ...]
) -> None:
    for field in others:
        await migrate.install(db, "postback", changed(tmp_path, field))
    await migrate.upgrade(database_url, "postback")
    await told(db, "T1")
    await promoted(db, through=1)
    await told(db, "T2")

    assert [1, GAP + 2] == await numbers(db)


async def test_the_history_stays_the_same_for_all_connections_and_whoever_asks(
    db: asyncpg.Connection, database_url: str
) -> None:
    await told(db, "T1")
    other = await asyncpg.connect(database_url)
    await db.execute("CREATE ROLE anybody; GRANT USAGE ON SCHEMA postback TO anybody;"
                     " GRANT SELECT ON postback.feed_head TO anybody")  # fmt: skip
    await db.execute("SET ROLE anybody")
    asked = await db.fetchval(called("SELECT postback.lineage(tableoid) FROM postback.feed_head"))
    await db.execute("RESET ROLE; DROP OWNED BY anybody; DROP ROLE anybody")
    await told(other, "T2")
    await other.close()

    assert [1, 2] == await numbers(db)
    assert asked == await db.fetchval("SELECT lineage FROM postback.feed_head")


async def test_a_database_that_was_restored_from_a_dump_gives_no_number_twice(
    db: asyncpg.Connection, database_url: str
) -> None:
    await told(db, "T1", "T2")
    binaries = postgres_binaries.find()
    await db.execute("CREATE DATABASE restored")
    restored = database_url.replace(await db.fetchval("SELECT current_database()") + "?", "restored?")
    try:
        dump = await _output(binaries.program("pg_dump"), database_url)
        await _output(binaries.program("psql"), "-v", "ON_ERROR_STOP=1", restored, given=dump)
        copy = await asyncpg.connect(restored)
        await told(copy, "T3")
        found = await numbers(copy)
        await copy.close()
    finally:
        await db.execute("DROP DATABASE restored WITH (FORCE)")

    assert [1, 2, GAP + 3] == found


async def _output(*command: str, given: bytes = b"") -> bytes:
    def run() -> bytes:
        return subprocess.run(command, input=given, capture_output=True, check=True).stdout  # noqa: S603

    return await asyncio.to_thread(run)


async def test_a_reader_goes_over_the_gap_and_misses_nothing(api: Api, db: asyncpg.Connection) -> None:
    await told(db, *(f"T{n}" for n in range(6)))
    await promoted(db, through=4)
    await told(db, "T6", "T7")
    await promoted(db, through=GAP + 6)
    await told(db, "T8")

    read, place = list[int](), 2
    for _ in range(10):
        found, reset, place = await page(api, place)
        assert not reset
        read += found
    filtered = await page(api, 4, type="message.delivered")
    [first, *_] = (await api.get(FEED))["data"]

    assert [3, 4, GAP + 5, GAP + 6, 2 * GAP + 7] == read
    assert 2 * GAP + 7 == place
    assert ([], False) == filtered[:2]
    assert filtered[2] > GAP, "what the filter leaves out is gone past"
    assert 1 == first["sequence"]


async def test_a_cursor_of_the_lost_part_is_told_so_and_gets_all_that_came_after(
    api: Api, db: asyncpg.Connection
) -> None:
    await told(db, "T1", "T2", "T3", "T4")
    await promoted(db, through=2)

    before_any = await page(api, 4)
    await told(db, "T5", "T6")
    after_some = await page(api, 4)
    and_nearer = await page(api, 3)

    assert ([], True, 2) == before_any, "what it was told before is not told again"
    assert ([GAP + 3, GAP + 4], True, GAP + 4) == after_some
    assert after_some == and_nearer
    assert ([GAP + 3, GAP + 4], False, GAP + 4) == await page(api, before_any[2])


async def test_a_copy_of_the_disk_is_given_a_history_of_its_own_by_hand(
    api: Api, db: asyncpg.Connection
) -> None:
    """Postgres cannot tell it from the disk that it is a copy of (docs/failover.md)."""
    await told(db, "T1")
    await db.execute("UPDATE postback.feed_head SET lineage = 'restored'")
    await told(db, "T2")

    assert ([1, GAP + 2], False) == ([*(await page(api, 0))[0], *(await page(api, 1))[0]], False)


async def test_a_listener_who_stays_is_told_of_the_reset_and_goes_on(
    db: asyncpg.Connection, database_url: str
) -> None:
    async with receiver_running(database_url) as receiver:
        receiver.client.headers["authorization"] = f"Bearer {receiver.key}"
        start = ids.cursor_of_sequence(0)
        async with listener(receiver.client, receiver.url, start) as ahead:
            await told(db, "T1", "T2", "T3")
            await ahead.events(3)
            await promoted(db, through=2)
            await told(db, "T4")
            said = [await ahead.next(), await ahead.next()]
        async with listener(receiver.client, receiver.url, ids.cursor_of_sequence(2)) as again:
            at_its_end = await again.events(1)
        receiver.app.hush()

    assert ["reset", None] == [fields.get("event") for fields in said]
    assert ids.cursor_of_sequence(GAP + 3) == said[1]["id"]
    assert [GAP + 3] == [event["sequence"] for event in at_its_end]


async def test_memory_does_not_hide_the_gap(db: asyncpg.Connection, database_url: str) -> None:
    """This process was told nothing that was lost, and has both sides of the gap in memory; another one had
    told its listener more."""
    async with receiver_running(database_url) as receiver:
        receiver.client.headers["authorization"] = f"Bearer {receiver.key}"
        async with listener(receiver.client, receiver.url, ids.cursor_of_sequence(0)) as stays:
            await told(db, "T1", "T2")
            await stays.events(2)
            await promoted(db, through=2)
            await told(db, "T3")
            heard = await stays.events(1)
            async with listener(receiver.client, receiver.url, ids.cursor_of_sequence(5)) as ahead:
                said = [await ahead.next() for _ in range(3)]
        receiver.app.hush()

    assert [GAP + 3] == [event["sequence"] for event in heard]
    assert [None, "reset", None] == [fields.get("event") for fields in said]
    assert ids.cursor_of_sequence(GAP + 3) == said[2]["id"]


async def told_of_three(installed: Installed, app: App) -> dict[str, Any]:
    """Returns a new subscriber at *app*, once it was told everything there is, three events."""
    made = await installed.subscribe(app)
    installed.forward()
    await installed.tell("T1", "T2", "T3")
    await app.first(3)
    await installed.until(f"/v1/subscribers/{made['id']}", lag=0)
    return made


async def test_a_replay_goes_over_the_gap(database_url: str, tmp_path: Path) -> None:
    async with forwarding(database_url, tmp_path) as installed, running_app() as app:
        made = await told_of_three(installed, app)
        await promoted(installed.db, through=2)
        await installed.tell("T4")
        await app.first(4)
        await installed.until(f"/v1/subscribers/{made['id']}", lag=0)
        await installed.post(f"/v1/subscribers/{made['id']}/replay", after=ids.cursor_of_sequence(0))
        again = [one.event["sequence"] for one in await app.first(7)][4:]

    assert sorted(again) == [1, 2, GAP + 3]


async def test_subscribers_get_everything_on_both_sides_of_the_gap_and_it_is_no_lag(
    database_url: str, tmp_path: Path
) -> None:
    async with forwarding(database_url, tmp_path) as installed, running_app() as app, running_app() as late:
        await installed.tell("T1")
        behind = await installed.subscribe(app)
        await installed.tell("T2", "T3", "T4")
        await promoted(installed.db, through=3)
        await installed.tell("T5", "T6")
        lag = await installed.get(f"/v1/subscribers/{behind['id']}")
        metrics = (await installed.api.get("/metrics")).text
        ahead = await installed.subscribe(late)
        # as written by a forwarder that had read the lost part
        await installed.db.execute("UPDATE postback.subscriber SET cursor = 4 WHERE url = $1", late.url)
        installed.forward()
        heard = [one.event["sequence"] for one in await app.first(4)]
        heard_late = [one.event["sequence"] for one in await late.first(2)]
        for subscriber in (behind, ahead):
            await installed.until(f"/v1/subscribers/{subscriber['id']}", lag=0)

    assert sorted(heard) == [2, 3, GAP + 4, GAP + 5]
    assert sorted(heard_late) == [GAP + 4, GAP + 5]
    assert 4 == lag["lag"]
    assert f'postback_subscriber_lag{{subscriber="{behind["id"]}"}} 4.0' in metrics


async def test_a_forwarder_that_stays_goes_on_behind_the_gap(database_url: str, tmp_path: Path) -> None:
    async with forwarding(database_url, tmp_path) as installed, running_app() as app:
        await told_of_three(installed, app)
        await promoted(installed.db, through=1)
        await installed.tell("T4")
        heard = [one.event["sequence"] for one in await app.first(4)]
        await installed.tell("T5")
        heard = [one.event["sequence"] for one in await app.first(5)]

    assert [1, 2, 3, GAP + 2, GAP + 3] == heard
