"""The fault harness notices what it is there to notice."""

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from benchmarks.traffic import known
from faults import apps, report, rows
from faults.audit import Balance, counted
from faults.callers import Answer
from faults.journal import FAILED, INDETERMINATE, OK, Journal, Told
from faults.processes import _kind
from faults.rows import Result
from faults.rows_postgres import back_after
from faults.traffic import Mixed
from tests.support.beds import connect
from tests.support.store import arrival, postback, store


async def test_what_is_lost_halved_or_doubled_in_the_database_is_noticed(database_url: str) -> None:
    bodies = [orjson.dumps(postback("N102", f"MMSMT{number}")) for number in range(4)]
    told = {number: Told(body, 1, [OK]) for number, body in enumerate(bodies)}
    connection = await connect(database_url)

    async def found() -> Balance:
        return await counted(connection, told)

    for number, body in enumerate(bodies):
        arrived = arrival(orjson.loads(body))
        await store(connection, [replace(arrived, payload=arrived.payload._replace(body=body))])
        assert Balance(requests=4, acknowledged=4, lost=3 - number, doubled=0) == await found()
    await connection.execute(
        "INSERT INTO postback.event SELECT (jsonb_populate_record(e, jsonb_build_object("
        "'key', gen_random_uuid(), 'id', gen_random_uuid()))).* FROM postback.event e ORDER BY seq LIMIT 1"
    )
    assert Balance(requests=4, acknowledged=4, lost=0, doubled=1) == await found()
    await connection.execute("DELETE FROM postback.event WHERE seq = 2")
    assert Balance(requests=4, acknowledged=4, lost=1, doubled=1, gaps=1) == await found()
    await connection.execute("DELETE FROM postback.reference WHERE provider_message_id = 'MMSMT2'")
    assert Balance(requests=4, acknowledged=4, lost=2, doubled=2, gaps=1) == await found()
    await connection.close()


async def test_the_journal_has_a_request_before_it_is_sent_and_tells_its_outcomes(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")

    await journal.intend(7, b'{"a": "b c"}')
    before = (tmp_path / "journal").read_bytes()
    journal.outcome(7, INDETERMINATE)
    await journal.intend(7, b'{"a": "b c"}')
    journal.outcome(7, OK)
    await journal.intend(8, b"{}")
    journal.outcome(8, FAILED)
    told = journal.read()
    journal.close()

    assert b'> 7 {"a": "b c"}\n' == before
    assert [INDETERMINATE, OK] == told[7].outcomes
    assert (b'{"a": "b c"}', 2, True) == (told[7].body, told[7].tries, told[7].acknowledged)
    assert not told[8].acknowledged


@pytest.mark.parametrize(
    "balance", [Balance(9, 9, lost=1, doubled=0), Balance(9, 9, 0, 1), Balance(9, 9, 0, 0, gaps=1)]
)
def test_a_loss_a_double_or_a_gap_in_the_feed_fails_the_row(balance: Balance) -> None:
    result = Result()

    result.add(Balance(9, 9, 0, 0))
    assert result.holds
    result.add(balance)

    assert not result.holds
    assert [2, 18] == [result.rounds, result.requests]


def test_a_seed_tells_every_request_and_another_seed_tells_others() -> None:
    messages = known(2000)
    first, again, other = (Mixed(seed, messages) for seed in (1, 1, 2))
    bodies = [first.body(serial) for serial in range(5000)]

    assert bodies == [again.body(serial) for serial in range(5000)]
    assert bodies != [other.body(serial) for serial in range(5000)]
    assert 5000 == len(set(bodies))


def test_intake_is_back_when_it_has_nine_tenths_of_its_rate() -> None:
    def served(since: float, until: float) -> list[Answer]:
        return [Answer(n, n / 100, 0.0, 200, OK, False) for n in range(int(since * 100), int(until * 100))]

    assert 0.0 == back_after(served(10, 20), former=100, ended=10.0)
    assert 2.0 <= back_after(served(12.2, 20), former=100, ended=10.0) <= 2.2
    assert float("inf") == back_after(served(16, 30), former=100, ended=10.0)


def test_a_number_of_the_feed_that_is_given_to_two_events_is_noticed() -> None:
    told, first, second = apps.Told(), uuid4(), uuid4()

    for sequence, event in ((1, first), (2, second), (1, first)):
        told.hear(sequence, event)
    before = set(told.reused)
    told.hear(2, first)

    assert (set(), {2}) == (before, told.reused)


def test_processes_are_known_by_their_command_lines() -> None:
    lines = {
        "/x/python -m postback up --no-simulator": "up",
        "/x/python -m postback serve --port 1 --workers 2": "serve",
        "/x/python -m postback serve --host h --port 1 --shared": "worker",
        "/x/python -m postback send": "send",
        "/x/bin/postgres -D /y -c port=5432": "postmaster",
        "postgres: postgres postgres [local] idle": "backend",
        "postgres: walwriter": "other",
        "sleep 1": "other",
    }

    assert lines == {line: _kind(line) for line in lines}


def test_a_row_tried_alone_takes_its_place_among_the_others_in_file_and_page(tmp_path: Path) -> None:
    page, kept = tmp_path / "faults.md", tmp_path / "latest.json"
    page.write_text(f"before\n{report.BEGIN}\nan older table\n{report.END}\nafter\n")
    [first, second, *_] = rows.every()
    machine = {"cores": 2, "processor": "one", "system": "Linux", "python": "3.11", "fsync_ms": 0.2}

    for row, result, processor in (
        (second, Result(2, 9, 9), "one"),
        (first, Result(1, 5, 5, lost=1, holds=False, notes=["No"]), "another"),
    ):
        there = {**machine, "processor": processor}
        made = report.as_dict([(row, result, 3.0)], there, seed=1, short=False)
        made = report.merged(made, kept)
        report.write(made, kept)
        report.publish(made, page)

    assert [first.name, second.name] == list(orjson.loads(kept.read_bytes())["rows"])
    assert page.read_text().startswith(f"before\n{report.BEGIN}\n")
    assert page.read_text().endswith(f"{report.END}\nafter\n")
    assert "an older table" not in page.read_text()
    assert "2 cores, one, Linux" in page.read_text()
    assert "| 1 | 5 | 5 | 1 | 0 | NO | No; tried alone, " in page.read_text()
    assert ", another |" in page.read_text()
    assert "| 2 | 9 | 9 | 0 | 0 | yes |  |" in page.read_text()


def test_every_row_says_what_breaks_and_what_must_hold() -> None:
    table = rows.every()

    assert {"killed", "postgres", "failover", "outage", "spool", "stopped", "sender"} <= {
        row.name for row in table
    }
    assert all(row.fault and row.must for row in table)
    assert sorted(row.number for row in table) == [row.number for row in table]
