"""While Postgres is away: carriers are answered 2xx from the spool; nothing is lost or doubled after it."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_FSIZE, prlimit
from statistics import median
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
import pytest

from postback.embedded import EmbeddedPostgres
from postback.supervisor import GRACE
from receiver import commit, migrate
from receiver.spool import waiting
from receiver.unverified import STRIDE, Held, Stored, UnverifiedStore
from tests.support import commands
from tests.support.beds import FAST, connect
from tests.support.idle import idle
from tests.support.patience import PATIENCE
from tests.support.processes import children, eventually, frozen
from tests.support.receiver import CHANNEL, TOKEN, Receiver, running
from tests.support.store import SCHEMA, postback

LOCKED = {"provider": "sinch_mms", "tokens": [TOKEN], "bearer": "right"}
CHANNELS = {CHANNEL: {"provider": "sinch_mms", "tokens": [TOKEN], "from": ["+18885551234"]}, "locked": LOCKED}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path / "pg", settings=FAST, superuser=True) as server:
        await migrate.upgrade(server.url, SCHEMA)
        yield server


@asynccontextmanager
async def receiving(server: EmbeddedPostgres, tmp_path: Path, **more: Any) -> AsyncIterator[Receiver]:
    async with running(
        server.url, CHANNELS, data_dir=tmp_path / "data", **{"spool": True, **more}
    ) as receiver:
        yield receiver


#: bytes: a segment of the server's log, which goes on in those that it has
LARGEST_FILE = 16 << 20
_PAYLOADS = """
    INSERT INTO postback.payload SELECT (jsonb_populate_record(p, jsonb_build_object(
        'id', uuidv7(), 'body', '\\x' || repeat('20', 1000)))).*
    FROM postback.payload p, generate_series(1, 4000) WHERE p.id = (SELECT id FROM postback.payload LIMIT 1)
