"""Group commit: one transaction for many, an answer only after it, and no caller pays for another."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from receiver import db
from receiver.commit import PATIENCE, GroupCommit, Poisoned, Unavailable, Undecided
from tests.support.beds import connect
from tests.support.processes import frozen

Committer = GroupCommit[Any, str]
Write = Callable[[Any, Sequence[Any]], Awaitable[Sequence[str]]]


async def write(connection: Any, items: Sequence[str]) -> Sequence[str]:
    """Keeps *items*; an item that is no integer is poison, and so is one that is there already."""
    await connection.execute("INSERT INTO kept SELECT word::integer FROM unnest($1::text[]) word", items)
    return [f"kept {item}" for item in items]


@pytest.fixture
async def url(postgres_url: str) -> AsyncIterator[str]:
    admin = await asyncpg.connect(postgres_url)
    await admin.execute("CREATE SCHEMA commits CREATE TABLE kept (id integer PRIMARY KEY)")
    yield f"{postgres_url}&options=-csearch_path%3Dcommits"
    await admin.execute("DROP SCHEMA commits CASCADE")
    await admin.close()


@asynccontextmanager
async def committing(url: str, write: Write = write, **options: Any) -> AsyncIterator[Committer]:
    committer: Committer = GroupCommit(lambda: db.connect(url), write, **options)
    committer.open()
    yield committer
    await committer.close()


async def fetched(url: str, statement: str) -> Any:
    connection = await connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def put_all(committer: Committer, items: Sequence[str]) -> list[Any]:
    return await asyncio.gather(*map(committer.put, items), return_exceptions=True)


async def test_many_at_once_share_transactions_and_each_gets_its_own_answer(url: str) -> None:
    items = [str(number) for number in range(1000)]

    async with committing(url, batch=250) as committer:
        answers = await put_all(committer, items)

    assert [f"kept {item}" for item in items] == answers
    assert 1000 == await fetched(url, "SELECT count(*) FROM kept")
    # xmin is the transaction that wrote a row
    assert 4 == await fetched(url, "SELECT count(DISTINCT xmin::text) FROM kept")


async def test_while_one_batch_commits_the_next_one_gathers(url: str) -> None:
    async with committing(url) as committer:
        first = asyncio.create_task(committer.put("1"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await put_all(committer, [str(number) for number in range(2, 50)])
        await first

    assert 2 == await fetched(url, "SELECT count(DISTINCT xmin::text) FROM kept")


async def test_an_answer_means_that_everybody_sees_the_row(url: str) -> None:
    watcher = await connect(url)
    lock = asyncio.Lock()

    async def seen(committer: Committer, item: int) -> bool:
        await committer.put(str(item))
        async with lock:
            return bool(await watcher.fetchval("SELECT true FROM kept WHERE id = $1", item))

    async with committing(url) as committer:
        found = await asyncio.gather(*(seen(committer, item) for item in range(100)))
    await watcher.close()

    assert [True] * 100 == found


async def test_heavy_items_fill_a_batch_and_the_heaviest_goes_alone(url: str) -> None:
    batches: list[list[str]] = []

    async def noted(connection: Any, items: Sequence[str]) -> Sequence[str]:
        batches.append(list(items))
        return await write(connection, items)

    async with committing(url, noted, batch=10, weigh=int) as committer:
        await put_all(committer, ["4", "6", "3", "8", "99", "1", "2"])

    assert [["4", "6"], ["3"], ["8"], ["99"], ["1", "2"]] == batches


@pytest.mark.parametrize("poison", ["no number", "99999999999", "nul\0", "\ud800", "7"])
async def test_a_poisoned_item_fails_alone(url: str, poison: str) -> None:
    items = [str(number) for number in range(100)]
    async with committing(url) as committer:
        await committer.put("7")
        items.remove("7")
        items.insert(40, poison)
        answers = await put_all(committer, items)

    assert [poison] == [
        item for item, answer in zip(items, answers, strict=True) if isinstance(answer, Exception)
    ]
    assert isinstance(answers[40], Poisoned)
    assert 100 == await fetched(url, "SELECT count(*) FROM kept")


def failing(state: str, times: int) -> Write:
    """*times* real errors of Postgres with SQLSTATE *state*, then success."""

    async def fails(connection: Any, items: Sequence[str]) -> Sequence[str]:
        nonlocal times
        times -= 1
        if times >= 0:
            await connection.execute(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$")
        return await write(connection, items)

    return fails


@pytest.mark.parametrize("state", ["40001", "40P01", "55P03"])
async def test_a_lost_race_for_locks_is_run_again(url: str, state: str) -> None:
    async with committing(url, failing(state, 3)) as committer:
        assert ["kept 1", "kept 2"] == await put_all(committer, ["1", "2"])


async def test_a_race_that_is_always_lost_is_given_up_in_time(url: str) -> None:
    async with committing(url, failing("40001", 10_000)) as committer:
        async with asyncio.timeout(PATIENCE + 0.5):
            [answer] = await put_all(committer, ["1"])

    assert isinstance(answer, Unavailable)


@pytest.mark.parametrize(
    ("state", "meaning"),
    [("08006", Undecided), ("25006", Unavailable), ("26000", Unavailable), ("42P05", Unavailable),
     ("42501", Unavailable), ("53100", Unavailable), ("53200", Unavailable), ("57014", Unavailable),
     ("57P01", Undecided), ("23514", Unavailable),
     ("22P02", Poisoned), ("22021", Poisoned), ("54000", Poisoned), ("54001", Poisoned), ("23505", Poisoned),
     ("23502", Poisoned), ("XX000", Poisoned), ("P0001", Poisoned), ("58030", Poisoned)],
)  # fmt: skip
async def test_the_code_of_an_error_tells_whether_the_item_or_postgres_is_ill(
    url: str, state: str, meaning: type[Exception]
) -> None:
    async with committing(url, failing(state, 1)) as committer:
        [answer] = await put_all(committer, ["1"])
        assert ["kept 2"] == await put_all(committer, ["2"])

    assert meaning is type(answer)


async def test_a_connection_that_takes_longer_to_open_than_a_batch_has_is_there_for_a_later_one(
    url: str,
) -> None:
    tries = list[int]()

    async def connect_slowly() -> Any:
        tries.append(len(tries))
        await asyncio.sleep(1.2 * PATIENCE)
        return await db.prepared(url, "SELECT 1")

    committer: Committer = GroupCommit(connect_slowly, write)
    committer.open()
    [early] = await put_all(committer, ["1"])
    async with asyncio.timeout(20):
        while isinstance(late := (await put_all(committer, ["2"]))[0], Unavailable):
            pass
    await committer.close()

    assert Unavailable is type(early)
    assert "kept 2" == late
    assert [2] == await fetched(url, "SELECT array_agg(id) FROM kept")


async def test_a_connection_is_opened_before_the_first_item_comes(url: str) -> None:
    opened = asyncio.Event()

    async def connect_and_tell() -> Any:
        connection = await db.connect(url)
        opened.set()
        return connection

    committer: Committer = GroupCommit(connect_and_tell, write)
    committer.open()
    async with asyncio.timeout(20):
        await opened.wait()
    await committer.close()


async def test_a_prepared_connection_knows_the_types_of_its_statements(url: str) -> None:
    statement = "SELECT $1::commits.kept[]"
    connection, asked = await db.prepared(url, statement), list[str]()
    with connection.query_logger(lambda query: asked.append(query.query)):
        await connection.fetch(statement, [(1,)])
    await connection.close()

    assert [statement] == asked


async def test_an_error_quotes_no_row(url: str) -> None:
    """Postgres shows the failing row in the details of an error, and these words reach a log."""
    async with committing(url) as committer:
        answers = await put_all(committer, ["12065550123", "1"])
        answers += await put_all(committer, ["1"])

    assert "DETAIL" in str(answers[2].__cause__)
    assert 'UniqueViolationError: duplicate key value violates unique constraint "kept_pkey"' == str(
        answers[2]
    )


async def test_a_fault_in_the_writing_stops_nobody_for_good(url: str) -> None:
    async def faulty(connection: Any, items: Sequence[str]) -> Sequence[str]:
        if "bad" in items:
            raise KeyError("bad")
        return (await write(connection, items))[: 1 if "short" in items else None]

    async with committing(url, faulty) as committer:
        answers = await put_all(committer, ["1", "bad", "2"])
        assert ["kept 1", "kept 2"] == [answers[0], answers[2]]
        assert isinstance(answers[1], Poisoned)


async def test_a_caller_who_hangs_up_disturbs_nobody_and_is_committed_all_the_same(url: str) -> None:
    async with committing(url) as committer:
        puts = [asyncio.create_task(committer.put(str(item))) for item in range(10)]
        await asyncio.sleep(0)
        puts[3].cancel()
        answers = await asyncio.gather(*puts, return_exceptions=True)

    assert isinstance(answers.pop(3), asyncio.CancelledError)
    assert [f"kept {item}" for item in range(10) if item != 3] == answers
    assert 10 == await fetched(url, "SELECT count(*) FROM kept")


async def test_closing_commits_what_was_accepted_and_accepts_nothing_more(url: str) -> None:
    async with committing(url, batch=10) as committer:
        puts = [asyncio.create_task(committer.put(str(item))) for item in range(95)]
        await asyncio.sleep(0)

    assert [f"kept {item}" for item in range(95)] == [await put for put in puts]
    with pytest.raises(Unavailable):
        await committer.put("1000")


async def test_a_connection_that_died_unseen_costs_a_repeatable_item_nothing(url: str) -> None:
    async with committing(url, repeatable=True) as committer:
        await committer.put("1")
        await fetched(url, f"SELECT pg_terminate_backend({pid_of(committer)})")
        assert "kept 2" == await committer.put("2")


async def test_a_connection_that_dies_at_work_costs_a_repeatable_item_nothing(url: str) -> None:
    tries: list[int] = []

    async def dying(connection: Any, items: Sequence[str]) -> Sequence[str]:
        tries.append(1)
        if len(tries) == 2:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return await write(connection, items)

    async with committing(url, dying, repeatable=True) as committer:
        assert ["kept 1", "kept 2"] == [await committer.put("1"), await committer.put("2")]
    assert 3 == len(tries)


async def test_a_connection_that_dies_at_work_fails_what_must_not_be_written_twice(url: str) -> None:
    async def dying(connection: Any, items: Sequence[str]) -> Sequence[str]:
        if items == ["2"]:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return await write(connection, items)

    async with committing(url, dying) as committer:
        await committer.put("1")
        with pytest.raises(Unavailable):
            await committer.put("2")
        assert "kept 3" == await committer.put("3")


async def test_a_frozen_backend_is_given_up_after_its_second_and_replaced(url: str) -> None:
    async with committing(url, repeatable=True) as committer:
        await committer.put("1")
        with frozen(pid_of(committer)):
            async with asyncio.timeout(PATIENCE + 0.5):
                [answer] = await put_all(committer, ["2"])
            assert Undecided is type(answer)
            assert "kept 3" == await committer.put("3")


async def test_a_queue_before_a_frozen_server_is_told_within_its_patience(url: str) -> None:
    """Not batch by batch, each with a second of its own."""

    async def asleep(connection: Any, items: Sequence[str]) -> Sequence[str]:
        await connection.execute("SELECT pg_sleep(60)")
        return []

    waits: list[float] = []

    async def waited(committer: Committer, item: str) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        with pytest.raises(Unavailable):
            await committer.put(item)
        waits.append(loop.time() - start)

    async with committing(url, asleep, batch=10) as committer, asyncio.TaskGroup() as callers:
        for number in range(120):
            callers.create_task(waited(committer, str(number)))
            await asyncio.sleep(0.01)

    assert 120 == len(waits)
    assert max(waits) < PATIENCE + 0.4


def pid_of(committer: Committer) -> int:
    assert committer._connection
    return int(committer._connection.get_server_pid())
