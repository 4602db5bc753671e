"""What `postback doctor` finds, and what it says to do."""

import socket
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from faults.ports import free_port
from postback import checkup, checkup_database, checkup_secrets
from postback.checkup import Finding, Level
from receiver import migrate, partitions, sql
from receiver.config import Settings, settings
from tests.support import commands
from tests.support.beds import direct
from tests.support.functions import changed
from tests.support.receiver import CHANNELS, running
from tests.support.store import SCHEMA, arrival, postback
from tests.test_partitions import stored_at

pytestmark = pytest.mark.stock

NOW = datetime.now(UTC)


def configured(database_url: str = "", **more: Any) -> Settings:
    keys = {"secret_key": ["a key that is made for tests"], "listen_url": direct(database_url)}
    return settings({"database_url": database_url, **keys, **more})


async def examined(settings: Settings) -> dict[str, Finding]:
    """What is said of the database, by the name of the check."""
    return {finding.check: finding async for finding in checkup_database.examine(settings)}


def troubles(findings: dict[str, Finding]) -> dict[str, Level]:
    return {name: finding.level for name, finding in findings.items() if finding.level is not Level.OK}


async def test_a_database_as_it_should_be_gives_nothing_to_do(database_url: str) -> None:
    found = await examined(configured(database_url))

    # the tests' own server is a fast one
    assert {"durability": Level.FAILURE} == troubles(found)
    assert "fsync, full_page_writes, synchronous_commit is off" == found["durability"].said


async def test_a_database_that_is_away_is_a_failure(free_port: int) -> None:
    found = await examined(configured(f"postgresql://127.0.0.1:{free_port}/nowhere"))

    assert ["database"] == list(found)
    assert "check database_url" in found["database"].said


async def test_tables_and_functions_of_another_version_are_named(database_url: str, db: Any) -> None:
    for statement in sql.drop_statements(SCHEMA):
        await db.execute(statement)
    functions = (await examined(configured(database_url)))["schema"]
    await db.execute("UPDATE postback.alembic_version SET version_num = '0001'")
    tables = (await examined(configured(database_url)))["schema"]
    elsewhere = (await examined(configured(database_url, schema="nobodys")))["schema"]

    assert [Level.FAILURE] * 3 == [finding.level for finding in (functions, tables, elsewhere)]
    assert "functions" in functions.said
    assert "is at 0001" in tables.said
    assert {"run: postback migrate"} == {finding.remedy for finding in (functions, tables, elsewhere)}


async def test_a_version_beside_a_later_one_is_told_to_be_upgraded(
    database_url: str, db: Any, tmp_path: Path
) -> None:
    await migrate.install(db, SCHEMA, changed(tmp_path))
    await db.execute("UPDATE postback.alembic_version SET version_num = '9999'")
    found = (await examined(configured(database_url)))["schema"]

    assert Level.WARNING is found.level
    assert "at 9999, of a later version" in found.said
    assert "upgrade what still runs this version" == found.remedy


async def test_a_missing_month_and_rows_of_no_month_are_failures(database_url: str, db: Any) -> None:
    now = [
        p for p in await partitions.existing(db, SCHEMA) if p.begin <= NOW < p.end and p.table == "payload"
    ]
    await partitions.drop(db, SCHEMA, now)
    await stored_at(db, NOW, [arrival(postback("N101", "T1"))])
    found = await examined(configured(database_url))

    assert f"missing from {NOW:%B %Y} on" == found["partitions"].said
    assert "1 rows of payload" == found["default partitions"].said
    assert Level.FAILURE is found["partitions"].level is found["default partitions"].level

    await partitions.make(db, SCHEMA, NOW)
    assert {"durability"} == set(troubles(await examined(configured(database_url))))


async def test_what_is_past_its_time_says_that_no_janitor_runs(database_url: str, db: Any) -> None:
    await stored_at(db, NOW - timedelta(days=40), [arrival(postback("N101", "T1"))])
    found = (await examined(configured(database_url)))["janitor"]

    assert Level.WARNING is found.level
    assert "payload (" in found.said
    assert "message (" not in found.said


