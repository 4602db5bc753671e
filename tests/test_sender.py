"""The way of a send, against a practice carrier that does its worst, over real HTTP and real Postgres."""

import asyncio
import itertools
import time
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import pytest

from receiver import secrets
from receiver.channel_checks import providers_of
from receiver.http import Client
from receiver.ingest import Ingest
from receiver.media import store_of
from receiver.outbox import Outbox
from receiver.outbox.call import CLAIM_LEASE, Claim
from receiver.sources import sources
from sender import loop
from sender.answers import Answers
from sender.call import Calls
from sender.channel import ChannelSender
from sender.files import OutgoingFiles
from sender.settling import Settling
from tests.support.beds import connect
from tests.support.installation import CHANNEL, THEM, US, installation
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.stock, pytest.mark.usefixtures("unhurried")]

IMAGE = "https://media.example.com/map.png"


async def test_a_message_is_sent_and_reported_delivered(database_url: str) -> None:
    async with installation(database_url) as home:
        sent = await home.send(subject="Map", media=[{"url": IMAGE}], client_reference="order-42")

        message = await home.until(sent["id"], "delivered")

        assert "accepted" == sent["status"]
        assert sent["conversation_id"] is not None
        assert ["accepted", "queued", "sent", "delivered"] == sorted(
            (event["status"] for event in message["timeline"]),
            key=["accepted", "queued", "sent", "delivered"].index,
        )
        assert ("success", "own_id", "mms", False) == (
            message["outcome"],
            message["correlation"],
            message["delivered_as"],
            message["conflict"],
        )
        assert ("order-42", US, THEM) == (message["client_reference"], message["from"], message["to"])
        [request] = await home.journal()
        assert [{"image": {"url": IMAGE}, "message-text": "Hello"}] == request["body"]["slide"]


@pytest.mark.parametrize(
    ("faults", "status", "error"),
    [
        ({"early": True}, "delivered", None),
        ({"early": True, "reference": False}, "delivered", None),
        ({"duplicate": 5}, "delivered", None),
        ({"reordered": True}, "delivered", None),
        ({"reordered": True, "reference": False, "trackingid": True}, "delivered", None),
        ({"report": "lost"}, "sent", None),
        ({"report": "unknown"}, "sent", None),
        ({"report": "expired"}, "expired", "N103"),
        ({"report": "failed"}, "failed", "E101"),
        ({"report": "rejected"}, "rejected", "E102"),
        ({"report": "fallback_failed"}, "failed", "E202"),
        ({"report": "delivered_but_expired"}, "expired", "N102"),
        ({"answer": "refused"}, "rejected", "E114"),
        ({"answer": "E111"}, "rejected", "E111"),
        ({"answer": 502}, "uncertain", None),
        ({"answer": "closed", "report": "lost"}, "sent", None),
    ],
    ids=str,
)
async def test_each_fault_ends_where_it_should(
    database_url: str, faults: dict[str, Any], status: str, error: str | None
) -> None:
    async with installation(database_url) as home:
        await home.order(**faults)

        message = await home.until((await home.send())["id"], status)

        assert error == (message["error"]["code"] if message["error"] else None)
        assert 1 == len(await home.journal())


async def test_a_fallback_after_a_rejection_is_a_delivery_in_conflict(database_url: str) -> None:
    async with installation(database_url) as home:
        await home.order(report="rejected_then_sms")

        message = await home.until((await home.send())["id"], "delivered")

        assert (True, "sms", None) == (message["conflict"], message["delivered_as"], message["error"])


async def test_a_send_whose_answer_never_came_is_not_sent_again_and_a_report_settles_it(
    database_url: str,
) -> None:
    async with installation(database_url) as home:
        await home.order(answer="closed", late=0.6)
        sent = await home.send()

        message = await home.until(sent["id"], "uncertain", "sent")
        await home.until(sent["id"], "delivered")

        assert message["outcome"] in ("unknown", "pending")
        timeline = (await home.message(sent["id"]))["timeline"]
        assert 1 == [event["status"] for event in timeline].count("uncertain")
        assert 1 == len(await home.journal())


