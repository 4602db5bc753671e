"""What is kept how long: a day is a day, and nothing younger goes."""

import asyncio
import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from models.events import Inbound, MediaPart
from receiver import janitor, partitions
from receiver.config import Settings, settings
from receiver.ingest import Ingest
from receiver.janitor import Report
from receiver.media import unused
from receiver.media.disk import Disk
from receiver.retention import SWEEPS, Cutoffs
from receiver.sources import Source
from tests.support.functions import called
from tests.support.idle import idle
from tests.support.inbound import eventually
from tests.support.store import SCHEMA, THEM, US, arrival, postback, send, store, told
from tests.test_partitions import at, stored_at

pytestmark = pytest.mark.stock

NOW = datetime.now(UTC)
KEEP_ALL = {"payloads": 0, "bodies": 0, "messages": 0}
SOURCE = Source("sinch-us", "sinch_mms", US)


def keeping(database_url: str, data_dir: Path, **days: int) -> Settings:
    """Settings that keep everything but what *days* name."""
    return settings(
        {"database_url": database_url, "data_dir": str(data_dir), "retention": {**KEEP_ALL, **days},
         "secret_key": ["a secret key for tests"]}
    )  # fmt: skip


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def inbound(name: str, **fields: Any) -> Inbound:
    told: dict[str, Any] = {"sender": THEM, "recipient": US, "text": "Yes", **fields}
    return Inbound(identity=(name,), provider_message_id=name, **told)


async def counts(connection: Any, *tables: str) -> list[int]:
    return [await connection.fetchval(f"SELECT count(*) FROM postback.{table}") for table in tables]  # noqa: S608


async def test_requests_go_on_their_own_day_and_messages_stay(
    database_url: str, db: Any, tmp_path: Path
) -> None:
    for days in (31.0, 30.01, 29.99, 1.0):
        await stored_at(db, ago(days), [arrival(postback("N101", f"T{days}"))])

    await janitor.run(keeping(database_url, tmp_path, payloads=30), NOW)

    # on the first days of a month a whole partition goes, and its rows are not counted one by one
    assert [2, 4, 4] == await counts(db, "payload", "message", "event")


async def test_texts_and_files_go_and_their_message_stays(database_url: str, db: Any, tmp_path: Path) -> None:
    part = MediaPart(url="https://carrier.example/a.png", content_type="image/png")
    await stored_at(db, ago(91), [told(SOURCE, inbound("old"))])
    await stored_at(db, ago(89), [told(SOURCE, inbound("new", media=(part,)))])

    await janitor.run(keeping(database_url, tmp_path, bodies=90), NOW)

    assert [2, 2, 1, 1] == await counts(db, "message", "event", "message_body", "media")


async def test_a_message_goes_with_everything_that_names_it(
    database_url: str, db: Any, tmp_path: Path
) -> None:
    old, new = ago(401), ago(399)
    for moment, name in ((old, "old"), (new, "new")):
        failed = postback("E102", f"T-{name}")
        await stored_at(db, moment, [arrival(failed), told(SOURCE, inbound(name, sender=f"+1206555{name}"))])
        message = await db.fetchval(
            "SELECT message_id FROM postback.reference WHERE provider_message_id = $1", f"T-{name}"
        )
        await db.execute("INSERT INTO postback.awaited_report VALUES ($1, now())", message)
        await db.execute("INSERT INTO postback.adopted VALUES ($1, $2)", at(moment), message)
        await db.execute("INSERT INTO postback.submission VALUES ($1, '', $2, 'sinch-us', NULL, 1)",
                         at(moment), message)  # fmt: skip
        await db.execute("UPDATE postback.conversation SET id = $1 WHERE contact = $2",
                         at(moment), f"+1206555{name}")  # fmt: skip
    await db.execute(
        "UPDATE postback.message m SET conversation_id = c.id FROM postback.conversation c"
        " WHERE c.contact = m.contact AND m.direction = 'inbound'"
    )
    tables = (
        "message", "event", "message_body", "reference", "attention", "awaited_report", "adopted",
        "submission", "conversation",
    )  # fmt: skip
    assert [4, 4, 2, 4, 2, 2, 2, 2, 2] == await counts(db, *tables)

    report = await janitor.run(keeping(database_url, tmp_path, messages=400), NOW)

    assert [2, 2, 1, 2, 1, 1, 1, 1, 1] == await counts(db, *tables)
    assert 2 == report.rows["message"]
    assert 0 == await db.fetchval(
        "SELECT count(*) FROM postback.event e LEFT JOIN postback.message m ON m.id = e.message_id"
        " WHERE m.id IS NULL"
    )


