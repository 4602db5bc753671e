"""What a process has in memory of a redacted message: forgotten, waited for, not written down."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from receiver.forward.journal import Journal
from receiver.forward.parcel import DeliveryRow
from receiver.forward.subscription import PlaceRow
from receiver.sql import qualified
from tests.support.app import running_app
from tests.support.forwarding import Installed, forwarding
from tests.support.store import long_winded, store
from tests.support.taps import ear

WORDS = "the cat is under the red flowerpot"
PATIENCE = 60.0


@pytest.fixture
async def installed(database_url: str, tmp_path: Path) -> AsyncIterator[Installed]:
    async with forwarding(database_url, tmp_path) as made:
        yield made


async def test_a_listener_who_is_being_sent_what_is_redacted_is_cut_off(installed: Installed) -> None:
    longer_than_kernels_keep = WORDS + "." * 8_000_000
    await store(installed.db, [long_winded(longer_than_kernels_keep, "T1")])
    [message] = (await installed.get("/v1/messages"))["data"]
    key = installed.api.headers["authorization"].removeprefix("Bearer ")
    async with ear(str(installed.api.base_url), key) as listener:
        await listener.listen(until=WORDS.encode())
        listener.heard.clear()

        await installed.post(f"/v1/messages/{message['id']}/redact")
        on_the_way = listener.on_the_way
        await listener.listen()

    assert len(listener.heard) <= on_the_way


async def test_a_redaction_waits_for_a_process_that_says_nothing_as_long_as_its_lease(
    installed: Installed,
) -> None:
    await installed.tell("T1")
    [message] = (await installed.get("/v1/messages"))["data"]
    lease = "INSERT INTO postback.content_lease VALUES ($1, 0, clock_timestamp() + interval '1 second')"
    await installed.db.execute(lease, uuid7())
    again = "UPDATE postback.content_lease SET lease_until = clock_timestamp() + interval '1 second'"

    for _ in ("at first", "also after a first try that did not come so far"):
        await installed.post(f"/v1/messages/{message['id']}/redact")
        left = "SELECT lease_until - clock_timestamp() FROM postback.content_lease"
        assert await installed.db.fetchval(left) < timedelta(0)
        await installed.db.execute(again)


async def test_a_forwarder_that_cannot_hear_of_redactions_posts_nothing(installed: Installed) -> None:
    async with running_app() as app:
        made = await installed.subscribe(app)
        installed.forward()
        await installed.tell("T1")
        await installed.written(made, "delivered", within=PATIENCE)
        lock = qualified("pg_advisory_{}(hashtextextended('postback.redaction', 0))", "postback")
        await installed.db.execute(f"SELECT {lock.format('lock')}")
        ended = "SELECT bool_and(lease_until < clock_timestamp()) FROM postback.content_lease"

        async with asyncio.timeout(PATIENCE):
            while not await installed.db.fetchval(ended):  # noqa: ASYNC110 - another process's clock
                await asyncio.sleep(0.05)
        await installed.tell("T2")
        await asyncio.sleep(1)
        heard = len(app.heard)
        await installed.db.execute(f"SELECT {lock.format('unlock')}")
        await app.first(2, within=PATIENCE)

    assert 1 == heard


async def test_what_was_rendered_before_a_redaction_is_not_written_down_after_it(
    installed: Installed,
) -> None:
    made = await installed.subscribe("https://app.example.com/events")
    await installed.tell("T1", "T2")
    first, second = (await installed.get("/v1/events"))["data"]
    journal = Journal(installed.database_url, "postback")
    await journal.claim(timedelta(seconds=5))
    seen = await installed.db.fetchval("SELECT coalesce(max(number), 0) FROM postback.redaction")
    await installed.post(f"/v1/messages/{first['message_id']}/redact")

    attempts = '[{"at": "now", "status": 500, "ms": 1, "answer": "what it said", "error": null}]'
    subscriber, moment = UUID(made["id"]), datetime.now(UTC)
    rows = [
        DeliveryRow(
            uuid7(), subscriber, UUID(event["id"]), UUID(event["message_id"]), event["sequence"], 0, "lane",
            "waiting", False, 1, attempts, b"what it said", moment,
        )
        for event in (first, second)
    ]  # fmt: skip
    place = PlaceRow(subscriber, 2, None, None, 0, None, recovered=False)
    await journal.log([place], rows, seen, moment)
    written = await installed.db.fetch("SELECT body, attempts FROM postback.delivery ORDER BY seq")
    await journal.close()

    assert [None, b"what it said"] == [row["body"] for row in written]
    answers = [json.loads(row["attempts"])[0] for row in written]
    assert [None, "what it said"] == [answer["answer"] for answer in answers]
    assert [500, 500] == [answer["status"] for answer in answers]