async def test_a_throttled_send_is_tried_again_until_it_is_accepted(database_url: str) -> None:
    async with installation(database_url) as home:
        await home.order(answer="throttled", next=1)

        message = await home.until((await home.send())["id"], "delivered")

        assert 2 == len(await home.journal())
        assert message["error"] is None


async def test_a_carrier_that_cannot_be_reached_is_tried_again(database_url: str, free_port: int) -> None:
    async with installation(database_url, base_url=f"http://127.0.0.1:{free_port}/") as home:
        sent = await home.send()
        db = await connect(database_url)
        tried = "SELECT count(*) FROM postback.outbox WHERE state = 'queued' AND attempts > 0"
        async with asyncio.timeout(PATIENCE):
            while 0 == await db.fetchval(tried):  # noqa: ASYNC110 - the sender's rows
                await asyncio.sleep(0.02)
        await db.close()

        assert "accepted" == (await home.message(sent["id"]))["status"]


async def test_a_message_that_expired_in_the_queue_is_not_sent(database_url: str) -> None:
    async with installation(database_url, sender=False) as home:
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
        sent = await home.send(expires_at=soon)
        await asyncio.sleep(4.1)

        home.start_sender()
        message = await home.until(sent["id"], "expired")

        assert "expired" == message["error"]["class"]
        assert [] == await home.journal()


async def test_many_recipients_become_as_many_messages_in_their_order(database_url: str) -> None:
    async with installation(database_url) as home:
        recipients = [f"+1206555{number:04}" for number in range(100, 140)]

        answer = await home.api.post("/v1/messages", json={"to": recipients, "text": "Hello"})

        messages = answer.json()["data"]
        assert recipients == [message["to"] for message in messages]
        for message in messages:
            await home.until(message["id"], "delivered")
        assert 40 == len(await home.journal())


async def test_two_senders_send_each_message_once(database_url: str) -> None:
    async with installation(database_url) as home:
        stop = asyncio.Event()
        second = asyncio.create_task(loop.run(home.settings, providers_of(home.settings), stop))
        recipients = [f"+1206555{number:04}" for number in range(200, 400)]
        answer = await home.api.post("/v1/messages", json={"to": recipients, "text": "Hello"})
        for message in answer.json()["data"]:
            await home.until(message["id"], "delivered")
        stop.set()
        await second

        references = [request["body"]["client-reference"] for request in await home.journal()]
        assert 200 == len(references) == len(set(references))


def turn(claim: Claim) -> datetime:
    """On the clock of the database, which has no part in how long its answer was on the way."""
    assert claim.until
    return claim.until - CLAIM_LEASE + timedelta(seconds=claim.turn_in)


async def test_a_rate_is_shared_by_all_senders_and_kept_to_the_second(database_url: str) -> None:
    outboxes = [Outbox(database_url, "postback") for _ in range(2)]
    async with installation(database_url, sender=False) as home:
        recipients = [f"+1206555{number:04}" for number in range(200, 300)]
        await home.api.post("/v1/messages", json={"to": recipients, "text": "Hello"})
        for outbox in outboxes:
            await outbox.open()
        turns: list[datetime] = []
        async with asyncio.timeout(PATIENCE):
            while len(turns) < 20:
                claimed = await asyncio.gather(*(one.claim(CHANNEL, 64, 20) for one in outboxes))
                turns += [turn(claim) for claims in claimed for claim in claims]
                await asyncio.sleep(0.02)
        for outbox in outboxes:
            await outbox.close()

    gaps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(sorted(turns))]
    assert min(gaps) > 0.0499
    assert median(gaps) < 0.0501


async def test_an_expired_claim_is_queued_again_and_an_expired_call_is_uncertain(database_url: str) -> None:
    outbox = Outbox(database_url, "postback")
    async with installation(database_url, sender=False) as home:
        claimed, called = await home.send(), await home.send()
        await outbox.open()
        claims = {str(claim.ids[0]): claim for claim in await outbox.claim(CHANNEL, 10, None)}
        await outbox.begin(claims[called["id"]])
        db = await connect(database_url)
        await db.execute("UPDATE postback.outbox SET lease_until = now() - interval '1 s'")
        await db.close()
        await outbox.close()

        home.start_sender()

        await home.until(claimed["id"], "delivered")
        uncertain = await home.until(called["id"], "uncertain")
        assert "unknown" == uncertain["outcome"]
        assert 1 == len(await home.journal())


