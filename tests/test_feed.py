"""The feed: every event once and in order, whatever commits when, as pages and as a stream."""

import asyncio
import json
import signal
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from uuid_utils.compat import uuid7

from receiver.api import events as api_events
from receiver.read import feed, ids
from receiver.reader import Reader
from receiver.serve import GRACE
from tests.support.api import Api
from tests.support.api import running as api_running
from tests.support.beds import connect
from tests.support.commands import postback as command
from tests.support.commands import run
from tests.support.idle import idle
from tests.support.inbound import eventually
from tests.support.listening import FEED, listener
from tests.support.patience import PATIENCE
from tests.support.receiver import Receiver
from tests.support.receiver import running as receiver_running
from tests.support.store import arrival, postback, store

pytestmark = [pytest.mark.stock, pytest.mark.usefixtures("unhurried")]


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_running(database_url) as served:
        yield served


@pytest.fixture
async def receiver(database_url: str) -> AsyncIterator[Receiver]:
    async with receiver_running(database_url) as served:
        served.client.headers["authorization"] = f"Bearer {served.key}"
        yield served
        served.app.hush()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(url)
    yield connection
    await connection.close()


async def told(url: str, *names: str, code: str = "N101", channel: str = "sinch-us") -> None:
    """A request for each of *names*, which are tracking-ids."""
    async with connected(url) as db:
        for name in names:
            await store(db, [arrival(postback(code, name), channel=channel)])


async def sent(receiver: Receiver, tracking_id: str) -> None:
    answer = await receiver.client.post(receiver.hook(), json=[postback("N101", tracking_id)])
    assert 200 == answer.status_code


async def test_the_feed_is_read_oldest_first_from_a_cursor_that_never_ends(
    api: Api, database_url: str
) -> None:
    await told(database_url, "T1", "T2", "T3")

    first = await api.get(FEED, params={"limit": 2})
    second = await api.get(FEED, params={"after": first["next_cursor"]})
    end = await api.get(FEED, params={"after": second["next_cursor"]})
    await told(database_url, "T4")
    later = await api.get(FEED, params={"after": end["next_cursor"]})

    assert [1, 2] == [event["sequence"] for event in first["data"]]
    assert [3] == [event["sequence"] for event in second["data"]]
    assert ([], second["next_cursor"]) == (end["data"], end["next_cursor"])
    assert [4] == [event["sequence"] for event in later["data"]]
    assert [event["cursor"] for event in later["data"]] == [later["next_cursor"]]


async def test_an_empty_feed_has_a_cursor_too(api: Api, database_url: str) -> None:
    nothing = await api.get(FEED)
    await told(database_url, "T1")

    assert [] == nothing["data"]
    assert 1 == len((await api.get(FEED, params={"after": nothing["next_cursor"]}))["data"])


async def test_now_starts_at_the_end(api: Api, database_url: str) -> None:
    await told(database_url, "T1", "T2")
    now = await api.get(FEED, params={"after": "now"})
    await told(database_url, "T3")

    assert [] == now["data"]
    assert [3] == [e["sequence"] for e in (await api.get(FEED, params={"after": now["next_cursor"]}))["data"]]


async def test_filters_leave_out_and_the_cursor_moves_past_what_they_leave_out(
    api: Api, database_url: str
) -> None:
    await told(database_url, "T1", "T2")
    await told(database_url, "T1", code="N102")
    await told(database_url, "T9", channel="sinch-eu")

    delivered = await api.get(FEED, params={"type": "message.delivered"})
    either = await api.get(FEED, params={"type": "message.delivered,message.sent", "channel": "sinch-us"})
    abroad = await api.get(FEED, params={"channel": "sinch-eu"})
    none = await api.get(FEED, params={"type": "message.failed"})

    assert [3] == [event["sequence"] for event in delivered["data"]]
    assert [1, 2, 3] == [event["sequence"] for event in either["data"]]
    assert [4] == [event["sequence"] for event in abroad["data"]]
    assert ([], ids.cursor_of_sequence(4)) == (none["data"], none["next_cursor"])


