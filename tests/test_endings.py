"""What ends by its time alone: sends of channels that are configured no more, and uncertain messages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from postback import checkup_database
from receiver.channel_checks import providers_of
from receiver.config import ConfigError, Settings, settings
from receiver.id_times import first_id
from receiver.metrics import questions
from receiver.metrics.questions import Questions
from sender import endings, loop
from sender.endings import Endings
from tests.support.beds import connect
from tests.support.installation import CHANNEL, Installation, installation
from tests.support.patience import PATIENCE
from tests.support.records import accept, outgoing

pytestmark = pytest.mark.stock

PAST, FUTURE = datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC) + timedelta(days=1)
LONG_AGO = datetime.now(UTC) - timedelta(days=3, minutes=1)
NOT_YET = datetime.now(UTC) - timedelta(days=2, hours=23)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Any]:
    connection = await connect(database_url)
    yield connection
    await connection.close()


def without_channel(database_url: str) -> Settings:
    """A configuration that `CHANNEL` has left."""
    other = {
        "provider": "swift",
        "tokens": ["a-token-of-tests"],
        "api_key": "k",
        "from": ["+18005550100"],
    }
    return settings(
        {"database_url": database_url, "secret_key": "a secret key for tests", "channels": {"other": other}}
    )


def made_at(moment: datetime) -> UUID:
    return UUID(int=first_id(moment).int | (uuid7().int & ((1 << 62) - 1)))


async def queued(db: Any) -> set[UUID]:
    return {row["id"] for row in await db.fetch("SELECT id FROM postback.outbox WHERE state = 'queued'")}


async def look(database_url: str, db: Any, configured: Settings | None = None) -> None:
    """One look of a sender whose turn it is."""
    await db.execute("DELETE FROM postback.rate WHERE channel = $1", endings.TURN)
    await Endings(configured or without_channel(database_url))._look()


@asynccontextmanager
async def sending(configured: Settings) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(loop.run(configured, providers_of(configured), stop))
    yield
    stop.set()
    await running


async def test_a_send_whose_channel_is_gone_expires_at_its_time_and_says_why(
    database_url: str, db: Any
) -> None:
    async with installation(database_url, sender=False) as home:
        sent = await home.send(expires_at=FUTURE.isoformat())
        async with sending(without_channel(database_url)):
            await look(database_url, db)
            waiting = await home.message(sent["id"])
            await db.execute("UPDATE postback.message_body SET expires_at = $1", PAST)
            await db.execute("DELETE FROM postback.rate WHERE channel = $1", endings.TURN)
            message = await home.until(sent["id"], "expired")

    assert "accepted" == waiting["status"]
    assert ("failure", "expired") == (message["outcome"], message["error"]["class"])
    last = message["timeline"][-1]
    assert ("message.expired", "sender") == (last["type"], last["source"])
    assert "Its channel was not configured any more when its time was over." == message["error"]["message"]
    assert set() == await queued(db)


async def test_a_send_without_an_expiry_is_given_three_days_and_none_ends_early(
    database_url: str, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In more than one statement's worth: the old ones all go, the others all stay."""
    monkeypatch.setattr(endings, "WALK", 10)
    old = [outgoing(f"+1206556{n:04}", id=made_at(LONG_AGO)) for n in range(25)]
    kept = [
        outgoing(id=made_at(NOT_YET)),
        outgoing(id=made_at(LONG_AGO), expires_at=FUTURE),
        outgoing(),
    ]
    await accept(database_url, *old, *kept)

    await look(database_url, db)

    assert {message.id for message in kept} == await queued(db)
    expired = await db.fetch("SELECT message_id FROM postback.event WHERE status = 'expired'")
    assert sorted(message.id for message in old) == sorted(row["message_id"] for row in expired)


async def test_a_template_whose_channel_is_gone_fails_at_its_time(database_url: str, db: Any) -> None:
    async with installation(database_url, sender=False) as home:
        for name in ("old", "new"):
            body = {"channel": CHANNEL, "name": name, "text": "Hello"}
            assert 201 == (await home.api.post("/v1/templates", json=body)).status_code
        old, new = made_at(LONG_AGO), await db.fetchval("SELECT id FROM postback.template WHERE name = 'new'")
        await db.execute("UPDATE postback.template SET id = $1 WHERE id <> $2", old, new)
        await db.execute("UPDATE postback.outbox SET id = $1 WHERE id <> $2", old, new)
        await look(database_url, db)
        found = {one["name"]: one for one in (await home.api.get("/v1/templates")).json()["data"]}

    assert ("failed", "expired") == (found["old"]["state"], found["old"]["error"]["class"])
    assert "pending" == found["new"]["state"]
    assert {new} == await queued(db)


async def test_a_sender_leaves_what_another_one_is_at_work_on(database_url: str, db: Any) -> None:
    """One of the channel's sends is claimed: a sender that knows it is running. When its lease is over
    nobody is, and the claim ends with the rest."""
    messages = [outgoing(id=made_at(LONG_AGO)), outgoing("+12065550199", id=made_at(LONG_AGO))]
    await accept(database_url, *messages)
    await db.execute(
        """UPDATE postback.outbox SET state = 'claimed', lease_until = now() + interval '30 s'
           WHERE id = $1""",
        messages[0].id,
    )
    await look(database_url, db)
    left = await queued(db)
    await db.execute(
        "UPDATE postback.outbox SET lease_until = now() - interval '1 s' WHERE state = 'claimed'"
    )
    async with sending(without_channel(database_url)), asyncio.timeout(PATIENCE):
        while await queued(db) or await db.fetchval("SELECT count(*) FROM postback.outbox"):
            await db.execute("DELETE FROM postback.rate WHERE channel = $1", endings.TURN)
            await asyncio.sleep(0.1)

    assert {messages[1].id} == left
    assert 2 == await db.fetchval("SELECT count(*) FROM postback.event WHERE status = 'expired'")


