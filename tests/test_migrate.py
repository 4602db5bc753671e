"""Migrating while others migrate, read and write, and after a migration that was interrupted."""

import asyncio
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from receiver import db as database
from receiver import migrate, partitions
from receiver.db import DatabaseError
from receiver.ingest import Ingest
from receiver.read import timeline
from receiver.read.filters import MessageFilters
from receiver.reader import Reader
from tests.support.beds import Bed, connect, direct
from tests.support.commands import environment, started
from tests.support.patience import PATIENCE
from tests.support.store import SCHEMA, arrival, postback, store, without_partitions

pytestmark = pytest.mark.stock

#: seconds for which somebody else reads a table that a migration needs
HELD = 4.0
#: a migration of the next release: a column that is read at once, and indexes of the largest tables
NEXT = '''
import sqlalchemy as sa
from alembic import op
from migrations.online import create_index, fill

revision, down_revision = "9999", {head!r}


def upgrade():
    schema = op.get_context().version_table_schema
    op.add_column("message", sa.Column("carrier", sa.String()), schema=schema, if_not_exists=True)
    fill("""UPDATE postback.message SET carrier = 'known' WHERE id IN (
                SELECT id FROM postback.message WHERE carrier IS NULL LIMIT 100)""")
    create_index("message_carrier", "message", ["carrier", "id"], where="carrier IS NOT NULL")
    create_index("event_carrier", "event", ["channel", "message_id"])
'''


@pytest.fixture
def next_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on there is one migration more than our own."""
    scripts = tmp_path / "migrations"
    shutil.copytree(migrate.SCRIPTS, scripts)
    (scripts / "versions/9999_next.py").write_text(NEXT.format(head=migrate.head()), encoding="utf-8")
    monkeypatch.setattr(migrate, "SCRIPTS", scripts)


async def test_five_who_migrate_at_once_all_succeed(bed: Bed, tmp_path: Path) -> None:
    """On an empty database, and once more where nothing is left to do."""
    url = await bed.create("migrated_at_once")
    try:
        for _ in range(2):
            ended = await asyncio.gather(*(_migrated_by_command(url, tmp_path) for _ in range(5)))
            assert [(0, "")] * 5 == [(code, "" if code == 0 else said) for code, said in ended]
        assert migrate.head() == await migrate.revision(url, SCHEMA)
    finally:
        await bed.drop("migrated_at_once")


async def test_five_who_make_partitions_at_once_all_succeed(database_url: str, db: Any) -> None:
    now = datetime.now(UTC)
    months = len(await partitions.existing(db, SCHEMA))
    await without_partitions(db)

    async def made() -> int:
        async with database.connected(database_url) as connection:
            return len(await partitions.make(connection, SCHEMA, now))

    assert months == sum(await asyncio.gather(*(made() for _ in range(5))))


@pytest.mark.usefixtures("next_release")
async def test_nobody_waits_long_for_a_migration(database_url: str) -> None:
    """Intake and readers go on while a column is added and indexes are built, also where somebody else reads
    a table for longer than the whole migration may make anybody wait."""
    reader = Reader(database_url, SCHEMA)
    ingest = Ingest(database_url, SCHEMA)
    ingest.open()
    await asyncio.gather(*(ingest.put(arrival(postback("N101", f"before-{n}"))) for n in range(500)))
    number = 0

    async def write() -> None:
        nonlocal number
        number += 1
        assert "applied" == await ingest.put(arrival(postback("N101", f"during-{number}")))

    async def read() -> None:
        newest = MessageFilters(limit=20, cursor=None)
        try:
            await timeline.messages(reader, newest, region="", channels=None)
        except asyncpg.InvalidCachedStatementError:  # a table has changed: the API says 503, and to try again
            await timeline.messages(reader, newest, region="", channels=None)

    async with _again_and_again(write) as writes, _again_and_again(read) as reads:
        await asyncio.sleep(1)
        alone = max(writes + reads)
        writes.clear()
        reads.clear()
        async with _held(database_url, "SELECT FROM postback.message", seconds=HELD):
            await migrate.upgrade(database_url, SCHEMA)
    await ingest.close()
    await reader.close()
    print(f"longest waits: {alone:.3f} s alone; migrating: intake {max(writes):.3f}, API {max(reads):.3f} s")

    assert "9999" == await migrate.revision(database_url, SCHEMA)
    assert HELD > max(*writes, *reads), "somebody waited for the migration as long as it waited itself"
    assert 10 < len(writes), "nothing was written meanwhile, and so nothing measured"
    assert await _all_valid(database_url)


@pytest.mark.usefixtures("next_release")
async def test_a_table_that_is_never_free_ends_in_one_sentence(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "TRIES", 2)
    async with _held(database_url, "SELECT FROM postback.message", seconds=60):
        with pytest.raises(DatabaseError, match="in use at each of 2 tries"):
            await migrate.upgrade(database_url, SCHEMA)

    await migrate.upgrade(database_url, SCHEMA)
    assert "9999" == await migrate.revision(database_url, SCHEMA)


@pytest.mark.usefixtures("next_release")
async def test_an_index_that_was_left_half_built_is_built_anew(database_url: str, db: Any) -> None:
    """The process is ended in the middle of a concurrent build; what it left is invalid."""
    await store(db, [arrival(postback("N101", "T1"))])
    writer = await connect(direct(database_url))
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute("LOCK TABLE ONLY postback.event_p_default IN ROW EXCLUSIVE MODE")
    migrating = asyncio.create_task(migrate.upgrade(database_url, SCHEMA))
    invalid = """SELECT count(*) FROM pg_index JOIN pg_class c ON c.oid = indexrelid
                 WHERE NOT indisvalid AND c.relkind = 'i' AND c.relname = 'event_p_default_event_carrier'"""
    building = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND query LIKE 'CREATE INDEX CONCURRENTLY%'"""
    async with asyncio.timeout(PATIENCE):
        while not await db.fetchval(invalid):  # noqa: ASYNC110 - Postgres tells nobody
            await asyncio.sleep(0.02)
        migrating.cancel()
        await asyncio.gather(migrating, return_exceptions=True)
        while await db.fetch(building):  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.02)
    await transaction.rollback()
    await writer.close()
    assert 1 == await db.fetchval(invalid)

    await migrate.upgrade(database_url, SCHEMA)

    assert "9999" == await migrate.revision(database_url, SCHEMA)
    assert await _all_valid(database_url)