async def test_a_secret_key_that_the_database_does_not_know_is_a_failure(database_url: str, db: Any) -> None:
    await db.execute("INSERT INTO postback.secret_key_check VALUES ('another')")

    assert Level.FAILURE is (await examined(configured(database_url)))["secret key used"].level


async def test_looking_writes_nothing(database_url: str, db: Any, tmp_path: Path) -> None:
    settings = configured(database_url, data_dir=str(tmp_path))
    await examined(settings)
    for check in (*checkup_secrets.LOCAL, *checkup.LOCAL):
        list(check(settings))

    assert 0 == await db.fetchval("SELECT count(*) FROM postback.secret_key_check")
    assert [] == left_in(tmp_path)


async def test_the_address_of_a_running_receiver_is_asked(database_url: str) -> None:
    async with running(database_url, CHANNELS) as receiver:
        [there] = await checkup.address(configured(public_url=receiver.url))
        [elsewhere] = await checkup.address(configured(public_url=f"{receiver.url}/v1"))
    [gone] = await checkup.address(configured(public_url=f"http://127.0.0.1:{free_port()}"))
    [unset] = await checkup.address(configured())

    assert [Level.OK, Level.FAILURE, Level.FAILURE, Level.WARNING] == [
        finding.level for finding in (there, elsewhere, gone, unset)
    ]


async def test_a_receiver_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "ADDRESS_DEADLINE", 0.2)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        [found] = await checkup.address(configured(public_url=f"http://127.0.0.1:{port}"))

    assert Level.FAILURE is found.level


def left_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def test_requests_that_wait_and_files_that_are_damaged_are_counted(tmp_path: Path) -> None:
    settings = configured(data_dir=str(tmp_path))
    (tmp_path / "spool" / "damaged").mkdir(parents=True)
    with sqlite3.connect(tmp_path / "spool" / "one.sqlite") as spool:
        spool.execute("CREATE TABLE record (seq INTEGER PRIMARY KEY, received_at INTEGER)")
        long_ago = (NOW - timedelta(hours=3)).timestamp() * 1_000_000
        spool.executemany("INSERT INTO record (received_at) VALUES (?)", [(long_ago,), (long_ago + 5,)])
    spool.close()
    [waiting] = checkup.spool(settings)
    (tmp_path / "spool" / "two.sqlite").write_bytes(b"no database at all, but of some length" * 100)
    damaged, _ = checkup.spool(settings)

    assert "2 requests wait, the oldest for 3 h" == waiting.said
    assert (Level.WARNING, Level.FAILURE) == (waiting.level, damaged.level)
    assert "1 damaged files" == damaged.said


def test_a_data_directory_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    [found] = checkup.disk(configured(data_dir=str(tmp_path / "file")))

    assert Level.FAILURE is found.level


def test_weak_channels_are_warned_of() -> None:
    channels = {
        "open": {"provider": "swift", "insecure": True, "from": ["+18885551234"]},
        "fine": {"provider": "swift", "tokens": ["a-token-of-some-length"], "from": ["+18885551234"]},
    }
    found = {finding.check: finding.level for finding in checkup.channels(configured(channels=channels))}

    assert {"channel open": Level.WARNING, "channel fine": Level.OK} == found


def test_requests_that_outlive_the_texts_in_them_are_warned_of() -> None:
    [found] = checkup.retention(configured(retention={"payloads": 30, "bodies": 7}))

    assert Level.WARNING is found.level


def test_the_command_says_a_line_for_each_check_and_fails_when_one_does(tmp_path: Path) -> None:
    code, output, _ = commands.run("doctor", cwd=tmp_path)
    lines = output.splitlines()

    assert 1 == code
    assert {"ok", "warning", "failure"} == {line.split()[0] for line in lines}
    assert lines[-1].startswith("failure")
    assert "start `postback up` there first" in lines[-1]
    assert [] == [line for line in lines if line != line.rstrip()]


def test_the_command_names_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "postback.toml").write_text("[retention]\nbodys = 3\n")
    code, output, _ = commands.run("doctor", cwd=tmp_path)

    assert 1 == code
    assert output.startswith("failure   configuration")
    assert "bodies" in output