async def test_a_claim_that_was_lost_does_not_become_a_call(database_url: str) -> None:
    outbox = Outbox(database_url, "postback")
    async with installation(database_url, sender=False) as home:
        await home.send()
        await outbox.open()
        [claim] = await outbox.claim(CHANNEL, 10, None)
        db = await connect(database_url)
        await db.execute("UPDATE postback.outbox SET state = 'queued'")
        await db.close()

        assert await outbox.begin(claim) is None
        await outbox.close()


BUSY = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()
      AND backend_type = 'client backend'
"""


async def test_no_database_connection_is_held_during_a_call(database_url: str) -> None:
    """There is a moment in which none does anything, and all thirty calls are still under way."""
    async with installation(database_url) as home:
        await home.order(slow=3)
        for _ in range(30):
            await home.send()
        db = await connect(database_url)
        calling = "SELECT count(*) FROM postback.outbox WHERE state = 'calling'"
        async with asyncio.timeout(PATIENCE):
            while await db.fetchval(calling) < 30 or await db.fetchval(BUSY):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        under_way = await db.fetchval(calling)
        await db.close()

        assert 30 == under_way


async def test_a_template_is_stored_and_sent_by_its_id(database_url: str) -> None:
    async with installation(database_url) as home:
        body = {"channel": CHANNEL, "name": "spring", "subject": "Spring", "media": [{"url": IMAGE}]}
        template = (await home.api.post("/v1/templates", json=body)).json()
        async with asyncio.timeout(PATIENCE):
            while template["state"] == "pending":
                template = (await home.api.get(f"/v1/templates/{template['id']}")).json()
                await asyncio.sleep(0.02)

        message = await home.until(
            (await home.send(text=None, template_id=template["id"]))["id"], "delivered"
        )

        assert "ready" == template["state"]
        assert "sendsavedmms" == (await home.journal())[-1]["body"]["action"]
        assert message["kind"] == "mms"


async def test_a_template_that_cannot_be_encoded_has_failed_and_is_not_sent(database_url: str) -> None:
    async with installation(database_url) as home:
        await home.order(report="video_failed")
        body = {"channel": CHANNEL, "name": "film", "media": [{"url": "https://media.example.com/film.mp4"}]}
        template = (await home.api.post("/v1/templates", json=body)).json()
        async with asyncio.timeout(PATIENCE):
            while template["state"] == "pending":
                template = (await home.api.get(f"/v1/templates/{template['id']}")).json()
                await asyncio.sleep(0.02)

        refused = await home.api.post("/v1/messages", json={"to": THEM, "template_id": template["id"]})

        assert ("failed", "E003") == (template["state"], template["error"]["code"])
        assert (422, "/template_id") == (refused.status_code, refused.json()["errors"][0]["pointer"])


async def test_an_idempotency_key_makes_its_messages_once(database_url: str) -> None:
    async with installation(database_url, sender=False) as home:
        key = {"Idempotency-Key": "k1"}
        body = {"to": THEM, "text": "Hello"}

        first = await home.api.post("/v1/messages", json=body, headers=key)
        again = await home.api.post("/v1/messages", json=body, headers=key)
        other = await home.api.post("/v1/messages", json={**body, "text": "Bye"}, headers=key)

        assert first.json() == again.json()
        assert ("true", None) == (
            again.headers.get("idempotency-replayed"),
            first.headers.get("idempotency-replayed"),
        )
        assert (422, "idempotency_conflict") == (other.status_code, other.json()["code"])


async def test_an_idempotency_key_used_twice_at_once_makes_its_messages_once(database_url: str) -> None:
    async with installation(database_url, sender=False) as home:
        body, key = {"to": THEM, "text": "Hello"}, {"Idempotency-Key": "k1"}

        answers = await asyncio.gather(
            *(home.api.post("/v1/messages", json=body, headers=key) for _ in range(20))
        )

        ids = {answer.json()["data"][0]["id"] for answer in answers if answer.status_code == 202}
        assert 1 == len(ids)
        assert {202, 409} >= {answer.status_code for answer in answers}


@pytest.mark.parametrize("turns", range(4))
async def test_a_channel_that_hears_of_work_in_the_moment_it_is_to_end_ends(
    database_url: str, turns: int
) -> None:
    """Whatever number of the loop's turns lies between the two."""
    outbox = Outbox(database_url, "postback")
    async with installation(database_url, sender=False) as home, Client() as client:
        await outbox.open()
        channel = home.settings.channels[CHANNEL]
        providers = providers_of(home.settings)
        files = OutgoingFiles(store_of(home.settings, secrets.load(home.settings)), ())
        provider = providers[channel.provider]
        source = sources(home.settings.channels, providers)[CHANNEL]
        answers = Answers(channel, provider, source, Ingest("", ""))
        calls = Calls(channel, provider, client, files, answers.keep_unread)
        sender = ChannelSender(channel, provider, outbox, calls, Settling(outbox, None))
        running = asyncio.create_task(sender.run())
        await asyncio.sleep(0.2)  # it has looked, and waits

        sender.wake()
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()

        ended, _ = await asyncio.wait([running], timeout=PATIENCE)
        running.cancel()
        await asyncio.wait([running])
        await outbox.close()

    assert {running} == ended