@pytest.mark.usefixtures("next_release")
async def test_a_month_that_is_made_after_it_has_its_indexes(database_url: str, db: Any) -> None:
    await migrate.upgrade(database_url, SCHEMA)
    later = datetime(datetime.now(UTC).year + 1, 1, 15, tzinfo=UTC)
    await partitions.make(db, SCHEMA, later)

    without = await db.fetchval(
        """SELECT count(*) FROM pg_inherits i WHERE i.inhparent = 'postback.event'::regclass AND NOT EXISTS (
               SELECT FROM pg_index x JOIN pg_inherits p ON p.inhrelid = x.indexrelid
               WHERE x.indrelid = i.inhrelid AND p.inhparent = 'postback.event_carrier'::regclass)"""
    )
    assert 0 == without


async def _migrated_by_command(url: str, cwd: Path) -> tuple[int, str]:
    variables = environment(DATABASE_URL=url, POSTBACK_SECRET_KEY="a secret key for tests")
    command = [sys.executable, "-m", "postback", "migrate"]
    with started(command, cwd=cwd, env=variables) as running:
        code = await asyncio.to_thread(running.wait)
        return code, "".join(running.errors)


@asynccontextmanager
async def _again_and_again(what: Callable[[], Awaitable[None]]) -> AsyncIterator[list[float]]:
    """Yields how many seconds each call of *what* took, one after the other."""
    took: list[float] = []

    async def run() -> None:
        while True:
            begun = time.perf_counter()
            await what()
            took.append(time.perf_counter() - begun)

    task = asyncio.create_task(run())
    try:
        yield took
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def _held(url: str, statement: str, *, seconds: float) -> AsyncIterator[None]:
    """A transaction that has read with *statement*, and stays open for *seconds* or until this ends."""
    connection = await connect(direct(url))
    await connection.execute(f"BEGIN; {statement}")

    async def let_go() -> None:
        await asyncio.sleep(seconds)
        await connection.execute("ROLLBACK")

    task = asyncio.create_task(let_go())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await connection.close()


async def _all_valid(url: str) -> bool:
    connection = await connect(url)
    found: int = await connection.fetchval("SELECT count(*) FROM pg_index WHERE NOT indisvalid")
    await connection.close()
    return found == 0