"""
_LARGEST = "SELECT pg_relation_size(tableoid) FROM postback.payload LIMIT 1"


@asynccontextmanager
async def full(server: EmbeddedPostgres) -> AsyncIterator[None]:
    """No file of the server grows any more, and the table of payloads, which holds one at least, is full."""
    connection = await asyncpg.connect(server.url)
    while await connection.fetchval(_LARGEST) < LARGEST_FILE:
        await connection.execute(_PAYLOADS)
    await connection.close()
    _limit(server, LARGEST_FILE)
    try:
        yield
    finally:
        _limit(server, RLIM_INFINITY)


def _limit(server: EmbeddedPostgres, size: int) -> None:
    assert server.pid
    for pid in [server.pid, *children(server.pid)]:  # backends to come have it from the postmaster
        with suppress(ProcessLookupError):
            prlimit(pid, RLIMIT_FSIZE, (size, RLIM_INFINITY))


@dataclass(frozen=True)
class Call:
    """A report's *status*, and on the wall's clock when it was sent and answered; the caller *waited* so many
    seconds in which nobody had anything to do."""

    status: int
    sent: float
    answered: float
    waited: float


async def post(receiver: Receiver, report: dict[str, Any], channel: str = CHANNEL) -> int:
    """The status."""
    answer = await receiver.client.post(receiver.hook(channel), content=orjson.dumps(report))
    return answer.status_code


async def steady(
    receiver: Receiver, name: str, seconds: float, *, rate: int = 40, over: asyncio.Event | None = None
) -> list[Call]:
    """Reports on *name*-0, *name*-1, ... at *rate* per second, whatever becomes of those before; until it is
    *over*, if that is told."""
    async with idle() as clock:

        async def call(turn: int) -> Call:
            sent, began = time.monotonic(), clock.seconds
            status = await post(receiver, postback("N101", f"{name}-{turn}"))
            return Call(status, sent, time.monotonic(), clock.seconds - began)

        calls = []
        start = time.monotonic()
        for turn in range(int(seconds * rate)):
            if over and over.is_set():
                break
            calls.append(asyncio.create_task(call(turn)))
            await asyncio.sleep(max(0.0, start + (turn + 1) / rate - time.monotonic()))
        return await asyncio.gather(*calls)


def answers(*several: Sequence[Call]) -> set[int]:
    return {call.status for calls in several for call in calls}


def overtaken(calls: Sequence[Call], places: Sequence[int]) -> list[int]:
    """Of *calls*, given their numbers in the order of the feed: those that stand behind one which was sent
    only after they had been answered. Two under way at once have no order."""
    latest, found = 0.0, []
    for place in places:
        if calls[place].answered < latest:
            found.append(place)
        latest = max(latest, calls[place].sent)
    return found


async def drained(receiver: Receiver) -> None:
    """Returns when the spool is empty. Raises ``TimeoutError``."""
    drain = receiver.app._drain
    assert drain
    async with asyncio.timeout(PATIENCE):
        while drain.figures.records or receiver.app._ingest.away:  # noqa: ASYNC110 - another task's
            await asyncio.sleep(0.02)


async def tracking_ids(receiver: Receiver) -> list[str]:
    """Of all events, in the order of the feed."""
    rows = await receiver.rows(
        """SELECT r.provider_message_id AS id FROM postback.event e
           JOIN postback.reference r USING (message_id) ORDER BY e.seq"""
    )
    return [row["id"] for row in rows]


async def test_a_stopped_postgres_costs_no_carrier_an_answer_and_no_report_its_place(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    async with receiving(server, tmp_path) as receiver:
        before = await steady(receiver, "before", 0.3)
        await drained(receiver)
        server.stop()
        away = await steady(receiver, "away", 2.5)
        assert receiver.app._drain
        assert 100 == receiver.app._drain.figures.records
        assert 200 == (await receiver.client.get(f"{receiver.url}/readyz")).status_code
        server.start()
        await drained(receiver)
        after = await steady(receiver, "after", 0.3)

        assert {200} == answers(before, away, after)
        assert median(call.waited for call in away) < commit.PATIENCE / 4
        ids = await tracking_ids(receiver)
        expected = [*(f"before-{turn}" for turn in range(12)), *(f"away-{turn}" for turn in range(100))]
        assert sorted([*expected, *(f"after-{turn}" for turn in range(12))]) == sorted(ids)
        places = [int(one.partition("-")[2]) for one in ids if one.startswith("away")]
        assert [] == overtaken(away, places)
        assert ["applied"] * 124 == await receiver.states()


async def test_a_frozen_postgres_makes_callers_wait_for_a_second_and_no_longer(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    async with receiving(server, tmp_path) as receiver:
        before = await steady(receiver, "before", 0.3)
        await drained(receiver)
        assert server.pid
        with frozen(server.pid):
            away = await steady(receiver, "away", 3)
        await drained(receiver)

        assert {200} == answers(before, away)
        # those of the first second, and nobody who came after it was found out
        assert sum(1 for call in away if call.waited > 0.9) < 1.5 * 40
        assert median(call.waited for call in away[60:]) < commit.PATIENCE / 4
        # some were committed by the server that woke up, and came from the spool as well
        assert 132 == len(await receiver.payloads())
        ids = await tracking_ids(receiver)
        assert (132, 132) == (len(ids), len(set(ids)))


async def test_a_postgres_whose_files_cannot_grow_costs_no_carrier_an_answer_and_sets_nothing_aside(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    """Neither while they call nor while the spool tries whether there is room again."""
    async with receiving(server, tmp_path) as receiver:
        before = await steady(receiver, "before", 0.1)
        await drained(receiver)
        async with full(server):
            away = await steady(receiver, "away", 1.5)
            assert receiver.app._drain
            assert 40 < receiver.app._drain.figures.records <= 60
        await drained(receiver)

        assert {200} == answers(before, away)
        assert 64 == len(set(await tracking_ids(receiver)))
        assert {"applied"} == set(await receiver.states())
        assert 0 == receiver.app._drain.figures.damaged


@pytest.mark.parametrize("state", ["58030", "XX001"])
async def test_what_fails_because_of_the_disk_even_bare_waits_in_the_spool(
    server: EmbeddedPostgres, tmp_path: Path, state: str
) -> None:
    """An error of one page would not meet the bare request, which is kept as quarantined then; as those are
    that are being tried at the very moment at which the disk recovers."""
    async with receiving(server, tmp_path) as receiver:
        await receiver.rows(
            f"""CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN RAISE EXCEPTION ''the disk fails'' USING ERRCODE = ''{state}''; END'"""
        )
        await receiver.rows(
            "CREATE TRIGGER fails BEFORE INSERT ON postback.payload FOR EACH ROW EXECUTE FUNCTION fails()"
        )
        away = await steady(receiver, "away", 0.5)
        assert [] == await receiver.payloads()
        await receiver.rows("DROP TRIGGER fails ON postback.payload")
        await drained(receiver)

        assert [200] * 20 == [call.status for call in away]
        assert 20 == len(await receiver.payloads())
        assert receiver.app._drain
        assert 0 == receiver.app._drain.figures.damaged