async def test_a_key_of_one_channel_hears_nothing_of_the_others(api: Api, database_url: str) -> None:
    await told(database_url, "T1")
    await told(database_url, "T2", channel="sinch-eu")
    bound = await api.key("read", channels=["sinch-eu"])

    seen = await api.get(FEED, headers=bound)
    asked = await api.get(FEED, headers=bound, params={"channel": "sinch-us"})

    assert ["sinch-eu"] == [event["channel"] for event in seen["data"]]
    assert [] == asked["data"]


@pytest.mark.parametrize("cursor", ["x", "AXMAAAAAAAAADB", "%20", "NOW"])
async def test_a_cursor_that_the_feed_never_gave_out_is_refused(api: Api, cursor: str) -> None:
    page = await api.client.get(FEED, params={"after": cursor})
    stream = await api.client.get(f"{FEED}/stream", headers={"last-event-id": cursor})

    assert (422, "invalid_cursor") == (page.status_code, page.json()["code"])
    assert (422, "invalid_cursor") == (stream.status_code, stream.json()["code"])


async def test_whoever_asks_for_what_is_no_longer_kept_is_told_so(api: Api, database_url: str) -> None:
    await told(database_url, "T1", "T2", "T3")
    start = ids.cursor_of_sequence(0)
    before = await api.get(FEED, params={"after": start})
    async with connected(database_url) as db:
        await db.execute("DELETE FROM postback.event WHERE seq < 3")
        await db.execute("DELETE FROM postback.message m WHERE NOT EXISTS"
                         " (SELECT FROM postback.event e WHERE e.message_id = m.id)")  # fmt: skip

    after = await api.get(FEED, params={"after": start})
    beyond = await api.get(FEED, params={"after": ids.cursor_of_sequence(99)})

    assert "reset" not in before
    assert (True, [3]) == (after["reset"], [event["sequence"] for event in after["data"]])
    assert (True, [3]) == (beyond["reset"], [event["sequence"] for event in beyond["data"]])


async def test_nothing_is_skipped_or_repeated_when_transactions_commit_out_of_order(
    api: Api, database_url: str
) -> None:
    """Three writers begin one after the other, and the first to begin commits last; one that touches nothing
    of the feed stays open all the time. A reader reads on after each step."""
    read: list[int] = []
    cursor = (await api.get(FEED))["next_cursor"]

    async def read_on() -> None:
        nonlocal cursor
        page = await api.get(FEED, params={"after": cursor, "limit": 1})
        while page["data"]:
            read.extend(event["sequence"] for event in page["data"])
            cursor = page["next_cursor"]
            page = await api.get(FEED, params={"after": cursor, "limit": 1})

    async with (
        connected(database_url) as idle,
        connected(database_url) as slow,
        connected(database_url) as db,
    ):
        bystander, late = idle.transaction(), slow.transaction()
        await bystander.start()
        await idle.execute("INSERT INTO postback.rate (channel, due) VALUES ('elsewhere', now())")
        await late.start()
        await slow.execute("INSERT INTO postback.rate (channel, due) VALUES ('before its events', now())")
        await store(db, [arrival(postback("N101", "T1"))])
        await read_on()
        await store(slow, [arrival(postback("N101", "T2"))])
        await read_on()
        waiting = asyncio.create_task(store(db, [arrival(postback("N101", "T3"))]))
        await asyncio.sleep(0.1)
        await read_on()
        await late.commit()
        await waiting
        await read_on()
        await store(db, [arrival(postback("N102", "T1"))])
        await read_on()
        await bystander.commit()
        await read_on()

    assert [1, 2, 3, 4] == read


async def test_an_answer_waits_until_something_comes(receiver: Receiver) -> None:
    asked = asyncio.create_task(
        receiver.client.get(f"{receiver.url}{FEED}", params={"after": "now", "wait": "10"})
    )
    await asyncio.sleep(0.3)
    waiting = not asked.done()
    await sent(receiver, "T1")
    async with idle() as clock:
        page = (await asked).json()

    assert waiting
    assert clock.seconds < 2
    assert [1] == [event["sequence"] for event in page["data"]]