async def test_a_message_is_canceled_until_its_carrier_has_it(database_url: str) -> None:
    async with installation(database_url, sender=False) as home:
        first, second = await home.send(), await home.send()

        canceled = await home.api.post(f"/v1/messages/{first['id']}/cancel")
        home.start_sender()
        await home.until(second["id"], "delivered")
        late = await home.api.post(f"/v1/messages/{second['id']}/cancel")

        assert ("canceled", "canceled") == (canceled.json()["status"], canceled.json()["error"]["class"])
        assert (409, "not_cancelable") == (late.status_code, late.json()["code"])
        assert 1 == len(await home.journal())


async def test_a_person_settles_an_uncertain_message_and_a_report_still_wins(database_url: str) -> None:
    async with installation(database_url) as home:
        await home.order(answer=502)
        sent = await home.send()
        await home.until(sent["id"], "uncertain")

        settled = await home.api.post(f"/v1/messages/{sent['id']}/settle", json={"status": "failed"})
        again = await home.api.post(f"/v1/messages/{sent['id']}/settle", json={"status": "sent"})
        reference = (await home.journal())[0]["body"]["client-reference"]
        await home.hook(f'{{"code": "N102", "tracking-id": "T", "client-reference": "{reference}"}}'.encode())

        assert ("failed", "operator") == (settled.json()["status"], settled.json()["timeline"][-1]["source"])
        assert (409, "not_uncertain") == (again.status_code, again.json()["code"])
        message = await home.message(sent["id"])
        assert ("delivered", True) == (message["status"], message["conflict"])


async def test_a_message_of_which_no_report_came_is_unconfirmed_and_a_late_report_wins(
    database_url: str,
) -> None:
    async with installation(database_url, report_window=1) as home:
        await home.order(report="lost")
        silent = await home.send()

        message = await home.until(silent["id"], "unconfirmed")
        reference = (await home.journal())[0]["body"]["client-reference"]
        await home.hook(f'{{"code": "N102", "tracking-id": "T", "client-reference": "{reference}"}}'.encode())

        assert ("unknown", "timer") == (message["outcome"], message["timeline"][-1]["source"])
        assert "delivered" == (await home.message(silent["id"]))["status"]


async def test_a_message_whose_report_came_in_time_hears_nothing_of_the_timer(database_url: str) -> None:
    async with installation(database_url, report_window=3) as home:
        message = await home.until((await home.send())["id"], "delivered")
        db = await connect(database_url)
        async with asyncio.timeout(PATIENCE):
            while await db.fetchval("SELECT count(*) FROM postback.awaited_report"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await db.close()

        after = await home.message(message["id"])
        assert "delivered" == after["status"]
        assert "timer" not in {event["source"] for event in after["timeline"]}


async def test_a_channel_without_reports_ends_unconfirmed_at_once(database_url: str) -> None:
    async with installation(database_url, expects_reports=False) as home:
        await home.order(report="lost")

        message = await home.until((await home.send())["id"], "unconfirmed")

        assert "queued" in [event["status"] for event in message["timeline"]]
