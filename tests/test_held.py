"""A waiting request that Postgres does not take, while it takes others, keeps none of them from it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import orjson
import pytest

from receiver import backlog
from receiver.drain import Drain
from receiver.spool import Spool, erase
from tests.support.beds import connect
from tests.support.patience import PATIENCE
from tests.support.receiver import Receiver, running
from tests.support.store import postback
from tests.test_spool import files, holding, opened, record

#: what `refusing` is about
STUCK = "stuck"


@asynccontextmanager
async def receiving(database_url: str, tmp_path: Path) -> AsyncIterator[Receiver]:
    async with running(database_url, data_dir=tmp_path / "data", spool=True) as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lone tries follow each other within the time that a test has."""
    monkeypatch.setattr(backlog, "PAUSE", 0.5)
    monkeypatch.setattr(backlog, "LONGEST_PAUSE", 1.0)


async def refusing(database_url: str, does: str) -> None:
    """From now on Postgres *does* that to requests with `STUCK` in them."""
    connection = await connect(database_url)
    await connection.execute(
        f"""CREATE OR REPLACE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF position('{STUCK}'::bytea IN NEW.body) > 0 THEN {does}; END IF;
                RETURN NEW;
            END $$;
            CREATE OR REPLACE TRIGGER refuses BEFORE INSERT ON postback.payload
                FOR EACH ROW EXECUTE FUNCTION refuses()"""
    )
    await connection.close()


#: an error that says nothing about what was written, such as a role's own time limit
CANCELED = "RAISE EXCEPTION 'canceled' USING ERRCODE = '57014'"


async def post(receiver: Receiver, *names: str) -> list[int]:
    return [
        (
            await receiver.client.post(receiver.hook(), content=orjson.dumps(postback("N101", name)))
        ).status_code
        for name in names
    ]


async def until(holds: Callable[[], bool], within: float = PATIENCE) -> None:
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - another task's
            await asyncio.sleep(0.02)


async def told(receiver: Receiver) -> list[str]:
    """The carrier's ids in all events."""
    rows = await receiver.rows(
        """SELECT r.provider_message_id AS id FROM postback.event e
           JOIN postback.reference r USING (message_id)"""
    )
    return sorted(row["id"] for row in rows)


def drain(receiver: Receiver) -> Drain:
    assert receiver.app._drain
    return receiver.app._drain


def waits(receiver: Receiver) -> int:
    return drain(receiver).figures.records


async def held(receiver: Receiver) -> float:
    page = (await receiver.client.get(f"{receiver.url}/metrics")).text
    [line] = [line for line in page.splitlines() if line.startswith("postback_spool_held_requests ")]
    return float(line.split()[1])


async def until_held(receiver: Receiver, number: int) -> None:
    """Returns once the metrics tell of *number* held requests: they may be a second old."""
    async with asyncio.timeout(PATIENCE):
        while number != await held(receiver):  # noqa: ASYNC110 - another task's
            await asyncio.sleep(0.05)


async def test_a_request_that_postgres_never_takes_waits_and_the_others_go_past_it(
    database_url: str, tmp_path: Path
) -> None:
    await refusing(database_url, CANCELED)
    names = [f"t{turn}" for turn in range(40)]
    async with receiving(database_url, tmp_path) as receiver:
        assert [200] * 41 == await post(receiver, STUCK, *names)
        await until(lambda: waits(receiver) == 1)
        await until(lambda: drain(receiver)._own.held == 1)
        await until_held(receiver, 1)

        assert sorted(names) == await told(receiver)
        assert not receiver.app._ingest.away
        await until(lambda: [] == holding(tmp_path / "data" / "spool", b'"t7"'))
        assert [200] == await post(receiver, "direct")
        assert "direct" in await told(receiver)

        await refusing(database_url, "NULL")
        await until(lambda: waits(receiver) == 0)
        assert sorted([STUCK, "direct", *names]) == await told(receiver)
        assert ["applied"] * 42 == await receiver.states()
        await until_held(receiver, 0)


async def test_many_such_requests_in_front_are_gone_past_as_well(database_url: str, tmp_path: Path) -> None:
    """More than are looked at together, so that nothing near them shows that Postgres takes others."""
    await refusing(database_url, CANCELED)
    stuck, names = [f"{STUCK}-{turn}" for turn in range(40)], [f"t{turn}" for turn in range(40)]
    async with receiving(database_url, tmp_path) as receiver:
        assert [200] * 80 == await post(receiver, *stuck, *names)
        await until(lambda: waits(receiver) == 40)
        assert sorted(names) == await told(receiver)

        await refusing(database_url, "NULL")
        await until(lambda: waits(receiver) == 0)
        assert sorted([*stuck, *names]) == await told(receiver)