async def test_a_report_on_a_message_past_its_time_begins_a_new_one(
    database_url: str, db: Any, tmp_path: Path
) -> None:
    await stored_at(db, ago(401), [arrival(postback("N101", "T1"))])
    await janitor.run(keeping(database_url, tmp_path, messages=400), NOW)

    assert ["applied"] == await store(db, [arrival(postback("N102", "T1"))])
    assert [1, 1, 1] == await counts(db, "message", "event", "reference")


async def test_a_month_that_is_past_is_dropped_with_its_partitions(
    database_url: str, db: Any, tmp_path: Path
) -> None:
    await stored_at(db, ago(500), [arrival(postback("N101", "T1"))])
    await partitions.make(db, SCHEMA, NOW)
    month = ago(500).strftime("%Y%m")

    report = await janitor.run(keeping(database_url, tmp_path, payloads=30, messages=400), NOW)

    dropped = {partition.name for partition in report.dropped}
    assert {f"message_p_{month}", f"event_p_{month}", f"payload_p_{month}"} <= dropped
    assert [0, 0, 0, 0] == await counts(db, "message", "event", "payload", "reference")
    assert {} == await partitions.astray(db, SCHEMA)


async def test_zero_days_keep_everything(database_url: str, db: Any, tmp_path: Path) -> None:
    await stored_at(db, ago(4000), [told(SOURCE, inbound("old"))])

    report = await janitor.run(keeping(database_url, tmp_path), NOW)

    assert [1, 1, 1, 1] == await counts(db, "message", "event", "payload", "message_body")
    assert [] == report.dropped
    assert [] == [table for table, rows in report.rows.items() if rows]


async def test_a_send_that_may_still_go_out_is_kept_whatever_the_setting(
    database_url: str, db: Any, tmp_path: Path
) -> None:
    await send(db)

    await janitor.run(keeping(database_url, tmp_path, bodies=1, messages=1), NOW + timedelta(days=3))

    assert [1, 1, 1] == await counts(db, "message", "message_body", "outbox")


async def test_a_text_does_not_outlive_its_message() -> None:
    cutoffs = Cutoffs.at(NOW, settings({"retention": {"bodies": 0, "messages": 10}}).retention)

    assert cutoffs.messages == cutoffs.bodies == ago(10)


async def test_idempotency_keys_go_after_a_week(database_url: str, db: Any, tmp_path: Path) -> None:
    for days in (6.9, 7.1):
        await db.execute(
            "INSERT INTO postback.idempotency VALUES ('key', $1, '', '{}', $2)", str(days), ago(days)
        )

    await janitor.run(keeping(database_url, tmp_path), NOW)

    assert "6.9" == await db.fetchval("SELECT key FROM postback.idempotency")


async def test_more_than_a_batch_goes_in_one_run(
    database_url: str, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(janitor, "BATCH", 7)
    await stored_at(db, ago(401), [arrival(postback("N101", f"T{n}")) for n in range(30)])
    seen: list[tuple[str, int]] = []

    await janitor.run(
        keeping(database_url, tmp_path, messages=400), NOW, progress=lambda *told: seen.append(told)
    )

    assert [0, 0, 0] == await counts(db, "message", "event", "reference")
    assert [7, 14, 21, 28, 30] == sorted({rows for table, rows in seen if table == "message" and rows})


@pytest.mark.usefixtures("unhurried")
async def until_nobody_writes(db: Any) -> None:
    writing = """SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
                 AND xact_start IS NOT NULL AND backend_type = 'client backend'"""
    async with asyncio.timeout(60):
        while await db.fetch(writing):  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.05)


