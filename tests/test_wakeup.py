"""How the sender hears of new work: by notifications, or by looking often where none come through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from structlog.testing import capture_logs

from receiver import config, db, migrate, wakeup
from receiver.config import Settings
from receiver.spool import waiting
from tests.support import commands, debian
from tests.support.installation import CHANNEL, installation
from tests.support.patience import PATIENCE
from tests.support.pgbouncer import PgBouncer
from tests.support.processes import eventually
from tests.support.receiver import TOKEN
from tests.support.stock import asked, lending, stock
from tests.support.store import SCHEMA, postback

__all__ = ["lending", "stock"]

NOT_HEARD, HEARD = "new work is not heard of at once", "new work is heard of again"


@pytest.fixture
async def pooled_url(stock: debian.Postgres, lending: PgBouncer) -> AsyncIterator[str]:
    """A migrated database behind a pooler in transaction mode; the migrations go through it as well."""
    admin = stock.url(debian.SUPERUSER)
    await asked(admin, f"CREATE DATABASE sends OWNER {debian.OWNER}")
    url = lending.url.replace("/postgres?", "/sends?")
    await migrate.upgrade(url, SCHEMA)
    yield url
    await asked(admin, "DROP DATABASE sends WITH (FORCE)")


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeup, "RECONNECT", 0.05)


def settings(url: str, **more: Any) -> Settings:
    channels = {CHANNEL: {"provider": "sinch_mms", "tokens": ["a-token-of-tests"]}}
    return config.settings(
        {"database_url": url, "secret_key": ["a secret key for tests"], "channels": channels, **more}
    )


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[asyncio.Event]:
    heard = asyncio.Event()
    task = asyncio.create_task(wakeup.listen(settings, heard.set))
    yield heard
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until_said(lines: list[Any], words: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while words not in [line["event"] for line in lines]:  # noqa: ASYNC110 - another task's
            await asyncio.sleep(0.02)


def said(lines: list[Any]) -> list[str]:
    return [line["event"] for line in lines if line["event"] in (NOT_HEARD, HEARD)]


async def test_a_send_behind_a_pooler_leaves_soon_and_the_log_says_what_is_missing(
    pooled_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # looks that nobody wakes are out of the question
    monkeypatch.setattr("sender.channel.POLL", 3600.0)
    with capture_logs() as lines:
        async with installation(pooled_url) as home:
            await until_said(lines, NOT_HEARD)
            for _ in range(5):
                await home.until((await home.send())["id"], "delivered")

    assert [NOT_HEARD] == said(lines)
    [reason] = [line["reason"] for line in lines if line["event"] == NOT_HEARD]
    assert "set listen_url" in reason


async def test_listen_url_past_the_pooler_is_heard(
    stock: debian.Postgres, pooled_url: str, soon: None
) -> None:
    straight = stock.url(debian.OWNER).replace("/postgres?", "/sends?")
    with capture_logs() as lines:
        async with listening(settings(pooled_url, listen_url=straight)) as heard:
            await heard.wait()
            heard.clear()
            await asked(pooled_url, f"SELECT pg_notify('{wakeup.outbox_channel(SCHEMA)}', '')::text")
            async with asyncio.timeout(PATIENCE):
                await heard.wait()

    assert [] == said(lines)


@asynccontextmanager
async def read_only(database_url: str) -> AsyncIterator[str]:
    """The address of a database that takes no writes until the end, and wants one that does."""
    connection = await asyncpg.connect(database_url)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await connection.close()
    try:
        yield f"{database_url}&target_session_attrs=read-write"
    finally:
        await writable_again(database_url)


async def writable_again(database_url: str) -> None:
    async with db.connected(database_url) as connection:
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")


async def test_listening_comes_back_when_a_host_takes_writes_again_and_both_are_said_once(
    database_url: str, soon: None
) -> None:
    with capture_logs() as lines:
        async with read_only(database_url) as there:
            task = asyncio.create_task(wakeup.listen(settings(there), lambda: None))
            await until_said(lines, NOT_HEARD)
            await asyncio.sleep(10 * wakeup.RECONNECT)
        await until_said(lines, HEARD)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert [NOT_HEARD, HEARD] == said(lines)


async def test_a_web_process_starts_on_its_spool_while_no_host_takes_writes(
    database_url: str, tmp_path: Path
) -> None:
    channels = f'[channels.{CHANNEL}]\nprovider = "sinch_mms"\ntokens = ["{TOKEN}"]\n'
    async with read_only(database_url) as there:
        head = f'database_url = "{there}"\nsecret_key = ["a secret key for tests"]\n'
        (tmp_path / "postback.toml").write_text(head + channels)
        with commands.postback("serve", "--port", "0", cwd=tmp_path) as receiver:
            address = await asyncio.to_thread(receiver.ready)
            hook = f"{address}/hooks/{CHANNEL}/{TOKEN}"
            answer = await asyncio.to_thread(
                httpx.post, hook, json=postback("N101", "T1"), trust_env=False, timeout=20
            )
            assert 200 == answer.status_code
            assert 1 == waiting(tmp_path / ".postback")
            await writable_again(database_url)
            assert await asyncio.to_thread(eventually, lambda: waiting(tmp_path / ".postback") == 0, 30)

    assert 1 == await asked(database_url, "SELECT count(*) FROM postback.payload")