async def test_a_message_that_somebody_has_locked_costs_only_its_own_reports_time(
    database_url: str, tmp_path: Path
) -> None:
    names = [f"t{turn}" for turn in range(20)]
    async with receiving(database_url, tmp_path) as receiver:
        assert [200] == await post(receiver, "locked")
        connection = await connect(database_url)
        async with connection.transaction():
            await connection.execute("SELECT FROM postback.message FOR UPDATE")
            late = orjson.dumps(postback("N102", "locked"))
            assert 200 == (await receiver.client.post(receiver.hook(), content=late)).status_code
            assert [200] * 20 == await post(receiver, *names)
            await until(lambda: waits(receiver) == 1)
            assert sorted(["locked", *names]) == await told(receiver)
        await connection.close()
        await until(lambda: waits(receiver) == 0)
        assert sorted(["locked", "locked", *names]) == await told(receiver)


async def test_a_request_that_takes_longer_than_a_batch_has_gets_its_time(
    database_url: str, tmp_path: Path
) -> None:
    await refusing(database_url, "PERFORM pg_sleep(1.5)")
    async with receiving(database_url, tmp_path) as receiver:
        assert [200] * 3 == await post(receiver, STUCK, "t1", "t2")
        await until(lambda: waits(receiver) == 0)
        assert [STUCK, "t1", "t2"] == await told(receiver)


async def test_a_request_that_cannot_be_read_again_keeps_no_other_from_postgres(
    database_url: str, tmp_path: Path
) -> None:
    where = tmp_path / "data" / "spool"
    async with opened(where) as spool:
        await spool.put(record(0, headers="no json"))
        for turn in range(1, 20):
            await spool.put(record(turn))
    async with receiving(database_url, tmp_path) as receiver:
        await until(lambda: waits(receiver) == 1)
        assert 19 == len(await receiver.payloads())


async def test_what_does_not_go_from_a_dead_neighbours_spool_stays_there_and_is_tried_again(
    database_url: str, tmp_path: Path
) -> None:
    where = tmp_path / "data" / "spool"
    await refusing(database_url, CANCELED)
    async with opened(where), opened(where) as theirs:
        await filled(theirs)
    async with receiving(database_url, tmp_path) as receiver:
        await until(lambda: waits(receiver) == 1)
        assert 19 == len(await receiver.payloads())
        await refusing(database_url, "NULL")
        await until(lambda: waits(receiver) == 0)
        assert 20 == len(await receiver.payloads())
        assert 1 == len(list(where.glob("*.sqlite")))


async def filled(spool: Spool) -> None:
    await spool.put(record(0, body=STUCK.encode()))
    for turn in range(1, 20):
        await spool.put(record(turn))


async def test_a_held_request_that_is_erased_is_not_waited_for(database_url: str, tmp_path: Path) -> None:
    await refusing(database_url, CANCELED)
    async with receiving(database_url, tmp_path) as receiver:
        assert [200] * 3 == await post(receiver, "t1", STUCK, "t2")
        await until(lambda: waits(receiver) == 1)
        await until(lambda: drain(receiver)._own.held == 1)
        await until_held(receiver, 1)
        assert 1 == await asyncio.to_thread(erase, tmp_path / "data", [STUCK])
        await until(lambda: waits(receiver) == 0)
        assert ["t1", "t2"] == await told(receiver)


async def test_a_held_request_that_is_damaged_is_not_waited_for_and_hides_no_new_one(
    database_url: str, tmp_path: Path
) -> None:
    await refusing(database_url, CANCELED)
    async with receiving(database_url, tmp_path) as receiver:
        assert [200] == await post(receiver, STUCK)
        await until(lambda: drain(receiver)._own.held == 1)
        [path] = files(tmp_path / "data" / "spool")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("UPDATE record SET peer = 'another'")
        spool = receiver.app._spool
        assert spool
        await spool.put(record(1))

        await until(lambda: waits(receiver) == 0)
        assert 1 == len(await receiver.payloads())
        assert 1 == drain(receiver).figures.damaged
