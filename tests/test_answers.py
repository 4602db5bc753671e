"""What a carrier answered is never forgotten, however long Postgres takes nothing meanwhile."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from postback.embedded import EmbeddedPostgres
from receiver import migrate, secrets
from receiver.channel_checks import providers_of
from receiver.kept import Selection
from receiver.media import store_of
from receiver.providers.cellcast import Cellcast
from receiver.providers.sinch_mms import SinchMms
from receiver.replay import Replay
from receiver.spool import waiting
from sender import channel, leases, loop
from tests.support import commands
from tests.support.beds import FAST, connect
from tests.support.installation import CHANNEL, Installation, installation
from tests.support.outages import OUTAGES, locked, read_only, stopped
from tests.support.patience import PATIENCE
from tests.support.processes import eventually

SCHEMA = "postback"
#: seconds that an outage lasts: longer than the lease of a call that is under way, and than every patience
LONG = 5.0
#: seconds until a carrier answers
SLOW = 2.0
TAKEN, REFUSED, THROTTLED, SILENT = (f"+1206555010{number}" for number in range(4))
AUSTRALIAN: dict[str, Any] = {"from": ["+61480000000"], "default_region": "AU"}
REPLY = {"from": "+61491570156", "to": "+61480000000", "text": "Yes"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path / "pg", settings=FAST, superuser=True) as server:
        await migrate.upgrade(server.url, SCHEMA)
        yield server


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases end during an outage, and everybody looks for them at once when it is over."""
    monkeypatch.setattr(channel, "CALL_LEASE", timedelta(seconds=2))
    monkeypatch.setattr(leases, "LOOK", 0.05)
    monkeypatch.setattr(leases, "GRACE", 0.0)


async def calling(home: Installation, number: int) -> None:
    """Returns when *number* calls are under way. Raises ``TimeoutError``."""
    await told(
        home.settings.database_url,
        f"SELECT count(*) >= {number} FROM postback.outbox WHERE state = 'calling'",  # noqa: S608
    )


async def told(database_url: str, question: str, within: float = PATIENCE) -> Any:
    """What the database answers to *question*, once that is anything but nothing. Raises ``TimeoutError``."""
    database = await connect(database_url)
    try:
        async with asyncio.timeout(within):
            while not (answer := await database.fetchval(question)):  # noqa: ASYNC110 - in another session
                await asyncio.sleep(0.02)
            return answer
    finally:
        await database.close()


async def calls(home: Installation) -> Counter[str]:
    """How often the carrier was asked to send to each number."""
    return Counter(f"+{entry['body']['to'].lstrip('+')}" for entry in await home.journal())


def statuses(message: dict[str, Any]) -> list[str]:
    return [event["status"] for event in message["timeline"]]


async def no_callbacks(home: Installation) -> None:
    """The carrier tells nothing by itself: replies wait there until they are fetched."""
    account = home.account.model_dump() | {"callback_url": None}
    assert (await home.carrier.post("/practice/accounts", json=account)).is_success


async def three_answers(home: Installation) -> dict[str, str]:
    """The ids of three messages, by who they are for, of which the carrier takes one, refuses one and asks
    for patience with one, in a moment."""
    await no_callbacks(home)
    await home.order(slow=SLOW, to=TAKEN)
    await home.order(slow=SLOW, to=REFUSED, answer="refused")
    await home.order(slow=SLOW, to=THROTTLED, answer="throttled", next=1)
    sent = {to: (await home.send(to))["id"] for to in (TAKEN, REFUSED, THROTTLED)}
    await calling(home, 3)
    return sent


async def holds(home: Installation, sent: dict[str, str]) -> None:
    """What the carrier answered is what the messages tell."""
    taken = await home.until(sent[TAKEN], "queued")
    refused = await home.until(sent[REFUSED], "rejected")
    throttled = await home.until(sent[THROTTLED], "queued")
    assert {TAKEN: 1, REFUSED: 1, THROTTLED: 2} == await calls(home)
    assert 1 == len(taken["provider_message_ids"]) == len(throttled["provider_message_ids"])
    assert "E114" == refused["error"]["code"]
    assert ["accepted", "queued"] == statuses(taken) == statuses(throttled)
    assert ["accepted", "rejected"] == statuses(refused)


