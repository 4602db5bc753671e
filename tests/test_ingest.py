"""Intake: stored once whatever comes twice, numbered in order, and only acknowledged when it is stored."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from models.events import Event, Inbound, Report
from models.status import Status
from postback.embedded import EmbeddedPostgres
from receiver import commit, migrate
from receiver.commit import Unavailable
from receiver.ingest import Arrival, Ingest
from tests.support import processes
from tests.support.beds import connect
from tests.support.idle import idle
from tests.support.patience import PATIENCE
from tests.support.receiver import CHANNEL, TOKEN, Receiver, running
from tests.support.store import SCHEMA, arrival, postback, store

pytestmark = pytest.mark.stock

CODES = ["N101", "N102", "N103", "E101", "E102", "N202", "N777"]


@asynccontextmanager
async def ingests(url: str, number: int) -> AsyncIterator[list[Ingest]]:
    """As many as there are worker processes."""
    opened = [Ingest(url, SCHEMA) for _ in range(number)]
    for ingest in opened:
        ingest.open()
    yield opened
    for ingest in opened:
        await ingest.close()


async def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    connection = await connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


def telling(*events: Event) -> Arrival:
    return replace(arrival(postback("N101", "t1")), events=events)


@pytest.mark.usefixtures("unhurried")
async def test_one_report_two_hundred_times_over_two_writers_is_one_event(database_url: str) -> None:
    report = postback("N102", "MMSMT7Qx2LmZp")
    async with ingests(database_url, 2) as writers:
        states = await asyncio.gather(*(writers[turn % 2].put(arrival(report)) for turn in range(200)))

    assert {"applied": 1, "duplicate": 199} == {state: states.count(state) for state in set(states)}
    assert [("applied", 1), ("duplicate", 199)] == await rows(
        database_url, "SELECT state, count(*) FROM postback.payload GROUP BY state ORDER BY state"
    )
    assert [("message.delivered", 1, 1)] == await rows(
        database_url, "SELECT type, seq, version FROM postback.event"
    )
    assert [(1,)] == await rows(
        database_url, "SELECT count(DISTINCT message_ids) FROM postback.payload WHERE message_ids <> '{}'"
    )


@pytest.mark.usefixtures("unhurried")
async def test_the_feed_has_no_gaps_and_its_order_is_the_order_of_commits(database_url: str) -> None:
    """A reader who has seen a number has seen every lower one."""
    async with ingests(database_url, 2) as writers:
        writing = asyncio.gather(
            *(writers[turn % 2].put(arrival(postback("N101", f"t{turn}"))) for turn in range(600))
        )
        reader, seen = await connect(database_url), [0]
        while not writing.done():
            found = await reader.fetch("SELECT seq FROM postback.event WHERE seq > $1 ORDER BY seq", seen[-1])
            seen += [row["seq"] for row in found]
            await asyncio.sleep(0.002)
        await writing
        found = await reader.fetch("SELECT seq FROM postback.event WHERE seq > $1 ORDER BY seq", seen[-1])
        await reader.close()

    assert list(range(601)) == [*seen, *(row["seq"] for row in found)]


@pytest.mark.usefixtures("unhurried")
async def test_writers_who_share_messages_in_any_order_do_not_deadlock(database_url: str) -> None:
    """Four processes, forty messages, several reports a request, and nobody is refused."""
    chance, told = random.Random(7), list[str]()  # noqa: S311

    async def carrier(ingest: Ingest) -> None:
        for _ in range(20):
            reports = [
                postback(chance.choice(CODES), f"t{chance.randrange(40)}", timestamp=str(chance.random()))
                for _ in range(chance.randrange(1, 8))
            ]
            told.extend(report["tracking-id"] for report in reports)
            await ingest.put(arrival(*reports))

    async with ingests(database_url, 4) as writers, asyncio.TaskGroup() as carriers:
        for turn in range(64):
            carriers.create_task(carrier(writers[turn % 4]))

    assert [(len(told), len(told), 40)] == await rows(
        database_url, "SELECT count(*), max(seq), count(DISTINCT message_id) FROM postback.event"
    )
    assert [(0,)] == await rows(
        database_url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    assert [] == await rows(
        database_url,
        """SELECT message_id FROM postback.event JOIN postback.message m ON m.id = message_id
           GROUP BY message_id, m.seen, m.version
           HAVING m.seen & ~255 <> bit_or(bits) & ~255
               OR m.version <> count(*) OR m.version <> max(event.version)""",
    )


@pytest.mark.usefixtures("unhurried")
async def test_many_requests_make_few_transactions(database_url: str) -> None:
    async with ingests(database_url, 1) as [ingest]:
        await asyncio.gather(*(ingest.put(arrival(postback("N101", f"t{turn}"))) for turn in range(300)))

    [(payloads, transactions)] = await rows(
        database_url, "SELECT count(*), count(DISTINCT xmin::text) FROM postback.payload"
    )
    assert 300 == payloads
    assert transactions <= 3


def told(**fields: Any) -> Report:
    report = Report("t1", "N102", Status.DELIVERED, ("t1", "N102"), recipient="+12065550123", kind="mms")
    return replace(report, **fields)


POISONS: dict[str, Event] = {
    "NUL in a word": told(provider_status="a\0b"),
    "a lone surrogate in a word": told(provider_message="\ud800"),
    "a lone surrogate in its identity": told(identity=("\ud800",)),
    "an id that no index holds": told(
        provider_message_id=random.Random(1).randbytes(9000).hex()  # noqa: S311
    ),
    "a number that no index holds": told(
        recipient=random.Random(1).randbytes(9000).hex()  # noqa: S311
    ),
    "a part that no column holds": told(part=1 << 40),
    "a thing instead of a word": told(provider_code=object()),
    "NUL in a text": Inbound("i1", ("i1",), "+12065550123", "+18885551234", text="a\0b"),
    "metadata that is no JSON": Inbound("i1", ("i1",), "+12065550123", metadata={"a": object()}),
}  # fmt: skip


@pytest.mark.usefixtures("unhurried")
async def test_a_poisoned_request_is_quarantined_and_its_neighbours_never_notice(database_url: str) -> None:
    """All of one batch. What a provider lets through, Postgres may still refuse."""
    neighbours = [arrival(postback("N101", f"t{turn}")) for turn in range(50)]
    poisoned = [telling(event) for event in POISONS.values()]
    batch = neighbours + poisoned
    random.Random(3).shuffle(batch)  # noqa: S311

    async with ingests(database_url, 1) as [ingest]:
        answers = await asyncio.gather(*map(ingest.put, batch))

    states = {one.payload.id: state for one, state in zip(batch, answers, strict=True)}
    assert ["applied"] * 50 == [states[one.payload.id] for one in neighbours]
    assert dict.fromkeys(POISONS, "quarantined") == {
        name: states[one.payload.id] for name, one in zip(POISONS, poisoned, strict=True)
    }
    assert sorted((one.payload.id, states[one.payload.id], one.payload.body) for one in batch) == await rows(
        database_url, "SELECT id, state, body FROM postback.payload ORDER BY id"
    )
    assert [(50,)] == await rows(database_url, "SELECT count(*) FROM postback.message")


async def test_the_reason_of_a_quarantined_request_quotes_no_word_of_it(database_url: str) -> None:
    words = "Canary-Text-Mallow"
    odd: list[Any] = [f"{words}\0", f"{words}\ud800", [words]]
    told = [Inbound("i1", (str(turn),), "+12065550123", text=text) for turn, text in enumerate(odd)]

    async with ingests(database_url, 1) as [ingest]:
        assert ["quarantined"] * 3 == [await ingest.put(telling(one)) for one in told]

    reasons = [reason for (reason,) in await rows(database_url, "SELECT reason FROM postback.payload")]
    assert 3 == len(reasons)
    assert [] == [reason for reason in reasons if words in reason]


async def test_a_request_that_is_poison_without_any_event_is_refused(database_url: str) -> None:
    """There is no lesser form in which it could be kept; an unverified one must not become a readable one."""
    bare = telling()
    broken = replace(bare, payload=bare.payload._replace(state="unverified", headers="no json"))

    async with ingests(database_url, 1) as [ingest]:
        with pytest.raises(Unavailable):
            await ingest.put(broken)

    assert [] == await rows(database_url, "SELECT id FROM postback.payload")


async def test_the_same_request_written_twice_is_written_once(database_url: str) -> None:
    """After a lost connection nobody knows whether the first try was committed."""
    request = arrival(postback("N102", "t1"))
    async with ingests(database_url, 1) as [ingest]:
        assert ["applied", "applied"] == [await ingest.put(request), await ingest.put(request)]

    assert [(1,)] == await rows(database_url, "SELECT count(*) FROM postback.payload")
    assert [(1,)] == await rows(database_url, "SELECT count(*) FROM postback.event")


@pytest.mark.usefixtures("unhurried")
async def test_requests_that_tell_much_do_not_make_a_batch_that_no_second_is_enough_for(
    database_url: str,
) -> None:
    large = [arrival(*(postback("N101", f"{turn}-{part}") for part in range(200))) for turn in range(20)]
    async with ingests(database_url, 1) as [ingest]:
        assert ["applied"] * 20 == await asyncio.gather(*map(ingest.put, large))

    [(transactions,)] = await rows(database_url, "SELECT count(DISTINCT xmin::text) FROM postback.payload")
    assert 20 == transactions


# --- Postgres away ---------------------------------------------------------------------------------------


async def posted(receiver: Receiver, code: str, number: int) -> list[httpx.Response]:
    """The answers to *number* reports at once."""
    return await asyncio.gather(
        *(
            receiver.client.post(receiver.hook(), content=orjson.dumps(postback(code, f"{code}-{turn}")))
            for turn in range(number)
        )
    )


async def taken(receiver: Receiver, code: str, number: int) -> None:
    """Returns when reports like those have all been answered 200. Raises ``TimeoutError``."""
    async with asyncio.timeout(PATIENCE):
        while {(200, None)} != outcomes(await posted(receiver, code, number)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)  # as a carrier comes again


def outcomes(answers: Sequence[httpx.Response]) -> set[tuple[int, str | None]]:
    return {(answer.status_code, answer.headers.get("retry-after")) for answer in answers}


async def test_while_postgres_is_away_callers_are_told_soon_and_intake_comes_back_by_itself(
    tmp_path: Path,
) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        await migrate.upgrade(server.url, SCHEMA)
        channels = {CHANNEL: {"provider": "sinch_mms", "tokens": [TOKEN]}}
        locked = {"provider": "sinch_mms", "tokens": [TOKEN], "bearer": "right"}
        async with running(server.url, {**channels, "locked": locked}) as receiver:
            await taken(receiver, "N101", 50)

            assert server.pid
            async with idle() as frozen:
                with processes.frozen(server.pid):
                    assert {(503, "5")} == outcomes(await posted(receiver, "N102", 20))
                    assert frozen.seconds < commit.PATIENCE + 0.6
            await taken(receiver, "N103", 50)

            server.stop()
            async with idle() as stopped:
                assert {(503, "5")} == outcomes(await posted(receiver, "E101", 20))
                assert stopped.seconds < commit.PATIENCE + 0.6
            unproven = await receiver.client.post(receiver.hook("locked"), content=b"{}")
            assert (503, "5") == (unproven.status_code, unproven.headers["retry-after"])

            server.start()
            await taken(receiver, "E102", 50)
            stored = await receiver.rows("SELECT count(*) FROM postback.event")
    # what was sent to the frozen server may have been done when it woke up; it was never acknowledged
    assert stored[0]["count"] >= 150


# --- the end of a process ----------------------------------------------------------------------------------


async def test_a_process_that_is_told_to_stop_answers_all_that_it_has_accepted(
    database_url: str, tmp_path: Path
) -> None:
    """Half of the callers have yet to send their bodies when SIGTERM comes."""
    (tmp_path / "postback.toml").write_text(
        f'database_url = "{database_url}"\nsecret_key = ["a secret key for tests"]\n[channels.{CHANNEL}]\n'
        f'provider = "sinch_mms"\ntokens = ["{TOKEN}"]\n'
    )
    code = (
        "from postback.cli import main; import sys; sys.argv = ['postback', 'serve', '--port', '0']; main()"
    )
    with processes.python(code, cwd=tmp_path) as process:
        url = (await asyncio.to_thread(processes.line, process)).removeprefix("ready http://")
        callers = [await Caller.accepted(url, f"t{turn}") for turn in range(40)]
        for caller in callers[:20]:
            caller.go_on()
        process.terminate()
        await asyncio.sleep(0.3)
        for caller in callers[20:]:
            caller.go_on()

        assert [b"HTTP/1.1 200 OK"] * 40 == [await caller.status() for caller in callers]
        for caller in callers:
            caller.close()
        assert await asyncio.to_thread(process.wait, PATIENCE) in (0, -signal.SIGTERM)
    assert [(40,)] == await rows(database_url, "SELECT count(*) FROM postback.payload")


class Caller:
    """One who asks before sending a body, so that he knows when his request has been accepted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> None:
        self._reader, self._writer, self._body = reader, writer, body

    @classmethod
    async def accepted(cls, address: str, tracking_id: str) -> "Caller":
        host, _, port = address.partition(":")
        caller = cls(
            *await asyncio.open_connection(host, int(port)), orjson.dumps(postback("N101", tracking_id))
        )
        head = f"POST /hooks/{CHANNEL}/{TOKEN} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n"
        caller._writer.write(f"{head}content-length: {len(caller._body)}\r\n\r\n".encode())
        assert b"HTTP/1.1 100 Continue" == await caller.status()
        return caller

    def go_on(self) -> None:
        self._writer.write(self._body)

    def close(self) -> None:
        self._writer.close()

    async def status(self) -> bytes:
        head = await self._reader.readuntil(b"\r\n\r\n")
        return head.partition(b"\r\n")[0]


async def test_the_commit_waits_for_the_disk_whatever_the_database_says(database_url: str) -> None:
    db = await connect(database_url)
    await db.execute("SET synchronous_commit = off")
    async with db.transaction():
        await store(db, [arrival(postback("N101", "T1"))])
        stored = await db.fetchval("SHOW synchronous_commit")
    after = await db.fetchval("SHOW synchronous_commit")
    await db.close()

    assert ("on", "off") == (stored, after)
