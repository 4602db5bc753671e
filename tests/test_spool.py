"""The spool: what it has taken survives, what is damaged is noticed, and what it cannot take it refuses."""

import asyncio
import os
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from receiver.rows import PayloadRow, new_id
from receiver.spool import Record, Spool, SpoolError, SpoolFull, abandoned, damage, erase, waiting
from tests.support import processes

START = datetime(2026, 11, 21, 9, 0, 0, 123456, tzinfo=UTC)


def record(number: int, **fields: Any) -> Record:
    payload = PayloadRow(
        new_id(), "sinch-us", "applied", None, "POST", "a=1&b=%FC", '{"content-type":"application/json"}',
        b'{"number": %d, "nul": "\0", "latin": "\xe9"}' % number, "192.0.2.1",
        START + timedelta(seconds=number),
    )  # fmt: skip
    return Record(payload._replace(**fields))


@asynccontextmanager
async def opened(where: Path, **options: Any) -> AsyncIterator[Spool]:
    spool = Spool(where, **options)
    await spool.open()
    try:
        yield spool
    finally:
        await spool.close()


async def filled(where: Path, number: int) -> list[Record]:
    records = [record(turn) for turn in range(number)]
    async with opened(where) as spool:
        for one in records:
            await spool.put(one)
    return records


async def read(where: Path) -> list[Record]:
    """All that waits in the first file, after opening it anew."""
    async with opened(where) as spool:
        return [kept.record for kept in await spool.first(10_000)]


def holding(where: Path, words: bytes) -> list[Path]:
    return [path for path in where.rglob("*") if path.is_file() and words in path.read_bytes()]


def files(where: Path) -> list[Path]:
    return sorted(where.glob("*.sqlite"))


async def test_what_comes_back_is_what_was_put_in_the_order_in_which_it_came(tmp_path: Path) -> None:
    records = [
        record(0),
        record(1, state="quarantined", reason="no sense in it: \ud800é", peer=None, query=""),
        record(2, state="unverified", reason="authentication failed", body=b""),
        record(3, body=os.urandom(3 << 20)),
    ]
    async with opened(tmp_path) as spool:
        for one in records:
            await spool.put(one)
        figures = spool.figures

    assert (4, START, 0) == (figures.records, figures.oldest, figures.damaged)
    assert 3 << 20 < figures.size < 4 << 20
    expected = [*records]
    expected[1] = records[1]._replace(payload=records[1].payload._replace(reason="no sense in it: ?é"))
    found = await read(tmp_path)
    assert expected == found
    assert [True, True, False, True] == [one.authentic for one in found]