async def test_an_answer_waits_no_longer_than_it_was_asked_to(receiver: Receiver) -> None:
    async with idle() as clock:
        began = time.monotonic()
        page = await receiver.client.get(f"{receiver.url}{FEED}", params={"wait": "1"})

    assert [] == page.json()["data"]
    assert 1 <= time.monotonic() - began
    assert clock.seconds < 2


async def test_a_stream_tells_what_was_and_what_comes(receiver: Receiver) -> None:
    await sent(receiver, "T1")
    async with listener(receiver.client, receiver.url) as stream:
        [first] = await stream.events(1)
        await sent(receiver, "T2")
        fields = await stream.next()

    page = (await receiver.client.get(f"{receiver.url}{FEED}")).json()
    assert page["data"] == [first, json.loads(fields["data"])]
    assert page["data"][1]["cursor"] == fields["id"]
    assert "text/event-stream" in stream.response.headers["content-type"]
    assert "no" == stream.response.headers["x-accel-buffering"]


async def test_a_stream_goes_on_after_the_last_event_that_the_listener_had(receiver: Receiver) -> None:
    for name in ("T1", "T2", "T3"):
        await sent(receiver, name)
    async with listener(receiver.client, receiver.url, ids.cursor_of_sequence(1)) as stream:
        by_header = await stream.events(2)
    async with listener(receiver.client, receiver.url, after=ids.cursor_of_sequence(2)) as stream:
        by_query = await stream.events(1)

    assert [2, 3] == [event["sequence"] for event in by_header]
    assert [3] == [event["sequence"] for event in by_query]