@pytest.mark.parametrize("outage", OUTAGES)
async def test_answers_that_come_during_an_outage_are_settled_after_it(
    server: EmbeddedPostgres, short_leases: None, outage: str
) -> None:
    async with installation(server.url) as home:
        sent = await three_answers(home)

        async with OUTAGES[outage](server):
            await asyncio.sleep(LONG)

        await holds(home, sent)


async def test_another_sender_leaves_the_answers_of_a_living_one_their_time(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(channel, "CALL_LEASE", timedelta(seconds=2))
    monkeypatch.setattr(leases, "LOOK", 0.05)
    async with installation(server.url) as home:
        sent = await three_answers(home)
        async with another_sender(home, tmp_path / "another"), read_only(server):
            await asyncio.sleep(LONG)
        await holds(home, sent)


async def test_an_answer_counts_after_another_sender_has_given_the_call_up(
    server: EmbeddedPostgres, short_leases: None, tmp_path: Path
) -> None:
    """As where only one of them cannot reach the database."""
    async with installation(server.url) as home:
        sent = await three_answers(home)
        # settling needs that table, and giving up does not
        async with locked(server, "awaited_report"), another_sender(home, tmp_path / "another"):
            given_up = [await home.until(one, "uncertain") for one in sent.values()]

        taken = await home.until(sent[TAKEN], "queued")
        refused = await home.until(sent[REFUSED], "rejected")
        await home.until(sent[THROTTLED], "queued")
        assert {TAKEN: 1, REFUSED: 1, THROTTLED: 2} == await calls(home)
        assert 1 == len(taken["provider_message_ids"])
        assert "E114" == refused["error"]["code"]
        assert {leases.UNKNOWN} == {message["timeline"][-1]["provider_message"] for message in given_up}


@asynccontextmanager
async def another_sender(home: Installation, data_dir: Path) -> AsyncIterator[None]:
    """One that has nothing of ours but the database, and calls nobody: it has no channels."""
    stop = asyncio.Event()
    settings = home.settings.model_copy(update={"data_dir": data_dir, "channels": {}})
    running = asyncio.create_task(loop.run(settings, providers_of(settings), stop))
    try:
        yield
    finally:
        stop.set()
        await running


@pytest.mark.parametrize("outage", ["read-only", "frozen"])
async def test_a_mark_of_which_nobody_knows_costs_no_message(
    server: EmbeddedPostgres, short_leases: None, outage: str
) -> None:
    """The outage begins before the call: whether it stands as made is not known, and it was not made."""
    async with installation(server.url, sender=False) as home:
        await no_callbacks(home)
        sent = await home.send()
        begun = asyncio.Event()
        go_on = asyncio.Event()
        original = channel.ChannelSender._begun

        async def held(self: channel.ChannelSender, claim: Any) -> Any:
            begun.set()
            await go_on.wait()
            return await original(self, claim)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(channel.ChannelSender, "_begun", held)
            home.start_sender()
            await begun.wait()
            async with OUTAGES[outage](server):
                go_on.set()
                await asyncio.sleep(LONG)

            message = await home.until(sent["id"], "queued")
        assert ["accepted", "queued"] == statuses(message)
        assert 1 == len(await home.journal())


async def test_a_call_that_was_never_made_is_made_again_after_an_outage(
    server: EmbeddedPostgres, short_leases: None, free_port: int
) -> None:
    async with installation(server.url, base_url=f"http://127.0.0.1:{free_port}/") as home:
        async with locked(server, "awaited_report"):  # settling needs it
            sent = await home.send()
            await calling(home, 1)
            await asyncio.sleep(LONG)

        assert await told(server.url, "SELECT attempts > 1 FROM postback.outbox")
        assert ["accepted"] == statuses(await home.message(sent["id"]))


async def test_each_recipient_of_a_call_keeps_its_answer(
    server: EmbeddedPostgres, short_leases: None
) -> None:
    people = [f"+1206555{number:04}" for number in range(200, 220)]
    async with installation(server.url, "sinch_sms") as home:
        await home.order(slow=SLOW)
        answer = await home.api.post("/v1/messages", json={"to": people, "text": "Hello"})
        await calling(home, 20)

        async with read_only(server):
            await asyncio.sleep(LONG)

        sent = [message["id"] for message in answer.json()["data"]]
        settled = "SELECT count(*) = 20 FROM postback.event WHERE (source, status) = ('sender', 'queued')"
        assert await told(server.url, settled)
        found = [await home.message(one) for one in sent]
        assert 1 == len(await home.journal())
        assert 1 == len({name for message in found for name in message["provider_message_ids"]})
        assert "uncertain" not in {status for message in found for status in statuses(message)}


async def test_a_template_keeps_the_id_that_its_carrier_gave(
    server: EmbeddedPostgres, short_leases: None
) -> None:
    async with installation(server.url) as home:
        await home.order(slow=SLOW)
        body = {"channel": CHANNEL, "name": "spring", "media": [{"url": "https://media.example.com/a.png"}]}
        template = (await home.api.post("/v1/templates", json=body)).json()
        await calling(home, 1)

        async with read_only(server):
            await asyncio.sleep(LONG)

        message = await home.until(
            (await home.send(text=None, template_id=template["id"]))["id"], "delivered"
        )
        actions = Counter(entry["body"]["action"] for entry in await home.journal())
        assert {"savemms": 1, "sendsavedmms": 1} == actions
        assert "uncertain" not in statuses(message)


async def test_a_polled_page_waits_on_disk_for_postgres(server: EmbeddedPostgres) -> None:
    async with installation(server.url, "cellcast", poll=1, **AUSTRALIAN) as home:
        await no_callbacks(home)
        async with locked(server, "payload"):
            await home.carrier.post("/practice/inbound", json=REPLY)
            assert await asyncio.to_thread(eventually, lambda: bool(waiting(home.settings.data_dir)))

        [message] = await home.listed(1, direction="inbound")
        assert "Yes" == message["text"]


async def test_an_answer_that_the_parser_fails_on_is_kept_and_replayed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with installation(database_url, "cellcast", poll=1, **AUSTRALIAN) as home:
        with monkeypatch.context() as spoilt:
            spoilt.setattr(Cellcast, "polled", _broken)
            await no_callbacks(home)
            await home.carrier.post("/practice/inbound", json=REPLY)
            # an answer of either list is kept, also one without a reply
            wanted = "SELECT id FROM postback.payload WHERE query LIKE '%list=sms' AND body LIKE '%Yes%'"
            identity = await told(database_url, wanted)
            await home.stop_sender()
        database = await connect(database_url)
        payload = await database.fetchrow("SELECT * FROM postback.payload WHERE id = $1", identity)
        assert payload
        settings = home.settings
        keys = secrets.load(settings)
        replay = Replay(settings, providers_of(settings), keys, store_of(settings, keys))
        async for _ in replay.run(Selection(ids=[payload["id"]])):
            pass

        assert ("quarantined", "ANSWER") == (payload["state"], payload["method"])
        assert "the parser failed: ZeroDivisionError" == payload["reason"]
        assert "applied" == await database.fetchval(
            "SELECT state FROM postback.payload WHERE id = $1", payload["id"]
        )
        await database.close()
        [message] = await home.listed(1, direction="inbound")
        assert "Yes" == message["text"]


async def test_an_answer_to_a_send_that_our_code_fails_on_is_kept(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SinchMms, "outcome", _broken)
    async with installation(database_url) as home:
        await no_callbacks(home)

        message = await home.until((await home.send())["id"], "uncertain")

        database = await connect(database_url)
        [payload] = await database.fetch("SELECT state, method, query, body FROM postback.payload")
        await database.close()
        said = "the answer could not be read: ZeroDivisionError (HTTP 200)"
        assert said == message["timeline"][-1]["provider_message"]
        assert ("quarantined", "ANSWER", "to=send&status=200") == tuple(payload)[:3]
        assert "success" == orjson.loads(payload["body"])["status"]


def _broken(*arguments: Any) -> Any:
    return 1 / 0


async def test_a_sender_told_to_stop_leaves_its_answers_to_the_next_one(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    async with installation(server.url, sender=False) as home:
        environment = _environment(home, tmp_path)
        with commands.postback("send", cwd=tmp_path, **environment) as sender:
            await asyncio.to_thread(sender.says, "sending")
            sent = await three_answers(home)
            async with stopped(server):
                await asyncio.sleep(SLOW + 1)
                assert 0 == await asyncio.to_thread(sender.ends)
            sender.says("answers are left on disk")
        assert 1 == len(list((tmp_path / "data" / "answers").glob("*.sqlite")))

        with commands.postback("send", cwd=tmp_path, **environment) as sender:
            await holds(home, sent)
            await asyncio.to_thread(sender.ends)
        assert [] == list((tmp_path / "data" / "answers").glob("*.sqlite"))


async def test_a_killed_sender_leaves_what_it_had_on_disk_and_nobody_knows_the_rest(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    async with installation(server.url, sender=False) as home:
        environment = _environment(home, tmp_path)
        with commands.postback("send", cwd=tmp_path, **environment) as sender:
            await asyncio.to_thread(sender.says, "sending")
            await home.order(slow=30, to=SILENT)
            silent = await home.send(SILENT)
            sent = await three_answers(home)
            await calling(home, 4)
            async with stopped(server):
                await asyncio.to_thread(sender.says, "answers wait for Postgres")
                await asyncio.sleep(1)
                sender.process.send_signal(signal.SIGKILL)
                sender.process.wait()
        database = await connect(server.url)
        await database.execute(
            "UPDATE postback.outbox SET lease_until = lease_until - interval '1 minute' WHERE id = $1",
            silent["id"],
        )
        await database.close()

        with commands.postback("send", cwd=tmp_path, **environment) as sender:
            await holds_all_but(home, sent)
            unknown = await home.until(silent["id"], "uncertain")
            await asyncio.to_thread(sender.ends)
        assert leases.UNKNOWN == unknown["timeline"][-1]["provider_message"]


async def holds_all_but(home: Installation, sent: dict[str, str]) -> None:
    """The same beside a call that is not among *sent*."""
    for to, status in ((TAKEN, "queued"), (REFUSED, "rejected"), (THROTTLED, "queued")):
        message = await home.until(sent[to], status)
        assert "uncertain" not in statuses(message)
    assert {TAKEN: 1, REFUSED: 1, THROTTLED: 2, SILENT: 1} == await calls(home)


async def test_without_a_disk_a_stopping_sender_says_what_it_loses(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    async with installation(server.url, sender=False) as home:
        environment = _environment(home, tmp_path)
        with commands.postback("send", cwd=tmp_path, POSTBACK_SPOOL="false", **environment) as sender:
            await asyncio.to_thread(sender.says, "sending")
            await three_answers(home)
            async with stopped(server):
                await asyncio.sleep(SLOW + 1)
                assert 0 == await asyncio.to_thread(sender.ends)

        lost = [line for line in sender.errors if "an answer is lost" in line]
        assert 3 == len(lost)
        assert not (tmp_path / "data" / "answers").exists()


def _environment(home: Installation, tmp_path: Path) -> dict[str, str]:
    channels = {
        name: channel.model_dump(by_alias=True, exclude={"name"}, exclude_unset=True)
        for name, channel in home.settings.channels.items()
    }
    return {
        "DATABASE_URL": home.settings.database_url,
        "POSTBACK_SECRET_KEY": "a secret key for tests",
        "POSTBACK_DATA_DIR": str(tmp_path / "data"),
        "POSTBACK_CHANNELS": orjson.dumps(channels).decode(),
    }
