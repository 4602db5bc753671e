"""Postgres is well, and slower than requests come: nothing waits without bound, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from receiver import commit
from receiver.commit import GroupCommit, Unavailable
from receiver.ingest import Ingest
from receiver.spool import Spool, directory
from tests.support.beds import connect
from tests.support.store import SCHEMA, arrival, postback

#: of each request, in seconds: a batch of all that wait takes far less than its deadline
SLOWLY = """
CREATE FUNCTION postback.slowly() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END $$;
CREATE TRIGGER slowly BEFORE INSERT ON postback.payload FOR EACH ROW EXECUTE FUNCTION postback.slowly();
"""


@asynccontextmanager
async def slow(database_url: str, spool: Spool | None) -> AsyncIterator[Ingest]:
    connection = await connect(database_url)
    await connection.execute(SLOWLY)
    await connection.close()
    if spool:
        await spool.open()
    ingest = Ingest(database_url, SCHEMA, spool=spool)
    ingest.open()
    try:
        yield ingest
    finally:
        await ingest.close()
        if spool:
            await spool.close()


async def stored(database_url: str) -> int:
    connection = await connect(database_url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM postback.payload"))
    finally:
        await connection.close()


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "ROOM", 100_000)


async def waves(ingest: Ingest, number: int) -> list[str | BaseException]:
    """The answers to *number* requests, which come in waves and not all in one moment."""
    calls = []
    for wave in range(number // 20):
        wanted = [arrival(postback("N101", f"t{wave}-{turn}")) for turn in range(20)]
        calls += [asyncio.create_task(ingest.put(one)) for one in wanted]
        await asyncio.sleep(0.01)
        assert ingest._committer._held < 2 * commit.ROOM
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_what_a_slow_postgres_does_not_take_in_time_waits_in_the_spool(
    database_url: str, tmp_path: Path
) -> None:
    spool = Spool(directory(tmp_path))
    async with slow(database_url, spool) as ingest:
        answers = await waves(ingest, 400)

        in_spool = spool.figures.records
        assert 0 < in_spool < 400
        assert not ingest.away
    assert {"applied"} == set(answers)
    assert 400 == in_spool + await stored(database_url)


async def test_without_a_spool_who_comes_too_much_is_refused_and_who_is_told_stored_is(
    database_url: str,
) -> None:
    async with slow(database_url, None) as ingest:
        answers = await waves(ingest, 400)

    refused = sum(isinstance(answer, Unavailable) for answer in answers)
    assert 0 < refused < 400
    assert 400 - refused == await stored(database_url)


async def test_who_comes_while_the_first_has_waited_too_long_is_sent_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commit, "OVERDUE", 0.05)
    going = asyncio.Event()

    async def connected() -> None:
        return None

    async def write(_: object, items: list[int]) -> list[int]:
        await going.wait()
        return items

    committer = GroupCommit[int, int](connected, write, batch=1)  # type: ignore[arg-type]
    assert not committer.full
    waiting = [asyncio.create_task(committer.put(number)) for number in range(3)]
    await asyncio.sleep(0.2)

    assert committer.full
    for task in waiting:
        task.cancel()
