"""Two real servers, the second a synchronous standby of the first, which takes its place."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from faults.pair import Pair
from receiver import db, migrate
from receiver.config import settings
from receiver.wakeup import listen, outbox_channel
from tests.support.store import arrival, postback, store

#: how far the feed's numbers jump
GAP = 1_000_000_000


@pytest.fixture
def directory() -> Iterator[Path]:
    """Short, as a socket's path has to be."""
    with tempfile.TemporaryDirectory(prefix="postback-tests-") as name:
        Path(name).chmod(0o711)  # for the account that the servers run as
        yield Path(name)


@pytest.fixture
async def pair(directory: Path) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        made = Pair(directory, stack, synchronous=True)
        await made.start()
        await made.follow()
        yield made


async def test_a_promoted_standby_gives_no_number_that_the_primary_has_given(pair: Pair) -> None:
    await migrate.upgrade(pair.url, "postback")
    async with db.connected(pair.url) as primary:
        await store(primary, [arrival(postback("N101", "T1"))])
    await pair.primary.end()
    await pair.promote()
    async with db.connected(pair.url) as promoted:
        await store(promoted, [arrival(postback("N101", "T2"))])
        await store(promoted, [arrival(postback("N102", "T2"))])
        numbers = await promoted.fetch("SELECT seq FROM postback.event ORDER BY seq")

    assert [1, GAP + 2, GAP + 3] == [row["seq"] for row in numbers]


async def test_whoever_waits_for_a_primary_that_is_gone_without_a_word_is_let_go(pair: Pair) -> None:
    async with asyncio.timeout(60):  # many times what it takes
        heard = asyncio.Event()
        configured = settings({"database_url": pair.url, "secret_key": ["s" * 16]})
        listening = asyncio.create_task(listen(configured, heard.set))
        pool = db.pool(pair.url, size=2)
        await pool
        async with db.pooled(pool, 5) as connection:
            await connection.execute("SELECT 1")
        await heard.wait()

        pair.primary.send(signal.SIGSTOP)
        waiting = asyncio.create_task(pool.fetchval("SELECT 1"))
        await pair.promote()
        heard.clear()
        async with db.connected(pair.url) as promoted:
            with pytest.raises((ConnectionError, asyncpg.PostgresError, asyncpg.InterfaceError)):
                async with asyncio.timeout(5):
                    await waiting
            assert 1 == await pool.fetchval("SELECT 1")
            await heard.wait()
            heard.clear()
            await promoted.execute(f"NOTIFY {outbox_channel(configured.db_schema)}")
            async with asyncio.timeout(5):
                await heard.wait()
        listening.cancel()
        await db.let_go(pool)
