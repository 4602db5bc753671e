"""One Postgres for the whole run, one database per test, and no way off the machine."""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from postback.embedded import EmbeddedPostgres
from receiver import migrate
from tests.support import network

SCHEMA = "postback"
TEMPLATE = "migrated"

#: nothing here survives the run; tests of durability start a server of their own
FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}

network.guard()
_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def stays_on_this_machine() -> Iterator[None]:
    """Fails the test that connects to an address off the machine, whatever it made of the refusal."""
    network.attempts()
    yield
    left = network.attempts()
    if left:
        pytest.fail(f"the test tried to leave this machine: {', '.join(left)}")


@pytest.fixture
def free_port() -> int:
    return network.free_port()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The server's ``postgres`` database, for what is not about our tables."""
    with (
        tempfile.TemporaryDirectory(prefix="postback-tests-") as data_dir,
        EmbeddedPostgres(Path(data_dir), settings=FAST) as server,
    ):
        yield server.url


@pytest.fixture(scope="session")
def template_url(postgres_url: str) -> str:
    """A database with our migrations, to copy and to leave alone: nobody can copy it while it is in use."""
    asyncio.run(_execute(postgres_url, f"CREATE DATABASE {TEMPLATE}"))
    url = _named(postgres_url, TEMPLATE)
    asyncio.run(migrate.upgrade(url, SCHEMA))
    return url


@pytest.fixture
async def database_url(postgres_url: str, template_url: str) -> AsyncIterator[str]:
    """A migrated database of the test's own, dropped after it."""
    name = f"test_{next(_numbers)}"
    await _execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield _named(postgres_url, name)
    await _execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the test's database."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _named(url: str, database: str) -> str:
    return url.replace("/postgres?", f"/{database}?")
