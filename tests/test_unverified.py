"""Requests that prove nothing: whose place they take, and how their room is emptied."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from receiver import db, unverified_told
from receiver.metrics.definitions import UNVERIFIED_NOT_KEPT, UNVERIFIED_REMOVED
from receiver.unverified import Held, Stored, UnverifiedStore, network, surplus
from receiver.unverified_table import UnverifiedTable
from tests.support.commands import configured, run
from tests.support.patience import PATIENCE
from tests.support.receiver import TOKEN, Receiver, running

DOOR = {"provider": "sinch_mms", "tokens": [TOKEN], "bearer": "right"}
DOORS = {"quiet": DOOR, "flooded": DOOR}
STRANGER, CARRIER = "203.0.113.9", "198.51.100.7"
ROOM = Stored(100, 100_000)


def held(channel: str, peer: str | None, number: int, size: int = 10) -> list[Held]:
    return [Held(UUID(bytes=uuid7().bytes), channel, peer, size) for _ in range(number)]


async def keep(database_url: str, *requests: Held) -> None:
    """Puts *requests* into the table, their sizes as bodies."""
    async with db.connected(database_url) as connection:
        await connection.executemany(
            """INSERT INTO postback.payload
                   (id, channel, state, method, query, headers, body, peer, received_at, message_ids)
               VALUES ($1, $2, 'unverified', 'POST', '', '{}', convert_to(repeat('x', $3), 'UTF8'), $4,
                   now(), '{}')""",
            [(one.id, one.channel, one.size, one.peer) for one in requests],
        )


async def kept(receiver: Receiver) -> set[UUID]:
    rows = await receiver.rows("SELECT id FROM postback.payload WHERE state = 'unverified'")
    return {UUID(bytes=row["id"].bytes) for row in rows}


def counted() -> tuple[float, float]:
    return UNVERIFIED_NOT_KEPT.counts[()], UNVERIFIED_REMOVED.counts[()]


@asynccontextmanager
async def receiving(database_url: str) -> AsyncIterator[Receiver]:
    async with running(database_url, DOORS, trusted_proxies=["127.0.0.0/8"]) as receiver:
        yield receiver


async def knock(receiver: Receiver, channel: str, peer: str, **more: Any) -> int:
    headers = {"x-forwarded-for": peer, **more}
    answer = await receiver.client.post(receiver.hook(channel), content=b"{}", headers=headers)
    return answer.status_code


async def test_a_flood_loses_its_oldest_and_nobody_else_a_place(database_url: str) -> None:
    flood, carriers = held("flooded", STRANGER, 9_900), held("quiet", CARRIER, 100)
    await keep(database_url, *carriers, *flood)
    async with receiving(database_url) as receiver:
        statuses = [
            await knock(receiver, "quiet", CARRIER),
            await knock(receiver, "flooded", CARRIER),
            await knock(receiver, "quiet", STRANGER),
            await knock(receiver, "quiet", CARRIER, authorization="Bearer right"),
        ]
        left = await kept(receiver)

    assert [401, 401, 401, 200] == statuses
    assert {one.id for one in carriers} <= left
    assert {one.id for one in flood[500:]} <= left
    assert 9_500 + 3 == len(left)


async def test_beyond_its_share_a_flood_is_told_to_come_again_and_nothing_of_it_is_kept(
    database_url: str,
) -> None:
    await keep(database_url, *held("flooded", STRANGER, 9_600))
    async with receiving(database_url) as receiver:
        before = counted()
        statuses = [await knock(receiver, "flooded", STRANGER) for _ in range(255)]
        beside = await knock(receiver, "quiet", CARRIER)
        refused = await receiver.client.post(
            receiver.hook("flooded"), content=b"{}", headers={"x-forwarded-for": STRANGER}
        )
        left = len(await kept(receiver))
        after = counted()
        shown = (await receiver.client.get(f"{receiver.url}/metrics")).text

    assert [401] * 250 + [503] * 5 == statuses
    assert (401, 503, "60") == (beside, refused.status_code, refused.headers["retry-after"])
    assert 9_500 + 251 == left
    assert (6, 100) == (after[0] - before[0], after[1] - before[1])
    assert "\npostback_unverified_not_kept_total " in shown
    assert "\npostback_unverified_removed_total " in shown


async def test_large_bodies_make_room_before_many_small_ones(database_url: str) -> None:
    large, small = held("flooded", STRANGER, 32, 8 << 20), held("flooded", CARRIER, 200)
    await keep(database_url, *small, *large)
    async with receiving(database_url) as receiver:
        status = await knock(receiver, "quiet", CARRIER)
        left = await kept(receiver)

    assert 401 == status
    assert {one.id for one in small} <= left
    assert {one.id for one in large[2:]} == {one.id for one in large} & left


@asynccontextmanager
async def storing(database_url: str) -> AsyncIterator[UnverifiedStore]:
    engine = db.engine(database_url, "postback")
    yield UnverifiedStore(UnverifiedTable(engine), ROOM)
    await engine.dispose()


async def kept_of(store: UnverifiedStore, *callers: tuple[str, str | None], size: int = 10) -> list[int]:
    """Returns how many of 200 requests of each of *callers* were kept, one caller after the other."""
    return [sum([await store.reserve(*who, size) for _ in range(200)]) for who in callers]


async def test_one_network_takes_half_of_what_is_free_and_one_channel_three_quarters(
    database_url: str,
) -> None:
    async with storing(database_url) as store:
        kept = await kept_of(
            store,
            ("flooded", "203.0.113.1"),
            ("flooded", "203.0.113.250"),
            ("flooded", "198.51.100.7"),
            ("flooded", "198.51.100.8"),
            ("quiet", "192.0.2.1"),
        )

    assert [50, 0, 25, 0, 15] == kept


@pytest.mark.parametrize("size", [10, 900])
async def test_one_network_takes_no_more_than_half_on_however_many_channels(
    database_url: str, size: int
) -> None:
    half = min(50, 50_000 // size)
    async with storing(database_url) as store:
        kept = await kept_of(store, *[(f"door-{number}", STRANGER) for number in range(3)], size=size)
        victim = await store.reserve("door-0", CARRIER, size), await store.reserve("quiet", CARRIER, size)

    # the first one of each channel is kept in any case
    assert [half, 1, 1] == kept
    assert (True, True) == victim


async def test_whatever_others_took_the_first_one_of_each_channel_and_network_is_kept(
    database_url: str,
) -> None:
    floods = [(f"door-{number % 2}", f"203.0.{number}.1") for number in range(8)]
    async with storing(database_url) as store:
        flooded = await kept_of(store, *floods)
        of_channels = await kept_of(store, *[(f"quiet-{number}", STRANGER) for number in range(3)])
        of_a_network = await kept_of(store, ("door-0", CARRIER))

    assert 90 <= sum(flooded) < 100
    assert [1, 1, 1] == of_channels
    assert [1] == of_a_network


async def test_of_ever_new_networks_no_more_are_kept_than_room_is_held_back_for(database_url: str) -> None:
    networks = [f"10.{number >> 8}.{number & 255}.1" for number in range(500)]
    async with storing(database_url) as store:
        took = sum([await store.reserve("flooded", peer, 10) for peer in networks])
        first_of_a_channel = await kept_of(store, ("quiet", networks[-1]))

    assert 75 + 10 == took
    assert [1 + 4] == first_of_a_channel


async def test_a_request_that_is_larger_than_a_share_has_its_place_where_it_is_the_first(
    database_url: str,
) -> None:
    async with storing(database_url) as store:
        answers = [
            await store.reserve(channel, peer, 60_000)
            for channel, peer in [
                ("quiet", CARRIER),
                ("quiet", CARRIER),
                ("quiet", STRANGER),
                ("quiet", "192.0.2.1"),
                ("flooded", CARRIER),
                ("flooded", CARRIER),
            ]
        ]

    assert [True, False, True, False, True, False] == answers


async def test_what_somebody_reads_again_at_this_moment_is_not_removed(database_url: str) -> None:
    requests = held("flooded", STRANGER, 3)
    await keep(database_url, *requests)
    engine = db.engine(database_url, "postback")
    async with db.connected(database_url) as other, other.transaction():
        await other.execute("SELECT FROM postback.payload WHERE id = $1 FOR UPDATE", requests[0].id)
        gone = await UnverifiedTable(engine).remove([one.id for one in requests[:2]])
    left = [one.id for one in await UnverifiedTable(engine).oldest()]
    await engine.dispose()

    assert 1 == gone
    assert [requests[0].id, requests[2].id] == left


def test_of_several_the_greediest_network_of_the_greediest_channel_goes_first() -> None:
    flood, beside = held("flooded", "203.0.113.1", 80), held("flooded", "192.0.2.1", 30)
    others = held("quiet", "203.0.113.1", 20)
    everything = [*beside, *others, *flood]

    gone = surplus(everything, Stored(130, 1300), ROOM)

    assert [one.id for one in flood[:35]] == gone


def test_those_who_have_as_much_as_each_other_lose_as_much() -> None:
    one, other = held("flooded", "203.0.113.1", 60), held("flooded", "192.0.2.1", 60)

    gone = surplus([*one, *other], Stored(120, 1200), ROOM)

    assert [13, 12] == sorted(
        (len({item.id for item in of} & set(gone)) for of in (one, other)), reverse=True
    )


def test_who_has_much_by_bytes_is_greedy_too() -> None:
    few, many = held("flooded", "203.0.113.1", 4, 30_000), held("flooded", "192.0.2.1", 40)

    assert [one.id for one in few[:1]] == surplus([*many, *few], Stored(44, 120_400), ROOM)[:1]
    assert not {one.id for one in many} & set(surplus([*many, *few], Stored(44, 120_400), ROOM))


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("203.0.113.9", "203.0.113.0/24"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("unknown", ""),
        (None, ""),
    ],
)
def test_the_network_of_an_address(peer: str | None, expected: str) -> None:
    assert expected == network(peer)


async def test_the_log_has_one_line_a_minute_however_many_there_are(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unverified_told, "PAUSE", 0.5)
    async with receiving(database_url) as receiver:
        with capture_logs() as logs:
            await knock(receiver, "quiet", CARRIER)
            for _ in range(20):
                await knock(receiver, "flooded", STRANGER)
            async with asyncio.timeout(PATIENCE):
                while sum(line["requests"] for line in told(logs)) < 21:  # noqa: ASYNC110 - lines tell nobody
                    await asyncio.sleep(0.05)

    first, *later = told(logs)
    assert (1, 0, {"quiet": 1}, CARRIER) == (
        first["requests"], first["not_kept"], first["channels"], first["last_peer"],
    )  # fmt: skip
    assert len(later) < 20
    assert {"flooded"} == {name for line in later for name in line["channels"]}
    assert {STRANGER} == {line["last_peer"] for line in later}


def told(logs: Any) -> list[Any]:
    return [line for line in logs if line["event"] == "unverified"]


@pytest.fixture
def directory(tmp_path: Path, database_url: str) -> Path:
    return configured(tmp_path, database_url, "quiet", tokens=[TOKEN])


async def test_what_proves_nothing_is_discarded_by_channel_and_time(
    database_url: str, directory: Path
) -> None:
    await keep(database_url, *held("flooded", STRANGER, 1_500, 1_000), *held("quiet", CARRIER, 2))
    async with db.connected(database_url) as connection:
        await connection.execute(
            """UPDATE postback.payload SET state = (ARRAY['quarantined', 'applied'])[n]
               FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM postback.payload
                     WHERE channel = 'flooded' LIMIT 2) one WHERE one.id = payload.id"""
        )

    def discarded(*more: str) -> tuple[int, str, str]:
        return run("payloads", "discard", *more, cwd=directory)

    early = discarded("--state", "unverified", "--before", "2026-01-01T00:00:00Z")
    foretold = discarded("--state", "unverified", "--channel", "flooded", "--dry-run")
    done = discarded("--state", "unverified", "--channel", "flooded")
    async with db.connected(database_url) as connection:
        rows = await connection.fetch("SELECT channel, state FROM postback.payload ORDER BY 1, 2")
    unreadable = discarded("--state", "quarantined")

    assert (0, "0 discarded\n") == early[:2]
    assert (0, "flooded  1498 unverified, 1.4 MiB\n1498 would be discarded\n") == foretold[:2]
    assert (0, "flooded  1498 unverified, 1.4 MiB\n1498 discarded\n") == done[:2]
    assert [("flooded", "applied"), ("flooded", "quarantined"), *[("quiet", "unverified")] * 2] == [
        tuple(row) for row in rows
    ]
    assert (0, "flooded  1 quarantined, 0.0 MiB\n1 discarded\n") == unreadable[:2]


@pytest.mark.parametrize("state", ["applied", "duplicate", "odd"])
def test_what_events_may_refer_to_is_not_discarded(directory: Path, state: str) -> None:
    code, _, said = run("payloads", "discard", "--state", state, cwd=directory)

    assert 1 == code
    assert (
        f'Payloads in the state "{state}" are not discarded; those in unverified and quarantined are.\n'
        == said
    )