async def test_sweeping_beside_running_writers_loses_none_of_theirs(
    database_url: str, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports on messages that are going just then are acknowledged, and begin new ones."""
    monkeypatch.setattr(janitor, "BATCH", 20)
    names = [f"T{n}" for n in range(400)]
    await stored_at(db, ago(401), [arrival(postback("N101", name)) for name in names])
    ingest = Ingest(database_url, SCHEMA)
    ingest.open()
    waits = list[float]()

    async def report(name: str) -> str:
        begun = clock.seconds
        state = await ingest.put(arrival(postback("N102", name)))
        waits.append(clock.seconds - begun)
        return state

    async def reports() -> list[str]:
        states: list[str] = []
        for first in range(0, len(names), 8):
            states += await asyncio.gather(*(report(name) for name in reversed(names[first : first + 8])))
        return states

    async with idle() as clock:
        run = asyncio.create_task(janitor.run(keeping(database_url, tmp_path, messages=400), NOW))
        states = await reports()
        await run
        # a batch that took too long was written again; the first try of it may still lock its messages
        await until_nobody_writes(db)
        await janitor.run(keeping(database_url, tmp_path, messages=400), NOW)
        states += await reports()
    await ingest.close()

    lost = await db.fetch(
        """SELECT FROM unnest($1::text[]) name WHERE NOT EXISTS (
               SELECT FROM postback.reference r JOIN postback.message m ON m.id = r.message_id
               JOIN postback.event e ON e.message_id = m.id AND e.provider_status = 'N102'
               WHERE r.provider_message_id = name)""",
        names,
    )
    assert [] == lost
    assert 800 == len(states)
    assert {"applied", "duplicate"} >= set(states)
    unnamed = """SELECT id FROM postback.message m WHERE NOT EXISTS (
                     SELECT FROM postback.reference r WHERE r.message_id = m.id)"""
    assert [] == [str(row["id"]) for row in await db.fetch(unnamed)], "the ids tell when they were begun"
    assert [400, 400] == await counts(db, "message", "reference")
    assert max(waits) < 0.9


async def test_the_oldest_number_of_the_feed_follows_what_is_kept(
    database_url: str, db: Any, tmp_path: Path
) -> None:
    assert 1 == await db.fetchval(called("SELECT postback.oldest_seq()"))
    await stored_at(db, ago(401), [arrival(postback("N101", f"T{n}")) for n in range(3)])
    await stored_at(db, ago(1), [arrival(postback("N101", "new"))])
    assert 1 == await db.fetchval(called("SELECT postback.oldest_seq()"))

    await janitor.run(keeping(database_url, tmp_path, messages=400), NOW)

    assert 4 == await db.fetchval(called("SELECT postback.oldest_seq()"))
    await janitor.run(keeping(database_url, tmp_path, messages=400), NOW + timedelta(days=500))
    assert 5 == await db.fetchval(called("SELECT postback.oldest_seq()"))
    assert 4 == await db.fetchval("SELECT seq FROM postback.feed_head")


async def test_a_file_goes_when_no_message_and_no_template_has_it(
    database_url: str, db: Any, tmp_path: Path
) -> None:
    keep = Disk(tmp_path / "media")
    used, templated, of_before, named, quoted, idle = (at(ago(91)) for _ in range(6))
    for file_id in (used, templated, of_before, named, quoted, idle):
        await add_file(db, file_id, keep.put(file_id.bytes))
    await db.execute("INSERT INTO postback.media VALUES ($1, 0, $2, '', NULL, 1, 'stored')", at(ago(1)), used)

    def address(file_id: Any) -> str:
        return f"https://us.example/media/{file_id}/00/a.png"

    for content in (
        {"media": [{"url": address(templated), "file": str(templated)}]},
        {"media": [{"url": address(of_before)}]},
        # given by its address, and written down in words
        {"text": address(quoted), "media": [{"url": address(named), "file": None}]},
        {"text": address(quoted)},
    ):
        await db.execute(
            "INSERT INTO postback.template (id, origin, channel, provider, content, state, updated_at)"
            " VALUES ($1, 'api', 'c', 'p', $2, 'ready', now())",
            at(ago(91)), json.dumps(content),
        )  # fmt: skip

    await janitor.run(keeping(database_url, tmp_path, bodies=90), NOW)

    rows = await db.fetch("SELECT id FROM postback.file")
    assert {used, templated, of_before} == {row["id"] for row in rows}


async def test_bytes_on_disk_go_a_week_after_their_last_row(
    database_url: str, db: Any, tmp_path: Path
) -> None:
    keep = Disk(tmp_path / "media")
    named, old, young = (keep.put(content) for content in (b"named", b"old", b"young"))
    await add_file(db, at(ago(1)), named)
    for digest in (named, old):
        age(keep.path(digest), days=8)

    report = await janitor.run(keeping(database_url, tmp_path, bodies=90), NOW)

    assert (1, 3) == (report.files.files, report.files.bytes)
    assert [True, False, True] == [keep.path(digest).exists() for digest in (named, old, young)]


async def test_a_file_that_comes_again_is_not_taken_for_an_old_one(
    database_url: str, db: Any, tmp_path: Path
) -> None:
    keep = Disk(tmp_path / "media")
    digest = keep.put(b"again")
    age(keep.path(digest), days=8)
    keep.put(b"again")

    assert 0 == (await unused.sweep(keep, db, SCHEMA, NOW)).files
    assert b"again" == keep.read(digest)


async def test_what_an_interrupted_write_or_sweep_left_behind_is_cleared_up(db: Any, tmp_path: Path) -> None:
    keep = Disk(tmp_path / "media")
    digest = keep.put(b"set aside")
    path = keep.path(digest)
    draft = path.with_name(f".{path.name}.123.abcd")
    draft.write_bytes(b"half")
    age(path.rename(path.with_name(f".{path.name}.unused")), days=8)
    age(draft, days=8)

    await unused.sweep(keep, db, SCHEMA, NOW)

    assert b"set aside" == keep.read(digest)
    assert [path.name] == [left.name for left in path.parent.iterdir()]


async def test_every_table_is_swept_or_bounded_otherwise(db: Any) -> None:
    """A table that is new is to say what bounds it, here and in docs/operations.md."""
    rows = await db.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'postback'::regnamespace"
        " AND relkind IN ('r', 'p') AND NOT relispartition"
    )
    tables = {row["relname"] for row in rows}
    swept = {sweep.table for sweep in SWEEPS} | {"event"}
    page = (Path(__file__).parent.parent / "docs" / "operations.md").read_text(encoding="utf-8")

    assert swept <= tables
    assert set() == {table for table in tables if f"`{table}`" not in page}


async def test_of_all_processes_one_runs_it(database_url: str, tmp_path: Path) -> None:
    configured = keeping(database_url, tmp_path)
    turns = await asyncio.gather(
        *(janitor._is_our_turn(configured, janitor.TURN, janitor.SPACING) for _ in range(4))
    )

    assert [False, False, False, True] == sorted(turns)


async def test_the_log_tells_only_what_happened() -> None:
    assert {} == Report(rows={"payload": 0}).fields()
    assert {"rows": {"payload": 2}} == Report(rows={"payload": 2}).fields()


async def add_file(connection: Any, file_id: UUID, digest: bytes) -> None:
    await connection.execute(
        "INSERT INTO postback.file VALUES ($1, $2, 1, 'image/png', 'a.png', now(), NULL)", file_id, digest
    )


def age(path: Path, *, days: int) -> None:
    then = time.time() - days * 86400
    os.utime(path, (then, then))


async def test_it_is_tidied_up_round_after_round(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(janitor, "SPACING", timedelta(0))
    with capture_logs() as logged:
        async with janitor.alongside(keeping(database_url, tmp_path), look=0.3):
            await eventually(lambda: [line["event"] for line in logged].count("tidied up") >= 3)