async def test_many_callers_share_a_commit(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        await asyncio.gather(*(spool.put(record(turn)) for turn in range(2000)))
        [path] = files(tmp_path)
        log = path.with_name(f"{path.name}-wal").stat().st_size
        assert 2000 == spool.figures.records
    # each commit writes at least a page of its own: 4 kB for every record would be 8 MB
    assert log < 3 << 20


async def test_what_has_left_leaves_nothing_in_the_file(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        await asyncio.gather(*(spool.put(record(turn, body=b"+12065550123" * 300)) for turn in range(300)))
        while kept := await spool.first(100):
            await spool.delete(kept)

        assert (0, None) == (spool.figures.records, spool.figures.oldest)
        assert spool.figures.size < 64 << 10
        assert [] == holding(tmp_path, b"2065550123")
    assert [] == holding(tmp_path, b"")


async def test_it_refuses_when_it_is_full_and_takes_again_when_there_is_room(tmp_path: Path) -> None:
    async with opened(tmp_path, capacity=1 << 20) as spool:
        for turn in range(15):
            await spool.put(record(turn, body=bytes(50_000)))
        with pytest.raises(SpoolFull):  # noqa: PT012 - somewhere among these
            for turn in range(10):
                await spool.put(record(turn, body=bytes(50_000)))
        assert not spool.usable

        await spool.delete(await spool.first(100))
        await asyncio.sleep(0.6)
        await spool.put(record(0))
        assert spool.usable


async def test_the_last_of_the_disk_is_left_to_others(tmp_path: Path) -> None:
    async with opened(tmp_path, reserve=shutil.disk_usage(tmp_path).total) as spool:
        with pytest.raises(SpoolFull):
            await spool.put(record(0))


async def test_a_directory_that_cannot_be_used_is_an_error_until_it_can(tmp_path: Path) -> None:
    where = tmp_path / "spool"
    where.write_text("somebody's file")
    async with opened(where) as spool:
        assert not spool.usable
        with pytest.raises(SpoolError):
            await spool.put(record(0))

        where.unlink()
        await asyncio.sleep(1.1)
        await spool.put(record(1))
        assert spool.usable
    assert 1 == len(await read(where))


async def test_a_file_that_is_removed_from_under_it_is_made_again(tmp_path: Path) -> None:
    """What was in it is gone; what comes from then on must not go into a file without a name."""
    async with opened(tmp_path) as spool:
        await spool.put(record(0))
        for path in holding(tmp_path, b""):
            path.unlink()
        await spool.put(record(1))
    assert [1] == [one.payload.received_at.second for one in await read(tmp_path)]


async def test_records_before_a_torn_tail_survive_wherever_it_is_torn(tmp_path: Path) -> None:
    """The log cut all over its last commit, and at the edges of all others."""
    source = tmp_path / "source"
    expected: list[Record] = []
    ends: list[int] = []
    async with opened(source) as spool:
        [path] = files(source)
        begin_log(path)
        for turn in range(4):
            expected.append(record(turn))
            await spool.put(expected[-1])
            ends.append(path.with_name(f"{path.name}-wal").stat().st_size)
        main, log = path.read_bytes(), path.with_name(f"{path.name}-wal").read_bytes()

    cuts = [
        *range(ends[-2], ends[-1] + 1, 17),
        ends[-1],
        *(end + by for end in ends[:-1] for by in (-1, 0, 1)),
    ]
    torn = tmp_path / "torn"
    for cut in cuts:
        torn.mkdir()
        (torn / "a.sqlite").write_bytes(main)
        (torn / "a.sqlite-wal").write_bytes(log[:cut])
        whole = sum(1 for end in ends if end <= cut)
        with closing(damage.opened(torn / "a.sqlite")) as file:
            assert expected[:whole] == [kept.record for kept in file.first(10)], cut
        assert not (torn / "damaged").exists(), cut
        shutil.rmtree(torn)


async def test_commits_behind_damage_in_the_log_are_saved_and_it_is_reported(tmp_path: Path) -> None:
    """SQLite ends the log at the damaged place without a word; acknowledged records lie beyond it."""
    source, hurt = tmp_path / "source", tmp_path / "hurt"
    ends: list[int] = []
    async with opened(source) as spool:
        [path] = files(source)
        log = path.with_name(f"{path.name}-wal")
        begin_log(path)
        for turn in range(4):
            await spool.put(record(turn))
            ends.append(log.stat().st_size)
        shutil.copytree(source, hurt)
    flip(hurt / log.name, ends[1] + 2000)

    async with opened(hurt) as spool:
        assert [0, 1, 2, 3] == [one.record.payload.received_at.second for one in await spool.first(10)]
        assert 1 == spool.figures.damaged
        await spool.put(record(9))
    assert [0, 1, 2, 3, 9] == [one.payload.received_at.second for one in await read(hurt)]


async def test_a_file_whose_log_was_damaged_can_be_looked_into_and_loses_nothing_by_that(
    tmp_path: Path,
) -> None:
    """Whoever closes a file gives up his process's locks on it, SQLite's among them; and the next to look in
    takes himself for the last, and removes the log that its owner goes on writing."""
    async with opened(tmp_path / "source") as spool:
        [path] = files(tmp_path / "source")
        begin_log(path)
        for turn in range(4):
            await spool.put(record(turn))
        shutil.copytree(tmp_path / "source", tmp_path / "spool")
    flip(tmp_path / "spool" / f"{path.name}-wal", -6000)

    async with opened(tmp_path / "spool") as spool:
        assert 1 == spool.figures.damaged
        look = "import sys, pathlib, receiver.spool; receiver.spool.waiting(pathlib.Path(sys.argv[1]))"
        with processes.python(look, str(tmp_path)) as other:
            assert 0 == await asyncio.to_thread(other.wait)
        await spool.put(record(9))
        shutil.copytree(tmp_path / "spool", tmp_path / "killed")

    assert 9 == (await read(tmp_path / "killed"))[-1].payload.received_at.second


async def test_a_record_under_the_number_of_one_that_was_erased_stays_when_that_one_is_removed(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "spool") as spool:
        await spool.put(record(0, body=b"12065550123"))
        read_before = await spool.first(10)
        assert 1 == await asyncio.to_thread(erase, tmp_path, ["12065550123"])
        await spool.put(record(1))
        await spool.delete(read_before)

        assert [1] == seconds(await spool.first(10))


async def test_a_record_in_a_new_file_after_damage_stays_when_one_of_the_old_file_is_removed(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as spool:
        for turn in range(200):
            await spool.put(record(turn))
        read_before = await spool.first(16)
        [path] = files(tmp_path)
        begin_log(path)
        flip(path, 0, path.stat().st_size)
        await spool.put(record(9))
        await spool.delete(read_before)

        assert [9] == seconds(await spool.first(10))


async def test_the_directory_itself_is_on_the_disk_before_anything_is_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").resolve())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    async with opened(tmp_path / "data" / "spool"):
        pass

    assert {tmp_path, tmp_path / "data"} == set(synced)


def begin_log(path: Path) -> None:
    """Empties the log, so that it ends where the last commit does."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def flip(path: Path, at: int, length: int = 16) -> None:
    """*length* bytes from *at* on; a negative one is counted from the end."""
    at %= path.stat().st_size
    with path.open("r+b") as file:
        file.seek(at)
        old = file.read(length)
        file.seek(at)
        file.write(bytes(byte ^ 0xFF for byte in old))


async def test_a_record_that_is_not_what_was_written_is_set_aside_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    await filled(tmp_path, 10)
    [path] = files(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE record SET body = x'7b7d' WHERE seq = 4")

    async with opened(tmp_path) as spool:
        assert [0, 1, 2, 4, 5, 6, 7, 8, 9] == [
            one.record.payload.received_at.second for one in await spool.first(100)
        ]
        assert (9, 1) == (spool.figures.records, spool.figures.damaged)
        assert 1 == len(files(tmp_path / "damaged"))
    async with opened(tmp_path) as spool:
        assert (9, 1) == (spool.figures.records, spool.figures.damaged)


@pytest.mark.parametrize("at", ["header", "a page in the middle", "the end is missing", "everything"])
async def test_a_damaged_file_is_set_aside_and_what_can_be_read_is_saved(tmp_path: Path, at: str) -> None:
    records = await filled(tmp_path, 200)
    [path] = files(tmp_path)
    pages = path.stat().st_size // 4096
    assert pages > 10
    if at == "header":
        flip(path, 0, 100)
    elif at == "a page in the middle":
        flip(path, pages // 2 * 4096, 4096)
    elif at == "the end is missing":
        os.truncate(path, pages * 3 // 4 * 4096)
    else:
        flip(path, 0, path.stat().st_size)

    async with opened(tmp_path) as spool:
        with_spool = [one.record for one in await spool.first(1000)]
        assert 1 == spool.figures.damaged
        await spool.put(record(1000))
        assert with_spool == [one.record for one in await spool.first(1000)][:-1]
    assert 1 == len(files(tmp_path / "damaged"))
    by_id = {one.payload.id: one for one in records}
    assert [by_id[one.payload.id] for one in with_spool] == with_spool
    if at == "a page in the middle":
        assert 150 < len(with_spool) < 200
    elif at != "the end is missing":
        assert [] == with_spool


async def test_damage_while_it_is_open_costs_no_caller_anything(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        for turn in range(200):
            await spool.put(record(turn))
        [path] = files(tmp_path)
        begin_log(path)
        flip(path, 0, path.stat().st_size)
        for turn in range(5):
            await spool.put(record(turn))
        assert (5, 1) == (len(await spool.first(1000)), spool.figures.damaged)
        assert spool.usable


async def test_nobody_takes_the_file_of_the_living_and_anybody_that_of_the_dead(tmp_path: Path) -> None:
    code = """
import asyncio, sys
from pathlib import Path
from receiver.spool import Spool
from tests.test_spool import record
async def main():
    spool = Spool(Path(sys.argv[1]))
    await spool.open()
    for turn in range(5):
        await spool.put(record(turn))
    print("ready", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    with processes.python(code, str(tmp_path)) as owner:
        assert "ready" == await asyncio.to_thread(processes.line, owner)
        async with opened(tmp_path) as ours:
            await ours.put(record(9))
            assert [] == list(abandoned(tmp_path))

            owner.send_signal(signal.SIGKILL)
            owner.wait()
            [theirs] = list(abandoned(tmp_path))
            assert [] == list(abandoned(tmp_path))
            await theirs.open()
            kept = await theirs.first(10)
            assert [0, 1, 2, 3, 4] == seconds(kept)
            await theirs.delete(kept)
            await theirs.close()
            assert [9] == seconds(await ours.first(10))
            assert 1 == len(files(tmp_path))


def seconds(kept: Sequence[Any]) -> list[int]:
    return [one.record.payload.received_at.second for one in kept]


async def test_every_acknowledged_record_is_there_after_a_kill(tmp_path: Path) -> None:
    code = """
import asyncio, sys
from pathlib import Path
from receiver.spool import Spool
from tests.test_spool import record
async def main():
    spool = Spool(Path(sys.argv[1]))
    await spool.open()
    async def caller(number):
        turn = 0
        while True:
            one = record(number * 100_000 + turn)
            await spool.put(one)
            print(one.payload.id, flush=True)
            turn += 1
    await asyncio.gather(*map(caller, range(16)))
asyncio.run(main())
"""
    acknowledged = set()
    for _ in range(3):
        with processes.python(code, str(tmp_path)) as writer:
            assert writer.stdout
            acknowledged |= {(await asyncio.to_thread(processes.line, writer)) for _ in range(200)}
            writer.send_signal(signal.SIGKILL)
            acknowledged |= set(writer.stdout.read().split())
    stored = {str(one.payload.id) for one in await read(tmp_path)}
    assert len(acknowledged) > 600
    assert set() == acknowledged - stored


async def test_a_number_is_erased_from_all_files_also_from_those_in_use(tmp_path: Path) -> None:
    where = tmp_path / "spool"
    async with opened(where) as first, opened(where) as second:
        for spool in (first, second):
            for turn in range(5):
                await spool.put(record(turn, body=b'{"to": "+1206555%04d"}' % turn))
        aside = where / "damaged"
        aside.mkdir()
        (aside / "old.sqlite").write_bytes(b"x" * 1_048_570 + b"from +12065550003, to +12065550004")

        assert 10 == waiting(tmp_path)
        assert 2 == erase(tmp_path, ["+12065550003", "12065550003"])
        assert 0 == erase(tmp_path, ["+12065550003", ""])
        assert 8 == waiting(tmp_path)
        assert [0, 1, 2, 4] == seconds(await second.first(10))
        assert [] == holding(where, b"2065550003")
        assert b"2065550004" in (aside / "old.sqlite").read_bytes()
        await first.put(record(7))
        await second.put(record(7))
