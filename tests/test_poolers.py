"""What a pooler in between changes: nothing that anybody sees."""

import asyncio
import re

import asyncpg
import pytest
from sqlalchemy import text

from receiver import db
from receiver.db import Mode, Unreachable, connecting
from receiver.db.connection import Direct, Pooled
from tests.support import debian
from tests.support.pgbouncer import PgBouncer
from tests.support.processes import ROOT, frozen
from tests.support.stock import asked, lending, pooler, stock, url

__all__ = ["lending", "pooler", "stock"]


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    """Nothing that another test has found out about an address is known."""
    connecting._known.clear()


async def test_what_is_in_between_is_found_out(stock: debian.Postgres, pooler: tuple[str, Mode]) -> None:
    through, mode = pooler

    assert (mode, Mode.DIRECT) == (await db.mode(through), await db.mode(url(stock, "")))
    assert "off" == await asked(through, "SHOW jit")


async def test_a_server_that_hangs_behind_a_pooler_is_told_in_time(
    stock: debian.Postgres, pooler: tuple[str, Mode]
) -> None:
    through, _ = pooler
    await asked(through)  # from now on the pooler accepts connections by itself
    connecting._known.clear()
    server = stock._process
    assert server

    with frozen(server.pid):
        async with asyncio.timeout(60):
            with pytest.raises(Unreachable, match=r"answers nothing for 1 s|cannot be reached"):
                await db.connect(f"{through}&connect_timeout=1")


async def test_statements_of_many_go_through_any_pooler(pooler: tuple[str, Mode]) -> None:
    """They have few servers between them, and no server has seen what another one has prepared."""
    through, _ = pooler

    async def ask(who: int) -> None:
        async with db.connected(through) as connection:
            for turn in range(20):
                assert who * turn == await connection.fetchval(f"SELECT {who} * $1::int", turn)
            await connection.executemany("SELECT $1::int", [(1,), (2,)])
            with pytest.raises(asyncpg.DivisionByZeroError):
                await connection.fetchval("SELECT 1 / $1::int", 0)
            assert 1 == await connection.fetchval("SELECT 1")

    async def ask_models(who: int) -> None:
        engine = db.engine(through, size=2)
        for turn in range(5):
            async with engine.begin() as connection:
                statement = text(f"SELECT {who} * :turn")
                assert who * turn == (await connection.execute(statement, {"turn": turn})).scalar_one()
        await engine.dispose()

    await asyncio.gather(*map(ask, range(8)), *map(ask_models, range(4)))


async def test_types_that_the_driver_has_to_ask_about_go_through_a_pooler(
    stock: debian.Postgres, lending: PgBouncer
) -> None:
    owner = stock.url(debian.SUPERUSER)
    await asked(owner, "CREATE TYPE public.pair AS (name text, number int)")
    try:
        async with db.connected(lending.url) as connection:
            for _ in range(3):
                found = await connection.fetchval("SELECT $1::public.pair[]", [("a", 1)])
                assert [("a", 1)] == [tuple(pair) for pair in found]
            assert 0 == await connection.fetchval("SELECT count(*) FROM pg_prepared_statements")
        # whoever is lent the server next finds it as it was
        another = await asyncpg.connect(lending.url, statement_cache_size=0)
        assert "on" == await another.fetchval("SHOW jit")
        await another.close()
    finally:
        await asked(owner, "DROP TYPE public.pair")


async def test_a_transaction_stays_one_through_a_pooler(lending: PgBouncer) -> None:
    async with db.connected(lending.url) as one, db.connected(lending.url) as other:
        async with one.transaction(isolation="repeatable_read"):
            mine = {await one.fetchval("SELECT pg_backend_pid()") for _ in range(5)}
            others = {await other.fetchval("SELECT pg_backend_pid()") for _ in range(5)}
            assert "repeatable read" == await one.fetchval("SHOW transaction_isolation")
            assert "off" == await one.fetchval("SHOW jit")

        assert 1 == len(mine)
        assert set() == mine & others


async def test_a_canceled_statement_leaves_no_transaction_open(lending: PgBouncer) -> None:
    connection = await db.connect(lending.url)
    with pytest.raises(TimeoutError):
        await connection.fetch("SELECT pg_sleep(30)", timeout=0.2)

    assert connection.is_closed()


async def test_a_word_of_the_url_saves_finding_out(stock: debian.Postgres, lending: PgBouncer) -> None:
    lent = await db.connect(url(stock, "pgbouncer=true"))
    kept = await db.connect(f"{lending.url}&statement_cache_size=100")

    assert (Pooled, Direct) == (type(lent), type(kept))
    assert [] == [known.mode for known in connecting._known.values() if known.mode]
    lent.terminate()
    kept.terminate()


async def test_a_pooler_that_comes_later_is_found_out_by_what_it_forgets(lending: PgBouncer) -> None:
    place = db.address(lending.url)
    connecting._of(place).mode = Mode.DIRECT
    first, second = await db.connect(lending.url), await db.connect(lending.url)
    await first.fetchval("SELECT 1")
    async with second.transaction():
        await second.execute("SELECT 1")  # on the server that knows the other's statement
        with pytest.raises(asyncpg.InvalidSQLStatementNameError):
            await first.fetchval("SELECT 1")
    first.terminate()
    second.terminate()
    async with db.connected(lending.url) as third:
        assert isinstance(third, Pooled)


def test_nothing_relies_on_a_session() -> None:
    """Behind a pooler the next statement may be on another server."""
    # the role of the embedded database is prepared too
    lasting = re.compile(
        r"""\(f?["']SET (?!LOCAL)[\w{]|pg_(try_)?advisory_(lock|unlock)|set_config\(.*false\)"""
        r"""|(?<!postgres_role)\.prepare\("""
    )
    rooms = ("receiver", "sender", "postback", "migrations")
    sources = [path for room in rooms for path in (ROOT / room).rglob("*") if path.suffix in (".py", ".sql")]
    found = {
        path.relative_to(ROOT).as_posix()
        for path in sources
        for line in path.read_text(encoding="utf-8").splitlines()
        if lasting.search(line)
    }

    # where a pooler keeps a server for each connection, which is found out before; and where a statement is
    # prepared for its types alone, in a transaction
    assert {"receiver/db/connecting.py", "receiver/db/pools.py"} == found