async def test_the_drain_is_faster_than_those_who_go_on_calling(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    """It comes to its end while they do; how much faster it is, `make faults` measures (outage)."""
    over = asyncio.Event()
    async with receiving(server, tmp_path) as receiver:
        await steady(receiver, "before", 0.1)
        await drained(receiver)
        server.stop()
        await steady(receiver, "away", 3)
        server.start()
        calling = asyncio.create_task(steady(receiver, "during", 2 * PATIENCE, over=over))
        await drained(receiver)
        assert not calling.done()
        over.set()
        during = await calling
        await drained(receiver)

        assert {200} == answers(during)
        ids = await tracking_ids(receiver)
        stored = 4 + 120 + len(during)
        assert (stored, stored) == (len(ids), len(set(ids)))


async def test_what_is_not_understood_or_not_proven_keeps_its_state_through_the_spool(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    """The bare words of a request come back as the door read them; the time of receipt is the door's."""
    async with receiving(server, tmp_path) as receiver:
        server.stop()
        client, hook = receiver.client, receiver.hook()
        report = await client.post(hook, content=orjson.dumps(postback("N102", "t1")))
        unreadable = await client.post(hook, content=b"\xff\x00 no sense")
        again = await client.post(hook, content=orjson.dumps(postback("N102", "t1")))
        unproven = await client.post(receiver.hook("locked"), content=b"{}")
        assert [200, 200, 200, 401] == [
            answer.status_code for answer in (report, unreadable, again, unproven)
        ]
        sent = time.time()
        await asyncio.sleep(1)
        server.start()
        await drained(receiver)

        payloads = await receiver.payloads()
        assert ["applied", "quarantined", "duplicate", "unverified"] == [one["state"] for one in payloads]
        assert b"\xff\x00 no sense" == payloads[1]["body"]
        assert all(one["received_at"].timestamp() <= sent for one in payloads)


async def test_without_a_usable_spool_the_carrier_is_told_to_come_back(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "spool").write_text("somebody's file")
    async with receiving(server, tmp_path) as receiver:
        assert 200 == await post(receiver, postback("N101", "t1"))
        assert 200 == (await receiver.client.get(f"{receiver.url}/readyz")).status_code
        server.stop()
        answer = await receiver.client.post(receiver.hook(), content=orjson.dumps(postback("N101", "t2")))
        assert (503, "5") == (answer.status_code, answer.headers["retry-after"])
        assert 503 == (await receiver.client.get(f"{receiver.url}/readyz")).status_code

        (tmp_path / "data" / "spool").unlink()
        async with asyncio.timeout(PATIENCE):
            while 200 != (await receiver.client.get(f"{receiver.url}/readyz")).status_code:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert 200 == await post(receiver, postback("N101", "t2"))
        server.start()
        await drained(receiver)
        assert ["t1", "t2"] == await tracking_ids(receiver)


async def test_without_a_spool_nothing_is_written_to_the_disk(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    async with receiving(server, tmp_path, spool=False) as receiver:
        server.stop()
        assert 503 == await post(receiver, postback("N101", "t1"))
        assert not (tmp_path / "data" / "spool").exists()
        server.start()
        assert 200 == await post(receiver, postback("N101", "t1"))


async def test_a_record_that_no_table_takes_is_set_aside_and_does_not_hold_up_the_others(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    async with receiving(server, tmp_path) as receiver:
        server.stop()
        assert 200 == await post(receiver, postback("N101", "t1"))
        spool = receiver.app._spool
        assert spool
        [kept] = await spool.first(1)
        payload = kept.record.payload._replace(method="\0")
        await spool.delete([kept])
        await spool.put(kept.record._replace(payload=payload))
        assert 200 == await post(receiver, postback("N101", "t2"))
        server.start()
        await drained(receiver)

        assert ["t2"] == await tracking_ids(receiver)
        assert receiver.app._drain
        assert 1 == receiver.app._drain.figures.damaged


async def test_strangers_cannot_fill_the_spool_while_postgres_is_away(
    server: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of it is theirs; who is proven has the rest."""
    async with receiving(server, tmp_path) as receiver:
        server.stop()
        assert receiver.app._spool
        monkeypatch.setattr(receiver.app._spool._keeper, "_capacity", 8 << 20)
        report, large = postback("N101", "t1"), bytes(500_000)
        client = receiver.client
        unproven = [
            (await client.post(receiver.hook("locked"), content=large)).status_code for _ in range(10)
        ]
        proven = [await post(receiver, report) for _ in range(10)]
        [refused] = [
            line
            for line in (await client.get(f"{receiver.url}/metrics")).text.splitlines()
            if line.startswith("postback_unverified_not_kept_total")
        ]

        assert [401] * 5 + [503] * 5 == unproven
        assert [200] * 10 == proven
        assert 5.0 <= float(refused.split()[1])


class Counted:
    """A table of unproven requests; while *fails*, nobody can be asked."""

    def __init__(self, *, fails: bool = False) -> None:
        self.sizes: list[int] = []
        self._fails = fails

    async def count(self) -> Stored:
        await asyncio.sleep(0)
        if self._fails:
            raise ConnectionRefusedError
        return Stored(len(self.sizes), sum(self.sizes))

    async def oldest(self) -> Sequence[Held]:
        return []

    async def remove(self, ids: Collection[UUID]) -> int:
        return 0


async def test_unproven_requests_stay_bounded_while_nobody_can_count_them() -> None:
    for away in (lambda: True, lambda: False):
        store = UnverifiedStore(Counted(fails=True), Stored(3, 1000), away)
        peers = ("192.0.2.1", "198.51.100.1", "203.0.113.1", "192.0.2.1", "2001:db8::1")
        kept = [await store.reserve(f"channel {number % 2}", peer, 1) for number, peer in enumerate(peers)]
        beyond = [await store.reserve("channel 2", peer, 1) for peer in peers]
        assert [True, True, True, False, False] == kept
        # of each channel there is one more, and no second one
        assert [True, False, False, False, False] == beyond


async def test_unproven_requests_of_several_processes_stay_bounded_by_their_size_together() -> None:
    """Each counts again before what it may have added is a stride."""
    table, largest, most = Counted(), STRIDE.size // 8, 4 * STRIDE.size

    async def call(store: UnverifiedStore) -> None:
        for number in range(20):
            if await store.reserve(f"channel {number}", None, largest):
                table.sizes.append(largest)
                await asyncio.sleep(0)

    stores = [UnverifiedStore(table, Stored(10_000, most)) for _ in range(3)]
    await asyncio.gather(*(call(store) for store in stores for _ in range(4)))

    assert most * 0.95 <= sum(table.sizes) <= most + len(stores) * (STRIDE.size + largest)


# --- real processes ---------------------------------------------------------------------------------------


def configure(tmp_path: Path, url: str) -> None:
    (tmp_path / "postback.toml").write_text(
        f'database_url = "{url}"\nsecret_key = ["a secret key for tests"]\n[channels.{CHANNEL}]\n'
        f'provider = "sinch_mms"\ntokens = ["{TOKEN}"]\n'
    )


def send(address: str, names: Sequence[str]) -> list[str]:
    """The *names* that were acknowledged."""
    acknowledged = []
    with httpx.Client(timeout=PATIENCE, trust_env=False) as client:
        for name in names:
            answer = client.post(
                f"{address}/hooks/{CHANNEL}/{TOKEN}", content=orjson.dumps(postback("N101", name))
            )
            if answer.is_success:
                acknowledged.append(name)
    return acknowledged


async def events(url: str) -> list[str]:
    connection = await connect(url)
    try:
        rows = await connection.fetch(
            """SELECT r.provider_message_id AS id FROM postback.event e
               JOIN postback.reference r USING (message_id)"""
        )
        return sorted(row["id"] for row in rows)
    finally:
        await connection.close()


async def test_a_receiver_killed_while_postgres_is_away_and_while_it_drains_loses_and_doubles_nothing(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    configure(tmp_path, server.url)
    spool = tmp_path / ".postback" / "spool"
    with commands.postback("serve", "--port", "0", cwd=tmp_path) as receiver:
        address = await asyncio.to_thread(receiver.ready)
        acknowledged = await asyncio.to_thread(send, address, ["before"])
        server.stop()
        acknowledged += await asyncio.to_thread(send, address, [f"one-{turn}" for turn in range(300)])
        receiver.process.kill()
    # Postgres is still away: it starts all the same, and goes on with the file of the dead one
    with commands.postback("serve", "--port", "0", cwd=tmp_path) as receiver:
        address = await asyncio.to_thread(receiver.ready)
        ready = await asyncio.to_thread(httpx.get, f"{address}/readyz", trust_env=False)
        assert 200 == ready.status_code
        acknowledged += await asyncio.to_thread(send, address, [f"two-{turn}" for turn in range(300)])
        server.start()
        await asyncio.sleep(0.5)
        receiver.process.kill()
    with commands.postback("serve", "--port", "0", cwd=tmp_path) as receiver:
        await asyncio.to_thread(receiver.ready)
        assert 601 == len(acknowledged)
        assert await asyncio.to_thread(eventually, lambda: _empty(spool))
        assert sorted(acknowledged) == await events(server.url)
        assert receiver.ends() in (0, -signal.SIGTERM)
    assert [] == list(spool.iterdir())


def _empty(spool: Path) -> bool:
    return waiting(spool.parent) == 0


async def test_a_receiver_told_to_stop_before_a_frozen_postgres_ends_in_time_and_keeps_what_waits(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    configure(tmp_path, server.url)
    with commands.postback("serve", "--port", "0", cwd=tmp_path) as receiver:
        address = await asyncio.to_thread(receiver.ready)
        await asyncio.to_thread(send, address, ["before"])
        assert server.pid
        with frozen(server.pid):
            acknowledged = await asyncio.to_thread(send, address, [f"t-{turn}" for turn in range(50)])
            async with idle() as clock:
                assert await asyncio.to_thread(receiver.ends) in (0, -signal.SIGTERM)
            assert clock.seconds < GRACE
    assert 50 == len(acknowledged)
    with commands.postback("serve", "--port", "0", "--workers", "2", cwd=tmp_path) as receiver:
        await asyncio.to_thread(receiver.ready)
        assert await asyncio.to_thread(eventually, lambda: _empty(tmp_path / ".postback" / "spool"))
        assert sorted(["before", *acknowledged]) == await events(server.url)


@pytest.mark.parametrize(("command", "working"), [("send", '"sending"'), ("forward", '"forwarding"')])
async def test_a_background_process_told_to_stop_before_a_frozen_postgres_ends_in_time(
    server: EmbeddedPostgres, tmp_path: Path, command: str, working: str
) -> None:
    configure(tmp_path, server.url)
    with commands.postback(command, cwd=tmp_path) as background:
        await asyncio.to_thread(background.says, working)
        assert server.pid
        with frozen(server.pid):
            await asyncio.sleep(1.5)  # it asks something, and waits
            async with idle() as clock:
                assert 0 == await asyncio.to_thread(background.ends)
            assert clock.seconds < GRACE
