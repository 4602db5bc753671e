"""The benchmark: it runs, it catches what it has to catch, and what it made fast stays fast."""

import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from uuid_utils.compat import uuid7

from benchmarks import door
from benchmarks.by_hand import STATUSES
from benchmarks.stored import Balance, balance
from benchmarks.traffic import ExternalReports, InboundMessages, KnownReports, known
from models.status import Status
from receiver.rows import SettledRow
from tests.support.beds import connect
from tests.support.functions import called
from tests.support.records import CHANNEL, accept, outgoing, own_event
from tests.support.store import US, arrival, postback, send, store

ROOT = Path(__file__).parent.parent


async def test_the_door_as_raw_asgi_and_behind_starlette_are_compared_turn_by_turn() -> None:
    """Each report of each turn is answered 200, or the turn fails."""
    straight, behind = await door.compared(2, 20)

    assert 2 == len(straight) == len(behind)
    assert min(*straight, *behind) > 0


@pytest.mark.rows
def test_a_short_run_counts_every_contender_and_names_no_machine(tmp_path: Path) -> None:
    output = tmp_path / "results" / "latest.json"
    turns = {"rounds": 1, "seconds": 1.0, "warm-up": 0.1, "connections": 16, "messages": 2000}
    options = {**turns, "few": 300, "many": 3000, "sends": 1000, "events": 200}
    command = [f"--{name}={value}" for name, value in options.items()]
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "benchmarks", *command, "--output", str(output)],
        cwd=ROOT, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip

    assert 0 == ran.returncode, ran.stderr
    report = orjson.loads(output.read_bytes())
    assert ["echo", "by hand, known", "Postback, known", "Postback, foreign", "Postback, inbound"] == list(
        report["entries"]
    )
    assert all(entry["counts"] and entry["rate"] > 0 for entry in report["entries"].values())
    assert "on" == report["postgres"]["fsync"] == report["postgres"]["synchronous_commit"]
    assert str(ROOT) not in output.read_text()
    assert socket.gethostname() not in output.read_text()
    assert all(label in ran.stdout for label in report["entries"])
    assert all(figure["value"] > 0 for figure in report["figures"])
    assert {figure["holds"] for figure in report["figures"]} <= {True, False, None}


class Kept:
    """A store that remembers what it is told to."""

    def __init__(self, stored: Mapping[bytes, tuple[int, int]]) -> None:
        self._stored = stored

    async def mark(self) -> None:
        return None

    async def since(self, mark: Any, origin: str) -> Mapping[bytes, tuple[int, int]]:
        return self._stored

    def identity(self, body: bytes) -> bytes:
        return body


async def test_an_acknowledged_request_that_is_absent_halved_or_doubled_is_noticed() -> None:
    stored = {b"whole": (1, 1), b"halved": (0, 1), b"doubled": (1, 2), b"not acknowledged": (1, 1)}

    found = await balance(Kept(stored), None, "api", [b"whole", b"halved", b"doubled", b"absent"])

    assert Balance(lost=2, doubled=1) == found


def test_no_two_requests_of_a_run_are_the_same() -> None:
    for traffic in (KnownReports(known(2000)), ExternalReports(), InboundMessages()):
        bodies = {traffic.body(serial) for serial in range(10_000)}

        assert 10_000 == len(bodies)


def test_every_known_message_is_reported_sent_and_delivered() -> None:
    traffic = KnownReports(known(2000))
    reports = [orjson.loads(traffic.body(serial)) for serial in range(4000)]

    told = {(report["tracking-id"], report["code"]) for report in reports}
    assert told == {(f"MMSMT{place:09}", code) for place in range(2000) for code in STATUSES}


@pytest.mark.parametrize("already_there", [0, 1, 5])
async def test_a_batch_reads_no_more_when_the_tables_have_grown_since_its_plans_were_made(
    database_url: str, already_there: int
) -> None:
    """A connection lives for weeks, and so do its plans; each month begins with empty partitions."""
    first = await connect(database_url)
    await first.execute("VACUUM ANALYZE")
    for turn in range(already_there):
        await _reads(first, 50 + turn)
    await first.close()
    connection = await connect(database_url)
    reads = [await _reads(connection, turn) for turn in range(30)]
    await connection.close()

    assert reads[10] > 0
    assert reads[29] < reads[10] * 1.3


async def _reads(connection: asyncpg.Connection, turn: int) -> int:
    """How many rows of the tables that grow for ever are read for one more batch of news."""
    _, submission_id = await send(connection)
    told = [postback("N101", f"ours-{turn}", **{"client-reference": str(submission_id)})]
    told += [postback("N101", f"theirs-{turn}-{place}") for place in range(20)]
    told += [inbound(f"reply-{turn}-{place}", f"1206555{turn:02}{place:02}") for place in range(20)]
    before = await _rows_read(connection)
    assert ["applied"] * len(told) == await store(connection, [arrival(one) for one in told])
    return await _rows_read(connection) - before


async def test_a_call_reads_no_more_when_the_queue_has_grown_since_its_plans_were_made(
    database_url: str,
) -> None:
    connection = await connect(database_url)
    await connection.execute("VACUUM ANALYZE")
    reads = [await _sent(connection, database_url) for _ in range(10)]
    for _ in range(10):
        await accept(database_url, *(outgoing() for _ in range(100)))
    reads.append(await _sent(connection, database_url))
    await connection.close()

    assert reads[9] > 0
    assert reads[10] < reads[9] * 1.3


async def _sent(connection: asyncpg.Connection, database_url: str) -> int:
    """How many rows are read to send 20 more messages, from the queue to the carrier's answer."""
    await accept(database_url, *(outgoing() for _ in range(20)))
    minute = timedelta(minutes=1)
    before = await _rows_read(connection)
    claimed = await connection.fetch(
        called("SELECT id FROM postback.claim($1, 20, 1, NULL, $2)"), CHANNEL, minute
    )
    ids, submissions = [row["id"] for row in claimed], [uuid7() for _ in claimed]
    begun = await connection.fetch(
        called("SELECT id FROM postback.begin_calls($1, $2, $3, $4)"),
        ids,
        submissions,
        20 * [False],
        20 * [minute],
    )
    assert 20 == len(begun)
    await connection.execute(
        called("SELECT postback.settle($1, $2, '{}')"),
        [SettledRow(*pair, None, None) for pair in zip(ids, submissions, strict=True)],
        [own_event(message_id, Status.QUEUED, source="sender") for message_id in ids],
    )
    return await _rows_read(connection) - before


async def _rows_read(connection: asyncpg.Connection) -> int:
    await connection.execute("SELECT pg_stat_force_next_flush()")
    read: int = await connection.fetchval(
        """SELECT (sum(t.seq_tup_read) + (SELECT sum(i.idx_tup_read) FROM pg_stat_user_indexes i
                                          WHERE i.relname ~ $1))::integer
           FROM pg_stat_user_tables t WHERE t.relname ~ $1""",
        "^(message|event|reference|conversation|submission|outbox)",
    )
    return read


def inbound(tracking_id: str, sender: str) -> dict[str, Any]:
    return postback("N401", tracking_id, origin="MMS_MO", to=US.removeprefix("+"), **{"from": sender})
