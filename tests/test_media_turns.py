"""Files that wait at several carriers: whose is fetched next."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from receiver import db
from tests.support.functions import called
from tests.support.inbound import PNG, Home, home
from tests.support.patience import PATIENCE

CLAIM = called("SELECT channel FROM postback.claim_media($1, $2, $3, $4, $5, $6, $7) ORDER BY channel")
LEASE = timedelta(minutes=2)


@pytest.fixture
async def here(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home(database_url, tmp_path) as found:
        yield found


async def claimed(
    here: Home, most: int, of_channel: int = 4, reserved: int = 0, at_work: dict[str, int] | None = None
) -> list[str]:
    """The channels of the files that are claimed."""
    working = at_work or {}
    rows = await here.rows(
        CLAIM, most, of_channel, reserved, list(working), list(working.values()), timedelta(0), LEASE
    )
    return [row["channel"] for row in rows]


async def flooded(here: Home, *channels: str, number: int = 30) -> None:
    for channel in channels:
        await here.inbound(*[here.files.give("slow.png", None)] * number, channel=channel)


async def test_two_floods_of_files_that_hang_hold_up_nobody_elses(here: Home) -> None:
    await flooded(here, "sinch", "other")

    async with here.past(6, "third") as message:
        assert 6 == here.files.asked.count("slow.png")
        assert "stored" == message["media"][0]["state"]


async def test_two_floods_of_files_that_come_at_once_let_others_through(here: Home) -> None:
    quick = here.files.give("quick.png", PNG)
    for channel in ("sinch", "other") * 10:
        await here.inbound(*[quick] * 30, channel=channel)
    last = await here.inbound(here.files.give("1.png", PNG), channel="third")
    async with here.fetching():
        await here.settled(last["id"])
        waiting = len(await here.rows("SELECT FROM postback.media WHERE state = 'pending'"))

    assert 500 < waiting


async def test_the_next_file_is_of_the_channel_of_which_fewest_are_fetched(here: Home) -> None:
    await flooded(here, "sinch", "other", "third")

    assert ["other", "sinch", "third"] * 2 == (await claimed(here, 3)) + (await claimed(here, 3))
    assert ["third"] == await claimed(here, 1, at_work={"sinch": 2, "other": 2, "third": 1})
    assert ["other", "other", "third"] == await claimed(here, 3, at_work={"sinch": 3, "other": 1, "third": 2})


async def test_one_channel_has_no_more_than_its_places(here: Home) -> None:
    await flooded(here, "sinch")

    assert [] == await claimed(here, 4, at_work={"sinch": 4})
    assert ["sinch"] == await claimed(here, 4, at_work={"sinch": 3})
    assert ["sinch"] * 4 == await claimed(here, 8)


async def test_the_last_places_are_for_channels_of_which_none_is_fetched(here: Home) -> None:
    await flooded(here, "sinch", "other")

    assert [] == await claimed(here, 2, reserved=2, at_work={"sinch": 3, "other": 3})
    assert ["other"] == await claimed(here, 2, reserved=2, at_work={"sinch": 3})


async def test_a_turn_costs_no_more_where_thousands_wait_for_others(here: Home) -> None:
    await flooded(here, "sinch", "other", number=1)
    await here.rows("UPDATE postback.media SET next_at = next_at - interval '1 hour' WHERE channel = 'sinch'")
    await here.rows(
        """INSERT INTO postback.media (message_id, position, id, url, state, next_at, channel)
           SELECT overlay(message_id::text PLACING lpad(to_hex(n), 12, '0') FROM 25)::uuid, 0,
               gen_random_uuid(), url, state, next_at + n * interval '1 ms', channel
           FROM postback.media, generate_series(1, 5000) n WHERE channel = 'sinch'"""
    )
    await here.rows("ANALYZE postback.media")
    async with db.connected(here.settings.database_url) as connection, connection.transaction():
        rows = await connection.fetch(CLAIM, 2, 4, 0, ["sinch"], [2], timedelta(0), LEASE)
        read = await connection.fetchval(
            """SELECT sum(idx_tup_fetch + seq_tup_read) FROM pg_stat_xact_user_tables
               WHERE relname LIKE 'media%'"""
        )

    assert ["other", "sinch"] == [row["channel"] for row in rows]
    assert read < 100


async def test_two_who_fetch_at_once_get_different_files(here: Home) -> None:
    await flooded(here, "sinch", "other")

    async with asyncio.timeout(PATIENCE):
        both = await asyncio.gather(*(claimed(here, 4) for _ in range(4)))
    leased = await here.rows("SELECT FROM postback.media WHERE attempts = 1")

    assert sum(len(some) for some in both) == len(leased)
    assert [] == await here.rows("SELECT FROM postback.media WHERE attempts > 1")


async def test_files_that_the_version_before_stored_are_fetched_in_turn_too(here: Home) -> None:
    await flooded(here, "sinch", "other")
    await here.rows("UPDATE postback.media SET channel = NULL")

    assert ["other", "sinch"] == await claimed(here, 2)
    assert [] == await here.rows("SELECT FROM postback.media WHERE channel IS NULL")


async def test_the_last_turns_come_when_nobody_else_waits(here: Home) -> None:
    """A share is no limit to who is alone: all files of one channel are fetched."""
    message = await here.inbound(*[here.files.give("1.png", PNG)] * 12)
    async with here.fetching():
        message = await here.settled(message["id"])

    assert {"stored"} == {file["state"] for file in message["media"]}
