"""A log that is damaged anywhere costs the records whose bytes were damaged, and no other."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from receiver.spool import Record, damage, erase, waiting
from receiver.spool.file import packed
from tests.test_spool import begin_log, files, holding, opened, record

#: bytes of SQLite's own before the values of a record: its length, its number, its columns' types
_BEFORE = 24
_FRAME, _HEADER = 24 + 4096, 32


async def written(where: Path, records: list[Record], *, checkpointed: bool = True) -> tuple[bytes, bytes]:
    """The main file and the log of a process that is killed after *records*, a commit for each."""
    async with opened(where) as spool:
        [path] = files(where)
        if checkpointed:
            begin_log(path)
        for one in records:
            await spool.put(one)
        return path.read_bytes(), path.with_name(f"{path.name}-wal").read_bytes()


def found(where: Path, main: bytes, log: bytes) -> tuple[list[Record], int]:
    """What is there after *main* and *log* were opened, and how many files were set aside."""
    where.mkdir()
    (where / "a.sqlite").write_bytes(main)
    (where / "a.sqlite-wal").write_bytes(log)
    with closing(damage.opened(where / "a.sqlite")) as file:
        records = [kept.record for kept in file.first(1000)]
    aside = damage.count(where)
    shutil.rmtree(where)
    return records, aside


def places(log: bytes, one: Record) -> list[range]:
    """Where the log has *one*, as often as its page was written."""
    values = b"".join(
        value if isinstance(value, bytes)
        else value.to_bytes(8) if isinstance(value, int)
        else value.encode() if isinstance(value, str) else b""
        for value in packed(one)
    )  # fmt: skip
    at, spans = log.find(values), []
    while at >= 0:
        spans.append(range(at - _BEFORE, at + len(values)))
        at = log.find(values, at + 1)
    return spans


def flips(log: bytes) -> Iterator[int]:
    """Every byte of every header, and one of so many in between."""
    yield from range(_HEADER)
    for frame in range(_HEADER, len(log), _FRAME):
        yield from range(frame, frame + 24 + 16)
    yield from range(0, len(log), 61)


def flipped(log: bytes, at: int, length: int = 1) -> bytes:
    return log[:at] + bytes(byte ^ 0xFF for byte in log[at : at + length]) + log[at + length :]


async def test_a_byte_that_is_another_costs_no_record_but_the_one_that_it_is_in(tmp_path: Path) -> None:
    records = [record(turn) for turn in range(4)]
    main, log = await written(tmp_path / "source", records)
    spans = {one.payload.id: places(log, one) for one in records}
    assert [4, 3, 2, 1] == [len(spans[one.payload.id]) for one in records]

    costly = 0
    for at in flips(log):
        after, _ = found(tmp_path / "torn", main, flipped(log, at))
        whole = [one for one in records if any(at not in span for span in spans[one.payload.id])]
        assert whole == [one for one in after if one in whole], at
        assert after == [one for one in records if one in after], at
        costly += len(after) < len(records)
    assert 0 < costly < 20


async def test_a_log_that_begins_with_the_table_itself_is_searched_as_well(tmp_path: Path) -> None:
    """The first process of all is killed before anything went to the main file, and a frame near the
    beginning is damaged: SQLite finds no table, and whoever makes one writes over what lies there."""
    records = [record(turn) for turn in range(4)]
    main, log = await written(tmp_path / "source", records, checkpointed=False)
    for frame in range(_HEADER, len(log) - 2 * _FRAME, _FRAME):
        after, aside = found(tmp_path / "torn", main, flipped(log, frame + 3000, 16))
        assert (records, 1) == (after, aside), frame


async def test_records_that_go_on_over_many_pages_come_through(tmp_path: Path) -> None:
    records = [record(turn, body=os.urandom(20_000 + 4092 * turn + turn)) for turn in range(6)]
    records.append(record(6, body=os.urandom(3 << 20), reason=None, peer=None))
    main, log = await written(tmp_path / "source", records)

    for number, one in enumerate(records[:-1]):
        at = log.find(one.payload.body[9000:9100])
        after, aside = found(tmp_path / "torn", main, flipped(log, at))
        assert ([*records[:number], *records[number + 1 :]], 1) == (after, aside)


@pytest.mark.parametrize("length", [1, 16, 4096])
async def test_a_whole_log_and_a_torn_end_are_nobodys_damage(tmp_path: Path, length: int) -> None:
    """What an ended commit never was, nobody was promised: it is not looked for."""
    records = [record(turn) for turn in range(3)]
    main, log = await written(tmp_path / "source", records)
    assert (records, 0) == found(tmp_path / "torn", main, log)
    assert (records[:2], 0) == found(tmp_path / "torn", main, log[:-length])


async def test_what_left_before_the_damage_stays_away(tmp_path: Path) -> None:
    records = [record(turn) for turn in range(6)]
    where = tmp_path / "source"
    async with opened(where) as spool:
        [path] = files(where)
        begin_log(path)
        for one in records[:3]:
            await spool.put(one)
        await spool.delete(await spool.first(2))
        size = path.with_name(f"{path.name}-wal").stat().st_size
        for one in records[3:]:
            await spool.put(one)
        main, log = path.read_bytes(), path.with_name(f"{path.name}-wal").read_bytes()

    after, aside = found(tmp_path / "torn", main, flipped(log, size + 2000))
    assert (records[2:], 1) == (after, aside)


async def test_a_number_behind_the_damage_is_erased_and_its_neighbours_are_not(tmp_path: Path) -> None:
    records = [record(turn, body=b"to +1206555%04d" % turn) for turn in range(5)]
    main, log = await written(tmp_path / "source", records)
    spool = tmp_path / "data" / "spool"
    spool.mkdir(parents=True)
    (spool / "a.sqlite").write_bytes(main)
    (spool / "a.sqlite-wal").write_bytes(flipped(log, _HEADER + _FRAME + 2000))

    assert 1 == erase(tmp_path / "data", ["12065550003"])
    assert 4 == waiting(tmp_path / "data")
    assert [] == holding(spool, b"12065550003")
    async with opened(spool) as ours:
        assert [*records[:3], records[4]] == [kept.record for kept in await ours.first(10)]