async def test_a_call_under_way_on_a_channel_that_left_becomes_uncertain(database_url: str, db: Any) -> None:
    async with installation(database_url, sender=False) as home:
        sent = await home.send()
        await db.execute(
            """UPDATE postback.outbox SET state = 'calling', submission_id = gen_random_uuid(), attempts = 1,
                   lease_until = now() - interval '1 s'"""
        )
        async with sending(without_channel(database_url)):
            message = await home.until(sent["id"], "uncertain")

    assert "sender" == message["timeline"][-1]["source"]


async def test_two_senders_that_look_at_once_end_each_send_once(database_url: str, db: Any) -> None:
    await accept(database_url, *(outgoing(f"+1206556{n:04}", id=made_at(LONG_AGO)) for n in range(250)))
    both = [Endings(without_channel(database_url)) for _ in range(2)]

    async def end(one: Endings) -> None:
        connection: Any = await connect(database_url)
        await one._unsent(connection)
        await connection.close()

    await asyncio.gather(*(end(one) for one in both))

    assert 250 == await db.fetchval("SELECT count(*) FROM postback.event WHERE status = 'expired'")
    assert set() == await queued(db)


async def test_what_waits_for_a_channel_that_is_gone_is_counted(database_url: str, db: Any) -> None:
    await accept(database_url, outgoing(), outgoing("+12065550199"))
    configured = without_channel(database_url)
    finding = {one.check: one async for one in checkup_database.examine(configured)}["outbox"]
    told = await orphans(database_url, list(configured.channels))

    assert f"sends wait for a channel that is configured no more: 2 for '{CHANNEL}'" == finding.said
    assert "configure the channel again" in finding.remedy
    assert {(CHANNEL,): [2.0]} == told
    assert {} == await orphans(database_url, [CHANNEL])


async def orphans(database_url: str, channels: list[str]) -> Any:
    told = await Questions(database_url, "postback", channels).ask()
    return next(values for gauge, values in told if gauge is questions.OUTBOX_ORPHANS)


async def uncertain(home: Installation) -> dict[str, Any]:
    """A message whose answer was lost, and of which no report comes."""
    await home.order(answer=502, report="lost")
    return await home.send()


@pytest.mark.parametrize(
    ("becomes", "outcome", "conflict"),
    [("failed", "failure", True), ("sent", "pending", False), ("unconfirmed", "unknown", False)],
)
async def test_an_uncertain_message_becomes_what_its_channel_says_and_a_report_still_counts(
    database_url: str, becomes: str, outcome: str, conflict: bool
) -> None:
    async with installation(database_url, uncertain_after=1, uncertain_becomes=becomes) as home:
        sent = await uncertain(home)
        message = await home.until(sent["id"], becomes)
        reference = (await home.journal())[0]["body"]["client-reference"]
        await home.hook(f'{{"code": "N102", "tracking-id": "T", "client-reference": "{reference}"}}'.encode())
        delivered = await home.message(sent["id"])

    [*_, lost, last] = message["timeline"]
    assert ("uncertain", "timer", outcome) == (lost["status"], last["source"], message["outcome"])
    assert "nothing was heard of it for 1 s" == last["provider_message"]
    assert ("delivered", conflict) == (delivered["status"], delivered["conflict"])
    assert 1 == len([event for event in delivered["timeline"] if event["source"] == "timer"])


@pytest.mark.parametrize("policy", [{}, {"uncertain_after": 3600, "uncertain_becomes": "failed"}])
async def test_an_uncertain_message_stays_so_until_its_time(
    database_url: str, db: Any, policy: dict[str, Any]
) -> None:
    async with installation(database_url, **policy) as home:
        message = await home.until((await uncertain(home))["id"], "uncertain")
        await look(database_url, db, home.settings)

        assert message == await home.message(message["id"])


async def test_what_a_report_has_settled_hears_nothing_of_the_timer(database_url: str, db: Any) -> None:
    async with installation(database_url) as home:
        message = await home.until((await uncertain(home))["id"], "uncertain")
        reference = (await home.journal())[0]["body"]["client-reference"]
        await home.hook(f'{{"code": "N101", "tracking-id": "T", "client-reference": "{reference}"}}'.encode())
        channel = home.settings.channels[CHANNEL].model_copy(
            update={"uncertain_after": 0, "uncertain_becomes": "failed"}
        )
        await look(database_url, db, home.settings.model_copy(update={"channels": {CHANNEL: channel}}))

        assert "sent" == (await home.message(message["id"]))["status"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"uncertain_after": 60}, "set uncertain_becomes to"),
        ({"uncertain_becomes": "failed"}, "set uncertain_after, in seconds"),
        ({"uncertain_after": 60, "uncertain_becomes": "delivered"}, "'failed', 'sent' or 'unconfirmed'"),
        ({"uncertain_after": -1, "uncertain_becomes": "failed"}, "channels.a.uncertain_after"),
    ],
)
def test_half_a_policy_is_refused_in_a_sentence(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        settings({"channels": {"a": {"provider": "sinch_mms", "tokens": ["a-token-of-tests"], **keys}}})