async def test_a_stream_from_now_on_tells_all_that_comes_after_its_first_line(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    something, after = asyncio.Event(), feed.after

    async def late(*arguments: Any) -> feed.Stretch:
        await something.wait()
        return await after(*arguments)

    await sent(receiver, "T1")
    monkeypatch.setattr(feed, "after", late)
    async with listener(receiver.client, receiver.url, after="now") as stream:
        first = await stream.next()
        await sent(receiver, "T2")
        something.set()
        [event] = await stream.events(1)

    assert 2 == event["sequence"]
    assert first["id"] == ids.cursor_of_sequence(1), (
        "where to go on after a connection that ends before an event"
    )


async def test_a_stream_is_filtered_like_the_feed(receiver: Receiver) -> None:
    async with listener(receiver.client, receiver.url, type="message.delivered") as stream:
        await sent(receiver, "T1")
        await receiver.client.post(receiver.hook(), json=[postback("N102", "T1")])
        [event] = await stream.events(1)

    assert "message.delivered" == event["type"]


async def test_a_stream_says_reset_where_events_are_no_longer_kept(
    receiver: Receiver, database_url: str
) -> None:
    for name in ("T1", "T2"):
        await sent(receiver, name)
    async with connected(database_url) as db:
        await db.execute("DELETE FROM postback.event WHERE seq = 1")
    async with listener(receiver.client, receiver.url, ids.cursor_of_sequence(0)) as stream:
        told_first = [await stream.next() for _ in range(3)]

    assert [None, "reset", None] == [fields.get("event") for fields in told_first]
    assert 2 == json.loads(told_first[2]["data"])["sequence"]


async def test_a_silent_stream_gives_signs_of_life(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_events, "PING", 0.2)
    async with listener(receiver.client, receiver.url) as stream:
        said = [await stream.next() for _ in range(3)]

    assert all("" in fields for fields in said), said


async def test_two_hundred_listeners_cost_one_query_per_batch_and_all_hear_everything(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int | None] = []
    after = feed.after

    async def counted(reader: Reader, place: int | None, *wanted: Any) -> feed.Stretch:
        found = await after(reader, place, *wanted)
        reads.append(place)
        return found

    monkeypatch.setattr(feed, "after", counted)
    async with listener(receiver.client, receiver.url, after="now") as first:
        listeners = [first]
        opened = [listener(receiver.client, receiver.url, after="now") for _ in range(199)]
        listeners += [await one.__aenter__() for one in opened]
        await eventually(lambda: len(receiver.app._pages.state.context.stream._listeners) == 200)
        reads.clear()
        for number in range(5):
            await sent(receiver, f"T{number}")
        heard = await asyncio.gather(*(one.events(5) for one in listeners))
        for one in opened:
            await one.__aexit__(None, None, None)

    assert 1 == len({json.dumps(events) for events in heard})
    assert [1, 2, 3, 4, 5] == [event["sequence"] for event in heard[0]]
    assert 1 <= len(reads) <= 5


async def test_an_acknowledged_webhook_is_on_the_stream_within_a_quarter_of_a_second(
    receiver: Receiver,
) -> None:
    lags = []
    async with listener(receiver.client, receiver.url, after="now") as stream, idle() as clock:
        await stream.next()
        for number in range(15):
            await sent(receiver, f"T{number}")
            acknowledged = clock.seconds
            await stream.events(1)
            lags.append(clock.seconds - acknowledged)

    assert statistics.median(lags) < 0.25


async def test_a_revoked_key_hears_no_more(receiver: Receiver) -> None:
    async with listener(receiver.client, receiver.url) as stream:
        await stream.next()
        await receiver.rows("UPDATE postback.api_key SET revoked_at = now()")
        receiver.app._pages.state.context.auth._keyring._keys.clear()
        await sent(receiver, "T1")
        said = await stream.next()

    assert {} == said


@pytest.mark.parametrize("ended", ["revoked_at", "expires_at"])
async def test_an_answer_that_waited_tells_nothing_to_a_key_that_has_ended(
    receiver: Receiver, ended: str
) -> None:
    asked = asyncio.create_task(
        receiver.client.get(f"{receiver.url}{FEED}", params={"after": "now", "wait": "10"})
    )
    stream = receiver.app._pages.state.context.stream
    await eventually(lambda: stream._waiting > 0)
    await receiver.rows(f"UPDATE postback.api_key SET {ended} = now()")  # noqa: S608 - one of two names
    receiver.app._pages.state.context.auth._keyring._keys.clear()
    await sent(receiver, "T1")
    answer = await asked

    assert (401, "unauthorized") == (answer.status_code, answer.json()["code"])


async def test_a_stream_does_not_hold_up_the_end_of_its_server(database_url: str, tmp_path: Path) -> None:
    settings = {"POSTBACK_DATABASE_URL": database_url, "POSTBACK_SECRET_KEY": f"{uuid7()}"}
    _, key, _ = run("keys", "create", "--name", "listener", cwd=tmp_path, **settings)
    with command("serve", "--port", "0", cwd=tmp_path, **settings) as server:
        url = server.ready()
        headers = {"authorization": f"Bearer {key.strip()}"}
        async with (
            httpx.AsyncClient(headers=headers, timeout=PATIENCE) as client,
            listener(client, url) as stream,
        ):
            await stream.next()
            async with idle() as clock:
                server.process.send_signal(signal.SIGTERM)
                rest = await stream.next()
                code = await asyncio.to_thread(server.wait)

    assert ({}, 0) == (rest, code)
    assert clock.seconds < GRACE / 2


async def test_who_opts_out_is_in_the_feed_with_both_numbers(receiver: Receiver) -> None:
    """One by a word in a message, one by somebody's decision, which is in no message and on no channel."""
    stop = postback("N401", "in-1", origin="MMS_MO", **{"from": "12065550123", "to": "18885551234"})
    answer = await receiver.client.post(receiver.hook(), json=[{**stop, "message-subject": "STOP"}])
    assert 200 == answer.status_code
    put = await receiver.client.put(f"{receiver.url}/v1/opt-outs/*/+12065550199")
    assert 200 == put.status_code, put.text
    page = (await receiver.client.get(f"{receiver.url}{FEED}")).json()
    received, said, decided = page["data"]
    timeline = (await receiver.client.get(f"{receiver.url}/v1/messages/{received['message_id']}")).json()

    assert ["message.received", "contact.opted_out", "contact.opted_out"] == [
        event["type"] for event in page["data"]
    ]
    assert ("+18885551234", "+12065550123", received["message_id"], "sinch-us") == tuple(
        said[name] for name in ("our_number", "contact", "message_id", "channel")
    )
    assert ("*", "+12065550199", None, None) == tuple(
        decided[name] for name in ("our_number", "contact", "message_id", "channel")
    )
    assert [received, said] == timeline["timeline"]
    assert "contact" not in received
