"""Debian's Postgres and PgBouncer, for tests that need them whatever ``--bed`` says."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from receiver import db
from receiver.db import Mode
from tests.support import debian
from tests.support.pgbouncer import PROGRAM, PgBouncer


@pytest.fixture(scope="module")
def stock() -> Iterator[debian.Postgres]:
    """Debian's Postgres: TLS only, scram, and one role that shows a certificate instead of a password. The
    test is skipped where the packages are not installed."""
    for program, package in ((debian.PROGRAMS / "initdb", "postgresql-15"), (PROGRAM, "pgbouncer")):
        try:
            debian.check(program, package)
        except debian.Missing as missing:
            pytest.skip(str(missing))
    with tempfile.TemporaryDirectory(prefix="postback-tests-") as directory:
        settings = {
            "listen_addresses": "127.0.0.1,127.0.0.2",
            "ssl_ca_file": f"{directory}/ca.pem",
            "fsync": "off",
        }
        with debian.Postgres(Path(directory), settings) as server:
            asyncio.run(_admit_certificates(server))
            yield server


async def _admit_certificates(server: debian.Postgres) -> None:
    hba = server.directory / "data" / "pg_hba.conf"
    hba.write_text("hostssl all localhost 127.0.0.1/32 cert\n" + hba.read_text())
    connection = await asyncpg.connect(server.url(debian.SUPERUSER))
    await connection.execute("CREATE ROLE localhost LOGIN")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


@pytest.fixture(scope="module", params=["transaction", "session"])
def pooler(request: pytest.FixtureRequest, stock: debian.Postgres) -> Iterator[tuple[str, Mode]]:
    """The URL of Debian's PgBouncer, and its mode."""
    with _running(stock, request.param, f"pool_mode = {request.param}") as running:
        yield running.url, Mode[request.param.upper()]


@pytest.fixture(scope="module")
def lending(stock: debian.Postgres) -> Iterator[PgBouncer]:
    """Debian's PgBouncer in transaction mode, as it comes."""
    with _running(stock, "lending") as running:
        yield running


def _running(server: debian.Postgres, name: str, more: str = "") -> PgBouncer:
    directory = server.directory / name
    directory.mkdir()
    debian.own(directory)
    return PgBouncer(directory, server, more)


def url(server: debian.Postgres, words: str, *, role: str = f"{debian.OWNER}:{debian.PASSWORD}") -> str:
    return f"postgresql://{role}@{server.address}/postgres?{words}"


async def asked(database_url: str, question: str = "SELECT 1") -> object:
    async with db.connected(database_url) as connection:
        return await connection.fetchval(question)


async def in_every_way(database_url: str, question: str) -> list[object]:
    """What a single connection, the driver's pool and SQLAlchemy's engine answer."""
    pool, engine = db.pool(database_url, size=2), db.engine(database_url)
    await pool
    async with db.pooled(pool, 5) as connection, engine.connect() as through_models:
        answers = [
            await asked(database_url, question),
            await connection.fetchval(question),
            (await through_models.execute(text(question))).scalar_one(),
        ]
    await db.let_go(pool)
    await engine.dispose()
    return answers
