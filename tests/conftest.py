"""One Postgres for the whole run, one database per test, and no way off the machine."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from faults.ports import free_port as port_of_nobody
from receiver import commit, migrate, pulse
from receiver.db import ready
from tests.support import beds, network
from tests.support.beds import Bed
from tests.support.deadline import ends_in_time
from tests.support.debian import Missing
from tests.support.patience import PATIENCE

SCHEMA = "postback"
TEMPLATE = "migrated"

network.guard()
_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bed", choices=beds.NAMES, default="embedded", help="the Postgres to run on")


def pytest_configure(config: pytest.Config) -> None:
    """Ends the run at once where the bed's programs are missing."""
    try:
        beds.check(config.getoption("bed"))
    except Missing as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Ends a test that hangs, and shows its tasks: a run without an end says nothing."""
    with ends_in_time(item.nodeid):
        yield


@pytest.fixture(autouse=True)
def stays_on_this_machine() -> Iterator[None]:
    """Fails the test that connects to an address off the machine, whatever it made of the refusal."""
    network.attempts()
    yield
    left = network.attempts()
    if left:
        pytest.fail(f"the test tried to leave this machine: {', '.join(left)}")


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives Postgres a minute instead of a second, where what a busy machine needs is not the subject."""
    monkeypatch.setattr(commit, "PATIENCE", PATIENCE)
    monkeypatch.setattr(pulse, "ANSWER", PATIENCE)
    monkeypatch.setattr(ready, "START_PATIENCE", PATIENCE)


@pytest.fixture
def free_port() -> int:
    return port_of_nobody()


@pytest.fixture(scope="session")
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """The servers that ``--bed`` names."""
    with beds.laid(request.config.getoption("bed")) as laid:
        yield laid


@pytest.fixture(scope="session")
def postgres_url(bed: Bed) -> str:
    """The server's ``postgres`` database for its superuser, for what is not about our tables."""
    return bed.admin


@pytest.fixture(scope="session")
def template_url(bed: Bed) -> str:
    """A database with our migrations, to copy and to leave alone: nobody can copy it while it is in use."""
    url = asyncio.run(bed.create(TEMPLATE))
    # past a pooler, which would keep connections to it
    asyncio.run(migrate.upgrade(beds.direct(url), SCHEMA))
    return url


@pytest.fixture
async def database_url(bed: Bed, template_url: str) -> AsyncIterator[str]:
    """A migrated database of the test's own, dropped after it."""
    name = f"test_{next(_numbers)}"
    yield await bed.create(name, TEMPLATE)
    await bed.drop(name)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the test's database."""
    connection = await beds.connect(database_url)
    yield connection
    await connection.close()
